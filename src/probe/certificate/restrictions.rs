//! Extensions that restrict the use of a key: the purposes of the key, and the names that its owner may certify.
//!
//! An extension that cannot be parsed counts as absent here. Names are in a form that can be compared.

use data_encoding::HEXLOWER;
use x509_parser::certificate::TbsCertificate;
use x509_parser::extensions::{
    self, BasicConstraints, ExtendedKeyUsage, GeneralName, GeneralSubtree, KeyUsage, SubjectAlternativeName,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name, X509Version};

use super::text::character_string;
use super::{SUBJECT_ALT_NAME, distinguished_name, parse};

/// The restrictions of one certificate.
#[derive(Clone, Debug, Default)]
pub(in crate::probe) struct Restrictions {
    is_version_1: bool,
    basic: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    excludes_servers: bool,
    /// The names that certificates below this one may have; `None` without limits.
    pub(in crate::probe) constraints: Option<NameConstraints>,
}

impl Restrictions {
    /// Parses the restrictions in a certificate.
    pub(super) fn of(signed: &TbsCertificate<'_>) -> Self {
        let usage: Option<ExtendedKeyUsage<'_>> = extension(signed, EXTENDED_KEY_USAGE);
        let constraints: Option<extensions::NameConstraints<'_>> = extension(signed, NAME_CONSTRAINTS);
        Self {
            is_version_1: signed.version() == X509Version::V1,
            basic: extension(signed, BASIC_CONSTRAINTS),
            key_usage: extension(signed, KEY_USAGE),
            excludes_servers: usage.is_some_and(|usage| !usage.server_auth),
            constraints: constraints.as_ref().map(NameConstraints::of),
        }
    }

    /// Returns whether the key usage allows to sign certificates.
    pub(in crate::probe) fn may_issue(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.key_cert_sign())
    }

    /// Returns whether the key usage allows any handshake of a server.
    pub(in crate::probe) fn may_serve(&self) -> bool {
        let serves = |usage: KeyUsage| usage.digital_signature() || usage.key_encipherment() || usage.key_agreement();
        self.key_usage.is_none_or(serves)
    }

    /// Returns whether the extended key usage allows TLS servers.
    pub(in crate::probe) fn is_for_servers(&self) -> bool {
        !self.excludes_servers
    }

    /// Returns whether the certificate is that of a CA. As in OpenSSL, certificates of version 1 and those with a key
    /// usage need no basic constraints.
    pub(in crate::probe) fn is_ca(&self) -> bool {
        let implied = self.is_version_1 || self.key_usage.is_some();
        self.basic.as_ref().map_or(implied, |basic| basic.ca)
    }

    /// Returns the maximum number of CAs between this one and a leaf.
    pub(in crate::probe) fn path_length(&self) -> Option<u32> {
        self.basic.as_ref()?.path_len_constraint
    }
}

/// The names that certificates below a CA may have (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::probe) struct NameConstraints {
    pub(in crate::probe) permitted: Vec<Name>,
    pub(in crate::probe) excluded: Vec<Name>,
}

impl NameConstraints {
    fn of(constraints: &extensions::NameConstraints<'_>) -> Self {
        let names = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| -> Vec<Name> {
            subtrees.iter().flatten().map(|subtree| Name::of(&subtree.base)).collect()
        };
        Self { permitted: names(&constraints.permitted_subtrees), excluded: names(&constraints.excluded_subtrees) }
    }
}

/// A name in a certificate, or the base of a subtree of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::probe) enum Name {
    /// The bytes of an address; those of a subtree are followed by the mask.
    Address(Vec<u8>),
    /// The parts of a distinguished name, the first part first.
    Directory(Vec<Part>),
    Dns(String),
    Email(String),
    /// A name of another form, which cannot be compared.
    Other,
    Uri(String),
}

impl Name {
    fn of(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::DNSName(text) => Self::Dns((*text).to_owned()),
            GeneralName::DirectoryName(name) => Self::Directory(parts(name)),
            GeneralName::IPAddress(bytes) => Self::Address(bytes.to_vec()),
            GeneralName::RFC822Name(text) => Self::Email((*text).to_owned()),
            GeneralName::URI(text) => Self::Uri((*text).to_owned()),
            GeneralName::EDIPartyName(_)
            | GeneralName::Invalid(..)
            | GeneralName::OtherName(..)
            | GeneralName::RegisteredID(_)
            | GeneralName::X400Address(_) => Self::Other,
        }
    }
}

/// A part of a distinguished name: its attributes as comparable texts, sorted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::probe) struct Part(Vec<String>);

/// Returns all names of a certificate to which name constraints apply, each with its text: the subject, its e-mail
/// addresses, and the alternative names.
pub(in crate::probe) fn constrained_names(der: &[u8]) -> Vec<(Name, String)> {
    let Some(certificate) = parse(der) else { return Vec::new() };
    let signed = &certificate.tbs_certificate;
    let subject = signed.subject();
    let directory = Some(parts(subject)).filter(|parts| !parts.is_empty()).map(Name::Directory);
    let directory = directory.map(|name| (name, distinguished_name(subject)));
    let emails = subject.iter_email().filter_map(|attribute| attribute.as_str().ok());
    let emails = emails.map(|text| (Name::Email(text.to_owned()), text.to_owned()));
    let alternative: Option<SubjectAlternativeName<'_>> = extension(signed, SUBJECT_ALT_NAME);
    let alternative = alternative.map(|names| names.general_names).unwrap_or_default();
    let alternative = alternative.iter().map(|name| (Name::of(name), super::name(name)));
    directory.into_iter().chain(emails).chain(alternative).collect()
}

fn extension<'a, T: FromDer<'a, x509_parser::error::X509Error>>(signed: &TbsCertificate<'a>, id: &[u8]) -> Option<T> {
    let extension = signed.extensions().iter().find(|extension| extension.oid.as_bytes() == id)?;
    T::from_der(extension.value).ok().map(|(_, parsed)| parsed)
}

fn parts(name: &X509Name<'_>) -> Vec<Part> {
    let part = |attributes: Vec<String>| {
        let mut attributes = attributes;
        attributes.sort_unstable();
        Part(attributes)
    };
    name.iter_rdn().map(|rdn| part(rdn.iter().map(comparable).collect())).collect()
}

/// Returns an attribute as a text that is equal for equal attributes: case and repeated spaces do not count (RFC 5280
/// section 7.1).
fn comparable(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    match character_string(value.tag().0, value.data) {
        Some(text) => {
            let words: Vec<_> = text.split_ascii_whitespace().collect();
            format!("{kind}={}", words.join(" ").to_ascii_lowercase())
        }
        None => format!("{kind}:{}:{}", value.tag().0, HEXLOWER.encode(value.data)),
    }
}

const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
