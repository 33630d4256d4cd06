//! The texts of a dialogue's steps: bytes with escapes, and references to groups of the last match.

use std::mem;
use std::str::Chars;

use crate::config::problems::text::quoted;
use crate::target::{Part, Pattern, Template};

/// The groups that a template can refer to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::config) enum CaptureGroups {
    /// None: no expression precedes the template.
    #[default]
    None,
    /// The names of the groups, if they have one; the first group is the whole match.
    Of(Vec<Option<Box<str>>>),
    /// The expression is invalid, so every reference may be valid.
    Unknown,
}

impl CaptureGroups {
    /// The groups of an expression.
    pub(in crate::config) fn of(pattern: &Pattern) -> Self {
        Self::Of(pattern.group_names())
    }

    /// The index of a group by its name or number.
    fn index(&self, wanted: &str) -> Result<usize, Refusal> {
        let number = wanted.bytes().all(|b| b.is_ascii_digit()).then(|| wanted.parse::<usize>().ok());
        match self {
            Self::Unknown => Ok(0),
            Self::None => Err(Refusal::NoMatch),
            Self::Of(names) => match number {
                Some(number) => number.filter(|number| *number < names.len()),
                None => names.iter().position(|name| name.as_deref() == Some(wanted)),
            }
            .ok_or_else(|| Refusal::NoGroup(some(names))),
        }
    }
}

enum Refusal {
    NoGroup(String),
    NoMatch,
}

/// The existing groups, as they would be written.
fn some(names: &[Option<Box<str>>]) -> String {
    let written = names.iter().enumerate().skip(1).map(|(index, name)| match name {
        Some(name) => format!("`${{{name}}}`"),
        None => format!("`${index}`"),
    });
    let written: Vec<_> = written.take(MAX_SHOWN).collect();
    if written.is_empty() {
        return "has no groups; add parentheses".to_owned();
    }
    format!("has the groups {}", written.join(", "))
}

/// Reason why a text cannot be sent, expected or used as a label value. Positions are characters, counted from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::config) enum TemplateError {
    #[error(
        "has a single `$` at character {0}; write `$$` for a dollar, `$1` or `${{name}}` for a group of the last match"
    )]
    Dollar(usize),
    #[error("unknown escape {} at character {position}; must be one of {ESCAPES}", quoted(escape))]
    Escape { escape: String, position: usize },
    #[error("unknown group {} at character {position}; the expression {groups}", quoted(reference))]
    NoGroup { reference: String, position: usize, groups: String },
    #[error("group {} at character {position} requires an earlier `expect` step", quoted(reference))]
    NoMatch { reference: String, position: usize },
    #[error("has `${{` without a closing `}}` at character {0}; write groups as `${{name}}`")]
    Unclosed(usize),
}

/// Text with escapes.
pub(in crate::config) fn bytes(text: &str) -> Result<Box<[u8]>, TemplateError> {
    let mut scanner = Scanner::new(text);
    while let Some(character) = scanner.next() {
        match character {
            '\\' => scanner.escape()?,
            character => scanner.keep(character),
        }
    }
    Ok(scanner.literal.into())
}

/// Text with escapes and references to groups.
pub(in crate::config) fn template(text: &str, groups: &CaptureGroups) -> Result<Template, TemplateError> {
    let mut scanner = Scanner::new(text);
    while let Some(character) = scanner.next() {
        match character {
            '\\' => scanner.escape()?,
            '$' => scanner.group(groups)?,
            character => scanner.keep(character),
        }
    }
    Ok(scanner.finish())
}

/// Text with references to groups.
pub(in crate::config) fn label(text: &str, groups: &CaptureGroups) -> Result<Template, TemplateError> {
    let mut scanner = Scanner::new(text);
    while let Some(character) = scanner.next() {
        match character {
            '$' => scanner.group(groups)?,
            character => scanner.keep(character),
        }
    }
    Ok(scanner.finish())
}

/// Reads a text character by character.
struct Scanner<'a> {
    rest: Chars<'a>,
    /// The number of characters read.
    position: usize,
    parts: Vec<Part>,
    /// The bytes since the last part.
    literal: Vec<u8>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars(), position: 0, parts: Vec::new(), literal: Vec::new() }
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest.next()?;
        self.position += 1;
        Some(character)
    }

    fn keep(&mut self, character: char) {
        self.literal.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Reads the rest of an escape, after the backslash.
    fn escape(&mut self) -> Result<(), TemplateError> {
        let position = self.position;
        let refuse = |escape: String| TemplateError::Escape { escape: format!("\\{escape}"), position };
        let Some(character) = self.next() else { return Err(refuse(String::new())) };
        let byte = match character {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => {
                let digits: String = self.rest.as_str().chars().take(2).collect();
                let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let byte = is_hex.then(|| u8::from_str_radix(&digits, 16).ok()).flatten();
                let byte = byte.ok_or_else(|| refuse(format!("x{digits}")))?;
                self.next();
                self.next();
                byte
            }
            other => return Err(refuse(other.to_string())),
        };
        self.literal.push(byte);
        Ok(())
    }

    /// Reads the rest of a reference, after the dollar.
    fn group(&mut self, groups: &CaptureGroups) -> Result<(), TemplateError> {
        let position = self.position;
        let rest = self.rest.as_str();
        let (wanted, length) = match rest.chars().next() {
            Some('$') => {
                self.next();
                self.keep('$');
                return Ok(());
            }
            Some('{') => {
                let (name, _) = rest
                    .get(1..)
                    .and_then(|rest| rest.split_once('}'))
                    .ok_or(TemplateError::Unclosed(position))?;
                (name, name.chars().count() + 2)
            }
            Some('0'..='9') => {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                (digits, digits.len())
            }
            _ => return Err(TemplateError::Dollar(position)),
        };
        let reference = || format!("${}", rest.chars().take(length).collect::<String>());
        let index = groups.index(wanted).map_err(|refusal| match refusal {
            Refusal::NoGroup(groups) => TemplateError::NoGroup { reference: reference(), position, groups },
            Refusal::NoMatch => TemplateError::NoMatch { reference: reference(), position },
        })?;
        for _ in 0..length {
            self.next();
        }
        self.end_literal();
        self.parts.push(Part::Group(index));
        Ok(())
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Bytes(mem::take(&mut self.literal).into()));
        }
    }

    fn finish(mut self) -> Template {
        self.end_literal();
        Template(self.parts.into())
    }
}

