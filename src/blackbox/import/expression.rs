//! Regular expressions and templates of Go as those of portprobe.
//!
//! The syntaxes are nearly equal. Different are quoted text (`\Q..\E`), literal braces, brackets and operators in classes,
//! octal escapes, `\<` and `\>`, and the text that is searched: blackbox_exporter searches one line of a dialogue at a
//! time, and bodies without multi-line mode.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use crate::target::Pattern;

/// The text that an expression is tried on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Haystack {
    /// A whole body.
    Body,
    /// One line without its end. portprobe tries it on all lines, so no part may match a line end.
    Line,
}

/// Converts an expression; the error is the reason why portprobe cannot use it.
pub(super) fn expression(go: &str, haystack: Haystack) -> Result<String, String> {
    let Converter { written, is_anchored, .. } = Converter::run(go, haystack);
    // In a body, `^` and `$` are its start and end unless the expression sets (?m).
    let written = if is_anchored && haystack == Haystack::Body { format!("(?-mR){written}") } else { written };
    Pattern::try_new(&written).map_err(|error| error.to_string())?;
    Ok(written)
}

/// Converts an expression of a relabelling rule, which a whole value must match.
pub(super) fn anchored(go: &str) -> String {
    format!("^(?s:{})$", Converter::run(go, Haystack::Body).written)
}

struct Converter<'a> {
    rest: Peekable<Chars<'a>>,
    haystack: Haystack,
    written: String,
    is_anchored: bool,
}

impl<'a> Converter<'a> {
    fn run(go: &'a str, haystack: Haystack) -> Self {
        let mut converter = Self { rest: go.chars().peekable(), haystack, written: String::new(), is_anchored: false };
        converter.convert();
        converter
    }

    fn convert(&mut self) {
        while let Some(character) = self.rest.next() {
            match character {
                '\\' => self.escape(),
                '[' => self.class(),
                '{' => self.brace(),
                '}' => self.written.push_str("\\}"),
                '(' if self.haystack == Haystack::Line => self.group(),
                '^' | '$' => {
                    self.is_anchored = true;
                    self.written.push(character);
                }
                other => self.literal(other),
            }
        }
    }

    /// An escape outside a class, after the backslash.
    fn escape(&mut self) {
        let is_line = self.haystack == Haystack::Line;
        match self.rest.next() {
            Some('Q') => self.quoted(),
            Some('A') if is_line => self.written.push('^'),
            Some('z') if is_line => self.written.push('$'),
            Some('s') if is_line => self.written.push_str(r"[^\S\r\n]"),
            Some(class @ ('D' | 'W')) if is_line => {
                let _ = write!(self.written, r"[^\{}\r\n]", class.to_ascii_lowercase());
            }
            other => self.simple_escape(other),
        }
    }

