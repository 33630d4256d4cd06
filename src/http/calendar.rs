//! `/certificates.ics`: the expiries of certificates as a calendar.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use self::event::{Event, Kind};
use self::icalendar::Calendar;
use super::AppState;
use super::body::Body;
use super::reading::read;
use super::tagged::tagged;
use crate::board::Rows;
use crate::outcome::{Certificate, CertificateContent, PeerCertificates};
use crate::target::{Sha256Digest, Target};

mod event;
mod icalendar;

/// The path.
pub(super) const PATH: &str = "/certificates.ics";

/// Responds with an event for each certificate that targets have presented.
pub(super) async fn calendar(request: &Request<Incoming>, state: &AppState) -> Response<Body> {
    let base = state.link_base();
    match read(state, move |sources| document(&Expiries::of(&sources.rows).sorted(), &base)).await {
        Ok(document) => tagged(request.headers(), "text/calendar; charset=utf-8", document),
        Err(failed) => failed,
    }
}

fn document(expiries: &[Expiry], base: &str) -> String {
    let shown = expiries.get(..MAX_EVENTS).unwrap_or(expiries);
    let mut calendar = Calendar::new("Certificates", &description(shown.len(), expiries.len()));
    for Expiry { content, fingerprint, kind, targets } in shown {
        Event { content, fingerprint: *fingerprint, kind: *kind, targets, base }.write(&mut calendar);
    }
    calendar.finish()
}

fn description(shown: usize, all: usize) -> String {
    if shown < all {
        return format!("The first {shown} of {all} expiries of certificates that portprobe has seen");
    }
    "Expiries of the certificates that portprobe has seen".to_owned()
}

/// A certificate with the targets that have presented it.
#[derive(Debug)]
struct Expiry {
    content: CertificateContent,
    fingerprint: Sha256Digest,
    kind: Kind,
    targets: Vec<Arc<Target>>,
}

/// The distinct certificates of all targets.
#[derive(Debug, Default)]
struct Expiries(HashMap<Sha256Digest, Expiry>);

impl Expiries {
    fn of(rows: &Rows) -> Self {
        let mut expiries = Self::default();
        rows.for_each_in(0..rows.len(), |target, row| {
            if let Some(peer) = row.peer_certificates() {
                expiries.add_leaf(target, &peer.leaf);
                expiries.add_intermediate(target, peer);
            }
        });
        expiries
    }

    fn add_leaf(&mut self, target: &Arc<Target>, leaf: &Certificate) {
        self.add(target, leaf, Kind::Leaf);
    }

    /// Adds the intermediate that expires before the leaf and so ends the validity of the chain, if there is one.
    fn add_intermediate(&mut self, target: &Arc<Target>, peer: &PeerCertificates) {
        let ends_at = |certificate: &Certificate| certificate.content.as_ref().map(|content| content.not_after);
        let ends_chain = |certificate: &&Arc<Certificate>| {
            ends_at(certificate).is_some_and(|end| Some(end) == peer.chain_not_after && ends_at(&peer.leaf) > Some(end))
        };
        if let Some(intermediate) = peer.intermediates.iter().find(ends_chain) {
            self.add(target, intermediate, Kind::Intermediate);
        }
    }

    fn add(&mut self, target: &Arc<Target>, certificate: &Certificate, kind: Kind) {
        // Without its content, nobody knows when it expires.
        let Some(content) = &certificate.content else { return };
        self.0
            .entry(certificate.fingerprint)
            .or_insert_with(|| Expiry {
                content: content.clone(),
                fingerprint: certificate.fingerprint,
                kind,
                targets: Vec::new(),
            })
            .targets
            .push(target.clone());
    }

    /// Returns the expiries in their order.
    fn sorted(self) -> Vec<Expiry> {
        let mut expiries: Vec<_> = self.0.into_values().collect();
        expiries.sort_by_cached_key(|expiry| (expiry.content.not_after, expiry.fingerprint.to_string()));
        expiries
    }
}

/// More are of no use in a calendar, and its clients become slow.
const MAX_EVENTS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Settings, example};

    fn certificate(number: u8, not_after: i64) -> Arc<Certificate> {
        let fingerprint = Sha256Digest::new([number; 32]);
        let content = CertificateContent {
            subject: format!("CN={number}"),
            issuer: "CN=a,O=\u{202e}b;c".to_owned(),
            serial: "1".to_owned(),
            not_before: 1_000_000_000,
            not_after,
            key: String::new(),
            signature: String::new(),
            names: Vec::new(),
            name_count: 0,
            public_key: fingerprint,
            is_self_issued: false,
        };
        Arc::new(Certificate { fingerprint, content: Some(content) })
    }

    fn expiries(peers: &[PeerCertificates]) -> Vec<Expiry> {
        let mut expiries = Expiries::default();
        for (peer, port) in peers.iter().zip(1..) {
            let target = Arc::new(example(&format!("a:{port}"), Settings::default()));
            expiries.add_leaf(&target, &peer.leaf);
            expiries.add_intermediate(&target, peer);
        }
        expiries.sorted()
    }

    fn chain(leaf: i64, intermediate: i64) -> PeerCertificates {
        PeerCertificates {
            leaf: certificate(1, leaf),
            intermediates: vec![certificate(2, intermediate)],
            faults: Vec::new(),
            chain_not_after: Some(leaf.min(intermediate)),
        }
    }

    #[test]
    fn targets_with_one_certificate_share_an_event() {
        let found = expiries(&[chain(1_100_000_000, 1_200_000_000), chain(1_100_000_000, 1_200_000_000)]);
        let seen: Vec<_> = found.iter().map(|expiry| (expiry.kind, expiry.targets.len())).collect();
        assert_eq!(seen, [(Kind::Leaf, 2)], "an intermediate that outlives the leaf is of no interest");
        let document = document(&found, "");
        assert!(document.contains("\r\nSUMMARY:Certificate of tcp://a:1 and 1 more target expires\r\n"), "{document}");
        assert!(document.contains("\r\nDTSTART:20041109T113320Z\r\n") && !document.contains("\r\nURL"), "{document}");
        assert!(document.replace("\r\n ", "").contains(r"\nIssuer: CN=a\,O=\\u{202e}b\;c\n"), "{document}");
    }

    #[test]
    fn an_intermediate_that_expires_first_has_an_event() {
        let found = expiries(&[chain(1_200_000_000, 1_100_000_000)]);
        let kinds: Vec<_> = found.iter().map(|expiry| expiry.kind).collect();
        assert_eq!(kinds, [Kind::Intermediate, Kind::Leaf], "the first to expire comes first");
    }

    #[test]
    fn a_calendar_is_bounded() {
        let many: Vec<_> = (0..=MAX_EVENTS)
            .map(|_| expiries(&[chain(1_100_000_000, i64::MAX)]).remove(0))
            .collect();
        let document = document(&many, "");
        assert_eq!(document.matches("BEGIN:VEVENT").count(), MAX_EVENTS);
        assert!(document.contains("The first 1000 of 1001 expiries"), "{document}");
    }
}
