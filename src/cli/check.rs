//! `portprobe check`: validates a configuration and estimates the load.

use std::path::Path;
use std::sync::Arc;

pub(super) use self::web::web;
use crate::app::LoadedFiles;
use crate::config::{self, Config, Diagnostic, LoadError, Source, SourceKind};
use crate::target::Target;

mod sources;
mod targets;
mod web;

/// What is printed in addition to warnings and the summary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Details {
    /// Nothing.
    #[default]
    None,
    /// Every target with its settings.
    Targets,
}

/// Loads a configuration like the daemon, and reads the files of its discovery sources. Returns the details, a line for
/// each warning and a summary; the error has a line for each problem.
///
/// Certificates, keys and header files are read into `files`; without it, they are not checked.
pub fn run(
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    files: Option<&LoadedFiles>,
    details: Details,
) -> Result<String, LoadError> {
    let draft = config::load(path, environment)?;
    let text = draft.text().to_owned();
    let config = match files {
        Some(files) => files.finish(draft),
        None => draft.finish(&[]),
    }?;
    let discovered = sources::check(&config, path, &text, files);
    if !discovered.problems.is_empty() {
        return Err(LoadError::new(discovered.problems));
    }
    let all_warnings = [&*config.warnings, &discovered.warnings].concat();
    let listing = match details {
        Details::None => String::new(),
        Details::Targets => targets::list(&config, path, &text),
    };
    let summary = summary(&config, &discovered.targets);
    Ok(format!("{listing}{}{}: {summary}", warnings(&all_warnings), path.display()))
}

/// Returns a line for each warning, at most as many as for problems, and the number of further ones.
fn warnings(warnings: &[Diagnostic]) -> String {
    let line = |warning: &Diagnostic| {
        let message = format!("warning: {}", warning.message);
        format!("{}\n", Diagnostic { message, ..warning.clone() })
    };
    let more = match warnings.len().saturating_sub(LoadError::MAX_LINES) {
        0 => String::new(),
        more => format!("and {more} more warnings\n"),
    };
    warnings.iter().take(LoadError::MAX_LINES).map(line).chain([more]).collect()
}

/// Summarises the numbers of targets, groups and probes per second.
fn summary(config: &Config, discovered: &[Arc<Target>]) -> String {
    let targets = || config.targets.iter().chain(discovered);
    let per_second = targets()
        .map(|target| target.settings.cadence.interval().as_secs_f64().recip())
        .sum();
    let found = match discovered.len() {
        0 => String::new(),
        count => format!(" ({count} of them discovered)"),
    };
    let is_remote = |source: &&Source| !matches!(source.kind, SourceKind::File { .. });
    let remote = match config.discovery.iter().filter(is_remote).count() {
        0 => String::new(),
        count => format!("; targets of {} are not counted", counted(count, "HTTP or DNS source")),
    };
    format!(
        "{}{found}, {}, {} probes per second{remote}",
        counted(targets().count(), "target"),
        counted(config.groups.len(), "group"),
        rate(per_second)
    )
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Formats a rate with about two significant digits.
fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 0.01 => "less than 0.01".to_owned(),
        rate if rate < 0.1 => format!("{rate:.2}"),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(yaml: &str) -> String {
        summary(
            &config::parse(yaml, Path::new("a.yaml"), &|_| None)
                .unwrap()
                .finish(&[])
                .unwrap(),
            &[],
        )
    }

    #[test]
    fn warnings_have_the_limit_of_problems() {
        let target = |port| format!("- {{ url: 'ssh://a:{port}', interval: 1s }}");
        let targets = (1..=102).map(target).collect::<Vec<_>>().join("\n");
        let text = format!("targets:\n{targets}");
        let config = config::parse(&text, Path::new("a.yaml"), &|_| None)
            .unwrap()
            .finish(&[])
            .unwrap();
        let text = warnings(&config.warnings);
        assert_eq!(text.lines().count(), LoadError::MAX_LINES + 1);
        assert!(text.ends_with("\nand 2 more warnings\n"), "{text}");
    }

    #[test]
    fn the_summary_counts_targets_groups_and_probes() {
        assert_eq!(summary_of("targets: ['a:1']"), "1 target, 0 groups, 0.02 probes per second");
        let several = "groups: {g: }\ntargets: [{url: 'a:1-12', group: g, interval: 30s}]";
        assert_eq!(summary_of(several), "12 targets, 1 group, 0.4 probes per second");
        assert_eq!(
            summary_of("targets: [{url: 'a:1-100', interval: 1s}]"),
            "100 targets, 0 groups, 100 probes per second"
        );
        let found = "{targets: ['a:1'], discovery: [{file: a.json}, {dns: a.example}]}";
        let expected = "1 target, 0 groups, 0.02 probes per second; targets of 1 HTTP or DNS source are not counted";
        assert_eq!(summary_of(found), expected);
        assert!(summary_of("targets: [{url: 'a:1', interval: 1d}]").ends_with("less than 0.01 probes per second"));
    }
}
