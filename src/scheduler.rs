//! The scheduler: starts the probes of targets when they are due.
//!
//! [`Handle::change`] sets the targets, a [`Prober`] makes the probes, and a closure receives their reports and returns
//! the next probe. One task has one queue of due times: an idle target costs only its entry in the queue, and only a
//! running probe has a task. [`Handle::acquire`] returns a permit for a probe that is not scheduled, within the same limits.
//! [`Handle::lend`] keeps the probes of a target from starting while somebody else probes it. This module does not interpret results.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::gate::{Blocked, Claim, Gate};
use self::handle::Inbox;
pub use self::handle::{AcquireError, Change, Handle, Stopped};
use self::index::{Id, Index};
use self::loans::Loans;
pub use self::loans::{LendError, Loan};
pub use self::permits::{Permit, Purpose};
use self::permits::{Permits, Released};
use self::queue::{DueQueue, WaitQueue, Waiting};
pub use self::schedule::Spread;
use self::scheduled_target::{End, Tick};
pub use self::statistics::Statistics;
use crate::clock::{self, Timestamp};
use crate::options::Limits;
use crate::outcome::{Next, Prober, Report};
use crate::target::{Host, Target};

mod changes;
mod gate;
mod handle;
mod index;
mod loans;
mod permits;
mod queue;
mod schedule;
mod scheduled_target;
mod statistics;

/// A scheduler, which probes targets when they are due.
#[derive(Debug)]
pub struct Scheduler<P, R> {
    prober: Arc<P>,
    record: Arc<R>,
    machine: String,
    /// The start of the scheduler, on both clocks.
    origin: Instant,
    started_at: Timestamp,
    gate: Gate,
    index: Index,
    due_queue: DueQueue,
    wait_queue: WaitQueue,
    /// When the next probe may start, if the rate limit delays one.
    rate_opens: Option<Instant>,
    running: HashMap<Id, Probe>,
    tasks: JoinSet<Done>,
    permits: Permits,
    released: mpsc::UnboundedReceiver<Released>,
    loans: Loans,
    inbox: Inbox,
    statistics: Arc<Statistics>,
}

/// A probe in flight.
#[derive(Debug)]
struct Probe {
    target: Arc<Target>,
    /// The claim with which it was admitted.
    claim: Claim,
    task: AbortHandle,
}

