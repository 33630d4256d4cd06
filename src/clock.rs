//! The wall clock, and the only place that reads it.
//!
//! Everything that measures uses [`tokio::time::Instant`]; wall time is for people and for Prometheus: when a state
//! began, when a probe ended, where the grid of due times lies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of the wall clock, as the time since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The moment this long after the epoch.
    pub const fn since_epoch(duration: Duration) -> Self {
        Self(duration)
    }

    /// Time since the epoch.
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Seconds since the epoch, as Prometheus wants them.
    pub const fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

/// The current wall time; a clock set before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
