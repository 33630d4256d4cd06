//! Responses of lines: one line with a fixed start, several up to a last one, or a reply with a code of three digits.

use super::wire::Parsed;

/// Parses a line that starts with one of `begins` in any case, without its LF or CR LF. Other bytes are invalid as soon
/// as they arrive.
pub(super) fn line(buffered: &[u8], begins: &[&[u8]]) -> Parsed<Vec<u8>> {
    if !begins.iter().any(|begin| is_like(buffered, begin)) {
        return Parsed::Invalid("it does not start as expected".to_owned());
    }
    let Some(end) = buffered.iter().position(|byte| *byte == b'\n') else { return Parsed::Incomplete };
    let line = buffered.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !begins.iter().any(|begin| line.len() >= begin.len() && is_like(line, begin)) {
        return Parsed::Invalid("its line ends too early".to_owned());
    }
    Parsed::Complete(line.to_vec(), end + 1)
}

/// Parses a line like [`line()`] and returns it as text.
pub(super) fn text(buffered: &[u8], begins: &[&str]) -> Parsed<String> {
    match block(buffered, &[], begins) {
        Parsed::Complete(mut lines, length) => Parsed::Complete(lines.pop().unwrap_or_default(), length),
        Parsed::Incomplete => Parsed::Incomplete,
        Parsed::Invalid(why) => Parsed::Invalid(why),
    }
}

/// Parses lines that start with one of `begins`, up to the first that starts with one of `last`, both in any case.
pub(super) fn block(buffered: &[u8], begins: &[&str], last: &[&str]) -> Parsed<Vec<String>> {
    let every: Vec<_> = begins.iter().chain(last).map(|begin| begin.as_bytes()).collect();
    let mut lines = Vec::new();
    let mut used = 0;
    loop {
        let (line, length) = match line(buffered.get(used..).unwrap_or_default(), &every) {
            Parsed::Complete(line, length) => (String::from_utf8_lossy(&line).into_owned(), length),
            Parsed::Incomplete => return Parsed::Incomplete,
            Parsed::Invalid(why) => return Parsed::Invalid(why),
        };
        used += length;
        let ends = last.iter().any(|begin| begins_with(&line, begin));
        lines.push(line);
        if ends {
            return Parsed::Complete(lines, used);
        }
    }
}

/// Returns whether a line starts with a keyword in any case.
pub(super) fn begins_with(line: &str, keyword: &str) -> bool {
    strip_keyword(line, keyword).is_some()
}

/// Returns the rest of a line that starts with a keyword in any case.
pub(super) fn strip_keyword<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, rest) = line.split_at_checked(keyword.len())?;
    start.eq_ignore_ascii_case(keyword).then_some(rest)
}

/// A reply of SMTP or FTP (RFC 5321 section 4.2, RFC 959 section 4.2): the code of its last line and the text of every
/// line. The last line starts with `220 `, the others with `220-`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text after each code. FTP also has lines without a code.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Returns the text on one line, for messages.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// Parses a reply. Lines between the first and the last can be anything, even a line with another code (RFC 959).
pub(super) fn reply(buffered: &[u8]) -> Parsed<Reply> {
    reply_with(buffered, |code, first| code == first)
}

/// Parses a reply of SMTP or LMTP, whose last line may have another code than the first: postscreen of Postfix sends
/// `220-` at once, and 421 or 521 after its tests.
pub(super) fn mail_reply(buffered: &[u8]) -> Parsed<Reply> {
    reply_with(buffered, |_, _| true)
}

/// Parses a reply. `belongs` decides whether a code belongs to the reply, given the code of the first line.
fn reply_with(buffered: &[u8], belongs: fn(u16, u16) -> bool) -> Parsed<Reply> {
    let mut lines = Vec::new();
    let mut used = 0;
    let mut first = None;
    loop {
        let rest = buffered.get(used..).unwrap_or_default();
        let begun = rest.iter().take(3).all(u8::is_ascii_digit) && rest.get(3).is_none_or(|byte| is_separator(*byte));
        if first.is_none() && !begun {
            return Parsed::Invalid(NO_CODE.to_owned());
        }
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Parsed::Incomplete };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        used += end + 1;
        let coded = code(line).filter(|(code, _)| first.is_none_or(|first| belongs(*code, first)));
        let text = if coded.is_some() { line.get(4..).unwrap_or_default() } else { line };
        lines.push(String::from_utf8_lossy(text).into_owned());
        match (coded, first) {
            (Some((code, true)), _) => return Parsed::Complete(Reply { code, lines }, used),
            (Some((code, false)), None) => first = Some(code),
            (Some((_, false)) | None, Some(_)) => {}
            (None, None) => return Parsed::Invalid(NO_CODE.to_owned()),
        }
    }
}

const NO_CODE: &str = "it does not start with a code of three digits";

/// Returns the first known product in a text, with the version after it if there is one.
///
/// The list is fixed, because a pattern would mistake times, process numbers and tokens in greetings for names.
pub(super) fn product(text: &str, known: &[&str]) -> Option<String> {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | ',' | ';'))
        .collect();
    words.iter().enumerate().find_map(|(index, word)| {
        let (name, after) = word
            .split_once('/')
            .map_or((*word, None), |(name, version)| (name, Some(version)));
        let known = known
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name.trim_end_matches('.')))?;
        let version = after.or_else(|| words.get(index + 1).copied()).filter(|word| is_version(word));
        Some(version.map_or_else(|| (*known).to_owned(), |version| format!("{known} {version}")))
    })
}

