//! The parser of certificates, the only file that uses `x509-parser`.
//!
//! It turns any bytes that a peer sends as a certificate into text and numbers, and verifies nothing. No input is an
//! error: a certificate that cannot be parsed has no content.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use x509_parser::certificate::{TbsCertificate, X509Certificate, X509CertificateParser};
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

pub(super) use self::masked::{MaskedCopy, masked, may_need_mask};
pub(super) use self::restrictions::{Name, NameConstraints, Restrictions, constrained_names};
use self::text::{bounded, character_string, escaped};
use crate::files::digest::sha256;
use crate::outcome::{Certificate, CertificateContent};

mod masked;
mod restrictions;
mod text;

/// Parses the DER encoding of a certificate.
pub(crate) fn read(der: &[u8]) -> Certificate {
    let parsed = parse(der);
    Certificate { fingerprint: sha256(der), content: parsed.as_ref().map(content) }
}

/// Parses the DER encoding of a certificate once for its content and its restrictions; it has no restrictions if it cannot
/// be parsed.
pub(super) fn read_with_restrictions(der: &[u8]) -> (Certificate, Restrictions) {
    let parsed = parse(der);
    let restrictions = parsed
        .as_ref()
        .map(|certificate| Restrictions::of(&certificate.tbs_certificate));
    let certificate = Certificate { fingerprint: sha256(der), content: parsed.as_ref().map(content) };
    (certificate, restrictions.unwrap_or_default())
}

/// Returns the time of the next update of a revocation list, in seconds since 1970; `None` if it has none or cannot be
/// parsed.
pub(super) fn next_update(der: &[u8]) -> Option<i64> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    list.next_update().map(|time| time.timestamp())
}

/// Returns the public key of a certificate (`SubjectPublicKeyInfo`, DER); `None` if it cannot be parsed.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    parse(der).map(|certificate| certificate.public_key().raw.to_vec())
}

/// Parses a certificate without its extensions, so that an invalid extension does not make the rest unreadable.
fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (_, certificate) = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der).ok()?;
    Some(certificate)
}

fn content(certificate: &X509Certificate<'_>) -> CertificateContent {
    let signed = &certificate.tbs_certificate;
    let (names, name_count) = names(signed);
    CertificateContent {
        subject: distinguished_name(signed.subject()),
        issuer: distinguished_name(signed.issuer()),
        serial: serial(signed.raw_serial()),
        not_before: signed.validity().not_before.timestamp(),
        not_after: signed.validity().not_after.timestamp(),
        key: key(signed.public_key()),
        signature: signature(&certificate.signature_algorithm.algorithm.to_id_string()),
        names,
        name_count,
        public_key: sha256(signed.public_key().raw),
        is_self_issued: signed.subject().as_raw() == signed.issuer().as_raw(),
    }
}

/// Returns the names in the certificate as text, at most [`MAX_NAMES`] and [`MAX_NAMES_BYTES`], and their total number.
fn names(signed: &TbsCertificate<'_>) -> (Vec<String>, usize) {
    let extension = signed
        .extensions()
        .iter()
        .find(|extension| extension.oid.as_bytes() == SUBJECT_ALT_NAME);
    let parsed = extension.and_then(|extension| SubjectAlternativeName::from_der(extension.value).ok());
    let Some((_, SubjectAlternativeName { general_names })) = parsed else { return (Vec::new(), 0) };
    let mut room = MAX_NAMES_BYTES;
    let fitting = general_names.iter().take(MAX_NAMES).map(name).map_while(|name| {
        room = room.checked_sub(name.len())?;
        Some(name)
    });
    let mut names: Vec<_> = fitting.collect();
    names.shrink_to_fit();
    (names, general_names.len())
}

fn name(name: &GeneralName<'_>) -> String {
    let text = match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => (*text).to_owned(),
        GeneralName::IPAddress(bytes) => address(bytes),
        GeneralName::DirectoryName(name) => distinguished_name(name),
        GeneralName::RegisteredID(oid) => oid.to_id_string(),
        GeneralName::OtherName(oid, _) => format!("{} of another kind", oid.to_id_string()),
        // Not UTF-8.
        GeneralName::Invalid(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
        GeneralName::X400Address(_) => "an X.400 address".to_owned(),
        GeneralName::EDIPartyName(_) => "an EDI party".to_owned(),
    };
    bounded(text)
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.map_or_else(|_| bounded(HEXLOWER.encode(bytes)), |address| address.to_string())
}

