//! Checks that common clients make and webpki leaves out: the purposes of keys, certificates of CAs as anchors, and name
//! constraints. A path without them is preferred.

use super::constraints::allow;
use super::messages::quoted;
use crate::probe::certificate::{Restrictions, constrained_names};

/// A certificate on a path.
pub(super) struct Step<'a> {
    /// Its description, such as `the intermediate "CN=a"`.
    pub(super) called: String,
    pub(super) restrictions: &'a Restrictions,
    pub(super) is_self_issued: bool,
    /// The certificate; `None` for an anchor.
    pub(super) der: Option<&'a [u8]>,
}

/// Returns why the key of a leaf must not be used by a server; `None` if it may be. As in OpenSSL, one of the three
/// usages of TLS is sufficient.
pub(super) fn of_leaf(leaf: &Restrictions) -> Option<&'static str> {
    (!leaf.may_serve()).then_some(
        "the certificate is not allowed for TLS (key usage without digitalSignature, keyEncipherment and keyAgreement)",
    )
}

/// Returns why a trusted leaf must not be used by a server, although no path is searched for it.
pub(super) fn of_trusted_leaf(leaf: &Restrictions) -> Option<&'static str> {
    (!leaf.is_for_servers())
        .then_some("the certificate is not allowed for servers (extended key usage without serverAuth)")
}

/// Returns why the issuers of a path must not issue what is below them. The leaf is first; an anchor is last.
pub(super) fn of_issuers(path: &[Step<'_>]) -> Vec<String> {
    let mut defects = Vec::new();
    for (index, issuer) in path.iter().enumerate().skip(1) {
        let (below, called) = (path.get(..index).unwrap_or_default(), &issuer.called);
        if !issuer.restrictions.may_issue() {
            defects.push(format!("{called} is not allowed to issue certificates (key usage without keyCertSign)"));
        }
        if issuer.der.is_none() {
            defects.extend(of_anchor(issuer, below));
        }
        defects.extend(of_names(issuer, below));
    }
    defects
}

/// Returns the defects of an anchor that webpki detects only in intermediates.
fn of_anchor(anchor: &Step<'_>, below: &[Step<'_>]) -> Vec<String> {
    let Step { called, restrictions, .. } = anchor;
    let authorities = below.iter().skip(1).filter(|step| !step.is_self_issued).count();
    let is_too_long = restrictions
        .path_length()
        .is_some_and(|length| u32::try_from(authorities).is_ok_and(|authorities| authorities > length));
    let checks = [
        (!restrictions.is_ca(), "is not a CA (basic constraints)"),
        (is_too_long, "does not allow that many CAs below it (path length)"),
        (!restrictions.is_for_servers(), "is not allowed for servers (extended key usage without serverAuth)"),
    ];
    let failed = checks.iter().filter(|(fails, _)| *fails);
    failed.map(|(_, why)| format!("{called} {why}")).collect()
}

/// Returns the first violation of the name constraints of an issuer. Self-issued certificates between leaf and issuer
/// are exempt (RFC 5280 section 6.1.3).
fn of_names(issuer: &Step<'_>, below: &[Step<'_>]) -> Option<String> {
    let (constraints, called) = (issuer.restrictions.constraints.as_ref()?, &issuer.called);
    let constrained = below
        .iter()
        .enumerate()
        .filter(|(index, step)| *index == 0 || !step.is_self_issued);
    let names: Vec<_> = constrained
        .filter_map(|(_, step)| step.der)
        .flat_map(constrained_names)
        .collect();
    if names
        .len()
        .saturating_mul(constraints.permitted.len() + constraints.excluded.len())
        > MAX_COMPARISONS
    {
        return Some(format!("the name constraints of {called} are too complex to verify"));
    }
    let (_, name) = names.iter().find(|(name, _)| !allow(constraints, name))?;
    Some(format!("{called} is not allowed to issue certificates for {} (name constraints)", quoted(name)))
}

/// Maximum number of comparisons of names, as in Go. A hostile peer can send 30,000 names and as many constraints.
const MAX_COMPARISONS: usize = 250_000;
