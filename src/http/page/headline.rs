//! The first sentence of the page, readable at a glance.

use crate::board::{State, StateCounts};

/// Whether all is well, in one sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Headline {
    /// Down if anything is down, up only if everything is.
    pub(super) state: State,
    pub(super) words: String,
}

impl Headline {
    /// Describes all targets.
    pub(super) fn of_all(counts: StateCounts) -> Self {
        Self::of(counts, "targets", "target")
    }

    /// Describes the targets that match a filter.
    pub(super) fn of_matching(counts: StateCounts) -> Self {
        Self::of(counts, "matching targets", "matching target")
    }

    fn of(counts: StateCounts, many: &str, one: &str) -> Self {
        let (state, words) = match counts {
            StateCounts { up: 0, down: 0, unknown: 0 } => (State::Unknown, format!("There are no {many}")),
            StateCounts { up: 0, down: 0, unknown: 1 } => (State::Unknown, format!("The only {one} has no result yet")),
            StateCounts { up: 0, down: 0, unknown } => {
                (State::Unknown, format!("None of {unknown} {many} has a result yet"))
            }
            StateCounts { up: 1, down: 0, unknown: 0 } => (State::Up, format!("The only {one} is up")),
            StateCounts { up, down: 0, unknown: 0 } => (State::Up, format!("All {up} {many} are up")),
            StateCounts { up, down: 0, unknown: 1 } => {
                (State::Unknown, format!("{up} of {} {many} are up, 1 is unknown", up + 1))
            }
            StateCounts { up, down: 0, unknown } => {
                (State::Unknown, format!("{up} of {} {many} are up, {unknown} are unknown", counts.total()))
            }
            StateCounts { up: 0, down: 1, unknown: 0 } => (State::Down, format!("The only {one} is down")),
            StateCounts { up: 0, down, unknown: 0 } => (State::Down, format!("All {down} {many} are down")),
            StateCounts { down: 1, .. } => (State::Down, format!("1 of {} {many} is down", counts.total())),
            StateCounts { down, .. } => (State::Down, format!("{down} of {} {many} are down", counts.total())),
        };
        Self { state, words }
    }
}

/// Returns whether so many targets are down that the fault may be on this machine or its network.
pub(super) const fn may_be_own_fault(counts: StateCounts) -> bool {
    counts.down > 1 && counts.down > counts.up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_is_one_sentence() {
        for ((up, down, unknown), state, words) in [
            ((0, 0, 0), State::Unknown, "There are no targets"),
            ((0, 0, 1), State::Unknown, "The only target has no result yet"),
            ((0, 0, 9), State::Unknown, "None of 9 targets has a result yet"),
            ((23, 0, 0), State::Up, "All 23 targets are up"),
            ((1, 0, 0), State::Up, "The only target is up"),
            ((22, 0, 1), State::Unknown, "22 of 23 targets are up, 1 is unknown"),
            ((20, 3, 0), State::Down, "3 of 23 targets are down"),
            ((22, 1, 0), State::Down, "1 of 23 targets is down"),
            ((0, 1, 0), State::Down, "The only target is down"),
            ((0, 2, 0), State::Down, "All 2 targets are down"),
            ((0, 1, 1), State::Down, "1 of 2 targets is down"),
        ] {
            let counts = StateCounts { up, down, unknown };
            assert_eq!(Headline::of_all(counts), Headline { state, words: words.into() });
        }
        let few = Headline::of_matching(StateCounts { up: 3, down: 0, unknown: 0 });
        assert_eq!(few.words, "All 3 matching targets are up");
    }

    #[test]
    fn a_fault_is_its_own_if_most_targets_are_down() {
        for ((up, down), expected) in [((0, 1), false), ((1, 2), true), ((2, 2), false), ((0, 2), true)] {
            assert_eq!(may_be_own_fault(StateCounts { up, down, unknown: 5 }), expected, "{up} {down}");
        }
    }
}
