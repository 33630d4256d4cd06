//! Regular expressions on bytes from peers.
//!
//! An expression matches characters: those of UTF-8 text, and each byte that is not part of UTF-8 text as the character
//! with its number, as in Latin-1. So `Gr.ße` matches in either encoding, and `.` matches any byte of binary data. An
//! expression that disables Unicode for more than ASCII, such as `(?-u:\xff)`, matches the bytes themselves.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use regex::{Regex, RegexBuilder, bytes};
use regex_syntax::hir::{Hir, HirKind};
use regex_syntax::{ParserBuilder, hir};

/// A regular expression. `.` matches any character except line ends, `^` and `$` match at line ends, LF or CR LF.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Engine,
    /// Whether a match can depend on the text after it.
    looks_ahead: bool,
}

#[derive(Clone, Debug)]
enum Engine {
    /// All matches consist of whole characters.
    Characters(Regex),
    Bytes(bytes::Regex),
}

impl Pattern {
    /// Compiles an expression.
    pub fn try_new(expression: &str) -> Result<Self, PatternError> {
        let parsed = ParserBuilder::new()
            .multi_line(true)
            .crlf(true)
            .utf8(false)
            .build()
            .parse(expression)
            .map_err(|error| PatternError::invalid(&error))?;
        if steps(&parsed) > MAX_STEPS {
            return Err(PatternError::TooLarge);
        }
        let properties = parsed.properties();
        let regex = if properties.is_utf8() {
            RegexBuilder::new(expression)
                .multi_line(true)
                .crlf(true)
                .size_limit(MAX_BYTES)
                .build()
                .map(Engine::Characters)
        } else {
            bytes::RegexBuilder::new(expression)
                .multi_line(true)
                .crlf(true)
                .size_limit(MAX_BYTES)
                .build()
                .map(Engine::Bytes)
        };
        match regex {
            Ok(regex) => Ok(Self { regex, looks_ahead: !properties.look_set().is_empty() }),
            Err(regex::Error::CompiledTooBig(_)) => Err(PatternError::TooLarge),
            Err(error) => Err(PatternError::invalid(&error)),
        }
    }

    /// Returns the expression.
    pub fn as_str(&self) -> &str {
        match &self.regex {
            Engine::Characters(regex) => regex.as_str(),
            Engine::Bytes(regex) => regex.as_str(),
        }
    }

    /// Returns the names of the groups, if they have one. The first group is the whole match.
    pub fn group_names(&self) -> Vec<Option<Box<str>>> {
        match &self.regex {
            Engine::Characters(regex) => regex.capture_names().map(|name| name.map(Into::into)).collect(),
            Engine::Bytes(regex) => regex.capture_names().map(|name| name.map(Into::into)).collect(),
        }
    }

    /// Returns whether these bytes contain a match.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        match &self.regex {
            Engine::Characters(regex) => regex.is_match(&text(bytes)),
            Engine::Bytes(regex) => regex.is_match(bytes),
        }
    }

    /// Returns whether all data that starts with these bytes contains a match.
    pub fn is_certain_match(&self, start: &[u8]) -> bool {
        let start = whole_characters(start);
        let (end, length) = match &self.regex {
            Engine::Characters(regex) => {
                let text = text(start);
                (regex.shortest_match(&text), text.len())
            }
            Engine::Bytes(regex) => (regex.shortest_match(start), start.len()),
        };
        end.is_some_and(|end| end < length || !self.looks_ahead)
    }

    /// Returns the ranges of the groups in the first match, the first of which is the whole match; `None` for a group
    /// that did not participate.
    pub fn groups(&self, bytes: &[u8]) -> Option<Vec<Option<Range<usize>>>> {
        match &self.regex {
            Engine::Characters(regex) => {
                let captures = regex.captures(&text(bytes)).map(|captures| {
                    let ranges = captures.iter().map(|group| group.map(|group| group.range()));
                    ranges.collect::<Vec<_>>()
                })?;
                let in_bytes = |range: Range<usize>| byte_offset(bytes, range.start)..byte_offset(bytes, range.end);
                Some(captures.into_iter().map(|group| group.map(in_bytes)).collect())
            }
            Engine::Bytes(regex) => {
                let captures = regex.captures(bytes)?;
                Some(captures.iter().map(|group| group.map(|group| group.range())).collect())
            }
        }
    }
}

