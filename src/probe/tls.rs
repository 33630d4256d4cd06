//! One TLS handshake as a client: what it came to, and what it showed of the peer.
//!
//! The handshake accepts every certificate: whatever ends it, the judge has the chain afterwards, and none of its work
//! is in the measured time. That the peer holds the certificate's key is still verified. No session is ever resumed, for
//! a resumed one shows no certificate.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};
use rustls::client::Resumption;
use rustls::pki_types::ServerName as SubjectName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::alerts::handshake_fault;
use self::recording_verifier::RecordingVerifier;
use self::session::session;
use self::transport::TlsTransport;
use super::tls_store::TlsContext;
use super::verify::{ChainVerifier, VerifyRequest, subject_name, with_invalid};
use crate::clock;
use crate::outcome::{Class, Failure, Fault, LocalFaultReason, Phase, TlsFacts};
use crate::target::{Host, ServerName, TlsSettings};

pub(super) mod alerts;
mod recording_verifier;
mod session;
pub(super) mod transport;

/// What handshakes with one target need besides its settings.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) context: Arc<TlsContext>,
    pub(super) verifier: Arc<ChainVerifier>,
}

impl Client {
    /// The last second in which the own certificate is valid, where there is one.
    pub(super) fn certificate_not_after(&self) -> Option<i64> {
        self.context.identity.as_ref().and_then(|identity| identity.not_after)
    }

    /// What is offered, with a witness in the place of whoever would decide.
    fn config(&self, witness: &Arc<RecordingVerifier>) -> ClientConfig {
        let mut config = self.context.config.clone();
        config.resumption = Resumption::disabled();
        config.client_auth_cert_resolver = witness.clone();
        config.dangerous().set_certificate_verifier(witness.clone());
        config
    }
}

/// What a handshake came to.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The session, or the fault and the connection.
    pub(super) result: Result<Secured, (Fault, TlsTransport)>,
    pub(super) facts: TlsFacts,
    /// From the first byte sent to the handshake's end; judging the certificates is not in it.
    pub(super) duration: Duration,
}

/// A session.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TlsTransport>>,
    witness: Arc<RecordingVerifier>,
}

impl Secured {
    /// Waits until a TLS 1.3 server that asked for a client certificate shows whether it takes what it got. Gives back
    /// what was read meanwhile.
    ///
    /// The handshake ends before such a server has seen the certificate. It takes it where a ticket or data come, and
    /// where nothing comes for [`PATIENCE`]: not every server speaks first, or gives tickets. Half of the time left stays
    /// for what is to be said next.
    pub(super) async fn settle(&mut self, deadline: Instant) -> Result<Vec<u8>, Fault> {
        let version = self.stream.get_ref().1.protocol_version();
        if version != Some(ProtocolVersion::TLSv1_3) || !self.witness.was_asked() {
            return Ok(Vec::new());
        }
        let awaited = "its word on the client certificate";
        let now = Instant::now();
        let patience = now + PATIENCE.min(deadline.saturating_duration_since(now) / 2);
        match timeout_at(patience, sign(&mut self.stream)).await {
            Err(_) | Ok(Ok(Sign::Ticket)) => Ok(Vec::new()),
            Ok(Ok(Sign::Data(data))) => Ok(data),
            Ok(Ok(Sign::End)) => Err(Fault::disconnected(Phase::Tls, awaited)),
            Ok(Err(error)) => Err(handshake_fault(&error, awaited, &self.witness)),
        }
    }
}

/// What came first from a server after the handshake.
enum Sign {
    Data(Vec<u8>),
    End,
    Ticket,
}

/// Waits for the first sign of a server. A ticket makes nothing readable: it is seen in passing.
async fn sign(stream: &mut TlsStream<TlsTransport>) -> io::Result<Sign> {
    let mut space = [0; FIRST_READ];
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut space);
        let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
        match read {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Ok(Sign::End)),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Sign::Data(buffer.filled().to_vec()))),
            Poll::Pending if stream.get_ref().1.tls13_tickets_received() > 0 => Poll::Ready(Ok(Sign::Ticket)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Shakes hands on an open connection. Ends by `deadline`.
pub(super) async fn handshake(
    carrier: TlsTransport,
    settings: &TlsSettings,
    host: &Host,
    client: &Client,
    deadline: Instant,
) -> Handshake {
    let name = settings.server_name.clone().or_else(|| ServerName::of_host(host));
    let Some((name, subject)) = name.and_then(|name| subject_name(&name).map(|subject| (name, subject))) else {
        return nameless(carrier, host);
    };
    let witness = Arc::new(RecordingVerifier::new(&client.context));
    let config = client.config(&witness);
    let started = Instant::now();
    let shaken = shake(carrier, config, subject, &witness, deadline).await;
    let duration = started.elapsed();
    let peer = witness.presented().map(|presented| {
        let request =
            VerifyRequest { presented: &presented, name: &name, pins: &settings.pins, context: &client.context };
        client.verifier.verify(&request, now())
    });
    match shaken {
        Ok(stream) => {
            let facts = TlsFacts { session: Some(session(stream.get_ref().1)), peer };
            Handshake { result: Ok(Secured { stream: Box::new(stream), witness }), facts, duration }
        }
        Err((fault, carrier)) => {
            let peer = peer.map(|peer| match &fault {
                Fault::Failure(Failure { class: Class::CertInvalid, detail, .. }) => with_invalid(&peer, detail),
                Fault::Failure(_) | Fault::LocalFault(_) => peer,
            });
            Handshake { result: Err((fault, carrier)), facts: TlsFacts { session: None, peer }, duration }
        }
    }
}

/// No name could be verified.
fn nameless(carrier: TlsTransport, host: &Host) -> Handshake {
    let detail = format!("no certificate can be for {host}; set tls.server_name");
    let fault = Fault::local(LocalFaultReason::Invalid, detail);
    let facts = TlsFacts { session: None, peer: None };
    Handshake { result: Err((fault, carrier)), facts, duration: Duration::ZERO }
}

/// The handshake itself. Returns the connection also if it fails.
async fn shake(
    carrier: TlsTransport,
    config: ClientConfig,
    subject: SubjectName<'static>,
    witness: &RecordingVerifier,
    deadline: Instant,
) -> Result<TlsStream<TlsTransport>, (Fault, TlsTransport)> {
    let expected = "the end of the TLS handshake";
    let descriptor = carrier.as_raw_fd();
    let mut shaking = TlsConnector::from(Arc::new(config)).connect(subject, carrier).into_fallible();
    match timeout_at(deadline, &mut shaking).await {
        Ok(Ok(mut stream)) => {
            stream.get_mut().0.unwrap_records();
            return Ok(stream);
        }
        Ok(Err((error, carrier))) => return Err((handshake_fault(&error, expected, witness), carrier)),
        Err(_) => {}
    }
    // A handshake under way does not give its connection back before it ends, and on a connection that is shut down it
    // ends at once. The descriptor is still its own.
    let _ = shutdown(descriptor, Shutdown::Both);
    let carrier = match shaking.await {
        Ok(stream) => stream.into_inner().0,
        Err((_, carrier)) => carrier,
    };
    Err((Fault::stalled(Phase::Tls, expected), carrier))
}

/// The wall clock in seconds since 1970, by which certificates are judged.
fn now() -> i64 {
    clock::now().seconds()
}

/// So long a server may think about a client certificate before its silence is taken for consent.
const PATIENCE: Duration = Duration::from_millis(500);

/// As much of what a server says first is read at once.
const FIRST_READ: usize = 4096;

#[cfg(test)]
mod tests;
