//! What a probe comes to: an [`Outcome`], and with its target and times a [`Report`].
//!
//! A failed probe is data, a fault of this machine too; neither is an error of the daemon. Everything here is plain
//! values; [`Prober`] is the only behaviour: who has a target and a deadline gets an outcome.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::failure::{Class, Failure, Fault, LocalFault, LocalFaultReason};
#[cfg(test)]
pub(crate) use self::testing::example_facts;
pub use self::tls::{Certificate, CertificateContent, CertificateFault, PeerCertificates, Session, TlsFacts};
pub use self::transcript::{Direction, Message, Transcript};
use crate::clock::Timestamp;
use crate::target::{LabelName, Target};

mod failure;
#[cfg(test)]
mod testing;
mod tls;
mod transcript;

/// Whoever can probe: the network, or in tests a script.
pub trait Prober: Send + Sync + 'static {
    /// One probe of `target`, from resolving to closing.
    ///
    /// Ends by `deadline`; what has not happened by then is a failure of the phase under way. Dropping the future ends
    /// the probe without an outcome.
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send;
}

impl<P: Prober> Prober for Arc<P> {
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send {
        P::probe(self, target, deadline)
    }
}

/// What one probe saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the target is as expected, and why not.
    pub result: Result<(), Fault>,
    /// Time from the start to the result.
    pub duration: Duration,
    /// The phases that were completed; with several addresses those of the address that decided.
    pub timings: Timings,
    /// What the name stood for; none where the host is an address or its name was not resolved.
    pub resolution: Option<Resolution>,
    /// Each address that was tried, in order; empty where it never came to that.
    pub attempts: Vec<Attempt>,
    /// What the peer showed of itself; with several addresses the worst of each.
    pub facts: Facts,
    /// The last second in which the own client certificate is valid, since 1970, where there is one.
    pub client_certificate_not_after: Option<i64>,
}

impl Outcome {
    /// The address tried last, for addresses tried one after the other the one that counted.
    pub fn address(&self) -> Option<IpAddr> {
        self.attempts.last().map(|attempt| attempt.address)
    }
}

/// What resolving a name gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// The addresses that may be used, in the order in which they are.
    pub addresses: Vec<IpAddr>,
}

/// One address of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Where to.
    pub address: IpAddr,
    /// The result as if this were the only address.
    pub result: Result<(), Fault>,
    /// Time from its start to its result, by the clock.
    pub duration: Duration,
    /// The phases completed with this address, `resolve` not among them.
    pub timings: Timings,
    /// SYNs sent again, where the kernel counts them and an answer came in the end.
    pub syn_retransmits: u32,
    /// What the peer showed of itself.
    pub facts: Facts,
    /// What was said, where the prober was to write it down and a connection was made.
    pub transcript: Option<Transcript>,
}

/// Facts that a peer showed about itself, whether the probe succeeded or not. Steps that were not reached leave none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What the TLS handshake showed.
    pub tls: Option<TlsFacts>,
    /// The labels that a dialogue gave, once it was completed and where it gives any.
    pub dialogue: Option<Arc<[(LabelName, String)]>>,
    /// What a service said of itself, once its exchange was completed.
    pub service: Option<Arc<ServiceFacts>>,
}

/// What a service said of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceFacts {
    /// What it speaks.
    pub protocol: &'static str,
    /// A product or version token; empty where it tells none.
    pub version: String,
    /// What it is among its kind, such as primary; empty where it tells nothing.
    pub role: String,
}

/// The steps of a probe, in this order; not every probe has all.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Name to addresses.
    Resolve,
    /// The TCP handshake.
    Connect,
    /// What is said in the clear before TLS.
    Starttls,
    /// The TLS handshake.
    Tls,
    /// What is said on the connection, within TLS where there is TLS.
    Protocol,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [Self::Resolve, Self::Connect, Self::Starttls, Self::Tls, Self::Protocol];

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
        }
    }
}

/// How long each completed phase took, to the nanosecond. A phase that failed or was never reached is not in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timings([u64; Phase::ALL.len()]);

impl Timings {
    /// Notes a completed phase.
    #[must_use]
    pub fn with(mut self, phase: Phase, duration: Duration) -> Self {
        if let Some(slot) = self.0.get_mut(phase as usize) {
            *slot = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(NOT_COMPLETED - 1);
        }
        self
    }

    /// These and those of later phases; where both have a phase, the later counts.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        later.iter().fold(self, |timings, (phase, duration)| timings.with(phase, duration))
    }

    /// A phase's duration, where it was completed.
    pub fn of(&self, phase: Phase) -> Option<Duration> {
        self.0.get(phase as usize).copied().filter(|nanos| *nanos != NOT_COMPLETED).map(Duration::from_nanos)
    }

    /// Every completed phase, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.of(phase)?)))
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self([NOT_COMPLETED; Phase::ALL.len()])
    }
}

/// No probe takes six hundred years.
const NOT_COMPLETED: u64 = u64::MAX;

/// An outcome with its target and times: what the board turns into state.
#[derive(Clone, Debug)]
pub struct Report {
    /// The very target that was probed; a board that has replaced it since drops the report.
    pub target: Arc<Target>,
    /// What was seen.
    pub outcome: Outcome,
    /// When the probe ended.
    pub ended: Instant,
    /// The same moment on the wall clock.
    pub ended_at: Timestamp,
}

/// The probe that follows a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The next one on the schedule.
    OnSchedule,
    /// Another one at once with new settings, because the one reported was made with old settings and is discarded.
    Repeat,
    /// Another one this long after the end of the last, to confirm a failure.
    Retry(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_hold_completed_phases_in_order() {
        let timings = Timings::default()
            .with(Phase::Connect, Duration::from_millis(2))
            .with(Phase::Resolve, Duration::from_millis(1));
        let phases: Vec<_> = timings.iter().map(|(phase, duration)| (phase.as_str(), duration.as_millis())).collect();
        assert_eq!(phases, [("resolve", 1), ("connect", 2)]);
        assert_eq!(Timings::default().iter().count(), 0);
    }
}
