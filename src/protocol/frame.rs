//! Binary messages with a length in their header, and their fields.
//!
//! Fields are read with `bytes::Buf::try_get_*` and [`take`], which return [`Malformed::Short`] at the end of the
//! bytes.

use std::borrow::Cow;

use bytes::{Buf as _, TryGetError};

use super::wire::{MAX_REPLY, Parsed};

/// A reason why bytes are not a message of a protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Malformed {
    /// The bytes end too early.
    Short,
    /// The bytes are invalid; with the reason.
    Wrong(Cow<'static, str>),
}

impl Malformed {
    /// Returns an error unless the condition holds.
    pub(super) fn unless(holds: bool, why: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(why.into()) }
    }
}

impl From<&'static str> for Malformed {
    fn from(why: &'static str) -> Self {
        Self::Wrong(why.into())
    }
}

impl From<String> for Malformed {
    fn from(why: String) -> Self {
        Self::Wrong(why.into())
    }
}

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Self {
        Self::Short
    }
}

impl From<Malformed> for String {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Short => "it is truncated".to_owned(),
            Malformed::Wrong(why) => why.into_owned(),
        }
    }
}

impl<T> Parsed<T> {
    /// Interprets a complete message.
    pub(super) fn and_then<U>(self, read: impl FnOnce(T) -> Result<U, Malformed>) -> Parsed<U> {
        match self {
            Self::Incomplete => Parsed::Incomplete,
            Self::Invalid(why) => Parsed::Invalid(why),
            Self::Complete(value, used) => match read(value) {
                Ok(read) => Parsed::Complete(read, used),
                Err(malformed) => Parsed::Invalid(malformed.into()),
            },
        }
    }
}

/// Parses a message whose header of `header` bytes holds the total length, including the header.
///
/// An invalid header is an error even before the message is complete, as is a length above [`MAX_REPLY`] or below that
/// of the header.
pub(super) fn frame(
    buffered: &[u8],
    header: usize,
    length: impl FnOnce(&[u8]) -> Result<usize, Malformed>,
) -> Parsed<Vec<u8>> {
    let Some(head) = buffered.get(..header) else { return Parsed::Incomplete };
    let length = match length(head) {
        Ok(length) => length,
        Err(malformed) => return Parsed::Invalid(malformed.into()),
    };
    if !(header..=MAX_REPLY).contains(&length) {
        return Parsed::Invalid(format!("its length {length} is invalid"));
    }
    match buffered.get(..length) {
        Some(message) => Parsed::Complete(message.to_vec(), length),
        None => Parsed::Incomplete,
    }
}

/// Parses a message without a length, which is complete when `read` has found all fields.
pub(super) fn unframed<T>(buffered: &[u8], read: impl FnOnce(&mut &[u8]) -> Result<T, Malformed>) -> Parsed<T> {
    let mut rest = buffered;
    match read(&mut rest) {
        Ok(value) => Parsed::Complete(value, buffered.len() - rest.len()),
        Err(Malformed::Short) => Parsed::Incomplete,
        Err(Malformed::Wrong(why)) => Parsed::Invalid(why.into_owned()),
    }
}

/// Converts a number from the wire to a length. An invalid one becomes the largest length.
pub(super) fn length(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

/// Takes the next `count` bytes.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, after) = rest.split_at_checked(count).ok_or(Malformed::Short)?;
    *rest = after;
    Ok(taken)
}

/// Takes the next bytes up to a zero, which is consumed.
pub(super) fn take_to_zero<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .ok_or("a string in it is not terminated")?;
    let text = take(rest, end)?;
    rest.try_get_u8()?;
    Ok(text)
}

/// Returns the start of a text from a peer, for messages.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes)).into_owned()
}

/// Returns the dotted numbers at the start of a text: `10.11.6` of `10.11.6-MariaDB`.
pub(super) fn dotted(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let numbers = text.get(..end)?.trim_end_matches('.');
    let fits = numbers.split('.').all(|number| (1..=MAX_DIGITS).contains(&number.len()));
    (fits && (2..=MAX_NUMBERS).contains(&numbers.split('.').count())).then_some(numbers)
}

/// Maximum length of a text in a message.
const MAX_TEXT: usize = 200;

/// Maximum digits of a number in a version, such as `22000`.
const MAX_DIGITS: usize = 5;

/// Maximum numbers in a version, such as `19.3.0.0.0`.
const MAX_NUMBERS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(received: &[u8]) -> Parsed<Vec<u8>> {
        frame(received, 4, |mut head| Ok(length(head.try_get_i32()?)))
    }

    #[test]
    fn a_frame_ends_at_its_length() {
        for (received, expected) in [
            (&b""[..], Parsed::Incomplete),
            (b"\0\0\0", Parsed::Incomplete),
            (b"\0\0\0\x04", Parsed::Complete(b"\0\0\0\x04".to_vec(), 4)),
            (b"\0\0\0\x06ab", Parsed::Complete(b"\0\0\0\x06ab".to_vec(), 6)),
            (b"\0\0\0\x06abc", Parsed::Complete(b"\0\0\0\x06ab".to_vec(), 6)),
            (b"\0\0\0\x06a", Parsed::Incomplete),
            (b"\0\x01\0\0", Parsed::Incomplete),
            (b"\0\0\0\0", Parsed::Invalid("its length 0 is invalid".to_owned())),
            (b"\0\0\0\x03", Parsed::Invalid("its length 3 is invalid".to_owned())),
            (b"\0\x01\0\x01", Parsed::Invalid("its length 65537 is invalid".to_owned())),
            (b"\xff\xff\xff\xff", Parsed::Invalid(format!("its length {} is invalid", usize::MAX))),
        ] {
            assert_eq!(sized(received), expected, "{}", received.escape_ascii());
        }
    }

    #[test]
    fn missing_bytes_are_not_taken() {
        let mut rest = &b"ab\0c"[..];
        assert_eq!(take(&mut rest, 1), Ok(&b"a"[..]));
        assert_eq!(take_to_zero(&mut rest), Ok(&b"b"[..]));
        assert_eq!(take_to_zero(&mut rest), Err("a string in it is not terminated".into()));
        assert_eq!(take(&mut rest, usize::MAX), Err(Malformed::Short));
        assert_eq!(rest, b"c");
    }

    #[test]
    fn a_version_is_dotted_numbers() {
        for (text, expected) in [
            ("10.11.6-MariaDB", Some("10.11.6")),
            ("8.0", Some("8.0")),
            ("19.3.0.0.0", Some("19.3.0.0.0")),
            ("3.4.", Some("3.4")),
            ("1.2.3.4.5.6", None),
            ("20261125.1", None),
            ("1..2", None),
            (".1", None),
            ("8", None),
            ("v1.2", None),
            ("", None),
        ] {
            assert_eq!(dotted(text), expected, "{text}");
        }
    }
}
