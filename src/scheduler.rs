//! The scheduler: due targets become probes.
//!
//! Targets go in by [`Handle::change`]; probes come out of a [`Prober`], their reports go to a closure that answers
//! what follows. One task keeps one queue of due times; an idle target costs its entry there, and a probe is a task
//! only while it runs. What a result means is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::index::{Entries, Id};
use self::limits::{Blocked, Gate};
use self::queue::{Agenda, Waiting};
use self::schedule::Opening;
use self::scheduled::{End, Entry, Tick};
pub use self::statistics::Statistics;
use crate::clock::{self, Timestamp};
use crate::options::Limits;
use crate::outcome::{Next, Prober, Report};
use crate::target::{Target, TargetName};

mod index;
mod scheduled;
mod limits;
mod queue;
mod schedule;
mod statistics;

/// Probes targets when they are due.
#[derive(Debug)]
pub struct Scheduler<P, R> {
    prober: Arc<P>,
    record: Arc<R>,
    machine: String,
    /// Two readings of the same moment: the start of the scheduler.
    origin: Instant,
    started_at: Timestamp,
    gate: Gate,
    entries: Entries,
    agenda: Agenda,
    waiting: Waiting,
    /// When a probe may start again, where the rate holds one back.
    rate_opens: Option<Instant>,
    running: HashMap<Id, Probe>,
    tasks: JoinSet<Done>,
    commands: mpsc::Receiver<Command>,
    statistics: Arc<Statistics>,
}

/// A probe under way.
#[derive(Debug)]
struct Probe {
    target: Arc<Target>,
    task: AbortHandle,
}

/// A probe that has ended, and what is to follow.
#[derive(Debug)]
struct Done {
    id: Id,
    ended: Instant,
    next: Next,
}

