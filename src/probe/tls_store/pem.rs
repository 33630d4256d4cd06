//! PEM, the text encoding of DER (RFC 7468), and common mistakes in such files.

use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject};

/// A reason why a file does not have the expected content. The text completes "the file ..".
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PemError {
    #[error("has damaged PEM in {kind} number {number}: {fault}")]
    Damaged { kind: &'static str, number: usize, fault: String },
    #[error("has no {kind}: expected PEM that begins with -----BEGIN {label}-----{hint}")]
    Nothing { kind: &'static str, label: &'static str, hint: String },
}

/// Parses all items of one kind in a PEM file, at least one.
///
/// `kind` is the name in messages, `label` the one in PEM, and `hint` the advice if the file is DER.
pub(super) fn all<T: PemObject>(
    bytes: &[u8],
    kind: &'static str,
    label: &'static str,
    hint: impl FnOnce() -> String,
) -> Result<Vec<T>, PemError> {
    // A byte order mark, as written by editors on Windows, would hide the first BEGIN.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut all = Vec::new();
    for item in T::pem_slice_iter(bytes) {
        let number = all.len() + 1;
        all.push(item.map_err(|error| PemError::Damaged { kind, number, fault: fault(error) })?);
    }
    if all.is_empty() {
        let hint = if is_der(bytes) { hint() } else { found(bytes) };
        return Err(PemError::Nothing { kind, label, hint });
    }
    Ok(all)
}

/// Returns whether a file looks like DER, which starts with a SEQUENCE.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

/// Returns the advice to convert a file to PEM, as the end of an error. `command` is the openssl command that reads
/// DER.
pub(super) fn conversion(bytes: &[u8], command: &str, path: &Path) -> String {
    let path = path.display();
    if is_pkcs12(bytes) {
        return format!("; it looks like PKCS#12; convert it with openssl pkcs12 -nodes -in {path} -out {path}.pem");
    }
    format!("; it looks like DER; convert it with openssl {command} -inform der -in {path} -out {path}.pem")
}

/// Returns whether DER looks like PKCS#12, a SEQUENCE whose first element is the version 3 (RFC 7292 section 4).
fn is_pkcs12(bytes: &[u8]) -> bool {
    let long_form = bytes
        .get(1)
        .filter(|length| **length >= 0x80)
        .map_or(0, |length| usize::from(length & 0x7f));
    bytes
        .get(2 + long_form..)
        .is_some_and(|content| content.starts_with(&[0x02, 0x01, 0x03]))
}

/// Explains why webpki rejects a certificate. The text completes "which ..".
pub(super) fn certificate_fault(error: &webpki::Error, der: &[u8]) -> String {
    match error {
        webpki::Error::BadDer | webpki::Error::TrailingData(_) if der.len() > MAX_CERTIFICATE => {
            "is larger than 64 KiB, the maximum".to_owned()
        }
        error => der_fault(error),
    }
}

/// Explains why webpki rejects DER. The text completes "which ..".
pub(super) fn der_fault(error: &webpki::Error) -> String {
    match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => "is damaged".to_owned(),
        webpki::Error::UnsupportedCertVersion => "is not of version 3".to_owned(),
        webpki::Error::UnsupportedCrlVersion => "is of version 1; only version 2 is supported".to_owned(),
        webpki::Error::UnsupportedDeltaCrl => "is a delta list; only complete lists are supported".to_owned(),
        webpki::Error::UnsupportedIndirectCrl => "is an indirect list, which is not supported".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}

/// Describes a file without the expected label: the first label in it, or that it is empty.
fn found(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut labels = text.lines().filter_map(|line| {
        let label = line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        Some((label, line.starts_with([' ', '\t'])))
    });
    match labels.next() {
        Some((_, true)) => ", found it after spaces; remove the spaces at the start of lines".to_owned(),
        Some((label, false)) => {
            format!(", found {}", label.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect::<String>())
        }
        None if bytes.is_empty() => "; it is empty".to_owned(),
        None => String::new(),
    }
}

fn fault(error: Error) -> String {
    match error {
        Error::Base64Decode(_) => "the text between BEGIN and END is not base64".to_owned(),
        Error::IllegalSectionStart { .. } => "the BEGIN line does not end in -----".to_owned(),
        Error::MissingSectionEnd { .. } => "the END line is missing".to_owned(),
        other => other.to_string(),
    }
}

/// Maximum size of a certificate that webpki reads: 65,535 bytes and their header.
const MAX_CERTIFICATE: usize = 0xffff + 4;

const MAX_LABEL: usize = 40;
