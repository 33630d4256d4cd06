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

/// More characters than this are cut off.
pub(in crate::config) const MAX_QUOTED: usize = 60;

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
}
