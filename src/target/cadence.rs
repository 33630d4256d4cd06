//! How often a target is probed, and how long a probe may take.

use std::time::Duration;

use crate::duration;

/// Interval and timeout of a target; the timeout never exceeds the interval.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Cadence {
    interval: Duration,
    timeout: Duration,
}

impl Cadence {
    /// The shortest interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// The longest interval.
    pub const MAX_INTERVAL: Duration = Duration::from_hours(24);
    /// The interval where none is set.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
    /// The timeout where none is set and the interval is not shorter.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A cadence of this interval and timeout.
    pub fn try_new(interval: Duration, timeout: Duration) -> Result<Self, CadenceError> {
        if interval < Self::MIN_INTERVAL || interval > Self::MAX_INTERVAL {
            return Err(CadenceError::IntervalOutOfRange(interval));
        }
        if timeout.is_zero() {
            return Err(CadenceError::TimeoutZero);
        }
        if timeout > interval {
            return Err(CadenceError::TimeoutAboveInterval { timeout, interval });
        }
        Ok(Self { interval, timeout })
    }

    /// Time between two due times.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// Longest time that a probe may take as a whole.
    pub const fn timeout(self) -> Duration {
        self.timeout
    }
}

impl Default for Cadence {
    fn default() -> Self {
        Self { interval: Self::DEFAULT_INTERVAL, timeout: Self::DEFAULT_TIMEOUT }
    }
}

/// Why an interval and a timeout do not go together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CadenceError {
    /// Below 100 ms or above one day.
    #[error("{} is out of range; an interval is 100ms to 1d", duration::display(*.0))]
    IntervalOutOfRange(Duration),
    /// The timeout is longer than the interval.
    #[error(
        "{} is longer than the interval ({}); lower it or raise the interval",
        duration::display(*timeout),
        duration::display(*interval)
    )]
    TimeoutAboveInterval {
        /// The timeout that was asked for.
        timeout: Duration,
        /// The interval that it exceeds.
        interval: Duration,
    },
    /// No probe ends in no time.
    #[error("0s leaves a probe no time; the shortest timeout is 1ms")]
    TimeoutZero,
}
