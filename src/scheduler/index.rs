//! The index of all scheduled targets by ID and by name.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use slotmap::{SlotMap, new_key_type};

use super::scheduled_target::ScheduledTarget;
use crate::target::TargetName;

new_key_type! {
    /// The ID of a target in the scheduler. It is never reused.
    pub(super) struct Id;
}

/// All scheduled targets. Names are not stored a second time, which saves 30 MB with a million targets.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: SlotMap<Id, ScheduledTarget>,
    names: HashTable<Id>,
    hasher: RandomState,
}

impl Index {
    /// Returns the number of targets.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the target with this ID; `None` if it was removed.
    pub(super) fn get(&self, id: Id) -> Option<&ScheduledTarget> {
        self.slots.get(id)
    }

    /// Returns the target with this ID, mutable.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut ScheduledTarget> {
        self.slots.get_mut(id)
    }

    /// Returns the ID of the target with this name.
    pub(super) fn find(&self, name: &TargetName) -> Option<Id> {
        self.names
            .find(self.hasher.hash_one(name), |id| is_named(&self.slots, *id, name))
            .copied()
    }

    /// Adds a target. Its name must be new.
    pub(super) fn insert(&mut self, entry: ScheduledTarget) -> Id {
        let hash = self.hasher.hash_one(&entry.target().name);
        let id = self.slots.insert(entry);
        let (slots, hasher) = (&self.slots, &self.hasher);
        // A growing table needs all hashes again. Every ID in it has a slot, so the 0 is never used.
        self.names
            .insert_unique(hash, id, |id| slots.get(*id).map_or(0, |entry| hasher.hash_one(&entry.target().name)));
        id
    }

    /// Removes a target.
    pub(super) fn remove(&mut self, id: Id) -> Option<ScheduledTarget> {
        let name = &self.slots.get(id)?.target().name;
        if let Ok(named) = self.names.find_entry(self.hasher.hash_one(name), |other| *other == id) {
            named.remove();
        }
        self.slots.remove(id)
    }
}

fn is_named(slots: &SlotMap<Id, ScheduledTarget>, id: Id, name: &TargetName) -> bool {
    slots.get(id).is_some_and(|entry| entry.target().name == *name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::target::{Settings, example};

    fn entry(number: u16) -> ScheduledTarget {
        ScheduledTarget::new(Arc::new(example(&format!("a:{number}"), Settings::default())), Instant::now(), None)
    }

    #[test]
    fn each_target_is_found_by_name() {
        let (index, ids) = filled();
        for (number, id) in (1..1000).zip(ids) {
            assert_eq!(index.find(&entry(number).target().name), Some(id));
        }
    }

    #[test]
    fn a_removed_target_is_not_found() {
        let (mut index, ids) = filled();
        assert!(index.remove(ids[6]).is_some() && index.remove(ids[6]).is_none());
        assert_eq!(index.find(&entry(7).target().name), None);
        assert_eq!((index.len(), index.get(ids[6]).is_some()), (998, false));
    }

    #[test]
    fn an_id_is_never_reused() {
        let mut index = Index::default();
        let removed = index.insert(entry(7));
        index.remove(removed);
        let added = index.insert(entry(7));
        assert_eq!(index.find(&entry(7).target().name), Some(added));
        assert!(added != removed && index.get_mut(removed).is_none() && index.get_mut(added).is_some());
    }

    /// Returns an index with the targets 1 to 999.
    fn filled() -> (Index, Vec<Id>) {
        let mut index = Index::default();
        let ids = (1..1000).map(|number| index.insert(entry(number))).collect();
        (index, ids)
    }
}
