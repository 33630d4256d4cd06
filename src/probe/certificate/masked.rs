//! Copies of certificates without what webpki rejects, although clients accept or this project judges it.

use std::ops::Range;

use x509_parser::certificate::TbsCertificate;
use x509_parser::extensions::{NameConstraints, X509Extension};
use x509_parser::prelude::FromDer as _;

use super::parse;
use super::restrictions::NAME_CONSTRAINTS;

/// A copy of a certificate that differs in a few bytes, or not at all. Its length is that of the original.
pub(in crate::probe) struct MaskedCopy {
    pub(in crate::probe) der: Vec<u8>,
    /// The place of the signed part.
    pub(in crate::probe) signed: Range<usize>,
}

/// Returns a copy for webpki; `None` if the certificate cannot be parsed.
///
/// - A date before 1970 becomes the first second of 1970.
/// - Name constraints become an unknown extension, which webpki ignores. It judges only some of them and rejects the
///   others.
/// - Extensions about policies are no longer critical. Clients ignore them unless they are configured to require a
///   policy.
pub(in crate::probe) fn masked(der: &[u8]) -> Option<MaskedCopy> {
    let certificate = parse(der)?;
    let signed = &certificate.tbs_certificate;
    let mut copy = der.to_vec();
    if let Some(validity) = end(der, signed.issuer().as_raw()) {
        mask_dates(&mut copy, validity, signed);
    }
    for extension in signed.extensions() {
        mask_extension(&mut copy, der, extension);
    }
    let signed = signed.as_ref();
    let end = end(der, signed)?;
    Some(MaskedCopy { der: copy, signed: end - signed.len()..end })
}

/// Whether a copy for webpki may differ from the certificate. This searches for the bytes that would change, which is much
/// cheaper than parsing.
pub(in crate::probe) fn may_need_mask(der: &[u8]) -> bool {
    der.array_windows().any(|bytes| {
        matches!(
            bytes,
            [0x55, 0x1d, 30, _]
                | [0x55, 0x1d, 32 | 33 | 36 | 54, BOOLEAN]
                | [UTC_TIME, 13, b'5' | b'6', _]
                | [GENERALIZED_TIME, 15, b'0' | b'1', _]
        )
    })
}

/// Replaces the dates before 1970 in the validity that starts at this place.
fn mask_dates(copy: &mut [u8], validity: usize, signed: &TbsCertificate<'_>) -> Option<()> {
    let mut place = validity + HEADER;
    for time in [signed.validity().not_before, signed.validity().not_after] {
        let [tag, length] = *copy.get(place..)?.first_chunk()?;
        place += HEADER;
        let digits = copy.get_mut(place..place + usize::from(length))?;
        place += digits.len();
        let epoch: &[u8] = if tag == UTC_TIME { b"700101000000Z" } else { b"19700101000000Z" };
        if time.timestamp() < 0 && digits.len() == epoch.len() {
            digits.copy_from_slice(epoch);
        }
    }
    Some(())
}

fn mask_extension(copy: &mut [u8], der: &[u8], extension: &X509Extension<'_>) -> Option<()> {
    let id = extension.oid.as_bytes();
    let end = end(der, id)?;
    match id {
        // webpki rejects those that cannot be parsed.
        NAME_CONSTRAINTS if NameConstraints::from_der(extension.value).is_ok_and(|(rest, _)| rest.is_empty()) => {
            *copy.get_mut(end - 1)? = UNKNOWN;
        }
        POLICIES | POLICY_MAPPINGS | POLICY_CONSTRAINTS | ANY_POLICY => {}
        _ => return None,
    }
    if extension.critical {
        *copy.get_mut(end + HEADER)? = 0;
    }
    Some(())
}

/// Returns the place after a part of a certificate.
fn end(der: &[u8], part: &[u8]) -> Option<usize> {
    Some(der.element_offset(part.first()?)? + part.len())
}

/// Length of the tag and length of a short value.
const HEADER: usize = 2;

/// The tag of a critical extension after its identifier.
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last byte of an identifier in the same arc as the extensions below that no extension has.
const UNKNOWN: u8 = 0x7f;

const POLICIES: &[u8] = &[0x55, 0x1d, 32];
const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
