//! The last outcomes of a target, two bytes each, for its page.

use std::time::Duration;

use crate::outcome::Class;

/// A ring buffer of recent outcomes.
///
/// Its memory is allocated at the start. If it grew with each probe, it would fragment the heap between the short-lived
/// allocations of probes (measured: 2 KB per target with 100,000 targets).
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    entries: [Packed; Self::CAPACITY],
    /// Number of entries in use.
    len: u8,
    /// The index of the next outcome, which replaces the oldest one if the ring is full.
    next: u8,
}

impl History {
    /// Maximum number of outcomes.
    pub const CAPACITY: usize = 60;

    /// Adds an outcome.
    pub fn push(&mut self, recent: Recent) {
        if let Some(entry) = self.entries.get_mut(usize::from(self.next)) {
            *entry = Packed::from(recent);
        }
        self.next = (self.next + 1) % CAPACITY_U8;
        self.len = (self.len + 1).min(CAPACITY_U8);
    }

    /// Returns the outcomes, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Recent> + '_ {
        self.packed().map(|packed| packed.unpack())
    }

    /// Counts the failures.
    pub fn failed(&self) -> FailedOutcomes {
        let mut failed = FailedOutcomes { of: self.len, ..FailedOutcomes::default() };
        let mut is_after_failure = false;
        for packed in self.packed() {
            failed.count += u8::from(packed.is_failure());
            failed.runs += u8::from(packed.is_failure() && !is_after_failure);
            is_after_failure = packed.is_failure();
        }
        failed
    }

    fn packed(&self) -> impl Iterator<Item = &Packed> {
        let (newer, older) = self.entries.split_at(usize::from(self.next));
        let unused = Self::CAPACITY - usize::from(self.len);
        older.iter().chain(newer).skip(unused)
    }
}

impl Default for History {
    /// Creates an empty history.
    fn default() -> Self {
        Self { entries: [Packed::default(); Self::CAPACITY], len: 0, next: 0 }
    }
}

/// The part of an outcome that the page shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// The class of the failure; `None` for a success.
    pub failure: Option<Class>,
    /// Its duration, accurate to 1 %.
    pub duration: Duration,
}

/// Number of failures among the last outcomes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FailedOutcomes {
    /// Number of outcomes.
    pub of: u8,
    /// Number of failures.
    pub count: u8,
    /// Number of runs of failures without a success in between.
    pub runs: u8,
}

/// An outcome in two bytes: the class plus one, or 0 for success, in the high five bits, and the logarithm of the
/// duration in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Packed(u16);

impl From<Recent> for Packed {
    fn from(recent: Recent) -> Self {
        let kind = recent.failure.map_or(0, |class| class as u16 + 1);
        Self(kind << STEP_BITS | step(recent.duration))
    }
}

impl Packed {
    const fn is_failure(self) -> bool {
        self.0 >> STEP_BITS != 0
    }

    fn unpack(self) -> Recent {
        let kind = usize::from(self.0 >> STEP_BITS);
        Recent {
            failure: kind.checked_sub(1).and_then(|class| Class::ALL.get(class).copied()),
            duration: duration(self.0 & MAX_STEP),
        }
    }
}

/// Returns a duration in steps of 1/56 octave from 1 µs; 0 for shorter ones.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range")]
fn step(duration: Duration) -> u16 {
    let octaves = (duration.as_secs_f64() / SHORTEST).log2();
    (octaves * STEPS_AN_OCTAVE + 1.0).round().clamp(0.0, f64::from(MAX_STEP)) as u16
}

fn duration(step: u16) -> Duration {
    let Some(steps) = step.checked_sub(1) else { return Duration::ZERO };
    Duration::from_secs_f64(SHORTEST * (f64::from(steps) / STEPS_AN_OCTAVE).exp2())
}

// A packed outcome has five bits for the class plus one. Unpacking finds the class by its discriminant.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const _: () = {
    assert!(Class::ALL.len() < 32, "five bits hold 31 classes and 0 for success");
    let mut index = 0;
    while index < Class::ALL.len() {
        assert!(Class::ALL[index] as usize == index, "ALL must be in the order of the discriminants");
        index += 1;
    }
};

const STEP_BITS: u16 = 11;

const MAX_STEP: u16 = (1 << STEP_BITS) - 1;

/// In seconds.
const SHORTEST: f64 = 1e-6;

/// The highest step is longer than a day, the longest timeout.
const STEPS_AN_OCTAVE: f64 = 56.0;

#[expect(clippy::cast_possible_truncation, reason = "60 fits; a constant cannot use try_from")]
const CAPACITY_U8: u8 = History::CAPACITY as u8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest_outcomes_in_order() {
        let mut history = History::default();
        for seconds in 0..100 {
            history.push(Recent { failure: None, duration: Duration::from_secs(seconds) });
        }
        let kept: Vec<_> = history.iter().map(|recent| recent.duration).collect();
        assert_eq!(kept.len(), 60);
        for (kept, pushed) in kept.into_iter().zip((40..100).map(Duration::from_secs)) {
            assert!(kept.abs_diff(pushed) < pushed / 100, "{kept:?} {pushed:?}");
        }
    }

    #[test]
    fn failures_are_counted_in_runs() {
        let mut history = History::default();
        assert_eq!(history.failed(), FailedOutcomes::default());
        for failed in [true, true, false, true, false, false, true] {
            let failure = failed.then_some(Class::Refused);
            history.push(Recent { failure, duration: Duration::from_millis(1) });
        }
        assert_eq!(history.failed(), FailedOutcomes { of: 7, count: 4, runs: 3 });
    }

    #[test]
    fn two_bytes_hold_class_and_duration() {
        let mut history = History::default();
        for class in Class::ALL {
            let duration = Duration::from_micros(123_456);
            history.push(Recent { failure: Some(class), duration });
            let last = history.iter().last().unwrap();
            assert_eq!(last.failure, Some(class));
            assert!(last.duration.abs_diff(duration) < duration / 100, "{last:?}");
        }
    }

    #[test]
    fn every_duration_is_accurate_to_a_percent() {
        let mut duration = Duration::from_micros(1);
        while duration <= Duration::from_hours(24) {
            let kept = Packed::from(Recent { failure: None, duration }).unpack();
            assert!(
                kept.failure.is_none() && kept.duration.abs_diff(duration) < duration / 100,
                "{duration:?} {kept:?}"
            );
            duration = duration.mul_f64(1.003);
        }
        for (duration, expected) in [(Duration::ZERO, Duration::ZERO), (Duration::MAX, super::duration(MAX_STEP))] {
            assert_eq!(Packed::from(Recent { failure: None, duration }).unpack().duration, expected);
        }
    }
}
