//! Moments and peers' texts as they stand in sentences for people.

use std::fmt;

/// A text of a peer in quotes, on one line and no longer than a sentence bears.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars().take(MAX_QUOTED) {
        match character {
            character if character.is_control() || turns_text(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown.push_str(if text.chars().nth(MAX_QUOTED).is_some() { "..\"" } else { "\"" });
    shown
}

/// Whether a character changes how those around it are shown: other lines, other directions.
fn turns_text(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A moment in seconds since 1970, printed as `2026-11-17 12:00:00 UTC`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is a year's last, and are counted in eras of 400 years from
/// 0000-03-01 on, which all have the same length.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March: 0.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day)
}

/// As many characters of a peer's text are quoted.
const MAX_QUOTED: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_as_people_write_them() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_795_000_000, "2026-11-18 11:06:40 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (-631_152_000, "1950-01-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Moment(seconds).to_string(), expected, "{seconds}");
        }
        assert!(!Moment(i64::MIN).to_string().is_empty() && !Moment(i64::MAX).to_string().is_empty());
    }

    #[test]
    fn a_quoted_text_is_one_short_line() {
        assert_eq!(quoted("CN=a\nb\0c\u{1b}[31m\u{202e}"), r#""CN=a\nb\u{0}c\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"x".repeat(500)).len(), MAX_QUOTED + 4);
        assert_eq!(quoted(&"x".repeat(MAX_QUOTED)).len(), MAX_QUOTED + 2);
    }
}
