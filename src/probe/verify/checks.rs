//! The checks of one chain: dates, path, name and pins. Each is made even if others fail.

use rustls::pki_types::{DnsName, ServerName as SubjectName};
use webpki::{EndEntityCert, Error};

use super::messages::{self, quoted};
use super::names;
use super::originals::MaskedChain;
use super::path_search::{Chain, Leaf, PathResult, Walk};
use super::permissions;
use super::{ParsedCertificate, VerifyRequest};
use crate::clock::Utc;
use crate::outcome::{CertificateContent, CertificateFault, Class, PeerCertificates};
use crate::target::ServerName;

/// Checks a chain of parsed certificates as of `now`, in seconds since 1970.
pub(super) fn verify(
    request: &VerifyRequest<'_>,
    leaf: &ParsedCertificate,
    intermediates: &[ParsedCertificate],
    now: i64,
) -> PeerCertificates {
    let mut check = Check { request, leaf, intermediates, now, faults: Faults::default() };
    check.lifetime();
    let verified_not_after = check.chain();
    check.pins();
    let faults = check.faults.into_sorted();
    let sent = intermediates.iter().chain([leaf]).filter_map(ParsedCertificate::content);
    let chain_not_after = verified_not_after.or_else(|| sent.map(|content| content.not_after).min());
    let shown = |parsed: &ParsedCertificate| parsed.certificate.clone();
    PeerCertificates {
        leaf: shown(leaf),
        intermediates: intermediates.iter().map(shown).collect(),
        faults,
        chain_not_after,
    }
}

/// Converts a name to the type of rustls and webpki; `None` if they do not accept it.
pub(in crate::probe) fn subject_name(name: &ServerName) -> Option<SubjectName<'static>> {
    match name {
        ServerName::Address(address) => Some(SubjectName::from(*address)),
        ServerName::Name(name) => DnsName::try_from(name.as_str().to_owned()).ok().map(SubjectName::DnsName),
    }
}

/// One verification.
struct Check<'a> {
    request: &'a VerifyRequest<'a>,
    leaf: &'a ParsedCertificate,
    intermediates: &'a [ParsedCertificate],
    now: i64,
    faults: Faults,
}

