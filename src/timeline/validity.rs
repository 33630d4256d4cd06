//! The remaining validity of a certificate, or the time since it ended.

use crate::clock::Timestamp;

/// A point in time relative to the validity of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validity {
    /// It expired this many seconds ago.
    Expired(i64),
    /// It becomes valid in this many seconds.
    NotYet(i64),
    /// It expires in this many seconds.
    Valid(i64),
}

impl Validity {
    /// Returns the validity of a certificate from `not_before` to `not_after`, both included (RFC 5280 section
    /// 4.1.2.5).
    pub(crate) fn at(now: Timestamp, not_before: i64, not_after: i64) -> Self {
        let now = now.seconds();
        if now > not_after {
            Self::Expired(now.saturating_sub(not_after))
        } else if now < not_before {
            Self::NotYet(not_before.saturating_sub(now))
        } else {
            Self::Valid(not_after.saturating_sub(now))
        }
    }

    /// Describes it in words.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Expired(seconds) => format!("expired {} ago", span(seconds)),
            Self::NotYet(seconds) => format!("not valid for another {}", span(seconds)),
            Self::Valid(seconds) => format!("expires in {}", span(seconds)),
        }
    }
}

/// Formats a duration in whole units of the largest unit that fits: `63 days`, `1 hour`.
fn span(seconds: i64) -> String {
    let units = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units
        .into_iter()
        .find(|(length, _)| seconds >= *length)
        .unwrap_or((1, "second"));
    match seconds / length {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn validity_is_shown_in_the_largest_unit() {
        const DAY: i64 = 24 * 60 * 60;
        let now = Timestamp::since_epoch(Duration::from_secs(1_000_000_000));
        for (from, to, words) in [
            (-1, 63 * DAY, "expires in 63 days"),
            (-1, 2 * DAY - 1, "expires in 1 day"),
            (0, 0, "expires in 0 seconds"),
            (-DAY, -1, "expired 1 second ago"),
            (-9 * DAY, -3 * DAY - 5, "expired 3 days ago"),
            (2 * 60 * 60, DAY, "not valid for another 2 hours"),
            (90, DAY, "not valid for another 1 minute"),
            (2 * DAY, DAY, "not valid for another 2 days"),
        ] {
            assert_eq!(Validity::at(now, now.seconds() + from, now.seconds() + to).in_words(), words);
        }
        assert_eq!(Validity::at(now, i64::MIN, i64::MIN), Validity::Expired(i64::MAX));
        assert!(matches!(Validity::at(now, i64::MIN, i64::MAX), Validity::Valid(_)));
    }
}
