//! A connection on which the client sends first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::ByteStream;

/// A stream that reads nothing before data is written, and keeps the first bytes that it reads.
///
/// hyper treats a connection as broken if it reads bytes before its request. Instead, the greeting of a server of
/// another protocol must count as an invalid response.
pub(super) struct SpeaksFirst<'a> {
    channel: &'a mut dyn ByteStream,
    has_sent: bool,
    waiting: Option<Waker>,
    buffered: Vec<u8>,
}

impl<'a> SpeaksFirst<'a> {
    pub(super) fn new(channel: &'a mut dyn ByteStream) -> Self {
        Self { channel, has_sent: false, waiting: None, buffered: Vec::new() }
    }

    /// Returns the first bytes that were read.
    pub(super) fn first_bytes(&self) -> &[u8] {
        &self.buffered
    }
}

impl AsyncRead for SpeaksFirst<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_sent {
            this.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *this.channel).poll_read(context, buffer))?;
        let more = buffer.filled().iter().skip(before);
        this.buffered.extend(more.take(MAX_KEPT.saturating_sub(this.buffered.len())));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SpeaksFirst<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut *this.channel).poll_write(context, bytes));
        this.has_sent = true;
        if let Some(waiting) = this.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().channel).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().channel).poll_shutdown(context)
    }
}

/// Maximum number of bytes kept, more than a message contains.
const MAX_KEPT: usize = 256;
