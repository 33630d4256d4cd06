//! Text from a configuration as messages show it: one short line, no secret in it.

use std::fmt;

use crate::peer_text::escaped;

/// A found text as messages show it: in backquotes, on one line, not too long, and no secret in it.
pub(in crate::config) fn quoted(text: &str) -> impl fmt::Display + '_ {
    Quoted(text)
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever stands before an `@` may be a password, at whichever key it has ended up.
        if self.0.contains('@') {
            return f.write_str("`...` (not shown, for it may hold a password)");
        }
        let mut rest = self.0.char_indices();
        match rest.nth(MAX_QUOTED).and_then(|(end, _)| self.0.get(..end)) {
            Some(start) => write!(f, "`{}...`", OneLine(start)),
            None => write!(f, "`{}`", OneLine(self.0)),
        }
    }
}

/// A text with its invisible characters escaped.
pub(in crate::config) struct OneLine<'a>(pub(in crate::config) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(self.0))
    }
}

/// The nearest of the known words, if it is near enough to be meant.
pub(in crate::config) fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let found = found.to_lowercase();
    let near = |word: &&str| distance(&found, word);
    let best = known.into_iter().min_by_key(near)?;
    (distance(&found, best) <= (best.len() / 3).max(1)).then_some(best)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    strsim::osa_distance(from, to)
}

/// More characters than this are cut off.
pub(in crate::config) const MAX_QUOTED: usize = 60;
/// No key is that long, and the comparison is quadratic.
const MAX_COMPARED_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_found_text_is_one_short_line_without_secrets() {
        for (text, shown) in [
            ("abc", "`abc`".to_owned()),
            ("a\nb\u{1b}", "`a\\nb\\u{1b}`".to_owned()),
            ("a\u{202e}b", "`a\\u{202e}b`".to_owned()),
            (&"ü".repeat(61), format!("`{}...`", "ü".repeat(60))),
            (&"ü".repeat(60), format!("`{}`", "ü".repeat(60))),
            ("tcp://user:secret@host", "`...` (not shown, for it may hold a password)".to_owned()),
        ] {
            assert_eq!(quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn a_slip_is_recognised_and_something_else_is_not() {
        let known = ["interval", "timeout", "ip", "url", "urls"];
        for (found, meant) in [
            ("intervall", Some("interval")),
            ("Timeout", Some("timeout")),
            ("time_out", Some("timeout")),
            ("itnerval", Some("interval")),
            ("pi", Some("ip")),
            ("URL", Some("url")),
            ("every", None),
            ("", None),
            (&"x".repeat(100), None),
        ] {
            assert_eq!(suggestion(found, known), meant, "{found}");
        }
    }
}
