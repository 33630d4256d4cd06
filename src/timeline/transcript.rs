//! A transcript as text: printable messages as text, others as a hex dump.

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::styles::{Styles, milliseconds};
use crate::outcome::{Message, Transcript};
use crate::peer_text::is_invisible;

/// A transcript that displays itself as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct TranscriptView<'a> {
    pub(super) transcript: &'a Transcript,
    /// The address, if there are several.
    pub(super) address: Option<IpAddr>,
    pub(super) styles: Styles,
}

impl Display for TranscriptView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.address.map(|address| format!(" of {address}")).unwrap_or_default();
        writeln!(f)?;
        if self.transcript.messages.is_empty() {
            return writeln!(f, "  nothing was sent or received{of}");
        }
        writeln!(f, "  transcript{of}, with the time since the connection was opened")?;
        for message in &self.transcript.messages {
            self.message(f, message)?;
        }
        match self.transcript.omitted {
            0 => Ok(()),
            omitted => writeln!(f, "  and {omitted} more bytes"),
        }
    }
}

impl TranscriptView<'_> {
    fn message(&self, f: &mut fmt::Formatter<'_>, message: &Message) -> fmt::Result {
        let (phase, at) = (message.phase.as_str(), milliseconds(message.at));
        let direction = self.styles.heading(message.direction.as_str());
        write!(f, "  {phase:<9}{at:>12}  {direction} ")?;
        match message.bytes.len() {
            0 => writeln!(f, "end of connection")?,
            1 => writeln!(f, "1 byte")?,
            length => writeln!(f, "{length} bytes")?,
        }
        match text(&message.bytes) {
            Some(text) => lines(f, text),
            None => dump(f, &message.bytes),
        }
    }
}

/// Returns the bytes as text if they are printable lines.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let is_shown = |character| matches!(character, '\t' | '\r' | '\n') || !is_invisible(character);
    text.chars().all(is_shown).then_some(text)
}

/// Writes each line, with its line end as an escape.
fn lines(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for line in text.split_inclusive('\n') {
        writeln!(f, "{INDENT}{}", line.replace('\t', "\\t").replace('\r', "\\r").replace('\n', "\\n"))?;
    }
    Ok(())
}

/// Writes sixteen bytes per line: offset, hex digits, and characters.
fn dump(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (row, bytes) in bytes.chunks(ROW).enumerate() {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        let characters: String = bytes.iter().map(shown).collect();
        writeln!(f, "{INDENT}{:04x}  {:<width$}  {characters}", row * ROW, digits.join(" "), width = 3 * ROW - 1)?;
    }
    Ok(())
}

const ROW: usize = 16;

/// Aligns the text with the results of the timeline.
const INDENT: &str = "                         ";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Direction, Phase};

    fn shown(messages: &[(Direction, &[u8])], omitted: usize) -> String {
        let at = Duration::from_micros(1500);
        let message = |(direction, bytes): &(_, &[u8])| Message {
            phase: Phase::Protocol,
            direction: *direction,
            at,
            bytes: (*bytes).into(),
        };
        let transcript = Transcript { messages: messages.iter().map(message).collect(), omitted };
        TranscriptView { transcript: &transcript, address: None, styles: Styles::PLAIN }.to_string()
    }

    #[test]
    fn only_printable_messages_are_shown_as_text() {
        let said: [(_, &[u8]); 4] = [
            (Direction::Received, b"220 mx\tM\xc3\xbcller\r\n250"),
            (Direction::Sent, b"\0\0\0\x08\x04\xd2\x16\x2fSSLRequest"),
            (Direction::Received, b"\x1b[2J"),
            (Direction::Received, b""),
        ];
        assert_eq!(
            shown(&said, 7),
            "\n  transcript, with the time since the connection was opened\n\
             \x20 protocol     1.500 ms  received 19 bytes\n\
             \x20                        220 mx\\tM\u{fc}ller\\r\\n\n\
             \x20                        250\n\
             \x20 protocol     1.500 ms  sent 18 bytes\n\
             \x20                        0000  00 00 00 08 04 d2 16 2f 53 53 4c 52 65 71 75 65  ......./SSLReque\n\
             \x20                        0010  73 74                                            st\n\
             \x20 protocol     1.500 ms  received 4 bytes\n\
             \x20                        0000  1b 5b 32 4a                                      .[2J\n\
             \x20 protocol     1.500 ms  received end of connection\n\
             \x20 and 7 more bytes\n"
        );
    }

    #[test]
    fn a_silent_connection_is_reported() {
        assert_eq!(shown(&[], 0), "\n  nothing was sent or received\n");
    }
}
