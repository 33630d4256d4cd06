//! TLS facts for tests of other modules.

use std::sync::Arc;

use super::{Certificate, CertificateContent, CertificateFault, Class, PeerCertificates, Session, TlsFacts};
use crate::target::Sha256Digest;

/// Returns the facts of a handshake with `shop.example`. Every byte of the leaf's fingerprint is `fingerprint`, and the
/// chain has these `faults`.
pub(crate) fn example_facts(fingerprint: u8, faults: &[Class]) -> TlsFacts {
    let certificate = |fingerprint, subject: &str, issuer: &str, names: &[&str]| Certificate {
        fingerprint: Sha256Digest::new([fingerprint; 32]),
        content: Some(CertificateContent {
            subject: subject.into(),
            issuer: issuer.into(),
            serial: "a1b2".into(),
            not_before: 1_700_000_000,
            not_after: 1_800_000_000,
            key: "ECDSA P-256".into(),
            signature: "ecdsa-with-SHA256".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            name_count: names.len(),
            public_key: Sha256Digest::new([fingerprint; 32]),
            is_self_issued: false,
        }),
    };
    let names = ["shop.example", "www.shop.example"];
    let fault = |class: &Class| CertificateFault { class: *class, detail: format!("so {} it is", class.as_str()) };
    TlsFacts {
        session: Some(Session {
            version: "TLS 1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            key_exchange: "X25519MLKEM768",
            alpn: Some("h2".into()),
        }),
        peer: Some(Arc::new(PeerCertificates {
            leaf: Arc::new(certificate(fingerprint, "CN=shop.example", "CN=Test CA", &names)),
            intermediates: vec![Arc::new(certificate(0xca, "CN=Test CA", "CN=Test Root", &[]))],
            faults: faults.iter().map(fault).collect(),
            chain_not_after: Some(1_790_000_000),
        })),
    }
}
