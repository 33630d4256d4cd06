//! Writes what has changed, every five seconds in one transaction, on a separate thread.
//!
//! Changes of state are written with the next transaction. The other facts of a target change with each probe; they are
//! written for a part of the targets at a time, so that a transaction stays small with very many of them. What could not
//! be written is kept and written with the next transaction.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use self::pending::Pending;
use self::transaction::Transaction;
use super::StoreStatistics;
use super::database::{Database, Fault};
use super::retention::Retention;
use crate::board::{Board, TargetRecord, Transition};
use crate::clock::{self, Timestamp};
use crate::target::TargetName;

mod pending;
mod transaction;

/// The part of a store that writes, before it is started.
#[derive(Debug)]
pub struct Writer {
    database: Arc<Database>,
    statistics: Arc<StoreStatistics>,
    retention: Duration,
    messages: Receiver<Message>,
    sender: Sender<Message>,
}

/// The running thread of a [`Writer`]. It ends with [`RunningWriter::finish`], or once nobody can send it messages.
#[derive(Debug)]
pub struct RunningWriter(Sender<Message>);

/// An event that the writer must not miss.
#[derive(Debug)]
pub(super) enum Message {
    /// Targets were added to the board.
    Added(Vec<TargetName>),
    /// The daemon stops. Everything is written once more, then the thread reports that and ends.
    Finish(oneshot::Sender<()>),
    /// Targets were removed from the board; their last records.
    Removed(Vec<TargetRecord>, Timestamp),
    /// A target changed its state.
    Transition(Box<Transition>),
}

impl Writer {
    pub(super) fn new(
        database: Arc<Database>,
        statistics: Arc<StoreStatistics>,
        retention: Duration,
        messages: Receiver<Message>,
        sender: Sender<Message>,
    ) -> Self {
        Self { database, statistics, retention, messages, sender }
    }

    /// Starts the thread. Fails if the system allows no further thread.
    pub fn start(self, board: Arc<Board>) -> io::Result<RunningWriter> {
        let Self { database, statistics, retention, messages, sender } = self;
        let work = Work {
            board,
            database,
            statistics,
            retention,
            pending: Pending::default(),
            next_row: 0,
            health: Health::Good,
            retention_clock: None,
        };
        thread::Builder::new().name("store".into()).spawn(move || work.run(&messages))?;
        Ok(RunningWriter(sender))
    }
}

impl RunningWriter {
    /// Writes everything once more, for a limited time, and ends the thread.
    pub async fn finish(self) {
        let (done, is_done) = oneshot::channel();
        // Fails only if the thread has panicked, and then the receiver fails too.
        let _ = self.0.send(Message::Finish(done));
        if timeout(MAX_FINISH, is_done).await.is_err() {
            warn!(seconds = MAX_FINISH.as_secs(), "Stopping although the last changes are not written in time");
        }
    }
}

/// The thread that writes.
#[derive(Debug)]
struct Work {
    board: Arc<Board>,
    database: Arc<Database>,
    statistics: Arc<StoreStatistics>,
    retention: Duration,
    pending: Pending,
    /// The next row of the board whose record is due.
    next_row: usize,
    health: Health,
    /// The clock of the retention; `None` before the first write.
    retention_clock: Option<RetentionClock>,
}

/// A clock that begins at the last write of an earlier process and then runs with this one.
///
/// A wall clock that is wrong at a start would otherwise delete all history.
#[derive(Clone, Copy, Debug)]
struct RetentionClock {
    begun_at: Timestamp,
    begun: Instant,
}

impl RetentionClock {
    fn now(self) -> Timestamp {
        let elapsed = Instant::now().saturating_duration_since(self.begun);
        Timestamp::since_epoch(self.begun_at.as_duration() + elapsed)
    }
}

/// The future of the thread after the next transaction.
#[derive(Debug)]
enum Next {
    Continue,
    End,
    /// It ends and reports that.
    Finish(oneshot::Sender<()>),
}

/// Whether the last transaction was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Good,
    Failing,
}

