//! Everything that is to be said against the certificates of a peer.
//!
//! In goes what a handshake showed, whom it should be for and what is trusted; out comes every fault, not the first
//! alone. The verdict on one chain changes only when one of its certificates begins or ends to be valid or when files
//! were read anew, so it is remembered: an unchanged chain costs one digest a probe.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context as Sha256, SHA256};
use rustls::pki_types::CertificateDer;

use self::cache::VerificationCache;
pub(super) use self::checks::subject_name;
use self::checks::verify;
use super::certificate::read;
use super::tls_store::TlsContext;
use crate::files::digest::{finish, sha256};
use crate::locks::lock;
use crate::outcome::{Certificate, CertificateFault, Class, PeerCertificates};
use crate::target::{ServerName, Sha256Digest};

mod cache;
mod checks;
mod messages;
mod path;

/// Judges chains, and remembers its verdicts for as long as anybody else holds them.
#[derive(Debug, Default)]
pub(super) struct ChainVerifier {
    cache: Mutex<VerificationCache>,
}

/// What a peer presented: a leaf, and what it sent behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PresentedChain {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

/// One question for the judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct VerifyRequest<'a> {
    pub(super) presented: &'a PresentedChain,
    pub(super) name: &'a ServerName,
    /// Digests of which one must be that of the leaf or of its public key; empty: any will do.
    pub(super) pins: &'a [Sha256Digest],
    pub(super) context: &'a TlsContext,
}

impl ChainVerifier {
    /// The certificates with their faults, as of `now` in seconds since 1970.
    pub(super) fn verify(&self, request: &VerifyRequest<'_>, now: i64) -> Arc<PeerCertificates> {
        let key = request.key();
        if let Some(known) = self.with_cache(|cache| cache.result(&key, now)) {
            return known;
        }
        let leaf = self.certificate(&request.presented.leaf);
        let intermediates = request.presented.shown().iter().map(|der| self.certificate(der)).collect();
        let peer = Arc::new(verify(request, leaf, intermediates, now));
        let anchors = request.context.roots.contents.iter().flatten();
        self.with_cache(|cache| cache.keep_result(key, &peer, anchors, now));
        peer
    }

    /// The same certificate is presented again and again, and intermediates by many: each is read once.
    fn certificate(&self, der: &CertificateDer<'_>) -> Arc<Certificate> {
        let fingerprint = sha256(der);
        let known = self.with_cache(|cache| cache.certificate(&fingerprint));
        known.unwrap_or_else(|| {
            let certificate = Arc::new(read(der));
            self.with_cache(|cache| cache.keep_certificate(&certificate));
            certificate
        })
    }

    fn with_cache<T>(&self, f: impl FnOnce(&mut VerificationCache) -> T) -> T {
        f(&mut lock(&self.cache))
    }
}

impl PresentedChain {
    /// What is looked at of what was sent behind the leaf.
    fn shown(&self) -> &[CertificateDer<'static>] {
        self.intermediates.get(..MAX_INTERMEDIATES).unwrap_or(&self.intermediates)
    }
}

impl VerifyRequest<'_> {
    /// A digest over everything that a verdict depends on, the time apart.
    fn key(&self) -> Sha256Digest {
        let mut key = Sha256::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            key.update(&bytes.len().to_be_bytes());
            key.update(bytes);
        };
        add(&self.context.generation.to_be_bytes());
        add(self.name.to_string().as_bytes());
        add(self.pins.iter().flat_map(Sha256Digest::as_bytes).copied().collect::<Vec<_>>().as_slice());
        add(&self.presented.leaf);
        self.presented.intermediates.iter().for_each(|der| add(der));
        finish(key)
    }
}

/// The same certificates with the fault that the handshake found in them, which no look at the chain alone can find.
pub(super) fn with_invalid(peer: &Arc<PeerCertificates>, detail: &str) -> Arc<PeerCertificates> {
    if peer.faults.iter().any(|fault| fault.class == Class::CertInvalid) {
        return peer.clone();
    }
    let mut peer = PeerCertificates::clone(peer);
    // The lightest class: the end is its place.
    peer.faults.push(CertificateFault { class: Class::CertInvalid, detail: detail.to_owned() });
    Arc::new(peer)
}

/// What is sent behind a leaf beyond this is not looked at: nobody needs it, and a peer could make it thousands.
const MAX_INTERMEDIATES: usize = 100;

#[cfg(test)]
mod tests;
