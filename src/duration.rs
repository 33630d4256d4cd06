//! Durations as Prometheus writes them: `1m30s`, `500ms`, `1d`.
//!
//! Parses text of configuration and flags, and formats a [`Duration`] again. The grammar is that of Prometheus'
//! `model.ParseDuration`: units from the largest to the smallest, each at most once, whole numbers, or a bare `0`.

use std::fmt;
use std::time::Duration;

/// Parses a Prometheus duration.
///
/// A day has 24 hours, a week 7 days, a year 365 days. The error for a text of another format that has only one meaning,
/// such as `1.5m` or `5 seconds`, contains the duration, unless that is finer than a millisecond.
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    exact(text).map_err(|error| match meant(text) {
        Some(Meant::Exactly(duration)) => ParseDurationError::OtherFormat(duration),
        Some(Meant::Finer) => ParseDurationError::TooFine,
        None => error,
    })
}

fn exact(text: &str) -> Result<Duration, ParseDurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(ParseDurationError::Empty);
    }
    let mut milliseconds: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit());
        if number.is_empty() {
            return Err(ParseDurationError::NumberExpected);
        }
        let (unit, after) = split_at_first(after, |c| !c.is_ascii_alphabetic());
        if unit.is_empty() {
            let is_number = after.is_empty();
            return Err(if is_number { ParseDurationError::UnitMissing } else { ParseDurationError::NumberExpected });
        }
        let &(_, factor) = units
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| ParseDurationError::unit(unit))?;
        let number: u64 = number.parse().map_err(|_| ParseDurationError::TooLong)?;
        milliseconds = number
            .checked_mul(factor)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or(ParseDurationError::TooLong)?;
        rest = after;
    }
    Ok(Duration::from_millis(milliseconds))
}

/// The meaning of a text in another format.
enum Meant {
    Exactly(Duration),
    /// A duration with a fraction of a millisecond.
    Finer,
}

/// Returns the meaning of a text with spaces, decimals, long unit names, or units in another order. `None` if it has no
/// unit or an unknown one.
fn meant(text: &str) -> Option<Meant> {
    let mut milliseconds: u64 = 0;
    let mut is_exact = true;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = split_at_first(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_at_first(after.trim_start(), |c| !c.is_ascii_alphabetic());
        let unit = LONG_NAMES.iter().find(|(name, _)| *name == unit).map_or(unit, |(_, unit)| unit);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (part, is_whole) = product(number, *factor)?;
        milliseconds = milliseconds.checked_add(part)?;
        is_exact &= is_whole;
        rest = after.trim_start();
    }
    match (is_exact, milliseconds) {
        (false, _) => Some(Meant::Finer),
        (true, 0) => None,
        (true, milliseconds) => Some(Meant::Exactly(Duration::from_millis(milliseconds))),
    }
}

/// Multiplies a decimal number. Returns the product without its fraction, and whether it has none.
fn product(number: &str, factor: u64) -> Option<(u64, bool)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    let parts = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.checked_mul(factor)? };
    let divisor = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = factor.checked_mul(whole)?.checked_add(parts / divisor)?;
    Some((product, parts.is_multiple_of(divisor)))
}

/// Formats a duration for [`parse`], truncated to milliseconds.
pub fn display(duration: Duration) -> impl fmt::Display {
    Displayed(duration)
}

struct Displayed(Duration);

impl fmt::Display for Displayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for &(unit, factor) in &UNITS {
            let factor = u128::from(factor);
            // Like Prometheus: days and longer units only if nothing remains, so that 36h stays 36h.
            let exact_only = factor >= u128::from(DAY);
            if rest < factor || (exact_only && !rest.is_multiple_of(factor)) {
                continue;
            }
            write!(f, "{}{unit}", rest / factor)?;
            rest %= factor;
        }
        Ok(())
    }
}

