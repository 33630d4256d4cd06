//! The board: the state of all targets, derived from reports.
//!
//! [`Board::record`] applies a report to the row of its target: confirmed state, counters, histograms, last facts,
//! recent outcomes. Metrics and pages read the rows on request. State is stored only once, so a removed target leaves
//! nothing behind.
//!
//! A [`View`] has the targets together with everything else that a reload changes, so that a scrape never shows a part of
//! a reload.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use tokio::time::Instant;

pub use self::confirm::State;
pub use self::environment::{Environment, LastReload, SourceStatus};
pub use self::group::GroupStatus;
pub use self::history::{FailedOutcomes, History, Recent};
pub use self::ledger::{Day, DayFigures};
pub use self::location::AddressResult;
pub use self::memory::{Remembered, RememberedState, TargetRecord};
pub use self::row::{LastProbe, Row};
use crate::clock::{self, Timestamp};
use crate::locks::{lock, read, write};
use crate::options::HistogramOptions;
use crate::outcome::{Failure, Fault, LocalFaultReason, Next, Report};
use crate::target::{Group, GroupName, Target, TargetName};

mod confirm;
mod environment;
mod group;
mod history;
mod ledger;
mod location;
mod memory;
mod phases;
mod row;
mod tls;

/// The state of all targets.
#[derive(Debug)]
pub struct Board {
    options: Mutex<Arc<HistogramOptions>>,
    view: RwLock<View>,
    local_faults: [AtomicU64; LocalFaultReason::ALL.len()],
}

impl Board {
    /// Creates a board without targets.
    pub fn new(options: HistogramOptions) -> Self {
        Self { options: Mutex::new(Arc::new(options)), view: RwLock::default(), local_faults: Default::default() }
    }

    /// Sets the options for the next [`Self::replace`], which empties the histograms of rows with other options.
    pub fn set_histogram_options(&self, options: HistogramOptions) {
        *self.options() = Arc::new(options);
    }

    /// Replaces all targets and keeps their order.
    pub fn replace(&self, targets: &[Arc<Target>]) {
        self.replace_with(targets, HashMap::new(), |_| {});
    }

    /// Replaces all targets, keeps their order, and updates the environment in the same step.
    ///
    /// A target with the same name and endpoint as before keeps its state; if settings that affect its probes have
    /// changed, later reports with the old settings are discarded. All other rows are added or removed; a new one starts
    /// from what is `remembered` of its target. Reports can be recorded meanwhile; concurrent calls wait for each other.
    pub fn replace_with(
        &self,
        targets: &[Arc<Target>],
        mut remembered: HashMap<TargetName, Remembered>,
        update: impl FnOnce(&mut Environment),
    ) {
        // Locked until the end, because each table is built from the previous one.
        let options = self.options();
        let table = self.table();
        let mut index = HashMap::with_capacity(targets.len());
        let mut rows = Vec::with_capacity(targets.len());
        for target in targets {
            let kept = table.row(&target.name).filter(|cell| lock(cell).keep_for(target, &options));
            let cell = kept.cloned().unwrap_or_else(|| {
                let mut row = Row::new(target.clone(), options.clone());
                if let Some(remembered) = remembered.remove(&target.name) {
                    row.restore(remembered, clock::now());
                }
                Arc::new(Mutex::new(row))
            });
            index.insert(target.name.clone(), rows.len());
            rows.push((target.clone(), cell));
        }
        let rows = Rows(Arc::new(Table { rows, index }));
        let mut view = write(&self.view);
        view.rows = rows;
        update(Arc::make_mut(&mut view.environment));
    }

    /// Updates the environment.
    pub fn update(&self, update: impl FnOnce(&mut Environment)) {
        update(Arc::make_mut(&mut write(&self.view).environment));
    }

    /// Applies a report and returns the next probe.
    ///
    /// - A report of a removed target, or of another endpoint, is discarded.
    /// - If settings that affect the probe have changed, the report is discarded and the probe is repeated. Labels and
    ///   group do not affect the probe.
    /// - A local fault is only counted.
    pub fn record(&self, report: &Report) -> Recorded {
        let table = self.table();
        let Some(mut row) = table.row(&report.target.name).map(|cell| lock(cell)) else {
            return Recorded::NOTHING;
        };
        if !Arc::ptr_eq(row.target(), &report.target) {
            if row.target().endpoint != report.target.endpoint {
                return Recorded::NOTHING;
            }
            if !row.target().settings.probes_like(&report.target.settings) {
                return Recorded { next: Next::Repeat, transition: None };
            }
        }
        if let Err(Fault::LocalFault(fault)) = &report.outcome.result {
            if let Some(counter) = self.local_faults.get(fault.reason as usize) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            return Recorded::NOTHING;
        }
        row.record(report)
    }

    /// Returns the current view.
    pub fn view(&self) -> View {
        read(&self.view).clone()
    }

    /// Returns the current rows. Later replacements do not change the list, but later reports change the rows.
    pub fn rows(&self) -> Rows {
        read(&self.view).rows.clone()
    }