/// Returns whether a word is a version such as `8.15.2`, `v3.0.3` or `2.4.57-1`.
pub(super) fn is_version(word: &str) -> bool {
    let digits = word.strip_prefix('v').unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.contains('.')
        && word.len() <= MAX_VERSION
        && digits
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_' | '~'))
}

/// Maximum length of a version.
const MAX_VERSION: usize = 32;

/// Returns the code of a line, and whether the line is the last of its reply.
fn code(line: &[u8]) -> Option<(u16, bool)> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let last = match line.get(3) {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, last))
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'\r' | b'\n')
}

/// Like [`agree`], in any case.
fn is_like(buffered: &[u8], begin: &[u8]) -> bool {
    buffered
        .iter()
        .zip(begin)
        .all(|(buffered, expected)| buffered.eq_ignore_ascii_case(expected))
}

/// Returns whether one of the arguments is a prefix of the other.
pub(super) fn agree(buffered: &[u8], begin: &[u8]) -> bool {
    buffered.iter().zip(begin).all(|(buffered, expected)| buffered == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_complete_or_invalid_early() {
        for (received, expected) in [
            ("", Parsed::Incomplete),
            ("+", Parsed::Incomplete),
            ("+OK ready\r", Parsed::Incomplete),
            ("+OK ready\r\nmore", Parsed::Complete(b"+OK ready".to_vec(), 11)),
            ("-ERR\n", Parsed::Complete(b"-ERR".to_vec(), 5)),
            ("+\n", Parsed::Invalid("it does not start as expected".to_owned())),
            ("SSH", Parsed::Invalid("it does not start as expected".to_owned())),
            ("+OX", Parsed::Invalid("it does not start as expected".to_owned())),
            ("+oK ready\n", Parsed::Complete(b"+oK ready".to_vec(), 10)),
            ("-er\n", Parsed::Invalid("it does not start as expected".to_owned())),
        ] {
            assert_eq!(line(received.as_bytes(), &[b"+OK", b"-ERR"]), expected, "{received:?}");
        }
        assert_eq!(line(b"\n", &[b""]), Parsed::Complete(Vec::new(), 1));
    }

    #[test]
    fn a_block_ends_with_its_last_line() {
        let lines = |lines: &[&str], length| {
            Parsed::Complete(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), length)
        };
        for (received, expected) in [
            ("", Parsed::Incomplete),
            ("* A\r\n", Parsed::Incomplete),
            ("* A\r\na1 OK", Parsed::Incomplete),
            ("* A\r\n* B\na1 OK\r\nmore", lines(&["* A", "* B", "a1 OK"], 16)),
            ("a1 OK\r\n", lines(&["a1 OK"], 7)),
            ("* a\r\nA1 ok\r\n", lines(&["* a", "A1 ok"], 12)),
            ("* A\r\nb", Parsed::Invalid("it does not start as expected".to_owned())),
        ] {
            assert_eq!(block(received.as_bytes(), &["* "], &["a1 "]), expected, "{received:?}");
        }
        assert_eq!(text(b"+OK a\xff\r\n", &["+OK", "-ERR"]), Parsed::Complete("+OK a\u{fffd}".to_owned(), 8));
    }

    #[test]
    fn only_known_products_are_found() {
        for (text, expected) in [
            ("mx.example ESMTP Postfix (Debian/GNU)", Some("Postfix")),
            ("mail ESMTP Exim 4.96 Wed, 25 Nov 2026 03:00:00 +0000", Some("Exim 4.96")),
            ("(vsFTPd 3.0.3)", Some("vsFTPd 3.0.3")),
            ("nginx/1.22.1", Some("nginx 1.22.1")),
            ("mx.google.com ESMTP d9443c01a7336-1fb0f4a", None),
            ("Postfix 12:30", Some("Postfix")),
            ("postfixed", None),
            ("", None),
        ] {
            let found = product(text, &["Postfix", "Exim", "vsFTPd", "nginx"]);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_reply_ends_without_a_hyphen() {
        let whole = |code, lines: &[&str], length| {
            Parsed::Complete(Reply { code, lines: lines.iter().map(|line| (*line).to_owned()).collect() }, length)
        };
        let wrong = || Parsed::Invalid("it does not start with a code of three digits".to_owned());
        for (received, expected) in [
            ("", Parsed::Incomplete),
            ("22", Parsed::Incomplete),
            ("220 mx ESMTP\r\n", whole(220, &["mx ESMTP"], 14)),
            ("220\r\nrest", whole(220, &[""], 5)),
            ("220-a\r\n220-b\r\n220 c\r\n", whole(220, &["a", "b", "c"], 21)),
            ("220-a\r\n220-b\r\n", Parsed::Incomplete),
            ("220-a\r\n 221 b\r\n230 x\r\n220 c\n", whole(220, &["a", " 221 b", "230 x", "c"], 28)),
            ("SSH-2.0", wrong()),
            ("2x", wrong()),
            ("2200", wrong()),
            ("22\r\n", wrong()),
        ] {
            assert_eq!(reply(received.as_bytes()), expected, "{received:?}");
        }
        assert_eq!(mail_reply(b"220-a\r\nb\r\n521 c\r\n"), whole(521, &["a", "b", "c"], 17));
        assert_eq!(mail_reply(b"220-a\r\n421-b\r\n"), Parsed::Incomplete);
    }
}
