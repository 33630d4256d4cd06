//! The targets of the scheduler, by number and by name.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use slotmap::{SlotMap, new_key_type};

use super::scheduled::Entry;
use crate::target::TargetName;

new_key_type! {
    /// A target's number in the scheduler; never used twice.
    pub(super) struct Id;
}

/// Every target's entry. A name stands nowhere but in its target: with a million targets that saves some 30 MB.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: SlotMap<Id, Entry>,
    names: HashTable<Id>,
    hasher: RandomState,
}

impl Entries {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The entry of this number, where its target is not gone.
    pub(super) fn get(&self, id: Id) -> Option<&Entry> {
        self.slots.get(id)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.slots.get_mut(id)
    }

    /// The number of the target of this name.
    pub(super) fn find(&self, name: &TargetName) -> Option<Id> {
        self.names.find(self.hasher.hash_one(name), |id| is_named(&self.slots, *id, name)).copied()
    }

    /// Adds a target whose name none has.
    pub(super) fn insert(&mut self, entry: Entry) -> Id {
        let hash = self.hasher.hash_one(&entry.target().name);
        let id = self.slots.insert(entry);
        let (slots, hasher) = (&self.slots, &self.hasher);
        // A table that grows asks for the hashes of all; whoever is in it has an entry.
        self.names
            .insert_unique(hash, id, |id| slots.get(*id).map_or(0, |entry| hasher.hash_one(&entry.target().name)));
        id
    }

    /// Takes a target out.
    pub(super) fn remove(&mut self, id: Id) -> Option<Entry> {
        let name = &self.slots.get(id)?.target().name;
        if let Ok(named) = self.names.find_entry(self.hasher.hash_one(name), |other| *other == id) {
            named.remove();
        }
        self.slots.remove(id)
    }
}

fn is_named(slots: &SlotMap<Id, Entry>, id: Id, name: &TargetName) -> bool {
    slots.get(id).is_some_and(|entry| entry.target().name == *name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::target::{Settings, example};

    fn entry(number: u16) -> Entry {
        Entry::new(Arc::new(example(&format!("a:{number}"), Settings::default())), Instant::now(), None)
    }

    #[test]
    fn each_name_leads_to_its_entry_and_no_number_comes_twice() {
        let mut entries = Entries::default();
        let ids: Vec<_> = (1..1000).map(|number| entries.insert(entry(number))).collect();
        for (number, id) in (1..1000).zip(&ids) {
            assert_eq!(entries.find(&entry(number).target().name), Some(*id));
        }
        let name = entry(7).target().name.clone();
        assert!(entries.remove(ids[6]).is_some() && entries.remove(ids[6]).is_none());
        assert_eq!((entries.find(&name), entries.len(), entries.get(ids[6]).is_some()), (None, 998, false));
        let again = entries.insert(entry(7));
        assert_eq!(entries.find(&name), Some(again));
        assert!(again != ids[6] && entries.get_mut(ids[6]).is_none() && entries.get_mut(again).is_some());
    }
}
