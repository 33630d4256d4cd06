//! The connection of a conversation: sent bytes, bounded responses, one deadline.

use std::fmt::Debug;
use std::io;
use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::peer_text::excerpt;

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An open connection, plaintext or within TLS.
pub struct Wire<'a> {
    stream: &'a mut dyn ByteStream,
    /// Bytes that were read but not consumed yet.
    buffered: Vec<u8>,
    deadline: Instant,
}

impl<'a> Wire<'a> {
    /// Creates a wire on which `buffered` was already read. All operations end by `deadline`.
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
            Ok(Err(error)) => Err(ConversationError::Broken(error, "it to read the request")),
            Err(_) => Err(ConversationError::Silent("it to read the request")),
        }
    }

    /// Sends the last message and ignores errors.
    pub async fn leave(&mut self, goodbye: &[u8]) {
        let _ = self.send(goodbye).await;
    }

    /// Returns the stream, for a library that implements the protocol. It must be used before anything is buffered.
    pub fn stream(&mut self) -> &mut (dyn ByteStream + 'a) {
        self.stream
    }

    /// Returns the deadline of all operations.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a complete response and consumes it.
    ///
    /// `read` parses all buffered bytes, which may be none, each time that more have arrived. `awaited` names the
    /// response in errors, such as "its greeting". More than `limit` bytes without a complete response are an error.
    pub async fn receive<T>(
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
                    return Err(ConversationError::unexpected(awaited, "it is too long", &self.buffered));
                }
                Parsed::Incomplete => self.read_more(awaited).await?,
            }
        }
    }

    /// Waits for exactly `length` bytes.
    pub async fn exactly(&mut self, awaited: &'static str, length: usize) -> Result<Vec<u8>, ConversationError> {
        self.receive(awaited, length, |buffered| match buffered.get(..length) {
            Some(bytes) => Parsed::Complete(bytes.to_vec(), length),
            None => Parsed::Incomplete,
        })
        .await
    }

    /// Returns the bytes that are not consumed.
    pub fn unread(&self) -> &[u8] {
        &self.buffered
    }

    /// Returns the bytes that are not consumed.
    pub fn into_unread(mut self) -> Vec<u8> {
        mem::take(&mut self.buffered)
    }

    async fn read_more(&mut self, awaited: &'static str) -> Result<(), ConversationError> {
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

/// The result of parsing the buffered bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<T> {
    /// More bytes are necessary.
    Incomplete,
    /// A response and its length in bytes.
    Complete(T, usize),
    /// The bytes can never become a response of this protocol; with the reason.
    Invalid(String),
}

/// A reason why a conversation failed.
#[derive(Debug)]
pub enum ConversationError {
    /// The connection failed when this was expected.
    Broken(io::Error, &'static str),
    /// The peer closed the connection when this was expected.
    Closed(&'static str),
    /// TLS is not offered or not granted; with details.
    Refused(String),
    /// The service reported that it currently accepts no clients; with details.
    Rejected(String),
    /// This was expected and did not arrive, or not all of it, before the deadline.
    Silent(&'static str),
    /// The received bytes are not a response of this protocol; with details.
    Unexpected(String),
}

impl ConversationError {
    /// Describes bytes that were received instead of the expected response.
    pub fn unexpected(awaited: &str, why: &str, buffered: &[u8]) -> Self {
        Self::Unexpected(format!("expected {awaited}, received \"{}\": {why}", excerpt(buffered)))
    }
}

/// Maximum size of a response in bytes, unless its protocol needs another one. It is far more than any service sends
/// before a login.
pub(super) const MAX_REPLY: usize = 64 * 1024;
