//! The facts about a peer as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Utc;
use crate::outcome::{Certificate, CertificateContent, Facts, PeerCertificates, ServiceFacts, Session, TlsFacts};
use crate::target::{Target, Verify};

/// The facts of an outcome or an address; nothing if there are none.
#[derive(Debug, Serialize)]
pub(super) struct FactsDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsDocument<'a>>,
    /// Labels by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    dialogue: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceDocument<'a>>,
}

/// The facts about a service; unknown ones are null.
#[derive(Debug, Serialize)]
struct ServiceDocument<'a> {
    protocol: &'static str,
    version: Option<&'a str>,
    role: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct TlsDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionDocument<'a>>,
    verify: &'static str,
    #[serde(flatten)]
    peer: Option<PeerDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct SessionDocument<'a> {
    version: &'static str,
    cipher: &'static str,
    key_exchange: &'static str,
    alpn: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PeerDocument<'a> {
    verified: bool,
    faults: Vec<FaultDocument<'a>>,
    chain_not_after: Option<String>,
    chain_not_after_timestamp_seconds: Option<i64>,
    /// The leaf first, then the others in the order sent.
    certificates: Vec<CertificateDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct FaultDocument<'a> {
    class: &'static str,
    detail: &'a str,
}

#[derive(Debug, Serialize)]
struct CertificateDocument<'a> {
    fingerprint_sha256: String,
    #[serde(flatten)]
    content: Option<ContentDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct ContentDocument<'a> {
    subject: &'a str,
    issuer: &'a str,
    serial: &'a str,
    not_before: String,
    not_before_timestamp_seconds: i64,
    not_after: String,
    not_after_timestamp_seconds: i64,
    key: &'a str,
    signature: &'a str,
    names: &'a [String],
    name_count: usize,
    public_key_sha256: String,
    self_issued: bool,
}

/// A point in time, readable and as a number.
#[derive(Debug)]
pub(super) struct Moment {
    /// In the format of RFC 3339.
    pub(super) date: String,
    /// Seconds since 1970.
    pub(super) seconds: i64,
}

impl Moment {
    pub(super) fn of(seconds: i64) -> Self {
        Self { date: format!("{:#}", Utc::of_seconds(seconds)), seconds }
    }
}

impl<'a> FactsDocument<'a> {
    pub(super) fn new(target: &Target, facts: &'a Facts) -> Self {
        let verify = target
            .settings
            .probe_kind
            .tls()
            .map_or_else(Verify::default, |tls| tls.settings.verify);
        let labels = facts.dialogue.as_deref();
        Self {
            tls: facts.tls.as_ref().map(|tls| TlsDocument::new(verify, tls)),
            dialogue: labels.map(|labels| labels.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()),
            service: facts.service.as_deref().map(ServiceDocument::from),
        }
    }
}

impl<'a> From<&'a ServiceFacts> for ServiceDocument<'a> {
    fn from(facts: &'a ServiceFacts) -> Self {
        let known = |text: &'a str| (!text.is_empty()).then_some(text);
        Self { protocol: facts.protocol, version: known(&facts.version), role: known(&facts.role) }
    }
}

impl<'a> TlsDocument<'a> {
    fn new(verify: Verify, tls: &'a TlsFacts) -> Self {
        Self {
            session: tls.session.as_ref().map(SessionDocument::from),
            verify: match verify {
                Verify::Report => "report",
                Verify::Strict => "strict",
            },
            peer: tls.peer.as_deref().map(PeerDocument::from),
        }
    }
}

impl<'a> From<&'a Session> for SessionDocument<'a> {
    fn from(session: &'a Session) -> Self {
        let Session { version, cipher, key_exchange, alpn } = session;
        Self { version, cipher, key_exchange, alpn: alpn.as_deref() }
    }
}

impl<'a> From<&'a PeerCertificates> for PeerDocument<'a> {
    fn from(peer: &'a PeerCertificates) -> Self {
        let faults = peer.faults.iter();
        Self {
            verified: peer.faults.is_empty(),
            faults: faults
                .map(|fault| FaultDocument { class: fault.class.as_str(), detail: &fault.detail })
                .collect(),
            chain_not_after: peer.chain_not_after.map(|not_after| Moment::of(not_after).date),
            chain_not_after_timestamp_seconds: peer.chain_not_after,
            certificates: std::iter::once(&peer.leaf)
                .chain(&peer.intermediates)
                .map(|certificate| CertificateDocument::from(&**certificate))
                .collect(),
        }
    }
}

impl<'a> From<&'a Certificate> for CertificateDocument<'a> {
    fn from(certificate: &'a Certificate) -> Self {
        let fingerprint_sha256 = certificate.fingerprint.to_string();
        Self { fingerprint_sha256, content: certificate.content.as_ref().map(ContentDocument::from) }
    }
}

impl<'a> From<&'a CertificateContent> for ContentDocument<'a> {
    fn from(content: &'a CertificateContent) -> Self {
        let (not_before, not_after) = (Moment::of(content.not_before), Moment::of(content.not_after));
        Self {
            subject: &content.subject,
            issuer: &content.issuer,
            serial: &content.serial,
            not_before: not_before.date,
            not_before_timestamp_seconds: not_before.seconds,
            not_after: not_after.date,
            not_after_timestamp_seconds: not_after.seconds,
            key: &content.key,
            signature: &content.signature,
            names: &content.names,
            name_count: content.name_count,
            public_key_sha256: content.public_key.to_string(),
            self_issued: content.is_self_issued,
        }
    }
}
