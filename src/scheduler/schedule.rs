//! The arithmetic of due times: pure functions of their arguments, no clock is read here.
//!
//! Due times of a target lie on a grid that is pinned to the wall clock, so that a restart changes nothing; where on it
//! is a hash of the target's and this machine's name, so that targets spread evenly and replicas do not knock together.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::stable_hash;
use crate::target::TargetName;

/// When a target that starts to be probed is first due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Opening {
    /// Until the first due time on the grid.
    pub(super) tick: Duration,
    /// Until one probe before that, where the grid would let the first one wait for more than a minute.
    pub(super) early: Option<Duration>,
}

impl Opening {
    /// The opening at `now` of a target with this interval; `seed` places it on the grid.
    pub(super) fn at(now: Timestamp, interval: Duration, seed: u64) -> Self {
        let tick = until_next(now, interval, seed);
        let early = (interval > LONGEST_FIRST_WAIT)
            .then(|| until_next(now, LONGEST_FIRST_WAIT, seed))
            .filter(|early| *early < tick);
        Self { tick, early }
    }
}

/// Places a target on the grid: the same on one machine in every version, another on each replica.
pub(super) fn seed(target: &TargetName, machine: &str) -> u64 {
    stable_hash::mix(stable_hash::of(target.as_str()) ^ stable_hash::mix(stable_hash::of(machine)))
}

/// The due time after `due`, and how many were passed over because `now` is later than that.
pub(super) fn advance(due: Instant, interval: Duration, now: Instant) -> (Instant, u64) {
    let late = now.saturating_duration_since(due);
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    let missed = u32::try_from(missed).unwrap_or(u32::MAX - 1);
    (due + interval * (missed + 1), u64::from(missed))
}

/// When a probe that starts at `start` ends at the latest.
///
/// Start plus timeout; but where that lies just past the next due time (for a timeout as long as the interval, by the
/// little that the start was late), it is cut to end there, so that a silent target does not lose every other probe.
/// Never by more than a tenth of the timeout: a probe that had to wait longer has its full time and costs a due time.
pub(super) fn deadline(start: Instant, timeout: Duration, next_tick: Instant) -> Instant {
    let full = start + timeout;
    let excess = full.saturating_duration_since(next_tick);
    if excess <= timeout / 10 { full.min(next_tick) } else { full }
}

/// Whether a probe with this deadline that is seen running at a due time has just not been told yet that it is over.
pub(super) fn is_about_to_end(deadline: Instant, due: Instant) -> bool {
    deadline <= due && due.saturating_duration_since(deadline) <= BATCH
}

/// When a failed probe that ended at `ended` is repeated; none where the next due time comes first.
pub(super) fn repetition(ended: Instant, delay: Duration, next_tick: Instant) -> Option<Instant> {
    Some(ended + delay).filter(|due| *due < next_tick)
}

/// The batch of a due time, counted from `origin`: due times close to each other start together, at its end.
///
/// Wake-ups are what a scheduler costs, not probes; and the kernel measures handshakes, so a start that is late by less
/// than [`BATCH`] falsifies nothing.
pub(super) fn batch(due: Instant, origin: Instant) -> u64 {
    let since_origin = due.saturating_duration_since(origin).as_nanos();
    u64::try_from(since_origin.div_ceil(BATCH.as_nanos())).unwrap_or(u64::MAX)
}