const ESCAPES: &str = r"`\r`, `\n`, `\t`, `\0`, `\\`, `\xNN` (two hex digits)";
const MAX_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups(expression: &str) -> CaptureGroups {
        CaptureGroups::of(&Pattern::try_new(expression).unwrap())
    }

    fn literal(bytes: &[u8]) -> Part {
        Part::Bytes(bytes.into())
    }

    #[test]
    fn escapes_become_bytes() {
        for (text, expected) in [
            ("EHLO a\\r\\n", b"EHLO a\r\n".as_slice()),
            (r"\t\0\\n", b"\t\0\\n"),
            (r"\x00\xfF\x7e0", b"\0\xff\x7e0"),
            ("ü$1", "ü$1".as_bytes()),
        ] {
            assert_eq!(bytes(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_escape_is_reported_with_its_position() {
        for (text, found, position) in [
            (r"a\q", r"\q", 2),
            (r"ü\n\", r"\", 4),
            (r"\x1", r"\x1", 1),
            (r"\x+1", r"\x+1", 1),
            (r"\xüü", r"\xüü", 1),
            (r"\u0041", r"\u", 1),
        ] {
            let error = TemplateError::Escape { escape: found.to_owned(), position };
            assert_eq!(bytes(text), Err(error.clone()), "{text}");
            assert_eq!(template(text, &CaptureGroups::None), Err(error), "{text}");
        }
        let message =
            r"unknown escape `\q` at character 2; must be one of `\r`, `\n`, `\t`, `\0`, `\\`, `\xNN` (two hex digits)";
        assert_eq!(bytes(r"a\q").unwrap_err().to_string(), message);
    }

    #[test]
    fn groups_have_numbers_and_names() {
        let groups = groups("(a)(?<id>b)");
        for (text, expected) in [
            ("$1", vec![Part::Group(1)]),
            ("$0", vec![Part::Group(0)]),
            ("${2}5", vec![Part::Group(2), literal(b"5")]),
            ("a${id}b\\n", vec![literal(b"a"), Part::Group(2), literal(b"b\n")]),
            ("$$1", vec![literal(b"$1")]),
            ("", vec![]),
        ] {
            assert_eq!(template(text, &groups), Ok(Template(expected.into())), "{text}");
        }
        assert_eq!(label(r"\n$1", &groups), Ok(Template([literal(b"\\n"), Part::Group(1)].into())));
    }

    #[test]
    fn an_unknown_group_is_reported_with_the_others() {
        for (text, groups, message) in [
            ("a $2", groups("(a)"), "unknown group `$2` at character 3; the expression has the groups `$1`"),
            (
                "${ID}",
                groups("(a)(?<id>b)"),
                "unknown group `${ID}` at character 1; the expression has the groups `$1`, `${id}`",
            ),
            ("$1", groups("a"), "unknown group `$1` at character 1; the expression has no groups; add parentheses"),
            (
                "$99999999999999999999",
                groups("(a)"),
                "unknown group `$99999999999999999999` at character 1; the expression has the groups `$1`",
            ),
            ("$1", CaptureGroups::None, "group `$1` at character 1 requires an earlier `expect` step"),
            (
                "5 $",
                CaptureGroups::Unknown,
                "has a single `$` at character 3; write `$$` for a dollar, `$1` or `${name}` for a group of the last match",
            ),
            ("${a", CaptureGroups::Unknown, "has `${` without a closing `}` at character 1; write groups as `${name}`"),
        ] {
            assert_eq!(template(text, &groups).unwrap_err().to_string(), message, "{text}");
        }
        assert!(template("$7 ${x}", &CaptureGroups::Unknown).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in r"([\\$x{}0-9a-fü]|\PC){0,20}", expression in r"(\(|\)|\?<a>|[a-z.*+|]){0,9}") {
            let groups = Pattern::try_new(&expression).map_or(CaptureGroups::Unknown, |pattern| CaptureGroups::of(&pattern));
            for groups in [&groups, &CaptureGroups::None] {
                let _ = (bytes(&text), template(&text, groups), label(&text, groups));
            }
        }
    }
}
