//! The rules that turn results into a confirmed state.

use crate::outcome::Fault;
use crate::target::Confirm;

/// The confirmed state of a target.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    /// Enough failed probes in a row.
    Down,
    /// Not enough results yet.
    #[default]
    Unknown,
    /// Enough successful probes in a row.
    Up,
}

impl State {
    /// Returns the state with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Down, Self::Unknown, Self::Up]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// Returns the name in logs and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Up => "up",
        }
    }
}

/// A state with the number of consecutive results that contradict it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Confirmation {
    state: State,
    /// Consecutive failed probes while up or unknown, consecutive successful ones while down.
    against: u32,
}

impl Confirmation {
    /// Creates a confirmed state.
    pub(super) const fn of(state: State) -> Self {
        Self { state, against: 0 }
    }

    /// Applies the result of a probe. Returns the previous state if the state has changed.
    ///
    /// - One successful probe changes unknown to up.
    /// - `failures` consecutive failed probes change unknown or up to down.
    /// - `successes` consecutive successful probes change down to up.
    /// - A result that agrees with the state resets the count.
    pub(super) fn observe(&mut self, result: &Result<(), Fault>, rule: &Confirm) -> Option<State> {
        let (needed, to) = match (self.state, result) {
            (State::Unknown, Ok(())) => (1, State::Up),
            (State::Unknown | State::Up, Err(_)) => (rule.failures.get(), State::Down),
            (State::Down, Ok(())) => (rule.successes.get(), State::Up),
            (State::Up, Ok(())) | (State::Down, Err(_)) => {
                self.against = 0;
                return None;
            }
        };
        self.against = self.against.saturating_add(1);
        if self.against < needed {
            return None;
        }
        self.against = 0;
        Some(std::mem::replace(&mut self.state, to))
    }

    /// Returns the confirmed state.
    pub(super) const fn state(self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::outcome::{Class, Phase};

    fn result(success: bool) -> Result<(), Fault> {
        if success { Ok(()) } else { Err(Fault::failure(Phase::Connect, Class::Refused, String::new())) }
    }

    fn rule(failures: u32, successes: u32) -> Confirm {
        Confirm {
            failures: NonZeroU32::new(failures).unwrap(),
            successes: NonZeroU32::new(successes).unwrap(),
            ..Confirm::default()
        }
    }

    fn states(rule: &Confirm, results: &str) -> Vec<State> {
        let mut confirmation = Confirmation::default();
        results
            .chars()
            .map(|character| {
                confirmation.observe(&result(character == '+'), rule);
                confirmation.state()
            })
            .collect()
    }

    #[test]
    fn states_follow_the_rules() {
        use State::{Down, Unknown, Up};
        for (failures, successes, results, expected) in [
            (2, 1, "+", vec![Up]),
            (2, 1, "-", vec![Unknown]),
            (2, 1, "--", vec![Unknown, Down]),
            (2, 1, "-+", vec![Unknown, Up]),
            (2, 1, "+-+-", vec![Up, Up, Up, Up]),
            (2, 1, "+--+", vec![Up, Up, Down, Up]),
            (1, 1, "+-+", vec![Up, Down, Up]),
            (1, 2, "-+-++", vec![Down, Down, Down, Down, Up]),
            (3, 3, "+----+++", vec![Up, Up, Up, Down, Down, Down, Down, Up]),
        ] {
            assert_eq!(states(&rule(failures, successes), results), expected, "{failures} {successes} {results}");
        }
    }

    proptest! {
        /// The model looks at all past results instead of counting.
        #[test]
        fn states_equal_a_plain_model(
            failures in 1_u32..5,
            successes in 1_u32..5,
            results in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let rule = rule(failures, successes);
            let mut confirmation = Confirmation::default();
            let mut model = State::Unknown;
            for seen in 1..=results.len() {
                let past = &results[..seen];
                confirmation.observe(&result(past[seen - 1]), &rule);
                let last = |n: u32, success| {
                    past.len() >= n as usize && past.iter().rev().take(n as usize).all(|result| *result == success)
                };
                model = match model {
                    State::Unknown if last(1, true) => State::Up,
                    State::Unknown | State::Up if last(failures, false) => State::Down,
                    State::Down if last(successes, true) => State::Up,
                    unchanged => unchanged,
                };
                prop_assert_eq!(confirmation.state(), model);
            }
        }
    }
}
