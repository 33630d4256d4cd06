//! The connection as protocols see it: bytes out, bounded answers in, one deadline over all.

use std::fmt::Debug;
use std::io;
use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::peer_text::excerpt;

/// What a conversation needs of a connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open connection, in the clear or within TLS.
pub struct Wire<'a> {
    stream: &'a mut dyn ByteStream,
    /// Read, and not yet used by anybody.
    buffered: Vec<u8>,
    deadline: Instant,
}

impl<'a> Wire<'a> {
    /// A conversation on this connection, of which these bytes were read already. Ends by `deadline`.
    pub fn new(stream: &'a mut dyn ByteStream, buffered: Vec<u8>, deadline: Instant) -> Self {
        Self { stream, buffered, deadline }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ConversationError> {
        let sent = timeout_at(self.deadline, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConversationError::Broken(error, "taking what was sent")),
            Err(_) => Err(ConversationError::Silent("taking what was sent")),
        }
    }

    /// Sends a goodbye, of which it does not matter whether anybody hears it.
    pub async fn leave(&mut self, goodbye: &[u8]) {
        let _ = self.send(goodbye).await;
    }

    /// The connection itself, for a library that speaks the protocol; before anything was buffered.
    pub fn stream(&mut self) -> &mut (dyn ByteStream + 'a) {
        self.stream
    }

    /// When everything must have ended.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits until what was buffered is an answer, and takes the answer away.
    ///
    /// `read` is given everything that was buffered, at first perhaps nothing, and again each time that more came. `awaited`
    /// says what is due, such as "its greeting". More than `limit` bytes without an answer are none.
    pub async fn answer<T>(
        &mut self,
        awaited: &'static str,
        limit: usize,
        mut read: impl FnMut(&[u8]) -> Parsed<T> + Send,
    ) -> Result<T, ConversationError>
    where
        T: Send,
    {
        loop {
            match read(&self.buffered) {
                Parsed::Complete(value, length) => {
                    self.buffered.drain(..length.min(self.buffered.len()));
                    return Ok(value);
                }
                Parsed::Invalid(why) => return Err(ConversationError::unexpected(awaited, &why, &self.buffered)),
                Parsed::Incomplete if self.buffered.len() > limit => {
                    return Err(ConversationError::unexpected(awaited, "it comes to no end", &self.buffered));
                }
                Parsed::Incomplete => self.listen(awaited).await?,
            }
        }
    }

    /// Waits for exactly so many bytes.
    pub async fn exactly(&mut self, awaited: &'static str, length: usize) -> Result<Vec<u8>, ConversationError> {
        self.answer(awaited, length, |buffered| match buffered.get(..length) {
            Some(bytes) => Parsed::Complete(bytes.to_vec(), length),
            None => Parsed::Incomplete,
        })
        .await
    }

    /// What was buffered and belongs to no answer yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffered
    }

    /// Takes what belongs to no answer yet.
    pub fn into_unread(mut self) -> Vec<u8> {
        mem::take(&mut self.buffered)
    }

    async fn listen(&mut self, awaited: &'static str) -> Result<(), ConversationError> {
        let mut more = [0; 4096];
        match timeout_at(self.deadline, self.stream.read(&mut more)).await {
            Err(_) => Err(ConversationError::Silent(awaited)),
            Ok(Ok(0)) => Err(ConversationError::Closed(awaited)),
            Ok(Ok(length)) => {
                self.buffered.extend_from_slice(more.get(..length).unwrap_or_default());
                Ok(())
            }
            Ok(Err(error)) => Err(ConversationError::Broken(error, awaited)),
        }
    }
}

impl Debug for Wire<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("buffered", &self.buffered)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What a parser makes of what was buffered so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<T> {
    /// It may become an answer.
    Incomplete,
    /// An answer, and how many bytes it took.
    Complete(T, usize),
    /// No answer of this protocol, whatever else comes; says why.
    Invalid(String),
}

/// Why a conversation came to no good end.
#[derive(Debug)]
pub enum ConversationError {
    /// The connection failed where this was due.
    Broken(io::Error, &'static str),
    /// The peer ended the connection in an orderly way where this was due.
    Closed(&'static str),
    /// TLS is not offered, or not granted; says how.
    Refused(String),
    /// The service said that it serves nobody now; says how.
    Rejected(String),
    /// Nothing more came until the deadline, where this was due.
    Silent(&'static str),
    /// What came is no answer of this protocol; says what came and why not.
    Unexpected(String),
}

impl ConversationError {
    /// What came instead of what was due.
    pub fn unexpected(awaited: &str, why: &str, buffered: &[u8]) -> Self {
        Self::Unexpected(format!("expected {awaited}, but \"{}\" came: {why}", excerpt(buffered)))
    }
}

/// Limit of a reply in bytes, unless its protocol needs another one: far more than any service sends before a login.
pub(super) const MAX_REPLY: usize = 64 * 1024;
