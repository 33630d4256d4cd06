//! The queue: what is due when, and which probes wait for a limit.
//!
//! Items of the agenda are not searched for: one that has become stale (its target is gone or was moved) is recognised
//! by its owner when it comes up, and dropped; all stale ones together once they are the most.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::index::Id;
use super::schedule;
use crate::target::Host;

/// What is due when, in batches: what is due close together starts together.
///
/// A batch is a list, and adding to it or taking it costs the same however many targets there are; a heap of a hundred
/// thousand would be most of what this program itself does for a probe.
#[derive(Debug)]
pub(super) struct Agenda {
    origin: Instant,
    batches: BTreeMap<u64, Vec<Item>>,
    len: usize,
}

/// Twelve bytes, for there is one of each target.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Item {
    /// By how many nanoseconds it is due before its batch starts.
    ahead: u32,
    id: Id,
}

impl Agenda {
    /// An empty one, whose batches are counted from `origin`; nothing is due before that.
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, batches: BTreeMap::new(), len: 0 }
    }

    pub(super) fn push(&mut self, due: Instant, id: Id) {
        let number = schedule::batch(due, self.origin);
        let ahead = schedule::batch_start(number, self.origin).saturating_duration_since(due).as_nanos();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.batches.entry(number).or_default().push(Item { ahead, id });
        self.len += 1;
    }

    /// Adds a target's next due time and, where it has one, an earlier probe.
    pub(super) fn push_all(&mut self, due: Instant, planned: Option<Instant>, id: Id) {
        self.push(due, id);
        if let Some(planned) = planned {
            self.push(planned, id);
        }
    }

    /// How many items there are, stale ones included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Drops all but those which are to be kept, by when they are due and whose they are; of equal ones one is kept, for a
    /// target may have come back to the due time that it had before.
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

    /// When the first batch starts.
    pub(super) fn first_start(&self) -> Option<Instant> {
        self.batches.first_key_value().map(|(number, _)| schedule::batch_start(*number, self.origin))
    }

    /// Takes the first batch, if it starts by `now`: who is due, and when exactly.
    pub(super) fn pop_started(&mut self, now: Instant) -> Option<impl Iterator<Item = (Instant, Id)> + use<>> {
        let start = self.first_start().filter(|start| *start <= now)?;
        let (_, batch) = self.batches.pop_first()?;
        self.len -= batch.len();
        Some(batch.into_iter().map(move |item| (item.due(start), item.id)))
    }
}

impl Item {
    /// When it is due, its batch starting then.
    fn due(self, start: Instant) -> Instant {
        start - Duration::from_nanos(self.ahead.into())
    }
}

/// Probes that are due and wait for their turn, first due first.
///
/// Those that wait for their own host stand apart, so that a host with thousands of ports does not have to be passed
/// over each time that another host's turn comes.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    ready: BTreeSet<(Instant, Id)>,
    parked: HashMap<Host, BTreeSet<(Instant, Id)>>,
}

impl Waiting {
    /// Adds a probe that may start as soon as no limit of all holds it back.
    pub(super) fn push(&mut self, due: Instant, id: Id) {
        self.ready.insert((due, id));
    }

    /// Adds a probe that waits for others of its host to end.
    pub(super) fn park(&mut self, host: &Host, due: Instant, id: Id) {
        self.parked.entry(host.clone()).or_default().insert((due, id));
    }

    /// Lets the first of those that wait for `host` try again.
    pub(super) fn unpark(&mut self, host: &Host) {
        let Some(parked) = self.parked.get_mut(host) else { return };
        self.ready.extend(parked.pop_first());
        if parked.is_empty() {
            self.parked.remove(host);
        }
    }

    /// Lets everybody try again.
    pub(super) fn unpark_all(&mut self) {
        self.ready.extend(self.parked.drain().flat_map(|(_, parked)| parked));
    }

    /// Takes out a probe whose target is gone.
    pub(super) fn remove(&mut self, host: &Host, due: Instant, id: Id) {
        self.ready.remove(&(due, id));
        if let Some(parked) = self.parked.get_mut(host) {
            parked.remove(&(due, id));
            if parked.is_empty() {
                self.parked.remove(host);
            }
        }
    }

    /// Takes the first of those that may try.
    pub(super) fn pop(&mut self) -> Option<(Instant, Id)> {
        self.ready.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::KeyData;

    use super::*;

    fn id(number: u64) -> Id {
        KeyData::from_ffi(number).into()
    }

    #[test]
    fn what_is_due_comes_with_its_batch_and_not_before() {
        let origin = Instant::now();
        let after = |micros| origin + Duration::from_micros(micros);
        let mut agenda = Agenda::new(origin);
        for (due, number) in [(23_000, 1), (1_001, 2), (7_999, 3), (0, 4), (8_000, 5)] {
            agenda.push(after(due), id(number));
        }
        let mut started = |now| agenda.pop_started(now).map(Iterator::collect::<Vec<_>>);
        assert_eq!(started(origin), Some(vec![(origin, id(4))]));
        assert_eq!(started(after(7_999)), None);
        let batch = vec![(after(1_001), id(2)), (after(7_999), id(3)), (after(8_000), id(5))];
        assert_eq!(started(after(8_000)), Some(batch));
        assert_eq!((agenda.first_start(), agenda.len()), (Some(after(24_000)), 1));
        agenda.retain(|due, _| due < after(23_000));
        assert_eq!((agenda.first_start(), agenda.len()), (None, 0));
    }

    #[test]
    fn first_due_is_first_served_and_a_busy_host_stands_apart() {
        let now = Instant::now();
        let busy = Host::Ipv4([127, 0, 0, 1].into());
        let mut waiting = Waiting::default();
        waiting.park(&busy, now, id(1));
        waiting.park(&busy, now + Duration::from_secs(1), id(2));
        waiting.push(now + Duration::from_secs(3), id(3));
        waiting.push(now + Duration::from_secs(2), id(4));
        assert_eq!(waiting.pop().map(|(_, id)| id), Some(id(4)));
        waiting.unpark(&busy);
        assert_eq!(waiting.pop().map(|(_, id)| id), Some(id(1)));
        waiting.unpark(&busy);
        waiting.unpark(&busy);
        assert_eq!(waiting.pop().map(|(_, id)| id), Some(id(2)));
        assert_eq!(waiting.pop().map(|(_, id)| id), Some(id(3)));
        assert!(waiting.pop().is_none() && waiting.parked.is_empty());
    }
}