impl Eq for Pattern {}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The reason why an expression cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Its syntax is invalid; with the reason.
    #[error("is not a valid regular expression: {0}")]
    Invalid(String),
    /// A search would take too long.
    #[error(r"is too large when compiled; use fewer or smaller repetitions, or an ASCII class like (?-u:\w)")]
    TooLarge,
}

impl PatternError {
    /// Converts an error of the libraries, which print several lines with the reason in the last one.
    fn invalid(error: &impl ToString) -> Self {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        Self::Invalid(last.strip_prefix("error: ").unwrap_or(last).to_owned())
    }
}

/// Returns the number of characters that an expression matches one after another or in alternation, with repetitions
/// expanded. A part that may be absent counts once more. The time of a search depends on this number.
fn steps(expression: &Hir) -> u32 {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Class(_) | HirKind::Literal(_) => 1,
        HirKind::Capture(group) => steps(&group.sub),
        HirKind::Repetition(repetition) => copies(repetition)
            .saturating_mul(steps(&repetition.sub))
            .saturating_add(u32::from(repetition.min == 0)),
        HirKind::Alternation(parts) | HirKind::Concat(parts) => parts.iter().map(steps).fold(0, u32::saturating_add),
    }
}

/// Returns the number of copies of a repeated expression in the compiled one.
fn copies(repetition: &hir::Repetition) -> u32 {
    repetition.max.unwrap_or(repetition.min).max(1)
}

/// Returns bytes as text. A byte that is not part of UTF-8 text becomes the character with its number.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().copied().map(char::from));
    }
    text.into()
}

/// Returns the offset in bytes that corresponds to an offset in their [`text`].
fn byte_offset(bytes: &[u8], offset: usize) -> usize {
    let (mut in_text, mut in_bytes) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid().len().min(offset - in_text);
        in_text += valid;
        in_bytes += valid;
        let invalid = chunk.invalid().len().min((offset - in_text) / WIDENED);
        in_text += invalid * WIDENED;
        in_bytes += invalid;
    }
    in_bytes
}

/// Returns the bytes without an incomplete character at their end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    let is_incomplete = |tail: &[u8]| str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    let starts = (1..char::MAX_LEN_UTF8).filter_map(|length| bytes.len().checked_sub(length));
    let splits = starts.filter_map(|start| bytes.split_at_checked(start));
    splits
        .filter(|(_, tail)| is_incomplete(tail))
        .map(|(whole, _)| whole)
        .next()
        .unwrap_or(bytes)
}

/// The length in UTF-8 of the characters that [`text`] has instead of bytes: U+0080 to U+00FF.
const WIDENED: usize = 2;

/// Room for a thousand repetitions of a character. The time of a search grows faster than this limit: on 64 KiB from a
/// hostile peer it takes up to 0.9 s, and with three times the limit 6 s.
const MAX_STEPS: u32 = 1024;

