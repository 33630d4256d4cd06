//! What follows a TCP handshake: steps in the clear, TLS, steps within TLS, whichever the target asks for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::connection::Stream;
use self::recording::{Recorder, Tap};
use self::script::Talk;
use super::plan::{Plan, Steps};
use super::tcp::errno::{Ending, at_once};
use super::tcp::opened::Opened;
use super::tls::alerts::conversation_fault;
use super::tls::transport::Carrier;
use super::tls::{Client, Handshake, handshake};
use crate::outcome::{Class, Direction, Facts, Failure, Fault, LocalFaultReason, Phase, Timings, TlsFacts, Transcript};
use crate::protocol::{self, Channel, Conversation, Ended, Request, Wire, Wrapping};
use crate::target::{Application, Endpoint, Host, Service, TlsExchange, Verify};

pub(super) mod connection;
mod recording;
pub(super) mod script;

/// What an exchange came to.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) result: Result<(), Fault>,
    /// The phases completed after the connect.
    pub(super) timings: Timings,
    pub(super) facts: Facts,
    /// Still open: closing it is no part of what is timed.
    pub(super) stream: Stream,
    /// What was said, where it is to be written down.
    pub(super) transcript: Option<Transcript>,
}

impl Exchanged {
    /// A handshake was all that was asked for, and nothing was said.
    pub(super) fn silent(result: Result<(), Fault>, stream: Opened) -> Self {
        Self::nothing_said(result, Stream::Silent(stream))
    }

    /// This machine could not wait for what the peer would say.
    fn lost(error: &io::Error) -> Self {
        let reason = match at_once(error) {
            Ending::Local(reason) => reason,
            Ending::Answered(_) | Ending::Unsent(_) => LocalFaultReason::Invalid,
        };
        let detail = format!("cannot wait for an answer: {error}");
        Self::nothing_said(Err(Fault::local(reason, detail)), Stream::Gone)
    }

    /// A result that was reached without a word.
    pub(super) fn nothing_said(result: Result<(), Fault>, stream: Stream) -> Self {
        let (timings, facts, transcript) = Default::default();
        Self { result, timings, facts, stream, transcript }
    }
}

/// Has the exchange that the target asks for. Ends by `deadline`.
///
/// Most probes have none, and those that have one take much more memory while it lasts: it has a place of its own.
pub(super) async fn exchange(stream: Opened, plan: &Plan, deadline: Instant) -> Exchanged {
    let Some(steps) = &plan.steps else {
        return Exchanged { transcript: plan.record.then(Transcript::default), ..Exchanged::silent(Ok(()), stream) };
    };
    match stream.watched() {
        Ok(stream) => Box::pin(converse(stream, steps, plan, deadline)).await,
        Err(error) => Exchanged::lost(&error),
    }
}

async fn converse(stream: TcpStream, steps: &Steps, plan: &Plan, deadline: Instant) -> Exchanged {
    let course = Course {
        talk: Talk::new(deadline),
        conversation: conversation(steps.application(), &plan.target.endpoint),
        timings: Timings::default(),
        facts: Facts::default(),
        recorder: plan.record.then(Recorder::new),
        deadline,
    };
    match steps {
        Steps::Plain(application) => course.in_the_clear(stream, application).await,
        Steps::Tls(tls, client) => course.secured(stream, tls, client, &plan.target.endpoint.host).await,
    }
}

/// The conversation of an application that is a protocol.
fn conversation(application: &Application, endpoint: &Endpoint) -> Option<Box<dyn Conversation>> {
    match application {
        Application::Dialogue(_) => None,
        Application::Http(settings) => Some(protocol::begin_http(Request { endpoint }, settings.clone())),
        Application::Service(service) => Some(protocol::of(service)?.begin(Request { endpoint })),
    }
}

/// An exchange under way.
struct Course {
    talk: Talk,
    conversation: Option<Box<dyn Conversation>>,
    timings: Timings,
    facts: Facts,
    recorder: Option<Recorder>,
    deadline: Instant,
}

impl Course {
    async fn in_the_clear(mut self, mut stream: TcpStream, application: &Application) -> Exchanged {
        let spoken = self.speak(Phase::Protocol, &mut stream, application).await;
        self.conclude(spoken, Stream::Plain(stream))
    }

    async fn secured(mut self, mut stream: TcpStream, tls: &TlsExchange, client: &Client, host: &Host) -> Exchanged {
        if let Err(fault) = self.upgrade(&mut stream, &tls.upgrade).await {
            return self.end(Err(fault), Stream::Plain(stream));
        }
        let wrapping = self.conversation.as_ref().map_or(Wrapping::None, |conversation| conversation.wrapping());
        let carrier = Carrier::new(stream, wrapping);
        let Handshake { result, facts, duration } =
            handshake(carrier, &tls.settings, host, client, self.deadline).await;
        let objection = objection(&facts, tls.settings.verify);
        self.facts.tls = Some(facts);
        let mut secured = match (result, objection) {
            // A certificate came before whatever broke the handshake off.
            (Err((_, carrier)), Some(failure)) => {
                return self.end(Err(failure.into()), Stream::Plain(carrier.into_stream()));
            }
            (Err((fault, carrier)), None) => return self.end(Err(fault), Stream::Plain(carrier.into_stream())),
            (Ok(mut secured), Some(failure)) => {
                self.part(&mut *secured.stream, &tls.application).await;
                return self.end(Err(failure.into()), Stream::Tls(secured.stream));
            }
            (Ok(secured), None) => secured,
        };
        match secured.settle(self.deadline).await {
            Ok(heard) => self.hear(&heard),
            Err(fault) => return self.end(Err(fault), Stream::Tls(secured.stream)),
        }
        self.timings = self.timings.with(Phase::Tls, duration);
        let spoken = self.speak(Phase::Protocol, &mut *secured.stream, &tls.application).await;
        self.conclude(spoken, Stream::Tls(secured.stream))
    }

