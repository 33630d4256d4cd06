//! Encodings and escapes of text in certificates.

/// Cuts a text from a peer to 1 KiB.
pub(super) fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

/// Decodes a character string with this ASN.1 tag number; `None` for other tags. Invalid characters become U+FFFD.
pub(super) fn character_string(tag: u32, bytes: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, NumericString, PrintableString, IA5String, VisibleString.
        12 | 18 | 19 | 22 | 26 => Some(String::from_utf8_lossy(bytes).into_owned()),
        // TeletexString, which is Latin-1 in practice.
        20 => Some(bytes.iter().copied().map(char::from).collect()),
        // UniversalString: UTF-32.
        28 => {
            let (units, _) = bytes.as_chunks::<4>();
            let character = |unit: &[u8; 4]| char::from_u32(u32::from_be_bytes(*unit));
            Some(
                units
                    .iter()
                    .map(|unit| character(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        // BMPString: UTF-16.
        30 => {
            let (units, _) = bytes.as_chunks::<2>();
            let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
            Some(
                char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// Escapes a value within a distinguished name (RFC 4514 section 2.4).
pub(super) fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        match character {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' | ' ' if index == 0 => text.extend(['\\', character]),
            ' ' if index == last => text.push_str("\\ "),
            _ => text.push(character),
        }
    }
    text
}

/// Maximum length of a text in bytes.
const MAX_TEXT_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_in_rfc_4514() {
        for (value, expected) in [
            ("plain", "plain"),
            ("Smith, John", "Smith\\, John"),
            ("#1", "\\#1"),
            (" a ", "\\ a\\ "),
            ("a\0b", "a\\00b"),
            ("a\nb", "a\nb"),
            (" ", "\\ "),
            ("\"+;<>\\", "\\\"\\+\\;\\<\\>\\\\"),
        ] {
            assert_eq!(escaped(value), expected, "{value:?}");
        }
    }

    #[test]
    fn every_type_of_character_string_is_decoded() {
        for (tag, bytes, expected) in [
            (12, &b"M\xc3\xbcnchen"[..], Some("M\u{fc}nchen")),
            (12, b"\xff", Some("\u{fffd}")),
            (20, b"M\xfcnchen", Some("M\u{fc}nchen")),
            (28, b"\0\0\0A\0\0\xd8\0", Some("A\u{fffd}")),
            (30, b"\0A\xd8\x00", Some("A\u{fffd}")),
            (4, b"A", None),
        ] {
            assert_eq!(character_string(tag, bytes).as_deref(), expected, "{tag} {bytes:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = bounded("\u{20ac}".repeat(1000));
        assert_eq!(text.chars().count(), 341);
    }
}
