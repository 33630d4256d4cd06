//! A connection on which this end speaks first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::ByteStream;

/// Hears nothing before something was said, and remembers how what was buffered began.
///
/// A client of HTTP that finds words before it has asked takes the connection for a broken one; what a server of another
/// protocol greets with is to be read as an answer, which it is none.
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

    /// The first bytes of what was buffered.
    pub(super) fn buffered(&self) -> &[u8] {
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
        this.buffered.extend(more.take(MAX_REMEMBERED.saturating_sub(this.buffered.len())));
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

/// More than is shown of it.
const MAX_REMEMBERED: usize = 256;
