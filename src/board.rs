//! The board: reports become state.
//!
//! [`Board::record`] takes one report at a time and keeps, for each target, a row of plain values: confirmed state,
//! counters, histograms, last facts, recent outcomes. Whoever shows something (metrics, page, log) reads the rows at
//! the moment of asking; there is no second copy of any state, so a target that is gone leaves nothing behind.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use tokio::time::Instant;

pub use self::confirm::State;
pub use self::group::GroupStatus;
pub use self::history::{History, Recent};
pub use self::location::AddressResult;
pub use self::row::{LastProbe, Row};
use crate::clock::Timestamp;
use crate::locks::{lock, read, write};
use crate::options::HistogramOptions;
use crate::outcome::{Failure, Fault, LocalFaultReason, Next, Report};
use crate::target::{Group, GroupName, Target, TargetName};

mod confirm;
mod group;
mod history;
mod location;
mod phases;
mod row;
mod tls;

/// State of all targets.
#[derive(Debug)]
pub struct Board {
    options: Mutex<Arc<HistogramOptions>>,
    table: RwLock<Arc<Table>>,
    local_faults: [AtomicU64; LocalFaultReason::ALL.len()],
}

impl Board {
    /// A board without targets.
    pub fn new(options: HistogramOptions) -> Self {
        Self { options: Mutex::new(Arc::new(options)), table: RwLock::default(), local_faults: Default::default() }
    }

    /// Applies other options from the next [`Self::replace`] on. Rows whose options differ start with empty histograms.
    pub fn set_histogram_options(&self, options: HistogramOptions) {
        *self.options() = Arc::new(options);
    }

    /// Makes these the targets, in this order.
    ///
    /// A row whose name and endpoint stay keeps all that it has seen and takes the new target; where that is probed in
    /// another way, reports of the old one count as nothing from here on. Every other row is new, or gone. Reports go on
    /// meanwhile; of two calls at a time one waits for the other.
    pub fn replace(&self, targets: &[Arc<Target>]) {
        // Held to the end, for a table is made of the one before.
        let options = self.options();
        let table = self.table();
        let mut index = HashMap::with_capacity(targets.len());
        let mut rows = Vec::with_capacity(targets.len());
        for target in targets {
            let kept = table.row(&target.name).filter(|cell| lock(cell).keep_for(target, &options));
            let cell = kept.cloned().unwrap_or_else(|| Arc::new(Mutex::new(Row::new(target.clone(), options.clone()))));
            index.insert(target.name.clone(), rows.len());
            rows.push(cell);
        }
        *write(&self.table) = Arc::new(Table { rows, index });
    }

    /// Takes one report and says what follows it.
    ///
    /// A report of a target that is gone counts as nothing, and so does one of a probe that would be another by the
    /// settings of now, in whose place one more is to be made. Other labels, or another group, falsify nothing. A local
    /// fault raises its counter and touches nothing else.
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

    /// The rows of this moment; later replacements do not change the list, later reports do change the rows.
    pub fn rows(&self) -> Rows {
        Rows(self.table())
    }

    /// Probes that a fault of this machine prevented, by reason.
    pub fn local_faults(&self) -> impl Iterator<Item = (LocalFaultReason, u64)> + '_ {
        LocalFaultReason::ALL.into_iter().zip(self.local_faults.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    fn options(&self) -> MutexGuard<'_, Arc<HistogramOptions>> {
        lock(&self.options)
    }

    fn table(&self) -> Arc<Table> {
        read(&self.table).clone()
    }
}

/// A list of rows in the order of the targets.
#[derive(Clone, Debug)]
pub struct Rows(Arc<Table>);

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Shows each row to `look`, one locked at a time: a report for it waits as long as `look` takes.
    pub fn for_each(&self, look: impl FnMut(&Row)) {
        self.for_each_in(0..self.len(), look);
    }

    /// Shows the rows of a range, as far as it lies inside, to `look`, one locked at a time.
    pub fn for_each_in(&self, range: Range<usize>, mut look: impl FnMut(&Row)) {
        self.0.rows.iter().take(range.end).skip(range.start).for_each(|cell| look(&lock(cell)));
    }

    /// Shows the row of this target to `look`.
    pub fn find<T>(&self, name: &TargetName, look: impl FnOnce(&Row) -> T) -> Option<T> {
        self.0.row(name).map(|cell| look(&lock(cell)))
    }

    /// Every group that has members here, by name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        let mut groups: HashMap<GroupName, GroupStatus> = HashMap::new();
        self.for_each(|row| {
            if let Some(group) = &row.target().group {
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

/// What a report led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When to probe next.
    pub next: Next,
    /// The change of the confirmed state, where there was one.
    pub transition: Option<Transition>,
}

impl Recorded {
    const NOTHING: Self = Self { next: Next::OnSchedule, transition: None };
}

/// A change of a target's confirmed state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Whose state.
    pub target: Arc<Target>,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// When the probe that decided it ended.
    pub at: Timestamp,
    /// How long it had been in the state before; for the first one since the target is known.
    pub lasted: Duration,
    /// What failed, where the target is now down.
    pub failure: Option<Failure>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Arc<Mutex<Row>>>,
    index: HashMap<TargetName, usize>,
}

impl Table {
    fn row(&self, name: &TargetName) -> Option<&Arc<Mutex<Row>>> {
        self.rows.get(*self.index.get(name)?)
    }
}

/// Time from one moment to a later one, zero where the order is reversed.
fn between(earlier: Instant, later: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}

#[cfg(test)]
mod tests;
