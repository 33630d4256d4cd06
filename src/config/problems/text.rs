//! Text for messages: quotes from a configuration, one short line without secrets, and suggestions for misspelt words.

use std::fmt;

use crate::peer_text::escaped;

/// A text from a configuration, for a message: in backquotes, on one line, shortened, without secrets.
pub(in crate::config) fn quoted(text: &str) -> impl fmt::Display + '_ {
    Quoted(text)
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In any value, text before an `@` may be a password.
        if self.0.contains('@') {
            return f.write_str("`...` (hidden, may contain a password)");
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

/// The known word that was probably meant by `found`, if one is near enough.
pub(in crate::config) fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let found = found.to_lowercase();
    let near = |word: &&str| distance(&found, word);
    let best = known.into_iter().min_by_key(near)?;
    (distance(&found, best) <= (best.len() / 3).max(1)).then_some(best)
}

/// Lists words in a message, for after "must be".
pub(in crate::config) fn any_of(words: &[&str]) -> String {
    match words {
        [one] => format!("`{one}`"),
        [one, other] => format!("`{one}` or `{other}`"),
        words => format!("one of `{}`", words.join("`, `")),
    }
}

/// The number of letters to insert, remove, replace or swap with a neighbour.
fn distance(from: &str, to: &str) -> usize {
    strsim::osa_distance(from, to)
}

/// Longer texts are cut.
pub(in crate::config) const MAX_QUOTED: usize = 60;
/// No key is longer, and the comparison is quadratic.
const MAX_COMPARED_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_short_and_has_no_secrets() {
        for (text, shown) in [
            ("abc", "`abc`".to_owned()),
            ("a\nb\u{1b}", "`a\\nb\\u{1b}`".to_owned()),
            ("a\u{202e}b", "`a\\u{202e}b`".to_owned()),
            (&"ü".repeat(61), format!("`{}...`", "ü".repeat(60))),
            (&"ü".repeat(60), format!("`{}`", "ü".repeat(60))),
            ("tcp://user:secret@host", "`...` (hidden, may contain a password)".to_owned()),
        ] {
            assert_eq!(quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
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
