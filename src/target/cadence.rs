//! Interval and timeout of probes.

use std::time::Duration;

use crate::duration;

/// Interval and timeout of a target; the timeout never exceeds the interval.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Cadence {
    interval: Duration,
    timeout: Duration,
}

impl Cadence {
    /// Minimum interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// Maximum interval.
    pub const MAX_INTERVAL: Duration = Duration::from_hours(24);
    /// Default interval.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
    /// Default timeout, unless the interval is shorter.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Checks both ranges, and that the timeout does not exceed the interval.
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

    /// Timeout of the whole probe.
    pub const fn timeout(self) -> Duration {
        self.timeout
    }
}

impl Default for Cadence {
    fn default() -> Self {
        Self { interval: Self::DEFAULT_INTERVAL, timeout: Self::DEFAULT_TIMEOUT }
    }
}

/// Reason why an interval and a timeout cannot be used together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CadenceError {
    /// The interval is below 100 ms or above one day.
    #[error("{} is out of range; must be between 100ms and 1d", duration::display(*.0))]
    IntervalOutOfRange(Duration),
    /// The timeout is longer than the interval.
    #[error(
        "{} is longer than the interval ({}); lower it or raise the interval",
        duration::display(*timeout),
        duration::display(*interval)
    )]
    TimeoutAboveInterval {
        /// The timeout.
        timeout: Duration,
        /// The shorter interval.
        interval: Duration,
    },
    /// The timeout is zero.
    #[error("0s is too short; must be at least 1ms")]
    TimeoutZero,
}
