//! The transcript of a connection, for `portprobe probe --verbose`.

use std::time::Duration;

use super::Phase;

/// The application data that both sides sent, in the clear and within TLS, without the TLS handshake.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Transcript {
    /// Reads and writes, in order.
    pub messages: Vec<Message>,
    /// The number of omitted bytes, those after the first 64 KiB.
    pub omitted: usize,
}

/// One read or write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The phase.
    pub phase: Phase,
    /// The direction.
    pub direction: Direction,
    /// Time since the connection was opened.
    pub at: Duration,
    /// The bytes. They are empty if the peer closed the connection.
    pub bytes: Box<[u8]>,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the peer.
    Received,
    /// From this prober.
    Sent,
}

impl Direction {
    /// Returns the name in the output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

impl Transcript {
    /// Adds a message and cuts it to the remaining room.
    pub fn note(&mut self, phase: Phase, direction: Direction, at: Duration, bytes: &[u8]) {
        let room = MAX_BYTES.saturating_sub(self.messages.iter().map(|message| message.bytes.len()).sum());
        let noted = bytes.get(..room).unwrap_or(bytes);
        self.omitted += bytes.len() - noted.len();
        if self.omitted == 0 || !noted.is_empty() {
            self.messages.push(Message { phase, direction, at, bytes: noted.into() });
        }
    }
}

/// More is not readable, and a peer may never stop sending.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omitted_bytes_are_counted() {
        let mut transcript = Transcript::default();
        let mut note = |bytes: &[u8]| transcript.note(Phase::Protocol, Direction::Received, Duration::ZERO, bytes);
        note(b"hello");
        note(&vec![0; MAX_BYTES]);
        note(b"more");
        note(b"");
        let lengths: Vec<_> = transcript.messages.iter().map(|message| message.bytes.len()).collect();
        assert_eq!((lengths, transcript.omitted), (vec![5, MAX_BYTES - 5], 9));
    }
}