impl Work {
    fn run(mut self, messages: &Receiver<Message>) {
        self.check();
        loop {
            let next = self.receive(messages, Instant::now() + PERIOD);
            if matches!(next, Next::Continue) {
                self.take_records(ROWS_AT_ONCE);
            } else {
                self.take_all_records();
            }
            self.write();
            match next {
                Next::Continue => {}
                Next::End => return,
                Next::Finish(done) => {
                    if self.health == Health::Failing {
                        warn!("Stopping although the last changes cannot be written");
                    }
                    // A log that stays is read at the next start.
                    let _ = self.database.write(Database::empty_log);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Handles messages until an instant, or until the thread must end.
    fn receive(&mut self, messages: &Receiver<Message>, until: Instant) -> Next {
        loop {
            match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Added(names)) => {
                    let rows = self.board.rows();
                    names
                        .iter()
                        .filter_map(|name| rows.take_record(name))
                        .for_each(|record| self.pending.add(record));
                }
                Ok(Message::Removed(records, at)) => {
                    for record in records {
                        self.pending.remove(record, at);
                    }
                }
                Ok(Message::Transition(transition)) => {
                    let is_removed = self.board.rows().target(&transition.target.name).is_none();
                    self.pending.change(*transition, is_removed);
                }
                Ok(Message::Finish(done)) => return Next::Finish(done),
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => return Next::Continue,
            }
        }
    }

    /// Takes the records of the next rows, which start again at the end.
    fn take_records(&mut self, count: usize) {
        let rows = self.board.rows();
        if self.next_row >= rows.len() {
            self.next_row = 0;
        }
        let end = self.next_row.saturating_add(count);
        rows.take_records(self.next_row..end)
            .into_iter()
            .for_each(|record| self.pending.add(record));
        self.next_row = end;
    }

    fn take_all_records(&mut self) {
        self.next_row = 0;
        self.take_records(self.board.rows().len());
    }

    /// Looks for damage once, because a file that was cut is otherwise noticed only when its end is needed.
    fn check(&mut self) {
        if let Err(fault) = self.database.write(Database::quick_check).and_then(|checked| Ok(checked?)) {
            self.failed(&fault, clock::now());
        }
    }

    fn write(&mut self) {
        let now = clock::now();
        let targets_in_memory = (!self.database.is_file()).then(|| self.board.rows().len());
        let Self { database, pending, retention: period, retention_clock, .. } = self;
        let written = database.write(|connection| {
            // Known only now, because the file may just have been opened.
            let left = database.left();
            let begun_at = left.map_or(now, |left| left.min(now));
            let clock = retention_clock.get_or_insert_with(|| RetentionClock { begun_at, begun: Instant::now() });
            let retention = Retention { now: clock.now(), period: *period, targets_in_memory };
            Transaction { now, left, retention }.write(connection, pending)
        });
        match written.and_then(|written| Ok(written?)) {
            Ok(()) => {
                self.database.set_written();
                self.statistics.written(now, self.database.size_bytes());
                if std::mem::replace(&mut self.health, Health::Good) == Health::Failing {
                    info!("Wrote the database again");
                }
            }
            Err(fault) => self.failed(&fault, now),
        }
    }

    fn failed(&mut self, fault: &Fault, now: Timestamp) {
        self.statistics.count_failure();
        let is_first = std::mem::replace(&mut self.health, Health::Failing) == Health::Good;
        if is_first {
            error!(error = %fault, "Cannot write the database, keeping changes in memory");
        }
        if fault.is_damage() || matches!(fault, Fault::Gone(_)) {
            self.begin_again(fault, now);
        } else if is_first
            // SQLite may take damage for a full disk.
            && let Err(found) = self.database.write(Database::quick_check).and_then(|checked| Ok(checked?))
            && found.is_damage()
        {
            self.begin_again(&found, now);
        }
    }

    /// Closes a file that is damaged or gone, and plans to write everything into the next one.
    fn begin_again(&mut self, fault: &Fault, now: Timestamp) {
        match self.database.close(now, fault) {
            Ok(()) => {
                self.statistics.count_recovery();
                self.pending.forget_written();
                self.take_all_records();
            }
            Err(error) => error!(%error, "Cannot move a damaged database aside, trying again"),
        }
    }
}

/// A state is at most this old in the file.
const PERIOD: Duration = Duration::from_secs(5);

/// Maximum number of records in one transaction, apart from those of new targets. All of 100,000 targets have their turn
/// within four minutes; writing them takes about 20 ms.
const ROWS_AT_ONCE: usize = 2000;

/// As for open responses.
const MAX_FINISH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