    /// Takes what was read within TLS before anybody was to speak.
    fn hear(&mut self, bytes: &[u8]) {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !bytes.is_empty()) {
            recorder.note(Phase::Protocol, Direction::Received, bytes);
        }
        self.talk.hear(bytes);
    }

    /// Asks for TLS. What came in the clear beyond the answer cannot be the peer's word within TLS (CVE-2011-0411).
    async fn upgrade(&mut self, stream: &mut TcpStream, upgrade: &Application) -> Result<(), Fault> {
        self.speak(Phase::Starttls, stream, upgrade).await?;
        match self.talk.unread() {
            0 => Ok(()),
            unread => {
                let detail = format!("{unread} bytes came in the clear behind the answer that starts TLS");
                Err(Fault::failure(Phase::Starttls, Class::UnexpectedResponse, detail))
            }
        }
    }

    /// Says what is to be said in one phase; where that is nothing, there is no such phase.
    async fn speak<S: Channel>(
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
            Application::Http(_) => self.converse(phase, stream, protocol::HTTP).await?,
            Application::Service(service) => self.converse(phase, stream, service).await?,
            Application::Dialogue(dialogue) => {
                let mut tap = Tap { stream, phase, recorder: self.recorder.as_mut() };
                self.talk.run(phase, dialogue, &mut tap).await?;
            }
        }
        self.timings = self.timings.with(phase, started.elapsed());
        Ok(())
    }

    /// Goes through a protocol's part in a phase.
    async fn converse<S: Channel>(&mut self, phase: Phase, stream: &mut S, service: &Service) -> Result<(), Fault> {
        let Some(conversation) = &mut self.conversation else {
            let detail = format!("{} is not registered", service.name);
            return Err(Fault::local(LocalFaultReason::Invalid, detail));
        };
        let mut tap = Tap { stream, phase, recorder: self.recorder.as_mut() };
        let mut wire = Wire::new(&mut tap, self.talk.take_heard(), self.deadline);
        if phase == Phase::Starttls {
            conversation.upgrade(&mut wire).await.map_err(|ended| ended_early(ended, phase))?;
        } else {
            let found = conversation.exchange(&mut wire).await.map_err(|ended| ended_early(ended, phase))?;
            self.facts.service = Some(Arc::new(found.of(service)));
        }
        self.talk.hear(&wire.into_unread());
        Ok(())
    }

    /// Brings to its end what cannot become good any more. No secret is told, and servers such as MySQL's block those who
    /// hang up on them too often.
    async fn part<S: Channel>(&mut self, stream: &mut S, application: &Application) {
        let service = match application {
            Application::Dialogue(_) => return,
            Application::Http(_) => protocol::HTTP,
            Application::Service(service) => service,
        };
        let patience = self.deadline.min(Instant::now() + COURTESY);
        let _ = timeout_at(patience, self.converse(Phase::Protocol, stream, service)).await;
        self.facts.service = None;
    }

    fn conclude(mut self, spoken: Result<(), Fault>, stream: Stream) -> Exchanged {
        if spoken.is_ok() {
            self.facts.dialogue = self.talk.labels();
        }
        self.end(spoken, stream)
    }

    fn end(self, result: Result<(), Fault>, stream: Stream) -> Exchanged {
        let transcript = self.recorder.map(Recorder::into_transcript);
        Exchanged { result, timings: self.timings, facts: self.facts, stream, transcript }
    }
}

/// Fault for a conversation that a protocol ended early.
fn ended_early(ended: Ended, phase: Phase) -> Fault {
    match ended {
        Ended::Broken(error, expected) => conversation_fault(&error, phase, expected),
        Ended::Closed(expected) => Fault::disconnected(phase, expected),
        Ended::Refused(detail) => Fault::failure(phase, Class::StarttlsRefused, detail),
        Ended::Rejected(detail) => Fault::failure(phase, Class::Rejected, detail),
        Ended::Silent(expected) => Fault::stalled(phase, expected),
        Ended::Unexpected(detail) => Fault::failure(phase, Class::UnexpectedResponse, detail),
    }
}

/// The failure that the peer's certificates are, where they are to be without fault.
fn objection(facts: &TlsFacts, verify: Verify) -> Option<Failure> {
    let fault = match verify {
        Verify::Report => None,
        Verify::Strict => facts.peer.as_ref()?.faults.first(),
    }?;
    Some(Failure { phase: Phase::Tls, class: fault.class, detail: fault.detail.clone() })
}

/// How long a goodbye may take that changes nothing.
const COURTESY: Duration = Duration::from_secs(1);
