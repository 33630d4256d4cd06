//! Advice on failed handshakes and invalid certificates.

use super::commands::quoted;
use super::{Advice, FailedProbe};
use crate::target::Roots;

impl FailedProbe<'_> {
    pub(super) fn cert_expired(&self) -> Advice {
        Advice::new(
            "the certificate, or one that its chain needs, was not renewed; or it was, and the service not reloaded",
            format!(
                "renew it; if it is renewed, reload the service, which keeps the old one in memory: {}{}",
                self.x509("-dates"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_invalid(&self) -> Advice {
        Advice::new(
            "the certificate is damaged, not for servers, or of a kind that cannot be verified",
            format!("look at it and have it issued anew: {}{}", self.x509("-text"), self.starttls_hint()),
        )
    }

    pub(super) fn cert_name_mismatch(&self) -> Advice {
        let name = self
            .server_name()
            .map_or_else(|| self.target.endpoint.host.to_string(), |name| name.to_string());
        Advice::new(
            format!(
                "the service shows a certificate that is not for {name}: that of another site, or a name is missing"
            ),
            format!(
                "tls.server_name, where another name is right; else have it issued for {name} too: {}{}",
                self.x509("-subject -ext subjectAltName"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_not_yet_valid(&self) -> Advice {
        Advice::new(
            "the clock of this machine is slow, that of the issuer was fast, or the certificate is for later",
            format!("date -u; chronyc tracking; {}{}", self.x509("-dates"), self.starttls_hint()),
        )
    }

    pub(super) fn cert_pin_mismatch(&self) -> Advice {
        Advice::new(
            "it is another certificate than those in tls.pins: renewed with another key, or somebody stands between",
            format!(
                "ask who runs the service; if it is right, add it to tls.pins: {}{}",
                self.x509("-fingerprint -sha256"),
                self.starttls_hint()
            ),
        )
    }

    pub(super) fn cert_revoked(&self) -> Advice {
        Advice::new(
            "its issuer has withdrawn it: the key was lost or stolen, or there is a successor",
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
                "it is of another CA than those in tls.ca_file, or the service does not send its intermediate certificates",
                format!(
                    "does {} hold the issuer, or the certificate itself? if it need not be trusted: tls.verify: report; \
                     the chain as sent: {chain}",
                    file.display()
                ),
            ),
            Some(Roots::Mozilla | Roots::System) | None => Advice::new(
                "it is self-signed, of a private CA, or the service does not send its intermediate certificates",
                format!(
                    "name the CA or the certificate itself in tls.ca_file, or take it as it is with tls.verify: report; \
                     the chain as sent: {chain}"
                ),
            ),
        }
    }

    pub(super) fn tls_alert(&self) -> Advice {
        let by_alert = "handshake_failure: no common cipher, or a client certificate is wanted; unrecognized_name: \
                        tls.server_name; no_application_protocol: tls.alpn";
        let (command, hint) = (self.s_client(""), self.starttls_hint());
        match self.tls().and_then(|tls| tls.settings.profile.identity.as_ref()) {
            Some(identity) => Advice::new(
                "the service ends the handshake, and says why: it does not take our certificate, or what is offered",
                format!(
                    "openssl x509 -noout -dates -issuer -in {}; {by_alert}; {command}{hint}",
                    quoted(identity.cert_file.display())
                ),
            ),
            None => Advice::new(
                "the service ends the handshake, and says why: it wants a client certificate, or not what is offered",
                format!("certificate_required: tls.cert_file and tls.key_file; {by_alert}; {command}{hint}"),
            ),
        }
    }

    pub(super) fn tls_protocol(&self) -> Advice {
        let plain = if self.upgrades() { String::new() } else { format!("; in the clear: {}", self.nc()) };
        Advice::new(
            "not TLS at all, TLS only after a STARTTLS, or no version that is offered (tls.min_version, tls.max_version)",
            format!("{}{plain}{}", self.s_client(""), self.starttls_hint()),
        )
    }
}
