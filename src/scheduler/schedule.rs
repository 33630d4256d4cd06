//! The arithmetic of due times, as pure functions that read no clock.
//!
//! The ticks of a target lie on a grid that is pinned to the wall clock, so that a restart does not change them. The
//! offset is a hash of the names of the target and of this machine, so that targets spread evenly and replicas do not
//! probe at the same time.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::stable_hash;
use crate::target::TargetName;

/// The first due times of a new target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FirstDue {
    /// Time until the first tick.
    pub(super) tick: Duration,
    /// Time until an earlier probe, if the first tick may be later than the spread allows.
    pub(super) early: Option<Duration>,
}

impl FirstDue {
    /// Returns the first due times from `now` of a target with this interval. `seed` determines the offset of its grid.
    pub(super) fn at(now: Timestamp, interval: Duration, seed: u64, Spread(within): Spread) -> Self {
        let tick = until_next(now, interval, seed);
        let early = (interval > within)
            .then(|| until_next(now, within, seed))
            .filter(|early| *early < tick);
        Self { tick, early }
    }
}

/// The time within which the first probes of targets start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spread(Duration);

impl Spread {
    /// Returns the spread of this many new targets: a few are known at once, and many cause no burst.
    pub fn of(new_targets: usize) -> Self {
        let new_targets = u32::try_from(new_targets).unwrap_or(u32::MAX);
        Self((Duration::from_secs(1) * new_targets / FIRST_PROBES_PER_SECOND).min(LONGEST_FIRST_WAIT))
    }
}

/// The spread of any number of targets.
impl Default for Spread {
    fn default() -> Self {
        Self(LONGEST_FIRST_WAIT)
    }
}

/// Returns the seed of a target's grid, which depends on the machine but not on the version of portprobe.
pub(super) fn seed(target: &TargetName, machine: &str) -> u64 {
    stable_hash::mix(stable_hash::of(target.as_str()) ^ stable_hash::mix(stable_hash::of(machine)))
}

/// Returns the first tick after `now` and the number of ticks missed between `due`, the last one, and `now`.
pub(super) fn advance(due: Instant, interval: Duration, now: Instant) -> (Instant, u64) {
    let late = now.saturating_duration_since(due);
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    let missed = u32::try_from(missed).unwrap_or(u32::MAX - 1);
    (due + interval * (missed + 1), u64::from(missed))
}

/// Returns the deadline of a probe that starts at `start`.
///
/// The deadline is `start` plus `timeout`. If that is just after the next tick (because the timeout equals the interval
/// and the start was slightly late), the deadline is the tick, so that a silent target does not skip every other tick.
/// The timeout is shortened by at most a tenth: a probe that started later gets its full time and skips a tick.
pub(super) fn deadline(start: Instant, timeout: Duration, next_tick: Instant) -> Instant {
    let full = start + timeout;
    let excess = full.saturating_duration_since(next_tick);
    if excess <= timeout / 10 { full.min(next_tick) } else { full }
}

/// Returns whether a probe with this deadline is about to end if it still runs at the tick `due`, handled at `now`.
///
/// That is the case if the deadline is just before the tick, or if this process was stopped and has not noticed it yet.
pub(super) fn is_about_to_end(deadline: Instant, due: Instant, now: Instant) -> bool {
    let is_punctual = now.saturating_duration_since(due) <= 4 * BATCH;
    deadline <= due && (due.saturating_duration_since(deadline) <= BATCH || !is_punctual)
}

/// Returns when a failed probe that ended at `ended` is retried; `None` if the next tick comes first.
pub(super) fn retry(ended: Instant, delay: Duration, next_tick: Instant) -> Option<Instant> {
    Some(ended + delay).filter(|due| *due < next_tick)
}

/// Returns the batch of a due time, counted from `origin`. Probes with due times close to each other start together, at
/// the end of their batch.
///
/// Most of the cost of a scheduler is wake-ups. Since the kernel measures handshakes, a start that is late by less than
/// [`BATCH`] does not affect results.
pub(super) fn batch(due: Instant, origin: Instant) -> u64 {
    let since_origin = due.saturating_duration_since(origin).as_nanos();
    u64::try_from(since_origin.div_ceil(BATCH.as_nanos())).unwrap_or(u64::MAX)
}