    /// An escape that is the same in and outside a class.
    fn simple_escape(&mut self, character: Option<char>) {
        match character {
            Some(first @ '0'..='7') => {
                let mut value = u32::from(first) - u32::from('0');
                let mut digits = 1;
                while let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)).filter(|_| digits < 3) {
                    value = value * 8 + digit;
                    digits += 1;
                    self.rest.next();
                }
                if first != '0' && digits == 1 {
                    // A back-reference, which neither syntax has.
                    let _ = write!(self.written, "\\{first}");
                } else {
                    let _ = write!(self.written, "\\x{{{value:x}}}");
                }
            }
            Some(c) if c.is_ascii_punctuation() => self.punctuation(c),
            Some(c @ ('x' | 'p' | 'P')) if self.rest.peek() == Some(&'{') => {
                self.written.extend(['\\', c]);
                let name = self.rest.clone().take_while(|c| *c != '}').count();
                self.written.extend(self.rest.by_ref().take(name + 1));
            }
            Some(c) => self.written.extend(['\\', c]),
            None => self.written.push('\\'),
        }
    }

    /// Punctuation as a literal.
    fn punctuation(&mut self, character: char) {
        self.written.push_str(&regex_syntax::escape(character.encode_utf8(&mut [0; 4])));
    }

    /// Quoted text up to `\E`, after `\Q`.
    fn quoted(&mut self) {
        while let Some(character) = self.rest.next() {
            if character == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.punctuation(character);
        }
    }

    /// A group, after its parenthesis. Flags about line ends have no meaning within a line.
    fn group(&mut self) {
        let ahead: String = self.rest.clone().take_while(|c| !matches!(c, ')' | ':')).collect();
        let end = self.rest.clone().nth(ahead.chars().count());
        let flags = ahead
            .strip_prefix('?')
            .filter(|flags| flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-')));
        let (Some(flags), Some(end)) = (flags, end) else { return self.written.push('(') };
        let kept = flags.replace(['m', 's'], "");
        let kept = kept.strip_suffix('-').unwrap_or(&kept);
        for _ in 0..=ahead.chars().count() {
            self.rest.next();
        }
        if end == ':' || !kept.is_empty() {
            let _ = write!(self.written, "(?{kept}{end}");
        }
    }

    /// A class, after its bracket.
    fn class(&mut self) {
        self.written.push('[');
        let is_negated = self.rest.next_if_eq(&'^').is_some();
        if is_negated {
            self.written.push('^');
        }
        let mut matches_line_ends = false;
        let mut is_first = true;
        let mut before = None;
        while let Some(character) = self.rest.next() {
            match character {
                ']' if !is_first => {
                    self.close_class(is_negated, matches_line_ends);
                    return;
                }
                '[' if self.rest.peek() == Some(&':') => matches_line_ends |= self.named_class(),
                '\\' => {
                    let escaped = self.rest.next();
                    matches_line_ends |= matches!(escaped, Some('s' | 'D' | 'W' | 'n' | 'r'));
                    self.simple_escape(escaped);
                }
                '[' | ']' | '&' | '~' => self.written.extend(['\\', character]),
                // Two hyphens would be a difference of classes, and one before the added line ends a range.
                '-' if before == Some('-') || self.rest.peek() == Some(&']') => self.written.push_str("\\-"),
                other => self.literal(other),
            }
            is_first = false;
            before = Some(character);
        }
    }

    /// The end of a class. In a line, it must not match the line end.
    fn close_class(&mut self, is_negated: bool, matches_line_ends: bool) {
        match self.haystack {
            Haystack::Line if is_negated => self.written.push_str(r"\r\n]"),
            Haystack::Line if matches_line_ends => self.written.push_str(r"&&[^\r\n]]"),
            Haystack::Body | Haystack::Line => self.written.push(']'),
        }
    }

    /// A class such as `[:alpha:]`, after its bracket. Returns whether it may match line ends.
    fn named_class(&mut self) -> bool {
        let name: String = self.rest.clone().take_while(|c| *c != ']').collect();
        if !name.ends_with(':') || name.len() < 3 {
            self.written.push_str("\\[");
            return false;
        }
        for _ in 0..=name.chars().count() {
            self.rest.next();
        }
        let _ = write!(self.written, "[{name}]");
        name.starts_with(":^") || matches!(&*name, ":space:" | ":cntrl:" | ":ascii:")
    }

    /// A repetition, or a literal brace, after the brace.
    fn brace(&mut self) {
        let inside: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let length = inside.chars().count();
        let is_closed = self.rest.clone().nth(length).is_some();
        let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_closed || least.is_empty() || !number(least) || !number(most) {
            self.written.push_str("\\{");
            return;
        }
        let _ = write!(self.written, "{{{inside}}}");
        for _ in 0..=length {
            self.rest.next();
        }
    }

    fn literal(&mut self, character: char) {
        if character.is_control() {
            let _ = write!(self.written, "\\x{{{:x}}}", u32::from(character));
        } else {
            self.written.push(character);
        }
    }
}

/// Converts a template of Go to one with escapes. `groups` are those of the expression whose match fills it; without
/// them, a dollar is a dollar.
pub(super) fn template(go: &[u8], groups: Option<&[Option<Box<str>>]>) -> String {
    converted(go, groups, true)
}

/// Like [`template`], for a label, whose value has no escapes.
pub(super) fn label_template(go: &str, groups: Option<&[Option<Box<str>>]>) -> String {
    converted(go.as_bytes(), groups, false)
}

