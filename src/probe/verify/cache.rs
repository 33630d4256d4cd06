//! A cache of verification results and parsed certificates, which keeps them as long as they are used elsewhere.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::ParsedCertificate;
use crate::outcome::{Certificate, CertificateContent, PeerCertificates};
use crate::probe::certificate::Restrictions;
use crate::target::Sha256Digest;

/// The cached results and certificates by digest.
#[derive(Debug, Default)]
pub(super) struct VerificationCache {
    results: WeakCache<PeerCertificates, Range<i64>>,
    certificates: WeakCache<Certificate, Arc<Restrictions>>,
}

impl VerificationCache {
    /// Returns the result of an equal request, if it is still valid at `now`.
    pub(super) fn result(&self, key: &Sha256Digest, now: i64) -> Option<Arc<PeerCertificates>> {
        let (peer, validity) = self.results.find(key)?;
        validity.contains(&now).then_some(peer)
    }

    /// Caches a result as of `now` until the validity of a certificate or an anchor starts or ends.
    pub(super) fn keep_result<'a>(
        &mut self,
        key: Sha256Digest,
        peer: &'a Arc<PeerCertificates>,
        anchors: impl Iterator<Item = &'a CertificateContent>,
        now: i64,
    ) {
        self.results.keep(key, peer, constant_period(peer, anchors, now));
    }

    /// Returns a certificate that was parsed before.
    pub(super) fn certificate(&self, fingerprint: &Sha256Digest) -> Option<ParsedCertificate> {
        let (certificate, restrictions) = self.certificates.find(fingerprint)?;
        Some(ParsedCertificate { certificate, restrictions: restrictions.clone() })
    }

    /// Caches a parsed certificate.
    pub(super) fn keep_certificate(&mut self, parsed: &ParsedCertificate) {
        let ParsedCertificate { certificate, restrictions } = parsed;
        self.certificates
            .keep(certificate.fingerprint, certificate, restrictions.clone());
    }
}

/// Returns the period around `now` in which no validity starts or ends.
fn constant_period<'a>(
    peer: &'a PeerCertificates,
    anchors: impl Iterator<Item = &'a CertificateContent>,
    now: i64,
) -> Range<i64> {
    let contents = peer
        .intermediates
        .iter()
        .chain([&peer.leaf])
        .filter_map(|certificate| certificate.content.as_ref());
    let changes = contents
        .chain(anchors)
        .flat_map(|content| [content.not_before, content.not_after.saturating_add(1)]);
    changes.fold(i64::MIN..i64::MAX, |Range { start, end }, change| match change {
        change if change <= now => start.max(change)..end,
        change => start..end.min(change),
    })
}

/// Values by digest, each with a note. The cache does not keep them alive.
#[derive(Debug)]
struct WeakCache<T, N> {
    entries: HashMap<Sha256Digest, (Weak<T>, N)>,
    /// Number of entries at which dropped values are removed.
    full: usize,
}

impl<T, N> WeakCache<T, N> {
    fn keep(&mut self, key: Sha256Digest, value: &Arc<T>, note: N) {
        if self.entries.len() >= self.full {
            self.entries.retain(|_, (value, _)| value.strong_count() > 0);
            self.full = MIN_FULL.max(2 * self.entries.len());
        }
        self.entries.insert(key, (Arc::downgrade(value), note));
    }

    fn find(&self, key: &Sha256Digest) -> Option<(Arc<T>, &N)> {
        let (value, note) = self.entries.get(key)?;
        Some((value.upgrade()?, note))
    }
}

impl<T, N> Default for WeakCache<T, N> {
    fn default() -> Self {
        Self { entries: HashMap::new(), full: MIN_FULL }
    }
}

/// Minimum of [`WeakCache::full`]. With fewer entries, a removal of dropped values is not worthwhile.
const MIN_FULL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_values_are_dropped() {
        let mut cache = WeakCache::<u32, ()>::default();
        let digest = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Sha256Digest::new(bytes)
        };
        let held: Vec<_> = (0..10).map(|number| (digest(number), Arc::new(number))).collect();
        for (key, value) in &held {
            cache.keep(*key, value, ());
        }
        for number in 10..10_000 {
            cache.keep(digest(number), &Arc::new(number), ());
            assert!(cache.entries.len() <= MIN_FULL);
        }
        assert!(held.iter().all(|(key, value)| cache.find(key).unwrap().0 == *value));
        assert!(cache.find(&digest(9_999)).is_none());
    }
}