impl<P, R> Scheduler<P, R>
where
    P: Prober,
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// A scheduler without targets, and the handle that gives it some.
    ///
    /// `record` takes every report, on the task of its probe. `machine` is the name of this machine; it moves the grid
    /// of due times, so that replicas on several machines do not probe at the same moments. `started_at` is the wall time of this call.
    pub fn new(prober: P, record: R, limits: Limits, machine: &str, started_at: Timestamp) -> (Self, Handle) {
        let (sender, commands) = mpsc::channel(1);
        let statistics = Arc::new(Statistics::default());
        let now = Instant::now();
        let scheduler = Self {
            prober: Arc::new(prober),
            record: Arc::new(record),
            machine: machine.to_owned(),
            origin: now,
            started_at,
            gate: Gate::new(limits, now),
            entries: Entries::default(),
            agenda: Agenda::new(now),
            waiting: Waiting::default(),
            rate_opens: None,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            commands,
            statistics: statistics.clone(),
        };
        (scheduler, Handle { sender, statistics })
    }

    /// Probes until `stop` is cancelled; probes under way are then dropped and count as nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        let sleep = sleep_until(self.origin);
        tokio::pin!(sleep);
        loop {
            let wake_up = self.next_wake_up();
            if let Some(wake_up) = wake_up.filter(|wake_up| *wake_up != sleep.deadline()) {
                sleep.as_mut().reset(wake_up);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.change(command),
                Some(done) = self.tasks.join_next() => self.finish(done),
                () = &mut sleep, if wake_up.is_some() => {}
            }
            // Ends before due times: a probe that has ended by now must not be seen running by its next due time.
            while let Some(done) = self.tasks.try_join_next() {
                self.finish(done);
            }
            self.start_what_is_due();
            self.statistics.set_in_flight(self.gate.in_flight());
        }
        self.tasks.shutdown().await;
        self.statistics.set_in_flight(0);
    }

    /// The moment at which something is to start, whether by due time or by rate.
    fn next_wake_up(&self) -> Option<Instant> {
        self.agenda.first_start().into_iter().chain(self.rate_opens).min()
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        self.rate_opens = None;
        while let Some(batch) = self.agenda.pop_started(now) {
            batch.for_each(|(due, id)| self.come_due(id, due, now));
        }
        while let Some((due, id)) = self.waiting.pop() {
            if !self.try_start(id, due, now) {
                break;
            }
        }
    }

    /// A moment of the agenda has come; one that no longer is a target's next is stale.
    fn come_due(&mut self, id: Id, due: Instant, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.tick() == due {
            let (tick, missed) = entry.advance(now);
            self.agenda.push(entry.tick(), id);
            self.statistics.count_skipped(tick, missed);
            if let Tick::Due(due) = tick {
                self.enqueue(id, due);
            }
        } else if entry.planned() == Some(due) {
            self.enqueue(id, due);
        }
    }

    /// Every probe goes through the queue of those that wait, so that none overtakes an earlier one.
    fn enqueue(&mut self, id: Id, due: Instant) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.wait(due);
            self.waiting.push(due, id);
        }
    }

    /// Starts a waiting probe if no limit holds it back; false if nobody else could start either.
    fn try_start(&mut self, id: Id, due: Instant, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.waiting_since() == Some(due)) else {
            return true;
        };
        let target = entry.target().clone();
        match self.gate.admit(&target.endpoint.host, now) {
            Ok(()) => {
                let deadline = entry.start(now);
                self.statistics.observe_lag(now.saturating_duration_since(due));
                self.spawn(id, target, deadline);
                true
            }
            Err(Blocked::Host) => {
                self.waiting.park(&target.endpoint.host, due, id);
                true
            }
            Err(Blocked::InFlight) => {
                self.waiting.push(due, id);
                false
            }
            Err(Blocked::Until(opens)) => {
                self.rate_opens = Some(opens);
                self.waiting.push(due, id);
                false
            }
        }
    }

    fn spawn(&mut self, id: Id, target: Arc<Target>, deadline: Instant) {
        let (prober, record) = (self.prober.clone(), self.record.clone());
        let probed = target.clone();
        let task = self.tasks.spawn(async move {
            let outcome = prober.probe(&probed, deadline).await;
            let ended = Instant::now();
            let next = record(&Report { target: probed, outcome, ended, ended_at: clock::now() });
            Done { id, ended, next }
        });
        self.running.insert(id, Probe { target, task });
    }

    /// A probe's task has ended; a panic in it is logged and counts as no probe.
    fn finish(&mut self, joined: Result<Done, JoinError>) {
        let Some(Done { id, ended, next }) = joined.map_or_else(|failed| self.panicked(&failed), Some) else { return };
        let Some(target) = self.leave(id) else { return };
        let Some(entry) = self.entries.get_mut(id) else { return };
        let is_changed = !Arc::ptr_eq(entry.target(), &target);
        match entry.end(ended, next) {
            End::Due(due) => self.enqueue(id, due),
            End::Idle if is_changed => self.make_owed(id, ended),
            End::Idle => {}
            End::Planned(due) => self.agenda.push(due, id),
        }
    }

    /// What a panic comes to; none where a task was ended because its target is gone.
    fn panicked(&self, failed: &JoinError) -> Option<Done> {
        let (id, probe) = self.running.iter().find(|(_, probe)| probe.task.id() == failed.id())?;
        let name = &probe.target.name;
        error!(target = %name, %failed, "A probe panicked, which is a bug of portprobe; please report it");
        Some(Done { id: *id, ended: Instant::now(), next: Next::Regular })
    }

    /// A probe is no longer under way, and others may be in its place; tells whose it was.
    fn leave(&mut self, id: Id) -> Option<Arc<Target>> {
        let Probe { target, .. } = self.running.remove(&id)?;
        self.gate.release(&target.endpoint.host);
        self.waiting.unpark(&target.endpoint.host);
        Some(target)
    }

    /// Plans the probe in whose place one by other settings counted as nothing.
    fn make_owed(&mut self, id: Id, now: Instant) {
        if let Some(due) = self.entries.get_mut(id).and_then(|entry| entry.make_owed(now)) {
            self.agenda.push(due, id);
        }
    }

    /// Changes the targets. One of the same name and endpoint keeps its place on the grid while its interval stays.
    ///
    /// Costs what has changed, not what there is: probes that are due meanwhile are not held up by their number.
    fn change(&mut self, Command { change, done }: Command) {
        let now = Instant::now();
        if let Some(limits) = change.limits {
            self.gate.set_limits(limits);
            self.waiting.unpark_all();
        }
        for name in change.gone {
            if let Some(id) = self.entries.find(&name) {
                self.remove(id);
            }
        }
        for target in change.there {
            let known = self.entries.find(&target.name);
            if known.is_some_and(|id| self.keep(id, &target, now)) {
                continue;
            }
            if let Some(id) = known {
                self.remove(id);
            }
            self.insert(target, now);
        }
        // A stale item goes when it comes up, which with a long interval may be tomorrow.
        if self.agenda.len() > MAX_ITEMS_A_TARGET * self.entries.len() + MAX_ITEMS_BESIDES {
            let entries = &self.entries;
            self.agenda.retain(|due, id| entries.get(id).is_some_and(|entry| entry.is_next(due)));
        }
        // Nobody may wait for the answer any more; the targets have changed all the same.
        let _ = done.send(());
    }

    fn keep(&mut self, id: Id, target: &Arc<Target>, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.target().endpoint == target.endpoint) else {
            return false;
        };
        let interval = |target: &Target| target.settings.cadence.interval();
        let same_grid = interval(entry.target()) == interval(target);
        entry.replace_target(target.clone());
        if !same_grid {
            self.reschedule(id, target, now);
        }
        self.make_owed(id, now);
        true
    }

    fn reschedule(&mut self, id: Id, target: &Target, now: Instant) {
        let opening = self.opening(target, now);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.reschedule(now + opening.tick, opening.early.map(|early| now + early));
            self.agenda.push_all(entry.tick(), entry.planned(), id);
        }
    }

    fn insert(&mut self, target: Arc<Target>, now: Instant) {
        let opening = self.opening(&target, now);
        let entry = Entry::new(target, now + opening.tick, opening.early.map(|early| now + early));
        let (tick, planned) = (entry.tick(), entry.planned());
        let id = self.entries.insert(entry);
        self.agenda.push_all(tick, planned, id);
    }

    /// Takes a target out. Its probe under way is of nobody any more, and must not become the next one's of this name.
    fn remove(&mut self, id: Id) {
        let Some(entry) = self.entries.remove(id) else { return };
        if let Some(probe) = self.running.get(&id) {
            probe.task.abort();
        }
        self.leave(id);
        if let Some(due) = entry.waiting_since() {
            let host = &entry.target().endpoint.host;
            self.waiting.remove(host, due, id);
            self.waiting.unpark(host);
        }
    }

    /// The grid is pinned to the wall clock of the start: a clock that is set later moves nothing.
    fn opening(&self, target: &Target, now: Instant) -> Opening {
        let elapsed = now.saturating_duration_since(self.origin);
        let wall = Timestamp::since_epoch(self.started_at.as_duration() + elapsed);
        Opening::at(wall, target.settings.cadence.interval(), schedule::seed(&target.name, &self.machine))
    }
}