/// Returns when the probes of a batch start.
pub(super) fn batch_start(number: u64, origin: Instant) -> Instant {
    let nanos = u128::from(number) * BATCH.as_nanos();
    origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Returns the time from `now` to the next tick; zero if `now` is a tick.
fn until_next(now: Timestamp, interval: Duration, seed: u64) -> Duration {
    let interval = interval.as_nanos().max(1);
    let offset = u128::from(seed) % interval;
    let position = (now.as_duration().as_nanos() % interval + interval - offset) % interval;
    let wait = (interval - position) % interval;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

/// The first probe of a target starts within this time, or within the interval if that is shorter.
const LONGEST_FIRST_WAIT: Duration = Duration::from_mins(1);

/// Maximum rate of first probes, as long as they fit into [`LONGEST_FIRST_WAIT`].
const FIRST_PROBES_PER_SECOND: u32 = 500;

/// The length of a batch. Measured: it takes less than half the CPU time of exact wake-ups. With the resolution of the
/// timer, 1 ms, a start is at most 10 ms late.
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
        fn the_first_probe_starts_within_its_spread(
            now in any_moment(), interval in any_interval(), seed: u64, new_targets in 1..200_000_usize,
        ) {
            let first_due = FirstDue::at(now, interval, seed, Spread::of(new_targets));
            let first = first_due.early.unwrap_or(first_due.tick);
            let spread = Duration::from_millis(2) * u32::try_from(new_targets).unwrap();
            prop_assert!(first < interval.min(Duration::from_mins(1)).min(spread));
            prop_assert!(first_due.tick < interval && first <= first_due.tick);
            prop_assert_eq!(first_due.early.is_some(), first_due.early.is_some_and(|early| early < first_due.tick));
        }

        #[test]
        fn the_grid_does_not_depend_on_the_time(
            now in any_moment(), interval in any_interval(), seed: u64, later in 0_u64..100_000_000_000,
        ) {
            let on_grid = |now: Timestamp| (now.as_duration() + FirstDue::at(now, interval, seed, Spread::default()).tick).as_nanos();
            let again = Timestamp::since_epoch(now.as_duration() + Duration::from_nanos(later));
            prop_assert_eq!((on_grid(again) - on_grid(now)) % interval.as_nanos(), 0);
        }

        #[test]
        fn advancing_stays_on_the_grid(interval in any_interval(), late in 0_u64..1_000_000_000_000) {
            let due = Instant::now();
            let now = due + Duration::from_nanos(late);
            let (next, missed) = advance(due, interval, now);
            prop_assert!(next > now && next - interval <= now);
            prop_assert_eq!(next - due, interval * (u32::try_from(missed).unwrap() + 1));
        }

        #[test]
        fn a_probe_starts_within_its_batch(after in 0_u64..1_000_000_000_000) {
            let origin = Instant::now();
            let due = origin + Duration::from_nanos(after);
            let start = batch_start(batch(due, origin), origin);
            prop_assert!(start >= due && start - due < BATCH);
        }
    }

    #[test]
    fn due_times_are_spread_evenly() {
        let name = |n: u32| TargetName::try_new(&format!("tcp://host-{n}:22")).unwrap();
        assert_eq!(seed(&name(1), "a"), seed(&name(1), "a"));
        assert_ne!(seed(&name(1), "a"), seed(&name(1), "b"));
        let mut seconds = [0_u32; 60];
        for n in 0..6000 {
            let seed = seed(&name(n), "a");
            let first_due = FirstDue::at(Timestamp::default(), Duration::from_mins(1), seed, Spread::default());
            seconds[usize::try_from(first_due.tick.as_secs()).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|count| (50..200).contains(count)), "{seconds:?}");
    }

    #[test]
    fn a_deadline_is_shortened_only_slightly() {
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
    fn the_next_due_time_replaces_a_late_retry() {
        let ended = Instant::now();
        assert_eq!(retry(ended, SECOND, ended + 2 * SECOND), Some(ended + SECOND));
        assert_eq!(retry(ended, SECOND, ended + SECOND), None);
        assert_eq!(retry(ended, 3 * SECOND, ended + SECOND), None);
    }
}
