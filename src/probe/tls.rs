//! A TLS handshake as a client: the session and the facts about the peer.
//!
//! The handshake accepts every certificate, but verifies that the peer has its key. The chain is verified afterwards,
//! even if the handshake fails, so that this time is not measured. Sessions are never resumed, because a resumed
//! handshake has no certificate.

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
use crate::target::{Host, KeyExchange, KeyExchangeGroup, ServerName, TlsSettings};

pub(super) mod alerts;
mod recording_verifier;
mod session;
pub(super) mod transport;

/// Everything that a handshake needs in addition to the settings of its target.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) context: Arc<TlsContext>,
    pub(super) verifier: Arc<ChainVerifier>,
}

impl Client {
    /// Returns the last second in which the client certificate is valid, since 1970; `None` if there is none.
    pub(super) fn certificate_not_after(&self) -> Option<i64> {
        self.context.identity.as_ref().and_then(|identity| identity.not_after)
    }

    /// Returns the configuration of one handshake, with `recording` as verifier.
    fn config(&self, recording: &Arc<RecordingVerifier>) -> ClientConfig {
        let mut config = self.context.config.clone();
        config.resumption = Resumption::disabled();
        config.client_auth_cert_resolver = recording.clone();
        config.dangerous().set_certificate_verifier(recording.clone());
        config
    }
}

/// The result of a handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The session; or the fault with the connection.
    pub(super) result: Result<Secured, (Fault, TlsTransport)>,
    pub(super) facts: TlsFacts,
    /// Time from the first byte to the end of the handshake, without the verification of certificates.
    pub(super) duration: Duration,
}

/// A completed handshake.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TlsTransport>>,
    recording: Arc<RecordingVerifier>,
}

impl Secured {
    /// Waits until a TLS 1.3 server that requested a client certificate accepts or rejects it. Returns the data
    /// received meanwhile.
    ///
    /// The handshake ends before such a server has seen the certificate. A ticket, data, or silence for
    /// [`ACCEPTED_AFTER`] means that it is accepted, because not every server speaks first or sends tickets. At least
    /// half of the remaining time is left for the application.
    pub(super) async fn settle(&mut self, deadline: Instant) -> Result<Vec<u8>, Fault> {
        let version = self.stream.get_ref().1.protocol_version();
        if version != Some(ProtocolVersion::TLSv1_3) || !self.recording.was_requested() {
            return Ok(Vec::new());
        }
        let expected = "its decision on the client certificate";
        let now = Instant::now();
        let accepted_at = now + ACCEPTED_AFTER.min(deadline.saturating_duration_since(now) / 2);
        match timeout_at(accepted_at, reaction(&mut self.stream)).await {
            Err(_) | Ok(Ok(Reaction::Ticket)) => Ok(Vec::new()),
            Ok(Ok(Reaction::Data(data))) => Ok(data),
            Ok(Ok(Reaction::End)) => Err(Fault::disconnected(Phase::Tls, expected)),
            Ok(Err(error)) => Err(handshake_fault(&error, expected, &self.recording)),
        }
    }
}

/// The first reaction of a server after the handshake.
enum Reaction {
    Data(Vec<u8>),
    End,
    Ticket,
}