impl Check<'_> {
    /// Checks the dates of the leaf.
    fn lifetime(&mut self) {
        let Some(content) = self.leaf.content() else { return };
        if self.now > content.not_after {
            let detail = format!("the certificate expired on {} UTC; renew it", Utc::of_seconds(content.not_after));
            self.faults.add(Class::CertExpired, detail);
        }
        if self.now < content.not_before {
            let from = Utc::of_seconds(content.not_before);
            let detail = format!(
                "the certificate is not valid before {from} UTC; it was installed too early, or the clock of this machine is wrong"
            );
            self.faults.add(Class::CertNotYetValid, detail);
        }
    }

    /// Checks name and path. Returns the earliest expiry on a verified path. A leaf that is itself trusted is a
    /// complete path, which revocation lists do not affect.
    fn chain(&mut self) -> Option<i64> {
        let VerifyRequest { presented, context, .. } = *self.request;
        let masked = MaskedChain::new(presented);
        let certificate = match EndEntityCert::try_from(&masked.leaf) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.unusable(&error);
                return None;
            }
        };
        let expected = subject_name(self.request.name);
        if expected.is_none_or(|expected| certificate.verify_is_valid_for_subject_name(&expected).is_err()) {
            self.misnamed();
        }
        let content = self.leaf.content();
        let leaf = Leaf { certificate, content, restrictions: &self.leaf.restrictions };
        let is_trusted = context.roots.certificates.contains(&presented.leaf);
        let of_trusted = permissions::of_trusted_leaf(leaf.restrictions).filter(|_| is_trusted);
        for defect in permissions::of_leaf(leaf.restrictions).into_iter().chain(of_trusted) {
            self.faults.add(Class::CertInvalid, defect);
        }
        if is_trusted {
            return content.map(|content| content.not_after);
        }
        let chain = Chain::new(self.request, &masked, &leaf, self.intermediates);
        let result = chain.search(self.now);
        if let Some(path) = &result.path {
            return self.found(path, &result);
        }
        self.not_found(&result, &chain);
        None
    }

    /// Adds the faults of a leaf that webpki rejects, as far as they can be checked without webpki.
    fn unusable(&mut self, error: &Error) {
        let reason = messages::unreadable(error);
        self.faults
            .add(Class::CertInvalid, format!("the certificate cannot be used: {reason}"));
        let Some(content) = self.leaf.content() else { return };
        if content.name_count == 0 {
            self.misnamed();
        }
        if content.is_self_issued && !self.request.context.roots.certificates.contains(&self.request.presented.leaf) {
            self.faults.add(Class::CertUntrusted, self.self_signed());
        }
    }

    /// Adds the faults of a path that was found as of now or another moment. Returns its earliest expiry if it is
    /// verified.
    fn found(&mut self, path: &[usize], result: &PathResult) -> Option<i64> {
        self.outdated(path);
        let is_outdated = result.outdated_anchor.is_some_and(|place| self.outdated_anchor(place));
        result.errors.iter().for_each(|error| self.defect(error));
        for defect in &result.defects {
            self.faults.add(Class::CertInvalid, defect.as_str());
        }
        let certificates = path.iter().filter_map(|place| self.intermediates.get(*place));
        let contents = certificates.chain([self.leaf]).map(ParsedCertificate::content);
        // If a content is `None`, webpki has checked the dates as of now.
        let ends = contents
            .flatten()
            .map(|content| content.is_valid_at(self.now).then_some(content.not_after));
        let ends: Option<Vec<i64>> = ends.collect();
        let is_verified = result.errors.is_empty() && result.defects.is_empty() && !is_outdated;
        ends.filter(|_| is_verified)?.into_iter().min()
    }

    /// Adds the faults of a chain without a path to an anchor.
    fn not_found(&mut self, result: &PathResult, chain: &Chain<'_>) {
        let walk = chain.walk(self.now);
        let is_outdated = self.outdated(&walk.steps);
        for error in &result.errors {
            match error {
                // The certificates were never valid at the same time, so their signatures cannot be checked.
                Error::UnknownIssuer if walk.is_anchored && is_outdated => {}
                Error::UnknownIssuer => self.faults.add(Class::CertUntrusted, self.untrusted(&walk, chain)),
                Error::InvalidSignatureForPublicKey => {
                    self.faults.add(Class::CertUntrusted, self.missigned(&walk, chain));
                }
                Error::CaUsedAsEndEntity if self.is_self_signed() => {
                    self.faults.add(Class::CertUntrusted, self.self_signed());
                }
                error => {
                    self.defect(error);
                    if !walk.is_anchored {
                        self.faults.add(Class::CertUntrusted, self.untrusted(&walk, chain));
                    }
                }
            }
        }
        for (place, error) in chain.unreadable().take(MAX_SHOWN) {
            let reason = messages::unreadable(error);
            let detail = format!("certificate {} of the chain cannot be used: {reason}", place + 2);
            self.faults.add(Class::CertInvalid, detail);
        }
    }

    /// Adds faults for certificates after the leaf that are not valid now. Returns whether there are any.
    fn outdated(&mut self, places: &[usize]) -> bool {
        let certificates = places.iter().filter_map(|place| self.intermediates.get(*place));
        let mut any = false;
        for content in certificates.filter_map(ParsedCertificate::content) {
            let (class, when) = match self.now {
                now if now > content.not_after => {
                    (Class::CertExpired, format!("expired on {} UTC", Utc::of_seconds(content.not_after)))
                }
                now if now < content.not_before => {
                    (Class::CertNotYetValid, format!("is not valid before {} UTC", Utc::of_seconds(content.not_before)))
                }
                _ => continue,
            };
            let subject = quoted(&content.subject);
            self.faults
                .add(class, format!("the intermediate {subject} {when}; configure the server to send a valid one"));
            any = true;
        }
        any
    }

    /// Adds a fault for an anchor that is not valid now. Returns whether it did.
    fn outdated_anchor(&mut self, place: usize) -> bool {
        let roots = &self.request.context.roots;
        let Some(content) = roots.contents.get(place).and_then(Option::as_ref) else { return false };
        let (class, when) = if self.now > content.not_after {
            (Class::CertExpired, format!("expired on {} UTC", Utc::of_seconds(content.not_after)))
        } else {
            (Class::CertNotYetValid, format!("is not valid before {} UTC", Utc::of_seconds(content.not_before)))
        };
        let (subject, origin) = (quoted(&content.subject), &roots.origin);
        self.faults
            .add(class, format!("the root {subject} in {origin} {when}; replace it with a valid one"));
        true
    }

    /// Adds a fault for any error of webpki except an unknown issuer.
    fn defect(&mut self, error: &Error) {
        let (class, detail) = messages::of(error);
        self.faults.add(class, detail);
    }

    /// Adds the fault of a leaf that is not valid for the expected name.
    fn misnamed(&mut self) {
        let (names, count) = self
            .leaf
            .content()
            .map_or((&[][..], 0), |content| (content.names.as_slice(), content.name_count));
        let shown: Vec<_> = names.iter().take(MAX_SHOWN).map(|name| quoted(name)).collect();
        let presented = match (shown.as_slice(), count.saturating_sub(shown.len())) {
            ([], _) => "no name (a common name does not count)".to_owned(),
            (shown, 0) => shown.join(", "),
            (shown, more) => format!("{} and {more} more", shown.join(", ")),
        };
        let expected = self.request.name;
        let reason =
            names::reason(&self.request.presented.leaf, expected).map_or_else(String::new, |why| format!(", {why}"));
        let detail = format!(
            "the certificate is for {presented}; expected \"{expected}\"{reason}; if another name is correct, set \
             tls.server_name"
        );
        self.faults.add(Class::CertNameMismatch, detail);
    }

    fn pins(&mut self) {
        let key = self.leaf.content().map(|content| content.public_key);
        let seen = [Some(self.leaf.certificate.fingerprint), key];
        let pins = self.request.pins;
        if pins.is_empty() || seen.iter().flatten().any(|digest| pins.contains(digest)) {
            return;
        }
        let key = key.map_or_else(|| "unknown".to_owned(), |key| key.to_string());
        let certificate = self.leaf.certificate.fingerprint;
        let detail = format!(
            "tls.pins contains neither the SHA-256 of the certificate ({certificate}) nor that of its public key ({key}); \
             if the change is legitimate, pin one of them"
        );
        self.faults.add(Class::CertPinMismatch, detail);
    }

    fn is_self_signed(&self) -> bool {
        self.leaf.content().is_some_and(|content| content.is_self_issued)
    }

    /// Explains why the issuer of the leaf is not trusted.
    fn untrusted(&self, walk: &Walk, chain: &Chain<'_>) -> String {
        let origin = &self.request.context.roots.origin;
        if self.is_self_signed() {
            return self.self_signed();
        }
        let last = self.last(&walk.steps);
        let (Some(content), issued) = last else {
            return format!("no path leads from the certificate to {origin}");
        };
        let (subject, issuer) = (quoted(&content.subject), quoted(&content.issuer));
        if let Some(reason) = self.unfit_issuer(content, &issued, walk, chain) {
            return reason;
        }
        if content.is_self_issued {
            return format!(
                "the chain ends in {subject}, which is not in {origin}; put it into a file for tls.ca_file, or set \
                 tls.verify: report"
            );
        }
        format!(
            "the server does not send the certificate of {issuer}, which issued {issued}, and it is not in {origin}; \
             configure the server to send this intermediate; if it is a private CA, put it into a file for tls.ca_file, \
             or set tls.verify: report"
        )
    }

    /// Explains why a certificate with the name of the issuer is not the next step; `None` if there is no such
    /// certificate.
    fn unfit_issuer(
        &self,
        content: &CertificateContent,
        issued: &str,
        walk: &Walk,
        chain: &Chain<'_>,
    ) -> Option<String> {
        let (issuer, origin) = (quoted(&content.issuer), &self.request.context.roots.origin);
        let is_issuer = |other: &CertificateContent| other.subject.eq_ignore_ascii_case(&content.issuer);
        let has_name = |place: &usize| {
            let certificate = self.intermediates.get(*place);
            certificate.and_then(ParsedCertificate::content).is_some_and(is_issuer)
        };
        if content.is_self_issued {
            return None;
        }
        if chain.unreadable().any(|(place, _)| has_name(&place)) {
            let issuer = format!("the certificate of {issuer}, which issued {issued}");
            return Some(format!("the server sends {issuer}, but it cannot be used"));
        }
        if walk.steps.iter().any(has_name) {
            return Some(format!("the intermediates issued each other, and none of them is in {origin}"));
        }
        let is_sent = (0..self.intermediates.len()).any(|place| has_name(&place));
        let is_known = self.request.context.roots.contents.iter().flatten().any(is_issuer);
        let source = match (is_sent, is_known) {
            (true, _) => "the server sends",
            (false, true) => origin,
            (false, false) => return None,
        };
        let has = if is_sent { "" } else { " has" };
        Some(format!(
            "{source}{has} the certificate of {issuer}, which issued {issued}, but the two write this name in different \
             encodings (such as UTF8String and PrintableString), which makes it another name for many clients; issue one \
             of the two again"
        ))
    }

    fn self_signed(&self) -> String {
        format!(
            "the certificate is self-signed and not in {}; put it into a file for tls.ca_file, or set tls.verify: report",
            self.request.context.roots.origin
        )
    }

    /// Explains a signature that does not match the key of the issuer with that name.
    fn missigned(&self, walk: &Walk, chain: &Chain<'_>) -> String {
        if self.is_self_signed() {
            return self.self_signed();
        }
        let fitting = chain.fitting(walk, self.now);
        let (content, issued) = self.last(walk.steps.get(..fitting).unwrap_or_default());
        let issuer = content.map(|content| quoted(&content.issuer)).unwrap_or_default();
        if fitting < walk.steps.len() {
            return format!(
                "the certificate of {issuer} that the server sends did not sign {issued}: it has another key, or one that \
                 is too short; configure the server to send the intermediates of its certificate"
            );
        }
        let origin = &self.request.context.roots.origin;
        format!(
            "{issued} names the issuer {issuer}, but the CA of that name in {origin} did not sign it: the key of the CA \
             has probably changed, or is too short; put the new CA into a file for tls.ca_file, or set tls.verify: report"
        )
    }

    /// Returns the last certificate after these steps from the leaf, with its description.
    fn last(&self, steps: &[usize]) -> (Option<&CertificateContent>, String) {
        let link = steps.last().and_then(|place| self.intermediates.get(*place));
        let content = link.unwrap_or(self.leaf).content();
        let called = match (link, content) {
            (Some(_), Some(content)) => format!("the intermediate {}", quoted(&content.subject)),
            (Some(_), None) => "an intermediate".to_owned(),
            (None, _) => "the certificate".to_owned(),
        };
        (content, called)
    }
}