/// Formats a name as in RFC 4514, last part first.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes: Vec<String> = part.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    bounded(parts.into_iter().rev().collect::<Vec<_>>().join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let kind = short_name(&oid).unwrap_or(&oid);
    let value = attribute.attr_value();
    match character_string(value.tag().0, value.data) {
        Some(text) => format!("{kind}={}", escaped(&text)),
        None => format!("{kind}=#{}", HEXLOWER.encode(value.data)),
    }
}

/// Returns lower-case hex without leading zeros, as `openssl x509 -serial` prints it except for the case.
fn serial(bytes: &[u8]) -> String {
    let text = HEXLOWER.encode(bytes);
    match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => bounded(digits.to_owned()),
    }
}

/// Returns the type of a key with its size or curve.
fn key(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => match rsa_bits(key) {
            Some(bits) => format!("RSA {bits}"),
            None => "RSA".to_owned(),
        },
        "1.2.840.10045.2.1" => {
            let curve = key
                .algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok());
            let curve = curve.map(|oid| oid.to_id_string()).unwrap_or_default();
            bounded(format!("ECDSA {}", curve_name(&curve).unwrap_or(&curve)).trim_end().to_owned())
        }
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        oid => bounded(ml_dsa(oid).unwrap_or(oid).to_owned()),
    }
}

/// Returns the length of an RSA modulus.
fn rsa_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    // The structure is the same for both OIDs of the algorithm, but the parser knows only the first.
    let PublicKey::RSA(rsa) = key.parsed().ok()? else { return None };
    let zeros = rsa.modulus.iter().take_while(|byte| **byte == 0).count();
    let first = rsa.modulus.get(zeros)?;
    Some((rsa.modulus.len() - zeros) * 8 - usize::try_from(first.leading_zeros()).ok()?)
}

/// Returns the usual name of a signature algorithm; its OID if there is none.
fn signature(oid: &str) -> String {
    let known = match oid {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14" => "sha224WithRSAEncryption",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.10040.4.3" => "dsa-with-SHA1",
        "2.16.840.1.101.3.4.3.2" => "dsa-with-SHA256",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        oid => ml_dsa(oid).unwrap_or(oid),
    };
    bounded(known.to_owned())
}

fn ml_dsa(oid: &str) -> Option<&'static str> {
    match oid {
        "2.16.840.1.101.3.4.3.17" => Some("ML-DSA-44"),
        "2.16.840.1.101.3.4.3.18" => Some("ML-DSA-65"),
        "2.16.840.1.101.3.4.3.19" => Some("ML-DSA-87"),
        _ => None,
    }
}

fn curve_name(oid: &str) -> Option<&'static str> {
    match oid {
        "1.2.840.10045.3.1.7" => Some("P-256"),
        "1.3.132.0.33" => Some("P-224"),
        "1.3.132.0.34" => Some("P-384"),
        "1.3.132.0.35" => Some("P-521"),
        "1.3.132.0.10" => Some("secp256k1"),
        "1.3.36.3.3.2.8.1.1.7" => Some("brainpoolP256r1"),
        "1.3.36.3.3.2.8.1.1.11" => Some("brainpoolP384r1"),
        "1.3.36.3.3.2.8.1.1.13" => Some("brainpoolP512r1"),
        _ => None,
    }
}

/// Returns the short name of an attribute (RFC 4514 section 3, and others that OpenSSL prints).
fn short_name(oid: &str) -> Option<&'static str> {
    match oid {
        "2.5.4.3" => Some("CN"),
        "2.5.4.4" => Some("SN"),
        "2.5.4.5" => Some("serialNumber"),
        "2.5.4.6" => Some("C"),
        "2.5.4.7" => Some("L"),
        "2.5.4.8" => Some("ST"),
        "2.5.4.9" => Some("STREET"),
        "2.5.4.10" => Some("O"),
        "2.5.4.11" => Some("OU"),
        "2.5.4.12" => Some("title"),
        "2.5.4.15" => Some("businessCategory"),
        "2.5.4.17" => Some("postalCode"),
        "2.5.4.42" => Some("GN"),
        "2.5.4.46" => Some("dnQualifier"),
        "2.5.4.97" => Some("organizationIdentifier"),
        "0.9.2342.19200300.100.1.1" => Some("UID"),
        "0.9.2342.19200300.100.1.25" => Some("DC"),
        "1.2.840.113549.1.9.1" => Some("emailAddress"),
        _ => None,
    }
}

/// Maximum total length of names, enough for a few hundred.
const MAX_NAMES_BYTES: usize = 8 * 1024;

/// Maximum number of names. A certificate can contain 30,000 empty ones.
const MAX_NAMES: usize = 512;

/// The extension with the names (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];

#[cfg(test)]
mod tests;
