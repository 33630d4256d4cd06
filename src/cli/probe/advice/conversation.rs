//! Advice on conversations that ended early: in a TLS handshake, or in a dialogue.

use super::{Advice, FailedProbe};
use crate::outcome::Phase;
use crate::target::Protocol;

impl FailedProbe<'_> {
    pub(super) fn disconnected(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!("the peer hangs up on the handshake: {}, or it serves other clients only", self.not_tls()),
                format!("{}; look at the service's log{}", self.s_client(""), self.starttls_hint()),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "the peer hangs up where an answer was due: it is shutting down, full, or did not like what was sent",
                format!("{}; look at the service's log{}", self.talk(), self.talk_hint()),
            ),
        }
    }

    pub(super) fn reset(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!("the peer, or a firewall on the way, breaks the handshake off: {}", self.not_tls()),
                format!("{}; look at the service's log{}", self.s_client(""), self.starttls_hint()),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "the peer, or a firewall on the way, breaks the connection off: it crashed, or serves other clients only",
                format!("{}; look at the service's log{}", self.talk(), self.talk_hint()),
            ),
        }
    }

    pub(super) fn stalled(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!("accepts connections but does not answer: hung, overloaded, or {}", self.not_tls()),
                format!(
                    "{}; on {}: does the service work at all?{}",
                    self.s_client(""),
                    self.address,
                    self.starttls_hint()
                ),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "accepts connections but does not answer: hung, overloaded, or waiting for something else than it is sent",
                format!("{}; on {}: does the service work at all?{}", self.talk(), self.address, self.talk_hint()),
            ),
        }
    }

    pub(super) fn rejected(&self) -> Advice {
        Advice::new(
            "the service is there and says that it serves nobody now: starting, stopping, full, or without its quorum",
            format!("read its answer above, and the service's log on {}", self.address),
        )
    }

    pub(super) fn starttls_refused(&self) -> Advice {
        Advice::new(
            "the service speaks its protocol but does not offer TLS on this connection, or refuses it now",
            format!(
                "on {}: is TLS switched on in the service's settings, and can it read its certificate?",
                self.address
            ),
        )
    }

    pub(super) fn unexpected_response(&self) -> Advice {
        let meaning = match self.phase {
            Phase::Starttls => "the service speaks another protocol than expected, or does not offer to start TLS",
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Tls => {
                "the service speaks another protocol or version than expected, or answers with an error"
            }
        };
        let (talk, hint) = (self.talk(), self.talk_hint());
        let compare = if matches!(self.target.endpoint.protocol, Protocol::Service(..)) {
            "what service listens there, and what does it log? --verbose shows all that it said"
        } else {
            "type what dialogue sends and compare what comes with its steps"
        };
        Advice::new(meaning, format!("{talk}; {compare}{hint}"))
    }

    /// The reason why a peer may not take part in a handshake.
    fn not_tls(&self) -> &'static str {
        if self.upgrades() { "not ready for TLS" } else { "not TLS, or only after a STARTTLS" }
    }
}