/// Room for a thousand repetitions of `.`, whose characters have up to four bytes. Larger expressions are searched
/// without a cache of states, which takes longer.
const MAX_BYTES: usize = 5 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(expression: &str) -> Pattern {
        Pattern::try_new(expression).unwrap()
    }

    #[test]
    fn a_slow_expression_is_too_large() {
        for (expression, fits) in [
            ("^(?:250-[^\\r\\n]*\\r\\n)*250 .*$", true),
            ("^[ -~]{0,1000}$", true),
            ("(?s)a.{0,1000}b", true),
            (".{0,1000}b", true),
            (r"\w{16}", true),
            ("(?s)a.{0,3000}b", false),
            ("(?s)(a.{0,500}){3}b", false),
            ("(?-u:a[ab]{0,3000}b)", false),
            (r"(a?){1000}a{1000}", false),
            ("(?:a?ö?){500}", false),
            (r"\w{1000}", false),
        ] {
            let result = Pattern::try_new(expression);
            assert_eq!(result.is_ok(), fits, "{expression}");
            assert!(fits || result == Err(PatternError::TooLarge), "{expression}");
        }
    }

    #[test]
    fn characters_are_those_of_utf_8() {
        for (expression, matched) in [
            ("^Gr.ße$", &["Größe", "Große"][..]),
            ("^Gr[öo]ße$", &["Größe", "Große"]),
            (r"^\p{L}{5}$", &["Größe"]),
            ("^(?i)GRÖßE$", &["größe", "GRÖßE", "GRÖẞE"]),
            ("^.{5}$", &["Größe", "日本語日本"]),
            (r"^\w+$", &["Größe"]),
            (r"\xf6", &["Größe"]),
        ] {
            for text in matched {
                assert!(pattern(expression).is_match(text.as_bytes()), "{expression} {text}");
            }
        }
        // Half a character is not a character.
        assert!(!pattern("Gr.{2}ße").is_match("Größe".as_bytes()));
        assert!(!pattern(r"\xc3").is_match("Größe".as_bytes()));
    }

    #[test]
    fn a_byte_beyond_utf_8_is_a_character() {
        for (expression, bytes, expected) in [
            (r"^a.b$", &b"a\xffb"[..], true),
            (r"^a\xffb$", b"a\xffb", true),
            (r"^[^a]$", b"\x80", true),
            ("Gr.ße", b"Gr\xf6\xdfe", true),
            (r"(?-u:\xff\xfe)", b"a\xff\xfe", true),
            (r"(?-u:\xc3)", "Größe".as_bytes(), true),
            (r"(?s-u)^.{7}$", "Größe".as_bytes(), true),
            // Each byte of an incomplete character counts.
            ("^a..b$", b"a\xe6\x97b", true),
            ("^a.b$", b"a\xe6\x97b", false),
            // The number of the byte in UTF-8 is not in the data.
            (r"(?-u:\xc3)", b"a\xffb", false),
        ] {
            assert_eq!(pattern(expression).is_match(bytes), expected, "{expression} {bytes:?}");
        }
    }

    #[test]
    fn groups_are_ranges_of_bytes() {
        for (expression, bytes, expected) in [
            ("(ö)(x)?e", "größe böe".as_bytes(), vec![Some(9..12), Some(9..11), None]),
            ("(.)b", b"\xffa\xfe\xfdb", vec![Some(3..5), Some(3..4)]),
            ("(b+)$", b"\xc3\xb6\xffb", vec![Some(3..4), Some(3..4)]),
            ("^(ö)", b"\xff\n\xc3\xb6", vec![Some(2..4), Some(2..4)]),
            (r"(?-u:(\xff))", b"a\xff", vec![Some(1..2), Some(1..2)]),
            ("()$", b"\xff", vec![Some(1..1), Some(1..1)]),
        ] {
            assert_eq!(pattern(expression).groups(bytes), Some(expected), "{expression} {bytes:?}");
        }
        assert_eq!(pattern("b").groups(b"a\xff"), None);
        assert_eq!(pattern("(a)(?<of>b)").group_names(), [None, None, Some("of".into())]);
    }

    #[test]
    fn a_certain_match_remains_one() {
        for (expression, start, certain) in [
            ("ok", "status: ok", true),
            ("ok$", "status: ok", false),
            ("ok$", "status: ok\n", true),
            ("ok$", "status: ok\r\n", true),
            (r"ok\b", "status: ok", false),
            (r"ok\b", "status: ok,", true),
            ("^status: ok", "status: ok,", true),
            ("ok", "status: ", false),
            (".", "", false),
        ] {
            assert_eq!(pattern(expression).is_certain_match(start.as_bytes()), certain, "{expression} {start:?}");
        }
        // A character that is not complete yet is not a character of Latin-1.
        for start in [&b"\xc3"[..], b"\xe6\x97", b"\xf0\x9f\x92"] {
            assert!(!pattern(r"[\x80-\xff]").is_certain_match(start), "{start:?}");
            assert!(pattern(r"[\x80-\xff]").is_match(start), "{start:?}");
        }
        assert!(pattern(r"[\x80-\xff]").is_certain_match(b"\x80"));
    }
}
