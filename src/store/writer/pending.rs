//! Changes that are not written yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use crate::board::{DayFigures, TargetRecord, Transition};
use crate::clock::Timestamp;
use crate::outcome::PeerCertificates;
use crate::target::TargetName;

/// Everything that the next transaction writes.
///
/// Its size is bounded by the number of targets, and by [`MAX_TRANSITIONS`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) transitions: VecDeque<Transition>,
    pub(super) records: HashMap<TargetName, TargetRecord>,
    /// Targets that are absent, and since when.
    pub(super) removed: HashMap<TargetName, Timestamp>,
    /// The certificates that were written last. They are long and rarely change.
    written_certificates: HashMap<TargetName, Weak<PeerCertificates>>,
}

impl Pending {
    /// Adds the record of a target that the board has.
    pub(super) fn add(&mut self, record: TargetRecord) {
        self.removed.remove(&record.target.name);
        self.merge(record);
    }

    /// Adds the last record of a target that the board no longer has.
    pub(super) fn remove(&mut self, record: TargetRecord, at: Timestamp) {
        self.written_certificates.remove(&record.target.name);
        self.removed.insert(record.target.name.clone(), at);
        self.merge(record);
    }

    /// Adds a change of state. If the target is already removed, it stays so.
    pub(super) fn change(&mut self, transition: Transition, is_removed: bool) {
        if is_removed {
            self.removed.entry(transition.target.name.clone()).or_insert(transition.at);
        }
        if let Some(record) = self.records.get_mut(&transition.target.name) {
            // Taken before the change, but written after it.
            record.state = transition.to;
            record.since = Some(transition.at);
            record.failure.clone_from(&transition.failure);
        }
        if self.transitions.len() >= MAX_TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// Returns the certificates of a record, unless they are those that were written last.
    pub(super) fn new_certificates<'a>(&self, record: &'a TargetRecord) -> Option<&'a Arc<PeerCertificates>> {
        let certificates = record.certificates.as_ref()?;
        let written = self.written_certificates.get(&record.target.name).and_then(Weak::upgrade);
        (!written.is_some_and(|written| Arc::ptr_eq(&written, certificates))).then_some(certificates)
    }

    /// Forgets everything that was written.
    pub(super) fn clear(&mut self) {
        for (name, record) in self.records.drain() {
            if let Some(certificates) = record.certificates.filter(|_| !self.removed.contains_key(&name)) {
                self.written_certificates.insert(name, Arc::downgrade(&certificates));
            }
        }
        self.transitions.clear();
        self.removed.clear();
    }

    /// Assumes that nothing was ever written.
    pub(super) fn forget_written(&mut self) {
        self.written_certificates.clear();
    }

    fn merge(&mut self, mut record: TargetRecord) {
        if let Some(before) = self.records.remove(&record.target.name) {
            record.days = merged(before.days, &record.days);
        }
        self.records.insert(record.target.name.clone(), record);
    }
}

/// Maximum number of changes of state that wait for a disk. The oldest are dropped first: incidents are then incomplete,
/// but the states are right, because the records have them, too.
const MAX_TRANSITIONS: usize = 100_000;

fn merged(mut days: Vec<DayFigures>, later: &[DayFigures]) -> Vec<DayFigures> {
    for figures in later {
        match days.iter_mut().find(|known| known.day == figures.day) {
            Some(known) => known.add(figures),
            None => days.push(*figures),
        }
    }
    days
}
