//! One search for a path with webpki.

use std::cell::Cell;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath,
};

use super::{Chain, Link};

/// A search among some of the certificates as of one moment.
pub(super) struct Attempt<'a> {
    pub(super) chain: &'a Chain<'a>,
    pub(super) links: Vec<&'a Link<'a>>,
    pub(super) moment: i64,
}

impl Attempt<'_> {
    /// Searches for a path without defects that webpki does not detect; if there is none, for any path.
    pub(super) fn verify_best(
        &self,
        anchors: &[TrustAnchor<'_>],
        usage: Usage,
        crls: &[&CertRevocationList<'_>],
    ) -> Result<Found, Error> {
        let has_rejected = Cell::new(false);
        let is_free_of_defects = |path: &VerifiedPath<'_>| {
            let is_free = self.chain.defects(&self.places(path), path.anchor()).is_empty();
            has_rejected.update(|rejected| rejected || !is_free);
            is_free
        };
        let best = self.verify_if(anchors, usage, crls, is_free_of_defects);
        if has_rejected.get() { best.or_else(|_| self.verify(anchors, usage, crls)) } else { best }
    }

    /// Searches for any path.
    pub(super) fn verify(
        &self,
        anchors: &[TrustAnchor<'_>],
        usage: Usage,
        crls: &[&CertRevocationList<'_>],
    ) -> Result<Found, Error> {
        self.verify_if(anchors, usage, crls, |_| true)
    }

    /// Searches for a path that `accept` accepts.
    fn verify_if(
        &self,
        anchors: &[TrustAnchor<'_>],
        usage: Usage,
        crls: &[&CertRevocationList<'_>],
        accept: impl Fn(&VerifiedPath<'_>) -> bool,
    ) -> Result<Found, Error> {
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
            self.chain.algorithms.iter().map(|algorithm| algorithm as _).collect();
        let intermediates: Vec<CertificateDer<'_>> =
            self.links.iter().map(|link| CertificateDer::from(link.der.as_ref())).collect();
        let revocation = RevocationOptionsBuilder::new(crls)
            .ok()
            .map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
        // Any error makes webpki try the next path.
        let checked = |path: &VerifiedPath<'_>| if accept(path) { Ok(()) } else { Err(Error::UnknownIssuer) };
        let path = self.chain.leaf.certificate.verify_for_usage(
            &algorithms,
            anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.moment).unwrap_or_default())),
            usage,
            revocation,
            Some(&checked),
        )?;
        Ok(Found { path: self.places(&path), anchor: path.anchor().to_owned() })
    }

    /// Returns the certificates after the leaf on a path, as indexes into the certificates sent.
    fn places(&self, path: &VerifiedPath<'_>) -> Vec<usize> {
        let place = |der: CertificateDer<'_>| self.links.iter().find(|link| *link.der == der).map(|link| link.index);
        path.intermediate_certificates()
            .filter_map(|certificate| place(certificate.der()))
            .collect()
    }
}

/// A path that webpki verified.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// The certificates after the leaf, as indexes into the certificates sent.
    pub(super) path: Vec<usize>,
    pub(super) anchor: TrustAnchor<'static>,
}

/// The required key usage of the certificates on a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Usage {
    Any,
    Server,
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::Server => KeyUsage::server_auth().validate(purposes),
        }
    }
}