/// When those of a batch start.
pub(super) fn batch_start(number: u64, origin: Instant) -> Instant {
    let nanos = u128::from(number) * BATCH.as_nanos();
    origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// From `now` to the next point of the grid, zero if `now` is one.
fn until_next(now: Timestamp, interval: Duration, seed: u64) -> Duration {
    let interval = interval.as_nanos().max(1);
    let offset = u128::from(seed) % interval;
    let position = (now.as_duration().as_nanos() % interval + interval - offset) % interval;
    let wait = (interval - position) % interval;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

/// The first probe comes within this time of a start, or within the interval where that is shorter.
const LONGEST_FIRST_WAIT: Duration = Duration::from_mins(1);

/// Measured: batches of this length cost less than half the CPU of exact wake-ups; with the timer's own millisecond a
/// start is late by ten at most.
const BATCH: Duration = Duration::from_millis(8);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn any_interval() -> impl Strategy<Value = Duration> {
        (100_u64..=86_400_000).prop_map(Duration::from_millis)
    }

    fn any_moment() -> impl Strategy<Value = Timestamp> {
        (0_u64..4_000_000_000_000_000_000).prop_map(|nanos| Timestamp::since_epoch(Duration::from_nanos(nanos)))
    }

    proptest! {
        #[test]
        fn the_first_probe_comes_within_interval_and_minute(
            now in any_moment(), interval in any_interval(), seed: u64,
        ) {
            let opening = Opening::at(now, interval, seed);
            let first = opening.early.unwrap_or(opening.tick);
            prop_assert!(first < interval.min(Duration::from_mins(1)));
            prop_assert!(opening.tick < interval && first <= opening.tick);
            prop_assert_eq!(opening.early.is_some(), opening.early.is_some_and(|early| early < opening.tick));
        }

        #[test]
        fn the_grid_is_the_same_whenever_it_is_looked_at(
            now in any_moment(), interval in any_interval(), seed: u64, later in 0_u64..100_000_000_000,
        ) {
            let on_grid = |now: Timestamp| (now.as_duration() + Opening::at(now, interval, seed).tick).as_nanos();
            let again = Timestamp::since_epoch(now.as_duration() + Duration::from_nanos(later));
            prop_assert_eq!((on_grid(again) - on_grid(now)) % interval.as_nanos(), 0);
        }

        #[test]
        fn advancing_stays_on_the_grid_and_ends_after_now(interval in any_interval(), late in 0_u64..1_000_000_000_000) {
            let due = Instant::now();
            let now = due + Duration::from_nanos(late);
            let (next, missed) = advance(due, interval, now);
            prop_assert!(next > now && next - interval <= now);
            prop_assert_eq!(next - due, interval * (u32::try_from(missed).unwrap() + 1));
        }

        #[test]
        fn no_probe_starts_early_or_later_than_its_batch(after in 0_u64..1_000_000_000_000) {
            let origin = Instant::now();
            let due = origin + Duration::from_nanos(after);
            let start = batch_start(batch(due, origin), origin);
            prop_assert!(start >= due && start - due < BATCH);
        }
    }

    #[test]
    fn targets_and_machines_are_spread() {
        let name = |n: u32| TargetName::try_new(&format!("tcp://host-{n}:22")).unwrap();
        assert_eq!(seed(&name(1), "a"), seed(&name(1), "a"));
        assert_ne!(seed(&name(1), "a"), seed(&name(1), "b"));
        let mut seconds = [0_u32; 60];
        for n in 0..6000 {
            let opening = Opening::at(Timestamp::default(), Duration::from_mins(1), seed(&name(n), "a"));
            seconds[usize::try_from(opening.tick.as_secs()).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|count| (50..200).contains(count)), "{seconds:?}");
    }

    #[test]
    fn a_deadline_is_cut_to_the_next_due_time_only_by_a_little() {
        let start = Instant::now();
        for (timeout, next_tick, expected) in [
            (5 * SECOND, 60 * SECOND, 5 * SECOND),
            (10 * SECOND, 10 * SECOND, 10 * SECOND),
            (10 * SECOND, Duration::from_millis(9_992), Duration::from_millis(9_992)),
            (10 * SECOND, 9 * SECOND, 9 * SECOND),
            (10 * SECOND, Duration::from_millis(8_999), 10 * SECOND),
        ] {
            assert_eq!(deadline(start, timeout, start + next_tick), start + expected, "{timeout:?} {next_tick:?}");
        }
    }

    #[test]
    fn a_repetition_at_or_after_the_next_due_time_is_not_made() {
        let ended = Instant::now();
        assert_eq!(repetition(ended, SECOND, ended + 2 * SECOND), Some(ended + SECOND));
        assert_eq!(repetition(ended, SECOND, ended + SECOND), None);
        assert_eq!(repetition(ended, 3 * SECOND, ended + SECOND), None);
    }
}
