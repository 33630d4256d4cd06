//! Searches paths from a leaf to a trusted anchor with webpki.
//!
//! webpki reports only one error of a path, and errors of dates before all others. Therefore the search uses only the
//! certificates that are valid at one moment, first now and then other moments at which the leaf is valid, and repeats
//! without the check that failed.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::{CertRevocationList, EndEntityCert, Error, anchor_from_trusted_cert};

use self::attempt::{Attempt, Found, Usage};
use super::messages::quoted;
use super::originals::{MaskedChain, OverOriginals};
use super::permissions::{self, Step};
use super::{ParsedCertificate, VerifyRequest};
use crate::outcome::CertificateContent;
use crate::probe::certificate::Restrictions;
use crate::probe::tls_store::Anchors;

mod attempt;

/// A chain as input of the search.
pub(super) struct Chain<'a> {
    request: &'a VerifyRequest<'a>,
    leaf: &'a Leaf<'a>,
    links: Vec<Link<'a>>,
    /// The certificates that webpki cannot parse, as indexes into the certificates sent.
    unreadable: Vec<(usize, Error)>,
    algorithms: Vec<OverOriginals<'a>>,
}

/// The certificate of the peer.
pub(super) struct Leaf<'a> {
    pub(super) certificate: EndEntityCert<'a>,
    pub(super) content: Option<&'a CertificateContent>,
    pub(super) restrictions: &'a Restrictions,
}

/// A certificate that can be part of a path.
struct Link<'a> {
    /// Its index among the certificates sent after the leaf.
    index: usize,
    /// The masked certificate.
    der: &'a CertificateDer<'static>,
    restrictions: &'a Restrictions,
    certificate: EndEntityCert<'a>,
    content: Option<&'a CertificateContent>,
}

/// The result of a search.
#[derive(Debug)]
pub(super) struct PathResult {
    /// The certificates after the leaf on the path, as indexes into the certificates sent. `None` if there is no path.
    pub(super) path: Option<Vec<usize>>,
    /// The errors of the path; without a path, the reasons.
    pub(super) errors: Vec<Error>,
    /// The defects of the path that webpki does not detect. A path without them is preferred.
    pub(super) defects: Vec<String>,
    /// The index of the anchor at the end of the path, if its certificate is not valid now.
    pub(super) outdated_anchor: Option<usize>,
}

/// A walk from the leaf that follows the names of issuers.
#[derive(Debug)]
pub(super) struct Walk {
    /// The certificates after the leaf, as indexes into the certificates sent; the subject of each is the issuer of the
    /// previous one.
    pub(super) steps: Vec<usize>,
    /// Whether the issuer of the last one, or of the leaf, has the name of an anchor.
    pub(super) is_anchored: bool,
}

impl<'a> Chain<'a> {
    /// Creates a chain of the certificates that webpki can parse.
    pub(super) fn new(
        request: &'a VerifyRequest<'a>,
        masked: &'a MaskedChain,
        leaf: &'a Leaf<'a>,
        intermediates: &'a [ParsedCertificate],
    ) -> Self {
        let provider = request.context.config.crypto_provider();
        let algorithms = masked.algorithms(provider.signature_verification_algorithms.all);
        let mut chain = Self { request, leaf, links: Vec::new(), unreadable: Vec::new(), algorithms };
        for (index, (der, parsed)) in masked.intermediates.iter().zip(intermediates).enumerate() {
            match EndEntityCert::try_from(der) {
                Ok(_) if chain.links.iter().any(|link| link.der == der) => {}
                Ok(certificate) => {
                    let (restrictions, content) = (&*parsed.restrictions, parsed.content());
                    chain.links.push(Link { index, der, restrictions, certificate, content });
                }
                Err(error) => chain.unreadable.push((index, error)),
            }
        }
        chain
    }

