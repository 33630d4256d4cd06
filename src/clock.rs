//! The wall clock, and the only place that reads it.
//!
//! Measurements use [`tokio::time::Instant`]. Wall time is for people and for Prometheus: the start of a state, the end
//! of a probe, the grid of due times. [`Utc`] is a date and time of day.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::UtcDateTime;

/// A moment of the wall clock: nanoseconds since 1970-01-01T00:00:00Z, until the year 2554.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the moment this long after the epoch.
    pub fn since_epoch(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since the epoch.
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns the moment without parts of a millisecond, which a database does not keep.
    #[must_use]
    pub fn whole_millis(self) -> Self {
        Self(self.0 - self.0 % 1_000_000)
    }

    /// Whole seconds since the epoch, the unit of times in certificates.
    pub fn seconds(self) -> i64 {
        i64::try_from(self.as_duration().as_secs()).unwrap_or(i64::MAX)
    }

    /// Seconds since the epoch, the unit of times in Prometheus.
    pub const fn as_secs_f64(self) -> f64 {
        self.as_duration().as_secs_f64()
    }
}

/// The text is that of RFC 3339 in UTC with milliseconds: `2026-11-20T20:53:12.007Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = format!("{:#}", Utc::of_seconds(self.seconds()));
        write!(f, "{}.{:03}Z", second.trim_end_matches('Z'), self.as_duration().subsec_millis())
    }
}

/// Returns the current wall time; a clock set before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the only reader of the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::since_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A second in the calendar. Its text is `2026-11-20 20:53:12`, with `{:#}` that of RFC 3339: `2026-11-20T20:53:12Z`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utc(UtcDateTime);

impl Utc {
    /// Returns the second at this offset from 1970-01-01T00:00:00Z, at the latest in the year 9999, at the earliest in
    /// -9999.
    pub fn of_seconds(seconds: i64) -> Self {
        let farthest = if seconds < 0 { UtcDateTime::MIN } else { UtcDateTime::MAX };
        Self(UtcDateTime::from_unix_timestamp(seconds).unwrap_or(farthest))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.0.to_calendar_date(), self.0.as_hms());
        let (between, end) = if f.alternate() { ('T', "Z") } else { (' ', "") };
        write!(f, "{year:04}-{:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{end}", u8::from(month))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (-631_152_000, "1950-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_795_207_992, "2026-11-20 20:53:12"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
            (-62_167_219_200, "0000-01-01 00:00:00"),
        ] {
            assert_eq!(Utc::of_seconds(seconds).to_string(), text, "{seconds}");
        }
        assert_eq!(format!("{:#}", Utc::of_seconds(951_782_400)), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn distant_seconds_are_the_ends_of_the_calendar() {
        assert_eq!(Utc::of_seconds(i64::MIN).to_string(), "-9999-01-01 00:00:00");
        assert_eq!(Utc::of_seconds(i64::MAX).to_string(), "9999-12-31 23:59:59");
    }
}
