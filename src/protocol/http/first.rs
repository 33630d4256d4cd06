//! A connection on which the client speaks first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::ByteStream;

/// Reads nothing before something was written, and keeps the first bytes that are read.
///
/// An HTTP client that reads bytes before its request considers the connection broken. The greeting of a server of
/// another protocol must be read as an invalid response instead.
pub(super) struct SpeaksFirst<'a> {
    channel: &'a mut dyn ByteStream,
    spoken: bool,
    listening: Option<Waker>,
    buffered: Vec<u8>,
}

impl<'a> SpeaksFirst<'a> {
    pub(super) fn new(channel: &'a mut dyn ByteStream) -> Self {
        Self { channel, spoken: false, listening: None, buffered: Vec::new() }
    }

    /// The first bytes that were read.
    pub(super) fn first_bytes(&self) -> &[u8] {
        &self.buffered
    }
}

impl AsyncRead for SpeaksFirst<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.spoken {
            this.listening = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *this.channel).poll_read(context, buffer))?;
        let more = buffer.filled().iter().skip(before);
        this.buffered
            .extend(more.take(MAX_REMEMBERED.saturating_sub(this.buffered.len())));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SpeaksFirst<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut *this.channel).poll_write(context, bytes));
        this.spoken = true;
        if let Some(listening) = this.listening.take() {
            listening.wake();
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

/// More than a message shows.
const MAX_REMEMBERED: usize = 256;