fn converted(go: &[u8], groups: Option<&[Option<Box<str>>]>, has_escapes: bool) -> String {
    let mut written = String::new();
    for chunk in go.utf8_chunks() {
        let mut rest = chunk.valid().chars();
        while let Some(character) = rest.next() {
            match character {
                '$' => {
                    let length = reference(rest.as_str(), groups, &mut written);
                    rest = rest.as_str().get(length..).unwrap_or_default().chars();
                }
                other if has_escapes => write_escaped(other, &mut written),
                other => written.push(other),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(written, "\\x{byte:02x}");
        }
    }
    written
}

/// Writes a dollar and what it refers to. Returns the number of bytes that this takes of the text after the dollar.
fn reference(rest: &str, groups: Option<&[Option<Box<str>>]>, written: &mut String) -> usize {
    let Some(groups) = groups else {
        written.push_str("$$");
        return 0;
    };
    let braced = rest.strip_prefix('{');
    let text = braced.unwrap_or(rest);
    let name = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    let is_closed = braced.is_none() || text.get(name.len()..).is_some_and(|after| after.starts_with('}'));
    if name.is_empty() || !is_closed {
        written.push_str("$$");
        return usize::from(rest.starts_with('$'));
    }
    let exists = match name.parse::<usize>() {
        Ok(number) => number < groups.len(),
        Err(_) => groups.iter().any(|group| group.as_deref() == Some(name)),
    };
    // A group that does not exist is empty in Go.
    if exists {
        let _ = write!(written, "${{{name}}}");
    }
    name.len() + if braced.is_some() { 2 } else { 0 }
}

fn write_escaped(character: char, written: &mut String) {
    match character {
        '\r' => written.push_str("\\r"),
        '\n' => written.push_str("\\n"),
        '\t' => written.push_str("\\t"),
        '\0' => written.push_str("\\0"),
        '\\' => written.push_str("\\\\"),
        other if other.is_control() => {
            for byte in other.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(written, "\\x{byte:02x}");
            }
        }
        other => written.push(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_converted_or_refused(go in r"[ab019\\\[\](){}^$.*+?|:,=!<>&~\-QEAzsxp_\n]{0,20}") {
            for haystack in [Haystack::Body, Haystack::Line] {
                if let Ok(converted) = expression(&go, haystack) {
                    prop_assert!(Pattern::try_new(&converted).is_ok());
                }
            }
        }

        #[test]
        fn any_bytes_become_a_template(bytes in any::<Vec<u8>>()) {
            let _ = template(&bytes, Some(&[None]));
            prop_assert!(template(&bytes, None).is_ascii() || !bytes.is_ascii());
        }
    }

    #[test]
    fn expressions_for_lines_match_no_line_end() {
        for (go, converted) in [
            ("^SSH-2.0-", "^SSH-2.0-"),
            ("^+OK", "^+OK"),
            ("PING :([^ ]+)", r"PING :([^ \r\n]+)"),
            ("SSH-([^ -]+)", r"SSH-([^ \-\r\n]+)"),
            (r"a\s+b\W\D", r"a[^\S\r\n]+b[^\w\r\n][^\d\r\n]"),
            (r"[\s,]+", r"[\s,&&[^\r\n]]+"),
            (r"[[:space:]]", r"[[:space:]&&[^\r\n]]"),
            (r"\A220\z", "^220$"),
            ("(?s)a.*b", "a.*b"),
            ("(?is:a.)(?U)b(c)", "(?i:a.)(?U)b(c)"),
            ("(?P<x>a)(?:b)", "(?P<x>a)(?:b)"),
        ] {
            assert_eq!(expression(go, Haystack::Line).unwrap(), converted, "{go}");
        }
    }

    #[test]
    fn syntax_of_go_is_converted() {
        for (go, converted) in [
            (r#"{"status":"UP"}"#, r#"\{"status":"UP"\}"#),
            ("a{2}b{1,}c{", r"a{2}b{1,}c\{"),
            (r"\Qa.b\E+", r"a\.b+"),
            (r"\<title\>", "<title>"),
            ("[a[b&&c]", r"[a\[b\&\&c]"),
            ("[]a]", r"[\]a]"),
            (r"\101\x41\pL", r"\x{41}\x41\pL"),
            (r"\x{e9}[\x{fc}\p{Greek}]\P{L}", r"\x{e9}[\x{fc}\p{Greek}]\P{L}"),
            ("^ok$", "(?-mR)^ok$"),
            ("a\tb", r"a\x{9}b"),
            (r"\_\-\/", "_\\-/"),
        ] {
            assert_eq!(expression(go, Haystack::Body).unwrap(), converted, "{go}");
        }
    }

    #[test]
    fn anchors_in_a_body_are_its_ends() {
        let pattern = |go| Pattern::try_new(&expression(go, Haystack::Body).unwrap()).unwrap();
        assert!(!pattern("^b").is_match(b"a\nb"));
        assert!(pattern("(?m)^b").is_match(b"a\nb"));
        assert!(!pattern("a$").is_match(b"a\n"));
    }

    #[test]
    fn invalid_expressions_have_a_reason() {
        let error = expression("(a", Haystack::Line).unwrap_err();
        assert_eq!(error, "is not a valid regular expression: unclosed group");
    }

    #[test]
    fn templates_refer_to_existing_groups() {
        let groups = [None, None, Some("name".into())];
        for (go, converted) in [
            ("PONG ${1}", "PONG ${1}"),
            ("$1x", ""),
            ("$2-$name-${name}", "${2}-${name}-${name}"),
            ("$7$other.", "."),
            ("5$ $$ ${", "5$$ $$ $${"),
            ("a\r\\", r"a\r\\"),
        ] {
            assert_eq!(template(go.as_bytes(), Some(&groups)), converted, "{go}");
        }
        assert_eq!(template(b"cost $1 \xff\x01", None), r"cost $$1 \xff\x01");
        assert_eq!(label_template("a\\b $1", Some(&groups)), "a\\b ${1}");
    }
}
