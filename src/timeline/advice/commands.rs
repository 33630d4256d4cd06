//! Shell commands that connect to the same service as the probe.

use std::borrow::Cow;
use std::fmt::Display;

use super::FailedProbe;
use crate::outcome::Phase;
use crate::target::{AlpnProtocol, Identity, Protocol, ServerName, TlsExchange, TlsProfile, TlsVersion};

impl FailedProbe<'_> {
    /// Returns the command for the same handshake, with further options.
    pub(super) fn s_client(&self, options: &str) -> String {
        if self.is_beyond_openssl() {
            return self.again();
        }
        format!("openssl s_client {}{options} </dev/null", self.s_client_arguments())
    }

    /// Returns the command that shows this part of the leaf certificate.
    pub(super) fn x509(&self, fields: &str) -> String {
        if self.is_beyond_openssl() {
            return self.again();
        }
        format!("{} 2>/dev/null | openssl x509 -noout {fields}", self.s_client(""))
    }

    /// Returns the command for an interactive connection, with TLS if the failed phase had it.
    pub(super) fn talk(&self) -> String {
        if self.was_within_tls() && self.is_beyond_openssl() {
            return self.again();
        }
        if self.was_within_tls() {
            return format!("openssl s_client -quiet {}", self.s_client_arguments());
        }
        // The service's client does not stop before it requests TLS.
        self.client()
            .filter(|_| self.phase == Phase::Protocol)
            .unwrap_or_else(|| self.nc())
    }

    /// Returns the command that queries the service with its usual client, without TLS.
    fn client(&self) -> Option<String> {
        let Protocol::Service(service, _) = self.target.endpoint.protocol else { return None };
        let command = service
            .client?
            .replace("{host}", &self.address)
            .replace("{authority}", &self.authority());
        let command = command.replace("{port}", &self.target.endpoint.port.to_string());
        Some(command.replace("{url}", &quoted(&self.target.endpoint)))
    }

    /// Returns a note on that command.
    pub(super) fn talk_hint(&self) -> &'static str {
        if self.was_within_tls() { self.starttls_hint() } else { "" }
    }

    /// Returns the command for a plain connection.
    pub(super) fn nc(&self) -> String {
        format!("nc -v {} {}", self.address, self.target.endpoint.port)
    }

    /// Returns a note on a command if the protocol has its own way to request TLS.
    pub(super) fn starttls_hint(&self) -> &'static str {
        match (self.upgrades(), self.target.endpoint.protocol) {
            (true, Protocol::Tcp | Protocol::Tls) => {
                "; PROTOCOL is smtp, imap, pop3, ftp, ldap, postgres, mysql or another that openssl supports"
            }
            (true, Protocol::Service(..)) if self.is_beyond_openssl() => {
                "; openssl cannot request TLS in this protocol"
            }
            (false, _) | (true, Protocol::Service(..)) => "",
        }
    }

    /// Returns whether `openssl s_client` does not support the way in which TLS is requested.
    fn is_beyond_openssl(&self) -> bool {
        let Protocol::Service(service, _) = self.target.endpoint.protocol else { return false };
        self.upgrades() && service.openssl_starttls.is_none()
    }

    /// Returns the command that shows the details of this probe.
    fn again(&self) -> String {
        format!("portprobe probe --verbose {}", quoted(&self.target.endpoint))
    }

    /// Returns the name that the certificate must be valid for.
    pub(super) fn server_name(&self) -> Option<ServerName> {
        let configured = self.tls().and_then(|tls| tls.settings.server_name.clone());
        configured.or_else(|| ServerName::of_host(&self.target.endpoint.host))
    }

    pub(super) fn tls(&self) -> Option<&TlsExchange> {
        self.target.settings.probe_kind.tls()
    }

    /// Returns whether the connection is upgraded to TLS.
    pub(super) fn upgrades(&self) -> bool {
        self.tls().is_some_and(|tls| !tls.upgrade.is_empty())
    }

    /// Returns the address and the port, quoted for a shell because of brackets.
    fn authority(&self) -> String {
        let (address, port) = (&self.address, self.target.endpoint.port);
        if address.contains(':') { format!("'[{address}]:{port}'") } else { format!("{address}:{port}") }
    }

    fn was_within_tls(&self) -> bool {
        self.phase == Phase::Protocol && self.tls().is_some()
    }

    fn s_client_arguments(&self) -> String {
        let starttls = match (self.upgrades(), self.target.endpoint.protocol) {
            (false, _) => String::new(),
            (true, Protocol::Tcp | Protocol::Tls) => "-starttls PROTOCOL ".to_owned(),
            (true, Protocol::Service(service, _)) => service
                .openssl_starttls
                .map_or_else(String::new, |name| format!("-starttls {name} ")),
        };
        let connect = self.authority();
        // SNI never contains an address (RFC 6066 section 3), and openssl sends no SNI when it connects to one.
        let server_name = match self.server_name() {
            Some(ServerName::Name(name)) => format!(" -servername {}", name.as_str()),
            Some(ServerName::Address(_)) | None => String::new(),
        };
        format!("{starttls}-connect {connect}{server_name}{}", self.tls().map_or_else(String::new, offered))
    }
}

/// Returns the options for the rest of the handshake. Without them, a service may treat openssl differently from the
/// probe.
fn offered(tls: &TlsExchange) -> String {
    let TlsProfile { identity, versions, alpn, .. } = &*tls.settings.profile;
    let certificate = identity.as_ref().map_or_else(String::new, |Identity { cert_file, key_file }| {
        format!(" -cert {} -key {}", quoted(cert_file.display()), quoted(key_file.display()))
    });
    let version = match versions.iter().collect::<Vec<_>>()[..] {
        [TlsVersion::V1_2] => " -tls1_2",
        [TlsVersion::V1_3] => " -tls1_3",
        [..] => "",
    };
    let names: Vec<_> = alpn.iter().map(AlpnProtocol::as_str).collect();
    let alpn = if names.is_empty() { String::new() } else { format!(" -alpn {}", quoted(names.join(","))) };
    format!("{certificate}{version}{alpn}")
}

/// Quotes a text as one word of a shell.
pub(super) fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    // Only a zero byte cannot be quoted, and these texts have none.
    shlex::try_quote(&text).map_or_else(|_| text.escape_debug().to_string(), Cow::into_owned)
}
