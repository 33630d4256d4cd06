//! TLS facts of one target: the last session, the last certificates and the number of certificate changes.

use std::sync::Arc;

use crate::outcome::{Outcome, PeerCertificates, Session};
use crate::target::{Sha256Digest, TlsExchange};

/// The last known facts of a target that is probed with TLS.
///
/// Its memory is allocated at the start, like that of a [`History`](super::History). Most probes see the same
/// certificates as the previous probe, which need no new memory.
#[derive(Debug, Default)]
pub(super) struct TlsRecord {
    session: Option<Session>,
    peer: Option<Arc<PeerCertificates>>,
    client_not_after: Option<i64>,
    leaves: RecentLeaves,
    changes: u64,
}

impl TlsRecord {
    /// Applies the facts of a probe. Facts that are missing in it keep their last value.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        self.client_not_after = outcome.client_certificate_not_after.or(self.client_not_after);
        let Some(tls) = &outcome.facts.tls else { return };
        if tls.session.is_some() && self.session != tls.session {
            self.session.clone_from(&tls.session);
        }
        let Some(peer) = &tls.peer else { return };
        if self.leaves.see(&peer.leaf.fingerprint) == Sighting::New {
            self.changes += 1;
        }
        // Replaced even by an equal value: the verifier caches a result only as long as its `Arc` is held here.
        self.peer = Some(peer.clone());
    }

    /// Continues from certificates that were seen before. The first certificate from now on is not a change.
    pub(super) fn restore(&mut self, peer: Arc<PeerCertificates>) {
        self.peer = Some(peer);
    }

    /// Drops the expiry of a client certificate that is no longer configured.
    pub(super) fn keep_for(&mut self, tls: &TlsExchange) {
        self.client_not_after = self.client_not_after.filter(|_| tls.settings.profile.identity.is_some());
    }

    /// Returns the last session.
    pub(super) const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Returns the last certificates with the result of their verification.
    pub(super) const fn peer(&self) -> Option<&Arc<PeerCertificates>> {
        self.peer.as_ref()
    }

    /// Returns the number of changes to a leaf that was not among the last ones.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the last second in which the client certificate is valid, since 1970.
    pub(super) const fn client_not_after(&self) -> Option<i64> {
        self.client_not_after
    }
}

/// The last distinct leaves, the latest first.
///
/// Only 64 bits of each SHA-256 are kept. A new certificate collides with one of the eight by chance once in 2^61; its
/// change is then not counted.
#[derive(Debug, Default)]
struct RecentLeaves {
    entries: [u64; Self::CAPACITY],
    /// Number of entries that are leaves.
    len: usize,
}

/// Whether a leaf is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sighting {
    /// The first leaf, which is not a change.
    First,
    /// One of the recent leaves.
    Known,
    /// Any other.
    New,
}

impl RecentLeaves {
    /// Enough for a name whose hosts have separate certificates.
    const CAPACITY: usize = 8;

    /// Makes a leaf the latest. Drops the least recently seen one if there are too many.
    fn see(&mut self, fingerprint: &Sha256Digest) -> Sighting {
        let key = fingerprint.as_bytes().first_chunk().copied().map_or(0, u64::from_be_bytes);
        let known = self.entries.iter().take(self.len).position(|entry| *entry == key);
        let sighting = match (known, self.len) {
            (Some(_), _) => Sighting::Known,
            (None, 0) => Sighting::First,
            (None, _) => Sighting::New,
        };
        if known.is_none() {
            self.len = (self.len + 1).min(Self::CAPACITY);
        }
        let place = known.unwrap_or(self.len - 1);
        if let Some(moved) = self.entries.get_mut(..=place) {
            moved.rotate_right(1);
        }
        if let Some(latest) = self.entries.first_mut() {
            *latest = key;
        }
        sighting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the sightings of leaves, one letter each, as `1` (first), `+` (new) or `.` (known).
    fn sightings(leaves: &str) -> String {
        let mut recent = RecentLeaves::default();
        let see = |leaf: u8| match recent.see(&Sha256Digest::new([leaf; 32])) {
            Sighting::First => '1',
            Sighting::Known => '.',
            Sighting::New => '+',
        };
        leaves.bytes().map(see).collect()
    }

    #[test]
    fn a_leaf_is_new_unless_recently_seen() {
        for (leaves, expected) in [
            ("aaaa", "1..."),
            ("abab", "1+.."),
            ("abcdefghabcdefgh", "1+++++++........"),
            ("abcdefghia", "1+++++++++"),
            ("abcdefghaib", "1+++++++.++"),
            ("abcdefghaia", "1+++++++.+."),
        ] {
            assert_eq!(sightings(leaves), expected, "{leaves}");
        }
    }

    #[test]
    fn a_fingerprint_of_zeros_counts_as_seen() {
        let mut recent = RecentLeaves::default();
        let zeros = Sha256Digest::new([0; 32]);
        assert_eq!([recent.see(&zeros), recent.see(&zeros)], [Sighting::First, Sighting::Known]);
    }
}
