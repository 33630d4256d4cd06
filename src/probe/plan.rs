//! Everything that one probe needs, looked up before it connects.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};

use super::tls::Client;
use crate::target::{Application, Target, TlsExchange};

/// A target with everything that its probe needs. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) target: Arc<Target>,
    /// What follows the TCP handshake; `None` if nothing does.
    pub(super) steps: Option<Steps>,
    /// Headers of an HTTP request whose values come from files.
    pub(super) file_headers: Arc<[(HeaderName, HeaderValue)]>,
    /// Whether to record what is said.
    pub(super) record: bool,
}

/// What follows the TCP handshake.
#[derive(Clone, Debug)]
pub(super) enum Steps {
    /// An application in the clear.
    Plain(Application),
    /// TLS, with what is said before and within it.
    Tls(Arc<TlsExchange>, Client),
}

impl Plan {
    /// The last second in which the client certificate is valid, if the probe has one.
    pub(super) fn client_certificate_not_after(&self) -> Option<i64> {
        match self.steps.as_ref()? {
            Steps::Plain(_) => None,
            Steps::Tls(_, client) => client.certificate_not_after(),
        }
    }
}

impl Steps {
    /// The application, in the clear or within TLS.
    pub(super) fn application(&self) -> &Application {
        match self {
            Self::Plain(application) => application,
            Self::Tls(exchange, _) => &exchange.application,
        }
    }
}
