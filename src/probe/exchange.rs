//! What follows a TCP handshake: steps in the clear, TLS, steps within TLS, whichever the target asks for.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::attempt::Plan;
use super::dialogue::Talk;
use super::interruption::Interruption;
use super::stream::Stream;
use super::tls::{Client, Handshake, handshake};
use crate::outcome::{Class, Facts, Failure, Phase, Timings, TlsFacts, Verdict};
use crate::target::{Dialogue, Exchange, TlsExchange, Verify};

/// What an exchange came to.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) verdict: Verdict,
    /// The phases completed after the connect.
    pub(super) timings: Timings,
    pub(super) facts: Facts,
    /// Still open: closing it is no part of what is timed.
    pub(super) stream: Stream,
}

/// Has the exchange that the target asks for. Ends by `deadline`.
pub(super) async fn exchange(stream: TcpStream, plan: &Plan, deadline: Instant) -> Exchanged {
    let course = Course { talk: Talk::default(), timings: Timings::default(), facts: Facts::default(), deadline };
    match (&plan.target.settings.exchange, &plan.client) {
        (Exchange::Dialogue(dialogue), _) => course.in_the_clear(stream, dialogue).await,
        (Exchange::Tls(tls), Some(client)) => course.secured(stream, tls, client, plan).await,
        // A plan with TLS has a client.
        (Exchange::Tcp { .. } | Exchange::Tls(_), _) => course.end(Verdict::Good, Stream::Silent(stream)),
    }
}

/// An exchange under way.
struct Course {
    talk: Talk,
    timings: Timings,
    facts: Facts,
    deadline: Instant,
}

impl Course {
    async fn in_the_clear(mut self, mut stream: TcpStream, dialogue: &Dialogue) -> Exchanged {
        let spoken = self.speak(Phase::Protocol, &mut stream, dialogue).await;
        self.conclude(spoken, Stream::Plain(stream))
    }

    async fn secured(mut self, mut stream: TcpStream, tls: &TlsExchange, client: &Client, plan: &Plan) -> Exchanged {
        if let Err(verdict) = self.upgrade(&mut stream, &tls.upgrade).await {
            return self.end(verdict, Stream::Plain(stream));
        }
        let host = &plan.target.endpoint.host;
        let Handshake { ended, facts, duration } = handshake(stream, &tls.settings, host, client, self.deadline).await;
        let objection = objection(&facts, tls.settings.verify);
        self.facts.tls = Some(facts);
        let mut secured = match (ended, objection) {
            // A certificate came before whatever broke the handshake off.
            (Err((_, stream)), Some(failure)) => return self.end(Verdict::Failed(failure), Stream::Plain(stream)),
            (Err((interruption, stream)), None) => {
                return self.end(interruption.verdict(Phase::Tls), Stream::Plain(stream));
            }
            (Ok(secured), Some(failure)) => return self.end(Verdict::Failed(failure), Stream::Tls(secured.stream)),
            (Ok(secured), None) => secured,
        };
        match secured.settle(self.deadline).await {
            Ok(heard) => self.talk.hear(&heard),
            Err(interruption) => return self.end(interruption.verdict(Phase::Tls), Stream::Tls(secured.stream)),
        }
        self.timings = self.timings.with(Phase::Tls, duration);
        let spoken = self.speak(Phase::Protocol, &mut *secured.stream, &tls.dialogue).await;
        self.conclude(spoken, Stream::Tls(secured.stream))
    }

    /// Asks for TLS. What came in the clear beyond the answer cannot be the peer's word within TLS (CVE-2011-0411).
    async fn upgrade(&mut self, stream: &mut TcpStream, upgrade: &Dialogue) -> Result<(), Verdict> {
        self.speak(Phase::Starttls, stream, upgrade).await?;
        match self.talk.unread() {
            0 => Ok(()),
            unread => {
                let detail = format!("{unread} bytes came in the clear behind the answer that starts TLS");
                Err(Interruption::by_peer(Class::UnexpectedResponse, detail).verdict(Phase::Starttls))
            }
        }
    }

    /// Goes through the steps of one phase; without steps there is no such phase.
    async fn speak<S>(&mut self, phase: Phase, stream: &mut S, dialogue: &Dialogue) -> Result<(), Verdict>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if dialogue.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.talk.run(dialogue, stream, self.deadline).await.map_err(|interruption| interruption.verdict(phase))?;
        self.timings = self.timings.with(phase, started.elapsed());
        Ok(())
    }

    fn conclude(mut self, spoken: Result<(), Verdict>, stream: Stream) -> Exchanged {
        if spoken.is_ok() {
            self.facts.dialogue = self.talk.labels();
        }
        self.end(spoken.err().unwrap_or(Verdict::Good), stream)
    }

    fn end(self, verdict: Verdict, stream: Stream) -> Exchanged {
        Exchanged { verdict, timings: self.timings, facts: self.facts, stream }
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
