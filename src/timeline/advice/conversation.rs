//! Advice on exchanges that ended early: a TLS handshake or a protocol.

use super::{Advice, FailedProbe};
use crate::outcome::Phase;
use crate::target::Protocol;

impl FailedProbe<'_> {
    pub(super) fn disconnected(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!(
                    "the peer closes the connection during the handshake: {}, or it accepts only certain clients",
                    self.not_tls()
                ),
                format!("{}; check the service's log{}", self.s_client(""), self.starttls_hint()),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "the peer closes the connection instead of responding: it is stopping, full, or rejects the request",
                format!("{}; check the service's log{}", self.talk(), self.talk_hint()),
            ),
        }
    }

    pub(super) fn reset(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!("the peer or a firewall resets the connection during the handshake: {}", self.not_tls()),
                format!("{}; check the service's log{}", self.s_client(""), self.starttls_hint()),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "the peer or a firewall resets the connection: the service crashed, or accepts only certain clients",
                format!("{}; check the service's log{}", self.talk(), self.talk_hint()),
            ),
        }
    }

    pub(super) fn stalled(&self) -> Advice {
        match self.phase {
            Phase::Tls => Advice::new(
                format!("accepts connections but does not respond in time: hung, overloaded, or {}", self.not_tls()),
                format!(
                    "{}; on {}: does the service work there?{}",
                    self.s_client(""),
                    self.address,
                    self.starttls_hint()
                ),
            ),
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Starttls => Advice::new(
                "accepts connections but does not respond in time: hung, overloaded, or waiting for a different request",
                format!("{}; on {}: does the service work there?{}", self.talk(), self.address, self.talk_hint()),
            ),
        }
    }

    pub(super) fn rejected(&self) -> Advice {
        Advice::new(
            "the service responds but serves no clients now: starting, stopping, full, without a quorum, or a proxy \
             without a server",
            format!("read its response above, and the service's log on {}", self.address),
        )
    }

    pub(super) fn starttls_refused(&self) -> Advice {
        Advice::new(
            "the service does not offer TLS on this connection, or refuses it at the moment",
            format!("on {}: is TLS enabled in the service's settings, and can it read its certificate?", self.address),
        )
    }

    pub(super) fn unexpected_response(&self) -> Advice {
        if self.target.settings.probe_kind.http().is_some() {
            return Advice::new(
                "the service responds, but not with the status or body that the settings expect, or it is not HTTP",
                format!("{}; compare the response with http.status and http.body", self.talk()),
            );
        }
        let meaning = match self.phase {
            Phase::Starttls => "the service speaks another protocol, or does not offer STARTTLS",
            Phase::Connect | Phase::Protocol | Phase::Resolve | Phase::Tls => {
                "the service speaks another protocol or version, or responds with an error"
            }
        };
        let (talk, hint) = (self.talk(), self.talk_hint());
        let compare = if matches!(self.target.endpoint.protocol, Protocol::Service(..)) {
            "which service listens there, and what does it log? --verbose shows every byte"
        } else {
            "send what the dialogue sends, and compare the responses with its steps"
        };
        Advice::new(meaning, format!("{talk}; {compare}{hint}"))
    }

    /// Returns the reason why a peer may not respond to a handshake.
    fn not_tls(&self) -> &'static str {
        if self.upgrades() { "not ready for TLS" } else { "not TLS, or TLS only after STARTTLS" }
    }
}
