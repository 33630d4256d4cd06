//! Texts of peers, made safe for labels, terminals and logs.
//!
//! A peer chooses the text of its certificates and greetings. It may contain line breaks, terminal escapes, characters
//! that reverse the rest of a line, or megabytes.

use std::borrow::Cow;

/// Returns whether a character has an effect instead of a glyph: control characters, and format characters that break a
/// line, change the direction of text or are invisible.
pub const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A text as the value of a label: without invisible characters, cut to [`MAX_LABEL_BYTES`] between two characters.
pub fn label_value(text: &str) -> String {
    let mut value = String::new();
    for character in text.chars().filter(|character| !is_invisible(*character)) {
        if value.len() + character.len_utf8() > MAX_LABEL_BYTES {
            break;
        }
        value.push(character);
    }
    value
}

/// A text for a terminal: invisible characters become escapes such as `\u{1b}`.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The first bytes of a reply for messages, on one line.
pub fn excerpt(bytes: &[u8]) -> Cow<'_, str> {
    let shown = bytes.get(..MAX_SHOWN).unwrap_or(bytes);
    let text = match str::from_utf8(shown) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => shown.escape_ascii().to_string(),
    };
    if shown.len() < bytes.len() { format!("{text}..").into() } else { text.into() }
}

/// Longest label value that a peer may choose. Prometheus refuses a whole scrape if one exceeds its limit.
pub const MAX_LABEL_BYTES: usize = 128;

/// Enough to recognise a service by.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_label_value_has_no_control_characters() {
        for (text, value) in [
            ("CN=shop.example,O=M\u{fc}ller", "CN=shop.example,O=M\u{fc}ller"),
            ("two\r\nlines\0", "twolines"),
            ("\u{1b}[31mred\u{9b}0m", "[31mred0m"),
            ("gnp.\u{202e}exe\u{2028}\u{200b}\u{e0041}", "gnp.exe"),
            ("quotes \" and \\ stay", "quotes \" and \\ stay"),
            ("", ""),
        ] {
            assert_eq!(label_value(text), value);
        }
    }

    #[test]
    fn a_label_value_is_cut_between_characters() {
        assert_eq!(label_value(&"x".repeat(10_000)), "x".repeat(128));
        assert_eq!(label_value(&"\u{20ac}".repeat(100)), "\u{20ac}".repeat(42), "three bytes each");
        assert_eq!(label_value(&"\n".repeat(10_000)), "");
        assert_eq!(label_value(&format!("{}x", "\n".repeat(10_000))), "x", "what is left out takes no room");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("a\u{1b}[2Jb\nc\td\u{202e}e"), r"a\u{1b}[2Jb\nc\td\u{202e}e");
        assert_eq!(escaped("M\u{fc}ller \"\\\""), "M\u{fc}ller \"\\\"");
    }

    proptest! {
        #[test]
        fn no_text_gets_through(text in any::<String>()) {
            let value = label_value(&text);
            prop_assert!(value.len() <= MAX_LABEL_BYTES);
            prop_assert!(!value.chars().chain(escaped(&text).chars()).any(char::is_control));
        }
    }
}
