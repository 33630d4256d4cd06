//! The certificates of a chain in the form for webpki, with signatures over the originals.

use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm};

use super::PresentedChain;
use crate::probe::certificate::{MaskedCopy, masked, may_need_mask};

/// A chain whose certificates are masked if webpki needs that.
#[derive(Debug)]
pub(super) struct MaskedChain {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    signed: Vec<SignedPart>,
}

/// The signed part of a certificate before and after masking.
#[derive(Debug)]
struct SignedPart {
    masked: Vec<u8>,
    original: Vec<u8>,
}

impl MaskedChain {
    /// Masks the certificates that are considered, or none of them if none needs it.
    pub(super) fn new(presented: &PresentedChain) -> Self {
        let (leaf, intermediates) = (&presented.leaf, presented.shown());
        if !may_need_mask(leaf) && !intermediates.iter().any(|der| may_need_mask(der)) {
            return Self { leaf: leaf.clone(), intermediates: intermediates.to_vec(), signed: Vec::new() };
        }
        let mut signed = Vec::new();
        let mut copy = |der: &CertificateDer<'static>| {
            let Some(MaskedCopy { der: copy, signed: place }) = masked(der) else { return der.clone() };
            let part = |der: &[u8]| der.get(place.clone()).map(<[u8]>::to_vec).unwrap_or_default();
            signed.push(SignedPart { masked: part(&copy), original: part(der) });
            CertificateDer::from(copy)
        };
        let leaf = copy(leaf);
        let intermediates = intermediates.iter().map(copy).collect();
        Self { leaf, intermediates, signed }
    }

    /// Returns algorithms that verify the signatures of masked certificates over the originals.
    pub(super) fn algorithms<'a>(
        &'a self,
        all: &'a [&'a dyn SignatureVerificationAlgorithm],
    ) -> Vec<OverOriginals<'a>> {
        all.iter()
            .map(|algorithm| OverOriginals { algorithm: *algorithm, signed: &self.signed })
            .collect()
    }
}

/// A signature algorithm that verifies the originals of masked certificates.
#[derive(Debug)]
pub(super) struct OverOriginals<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    signed: &'a [SignedPart],
}

impl SignatureVerificationAlgorithm for OverOriginals<'_> {
    /// Verifies every original with this masked form. A peer could send another certificate with the same form, whose
    /// signature is not valid.
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let mut originals = self.signed.iter().filter(|part| part.masked == message).peekable();
        if originals.peek().is_none() {
            // A revocation list, or a chain that is not masked.
            return self.algorithm.verify_signature(public_key, message, signature);
        }
        originals.try_for_each(|part| self.algorithm.verify_signature(public_key, &part.original, signature))
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}
