//! Facts from a TLS handshake: the session and the certificates with all their faults.

use std::sync::Arc;

use super::Class;
use crate::target::Sha256Digest;

/// Facts from a handshake, whether or not it was completed.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsFacts {
    /// The session; `None` if the handshake was not completed.
    pub session: Option<Session>,
    /// The verified certificates of the peer; `None` if it presented none.
    pub peer: Option<Arc<PeerCertificates>>,
}

/// Parameters of a completed handshake, named as in the IANA registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// The version: `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The key exchange group, such as `X25519MLKEM768`.
    pub key_exchange: &'static str,
    /// The application protocol (ALPN) that the peer selected from those offered.
    pub alpn: Option<Arc<str>>,
}

/// The certificates of a peer with their faults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerCertificates {
    /// The leaf.
    pub leaf: Arc<Certificate>,
    /// The certificates that the peer sent after it, in that order.
    pub intermediates: Vec<Arc<Certificate>>,
    /// All faults, at most one per class, in the order of [`Class`]. Empty if the certificate is verified.
    pub faults: Vec<CertificateFault>,
    /// The earliest expiry on the verified path, excluding its anchor, in seconds since 1970; if no path was verified,
    /// in the chain as sent. `None` if no certificate could be parsed.
    pub chain_not_after: Option<i64>,
}

/// One fault of a certificate or its chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFault {
    /// One of the `cert_` classes.
    pub class: Class,
    /// A sentence about the certificate that was found and what was expected.
    pub detail: String,
}

/// One certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// SHA-256 of its DER encoding.
    pub fingerprint: Sha256Digest,
    /// Its content; `None` if it cannot be parsed.
    pub content: Option<CertificateContent>,
}

impl CertificateContent {
    /// Returns whether a moment, in seconds since 1970, is within its validity.
    pub fn is_valid_at(&self, moment: i64) -> bool {
        (self.not_before..=self.not_after).contains(&moment)
    }
}

/// The content of a certificate. Text is as the peer sent it, cut to 1 KiB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateContent {
    /// The subject (RFC 4514).
    pub subject: String,
    /// The issuer (RFC 4514).
    pub issuer: String,
    /// The serial number in lower-case hex, without leading zeros.
    pub serial: String,
    /// The start of its validity, in seconds since 1970.
    pub not_before: i64,
    /// The last second in which it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The type of its public key, such as `RSA 2048`, `ECDSA P-256` or `Ed25519`.
    pub key: String,
    /// The signature algorithm, such as `sha256WithRSAEncryption`.
    pub signature: String,
    /// The names and addresses in the certificate, at most 8 KiB.
    pub names: Vec<String>,
    /// The total number of names.
    pub name_count: usize,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`).
    pub public_key: Sha256Digest,
    /// Whether its subject and issuer are the same.
    pub is_self_issued: bool,
}
