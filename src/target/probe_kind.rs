//! What is to happen on a connection: what the handshake must come to, TLS, and what is said.

use std::sync::Arc;

use super::{Dialogue, HttpSettings, Service, TlsSettings};

/// What is to happen once an address is known; settings of only one kind of exchange live in its variant.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ProbeKind {
    /// A conversation on the open connection, in the clear.
    Plain(Application),
    /// A TCP handshake and nothing more.
    Tcp {
        /// What the handshake must come to.
        expect: Expect,
    },
    /// TLS, from the first byte or after an upgrade.
    Tls(TlsExchange),
}

impl ProbeKind {
    /// What the TCP handshake must come to.
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Tcp { expect } => *expect,
            Self::Plain(_) | Self::Tls(_) => Expect::Open,
        }
    }

    /// What an HTTP server is asked for, where one is.
    pub const fn http(&self) -> Option<&Arc<HttpSettings>> {
        let application = match self {
            Self::Plain(application) => application,
            Self::Tcp { .. } => return None,
            Self::Tls(tls) => &tls.application,
        };
        match application {
            Application::Service(_, http) => http.as_ref(),
            Application::Steps(_) => None,
        }
    }

    /// TLS and what stands around it, where there is any.
    pub const fn tls(&self) -> Option<&TlsExchange> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Plain(_) | Self::Tcp { .. } => None,
        }
    }
}

impl Default for ProbeKind {
    fn default() -> Self {
        Self::Tcp { expect: Expect::default() }
    }
}

/// TLS on an open connection, and what is said before and within it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsExchange {
    /// What asks for TLS in the clear; nothing: it starts with the first byte.
    pub upgrade: Application,
    /// How TLS is spoken and judged.
    pub settings: TlsSettings,
    /// What is said within TLS.
    pub application: Application,
}

/// What is said on a connection, in the clear or within TLS.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Application {
    /// What the protocol of this service has for it, and where it is HTTP, what is asked.
    Service(&'static Service, Option<Arc<HttpSettings>>),
    /// Steps as configured; perhaps none.
    Steps(Dialogue),
}

impl Application {
    /// Whether nothing is said.
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Service(..) => false,
            Self::Steps(dialogue) => dialogue.is_empty(),
        }
    }
}

impl Default for Application {
    fn default() -> Self {
        Self::Steps(Dialogue::default())
    }
}

/// What a TCP handshake must come to for the probe to be good.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Expect {
    /// Refused or filtered.
    Closed,
    /// No answer, or an unreachable that came back after the SYN.
    Filtered,
    /// A connection.
    #[default]
    Open,
    /// A RST or an ICMP port unreachable.
    Refused,
}

impl Expect {
    /// The word for it in configuration and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Open => "open",
            Self::Refused => "refused",
        }
    }
}