/// Waits for the first reaction of a server. A ticket produces no data, so it is checked after each read.
async fn reaction(stream: &mut TlsStream<TlsTransport>) -> io::Result<Reaction> {
    let mut space = [0; FIRST_READ];
    poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut space);
        let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
        match read {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Ok(Reaction::End)),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Reaction::Data(buffer.filled().to_vec()))),
            Poll::Pending if stream.get_ref().1.tls13_tickets_received() > 0 => Poll::Ready(Ok(Reaction::Ticket)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes the handshake on an open connection. Ends by `deadline`.
pub(super) async fn handshake(
    transport: TlsTransport,
    settings: &TlsSettings,
    host: &Host,
    client: &Client,
    deadline: Instant,
) -> Handshake {
    let name = settings.server_name.clone().or_else(|| ServerName::of_host(host));
    let Some((name, subject)) = name.and_then(|name| subject_name(&name).map(|subject| (name, subject))) else {
        return nameless(transport, host);
    };
    let recording = Arc::new(RecordingVerifier::new(&client.context));
    let config = client.config(&recording);
    let started = Instant::now();
    let connected = connect(transport, config, subject, &recording, deadline).await;
    let duration = started.elapsed();
    let peer = recording.presented().map(|presented| {
        let request =
            VerifyRequest { presented: &presented, name: &name, pins: &settings.pins, context: &client.context };
        client.verifier.verify(&request, now())
    });
    match connected {
        Ok(stream) => {
            let facts = TlsFacts { session: Some(session(stream.get_ref().1)), peer };
            Handshake { result: Ok(Secured { stream: Box::new(stream), recording }), facts, duration }
        }
        Err((fault, transport)) => {
            let fault = with_size_of_hello(fault, &transport, &settings.profile.key_exchange);
            let peer = peer.map(|peer| match &fault {
                Fault::Failure(Failure { class: Class::CertInvalid, detail, .. }) => with_invalid(&peer, detail),
                Fault::Failure(_) | Fault::LocalFault(_) => peer,
            });
            Handshake { result: Err((fault, transport)), facts: TlsFacts { session: None, peer }, duration }
        }
    }
}

/// Adds the size of the ClientHello to the failure of a peer that did not respond to it, if it needs several segments.
/// Some devices between client and server drop such a ClientHello or reset the connection.
fn with_size_of_hello(fault: Fault, transport: &TlsTransport, groups: &KeyExchange) -> Fault {
    let Fault::Failure(Failure { phase, class: class @ (Class::Disconnected | Class::Reset | Class::Stalled), detail }) =
        fault
    else {
        return fault;
    };
    let Some((length, segment)) = transport.unanswered_segments() else {
        return Fault::failure(phase, class, detail);
    };
    let has_large_share = groups.iter().next() == Some(KeyExchangeGroup::X25519Mlkem768);
    let fix =
        if has_large_share { "; to rule that out, set tls.key_exchange: [x25519, secp256r1, secp384r1]" } else { "" };
    let detail = format!(
        "{detail}; the ClientHello ({length} bytes) does not fit one segment ({segment} bytes), and some firewalls and \
         load balancers drop such connections{fix}"
    );
    Fault::failure(phase, class, detail)
}

/// Returns the local fault of a host for which no certificate can be verified.
fn nameless(transport: TlsTransport, host: &Host) -> Handshake {
    let detail = format!("no certificate can be valid for `{host}`; set tls.server_name");
    let fault = Fault::local(LocalFaultReason::Invalid, detail);
    let facts = TlsFacts { session: None, peer: None };
    Handshake { result: Err((fault, transport)), facts, duration: Duration::ZERO }
}

/// Makes the handshake. Returns the connection even if it fails.
async fn connect(
    transport: TlsTransport,
    config: ClientConfig,
    subject: SubjectName<'static>,
    recording: &RecordingVerifier,
    deadline: Instant,
) -> Result<TlsStream<TlsTransport>, (Fault, TlsTransport)> {
    let expected = "the end of the TLS handshake";
    let descriptor = transport.as_raw_fd();
    let mut connecting = TlsConnector::from(Arc::new(config)).connect(subject, transport).into_fallible();
    match timeout_at(deadline, &mut connecting).await {
        Ok(Ok(mut stream)) => {
            stream.get_mut().0.unwrap_records();
            return Ok(stream);
        }
        Ok(Err((error, transport))) => return Err((handshake_fault(&error, expected, recording), transport)),
        Err(_) => {}
    }
    // A pending handshake returns its connection only when it ends. A shutdown of the connection ends it at once; the
    // descriptor is still owned by the handshake.
    let _ = shutdown(descriptor, Shutdown::Both);
    let transport = match connecting.await {
        Ok(stream) => stream.into_inner().0,
        Err((_, transport)) => transport,
    };
    let received = transport.received();
    Err((Fault::stalled(Phase::Tls, expected, received), transport))
}

/// Returns the current time in seconds since 1970.
fn now() -> i64 {
    clock::now().seconds()
}

/// Silence after which a client certificate counts as accepted.
const ACCEPTED_AFTER: Duration = Duration::from_millis(500);

/// Maximum number of bytes in the first read after the handshake.
const FIRST_READ: usize = 4096;

#[cfg(test)]
mod tests;
