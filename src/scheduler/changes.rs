//! Changes of the targets of a running scheduler.

use std::sync::Arc;

use tokio::time::Instant;

use super::Scheduler;
use super::handle::Command;
use super::index::Id;
use super::queue::Waiting;
use super::schedule::{self, FirstDue, Spread};
use super::scheduled_target::ScheduledTarget;
use crate::clock::Timestamp;
use crate::outcome::{Next, Prober, Report};
use crate::target::Target;

impl<P, R> Scheduler<P, R>
where
    P: Prober,
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// Changes the targets. A target with the same name, endpoint and interval as before keeps its place on the grid.
    ///
    /// The cost depends on the size of the change, not on the number of targets.
    pub(super) fn change(&mut self, Command { change, done }: Command) {
        let now = Instant::now();
        if let Some(limits) = change.limits {
            self.gate.set_limits(limits);
            self.wait_queue.unpark_all();
            self.permits.unpark_all();
        }
        for name in change.removed {
            if let Some(id) = self.index.find(&name) {
                self.remove(id);
            }
        }
        for target in change.upserted {
            let known = self.index.find(&target.name);
            if known.is_some_and(|id| self.keep(id, &target, now)) {
                continue;
            }
            if let Some(id) = known {
                self.remove(id);
            }
            self.insert(target, change.spread, now);
        }
        // A stale item otherwise stays until it is due, which can take a day.
        if self.due_queue.len() > MAX_ITEMS_PER_TARGET * self.index.len() + MAX_ITEMS_IN_ADDITION {
            let index = &self.index;
            self.due_queue
                .retain(|due, id| index.get(id).is_some_and(|entry| entry.is_next(due)));
        }
        // The caller may have stopped waiting; the change is applied anyway.
        let _ = done.send(());
    }

    /// Updates a target in place if its endpoint is the same; otherwise returns false.
    fn keep(&mut self, id: Id, target: &Arc<Target>, now: Instant) -> bool {
        let Some(entry) = self
            .index
            .get_mut(id)
            .filter(|entry| entry.target().endpoint == target.endpoint)
        else {
            return false;
        };
        let interval = |target: &Target| target.settings.cadence.interval();
        let same_grid = interval(entry.target()) == interval(target);
        entry.replace_target(target.clone());
        if !same_grid {
            self.reschedule(id, target, now);
        }
        self.reprobe(id, now);
        true
    }

    fn reschedule(&mut self, id: Id, target: &Target, now: Instant) {
        let first = self.first_due(target, Spread::default(), now);
        if let Some(entry) = self.index.get_mut(id) {
            entry.reschedule(now + first.tick, first.early.map(|early| now + early));
            self.due_queue.push_all(entry.tick(), entry.planned(), id);
        }
    }

    fn insert(&mut self, target: Arc<Target>, spread: Spread, now: Instant) {
        let first = self.first_due(&target, spread, now);
        let entry = ScheduledTarget::new(target, now + first.tick, first.early.map(|early| now + early));
        let (tick, planned) = (entry.tick(), entry.planned());
        let id = self.index.insert(entry);
        self.due_queue.push_all(tick, planned, id);
    }

    /// Removes a target and aborts its probe, which must not count for a later target of the same name.
    fn remove(&mut self, id: Id) {
        let Some(entry) = self.index.remove(id) else { return };
        self.loans.revoke(id);
        if let Some(probe) = self.running.get(&id) {
            probe.task.abort();
        }
        self.end(id);
        if let Some(due) = entry.waiting_since() {
            let host = &entry.target().endpoint.host;
            self.wait_queue
                .remove(host, Waiting { due, id, last_probe: entry.last_probe() });
            self.wait_queue.unpark(host);
        }
    }

    /// Returns when a target is first due. The grid is pinned to the wall clock at the start; later changes of the
    /// clock do not move it.
    fn first_due(&self, target: &Target, spread: Spread, now: Instant) -> FirstDue {
        let elapsed = now.saturating_duration_since(self.origin);
        let wall = Timestamp::since_epoch(self.started_at.as_duration() + elapsed);
        FirstDue::at(wall, target.settings.cadence.interval(), schedule::seed(&target.name, &self.machine), spread)
    }
}

/// A target has at most two items in the due queue that are not stale. With more than four per target, at least half
/// are stale.
pub(super) const MAX_ITEMS_PER_TARGET: usize = 4;

/// With fewer items, a search for stale ones is not worthwhile.
pub(super) const MAX_ITEMS_IN_ADDITION: usize = 16;
