//! Transcript of a connection, for `portprobe probe`.

use std::time::Duration;

use super::Phase;

/// Everything that both ends said in the clear and within TLS, without the handshake.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Transcript {
    /// Reads and writes, in order.
    pub messages: Vec<Message>,
    /// The number of bytes after the first 64 KiB, which are omitted.
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
    /// The bytes. Received bytes are empty at the end of the connection.
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
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

impl Transcript {
    /// Adds a message, as far as there is room for it.
    pub fn note(&mut self, phase: Phase, direction: Direction, at: Duration, bytes: &[u8]) {
        let room = MAX_BYTES.saturating_sub(self.messages.iter().map(|message| message.bytes.len()).sum());
        let noted = bytes.get(..room).unwrap_or(bytes);
        self.omitted += bytes.len() - noted.len();
        if self.omitted == 0 || !noted.is_empty() {
            self.messages.push(Message { phase, direction, at, bytes: noted.into() });
        }
    }
}

/// More would not be readable, and a peer may send without end.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
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
