//! Shards: the division of targets between replicas.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::Target;
use crate::stable_hash;

/// One of several replicas, counted from 0. The default is a single replica.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    index: u32,
    count: NonZeroU32,
}

impl Shard {
    /// The replica `index` of `count`; `None` if the index is not below the count, or if the count exceeds the limit.
    pub fn try_new(index: u32, count: NonZeroU32) -> Option<Self> {
        (index < count.get() && count.get() <= MOST).then_some(Self { index, count })
    }

    /// The number of the replica, counted from 0.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The number of replicas.
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// Returns whether this replica probes a target. Exactly one of all replicas does.
    ///
    /// Uses rendezvous hashing (Thaler and Ravishankar, 1998) of the group, so that its members stay together, or of
    /// the name if there is no group. If a replica is added, only its own targets move.
    pub fn owns(self, target: &Target) -> bool {
        let key = target
            .group
            .as_ref()
            .map_or_else(|| target.name.as_str(), |group| group.name.as_str());
        self.owns_name(key)
    }

    /// As [`Self::owns`], for something that is not a target, such as an audit.
    pub fn owns_name(self, name: &str) -> bool {
        let key = stable_hash::of(name);
        let weight = |index: u32| stable_hash::mix(key ^ stable_hash::mix(u64::from(index)));
        (0..self.count.get()).max_by_key(|index| (weight(*index), *index)) == Some(self.index)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: NonZeroU32::MIN }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError)?;
        let (index, count) = (index.parse().map_err(|_| ShardError)?, count.parse().map_err(|_| ShardError)?);
        Self::try_new(index, count).ok_or(ShardError)
    }
}

/// The text is not a valid shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "is not a valid shard; must be I/N, the replica's number from 0 and the number of replicas (at most {MOST}), like 0/3"
)]
pub struct ShardError;

/// Bounds the time of a start: a weight is computed for each pair of target and replica.
const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::target::{Group, GroupName, Labels, Quorum, Settings, example};

    fn shard(index: u32, count: u32) -> Shard {
        Shard::try_new(index, NonZeroU32::new(count).unwrap()).unwrap()
    }

    fn owner(target: &Target, count: u32) -> u32 {
        let owners: Vec<_> = (0..count).filter(|index| shard(*index, count).owns(target)).collect();
        assert_eq!(owners.len(), 1, "{count} replicas, {target:?}");
        owners[0]
    }

    #[test]
    fn a_shard_has_a_number_and_a_total() {
        assert_eq!("2/3".parse(), Ok(shard(2, 3)));
        assert_eq!(shard(2, 3).to_string(), "2/3");
        for text in ["", "1", "3/3", "1/0", "-1/3", "1/3/5", "a/b", "0/10001", "0/4294967295"] {
            assert_eq!(text.parse::<Shard>(), Err(ShardError), "{text}");
        }
    }

    #[test]
    fn the_owner_is_the_same_in_every_version() {
        let owners: Vec<_> = (1..=12)
            .map(|port| owner(&example(&format!("h:{port}"), Settings::default()), 5))
            .collect();
        assert_eq!(owners, PINNED);
    }

    #[test]
    fn an_added_replica_moves_only_its_share() {
        let targets: Vec<_> = (1..=20_000)
            .map(|port| example(&format!("h{port}.example:1"), Settings::default()))
            .collect();
        for count in [1, 2, 3, 10] {
            let moved: Vec<_> = targets
                .iter()
                .filter(|target| owner(target, count) != owner(target, count + 1))
                .collect();
            assert!(moved.iter().all(|target| owner(target, count + 1) == count), "they move only to the new replica");
            let share = moved.len() as f64 / targets.len() as f64 * f64::from(count + 1);
            assert!((0.9..1.1).contains(&share), "{count} replicas: {share}");
        }
    }

    proptest! {
        #[test]
        fn a_group_stays_on_one_shard(
            name in "[a-z]{1,12}", other in "[a-z]{1,12}", group in "[a-z]{1,8}", count in 1_u32..20,
        ) {
            owner(&example(&format!("{name}:1"), Settings::default()), count);
            let name_of = GroupName::try_new(&group).unwrap();
            let group = Arc::new(Group { name: name_of, quorum: Quorum::default(), labels: Labels::default() });
            let member = |host: &str| Target { group: Some(group.clone()), ..example(&format!("{host}:1"), Settings::default()) };
            prop_assert_eq!(owner(&member(&name), count), owner(&member(&other), count));
        }
    }

    const PINNED: [u32; 12] = [1, 0, 2, 2, 0, 4, 4, 1, 3, 2, 0, 0];
}
