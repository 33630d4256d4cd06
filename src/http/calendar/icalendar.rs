//! A calendar in the format of RFC 5545: lines of at most 75 octets that end with CR LF.

use std::fmt;

use crate::clock::Utc;

/// A calendar that is being written.
#[derive(Debug)]
pub(super) struct Calendar(String);

impl Calendar {
    /// Begins a calendar.
    pub(super) fn new(name: &str, description: &str) -> Self {
        let mut calendar = Self(String::new());
        calendar.begin("VCALENDAR");
        calendar.raw("VERSION", "2.0");
        calendar.raw("PRODID", concat!("-//portprobe//portprobe ", env!("CARGO_PKG_VERSION"), "//EN"));
        calendar.raw("CALSCALE", "GREGORIAN");
        // RFC 7986, and the properties that clients knew before it.
        calendar.text("NAME", name);
        calendar.text("X-WR-CALNAME", name);
        calendar.text("DESCRIPTION", description);
        calendar.text("X-WR-CALDESC", description);
        calendar.raw("REFRESH-INTERVAL;VALUE=DURATION", "PT6H");
        calendar.raw("X-PUBLISHED-TTL", "PT6H");
        calendar
    }

    /// Ends the calendar.
    pub(super) fn finish(mut self) -> String {
        self.end("VCALENDAR");
        self.0
    }

    /// Begins a component.
    pub(super) fn begin(&mut self, component: &str) {
        self.raw("BEGIN", component);
    }

    /// Ends a component.
    pub(super) fn end(&mut self, component: &str) {
        self.raw("END", component);
    }

    /// Adds a property whose value needs no escapes.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        let mut column = 0;
        for character in name.chars().chain([':']).chain(value.chars()) {
            if column + character.len_utf8() > MAX_OCTETS {
                self.0.push_str("\r\n ");
                column = 1;
            }
            self.0.push(character);
            column += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    /// Adds a property whose value is text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '\\' | ';' | ',' => escaped.extend(['\\', character]),
                '\n' => escaped.push_str("\\n"),
                _ => escaped.push(character),
            }
        }
        self.raw(name, &escaped);
    }
}

/// A second since 1970 in the calendar, from 1970 to 9999.
#[derive(Clone, Copy, Debug)]
pub(super) struct DateTime(pub(super) i64);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:#}", Utc::of_seconds(self.0.max(0)));
        f.write_str(&text.replace(['-', ':'], ""))
    }
}

/// Octets of a line without its end.
const MAX_OCTETS: usize = 75;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(write: impl FnOnce(&mut Calendar)) -> String {
        let mut calendar = Calendar(String::new());
        write(&mut calendar);
        calendar.0
    }

    #[test]
    fn text_is_escaped() {
        let written = lines(|calendar| calendar.text("SUMMARY", "a,b;c\\d\ne:\"f\""));
        assert_eq!(written, "SUMMARY:a\\,b\\;c\\\\d\\ne:\"f\"\r\n");
    }

    #[test]
    fn dates_have_four_digits_of_a_year() {
        for (seconds, expected) in [
            (1_795_207_992, "20261120T205312Z"),
            (i64::MAX, "99991231T235959Z"),
            (-1, "19700101T000000Z"),
            (i64::MIN, "19700101T000000Z"),
        ] {
            assert_eq!(DateTime(seconds).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn folded_lines_unfold_to_their_text(text in "[^\\p{C}\\\\;,]{0,200}") {
            let written = lines(|calendar| calendar.text("SUMMARY", &text));
            for line in written.strip_suffix("\r\n").unwrap().split("\r\n") {
                prop_assert!(line.len() <= 75, "{}", line);
            }
            let unfolded = written.replace("\r\n ", "");
            prop_assert_eq!(unfolded, format!("SUMMARY:{text}\r\n"));
        }
    }
}
