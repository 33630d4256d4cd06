//! Messages about certificates: errors of webpki as classes and sentences, and quoted texts from peers.

use webpki::Error;

use crate::clock::Utc;
use crate::outcome::Class;
use crate::peer_text::is_invisible;

/// Returns the class and message for an error of a path. Messages about signatures need the chain and are in `checks`.
pub(super) fn of(error: &Error) -> (Class, String) {
    match error {
        Error::CertExpired { not_after, .. } => {
            let end = Utc::of_seconds(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX));
            (Class::CertExpired, format!("a certificate in the chain expired on {end} UTC"))
        }
        Error::CertNotValidYet { not_before, .. } => {
            let from = Utc::of_seconds(i64::try_from(not_before.as_secs()).unwrap_or(i64::MAX));
            (Class::CertNotYetValid, format!("a certificate in the chain is not valid before {from} UTC"))
        }
        Error::CertRevoked => (
            Class::CertRevoked,
            "a list in tls.crl_files revokes the certificate or an intermediate of its chain; replace it".to_owned(),
        ),
        Error::CertDistrusted => {
            (Class::CertUntrusted, "the chain contains a key that is no longer trusted".to_owned())
        }
        error => (Class::CertInvalid, invalid(error)),
    }
}

/// Explains why a certificate cannot be used at all.
pub(super) fn unreadable(error: &Error) -> String {
    match error {
        Error::UnsupportedCertVersion => "it is not an X.509 version 3 certificate".to_owned(),
        Error::UnsupportedCriticalExtension => "it has an unknown critical extension".to_owned(),
        Error::SignatureAlgorithmMismatch => "it names two signature algorithms".to_owned(),
        Error::BadDerTime => "one of its dates is invalid".to_owned(),
        error => damaged(error).map_or_else(|| format!("it is invalid ({error:?})"), str::to_owned),
    }
}

fn invalid(error: &Error) -> String {
    let known = match error {
        Error::CaUsedAsEndEntity => {
            "the certificate is a CA certificate, which cannot identify a server; get one without CA:TRUE"
        }
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => {
            "the certificate or a CA above it is not allowed for servers (extended key usage without serverAuth)"
        }
        Error::EndEntityUsedAsCa => "the chain contains an issuer that is not a CA",
        Error::InvalidCertValidity => "the validity of a certificate in the chain ends before it starts",
        Error::NameConstraintViolation => {
            "a CA in the chain is not allowed to issue certificates for these names (name constraints)"
        }
        Error::PathLenConstraintViolated => "a CA in the chain does not allow that many CAs below it (path length)",
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a certificate in the chain has an unsupported signature, such as one with SHA-1 or a short key"
        }
        Error::MaximumPathDepthExceeded => {
            "the chain has more than 6 intermediates, which portprobe cannot verify; use a CA nearer to the root"
        }
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded => "the chain is too long or too complex to verify",
        Error::BadDerTime => "a date in the chain is invalid",
        error => {
            let reason = damaged(error).map_or_else(|| format!("it is invalid ({error:?})"), str::to_owned);
            return format!("a certificate in the chain cannot be used: {reason}; replace it");
        }
    };
    known.to_owned()
}

/// Explains an error of the encoding (DER) of a certificate or of a part of it; `None` for any other error.
fn damaged(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::BadDer | Error::TrailingData(_) => "it is damaged or not a certificate (its DER encoding is invalid)",
        Error::ExtensionValueInvalid | Error::MalformedExtensions => "one of its extensions is damaged",
        Error::MalformedDnsIdentifier => "one of its DNS names is malformed",
        Error::InvalidNetworkMaskConstraint | Error::MalformedNameConstraint => "its name constraints are malformed",
        _ => return None,
    })
}

/// Quotes a text from a peer on one line, shortened for messages.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for character in text.chars().take(MAX_QUOTED) {
        match character {
            character if is_invisible(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown.push_str(if text.chars().nth(MAX_QUOTED).is_some() { "..\"" } else { "\"" });
    shown
}

/// Maximum number of characters in a quoted text.
const MAX_QUOTED: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_short_line() {
        assert_eq!(quoted("CN=a\nb\0c\u{1b}[31m\u{202e}"), r#""CN=a\nb\u{0}c\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"x".repeat(500)).len(), MAX_QUOTED + 4);
        assert_eq!(quoted(&"x".repeat(MAX_QUOTED)).len(), MAX_QUOTED + 2);
    }
}
