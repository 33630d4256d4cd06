//! The exchange on one connection after the TCP handshake: plaintext steps, TLS, steps within TLS, as planned.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::connection::Connection;
use self::recording::{Recorder, RecordingStream};
use self::script::ScriptRunner;
use super::plan::{Plan, Steps};
use super::tcp::errno::{ConnectError, at_once};
use super::tcp::socket::OpenSocket;
use super::tls::alerts::conversation_fault;
use super::tls::transport::TlsTransport;
use super::tls::{Client, Handshake, handshake};
use crate::outcome::{Class, Direction, Facts, Failure, Fault, LocalFaultReason, Phase, Timings, TlsFacts, Transcript};
use crate::protocol::{self, ByteStream, Conversation, ConversationError, Request, Wire, Wrapping};
use crate::target::{Application, Host, Service, TlsExchange, Verify};

pub(super) mod connection;
mod recording;
pub(super) mod script;

/// The result of an exchange.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) result: Result<(), Fault>,
    /// The phases completed after the connect.
    pub(super) timings: Timings,
    pub(super) facts: Facts,
    /// The open connection, which the caller closes after the measured time.
    pub(super) connection: Connection,
    /// The bytes exchanged, if the plan records them.
    pub(super) transcript: Option<Transcript>,
}

impl Exchanged {
    /// Returns the result of a TCP handshake on which no data was exchanged.
    pub(super) fn silent(result: Result<(), Fault>, socket: OpenSocket) -> Self {
        Self::nothing_said(result, Connection::Silent(socket))
    }

    /// Returns the local fault of a socket that cannot be registered with epoll.
    fn unregistered(error: &io::Error) -> Self {
        let reason = match at_once(error) {
            ConnectError::Local(reason) => reason,
            ConnectError::Answered(_) | ConnectError::Unsent(_) => LocalFaultReason::Invalid,
        };
        let detail = format!("cannot wait for data: {error}");
        Self::nothing_said(Err(Fault::local(reason, detail)), Connection::Closed)
    }

    /// Returns a result that was reached without data.
    pub(super) fn nothing_said(result: Result<(), Fault>, connection: Connection) -> Self {
        let (timings, facts, transcript) = Default::default();
        Self { result, timings, facts, connection, transcript }
    }
}

/// Runs the planned exchange. Ends by `deadline`.
///
/// Most plans have none. An exchange is boxed, because it takes much more memory.
pub(super) async fn exchange(socket: OpenSocket, plan: &Plan, deadline: Instant) -> Exchanged {
    let Some(steps) = &plan.steps else {
        return Exchanged { transcript: plan.record.then(Transcript::default), ..Exchanged::silent(Ok(()), socket) };
    };
    let registered = socket.register().and_then(|stream| Ok((stream.local_addr()?.ip(), stream)));
    match registered {
        Ok((local_address, stream)) => Box::pin(converse(stream, local_address, steps, plan, deadline)).await,
        Err(error) => Exchanged::unregistered(&error),
    }
}

async fn converse(
    stream: TcpStream,
    local_address: IpAddr,
    steps: &Steps,
    plan: &Plan,
    deadline: Instant,
) -> Exchanged {
    let request = Request { endpoint: &plan.target.endpoint, local_address };
    let exchange = Exchange {
        script: ScriptRunner::new(deadline),
        conversation: conversation(request, steps.application(), plan),
        timings: Timings::default(),
        facts: Facts::default(),
        recorder: plan.record.then(Recorder::new),
        deadline,
    };
    match steps {
        Steps::Plain(application) => exchange.plaintext(stream, application).await,
        Steps::Tls(tls, client) => exchange.secured(stream, tls, client, &plan.target.endpoint.host).await,
    }
}

/// Returns the conversation of an application; `None` for a dialogue.
fn conversation(request: Request<'_>, application: &Application, plan: &Plan) -> Option<Box<dyn Conversation>> {
    match application {
        Application::Dialogue(_) => None,
        Application::Http(settings) => Some(protocol::begin_http(request, settings.clone(), plan.file_headers.clone())),
        Application::Service(service) => Some(protocol::of(service)?.begin(request)),
    }
}

/// The state of one connection.
struct Exchange {
    script: ScriptRunner,
    conversation: Option<Box<dyn Conversation>>,
    timings: Timings,
    facts: Facts,
    recorder: Option<Recorder>,
    deadline: Instant,
}

impl Exchange {
    async fn plaintext(mut self, mut stream: TcpStream, application: &Application) -> Exchanged {
        let result = self.run_application(Phase::Protocol, &mut stream, application).await;
        self.conclude(result, Connection::Plain(stream))
    }

    async fn secured(mut self, mut stream: TcpStream, tls: &TlsExchange, client: &Client, host: &Host) -> Exchanged {
        if let Err(fault) = self.upgrade(&mut stream, &tls.upgrade).await {
            return self.end(Err(fault), Connection::Plain(stream));
        }
        let wrapping = self
            .conversation
            .as_ref()
            .map_or(Wrapping::None, |conversation| conversation.wrapping());
        let transport = TlsTransport::new(stream, wrapping);
        let Handshake { result, facts, duration } =
            handshake(transport, &tls.settings, host, client, self.deadline).await;
        let failure = certificate_failure(&facts, tls.settings.verify);
        self.facts.tls = Some(facts);
        let mut secured = match (result, failure) {
            // The peer presented the certificate before the error that ended the handshake.
            (Err((_, transport)), Some(failure)) => {
                return self.end(Err(failure.into()), Connection::Plain(transport.into_stream()));
            }
            (Err((fault, transport)), None) => return self.end(Err(fault), Connection::Plain(transport.into_stream())),
            (Ok(mut secured), Some(failure)) => {
                self.finish_conversation(&mut *secured.stream, &tls.application).await;
                return self.end(Err(failure.into()), Connection::Tls(secured.stream));
            }
            (Ok(secured), None) => secured,
        };
        match secured.settle(self.deadline).await {
            Ok(received) => self.take_received(&received),
            Err(fault) => return self.end(Err(fault), Connection::Tls(secured.stream)),
        }
        self.timings = self.timings.with(Phase::Tls, duration);
        let result = self
            .run_application(Phase::Protocol, &mut *secured.stream, &tls.application)
            .await;
        self.conclude(result, Connection::Tls(secured.stream))
    }