    /// Returns the certificates after the leaf that webpki cannot parse, as indexes into the certificates sent.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (usize, &Error)> {
        self.unreadable.iter().map(|(index, error)| (*index, error))
    }

    /// Searches for a path as of `now`, in seconds since 1970, or else as of another moment at which the leaf is valid.
    ///
    /// webpki ignores the dates of anchors, but most clients do not. Therefore an anchor that is not valid now is used
    /// only if there is no other.
    pub(super) fn search(&self, now: i64) -> PathResult {
        let Anchors { store, contents, .. } = self.anchors();
        let is_valid =
            |content: &Option<CertificateContent>| content.as_ref().is_none_or(|content| content.is_valid_at(now));
        if contents.iter().all(is_valid) {
            return self.search_to(&store.roots, now);
        }
        let valid = store.roots.iter().zip(contents).filter(|(_, content)| is_valid(content));
        let valid: Vec<_> = valid.map(|(anchor, _)| anchor.clone()).collect();
        let search = self.search_to(&valid, now);
        if search.path.is_some() { search } else { self.search_to(&store.roots, now) }
    }

    /// Searches for a path to one of these anchors.
    fn search_to(&self, anchors: &[TrustAnchor<'_>], now: i64) -> PathResult {
        let mut tried = Vec::new();
        let mut first = None;
        for moment in self.moments(now) {
            let candidates = self.candidates(moment);
            // The same certificates give the same result.
            if tried.contains(&candidates) {
                continue;
            }
            let search = self.search_at(moment, &candidates, anchors, now);
            if search.path.is_some() || search.errors.iter().any(|error| *error != Error::UnknownIssuer) {
                return search;
            }
            tried.push(candidates);
            first.get_or_insert(search);
        }
        first.unwrap_or_else(|| PathResult::none(vec![Error::UnknownIssuer]))
    }

    /// Follows the names from the leaf and prefers certificates that are valid `now`.
    pub(super) fn walk(&self, now: i64) -> Walk {
        let mut steps: Vec<&Link<'_>> = Vec::new();
        loop {
            let issuer = steps
                .last()
                .map_or_else(|| self.leaf.certificate.issuer(), |link| link.certificate.issuer());
            if self
                .anchors()
                .store
                .roots
                .iter()
                .any(|anchor| anchor.subject.as_ref() == issuer)
            {
                return Walk { steps: places(&steps), is_anchored: true };
            }
            let next = |link: &&Link<'_>| {
                link.certificate.subject() == issuer && steps.iter().all(|step| step.index != link.index)
            };
            let valid = self.links.iter().filter(next).find(|link| link.is_valid_at(now));
            match valid.or_else(|| self.links.iter().find(next)) {
                Some(link) => steps.push(link),
                None => return Walk { steps: places(&steps), is_anchored: false },
            }
        }
    }

    /// Returns the number of steps of a walk whose key signed the previous certificate, as far as the dates allow a
    /// check.
    pub(super) fn fitting(&self, walk: &Walk, now: i64) -> usize {
        let moment = self.moments(now).first().copied().unwrap_or(now);
        let step = |index: &usize| self.links.iter().find(|link| link.index == *index);
        let steps: Vec<&Link<'_>> = walk.steps.iter().take(MAX_STEPS).filter_map(step).collect();
        let misfit = steps.iter().enumerate().position(|(length, step)| {
            let links = steps.iter().take(length).copied().collect();
            let anchor = anchor_from_trusted_cert(step.der);
            let verified =
                anchor.map(|anchor| Attempt { chain: self, links, moment }.verify(&[anchor], Usage::Any, &[]));
            matches!(verified, Ok(Err(Error::InvalidSignatureForPublicKey)))
        });
        misfit.unwrap_or(steps.len())
    }

    /// Returns the moments of the search: now, then others, latest first.
    ///
    /// If certificates are ever valid at the same time, they are valid when the last validity starts.
    fn moments(&self, now: i64) -> Vec<i64> {
        let Some(leaf) = self.leaf.content else { return vec![now] };
        let lifetime = leaf.not_before..=leaf.not_after;
        let beginnings = self
            .links
            .iter()
            .filter_map(|link| link.content)
            .map(|content| content.not_before);
        let mut others: Vec<_> = beginnings
            .chain([leaf.not_before])
            .filter(|moment| lifetime.contains(moment))
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others.dedup();
        // A leaf that ends before it starts is never valid. webpki reports that.
        let present = (lifetime.contains(&now) || others.is_empty()).then_some(now);
        present.into_iter().chain(others).take(MAX_MOMENTS).collect()
    }

    /// Returns the indexes in `links` of the certificates that can be part of a path at this moment.
    ///
    /// Since a peer can send certificates that form very many paths, the number of certificates per name is limited.
    fn candidates(&self, moment: i64) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        let mut wanted = vec![self.leaf.certificate.issuer()];
        let mut next = 0;
        while let Some(subject) = wanted.get(next).copied() {
            next += 1;
            let named = self
                .links
                .iter()
                .enumerate()
                .filter(|(_, link)| link.certificate.subject() == subject && link.is_valid_at(moment));
            for (place, link) in named.take(MAX_OF_ONE_NAME) {
                chosen.push(place);
                if !wanted.contains(&link.certificate.issuer()) {
                    wanted.push(link.certificate.issuer());
                }
            }
        }
        chosen.truncate(MAX_CANDIDATES);
        chosen
    }

    fn anchors(&self) -> &'a Anchors {
        &self.request.context.roots
    }

    /// Returns a certificate as sent.
    fn original(&self, index: usize) -> Option<&'a [u8]> {
        self.request.presented.intermediates.get(index).map(AsRef::as_ref)
    }

    /// Returns the indexes of all anchors with the same name and key.
    fn same(&self, anchor: &TrustAnchor<'_>) -> impl Iterator<Item = usize> {
        let is_same = |other: &TrustAnchor<'_>| {
            (&other.subject, &other.subject_public_key_info) == (&anchor.subject, &anchor.subject_public_key_info)
        };
        let anchors = self.anchors().store.roots.iter().enumerate();
        anchors.filter(move |(_, other)| is_same(other)).map(|(place, _)| place)
    }

    /// Returns the index of an anchor if it is not valid now, and no other one with the same name and key is.
    fn outdated(&self, anchor: &TrustAnchor<'_>, now: i64) -> Option<usize> {
        let contents = &self.anchors().contents;
        let mut outdated = None;
        for place in self.same(anchor) {
            let content = contents.get(place).and_then(Option::as_ref);
            if content.is_none_or(|content| content.is_valid_at(now)) {
                return None;
            }
            outdated = Some(place);
        }
        outdated
    }

    /// Returns the defects of a path that webpki does not detect. Of several anchors with the same name and key, the
    /// best one counts.
    fn defects(&self, path: &[usize], anchor: &TrustAnchor<'_>) -> Vec<String> {
        let with_anchor = |place| permissions::of_issuers(&self.steps(path, place));
        self.same(anchor).map(with_anchor).min_by_key(Vec::len).unwrap_or_default()
    }

    /// Describes a path that ends at the anchor with this index.
    fn steps(&self, path: &[usize], anchor: usize) -> Vec<Step<'_>> {
        let named = |kind: &str, content: Option<&CertificateContent>| {
            content.map_or_else(|| format!("the {kind}"), |content| format!("the {kind} {}", quoted(&content.subject)))
        };
        let leaf = Step {
            called: "the certificate".to_owned(),
            restrictions: self.leaf.restrictions,
            is_self_issued: false,
            der: Some(&self.request.presented.leaf),
        };
        let links = path
            .iter()
            .filter_map(|index| self.links.iter().find(|link| link.index == *index));
        let links = links.map(|link| Step {
            called: named("intermediate", link.content),
            restrictions: link.restrictions,
            is_self_issued: link.content.is_some_and(|content| content.is_self_issued),
            der: self.original(link.index),
        });
        let Anchors { contents, restrictions, origin, .. } = self.anchors();
        let root = named("root", contents.get(anchor).and_then(Option::as_ref));
        let anchor = restrictions.get(anchor).map(|restrictions| Step {
            called: format!("{root} in {origin}"),
            restrictions,
            is_self_issued: true,
            der: None,
        });
        [leaf].into_iter().chain(links).chain(anchor).collect()
    }

    /// Searches among the candidates, and again without the check that failed, until there is no new error.
    fn search_at(&self, moment: i64, candidates: &[usize], anchors: &[TrustAnchor<'_>], now: i64) -> PathResult {
        let links: Vec<&Link<'_>> = candidates.iter().filter_map(|place| self.links.get(*place)).collect();
        let search = Attempt { chain: self, links, moment };
        let lists = self.request.context.crls.iter().flat_map(|lists| lists.iter());
        let all: Vec<&CertRevocationList<'_>> = lists.collect();
        let (mut usage, mut crls, mut errors) = (Usage::Server, all.as_slice(), Vec::new());
        loop {
            match search.verify_best(anchors, usage, crls) {
                Ok(Found { path, anchor }) => {
                    let (outdated_anchor, defects) = (self.outdated(&anchor, now), self.defects(&path, &anchor));
                    return PathResult { path: Some(path), errors, defects, outdated_anchor };
                }
                Err(error @ Error::RequiredEkuNotFoundContext(_)) if usage == Usage::Server => {
                    usage = Usage::Any;
                    errors.push(error);
                }
                Err(error @ Error::CertRevoked) => {
                    crls = &[];
                    errors.push(error);
                }
                // A list that does not match the issuer is ignored, but others may revoke a certificate.
                Err(error) if is_of_list(&error) && !crls.is_empty() => {
                    let revokes = |list| search.verify(anchors, usage, &[list]) == Err(Error::CertRevoked);
                    errors.extend(crls.iter().any(|list| revokes(*list)).then_some(Error::CertRevoked));
                    crls = &[];
                }
                Err(error) => {
                    errors.push(error);
                    return PathResult::none(errors);
                }
            }
        }
    }
}

impl PathResult {
    /// The result without a path, for these reasons.
    fn none(errors: Vec<Error>) -> Self {
        Self { path: None, errors, defects: Vec::new(), outdated_anchor: None }
    }
}

impl Link<'_> {
    fn is_valid_at(&self, moment: i64) -> bool {
        // If the content is `None`, webpki decides.
        self.content.is_none_or(|content| content.is_valid_at(moment))
    }
}

/// Returns whether an error concerns a revocation list and not a certificate.
fn is_of_list(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
    )
}

fn places(steps: &[&Link<'_>]) -> Vec<usize> {
    steps.iter().map(|link| link.index).collect()
}

/// Maximum number of steps whose signatures are verified. webpki allows at most six certificates between leaf and anchor.
const MAX_STEPS: usize = 7;

/// Maximum number of candidates with one name. A public CA has two or three cross-signed certificates. A private CA
/// keeps its name over generations of keys, and its servers may send all of them.
const MAX_OF_ONE_NAME: usize = 6;

/// Maximum number of candidates. They form at most 3^6 paths, more than any real chain has.
const MAX_CANDIDATES: usize = 18;

/// Maximum number of moments. The right one is among the first few.
const MAX_MOMENTS: usize = 5;
