//! The plan of a probe: everything that it needs, collected before it connects.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};

use super::tls::Client;
use crate::loop_lag::LoopLag;
use crate::target::{Application, Target, TlsExchange};

/// A target with everything that its probe needs. It is cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Arc<Target>,
    /// The steps after the TCP handshake; `None` if there are none.
    pub(super) steps: Option<Steps>,
    /// Headers of an HTTP request whose values come from files.
    pub(super) file_headers: Arc<[(HeaderName, HeaderValue)]>,
    /// Whether to record the bytes exchanged.
    pub(super) record: bool,
    /// Maximum number of addresses that are tried at the same time.
    pub(super) at_once: u8,
    /// Shows whether this process runs on time.
    pub(super) lag: Arc<LoopLag>,
}

/// The steps after the TCP handshake.
#[derive(Clone, Debug)]
pub(super) enum Steps {
    /// A plaintext application.
    Plain(Application),
    /// TLS, with the applications before and within it.
    Tls(Arc<TlsExchange>, Client),
}

impl Plan {
    /// Returns the last second in which the client certificate is valid, since 1970; `None` if there is none.
    pub(super) fn client_certificate_not_after(&self) -> Option<i64> {
        match self.steps.as_ref()? {
            Steps::Plain(_) => None,
            Steps::Tls(_, client) => client.certificate_not_after(),
        }
    }
}

impl Steps {
    /// Returns the plaintext application or the one within TLS.
    pub(super) fn application(&self) -> &Application {
        match self {
            Self::Plain(application) => application,
            Self::Tls(exchange, _) => &exchange.application,
        }
    }
}
