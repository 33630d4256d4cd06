//! Rows of a table: a server, the settings of its probe, and the expected metrics.

use std::net::SocketAddr;

use rustls::ServerConfig;

use crate::support::peers;
use crate::support::pki::Identity;

/// A row of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    address: SocketAddr,
    settings: Vec<String>,
    tls: Vec<String>,
    /// The phase and class of the failure; `None` if the target is up.
    pub(super) failure: Option<(&'static str, &'static str)>,
    /// All faults of the certificate.
    pub(super) faults: Vec<&'static str>,
    /// The expiry of the leaf; `None` if no certificate is visible.
    pub(super) not_after: Option<i64>,
    pub(super) version: Option<&'static str>,
}

impl Row {
    /// Starts a server with this certificate. By default no faults are expected.
    pub(super) async fn of(name: &'static str, identity: &Identity) -> Self {
        Self::with_server(name, identity, identity.server()).await
    }

    /// Like [`Self::of`], with another server configuration.
    pub(super) async fn with_server(name: &'static str, identity: &Identity, server: ServerConfig) -> Self {
        Self { not_after: Some(identity.not_after), ..Self::at(name, peers::tls(server).await) }
    }

    /// Creates a peer without a visible certificate.
    pub(super) fn at(name: &'static str, address: SocketAddr) -> Self {
        let (settings, tls, faults) = Default::default();
        Self { name, address, settings, tls, failure: None, faults, not_after: None, version: None }
    }

    /// Expects faults, the first of which is the class of the failure.
    pub(super) fn faulty(self, faults: &[&'static str]) -> Self {
        Self { failure: Some(("tls", faults[0])), faults: faults.to_vec(), ..self }
    }

    /// Expects faults that are only reported.
    pub(super) fn reported(self, faults: &[&'static str]) -> Self {
        Self { faults: faults.to_vec(), ..self }.tls("verify: report")
    }

    pub(super) fn failed(self, phase: &'static str, class: &'static str) -> Self {
        Self { failure: Some((phase, class)), ..self }
    }

    pub(super) fn shows(self, identity: &Identity) -> Self {
        Self { not_after: Some(identity.not_after), ..self }
    }

    /// Expects no certificate, because the handshake fails before.
    pub(super) fn shows_nothing(self) -> Self {
        Self { not_after: None, ..self }
    }

    pub(super) fn version(self, version: &'static str) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Adds a setting of `tls` as YAML.
    pub(super) fn tls(mut self, setting: impl Into<String>) -> Self {
        self.tls.push(setting.into());
        self
    }

    /// Adds a setting of the target as YAML.
    pub(super) fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Returns the entry of `targets`.
    pub(super) fn yaml(&self) -> String {
        let Self { name, address, settings, tls, .. } = self;
        let scheme = if settings.iter().any(|setting| setting.contains("starttls: true")) { "tcp" } else { "tls" };
        let settings = [&[String::new()], settings.as_slice()].concat().join(", ");
        let tls = if tls.is_empty() { String::new() } else { format!(", tls: {{ {} }}", tls.join(", ")) };
        format!("- {{ url: '{scheme}://{address}', name: {name}{settings}{tls} }}\n")
    }
}
