//! What a TLS handshake showed: the session, and the certificates with all their faults.

use std::sync::Arc;

use super::Class;
use crate::target::Sha256Digest;

/// What a handshake came to know, whether it was completed or not.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsFacts {
    /// What was agreed on; none where the handshake was not completed.
    pub session: Option<Session>,
    /// What the peer presented, judged; none where it presented nothing.
    pub peer: Option<Arc<PeerCertificates>>,
}

/// What a completed handshake agreed on, in the names of the IANA registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// Such as `X25519MLKEM768`.
    pub key_exchange: &'static str,
    /// The application protocol, one of those offered.
    pub alpn: Option<Arc<str>>,
}

/// The certificates of a peer and what is to be said against them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerCertificates {
    /// The leaf.
    pub leaf: Arc<Certificate>,
    /// What was sent behind it, in that order.
    pub intermediates: Vec<Arc<Certificate>>,
    /// Every fault, a class once, in the order of their weight; empty: verified.
    pub faults: Vec<CertificateFault>,
    /// The earliest expiry on the verified path, its anchor apart, in seconds since 1970; where none verified, in the
    /// chain as sent. None where nothing in it could be read.
    pub chain_not_after: Option<i64>,
}

/// One thing that is wrong with a certificate or its chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFault {
    /// Which, one of the `cert_` classes.
    pub class: Class,
    /// What was seen and what was expected, for people.
    pub detail: String,
}

/// One certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// SHA-256 of its DER encoding.
    pub fingerprint: Sha256Digest,
    /// What it says; none where it cannot be read.
    pub content: Option<CertificateContent>,
}

impl CertificateContent {
    /// Whether a moment, in seconds since 1970, lies within its validity.
    pub fn is_valid_at(&self, moment: i64) -> bool {
        (self.not_before..=self.not_after).contains(&moment)
    }
}

/// What a certificate says. Every text is the peer's own: cut to a kilobyte, otherwise as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateContent {
    /// Whom it is for (RFC 4514).
    pub subject: String,
    /// Who signed it (RFC 4514).
    pub issuer: String,
    /// The serial number in lower-case hex, without leading zeros.
    pub serial: String,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// The last second in which it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The kind of public key: `RSA 2048`, `ECDSA P-256`, `Ed25519`.
    pub key: String,
    /// How it was signed: `sha256WithRSAEncryption`.
    pub signature: String,
    /// The names and addresses that it is for, as many as fit into 8 KiB.
    pub names: Vec<String>,
    /// How many names it has in all.
    pub name_count: usize,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`).
    pub public_key: Sha256Digest,
    /// Whether subject and issuer are the same.
    pub is_self_issued: bool,
}
