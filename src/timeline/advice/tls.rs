//! Advice on failed handshakes and invalid certificates.

use super::commands::quoted;
use super::{Advice, FailedProbe};
use crate::target::Roots;

impl FailedProbe<'_> {
    pub(super) fn cert_expired(&self) -> Advice {
        Advice::new(
            "the certificate, or one in its chain, was not renewed; or it was, but the service was not reloaded",
            format!(
                "renew it; if it is renewed already, reload the service, which still uses the old one: {}{}",
                self.x509("-dates"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_invalid(&self) -> Advice {
        Advice::new(
            "the certificate is damaged, not valid for servers, or of a type that cannot be verified",
            format!("inspect it and have it reissued: {}{}", self.x509("-text"), self.starttls_hint()),
        )
    }

    pub(super) fn cert_name_mismatch(&self) -> Advice {
        let name = self
            .server_name()
            .map_or_else(|| self.target.endpoint.host.to_string(), |name| name.to_string());
        Advice::new(
            format!("the certificate is not valid for {name}: it belongs to another site, or lacks this name"),
            format!(
                "if another name is correct, set tls.server_name; otherwise have it issued for {name}: {}{}",
                self.x509("-subject -ext subjectAltName"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_not_yet_valid(&self) -> Advice {
        Advice::new(
            "the clock of this machine is slow, that of the issuer was fast, or the certificate is for later use",
            format!("date -u; chronyc tracking; {}{}", self.x509("-dates"), self.starttls_hint()),
        )
    }

    pub(super) fn cert_pin_mismatch(&self) -> Advice {
        Advice::new(
            "the certificate does not match tls.pins: it has a new key, or the connection is intercepted",
            format!(
                "ask the operator of the service; if the certificate is correct, add it to tls.pins: {}{}",
                self.x509("-fingerprint -sha256"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_revoked(&self) -> Advice {
        Advice::new(
            "the issuer revoked the certificate: its key was compromised, or it was replaced",
            format!(
                "have a new one issued, then reload the service: {}{}",
                self.x509("-serial -issuer"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_untrusted(&self) -> Advice {
        let chain = format!("{}{}", self.s_client(" -showcerts"), self.starttls_hint());
        match self.tls().map(|tls| &tls.settings.profile.roots) {
            Some(Roots::File(file)) => Advice::new(
                "it is not issued by a CA in tls.ca_file, or the service does not send its intermediate certificates",
                format!(
                    "does {} contain the issuer, or the certificate itself? to accept it anyway: tls.verify: report; \
                     the chain as sent: {chain}",
                    file.display()
                ),
            ),
            Some(Roots::Mozilla | Roots::System) | None => Advice::new(
                "it is self-signed, from a private CA, or the service does not send its intermediate certificates",
                format!(
                    "set tls.ca_file to the CA or to the certificate itself, or accept it with tls.verify: report; \
                     the chain as sent: {chain}"
                ),
            ),
        }
    }

    pub(super) fn tls_alert(&self) -> Advice {
        let by_alert = "handshake_failure: no common cipher, or a client certificate is required; unrecognized_name: \
                        tls.server_name; no_application_protocol: tls.alpn";
        let (command, hint) = (self.s_client(""), self.starttls_hint());
        match self.tls().and_then(|tls| tls.settings.profile.identity.as_ref()) {
            Some(identity) => Advice::new(
                "the service ends the handshake with an alert: it rejects the client certificate, or the offer",
                format!(
                    "openssl x509 -noout -dates -issuer -in {}; {by_alert}; {command}{hint}",
                    quoted(identity.cert_file.display())
                ),
            ),
            None => Advice::new(
                "the service ends the handshake with an alert: it requires a client certificate, or rejects the offer",
                format!("certificate_required: tls.cert_file and tls.key_file; {by_alert}; {command}{hint}"),
            ),
        }
    }

    pub(super) fn tls_protocol(&self) -> Advice {
        let plain = if self.upgrades() { String::new() } else { format!("; without TLS: {}", self.nc()) };
        Advice::new(
            "not TLS, TLS only after STARTTLS, or no common version (tls.min_version, tls.max_version)",
            format!("{}{plain}{}", self.s_client(""), self.starttls_hint()),
        )
    }
}
