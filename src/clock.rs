//! The wall clock, and the only place that reads it.
//!
//! Everything that measures uses [`tokio::time::Instant`]; wall time is for people and for Prometheus: when a state
//! began, when a probe ended, where the grid of due times lies. [`Utc`] is the calendar over it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of the wall clock, as the time since 1970-01-01T00:00:00Z: its nanoseconds, which last until 2554.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this long after the epoch.
    pub fn since_epoch(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since the epoch.
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whole seconds since the epoch, as certificates have them.
    pub fn as_secs(self) -> i64 {
        i64::try_from(self.as_duration().as_secs()).unwrap_or(i64::MAX)
    }

    /// Seconds since the epoch, as Prometheus wants them.
    pub const fn as_secs_f64(self) -> f64 {
        self.as_duration().as_secs_f64()
    }
}

/// The current wall time; a clock set before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::since_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A second in the calendar. Its text is `2026-11-20 20:53:12`, with `{:#}` that of RFC 3339: `2026-11-20T20:53:12Z`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utc {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

impl Utc {
    /// The second so many seconds after 1970-01-01T00:00:00Z, or before.
    pub const fn of_seconds(seconds: i64) -> Self {
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_A_DAY));
        Self { year, month, day, second_of_day: seconds.rem_euclid(SECONDS_A_DAY) }
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, second_of_day } = self;
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let (between, end) = if f.alternate() { ('T', "Z") } else { (' ', "") };
        write!(f, "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{end}")
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years begin in March here, so that a leap day is the last of its year; 400 of them, an era, always have as many days.
/// By Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_AN_ERA), days.rem_euclid(DAYS_AN_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_after_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_after_march + 2) / 5 + 1;
    let (month, year_begun) =
        if months_after_march < 10 { (months_after_march + 3, 0) } else { (months_after_march - 9, 1) };
    (year_of_era + era * 400 + year_begun, month, day)
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// From 0000-03-01.
const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;

const DAYS_AN_ERA: i64 = 146_097;

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
    fn each_day_follows_the_one_before() {
        let months = |year: i64| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut day = -719_528;
        for year in 0..=2400 {
            for (month, length) in (1..).zip(months(year)) {
                for day_of_month in 1..=length {
                    assert_eq!(civil(day), (year, month, day_of_month));
                    day += 1;
                }
            }
        }
    }

    #[test]
    fn no_second_is_too_far_away() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(!Utc::of_seconds(seconds).to_string().is_empty());
        }
    }
}
