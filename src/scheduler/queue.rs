//! The queue: what is due when, and which probes wait for a limit.
//!
//! Entries of both are never searched for: one that has become stale (its target is gone or was moved) is recognised
//! by its owner when it comes up, and dropped.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use tokio::time::Instant;

use super::entries::Id;
use crate::target::Host;

/// What is due when.
#[derive(Debug, Default)]
pub(super) struct Agenda(BinaryHeap<Reverse<(Instant, Id)>>);

impl Agenda {
    pub(super) fn push(&mut self, due: Instant, id: Id) {
        self.0.push(Reverse((due, id)));
    }

    /// Adds a target's next due time and, where it has one, an earlier probe.
    pub(super) fn push_all(&mut self, due: Instant, planned: Option<Instant>, id: Id) {
        self.push(due, id);
        if let Some(planned) = planned {
            self.push(planned, id);
        }
    }

    /// How many entries there are, stale ones included.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops the entries of targets that are gone.
    pub(super) fn retain(&mut self, keep: impl Fn(Id) -> bool) {
        self.0.retain(|Reverse((_, id))| keep(*id));
    }

    /// The earliest due time.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the earliest entry, if it is due by `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Id)> {
        self.first().filter(|due| *due <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

/// Probes that have met a limit, first due first.
///
/// Those that wait for their own host stand apart, so that a host with thousands of ports does not have to be passed
/// over each time that another host's turn comes.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    ready: BTreeSet<(Instant, Id)>,
    parked: HashMap<Host, BTreeSet<(Instant, Id)>>,
}

impl Waiting {
    /// Adds a probe that waits for a limit of all.
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
    use std::time::Duration;

    use slotmap::KeyData;

    use super::*;

    fn id(number: u64) -> Id {
        KeyData::from_ffi(number).into()
    }

    #[test]
    fn what_is_due_comes_in_order_and_not_before() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.push(now + Duration::from_secs(2), id(1));
        agenda.push(now, id(2));
        agenda.push(now + Duration::from_secs(1), id(3));
        assert_eq!(agenda.pop_due(now), Some((now, id(2))));
        assert_eq!(agenda.pop_due(now), None);
        assert_eq!(agenda.first(), Some(now + Duration::from_secs(1)));
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