/// Gives a running [`Scheduler`] its targets.
#[derive(Clone, Debug)]
pub struct Handle {
    sender: mpsc::Sender<Command>,
    statistics: Arc<Statistics>,
}

impl Handle {
    /// Changes the targets, and returns once that is done.
    ///
    /// Many are changed some at a time: probes are due and end meanwhile.
    pub async fn change(&self, change: Change) -> Result<(), Stopped> {
        let Change { there, gone, mut limits } = change;
        let (mut there, mut gone) = (there.into_iter(), gone.into_iter());
        loop {
            let part = Change {
                there: there.by_ref().take(MAX_CHANGES).collect(),
                gone: gone.by_ref().take(MAX_CHANGES).collect(),
                limits: limits.take(),
            };
            let (done, scheduled) = oneshot::channel();
            self.sender.send(Command { change: part, done }).await.map_err(|_| Stopped)?;
            scheduled.await.map_err(|_| Stopped)?;
            if there.len() + gone.len() == 0 {
                return Ok(());
            }
        }
    }

    /// What the scheduler counts.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }
}

/// The scheduler has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler has stopped")]
pub struct Stopped;

/// What is to be otherwise than before.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Targets that are new or have changed; each name once.
    pub there: Vec<Arc<Target>>,
    /// Targets that are no more. A name that is not known changes nothing.
    pub gone: Vec<TargetName>,
    /// Other limits; what runs beyond them ends in its own time.
    pub limits: Option<Limits>,
}

#[derive(Debug)]
struct Command {
    change: Change,
    done: oneshot::Sender<()>,
}

/// A target has at most two items in the agenda that are not stale, so beyond four each at least half of them are.
const MAX_ITEMS_A_TARGET: usize = 4;

/// Below this many, looking for stale ones is not worth it.
const MAX_ITEMS_BESIDES: usize = 16;

/// As many targets are new, changed or gone at a time: a millisecond's work.
const MAX_CHANGES: usize = 1000;

#[cfg(test)]
mod tests;
