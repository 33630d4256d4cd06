//! Groups, counted on request from the states of their members.

use std::sync::Arc;

use super::confirm::State;
use crate::target::Group;

/// A group's members by state.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// The group.
    pub group: Arc<Group>,
    /// Number of members.
    pub members: u32,
    /// Number of members confirmed up.
    pub up: u32,
    /// Number of members whose state is unknown.
    pub unknown: u32,
}

impl GroupStatus {
    /// Creates the status of a group without members.
    pub fn new(group: Arc<Group>) -> Self {
        Self { group, members: 0, up: 0, unknown: 0 }
    }

    /// Counts one member.
    pub fn count(&mut self, state: State) {
        self.members += 1;
        match state {
            State::Down => {}
            State::Unknown => self.unknown += 1,
            State::Up => self.up += 1,
        }
    }

    /// Returns the number of members that must be up.
    pub fn needed(&self) -> u32 {
        self.group.quorum.needed(self.members)
    }

    /// Returns whether enough members are confirmed up; `None` while unknown members could still decide it.
    pub fn is_up(&self) -> Option<bool> {
        let needed = self.needed();
        if self.up >= needed {
            return Some(true);
        }
        (self.up + self.unknown < needed).then_some(false)
    }

    /// Returns the state: unknown while unknown members could still decide it.
    pub fn state(&self) -> State {
        match self.is_up() {
            Some(true) => State::Up,
            Some(false) => State::Down,
            None => State::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{GroupName, Labels, Quorum};

    fn is_up(quorum: Quorum, states: &[State]) -> Option<bool> {
        let name = GroupName::try_new("db").unwrap();
        let mut counted = GroupStatus::new(Arc::new(Group { name, quorum, labels: Labels::default() }));
        for state in states {
            counted.count(*state);
        }
        counted.is_up()
    }

    #[test]
    fn only_decisive_unknown_members_leave_a_group_unknown() {
        use State::{Down, Unknown, Up};
        for (quorum, states, expected) in [
            (Quorum::MinUp(1), vec![Up, Down], Some(true)),
            (Quorum::MinUp(1), vec![Up, Unknown], Some(true)),
            (Quorum::MinUp(1), vec![Down, Unknown], None),
            (Quorum::MinUp(1), vec![Down, Down], Some(false)),
            (Quorum::MinUp(2), vec![Up, Down, Unknown], None),
            (Quorum::MinUp(3), vec![Up, Down, Unknown], Some(false)),
            (Quorum::MaxDown(1), vec![Up, Up, Down], Some(true)),
            (Quorum::MaxDown(1), vec![Up, Down, Down], Some(false)),
            (Quorum::MaxDown(1), vec![Up, Down, Unknown], None),
            (Quorum::MaxDown(9), vec![Down], Some(true)),
        ] {
            assert_eq!(is_up(quorum, &states), expected, "{quorum:?} {states:?}");
        }
    }
}
