//! Records the bytes exchanged on a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::outcome::{Direction, Phase, Transcript};

/// The transcript of a connection while it is recorded.
#[derive(Debug)]
pub(super) struct Recorder {
    opened: Instant,
    transcript: Transcript,
}

impl Recorder {
    /// Creates the recorder of a connection that was just opened.
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), transcript: Transcript::default() }
    }

    pub(super) fn note(&mut self, phase: Phase, direction: Direction, bytes: &[u8]) {
        self.transcript.note(phase, direction, self.opened.elapsed(), bytes);
    }

    pub(super) fn into_transcript(self) -> Transcript {
        self.transcript
    }
}

/// A stream in one phase, which counts bytes and is recorded if there is a recorder.
#[derive(Debug)]
pub(super) struct RecordingStream<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) phase: Phase,
    pub(super) recorder: Option<&'a mut Recorder>,
    /// Number of bytes received since the last ones were sent.
    pub(super) received: usize,
}

impl<S> RecordingStream<'_, S> {
    fn note(&mut self, direction: Direction, bytes: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(self.phase, direction, bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RecordingStream<'_, S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let recording = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *recording.stream).poll_read(context, buffer))?;
        let more = buffer.filled().get(before..).unwrap_or_default();
        recording.received += more.len();
        recording.note(Direction::Received, more);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RecordingStream<'_, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let recording = self.get_mut();
        let length = ready!(Pin::new(&mut *recording.stream).poll_write(context, bytes))?;
        recording.received = 0;
        recording.note(Direction::Sent, bytes.get(..length).unwrap_or(bytes));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(context)
    }
}