    /// Probes that local faults prevented, by reason.
    pub fn local_faults(&self) -> impl Iterator<Item = (LocalFaultReason, u64)> + '_ {
        LocalFaultReason::ALL
            .into_iter()
            .zip(self.local_faults.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    fn options(&self) -> MutexGuard<'_, Arc<HistogramOptions>> {
        lock(&self.options)
    }

    fn table(&self) -> Arc<Table> {
        self.rows().0
    }
}

/// The targets and their environment as of one moment. Later replacements and updates do not change it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The targets.
    pub rows: Rows,
    /// Everything else that changes with them.
    pub environment: Arc<Environment>,
}

/// A list of rows in the order of the targets.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<Table>);

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Returns the targets.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.0.rows.iter().map(|(target, _)| target)
    }

    /// Returns a target.
    pub fn target(&self, name: &TargetName) -> Option<&Arc<Target>> {
        self.0.entry(name).map(|(target, _)| target)
    }

    /// Visits each row and locks only one at a time. Reports for that row wait meanwhile.
    pub fn for_each(&self, mut visit: impl FnMut(&Row)) {
        self.for_each_in(0..self.len(), |_, row| visit(row));
    }

    /// Counts the targets by state. Takes time with very many targets.
    pub fn count_states(&self) -> StateCounts {
        let mut counts = StateCounts::default();
        self.for_each(|row| counts.count(row.state()));
        counts
    }

    /// Visits the rows of a range with their targets and locks only one at a time. Indices beyond the end are ignored.
    pub fn for_each_in(&self, range: Range<usize>, mut visit: impl FnMut(&Arc<Target>, &Row)) {
        self.0
            .rows
            .iter()
            .take(range.end)
            .skip(range.start)
            .for_each(|(target, cell)| visit(target, &lock(cell)));
    }

    /// Returns the records of a range of rows for the store, and moves their figures out. Indices beyond the end are
    /// ignored.
    pub fn take_records(&self, range: Range<usize>) -> Vec<TargetRecord> {
        let rows = self.0.rows.iter().take(range.end).skip(range.start);
        rows.map(|(_, cell)| lock(cell).take_record(Instant::now(), clock::now()))
            .collect()
    }

    /// Returns the record of a target, like [`Self::take_records`].
    pub fn take_record(&self, name: &TargetName) -> Option<TargetRecord> {
        self.0
            .row(name)
            .map(|cell| lock(cell).take_record(Instant::now(), clock::now()))
    }

    /// Reads the row of a target.
    pub fn find<T>(&self, name: &TargetName, read: impl FnOnce(&Row) -> T) -> Option<T> {
        self.0.row(name).map(|cell| read(&lock(cell)))
    }

    /// Returns all groups that have members, sorted by name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        let mut groups: HashMap<GroupName, GroupStatus> = HashMap::new();
        self.for_each_in(0..self.len(), |target, row| {
            if let Some(group) = &target.group {
                groups
                    .entry(group.name.clone())
                    .or_insert_with(|| GroupStatus::new(Arc::<Group>::clone(group)))
                    .count(row.state());
            }
        });
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by(|a, b| a.group.name.cmp(&b.group.name));
        groups
    }
}

/// Number of targets by confirmed state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StateCounts {
    /// Targets that are up.
    pub up: usize,
    /// Targets that are down.
    pub down: usize,
    /// Targets without a state.
    pub unknown: usize,
}

impl StateCounts {
    /// Counts a target.
    pub fn count(&mut self, state: State) {
        match state {
            State::Down => self.down += 1,
            State::Unknown => self.unknown += 1,
            State::Up => self.up += 1,
        }
    }

    /// Returns the number of targets.
    pub const fn total(&self) -> usize {
        self.up + self.down + self.unknown
    }
}

/// The result of recording a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The next probe.
    pub next: Next,
    /// The change of the confirmed state, if there was one.
    pub transition: Option<Transition>,
}

impl Recorded {
    const NOTHING: Self = Self { next: Next::OnSchedule, transition: None };
}

/// A change of a target's confirmed state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The target.
    pub target: Arc<Target>,
    /// The previous state.
    pub from: State,
    /// The new state.
    pub to: State,
    /// The end of the probe that changed the state.
    pub at: Timestamp,
    /// Duration of the previous state. The unknown state begins when the target is added.
    pub lasted: Duration,
    /// The failure, if the target is now down.
    pub failure: Option<Failure>,
}

#[derive(Debug, Default)]
struct Table {
    /// The target of a row may already be the next one; the one here is that of the view.
    rows: Vec<(Arc<Target>, Arc<Mutex<Row>>)>,
    index: HashMap<TargetName, usize>,
}

impl Table {
    fn entry(&self, name: &TargetName) -> Option<&(Arc<Target>, Arc<Mutex<Row>>)> {
        self.rows.get(*self.index.get(name)?)
    }

    fn row(&self, name: &TargetName) -> Option<&Arc<Mutex<Row>>> {
        self.entry(name).map(|(_, row)| row)
    }
}

/// Returns the time from one instant to a later one; zero if the order is reversed.
fn between(earlier: Instant, later: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}

#[cfg(test)]
mod tests;
