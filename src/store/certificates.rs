//! The certificates of a peer as JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::outcome::{Certificate, CertificateContent, CertificateFault, Class, PeerCertificates};

/// All certificates of a peer.
#[derive(Debug, Deserialize, Serialize)]
struct Chain {
    leaf: Entry,
    intermediates: Vec<Entry>,
    faults: Vec<Fault>,
    earliest_not_after: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    fingerprint_sha256: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Content {
    subject: String,
    issuer: String,
    serial: String,
    not_before: i64,
    not_after: i64,
    key: String,
    signature: String,
    names: Vec<String>,
    name_count: usize,
    public_key_sha256: String,
    is_self_issued: bool,
}

#[derive(Debug, Deserialize, Serialize)]
struct Fault {
    class: String,
    detail: String,
}

/// Writes certificates; `None` if they cannot be written as JSON, which does not happen.
pub(super) fn to_json(peer: &PeerCertificates) -> Option<String> {
    let chain = Chain {
        leaf: Entry::of(&peer.leaf),
        intermediates: peer.intermediates.iter().map(|certificate| Entry::of(certificate)).collect(),
        faults: peer.faults.iter().map(Fault::of).collect(),
        earliest_not_after: peer.chain_not_after,
    };
    serde_json::to_string(&chain).ok()
}

/// Reads certificates; `None` if the text is not one that [`to_json`] wrote.
pub(super) fn of_json(text: &str) -> Option<PeerCertificates> {
    let Chain { leaf, intermediates, faults, earliest_not_after } = serde_json::from_str(text).ok()?;
    Some(PeerCertificates {
        leaf: leaf.certificate()?,
        intermediates: intermediates.into_iter().map(Entry::certificate).collect::<Option<_>>()?,
        faults: faults.into_iter().map(Fault::fault).collect::<Option<_>>()?,
        chain_not_after: earliest_not_after,
    })
}

impl Entry {
    fn of(certificate: &Certificate) -> Self {
        Self {
            fingerprint_sha256: certificate.fingerprint.to_string(),
            content: certificate.content.as_ref().map(Content::of),
        }
    }

    fn certificate(self) -> Option<Arc<Certificate>> {
        let content = match self.content {
            Some(content) => Some(content.content()?),
            None => None,
        };
        Some(Arc::new(Certificate { fingerprint: self.fingerprint_sha256.parse().ok()?, content }))
    }
}

impl Content {
    fn of(content: &CertificateContent) -> Self {
        let content = content.clone();
        Self {
            subject: content.subject,
            issuer: content.issuer,
            serial: content.serial,
            not_before: content.not_before,
            not_after: content.not_after,
            key: content.key,
            signature: content.signature,
            names: content.names,
            name_count: content.name_count,
            public_key_sha256: content.public_key.to_string(),
            is_self_issued: content.is_self_issued,
        }
    }

    fn content(self) -> Option<CertificateContent> {
        Some(CertificateContent {
            subject: self.subject,
            issuer: self.issuer,
            serial: self.serial,
            not_before: self.not_before,
            not_after: self.not_after,
            key: self.key,
            signature: self.signature,
            names: self.names,
            name_count: self.name_count,
            public_key: self.public_key_sha256.parse().ok()?,
            is_self_issued: self.is_self_issued,
        })
    }
}

impl Fault {
    fn of(fault: &CertificateFault) -> Self {
        Self { class: fault.class.as_str().to_owned(), detail: fault.detail.clone() }
    }

    fn fault(self) -> Option<CertificateFault> {
        Some(CertificateFault { class: Class::of_name(&self.class)?, detail: self.detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::example_facts;

    #[test]
    fn certificates_survive() {
        let peer = example_facts(7, &[Class::CertExpired, Class::CertUntrusted]).peer.unwrap();
        assert_eq!(of_json(&to_json(&peer).unwrap()).as_ref(), Some(&*peer));
    }

    #[test]
    fn an_edited_text_is_not_used() {
        let text = to_json(&example_facts(7, &[Class::CertExpired]).peer.unwrap()).unwrap();
        for edited in [text.replace("cert_expired", "cert_old"), text.replace('7', "x"), String::new()] {
            assert_eq!(of_json(&edited), None, "{edited}");
        }
    }
}
