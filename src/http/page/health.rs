//! The state of portprobe itself.

use std::time::Duration;

use super::Sources;
use super::times::Moment;
use crate::board::SourceStatus;
use crate::inventory::TargetSummary;
use crate::peer_text::escaped;

/// The state of portprobe itself.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) version: &'static str,
    pub(super) revision: &'static str,
    pub(super) started: Moment,
    /// Faults that are there now, in words.
    pub(super) faults: Vec<String>,
    /// Counters and values.
    pub(super) figures: Vec<Figure>,
    pub(super) sources: Vec<SourceFigures>,
}

/// A counter or value of portprobe itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// An explanation.
    pub(super) note: String,
    /// Whether it deserves attention.
    pub(super) is_notable: bool,
}

/// The state of a discovery source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SourceFigures {
    pub(super) name: String,
    pub(super) targets: usize,
    pub(super) invalid: usize,
    pub(super) failures: u64,
}

impl Health {
    /// Reads the state. `targets` are all targets.
    pub(super) fn read(sources: &Sources, targets: &[TargetSummary]) -> Self {
        let environment = &sources.view.environment;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("PORTPROBE_REVISION"),
            started: Moment::of(sources.started, sources.now),
            faults: faults(sources, targets),
            figures: figures(sources),
            sources: environment.sources.iter().map(SourceFigures::of).collect(),
        }
    }

    /// Returns the number of figures that deserve attention.
    pub(super) fn notable(&self) -> usize {
        let failing = self.sources.iter().filter(|source| source.is_notable()).count();
        self.figures.iter().filter(|figure| figure.is_notable).count() + failing
    }
}

impl SourceFigures {
    fn of(status: &SourceStatus) -> Self {
        let SourceStatus { name, targets, invalid, failures } = status;
        Self { name: escaped(name), targets: *targets, invalid: *invalid, failures: *failures }
    }

    pub(super) const fn is_notable(&self) -> bool {
        self.invalid > 0 || self.failures > 0
    }
}

fn faults(sources: &Sources, targets: &[TargetSummary]) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(outdated(targets.iter().filter(|target| target.is_outdated(sources.now)).count()));
    let reload = sources.view.environment.reload;
    if !reload.successful {
        let last = Moment::of(reload.success_at, sources.now);
        faults.push(format!(
            "The last reload failed, so the configuration of {} ago is in use. portprobe check lists every problem.",
            last.distance
        ));
    }
    if let Some(store) = sources.store.as_ref().and_then(|store| store.statistics()) {
        let age = store
            .last_write()
            .map(|at| sources.now.as_duration().saturating_sub(at.as_duration()));
        if store.write_failures() > 0 && age.is_none_or(|age| age > STALE) {
            faults
                .push("The database cannot be written: history is only in memory. The log has the reason.".to_owned());
        }
    }
    faults
}

/// Describes targets that were not probed for some time.
fn outdated(count: usize) -> Option<String> {
    let which = match count {
        0 => return None,
        1 => "1 target has".to_owned(),
        count => format!("{count} targets have"),
    };
    Some(format!(
        "{which} not been probed for more than three intervals, so the last state is outdated. The counters below and the log have the reason."
    ))
}

fn figures(sources: &Sources) -> Vec<Figure> {
    let statistics = sources.metrics.statistics();
    let reload = sources.view.environment.reload;
    let last_reload = Moment::of(reload.success_at, sources.now);
    let mut figures = vec![
        Figure {
            name: "Configuration",
            value: format!("loaded {} ago", last_reload.distance),
            note: if reload.successful { String::new() } else { "a later reload failed".to_owned() },
            is_notable: !reload.successful,
        },
        Figure::count("Probes in flight", statistics.in_flight(), "", false),
        Figure::count(
            "Skipped probes: limit",
            statistics.skipped_by_limit(),
            "limits.in_flight, per_host or per_second is too low",
            true,
        ),
        Figure::count(
            "Skipped probes: overlap",
            statistics.skipped_by_overlap(),
            "the previous probe of the target was still running",
            true,
        ),
        Figure::count("Skipped probes: pause", statistics.skipped_by_pause(), "portprobe itself was stopped", true),
        Figure::count(
            "Failed file reloads",
            sources.metrics.file_reload_failures().total(),
            "changed certificates or secrets could not be read",
            true,
        ),
    ];
    let faults = sources.board.local_faults().filter(|(_, count)| *count > 0);
    figures.extend(faults.map(|(reason, count)| Figure {
        name: "Local faults",
        value: count.to_string(),
        note: format!("{}: {}", reason.as_str(), reason.meaning().replace('`', "")),
        is_notable: true,
    }));
    if let Some(store) = sources.store.as_ref().and_then(|store| store.statistics()) {
        figures.push(Figure::count("Database", store.size_bytes(), "bytes", false));
        figures.push(Figure::count(
            "Failed database writes",
            store.write_failures(),
            "retried with the next write",
            true,
        ));
        figures.push(Figure::count("Damaged databases", store.recoveries(), "moved aside", true));
    }
    figures
}

impl Figure {
    /// Returns a counter, which deserves attention unless it is zero if it counts faults.
    fn count(name: &'static str, count: u64, note: &str, counts_faults: bool) -> Self {
        let is_notable = counts_faults && count > 0;
        let note = if count > 0 { note.to_owned() } else { String::new() };
        Self { name, value: count.to_string(), note, is_notable }
    }
}

/// The store writes every five seconds.
const STALE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_without_recent_probes_are_a_fault() {
        assert_eq!(outdated(0), None);
        assert!(outdated(1).is_some_and(|words| words.starts_with("1 target has not been probed")));
        assert!(outdated(2).is_some_and(|words| words.starts_with("2 targets have not been probed")));
    }
}
