//! The certificates of a peer with their faults.

use crate::clock::Timestamp;
use crate::http::page::times::{Moment, span};
use crate::http::page::why::title;
use crate::outcome::{Certificate, CertificateFault, PeerCertificates};
use crate::peer_text::escaped;
use crate::target::{Target, Verify};
use crate::timeline::Validity;

/// The certificates of a peer, the leaf first.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) faults: Vec<Fault>,
    /// Whether faults do not fail the probe.
    pub(super) is_reported_only: bool,
    pub(super) certificates: Vec<CertificateCard>,
}

/// A fault of the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) title: &'static str,
    pub(super) class: &'static str,
    pub(super) detail: String,
}

/// A certificate.
#[derive(Clone, Debug)]
pub(super) struct CertificateCard {
    pub(super) title: String,
    /// `None` if it cannot be read.
    pub(super) content: Option<Content>,
    pub(super) fingerprint: String,
}

/// The content of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Content {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) names: String,
    /// `expires in 63 d`.
    pub(super) validity: String,
    /// Whether it is valid now.
    pub(super) is_valid: bool,
    pub(super) from: Moment,
    pub(super) to: Moment,
    /// The elapsed part of its lifetime, in per mille.
    pub(super) elapsed: i64,
    pub(super) key: String,
    pub(super) signature: String,
    pub(super) serial: String,
}

impl Chain {
    pub(super) fn of(peer: &PeerCertificates, target: &Target, now: Timestamp) -> Self {
        let verify = target.settings.probe_kind.tls().map(|tls| tls.settings.verify);
        let intermediates = peer.intermediates.iter().enumerate();
        let intermediates = intermediates.map(|(position, certificate)| {
            CertificateCard::of(format!("Intermediate {}", position + 1), certificate, now)
        });
        let leaf = CertificateCard::of("Certificate".to_owned(), &peer.leaf, now);
        Self {
            faults: peer.faults.iter().map(Fault::of).collect(),
            is_reported_only: verify == Some(Verify::Report),
            certificates: std::iter::once(leaf).chain(intermediates).collect(),
        }
    }
}

impl Fault {
    fn of(fault: &CertificateFault) -> Self {
        Self { title: title(fault.class), class: fault.class.as_str(), detail: escaped(&fault.detail) }
    }
}

impl CertificateCard {
    fn of(title: String, certificate: &Certificate, now: Timestamp) -> Self {
        let content = certificate.content.as_ref().map(|content| {
            let validity = Validity::at(now, content.not_before, content.not_after);
            let lifetime = content.not_after.saturating_sub(content.not_before).max(1);
            let elapsed = now.seconds().saturating_sub(content.not_before);
            Content {
                subject: escaped(&content.subject),
                issuer: escaped(&content.issuer),
                names: names(&content.names, content.name_count),
                validity: in_words(validity),
                is_valid: matches!(validity, Validity::Valid(_)),
                from: Moment::of_second(content.not_before, now),
                to: Moment::of_second(content.not_after, now),
                elapsed: (elapsed.saturating_mul(1000) / lifetime).clamp(0, 1000),
                key: escaped(&content.key),
                signature: escaped(&content.signature),
                serial: escaped(&content.serial),
            }
        });
        Self { title, content, fingerprint: certificate.fingerprint.to_string() }
    }
}

/// Describes a validity in words.
fn in_words(validity: Validity) -> String {
    let span = |seconds: i64| span(std::time::Duration::from_secs(seconds.unsigned_abs()));
    match validity {
        Validity::Expired(seconds) => format!("expired {} ago", span(seconds)),
        Validity::NotYet(seconds) => format!("not valid for another {}", span(seconds)),
        Validity::Valid(seconds) => format!("expires in {}", span(seconds)),
    }
}

fn names(names: &[String], count: usize) -> String {
    let shown: Vec<_> = names.iter().take(SHOWN_NAMES).map(|name| escaped(name)).collect();
    match count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more}, too long to be shown"),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

const SHOWN_NAMES: usize = 20;
