//! Field tables (AMQP 0-9-1 section 4.2.5.5), with the types that RabbitMQ uses
//! (<https://www.rabbitmq.com/amqp-0-9-1-errata>, section 3).

use bytes::Buf as _;

use super::super::frame::{Malformed, length, take};

/// The strings of a table by name. Other types are skipped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Table<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Table<'a> {
    /// Parses a table after its length.
    pub(super) fn read(mut rest: &'a [u8]) -> Result<Self, Malformed> {
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let size = rest.try_get_u8()?;
            let name = take(&mut rest, size.into())?;
            let kind = rest.try_get_u8()?;
            let size = size_of(kind, &mut rest)?;
            let value = take(&mut rest, size)?;
            if kind == b'S' {
                texts.push((name, value));
            }
        }
        Ok(Self(texts))
    }

    /// Returns the string with this name.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(found, _)| *found == name.as_bytes())?;
        str::from_utf8(value).ok()
    }
}

/// Returns the length of a value of this type and consumes its length field, if it has one.
fn size_of(kind: u8, rest: &mut &[u8]) -> Result<usize, Malformed> {
    match kind {
        b'V' => Ok(0),
        b't' | b'b' | b'B' => Ok(1),
        b's' | b'U' | b'u' => Ok(2),
        b'I' | b'i' | b'f' => Ok(4),
        b'D' => Ok(5),
        b'L' | b'l' | b'd' | b'T' => Ok(8),
        b'S' | b'A' | b'F' | b'x' => Ok(length(rest.try_get_u32()?)),
        _ => Err("a value in its table has an unknown type".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_type_is_skipped() {
        let fields: &[&[u8]] = &[
            b"\x01aV",
            b"\x01bt\x01",
            b"\x01cs\0\x01",
            b"\x01dI\0\0\0\x01",
            b"\x01eD\x01\0\0\0\x01",
            b"\x01fT\0\0\0\0\0\0\0\x01",
            b"\x01gF\0\0\0\x05\x01xt\x01\0",
            b"\x01hx\0\0\0\x01\xff",
            b"\x07versionS\0\0\0\x033.8",
        ];
        let table = fields.concat();
        let read = Table::read(&table).unwrap();
        assert_eq!((read.text("version"), read.text("product")), (Some("3.8"), None));
    }

    #[test]
    fn an_invalid_table_is_an_error() {
        for (bytes, expected) in [
            (&b"\x05abc"[..], Malformed::Short),
            (b"\x01a", Malformed::Short),
            (b"\x01aS\xff\xff\xff\xff", Malformed::Short),
            (b"\x01a?", "a value in its table has an unknown type".into()),
        ] {
            assert_eq!(Table::read(bytes), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
            let _ = Table::read(&bytes);
        }
    }
}
