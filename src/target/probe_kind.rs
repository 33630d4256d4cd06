//! Kinds of probes: a TCP handshake, or an exchange on the connection, in the clear or over TLS.

use std::sync::Arc;

use super::{Dialogue, HttpSettings, Service, TlsSettings};

/// The kind of a probe, with the settings that only this kind has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ProbeKind {
    /// An exchange in the clear.
    Plain(Application),
    /// Only a TCP handshake.
    Tcp {
        /// Expected result of the TCP handshake.
        expect: Expect,
    },
    /// TLS, from the first byte or after an upgrade.
    Tls(Arc<TlsExchange>),
}

impl ProbeKind {
    /// Returns the kind for this TLS exchange.
    pub fn of_tls(exchange: TlsExchange) -> Self {
        Self::Tls(Arc::new(exchange))
    }

    /// Expected result of the TCP handshake.
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Tcp { expect } => *expect,
            Self::Plain(_) | Self::Tls(_) => Expect::Open,
        }
    }

    /// The application, in the clear or within TLS; `None` for a TCP handshake.
    pub fn application(&self) -> Option<&Application> {
        match self {
            Self::Plain(application) => Some(application),
            Self::Tcp { .. } => None,
            Self::Tls(tls) => Some(&tls.application),
        }
    }

    /// HTTP request and expected response, if the application is HTTP.
    pub fn http(&self) -> Option<&Arc<HttpSettings>> {
        match self.application()? {
            Application::Http(settings) => Some(settings),
            Application::Dialogue(_) | Application::Service(_) => None,
        }
    }

    /// TLS and the exchanges before and within it; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsExchange> {
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

/// TLS on an open connection, and the exchanges before and within it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsExchange {
    /// Upgrade to TLS in the clear; empty if TLS starts with the first byte.
    pub upgrade: Application,
    /// Parameters and verification.
    pub settings: TlsSettings,
    /// The exchange within TLS.
    pub application: Application,
}

/// An exchange on a connection, in the clear or within TLS. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Application {
    /// Configured steps, possibly none.
    Dialogue(Dialogue),
    /// An HTTP request.
    Http(Arc<HttpSettings>),
    /// The exchange of a protocol other than HTTP.
    Service(&'static Service),
}

impl Application {
    /// Returns whether nothing is exchanged.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Dialogue(dialogue) => dialogue.is_empty(),
            Self::Http(_) | Self::Service(_) => false,
        }
    }
}

impl Default for Application {
    fn default() -> Self {
        Self::Dialogue(Dialogue::default())
    }
}

/// Expected result of a TCP handshake.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Expect {
    /// Refused or filtered.
    Closed,
    /// No answer, or an ICMP unreachable after the SYN.
    Filtered,
    /// A connection.
    #[default]
    Open,
    /// A RST or an ICMP port unreachable.
    Refused,
}

impl Expect {
    /// The text in configuration and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Open => "open",
            Self::Refused => "refused",
        }
    }
}