/// Reason why a text is not a duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseDurationError {
    /// The text is empty.
    #[error("is empty; must be a duration like 1m30s or 500ms")]
    Empty,
    /// Another character instead of a number, or after one.
    #[error("is not a valid duration; must be whole numbers with units, like 1m30s or 500ms")]
    NumberExpected,
    /// A duration in another format.
    #[error("is not a valid duration; write {}", display(*.0))]
    OtherFormat(Duration),
    /// A fraction of a millisecond.
    #[error("is finer than a millisecond; must be whole numbers with units, like 1m30s or 500ms")]
    TooFine,
    /// It exceeds 2^64 milliseconds.
    #[error("is too long; must be below 2^64 milliseconds")]
    TooLong,
    /// A number without a unit.
    #[error("has a number without a unit; must be whole numbers with units, like 1m30s or 500ms")]
    UnitMissing,
    /// A unit that is repeated or follows a smaller one.
    #[error("has the unit `{0}` twice or after a smaller one; must be in descending order, like 1m30s")]
    UnitOrder(&'static str),
    /// A unit that does not exist.
    #[error("has an unknown unit; must be ms, s, m, h, d, w or y")]
    UnitUnknown,
}

impl ParseDurationError {
    fn unit(found: &str) -> Self {
        UNITS
            .iter()
            .find(|(name, _)| *name == found)
            .map_or(Self::UnitUnknown, |(name, _)| Self::UnitOrder(name))
    }
}

fn split_at_first(text: &str, predicate: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(predicate).unwrap_or(text.len()))
}

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Units with their milliseconds, the largest first.
const UNITS: [(&str, u64); 7] =
    [("y", 365 * DAY), ("w", 7 * DAY), ("d", DAY), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Names of units that people write, with the unit.
const LONG_NAMES: [(&str, &str); 19] = [
    ("years", "y"),
    ("year", "y"),
    ("weeks", "w"),
    ("week", "w"),
    ("days", "d"),
    ("day", "d"),
    ("hours", "h"),
    ("hour", "h"),
    ("hrs", "h"),
    ("hr", "h"),
    ("minutes", "m"),
    ("minute", "m"),
    ("mins", "m"),
    ("min", "m"),
    ("seconds", "s"),
    ("second", "s"),
    ("secs", "s"),
    ("sec", "s"),
    ("msec", "ms"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_of_prometheus_are_parsed() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("1s", 1000),
            ("1m30s", 90_000),
            ("1d", DAY),
            ("1w", 7 * DAY),
            ("1y", 365 * DAY),
            ("1h30m5s250ms", 5_405_250),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_refused_with_a_reason() {
        for (text, error) in [
            ("", ParseDurationError::Empty),
            ("10", ParseDurationError::UnitMissing),
            ("s", ParseDurationError::NumberExpected),
            ("-1s", ParseDurationError::NumberExpected),
            ("1.5", ParseDurationError::NumberExpected),
            ("1M", ParseDurationError::UnitUnknown),
            ("1.5ms", ParseDurationError::TooFine),
            ("1.0005s", ParseDurationError::TooFine),
            ("0.1 ms", ParseDurationError::TooFine),
            ("1,5s", ParseDurationError::NumberExpected),
            ("1..5s", ParseDurationError::NumberExpected),
            ("1.2.3s", ParseDurationError::NumberExpected),
            (".s", ParseDurationError::NumberExpected),
            ("30s1x", ParseDurationError::UnitUnknown),
            ("1m0.0001s", ParseDurationError::TooFine),
            ("1m30", ParseDurationError::UnitMissing),
            ("99999999999999999999s", ParseDurationError::TooLong),
            ("999999999999y", ParseDurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_error_shows_what_to_write() {
        for (text, written) in [
            ("1.5m", "1m30s"),
            ("5 s", "5s"),
            (" 1s ", "1s"),
            ("1m 30s", "1m30s"),
            ("0.5s", "500ms"),
            (".25h", "15m"),
            ("2.50s", "2s500ms"),
            ("10sec", "10s"),
            ("2 minutes 5 seconds", "2m5s"),
            ("30s1m", "1m30s"),
            ("1s1s", "2s"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("is not a valid duration; write {written}"), "{text}");
        }
    }

    #[test]
    fn only_whole_days_are_written_as_days() {
        for (text, written) in [("36h", "36h"), ("48h", "2d"), ("90s", "1m30s"), ("0", "0s"), ("14d", "2w")] {
            assert_eq!(display(parse(text).unwrap()).to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn a_displayed_duration_is_parsed_back(milliseconds in 0..=u64::MAX) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&display(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_causes_a_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
