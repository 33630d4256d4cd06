//! The last outcomes of a target, four bytes each, for the strip on its page.

use std::time::Duration;

use crate::outcome::Class;

/// A bounded ring of recent outcomes.
///
/// Its memory is there from the start: what grows a little with each probe, between the short-lived memory of the probes
/// themselves, leaves the heap full of holes (measured: 2 KB for each of 100,000 targets).
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    entries: Box<[Packed; Self::CAPACITY]>,
    /// How many entries are outcomes.
    len: u8,
    /// Where the next one goes: once the ring is full, over the oldest.
    next: u8,
}

impl History {
    /// How many outcomes are kept.
    pub const CAPACITY: usize = 60;

    /// Adds the latest outcome; the oldest one leaves a full ring.
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
        Self { entries: Box::new([Packed(0); Self::CAPACITY]), len: 0, next: 0 }
    }
}

/// One outcome, reduced to what the strip shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// Why it failed; none where it was good.
    pub failure: Option<Class>,
    /// How long it took, within 2^-15 of the truth.
    pub duration: Duration,
}

/// The class in the high byte (0: good), below it a 32-bit float of the seconds without its low byte.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Packed(u32);

impl From<Recent> for Packed {
    fn from(recent: Recent) -> Self {
        let kind = recent.failure.map_or(0, |class| class as u32 + 1);
        Self(kind << 24 | recent.duration.as_secs_f32().to_bits() >> 8)
    }
}

impl Packed {
    fn unpack(self) -> Recent {
        let kind = usize::from(self.0.to_be_bytes()[0]);
        Recent {
            failure: kind.checked_sub(1).and_then(|class| Class::ALL.get(class).copied()),
            duration: Duration::try_from_secs_f32(f32::from_bits(self.0 << 8)).unwrap_or_default(),
        }
    }
}

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
        let kept: Vec<_> = history.iter().map(|recent| recent.duration.as_secs()).collect();
        assert_eq!(kept, (40..100).collect::<Vec<_>>());
    }

    #[test]
    fn four_bytes_keep_class_and_duration() {
        assert_eq!(size_of::<Packed>(), 4);
        let mut history = History::default();
        for (position, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, position, "ALL is in the order of the discriminants");
            let duration = Duration::from_micros(123_456);
            history.push(Recent { failure: Some(class), duration });
            let last = history.iter().last().unwrap();
            assert_eq!(last.failure, Some(class));
            assert!(last.duration.abs_diff(duration) < Duration::from_micros(8), "{last:?}");
        }
        history.push(Recent { failure: None, duration: Duration::from_hours(24) });
        let last = history.iter().last().unwrap();
        assert_eq!(last.failure, None);
        assert!(last.duration.abs_diff(Duration::from_hours(24)) < Duration::from_secs(3));
    }
}
