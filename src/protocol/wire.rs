//! The connection as protocols see it: bytes out, bounded answers in, one deadline over all.

use std::fmt::Debug;
use std::io;
use std::mem;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::peer_text::excerpt;

/// What a conversation needs of a connection.
pub trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

/// An open connection, in the clear or within TLS.
pub struct Wire<'a> {
    channel: &'a mut dyn Channel,
    /// Read, and not yet used by anybody.
    heard: Vec<u8>,
    deadline: Instant,
}

impl<'a> Wire<'a> {
    /// A conversation on this connection, of which these bytes were read already. Ends by `deadline`.
    pub fn new(channel: &'a mut dyn Channel, heard: Vec<u8>, deadline: Instant) -> Self {
        Self { channel, heard, deadline }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let sent = timeout_at(self.deadline, async {
            self.channel.write_all(bytes).await?;
            self.channel.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Broken(error, "taking what was sent")),
            Err(_) => Err(Ended::Silent("taking what was sent")),
        }
    }

    /// Sends a goodbye, of which it does not matter whether anybody hears it.
    pub async fn leave(&mut self, goodbye: &[u8]) {
        let _ = self.send(goodbye).await;
    }

    /// The connection itself, for a library that speaks the protocol; before anything was heard.
    pub fn channel(&mut self) -> &mut (dyn Channel + 'a) {
        self.channel
    }

    /// When everything must have ended.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits until what was heard is an answer, and takes the answer away.
    ///
    /// `read` is given everything that was heard, at first perhaps nothing, and again each time that more came. `awaited`
    /// says what is due, such as "its greeting". More than `limit` bytes without an answer are none.
    pub async fn answer<T>(
        &mut self,
        awaited: &'static str,
        limit: usize,
        mut read: impl FnMut(&[u8]) -> Answer<T> + Send,
    ) -> Result<T, Ended>
    where
        T: Send,
    {
        loop {
            match read(&self.heard) {
                Answer::Whole(value, length) => {
                    self.heard.drain(..length.min(self.heard.len()));
                    return Ok(value);
                }
                Answer::Wrong(why) => return Err(Ended::unexpected(awaited, &why, &self.heard)),
                Answer::Unfinished if self.heard.len() > limit => {
                    return Err(Ended::unexpected(awaited, "it comes to no end", &self.heard));
                }
                Answer::Unfinished => self.listen(awaited).await?,
            }
        }
    }

    /// Waits for exactly so many bytes.
    pub async fn exactly(&mut self, awaited: &'static str, length: usize) -> Result<Vec<u8>, Ended> {
        self.answer(awaited, length, |heard| match heard.get(..length) {
            Some(bytes) => Answer::Whole(bytes.to_vec(), length),
            None => Answer::Unfinished,
        })
        .await
    }

    /// What was heard and belongs to no answer yet.
    pub fn unread(&self) -> &[u8] {
        &self.heard
    }

    /// Takes what belongs to no answer yet.
    pub fn into_unread(mut self) -> Vec<u8> {
        mem::take(&mut self.heard)
    }

    async fn listen(&mut self, awaited: &'static str) -> Result<(), Ended> {
        let mut more = [0; 4096];
        match timeout_at(self.deadline, self.channel.read(&mut more)).await {
            Err(_) => Err(Ended::Silent(awaited)),
            Ok(Ok(0)) => Err(Ended::Closed(awaited)),
            Ok(Ok(length)) => {
                self.heard.extend_from_slice(more.get(..length).unwrap_or_default());
                Ok(())
            }
            Ok(Err(error)) => Err(Ended::Broken(error, awaited)),
        }
    }
}

impl Debug for Wire<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("heard", &self.heard).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What a parser makes of what was heard so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer<T> {
    /// It may become an answer.
    Unfinished,
    /// An answer, and how many bytes it took.
    Whole(T, usize),
    /// No answer of this protocol, whatever else comes; says why.
    Wrong(String),
}

/// Why a conversation came to no good end.
#[derive(Debug)]
pub enum Ended {
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

impl Ended {
    /// What came instead of what was due.
    pub fn unexpected(awaited: &str, why: &str, heard: &[u8]) -> Self {
        Self::Unexpected(format!("expected {awaited}, but \"{}\" came: {why}", excerpt(heard)))
    }
}

/// Limit of a reply in bytes, unless its protocol needs another one: far more than any service sends before a login.
pub(super) const MAX_REPLY: usize = 64 * 1024;
