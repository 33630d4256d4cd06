//! The picture of a badge: a name, and a state in words, as a symbol and in colour.
//!
//! The server knows no fonts. It estimates the width of a text, and the client fits the text into it.

use std::fmt;

use crate::board::State;
use crate::http::markup::Xml;
use crate::peer_text::escaped;

/// A badge that displays itself as SVG.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Badge<'a> {
    pub(in crate::http) name: &'a str,
    pub(in crate::http) state: State,
}

impl fmt::Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, state) = (shortened(escaped(self.name)), self.state.as_str());
        let (name_width, state_width) = (width(&shown), width(state));
        let left = name_width + 2 * MARGIN;
        let right = MARGIN + SYMBOL_WIDTH + state_width + MARGIN;
        let (name, shown, colour, total) = (Xml(self.name), Xml(&shown), colour(self.state), left + right);
        write!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" viewBox="0 0 {total} 20" role="img" aria-label="{name}: {state}">"#
        )?;
        write!(f, "<title>{name}: {state}</title>")?;
        write!(f, r##"<path fill="#24292f" d="M{left} 0H4a4 4 0 0 0-4 4v12a4 4 0 0 0 4 4H{left}z"/>"##)?;
        let straight = right - 4;
        write!(f, r#"<path fill="{colour}" d="M{left} 0h{straight}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H{left}z"/>"#)?;
        let (symbol, at) = (symbol(self.state), left + MARGIN);
        write!(
            f,
            r##"<path fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" transform="translate({at} 6)" d="{symbol}"/>"##
        )?;
        write!(f, r##"<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">"##)?;
        write!(f, r#"<text x="{MARGIN}" y="14" textLength="{name_width}">{shown}</text>"#)?;
        let at = at + SYMBOL_WIDTH;
        write!(f, r#"<text x="{at}" y="14" textLength="{state_width}">{state}</text></g></svg>"#)
    }
}

/// Returns a name of bearable length. The title has all of it.
fn shortened(name: String) -> String {
    if name.chars().count() <= MAX_CHARACTERS {
        return name;
    }
    let mut shown: String = name.chars().take(MAX_CHARACTERS - 1).collect();
    shown.push('\u{2026}');
    shown
}

/// Returns the estimated width of a text in pixels.
fn width(text: &str) -> u32 {
    let tenths: u32 = text.chars().map(tenths).sum();
    tenths.div_ceil(10)
}

/// Returns the width of a character in tenths of a pixel, as in Verdana with 11 pixels.
const fn tenths(character: char) -> u32 {
    match character {
        ' ' | '!' | '\'' | ',' | '.' | ':' | ';' | 'I' | '|' | 'i' | 'j' | 'l' => 37,
        '"' | '(' | ')' | '-' | '/' | '[' | '\\' | ']' | 'f' | 'r' | 't' => 48,
        'a'..='z' if !matches!(character, 'm' | 'w') => 67,
        '%' | '@' | 'M' | 'W' | 'm' | 'w' => 104,
        'A'..='Z' => 78,
        '\u{1100}'.. => 110,
        _ => 72,
    }
}

/// Colours with a contrast of at least 5 to white. Those of up and down differ for colour-blind eyes, too.
const fn colour(state: State) -> &'static str {
    match state {
        State::Down => "#a83800",
        State::Unknown => "#4b5763",
        State::Up => "#0b5c8a",
    }
}

/// A cross, a line and a check mark in 8 by 8 pixels.
const fn symbol(state: State) -> &'static str {
    match state {
        State::Down => "M1 1l6 6M7 1l-6 6",
        State::Unknown => "M1 4h6",
        State::Up => "M0.5 4.5l2.5 2.5 4.5-6",
    }
}

/// Pixels on both sides of a text.
const MARGIN: u32 = 7;

/// Width of a symbol and the space after it.
const SYMBOL_WIDTH: u32 = 13;

/// Maximum number of characters of a name in a badge.
const MAX_CHARACTERS: usize = 48;

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    #[test]
    fn a_badge_names_its_state_in_words() {
        for (state, word) in [(State::Up, "up"), (State::Down, "down"), (State::Unknown, "unknown")] {
            let svg = Badge { name: "orders-db", state }.to_string();
            let document = Document::parse(&svg).unwrap();
            let root = document.root_element();
            assert_eq!((root.attribute("role"), root.tag_name().name()), (Some("img"), "svg"));
            let accessible = format!("orders-db: {word}");
            assert_eq!(root.attribute("aria-label"), Some(&*accessible));
            let texts: Vec<_> = root
                .descendants()
                .filter(roxmltree::Node::is_text)
                .filter_map(|node| node.text())
                .collect();
            assert_eq!(texts, [&*accessible, "orders-db", word]);
        }
    }

    #[test]
    fn a_long_hostile_name_stays_harmless() {
        let name = "</title><script>alert(1)</script>\u{202e}&\"'".repeat(12);
        let svg = Badge { name: &name, state: State::Up }.to_string();
        let document = Document::parse(&svg).unwrap();
        let tags: Vec<_> = document
            .descendants()
            .filter(roxmltree::Node::is_element)
            .map(|node| node.tag_name().name())
            .collect();
        assert_eq!(tags, ["svg", "title", "path", "path", "path", "g", "text", "text"]);
        let width: u32 = document.root_element().attribute("width").unwrap().parse().unwrap();
        assert!(width < 500, "{width}");
        assert!(!svg.contains('\u{202e}'));
    }
}
