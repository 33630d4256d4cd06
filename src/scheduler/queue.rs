//! The queues: the due times of all targets, and the due probes that wait for a limit.
//!
//! An item of the due queue becomes stale if its target is removed or moves to another grid. The scheduler does not
//! search for it: it drops a stale item when it is due, or all of them once they are the majority.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::index::Id;
use super::schedule;
use super::scheduled_target::LastProbe;
use crate::target::Host;

/// Due times in batches: probes with due times close to each other start together.
///
/// A batch is a list, so the cost of an item does not depend on the number of targets. With 100,000 items, a heap would
/// be most of the cost of a probe.
#[derive(Debug)]
pub(super) struct DueQueue {
    origin: Instant,
    batches: BTreeMap<u64, Vec<Item>>,
    len: usize,
}

/// A due time in twelve bytes, because every target has one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Item {
    /// Nanoseconds from the due time to the start of the batch.
    ahead: u32,
    id: Id,
}

impl DueQueue {
    /// Creates an empty queue whose batches are counted from `origin`. Nothing is due before that.
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, batches: BTreeMap::new(), len: 0 }
    }

    pub(super) fn push(&mut self, due: Instant, id: Id) {
        let number = schedule::batch(due, self.origin);
        let ahead = schedule::batch_start(number, self.origin)
            .saturating_duration_since(due)
            .as_nanos();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.batches.entry(number).or_default().push(Item { ahead, id });
        self.len += 1;
    }

    /// Adds the next due time of a target and its planned probe, if it has one.
    pub(super) fn push_all(&mut self, due: Instant, planned: Option<Instant>, id: Id) {
        self.push(due, id);
        if let Some(planned) = planned {
            self.push(planned, id);
        }
    }

    /// Returns the number of items, including stale ones.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Keeps the items that satisfy `keep` and drops duplicates, which exist if a target has returned to an earlier due
    /// time.
    pub(super) fn retain(&mut self, keep: impl Fn(Instant, Id) -> bool) {
        let origin = self.origin;
        self.batches.retain(|number, batch| {
            let start = schedule::batch_start(*number, origin);
            batch.retain(|item| keep(item.due(start), item.id));
            batch.sort_unstable();
            batch.dedup();
            !batch.is_empty()
        });
        self.len = self.batches.values().map(Vec::len).sum();
    }

    /// Returns when the first batch starts.
    pub(super) fn first_start(&self) -> Option<Instant> {
        self.batches
            .first_key_value()
            .map(|(number, _)| schedule::batch_start(*number, self.origin))
    }

    /// Removes the first batch if it starts by `now`, and returns its due times and targets.
    pub(super) fn pop_started(&mut self, now: Instant) -> Option<impl Iterator<Item = (Instant, Id)> + use<>> {
        let start = self.first_start().filter(|start| *start <= now)?;
        let (_, batch) = self.batches.pop_first()?;
        self.len -= batch.len();
        Some(batch.into_iter().map(move |item| (item.due(start), item.id)))
    }
}

impl Item {
    /// Returns the due time, given the start of the batch.
    fn due(self, start: Instant) -> Instant {
        start - Duration::from_nanos(self.ahead.into())
    }
}

/// A due probe that waits to start. The earliest is the first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Waiting {
    pub(super) due: Instant,
    pub(super) id: Id,
    /// The last probe of its target.
    pub(super) last_probe: LastProbe,
}

/// Due probes that wait to start, in order of their due times.
///
/// Probes that wait for the limit of their host are parked separately, so that a host with thousands of ports does not
/// slow down the search for the next probe.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    ready: Lines,
    parked: HashMap<Host, Lines>,
}

impl WaitQueue {
    /// Adds a probe that can start as soon as the global limits allow it.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.ready.insert(waiting);
    }

    /// Adds a probe that waits for another probe of its host to end.
    pub(super) fn park(&mut self, host: &Host, waiting: Waiting) {
        self.parked.entry(host.clone()).or_default().insert(waiting);
    }

    /// Makes the first parked probes of `host` ready again, one of each line, because the limit may allow only one.
    pub(super) fn unpark(&mut self, host: &Host) {
        let Some(parked) = self.parked.get_mut(host) else { return };
        for waiting in [parked.in_time.pop_first(), parked.not_in_time.pop_first()]
            .into_iter()
            .flatten()
        {
            self.ready.insert(waiting);
        }
        if parked.is_empty() {
            self.parked.remove(host);
        }
    }

    /// Makes all parked probes ready again.
    pub(super) fn unpark_all(&mut self) {
        for (_, mut parked) in self.parked.drain() {
            self.ready.in_time.append(&mut parked.in_time);
            self.ready.not_in_time.append(&mut parked.not_in_time);
        }
    }

    /// Removes a probe whose target was removed.
    pub(super) fn remove(&mut self, host: &Host, waiting: Waiting) {
        self.ready.remove(waiting);
        if let Some(parked) = self.parked.get_mut(host) {
            parked.remove(waiting);
            if parked.is_empty() {
                self.parked.remove(host);
            }
        }
    }

    /// Returns whether no probe waits, except for the limit of its host.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Removes and returns the first ready probe of a line, if there is a place for it; otherwise that of the other line.
    pub(super) fn pop(&mut self, has_place: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let firsts = [self.ready.in_time.first(), self.ready.not_in_time.first()];
        let waiting = *firsts.into_iter().flatten().filter(|first| has_place(first)).min()?;
        self.ready.remove(waiting);
        Some(waiting)
    }
}

