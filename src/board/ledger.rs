//! Figures of a target per UTC day: probes, failures, time up and down.
//!
//! Only increments are kept here. [`Ledger::take`] moves them to the store, which adds them to those of the same day.

use std::time::Duration;

use tokio::time::Instant;

use super::State;
use crate::clock::Timestamp;

/// A UTC day.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Day(u32);

impl Day {
    /// Returns the day that contains a moment.
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_duration().as_secs() / SECONDS).unwrap_or(u32::MAX))
    }

    /// Returns the day with this number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number of days since 1970-01-01.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the first moment.
    pub fn start(self) -> Timestamp {
        Timestamp::since_epoch(Duration::from_secs(u64::from(self.0) * SECONDS))
    }

    fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Figures of one day, or of a part of it. The rest of the day is unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DayFigures {
    /// The day.
    pub day: Day,
    /// Finished probes.
    pub probes: u32,
    /// Failed probes.
    pub failures: u32,
    /// Time confirmed up, in milliseconds.
    pub up_millis: u32,
    /// Time confirmed down, in milliseconds.
    pub down_millis: u32,
}

impl DayFigures {
    /// Adds the figures of another part of the same day.
    pub fn add(&mut self, other: &Self) {
        self.probes = self.probes.saturating_add(other.probes);
        self.failures = self.failures.saturating_add(other.failures);
        self.up_millis = self.up_millis.saturating_add(other.up_millis);
        self.down_millis = self.down_millis.saturating_add(other.down_millis);
    }

    fn is_empty(&self) -> bool {
        *self == Self { day: self.day, ..Self::default() }
    }
}

/// The figures that the store has not taken yet.
#[derive(Debug)]
pub(super) struct Ledger {
    latest: DayFigures,
    /// The figures of other days.
    earlier: Vec<DayFigures>,
    /// The end of the time that is accounted for.
    accounted: Instant,
}

impl Ledger {
    /// Creates an empty ledger whose time begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { latest: DayFigures::default(), earlier: Vec::new(), accounted: now }
    }

    /// Counts a finished probe.
    pub(super) fn count(&mut self, success: bool, at: Timestamp) {
        let figures = self.of(Day::of(at));
        figures.probes = figures.probes.saturating_add(1);
        figures.failures = figures.failures.saturating_add(u32::from(!success));
    }

    /// Accounts for the time since the last call, in which the state did not change. `at` is the wall time of `now`.
    ///
    /// Durations come from the monotonic clock and only the days from the wall clock, so that a clock that is set
    /// changes no total.
    pub(super) fn account(&mut self, state: State, now: Instant, at: Timestamp) {
        let elapsed = now.saturating_duration_since(self.accounted);
        // What is less than a millisecond counts the next time.
        let mut left = u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX);
        self.accounted += Duration::from_millis(left.into());
        if state == State::Unknown {
            return;
        }
        let mut day = Day::of(at);
        let mut available = millis(at.as_duration().saturating_sub(day.start().as_duration()));
        while left > 0 {
            let part = left.min(available);
            self.of(day).add_time(state, part);
            left -= part;
            if day == Day::default() {
                return;
            }
            (day, available) = (day.previous(), DAY_MILLIS);
        }
    }

    /// Moves all figures out.
    pub(super) fn take(&mut self) -> Vec<DayFigures> {
        let mut taken = std::mem::take(&mut self.earlier);
        let emptied = DayFigures { day: self.latest.day, ..DayFigures::default() };
        taken.push(std::mem::replace(&mut self.latest, emptied));
        taken.retain(|figures| !figures.is_empty());
        taken
    }

    fn of(&mut self, day: Day) -> &mut DayFigures {
        if self.latest.day == day {
            return &mut self.latest;
        }
        // The former latest day stays, and this one is the latest from now on.
        let known = self.earlier.iter().position(|figures| figures.day == day);
        let next = known.map(|index| self.earlier.swap_remove(index));
        let next = next.unwrap_or_else(|| DayFigures { day, ..DayFigures::default() });
        let before = std::mem::replace(&mut self.latest, next);
        if !before.is_empty() {
            self.earlier.push(before);
        }
        &mut self.latest
    }
}

