//! The connection of a conversation: bytes out, bounded replies in, one deadline.

use std::fmt::Debug;
use std::io;
use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::peer_text::excerpt;

/// A connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open connection, in the clear or within TLS.
pub struct Wire<'a> {
    stream: &'a mut dyn ByteStream,
    /// Bytes that were read and not consumed yet.
    buffered: Vec<u8>,
    deadline: Instant,
}

impl<'a> Wire<'a> {
    /// A conversation on a connection of which these bytes were read already. Ends by `deadline`.
    pub fn new(stream: &'a mut dyn ByteStream, buffered: Vec<u8>, deadline: Instant) -> Self {
        Self { stream, buffered, deadline }
    }

    /// Sends bytes.
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

    /// Sends a goodbye and ignores errors.
    pub async fn leave(&mut self, goodbye: &[u8]) {
        let _ = self.send(goodbye).await;
    }

    /// The connection, for a library that implements the protocol. Use it before anything is buffered.
    pub fn stream(&mut self) -> &mut (dyn ByteStream + 'a) {
        self.stream
    }

    /// The end of the conversation at the latest.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a complete reply and consumes it.
    ///
    /// `read` parses all buffered bytes, at first perhaps none, each time that more have arrived. `awaited` names the
    /// reply in errors, such as "its greeting". More than `limit` bytes without a complete reply are an error.
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

    /// Waits for exactly `length` bytes.
    pub async fn exactly(&mut self, awaited: &'static str, length: usize) -> Result<Vec<u8>, ConversationError> {
        self.answer(awaited, length, |buffered| match buffered.get(..length) {
            Some(bytes) => Parsed::Complete(bytes.to_vec(), length),
            None => Parsed::Incomplete,
        })
        .await
    }

    /// The bytes that were not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.buffered
    }

    /// Returns the bytes that were not consumed.
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

/// Result of parsing the buffered bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<T> {
    /// More bytes may complete the reply.
    Incomplete,
    /// A reply and its length in bytes.
    Complete(T, usize),
    /// Not a reply of this protocol, and no more bytes can make it one; the reason.
    Invalid(String),
}

/// Reason why a conversation failed.
#[derive(Debug)]
pub enum ConversationError {
    /// The connection failed while this was expected.
    Broken(io::Error, &'static str),
    /// The peer closed the connection while this was expected.
    Closed(&'static str),
    /// TLS is not offered or not granted; the details.
    Refused(String),
    /// The service reported that it accepts no clients now; the details.
    Rejected(String),
    /// Nothing arrived until the deadline while this was expected.
    Silent(&'static str),
    /// The bytes that arrived are not a reply of this protocol; the details.
    Unexpected(String),
}

impl ConversationError {
    /// Describes bytes that arrived instead of the expected reply.
    pub fn unexpected(awaited: &str, why: &str, buffered: &[u8]) -> Self {
        Self::Unexpected(format!("expected {awaited}, but \"{}\" came: {why}", excerpt(buffered)))
    }
}

/// Limit of a reply in bytes, unless its protocol needs another one: far more than any service sends before a login.
pub(super) const MAX_REPLY: usize = 64 * 1024;
