//! Texts of peers in messages.

use crate::peer_text::is_invisible;

/// A text of a peer in quotes, on one line, shortened to the length of a message.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars().take(MAX_QUOTED) {
        match character {
            character if is_invisible(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown.push_str(if text.chars().nth(MAX_QUOTED).is_some() { "..\"" } else { "\"" });
    shown
}

/// Quoted characters of a peer's text.
const MAX_QUOTED: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_short_line() {
        assert_eq!(quoted("CN=a\nb\0c\u{1b}[31m\u{202e}"), r#""CN=a\nb\u{0}c\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"x".repeat(500)).len(), MAX_QUOTED + 4);
        assert_eq!(quoted(&"x".repeat(MAX_QUOTED)).len(), MAX_QUOTED + 2);
    }
}