/// A finished probe and the next one.
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
    /// Creates a scheduler without targets, and its handle.
    ///
    /// `record` is called with every report, on the task of its probe. `machine` is the name of this machine, which
    /// shifts the grid of due times so that replicas do not probe at the same time. `started_at` is the current wall
    /// time.
    pub fn new(prober: P, record: R, limits: Limits, machine: &str, started_at: Timestamp) -> (Self, Handle) {
        let statistics = Arc::new(Statistics::default());
        let (handle, inbox) = Handle::new(statistics.clone());
        let (permits, released) = Permits::new();
        let now = Instant::now();
        let scheduler = Self {
            prober: Arc::new(prober),
            record: Arc::new(record),
            machine: machine.to_owned(),
            origin: now,
            started_at,
            gate: Gate::new(limits, now),
            index: Index::default(),
            due_queue: DueQueue::new(now),
            wait_queue: WaitQueue::default(),
            rate_opens: None,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            permits,
            released,
            loans: Loans::default(),
            inbox,
            statistics,
        };
        (scheduler, handle)
    }

    /// Limits the descriptors that all probes together have open. No probe may need more than half of them.
    #[must_use]
    pub fn with_descriptors(mut self, descriptors: NonZeroU32) -> Self {
        self.gate.limit_descriptors(descriptors);
        self
    }

    /// Probes until `stop` is cancelled. Probes in flight are then aborted without a report.
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
                Some(command) = self.inbox.commands.recv() => self.change(command),
                Some(acquisition) = self.inbox.acquisitions.recv() => self.permits.push(acquisition),
                Some(released) = self.released.recv() => self.release(&released.host, released.claim),
                Some(request) = self.inbox.loans.recv() => self.lend(request),
                Some(id) = self.loans.returned() => self.take_back(id),
                Some(done) = self.tasks.join_next() => self.finish(done),
                () = &mut sleep, if wake_up.is_some() => {}
            }
            // Finished probes first, so that none of them still counts as running at the next due time.
            while let Some(done) = self.tasks.try_join_next() {
                self.finish(done);
            }
            self.start_due_probes();
            // A due probe that waits comes first.
            if self.wait_queue.is_idle() {
                let prober = &self.prober;
                let opens = self.permits.grant_all(&mut self.gate, |target| prober.descriptors(target));
                self.rate_opens = self.rate_opens.or(opens);
            }
            self.statistics.set_in_flight(self.gate.in_flight());
        }
        self.tasks.shutdown().await;
        self.statistics.set_in_flight(0);
    }

    /// Returns when the next probe is due or allowed by the rate limit.
    fn next_wake_up(&self) -> Option<Instant> {
        self.due_queue.first_start().into_iter().chain(self.rate_opens).min()
    }

    fn start_due_probes(&mut self) {
        let now = Instant::now();
        self.rate_opens = None;
        while let Some(batch) = self.due_queue.pop_started(now) {
            batch.for_each(|(due, id)| self.on_due(id, due, now));
        }
        while let Some(waiting) = self.pop_startable() {
            if !self.try_start(waiting, now) {
                break;
            }
        }
    }

    /// Removes and returns the first waiting probe for which there is a place.
    fn pop_startable(&mut self) -> Option<Waiting> {
        let (index, gate, prober) = (&self.index, &self.gate, &self.prober);
        self.wait_queue.pop(|waiting| {
            let entry = index.get(waiting.id);
            entry.is_none_or(|entry| gate.has_place(claim(&**prober, entry.target(), waiting)))
        })
    }

    /// Handles an item of the due queue. It is stale unless it is the next tick or the planned probe of its target.
    fn on_due(&mut self, id: Id, due: Instant, now: Instant) {
        let Some(entry) = self.index.get_mut(id) else { return };
        if entry.tick() == due {
            let (tick, missed) = entry.advance(now);
            self.due_queue.push(entry.tick(), id);
            self.statistics.count_skipped(tick, missed);
            if let Tick::Due(due) = tick {
                self.enqueue(id, due);
            }
        } else if entry.planned() == Some(due) {
            self.enqueue(id, due);
        }
    }

    /// Adds a due probe to the wait queue. Every probe passes through it, so probes start in order of their due times,
    /// except that some places are kept for targets whose last probe was in time.
    fn enqueue(&mut self, id: Id, due: Instant) {
        if let Some(entry) = self.index.get_mut(id) {
            entry.wait(due);
            let last_probe = entry.last_probe();
            self.wait_queue.push(Waiting { due, id, last_probe });
        }
    }

    /// Starts a waiting probe unless a limit delays it. Returns false if that limit delays every probe.
    fn try_start(&mut self, waiting: Waiting, now: Instant) -> bool {
        let Waiting { due, id, .. } = waiting;
        let Some(entry) = self.index.get_mut(id).filter(|entry| entry.waiting_since() == Some(due)) else {
            return true;
        };
        let target = entry.target().clone();
        let claim = claim(&*self.prober, &target, &waiting);
        match self.gate.admit(&target.endpoint.host, claim, now) {
            Ok(()) => {
                let deadline = entry.start(now);
                self.statistics.observe_lag(now.saturating_duration_since(due));
                let task = self.spawn(id, target.clone(), deadline);
                self.running.insert(id, Probe { target, claim, task });
                true
            }
            Err(Blocked::Host) => {
                self.wait_queue.park(&target.endpoint.host, waiting);
                true
            }
            Err(Blocked::Until(opens)) => {
                self.rate_opens = Some(opens);
                self.wait_queue.push(waiting);
                false
            }
        }
    }

    fn spawn(&mut self, id: Id, target: Arc<Target>, deadline: Instant) -> AbortHandle {
        let (prober, record) = (self.prober.clone(), self.record.clone());
        self.tasks.spawn(async move {
            let outcome = prober.probe(&target, deadline).await;
            let ended = Instant::now();
            let next = record(&Report { target, outcome, ended, ended_at: clock::now() });
            Done { id, ended, next }
        })
    }

    /// Handles the end of a probe's task. A probe that panicked is logged but not counted.
    fn finish(&mut self, joined: Result<Done, JoinError>) {
        let Some(Done { id, ended, next }) = joined.map_or_else(|failed| self.panicked(&failed), Some) else { return };
        let Some(target) = self.end(id) else { return };
        let Some(entry) = self.index.get_mut(id) else { return };
        let is_changed = !Arc::ptr_eq(entry.target(), &target);
        match entry.end(ended, next) {
            End::Idle if is_changed => self.reprobe(id, ended),
            end => self.after(id, end),
        }
    }

    /// Carries out the effect of the end of a probe.
    fn after(&mut self, id: Id, end: End) {
        match end {
            End::Due(due) => self.enqueue(id, due),
            End::Idle => {}
            End::Planned(due) => self.due_queue.push(due, id),
        }
    }

    /// Returns the end of a probe that panicked; `None` if its task was aborted because the target was removed.
    fn panicked(&self, failed: &JoinError) -> Option<Done> {
        let (id, probe) = self.running.iter().find(|(_, probe)| probe.task.id() == failed.id())?;
        let name = &probe.target.name;
        error!(target = %name, %failed, "A probe panicked; please report this bug");
        Some(Done { id: *id, ended: Instant::now(), next: Next::OnSchedule })
    }

    /// Ends a running probe and returns its target.
    fn end(&mut self, id: Id) -> Option<Arc<Target>> {
        let Probe { target, claim, .. } = self.running.remove(&id)?;
        self.release(&target.endpoint.host, claim);
        Some(target)
    }

    /// Frees the place of a probe for others.
    fn release(&mut self, host: &Host, claim: Claim) {
        self.gate.release(host, claim);
        self.wait_queue.unpark(host);
        self.permits.unpark(host);
    }

    /// Plans another probe of a target whose last one was discarded because its settings changed.
    fn reprobe(&mut self, id: Id, now: Instant) {
        if let Some(due) = self.index.get_mut(id).and_then(|entry| entry.reprobe(now)) {
            self.due_queue.push(due, id);
        }
    }
}

/// Returns what a waiting probe of this target takes of the limits.
fn claim(prober: &impl Prober, target: &Target, waiting: &Waiting) -> Claim {
    Claim { share: waiting.last_probe.into(), descriptors: prober.descriptors(target) }
}

#[cfg(test)]
mod tests;
