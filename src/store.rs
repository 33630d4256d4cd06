//! The memory of the daemon: states, daily figures and incidents, in a SQLite database.
//!
//! A [`Writer`] copies what has changed on the board every five seconds, on a separate thread, and adds each change of
//! state at once to what it writes next. [`Store::recall`] returns what is remembered of new targets. Nothing here is on
//! the way of a probe or a scrape: the board has the present, the store only its memory.
//!
//! With a directory the database is a file, `portprobe.db`, and survives a restart; without one it is in memory, within
//! a fixed bound.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use self::database::Database;
pub use self::database::{OpenError, SqliteError};
pub use self::history::{Change, Incident, IncidentList, IncidentQuery};
use self::recall::Recall;
use self::writer::Message;
pub use self::writer::{RunningWriter, Writer};
use crate::board::{Day, DayFigures, Remembered, TargetRecord, Transition};
use crate::clock::Timestamp;
use crate::target::{Target, TargetName};

mod certificates;
mod database;
mod history;
mod outcomes;
mod recall;
mod retention;
mod writer;

/// Where and how long the memory is kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The directory of the database; `None` keeps it in memory.
    pub path: Option<PathBuf>,
    /// How long history is kept, also that of removed targets.
    pub retention: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { path: None, retention: DEFAULT_RETENTION }
    }
}

/// The memory of all targets. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
    statistics: Arc<StoreStatistics>,
    messages: mpsc::Sender<Message>,
}

impl Store {
    /// Opens the database, and creates it if it does not exist.
    ///
    /// A damaged file is moved aside. On a full disk or with a locked file nothing is remembered, and each write tries to
    /// open it again. Fails if the directory cannot be used, if another process uses it, or if the file is of a newer
    /// version or of another program.
    pub fn open(options: &StoreOptions, now: Timestamp) -> Result<(Self, Writer), OpenError> {
        let statistics = Arc::new(StoreStatistics::default());
        let database = match &options.path {
            Some(folder) => Database::in_folder(folder, now, &statistics)?,
            None => Database::in_memory()?,
        };
        let database = Arc::new(database);
        let (messages, received) = mpsc::channel();
        let store = Self { database: database.clone(), statistics: statistics.clone(), messages };
        let writer = Writer::new(database, statistics, options.retention, received, store.messages.clone());
        Ok((store, writer))
    }

    /// Returns what is remembered of these targets, as of `now`. Takes time with very many targets.
    ///
    /// The state of a target is remembered for ten minutes or three of its intervals, whichever is longer, and only if
    /// it has the same URL as before. A database that cannot be read remembers nothing; the writer handles its fault.
    pub fn recall(&self, targets: &[Arc<Target>], now: Timestamp) -> HashMap<TargetName, Remembered> {
        let left = self.database.left();
        let recalled = self
            .database
            .read(|connection| Recall { connection, left, now }.targets(targets));
        recalled.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the figures of a target from one day to another. Nothing if the database cannot be read.
    pub fn days(&self, name: &TargetName, since: Day, until: Day) -> Vec<DayFigures> {
        let days = self.database.read(|connection| history::days(connection, name, since, until));
        days.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the figures of each of these targets, like [`Self::days`].
    pub fn days_of_each(&self, names: &[&TargetName], since: Day, until: Day) -> Vec<Vec<DayFigures>> {
        let each = self.database.read(|connection| {
            let of_each = names.iter().map(|name| history::days(connection, name, since, until));
            of_each.collect::<Result<Vec<_>, _>>()
        });
        each.and_then(Result::ok).unwrap_or_else(|| vec![Vec::new(); names.len()])
    }

    /// Returns incidents. Nothing if the database cannot be read.
    pub fn incidents(&self, query: &IncidentQuery) -> IncidentList {
        let list = self.database.read(|connection| query.list(connection));
        list.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the latest changes that begin or end incidents, the latest first. Nothing if the database cannot be read.
    pub fn changes(&self, limit: usize) -> Vec<Change> {
        let changes = self.database.read(|connection| history::changes(connection, limit));
        changes.and_then(Result::ok).unwrap_or_default()
    }

    /// Notes a change of state for the next write. Does not block.
    pub fn note(&self, transition: &Transition) {
        self.send(Message::Transition(Box::new(transition.clone())));
    }

    /// Notes targets that were added; their records are written next.
    pub fn added(&self, names: Vec<TargetName>) {
        self.send(Message::Added(names));
    }

    /// Notes the last records of targets that were removed.
    pub fn removed(&self, records: Vec<TargetRecord>, at: Timestamp) {
        self.send(Message::Removed(records, at));
    }

    /// Returns the counters for the metrics; `None` if the database is in memory.
    pub fn statistics(&self) -> Option<&Arc<StoreStatistics>> {
        self.database.is_file().then_some(&self.statistics)
    }

    fn send(&self, message: Message) {
        // The writer ends only with the daemon.
        let _ = self.messages.send(message);
    }
}

/// The counters of a store.
#[derive(Debug, Default)]
pub struct StoreStatistics {
    size_bytes: AtomicU64,
    write_failures: AtomicU64,
    recoveries: AtomicU64,
    last_write: AtomicU64,
}

impl StoreStatistics {
    /// Returns the size of the database in bytes, including its log.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of failed writes.
    pub fn write_failures(&self) -> u64 {
        self.write_failures.load(Ordering::Relaxed)
    }

    /// Returns the number of damaged files that were moved aside.
    pub fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Relaxed)
    }

    /// Returns the time of the last write; `None` before the first.
    pub fn last_write(&self) -> Option<Timestamp> {
        let nanos = self.last_write.load(Ordering::Relaxed);
        (nanos > 0).then(|| Timestamp::since_epoch(Duration::from_nanos(nanos)))
    }

    fn written(&self, at: Timestamp, size_bytes: u64) {
        let nanos = u64::try_from(at.as_duration().as_nanos()).unwrap_or(u64::MAX);
        self.last_write.store(nanos, Ordering::Relaxed);
        self.size_bytes.store(size_bytes, Ordering::Relaxed);
    }

    fn count_failure(&self) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
    }

    fn count_recovery(&self) {
        self.recoveries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a moment in milliseconds since 1970, the unit of times in the database.
fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_duration().as_millis()).unwrap_or(i64::MAX)
}

/// Returns the moment of milliseconds since 1970; those before that are 1970.
fn of_millis(millis: i64) -> Timestamp {
    Timestamp::since_epoch(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// A year and a month, so that the same month of the previous year can be compared.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(400 * 24);
