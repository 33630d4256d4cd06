//! Responses and their bodies. Metrics are encoded while the client reads them, all other bodies are complete.

use std::fmt;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::metrics::Exposition;

/// Returns a response with one line of text.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// Returns a response with this media type.
pub(super) fn typed(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The body of a response.
pub(super) enum Body {
    /// Complete from the start.
    Whole(Full<Bytes>),
    /// Encoded piece by piece.
    Streamed(Streamed),
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Whole(Full::from(text))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Whole(Full::from(text))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        match self.get_mut() {
            Self::Whole(full) => Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Self::Streamed(streamed) => streamed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Streamed(Streamed(State::Ended)) => true,
            Self::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}

/// A body could not be completed. The connection is closed, so that no client considers it complete.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the metrics, which is a bug; please report it")]
pub(super) struct Unfinished;

/// Metrics, encoded one piece at a time as the client reads them.
///
/// A slow client occupies one piece and no thread. Pieces are encoded off the thread that probes; `permits` limits
/// their number for all clients together.
pub(super) struct Streamed(State);

enum State {
    Ended,
    Waiting(Box<BodySource>),
    Working(Pin<Box<dyn Future<Output = Result<Option<Piece>, Unfinished>> + Send>>),
}

/// A piece, and the source of the next one.
struct Piece {
    bytes: Bytes,
    source: Box<BodySource>,
}

impl Streamed {
    /// Streams the metrics, compressed if there is a permit for it. The permit is released with the memory of the
    /// compressor.
    pub(super) fn new(
        exposition: Exposition,
        compressor: Option<OwnedSemaphorePermit>,
        permits: Arc<Semaphore>,
    ) -> Self {
        let encoder =
            compressor.map(|permit| Encoder { gzip: GzEncoder::new(Vec::new(), Compression::fast()), _permit: permit });
        Self(State::Waiting(Box::new(BodySource { exposition, encoder, permits })))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        let mut working = match std::mem::replace(&mut self.0, State::Ended) {
            State::Ended => return Poll::Ready(None),
            State::Waiting(source) => Box::pin(source.work()),
            State::Working(working) => working,
        };
        let Poll::Ready(piece) = working.as_mut().poll(context) else {
            self.0 = State::Working(working);
            return Poll::Pending;
        };
        Poll::Ready(piece.transpose().map(|piece| {
            let Piece { bytes, source } = piece?;
            self.0 = State::Waiting(source);
            Ok(Frame::data(bytes))
        }))
    }
}

/// The source of pieces.
struct BodySource {
    exposition: Exposition,
    encoder: Option<Encoder>,
    permits: Arc<Semaphore>,
}

struct Encoder {
    gzip: GzEncoder<Vec<u8>>,
    _permit: OwnedSemaphorePermit,
}

impl BodySource {
    /// Encodes the next piece once it has a permit.
    async fn work(mut self: Box<Self>) -> Result<Option<Piece>, Unfinished> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Unfinished)?;
        let made = spawn_blocking(move || {
            // Released when the piece is encoded, even if the client has disconnected.
            let _permit = permit;
            Ok(self.next()?.map(|bytes| Piece { bytes, source: self }))
        });
        made.await.unwrap_or(Err(fmt::Error)).map_err(|fmt::Error| {
            error!("Cannot encode the metrics, which is a bug; please report it");
            Unfinished
        })
    }

    fn next(&mut self) -> Result<Option<Bytes>, fmt::Error> {
        let Some(Encoder { gzip, .. }) = &mut self.encoder else {
            return Ok(self.exposition.next_piece()?.map(Bytes::from));
        };
        while let Some(piece) = self.exposition.next_piece()? {
            gzip.write_all(&piece).map_err(|_| fmt::Error)?;
            if gzip.get_ref().len() >= COMPRESSED_BYTES {
                return Ok(Some(std::mem::take(gzip.get_mut()).into()));
            }
        }
        let last = self
            .encoder
            .take()
            .map(|encoder| encoder.gzip.finish())
            .transpose()
            .map_err(|_| fmt::Error)?;
        Ok(last.map(Bytes::from))
    }
}

/// Size of a compressed frame: about five pieces, because compression reduces metrics to a tenth.
const COMPRESSED_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::http::testing::HeldRow;
    use crate::metrics::Format;

    #[tokio::test]
    async fn a_permit_outlives_its_disconnected_client() {
        let (state, held) = HeldRow::of_app_state();
        let permits = Arc::new(Semaphore::new(1));
        let mut body = Streamed::new(state.metrics.exposition(Format::Text), None, permits.clone());
        assert!(body.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the row is locked");
        drop(body);
        assert_eq!(permits.available_permits(), 0);
        held.release();
        assert!(permits.acquire().await.is_ok());
    }
}