/// Faults, at most one per class.
#[derive(Debug, Default)]
struct Faults(Vec<CertificateFault>);

impl Faults {
    /// Adds a fault. If its class is present already, appends the detail to that fault.
    fn add(&mut self, class: Class, detail: impl Into<String>) {
        let detail = detail.into();
        match self.0.iter_mut().find(|fault| fault.class == class) {
            Some(fault) => {
                fault.detail.push_str("; ");
                fault.detail.push_str(&detail);
            }
            None => self.0.push(CertificateFault { class, detail }),
        }
    }

    /// Returns all faults in the order of [`Class`].
    fn into_sorted(mut self) -> Vec<CertificateFault> {
        self.0.sort_by_key(|fault| fault.class);
        self.0
    }
}

/// Maximum number of displayed items of a list from a peer.
const MAX_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_appears_once_in_order() {
        let mut faults = Faults::default();
        faults.add(Class::CertInvalid, "a");
        faults.add(Class::CertExpired, "b");
        faults.add(Class::CertInvalid, "c");
        let shown: Vec<_> = faults
            .into_sorted()
            .into_iter()
            .map(|fault| (fault.class, fault.detail))
            .collect();
        assert_eq!(shown, [(Class::CertExpired, "b".to_owned()), (Class::CertInvalid, "a; c".to_owned())]);
    }
}