/// Waiting probes in two lines, because one line can stand still while the other moves.
#[derive(Debug, Default)]
struct Lines {
    in_time: BTreeSet<Waiting>,
    not_in_time: BTreeSet<Waiting>,
}

impl Lines {
    fn insert(&mut self, waiting: Waiting) {
        self.line(waiting.last_probe).insert(waiting);
    }

    fn remove(&mut self, waiting: Waiting) {
        self.line(waiting.last_probe).remove(&waiting);
    }

    fn line(&mut self, last_probe: LastProbe) -> &mut BTreeSet<Waiting> {
        match last_probe {
            LastProbe::InTime => &mut self.in_time,
            LastProbe::NotInTime => &mut self.not_in_time,
        }
    }

    fn is_empty(&self) -> bool {
        self.in_time.is_empty() && self.not_in_time.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use slotmap::KeyData;

    use super::LastProbe::{InTime, NotInTime};
    use super::*;

    fn id(number: u64) -> Id {
        KeyData::from_ffi(number).into()
    }

    #[test]
    fn items_start_with_their_batch() {
        let origin = Instant::now();
        let after = |micros| origin + Duration::from_micros(micros);
        let mut queue = DueQueue::new(origin);
        for (due, number) in [(23_000, 1), (1_001, 2), (7_999, 3), (0, 4), (8_000, 5)] {
            queue.push(after(due), id(number));
        }
        let mut started = |now| queue.pop_started(now).map(Iterator::collect::<Vec<_>>);
        assert_eq!(started(origin), Some(vec![(origin, id(4))]));
        assert_eq!(started(after(7_999)), None);
        let batch = vec![(after(1_001), id(2)), (after(7_999), id(3)), (after(8_000), id(5))];
        assert_eq!(started(after(8_000)), Some(batch));
        assert_eq!((queue.first_start(), queue.len()), (Some(after(24_000)), 1));
        queue.retain(|due, _| due < after(23_000));
        assert_eq!((queue.first_start(), queue.len()), (None, 0));
    }

    fn waiting(due: Instant, number: u64, last_probe: LastProbe) -> Waiting {
        Waiting { due, id: id(number), last_probe }
    }

    #[test]
    fn the_earliest_due_probe_starts_first() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        queue.push(waiting(now + Duration::from_secs(3), 1, NotInTime));
        queue.push(waiting(now + Duration::from_secs(2), 2, InTime));
        queue.push(waiting(now + Duration::from_secs(1), 3, NotInTime));
        assert_eq!(ids(queue), [id(3), id(2), id(1)]);
    }

    #[test]
    fn a_line_without_a_place_does_not_delay_the_other() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        queue.push(waiting(now, 1, NotInTime));
        queue.push(waiting(now + Duration::from_secs(1), 2, InTime));
        let in_time = |waiting: &Waiting| waiting.last_probe == InTime;
        assert_eq!(queue.pop(in_time).map(|waiting| waiting.id), Some(id(2)));
        assert_eq!(queue.pop(in_time), None);
        assert_eq!(ids(queue), [id(1)]);
    }

    #[test]
    fn parked_probes_do_not_delay_other_hosts() {
        let now = Instant::now();
        let busy = Host::Ipv4([127, 0, 0, 1].into());
        let mut queue = WaitQueue::default();
        queue.park(&busy, waiting(now, 1, InTime));
        queue.park(&busy, waiting(now + Duration::from_secs(1), 2, InTime));
        queue.park(&busy, waiting(now + Duration::from_secs(1), 4, NotInTime));
        queue.push(waiting(now + Duration::from_secs(2), 3, InTime));
        assert_eq!(queue.pop(|_| true).map(|waiting| waiting.id), Some(id(3)));
        queue.unpark(&busy);
        assert_eq!(queue.pop(|_| true).map(|waiting| waiting.id), Some(id(1)));
        assert_eq!(queue.pop(|_| true).map(|waiting| waiting.id), Some(id(4)));
        queue.unpark(&busy);
        queue.unpark(&busy);
        assert!(queue.parked.is_empty());
        assert_eq!(ids(queue), [id(2)]);
    }

    /// Returns the ready probes in order.
    fn ids(mut queue: WaitQueue) -> Vec<Id> {
        iter::from_fn(|| queue.pop(|_| true).map(|waiting| waiting.id)).collect()
    }
}
