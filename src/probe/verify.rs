//! Verifies the certificates that a peer presented.
//!
//! The input is the chain, the expected name and the trusted roots; the output is all faults, not only the first. The
//! result for a chain changes only if the validity of a certificate starts or ends, or if files are reloaded. Therefore
//! it is cached: an unchanged chain costs one digest per probe.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context as Sha256, SHA256};
use rustls::pki_types::CertificateDer;

use self::cache::VerificationCache;
pub(super) use self::checks::subject_name;
use self::checks::verify;
use super::certificate::{Restrictions, read_with_restrictions};
use super::tls_store::TlsContext;
use crate::files::digest::{finish, sha256};
use crate::locks::lock;
use crate::outcome::{Certificate, CertificateContent, CertificateFault, Class, PeerCertificates};
use crate::target::{ServerName, Sha256Digest};

mod cache;
mod checks;
mod constraints;
mod messages;
mod names;
mod originals;
mod path_search;
mod permissions;

/// A verifier of chains, which caches a result as long as the caller holds it.
#[derive(Debug, Default)]
pub(super) struct ChainVerifier {
    cache: Mutex<VerificationCache>,
}

/// The chain that a peer presented: the leaf and the certificates sent after it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PresentedChain {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

/// A certificate of a chain with its restrictions.
#[derive(Clone, Debug)]
struct ParsedCertificate {
    certificate: Arc<Certificate>,
    restrictions: Arc<Restrictions>,
}

/// A chain with everything that its verification depends on, except the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct VerifyRequest<'a> {
    pub(super) presented: &'a PresentedChain,
    pub(super) name: &'a ServerName,
    /// Digests, one of which must be that of the leaf or of its public key; empty without pinning.
    pub(super) pins: &'a [Sha256Digest],
    pub(super) context: &'a TlsContext,
}

impl ChainVerifier {
    /// Verifies the chain as of `now`, in seconds since 1970, and returns its certificates with their faults.
    pub(super) fn verify(&self, request: &VerifyRequest<'_>, now: i64) -> Arc<PeerCertificates> {
        let key = request.key();
        if let Some(known) = self.with_cache(|cache| cache.result(&key, now)) {
            return known;
        }
        let leaf = self.certificate(&request.presented.leaf);
        let shown = request.presented.shown();
        let intermediates: Vec<_> = shown.iter().map(|der| self.certificate(der)).collect();
        let peer = Arc::new(verify(request, &leaf, &intermediates, now));
        let anchors = request.context.roots.contents.iter().flatten();
        self.with_cache(|cache| cache.keep_result(key, &peer, anchors, now));
        peer
    }

    /// Returns a parsed certificate. It is cached, because peers present the same ones in every probe and share
    /// intermediates.
    fn certificate(&self, der: &CertificateDer<'_>) -> ParsedCertificate {
        let fingerprint = sha256(der);
        let known = self.with_cache(|cache| cache.certificate(&fingerprint));
        known.unwrap_or_else(|| {
            let (certificate, restrictions) = read_with_restrictions(der);
            let parsed = ParsedCertificate { certificate: Arc::new(certificate), restrictions: Arc::new(restrictions) };
            self.with_cache(|cache| cache.keep_certificate(&parsed));
            parsed
        })
    }

    fn with_cache<T>(&self, f: impl FnOnce(&mut VerificationCache) -> T) -> T {
        f(&mut lock(&self.cache))
    }
}

impl ParsedCertificate {
    fn content(&self) -> Option<&CertificateContent> {
        self.certificate.content.as_ref()
    }
}

impl PresentedChain {
    /// Returns the certificates after the leaf that are considered, at most [`MAX_INTERMEDIATES`].
    fn shown(&self) -> &[CertificateDer<'static>] {
        self.intermediates.get(..MAX_INTERMEDIATES).unwrap_or(&self.intermediates)
    }
}

impl VerifyRequest<'_> {
    /// Returns a digest of the request, which is everything that the result depends on except the time.
    fn key(&self) -> Sha256Digest {
        let mut key = Sha256::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            key.update(&bytes.len().to_be_bytes());
            key.update(bytes);
        };
        add(&self.context.generation.to_be_bytes());
        add(self.name.to_string().as_bytes());
        add(self
            .pins
            .iter()
            .flat_map(Sha256Digest::as_bytes)
            .copied()
            .collect::<Vec<_>>()
            .as_slice());
        add(&self.presented.leaf);
        self.presented.intermediates.iter().for_each(|der| add(der));
        finish(key)
    }
}

/// Adds a fault that only the handshake can detect.
pub(super) fn with_invalid(peer: &Arc<PeerCertificates>, detail: &str) -> Arc<PeerCertificates> {
    if peer.faults.iter().any(|fault| fault.class == Class::CertInvalid) {
        return peer.clone();
    }
    let mut peer = PeerCertificates::clone(peer);
    // This class is the last in the order of faults.
    peer.faults
        .push(CertificateFault { class: Class::CertInvalid, detail: detail.to_owned() });
    Arc::new(peer)
}

/// Maximum number of certificates after the leaf that are considered. Real chains have a few; a hostile peer can send
/// thousands.
const MAX_INTERMEDIATES: usize = 100;

#[cfg(test)]
mod tests;
