//! The last outcomes of a target in two bytes each, for its page.

use std::time::Duration;

use crate::outcome::Class;

/// A bounded ring of recent outcomes.
///
/// Its memory is allocated at the start. Small growth with each probe would fragment the heap between the short-lived
/// allocations of probes (measured: 2 KB for each of 100,000 targets).
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    entries: [Packed; Self::CAPACITY],
    /// Number of entries that are outcomes.
    len: u8,
    /// The place of the next outcome. In a full ring it replaces the oldest.
    next: u8,
}

impl History {
    /// Number of outcomes that are kept.
    pub const CAPACITY: usize = 60;

    /// Adds the latest outcome.
    pub fn push(&mut self, recent: Recent) {
        if let Some(entry) = self.entries.get_mut(usize::from(self.next)) {
            *entry = Packed::from(recent);
        }
        self.next = (self.next + 1) % CAPACITY_U8;
        self.len = (self.len + 1).min(CAPACITY_U8);
    }

    /// The outcomes, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Recent> + '_ {
        let (newer, older) = self.entries.split_at(usize::from(self.next));
        let unused = Self::CAPACITY - usize::from(self.len);
        older.iter().chain(newer).skip(unused).map(|packed| packed.unpack())
    }
}

impl Default for History {
    /// No outcome yet.
    fn default() -> Self {
        Self { entries: [Packed::default(); Self::CAPACITY], len: 0, next: 0 }
    }
}

/// One outcome, reduced to the strip on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// Why it failed; `None` after a success.
    pub failure: Option<Class>,
    /// Its duration, accurate to 1 %.
    pub duration: Duration,
}

/// The class in the high five bits (0: success), the logarithm of the duration in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Packed(u16);

impl From<Recent> for Packed {
    fn from(recent: Recent) -> Self {
        let kind = recent.failure.map_or(0, |class| class as u16 + 1);
        Self(kind << STEP_BITS | step(recent.duration))
    }
}

impl Packed {
    fn unpack(self) -> Recent {
        let kind = usize::from(self.0 >> STEP_BITS);
        Recent {
            failure: kind.checked_sub(1).and_then(|class| Class::ALL.get(class).copied()),
            duration: duration(self.0 & MAX_STEP),
        }
    }
}

/// A duration in steps of a 56th of an octave from a microsecond on; shorter ones are 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range")]
fn step(duration: Duration) -> u16 {
    let octaves = (duration.as_secs_f64() / SHORTEST).log2();
    (octaves * STEPS_AN_OCTAVE + 1.0).round().clamp(0.0, f64::from(MAX_STEP)) as u16
}

fn duration(step: u16) -> Duration {
    let Some(steps) = step.checked_sub(1) else { return Duration::ZERO };
    Duration::from_secs_f64(SHORTEST * (f64::from(steps) / STEPS_AN_OCTAVE).exp2())
}

// A packed outcome has five bits for the class plus one, and unpacking finds the class by its discriminant.
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

/// The highest step is beyond a day, the longest timeout.
const STEPS_AN_OCTAVE: f64 = 56.0;

#[expect(clippy::cast_possible_truncation, reason = "60 fits; a constant cannot use try_from")]
const CAPACITY_U8: u8 = History::CAPACITY as u8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_latest_in_order() {
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
    fn two_bytes_keep_class_and_duration() {
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
    fn every_duration_is_kept_within_a_percent() {
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
