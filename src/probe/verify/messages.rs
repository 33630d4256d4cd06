//! Messages about certificates: the errors of webpki as classes and sentences, texts of peers in quotes.

use webpki::Error;

use crate::clock::Utc;
use crate::outcome::Class;
use crate::peer_text::is_invisible;

/// Class and message for an error of a path. Messages about signatures need the chain and are in `checks`.
pub(super) fn of(error: &Error) -> (Class, String) {
    match error {
        Error::CertExpired { not_after, .. } => {
            let end = Utc::of_seconds(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX));
            (Class::CertExpired, format!("a certificate of the chain expired on {end} UTC"))
        }
        Error::CertNotValidYet { not_before, .. } => {
            let from = Utc::of_seconds(i64::try_from(not_before.as_secs()).unwrap_or(i64::MAX));
            (Class::CertNotYetValid, format!("a certificate of the chain is valid from {from} UTC on only"))
        }
        Error::CertRevoked => (
            Class::CertRevoked,
            "a list of tls.crl_files revokes the certificate or an intermediate of its chain; get a new one".to_owned(),
        ),
        Error::CertDistrusted => {
            (Class::CertUntrusted, "the chain leads over a key that nobody may trust any more".to_owned())
        }
        error => (Class::CertInvalid, invalid(error)),
    }
}

/// Explains why a certificate cannot be used at all.
pub(super) fn unreadable(error: &Error) -> String {
    match error {
        Error::UnsupportedCertVersion => "it is no version 3 certificate (X.509)".to_owned(),
        Error::UnsupportedCriticalExtension => "it has a critical extension that is not known here".to_owned(),
        Error::SignatureAlgorithmMismatch => "it names two algorithms of signature".to_owned(),
        Error::BadDerTime => "one of its dates cannot be read".to_owned(),
        error => format!("its encoding is faulty ({error:?})"),
    }
}

fn invalid(error: &Error) -> String {
    let known = match error {
        Error::CaUsedAsEndEntity => {
            "the certificate is that of a CA, and may not stand for a server; get one without CA:TRUE"
        }
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => {
            "the certificate or a CA above it is not meant for servers (extended key usage without serverAuth)"
        }
        Error::EndEntityUsedAsCa => "the chain leads over a certificate that is no CA's",
        Error::InvalidCertValidity => "a certificate of the chain ends before it begins",
        Error::NameConstraintViolation => {
            "a CA of the chain may not issue certificates for these names (name constraints)"
        }
        Error::PathLenConstraintViolated => "a CA of the chain may not have that many CAs below it (path length)",
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a certificate of the chain is signed in a way that is not accepted, such as with SHA-1 or a short key"
        }
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => "the chain is too long or too tangled to be followed",
        Error::BadDerTime => "a date in the chain cannot be read",
        error => return format!("a certificate of the chain is faulty ({error:?})"),
    };
    known.to_owned()
}

/// A text of a peer in quotes, on one line, shortened for messages.
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

/// Maximum number of quoted characters of a peer's text.
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
