//! What was said on a connection, word for word, where somebody wants to see it.

use std::time::Duration;

use super::Phase;

/// Everything that both ends said in the clear, and within TLS once hands were shaken; the handshake itself is not in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Transcript {
    /// What was read or written at a time, in order.
    pub messages: Vec<Message>,
    /// How many bytes came after the first 64 KiB, and are not among these.
    pub omitted: usize,
}

/// What was read or written at a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// What it was said for.
    pub phase: Phase,
    /// Who said it.
    pub direction: Direction,
    /// How long after the connection was open.
    pub at: Duration,
    /// What was said; what was received is nothing where the peer ended the connection.
    pub bytes: Box<[u8]>,
}

/// Who said something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The peer.
    Received,
    /// This prober.
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
    /// Notes what was said, as far as there is room for it.
    pub fn note(&mut self, phase: Phase, direction: Direction, at: Duration, bytes: &[u8]) {
        let room = MAX_BYTES.saturating_sub(self.messages.iter().map(|message| message.bytes.len()).sum());
        let noted = bytes.get(..room).unwrap_or(bytes);
        self.omitted += bytes.len() - noted.len();
        if self.omitted == 0 || !noted.is_empty() {
            self.messages.push(Message { phase, direction, at, bytes: noted.into() });
        }
    }
}

/// What fits on no screen is of no use; a peer may say more without end.
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