    /// Adds bytes that were read within TLS before the application started.
    fn take_received(&mut self, bytes: &[u8]) {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !bytes.is_empty()) {
            recorder.note(Phase::Protocol, Direction::Received, bytes);
        }
        self.script.take_received(bytes);
    }

    /// Requests TLS. Plaintext after the response must not count as data within TLS (CVE-2011-0411).
    async fn upgrade(&mut self, stream: &mut TcpStream, upgrade: &Application) -> Result<(), Fault> {
        self.run_application(Phase::Starttls, stream, upgrade).await?;
        match self.script.unread() {
            0 => Ok(()),
            unread => {
                let detail = format!("received {unread} bytes of plaintext after the response that starts TLS");
                Err(Fault::failure(Phase::Starttls, Class::UnexpectedResponse, detail))
            }
        }
    }

    /// Runs an application in a phase. An empty application completes no phase.
    async fn run_application<S: ByteStream>(
        &mut self,
        phase: Phase,
        stream: &mut S,
        application: &Application,
    ) -> Result<(), Fault> {
        if application.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        match application {
            Application::Dialogue(dialogue) => {
                let mut stream = RecordingStream { stream, phase, recorder: self.recorder.as_mut(), received: 0 };
                self.script.run(phase, dialogue, &mut stream).await?;
            }
            Application::Http(_) => self.converse(phase, stream, protocol::HTTP).await?,
            Application::Service(service) => self.converse(phase, stream, service).await?,
        }
        self.timings = self.timings.with(phase, started.elapsed());
        Ok(())
    }

    /// Runs the part of a protocol's conversation that belongs to a phase.
    async fn converse<S: ByteStream>(&mut self, phase: Phase, stream: &mut S, service: &Service) -> Result<(), Fault> {
        let Some(conversation) = &mut self.conversation else {
            let detail = format!("the protocol `{}` is not registered", service.name);
            return Err(Fault::local(LocalFaultReason::Invalid, detail));
        };
        let buffered = self.script.give_received();
        let mut stream = RecordingStream { stream, phase, recorder: self.recorder.as_mut(), received: buffered.len() };
        let mut wire = Wire::new(&mut stream, buffered, self.deadline);
        let found = if phase == Phase::Starttls {
            conversation.upgrade(&mut wire).await.map(|()| None)
        } else {
            let found = conversation.exchange(&mut wire).await;
            self.facts.response = conversation.response().map(Arc::new);
            found.map(Some)
        };
        self.script.take_received(&wire.into_unread());
        let found = found.map_err(|ended| ended_early(ended, phase, stream.received))?;
        self.facts.service = found.map(|found| Arc::new(found.of(service)));
        Ok(())
    }

    /// Completes the conversation of a probe that has already failed. It sends no secret, and servers such as MySQL
    /// block clients that disconnect too early too often.
    async fn finish_conversation<S: ByteStream>(&mut self, stream: &mut S, application: &Application) {
        let service = match application {
            Application::Dialogue(_) => return,
            Application::Http(_) => protocol::HTTP,
            Application::Service(service) => service,
        };
        let timeout = self.deadline.min(Instant::now() + GOODBYE_TIMEOUT);
        let _ = timeout_at(timeout, self.converse(Phase::Protocol, stream, service)).await;
        self.facts.service = None;
        self.facts.response = None;
    }

    fn conclude(mut self, result: Result<(), Fault>, connection: Connection) -> Exchanged {
        if result.is_ok() {
            self.facts.dialogue = self.script.labels();
        }
        self.end(result, connection)
    }

    fn end(self, result: Result<(), Fault>, connection: Connection) -> Exchanged {
        let transcript = self.recorder.map(Recorder::into_transcript);
        Exchanged { result, timings: self.timings, facts: self.facts, connection, transcript }
    }
}

/// Returns the fault of a conversation that failed, after `received` bytes of the response that was due.
fn ended_early(ended: ConversationError, phase: Phase, received: usize) -> Fault {
    match ended {
        ConversationError::Broken(error, expected) => conversation_fault(&error, phase, expected),
        ConversationError::Closed(expected) => Fault::disconnected(phase, expected),
        ConversationError::Refused(detail) => Fault::failure(phase, Class::StarttlsRefused, detail),
        ConversationError::Rejected(detail) => Fault::failure(phase, Class::Rejected, detail),
        ConversationError::Silent(expected) => Fault::stalled(phase, expected, received),
        ConversationError::Unexpected(detail) => Fault::failure(phase, Class::UnexpectedResponse, detail),
    }
}

/// Returns the failure for the first fault of the peer's certificates; `None` if faults are only reported.
fn certificate_failure(facts: &TlsFacts, verify: Verify) -> Option<Failure> {
    let fault = match verify {
        Verify::Report => None,
        Verify::Strict => facts.peer.as_ref()?.faults.first(),
    }?;
    Some(Failure { phase: Phase::Tls, class: fault.class, detail: fault.detail.clone() })
}

/// Maximum duration of a goodbye that does not change the result.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
