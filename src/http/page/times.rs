//! Moments and durations in words.

use std::time::Duration;

use crate::clock::{Timestamp, Utc};

/// A moment as text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Moment {
    /// In RFC 3339, for `<time>`.
    pub(super) machine: String,
    /// Date and time in UTC.
    pub(super) absolute: String,
    /// The time between it and the present: `3 min`.
    pub(super) distance: String,
}

impl Moment {
    pub(super) fn of(at: Timestamp, now: Timestamp) -> Self {
        Self::of_second(at.seconds(), now)
    }

    /// Returns the moment of a second since 1970.
    pub(super) fn of_second(second: i64, now: Timestamp) -> Self {
        let utc = Utc::of_seconds(second);
        Self {
            machine: format!("{utc:#}"),
            absolute: format!("{utc} UTC"),
            distance: span(Duration::from_secs(second.abs_diff(now.seconds()))),
        }
    }
}

/// Formats a duration in its two largest units: `2 d 3 h`, `5 min`, `12 s`. Minutes below ten have their seconds.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    let (first, second) = match (days, hours, minutes) {
        (0, 0, 0) => ((seconds, "s"), (0, "")),
        (0, 0, 1..10) => ((minutes, "min"), (seconds % 60, "s")),
        (0, 0, _) => ((minutes, "min"), (0, "")),
        (0, ..) => ((hours, "h"), (minutes, "min")),
        (1..10, ..) => ((days, "d"), (hours, "h")),
        _ => ((days, "d"), (0, "")),
    };
    match (first, second) {
        ((count, unit), (0, _)) => format!("{count} {unit}"),
        ((count, unit), (rest, smaller)) => format!("{count} {unit} {rest} {smaller}"),
    }
}

/// Formats a duration with three significant digits: `0.412 ms`, `12.3 ms`, `1.25 s`.
pub(super) fn brief(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    let (value, unit) = if milliseconds < 999.5 { (milliseconds, "ms") } else { (milliseconds / 1000.0, "s") };
    match value {
        ..0.9995 => format!("{value:.3} {unit}"),
        ..9.995 => format!("{value:.2} {unit}"),
        ..99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (92, "1 min 32 s"),
            (600, "10 min"),
            (659, "10 min"),
            (3600, "1 h"),
            (7500, "2 h 5 min"),
            (86_400, "1 d"),
            (183_600, "2 d 3 h"),
            (400 * 86_400 + 7200, "400 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_brief_duration_has_three_digits() {
        for (microseconds, text) in [
            (0, "0.000 ms"),
            (412, "0.412 ms"),
            (999, "0.999 ms"),
            (1000, "1.00 ms"),
            (9_996, "10.0 ms"),
            (12_340, "12.3 ms"),
            (800_200, "800 ms"),
            (999_600, "1.00 s"),
            (10_000_000, "10.0 s"),
            (3_600_000_000, "3600 s"),
        ] {
            assert_eq!(brief(Duration::from_micros(microseconds)), text);
        }
    }

    #[test]
    fn a_moment_has_its_distance() {
        let now = Timestamp::since_epoch(Duration::from_hours(264_384));
        let moment = Moment::of_second(951_782_400 - 61, now);
        let expected = ("2000-02-28T23:58:59Z", "2000-02-28 23:58:59 UTC", "1 min 1 s");
        assert_eq!((&*moment.machine, &*moment.absolute, &*moment.distance), expected);
        assert_eq!(Moment::of_second(951_782_400 + 61, now).distance, "1 min 1 s");
    }
}
