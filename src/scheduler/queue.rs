//! The queues: the due times of all targets, and the due probes that wait for a limit.
//!
//! An item of the due queue becomes stale if its target is removed or moves to another grid. The scheduler does not
//! search for it: it drops a stale item when it is due, or all of them once they are the majority.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::index::Id;
use super::schedule;
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

/// Due probes that wait to start, in order of their due times.
///
/// Probes that wait for the limit of their host are parked separately, so that a host with thousands of ports does not
/// slow down the search for the next probe.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    ready: BTreeSet<(Instant, Id)>,
    parked: HashMap<Host, BTreeSet<(Instant, Id)>>,
}

impl WaitQueue {
    /// Adds a probe that can start as soon as the global limits allow it.
    pub(super) fn push(&mut self, due: Instant, id: Id) {
        self.ready.insert((due, id));
    }

    /// Adds a probe that waits for another probe of its host to end.
    pub(super) fn park(&mut self, host: &Host, due: Instant, id: Id) {
        self.parked.entry(host.clone()).or_default().insert((due, id));
    }

    /// Makes the first parked probe of `host` ready again.
    pub(super) fn unpark(&mut self, host: &Host) {
        let Some(parked) = self.parked.get_mut(host) else { return };
        self.ready.extend(parked.pop_first());
        if parked.is_empty() {
            self.parked.remove(host);
        }
    }

    /// Makes all parked probes ready again.
    pub(super) fn unpark_all(&mut self) {
        self.ready.extend(self.parked.drain().flat_map(|(_, parked)| parked));
    }

    /// Removes a probe whose target was removed.
    pub(super) fn remove(&mut self, host: &Host, due: Instant, id: Id) {
        self.ready.remove(&(due, id));
        if let Some(parked) = self.parked.get_mut(host) {
            parked.remove(&(due, id));
            if parked.is_empty() {
                self.parked.remove(host);
            }
        }
    }

    /// Removes and returns the first ready probe.
    pub(super) fn pop(&mut self) -> Option<(Instant, Id)> {
        self.ready.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use slotmap::KeyData;

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

    #[test]
    fn the_earliest_due_probe_starts_first() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        queue.push(now + Duration::from_secs(2), id(1));
        queue.push(now + Duration::from_secs(1), id(2));
        assert_eq!(ids(queue), [id(2), id(1)]);
    }

    #[test]
    fn parked_probes_do_not_delay_other_hosts() {
        let now = Instant::now();
        let busy = Host::Ipv4([127, 0, 0, 1].into());
        let mut queue = WaitQueue::default();
        queue.park(&busy, now, id(1));
        queue.park(&busy, now + Duration::from_secs(1), id(2));
        queue.push(now + Duration::from_secs(2), id(3));
        assert_eq!(queue.pop().map(|(_, id)| id), Some(id(3)));
        queue.unpark(&busy);
        assert_eq!(queue.pop().map(|(_, id)| id), Some(id(1)));
        queue.unpark(&busy);
        queue.unpark(&busy);
        assert!(queue.parked.is_empty());
        assert_eq!(ids(queue), [id(2)]);
    }

    /// Returns the ready probes in order.
    fn ids(mut queue: WaitQueue) -> Vec<Id> {
        iter::from_fn(|| queue.pop().map(|(_, id)| id)).collect()
    }
}