impl DayFigures {
    fn add_time(&mut self, state: State, millis: u32) {
        let time = match state {
            State::Down => &mut self.down_millis,
            State::Up => &mut self.up_millis,
            State::Unknown => return,
        };
        *time = time.saturating_add(millis);
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The length of a UTC day in seconds, as POSIX counts them.
const SECONDS: u64 = 86_400;

const DAY_MILLIS: u32 = 86_400_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The reference: each millisecond belongs to the day of the wall clock, counted back from the end of a step.
    #[derive(Debug, Default)]
    struct Reference(BTreeMap<u32, DayFigures>);

    impl Reference {
        fn account(&mut self, state: State, elapsed: u32, at: u64) {
            let mut end = at;
            let mut left = u64::from(elapsed);
            while left > 0 {
                let day = end.saturating_sub(1) / u64::from(DAY_MILLIS);
                let begin = (day * u64::from(DAY_MILLIS)).max(end.saturating_sub(left));
                let part = end - begin;
                if part == 0 {
                    return;
                }
                let figures = self.figures(u32::try_from(day).unwrap());
                match state {
                    State::Down => figures.down_millis += u32::try_from(part).unwrap(),
                    State::Up => figures.up_millis += u32::try_from(part).unwrap(),
                    State::Unknown => {}
                }
                (end, left) = (begin, left - part);
            }
        }

        fn figures(&mut self, day: u32) -> &mut DayFigures {
            self.0
                .entry(day)
                .or_insert_with(|| DayFigures { day: Day(day), ..DayFigures::default() })
        }
    }

    /// One probe: the time since the previous one, a change of the wall clock, the state until then, the result, and
    /// whether the store takes the figures.
    fn step() -> impl Strategy<Value = (u32, i64, State, bool, bool)> {
        let state = prop_oneof![Just(State::Up), Just(State::Down), Just(State::Unknown)];
        let set = prop_oneof![8 => Just(0_i64), 1 => -200_000_000..200_000_000_i64];
        let elapsed = prop_oneof![4 => 0..120_000_u32, 1 => 0..200_000_000_u32];
        (elapsed, set, state, any::<bool>(), any::<bool>())
    }

    proptest! {
        #[test]
        fn figures_are_those_of_the_reference(steps in prop::collection::vec(step(), 1..60)) {
            let (mut now, mut wall) = (Instant::now(), 20_000 * i64::from(DAY_MILLIS) + 80_000_000);
            let (mut ledger, mut reference) = (Ledger::new(now), Reference::default());
            let mut stored: BTreeMap<u32, DayFigures> = BTreeMap::new();
            let mut store = |ledger: &mut Ledger| {
                for figures in ledger.take() {
                    stored
                        .entry(figures.day.number())
                        .or_insert_with(|| DayFigures { day: figures.day, ..DayFigures::default() })
                        .add(&figures);
                }
            };
            for (elapsed, set, state, success, taken) in steps {
                now += Duration::from_millis(elapsed.into());
                wall += i64::from(elapsed) + set;
                let at = Timestamp::since_epoch(Duration::from_millis(wall.unsigned_abs()));
                ledger.account(state, now, at);
                reference.account(state, elapsed, wall.unsigned_abs());
                ledger.count(success, at);
                let figures = reference.figures(Day::of(at).number());
                figures.probes += 1;
                figures.failures += u32::from(!success);
                if taken {
                    store(&mut ledger);
                }
            }
            store(&mut ledger);
            reference.0.retain(|_, figures| !figures.is_empty());
            prop_assert_eq!(stored, reference.0);
        }
    }

    #[test]
    fn parts_of_a_millisecond_are_not_lost() {
        let begun = Instant::now();
        let mut ledger = Ledger::new(begun);
        for step in 1..=1500 {
            let at = Timestamp::since_epoch(Duration::from_secs(1000));
            ledger.account(State::Up, begun + Duration::from_micros(step * 700), at);
        }
        assert_eq!(ledger.take(), [DayFigures { up_millis: 1050, ..DayFigures::default() }]);
        assert_eq!(ledger.take(), [], "only increments");
    }
}
