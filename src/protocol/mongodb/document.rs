//! The necessary part of BSON (<https://bsonspec.org/spec.html>): numbers, strings and booleans of the outermost
//! document. A crate for it would have twenty dependencies.

use bytes::Buf as _;

use super::super::frame::{Malformed, length, take, take_to_zero};

/// The fields of a document by name. Other types are skipped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document<'a>(Vec<(&'a [u8], Value<'a>)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Number(i64),
    Text(&'a [u8]),
    Truth(bool),
}

impl<'a> Document<'a> {
    /// Parses a document.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        Malformed::unless(length(rest.try_get_i32_le()?) == bytes.len(), "its document has the wrong length")?;
        let mut fields = Vec::new();
        loop {
            let kind = rest.try_get_u8()?;
            if kind == 0 {
                Malformed::unless(rest.is_empty(), "data follows its document")?;
                return Ok(Self(fields));
            }
            let name = take_to_zero(&mut rest)?;
            if let Some(value) = value(kind, &mut rest)? {
                fields.push((name, value));
            }
        }
    }

    /// Returns the integer with this name.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        match self.value(name)? {
            Value::Number(number) => i32::try_from(number).ok(),
            Value::Text(_) | Value::Truth(_) => None,
        }
    }

    /// Returns the string with this name.
    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Truth(_) => None,
        }
    }

    /// Returns whether the field with this name is true or a number other than zero.
    pub(super) fn is_true(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Number(number)) => number != 0,
            Some(Value::Truth(truth)) => truth,
            Some(Value::Text(_)) | None => false,
        }
    }

    fn value(&self, name: &str) -> Option<Value<'a>> {
        self.0
            .iter()
            .find(|(found, _)| *found == name.as_bytes())
            .map(|(_, value)| *value)
    }
}

/// Takes a value of this type; `None` if it is skipped.
fn value<'a>(kind: u8, rest: &mut &'a [u8]) -> Result<Option<Value<'a>>, Malformed> {
    let value = match kind {
        DOUBLE => Value::Number(whole(rest.try_get_f64_le()?)),
        STRING => {
            let size = length(rest.try_get_i32_le()?);
            let text = take(rest, size)?;
            Value::Text(text.strip_suffix(b"\0").ok_or("a string in it is not terminated")?)
        }
        TRUTH => Value::Truth(rest.try_get_u8()? != 0),
        INT32 => Value::Number(rest.try_get_i32_le()?.into()),
        INT64 => Value::Number(rest.try_get_i64_le()?),
        _ => {
            skip_value(kind, rest)?;
            return Ok(None);
        }
    };
    Ok(Some(value))
}

/// Converts a number whose fraction is irrelevant: `ok` is 1.0 or 0.0, and some servers send codes as doubles. One that
/// is not an integer becomes zero.
fn whole(number: f64) -> i64 {
    number.trunc().to_string().parse().unwrap_or_default()
}

/// Skips a value of a type that is not needed.
fn skip_value(kind: u8, rest: &mut &[u8]) -> Result<(), Malformed> {
    let size = match kind {
        // Undefined, null, the lowest and the highest key.
        0x06 | 0x0a | 0x7f | 0xff => 0,
        // A date, a timestamp; an object ID; a decimal.
        0x09 | 0x11 => 8,
        0x07 => 12,
        0x13 => 16,
        // A document, an array, code with its scope: their lengths include themselves.
        0x03 | 0x04 | 0x0f => length(rest.try_get_i32_le()?)
            .checked_sub(4)
            .ok_or("a document in it has an invalid length")?,
        // Bytes with a subtype; code and symbols with a zero within their length; a pointer.
        0x05 => length(rest.try_get_i32_le()?).saturating_add(1),
        0x0d | 0x0e => length(rest.try_get_i32_le()?),
        0x0c => length(rest.try_get_i32_le()?).saturating_add(12),
        // A regular expression and its options.
        0x0b => {
            take_to_zero(rest)?;
            take_to_zero(rest)?;
            0
        }
        _ => return Err("a value in its document has an unknown type".into()),
    };
    take(rest, size).map(|_| ())
}

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const TRUTH: u8 = 0x08;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(fields: &[&[u8]]) -> Vec<u8> {
        let fields = fields.concat();
        let length = i32::try_from(fields.len() + 5).unwrap().to_le_bytes();
        [&length[..], &fields, b"\0"].concat()
    }

    #[test]
    fn every_type_is_parsed_or_skipped() {
        let inner = document(&[b"\x10ok\0\0\0\0\0"]);
        let bytes = document(&[
            &[b"\x03inner\0", &*inner].concat(),
            &[b"\x04list\0", &*document(&[])].concat(),
            b"\x05bytes\0\x02\0\0\0\0\xff\xff",
            b"\x07id\0............",
            b"\x09at\0........",
            b"\x0anull\0",
            b"\x0bpattern\0a*\0i\0",
            b"\x0cpointer\0\x02\0\0\0a\0............",
            b"\x0dcode\0\x02\0\0\0;\0",
            b"\x11stamp\0........",
            b"\x12long\0\x07\0\0\0\0\0\0\0",
            b"\x13decimal\0................",
            b"\x02msg\0\x03\0\0\0hi\0",
            b"\x08yes\0\x01",
            b"\x08no\0\0",
            b"\x01ok\0\0\0\0\0\0\0\xf0\x3f",
        ]);
        let read = Document::read(&bytes).unwrap();
        assert_eq!((read.number("long"), read.number("ok"), read.number("msg")), (Some(7), Some(1), None));
        assert_eq!((read.text("msg"), read.text("ok")), (Some(&b"hi"[..]), None));
        assert_eq!(
            ["yes", "no", "ok", "long", "msg", "list"].map(|name| read.is_true(name)),
            [true, false, true, true, false, false]
        );
    }

    #[test]
    fn an_invalid_document_is_an_error() {
        for (bytes, expected) in [
            (&b""[..], Malformed::Short),
            (b"\x05\0\0\0", "its document has the wrong length".into()),
            (b"\x06\0\0\0\0\0", "data follows its document".into()),
            (b"\x06\0\0\0\x10a", "a string in it is not terminated".into()),
            (b"\x0b\0\0\0\x03a\0\0\0\0\0", "a document in it has an invalid length".into()),
            (b"\x0b\0\0\0\x02a\0\0\0\0\0", "a string in it is not terminated".into()),
            (b"\x0b\0\0\0\x02a\0\xff\xff\xff\xff", Malformed::Short),
            (b"\x08\0\0\0\x20a\0\0", "a value in its document has an unknown type".into()),
        ] {
            assert_eq!(Document::read(bytes), Err(expected), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
            let _ = (Document::read(&bytes), Document::read(&document(&[&bytes])));
        }
    }
}
