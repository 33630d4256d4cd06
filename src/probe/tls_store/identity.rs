//! Client certificates and their keys.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use tracing::warn;
use webpki::EndEntityCert;

use super::ClientIdentity;
use super::contents::FileContents;
use super::pem::{self, PemError};
use super::problem;
use crate::clock;
use crate::probe::certificate;
use crate::target::{FileProblem, Identity, TlsFile};

/// Parses a certificate and its key. The error lists the problems of both files.
pub(super) fn read(
    files: &Identity,
    contents: &FileContents,
    provider: &CryptoProvider,
) -> Result<ClientIdentity, Vec<FileProblem>> {
    let chain = chain(&files.cert_file, contents);
    let key = key(&files.key_file, contents, provider);
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    let not_after = chain
        .first()
        .and_then(|leaf| certificate::read(leaf).content)
        .map(|content| content.not_after);
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // `Unknown` means that the match cannot be checked, which is not a fault of the files.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => return Err(vec![mismatch(files)]),
    }
    if not_after.is_some_and(|not_after| clock::now().seconds() > not_after) {
        warn!(file = %files.cert_file.display(), "The client certificate has expired");
    }
    Ok(ClientIdentity { key: Arc::new(certified), not_after })
}

fn chain(path: &Path, contents: &FileContents) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| problem(TlsFile::CertFile, path, fault);
    let bytes = contents.bytes(path).map_err(|error| refuse(error))?;
    let convert = || pem::conversion(bytes, "x509", path);
    let chain: Vec<CertificateDer<'static>> =
        pem::all(bytes, "certificate", "CERTIFICATE", convert).map_err(|error| refuse(&error))?;
    for (index, der) in chain.iter().enumerate() {
        EndEntityCert::try_from(der).map_err(|error| {
            refuse(&format_args!("has certificate number {}, which {}", index + 1, pem::der_fault(&error)))
        })?;
    }
    Ok(chain)
}

fn key(path: &Path, contents: &FileContents, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| problem(TlsFile::KeyFile, path, fault);
    let bytes = contents.bytes(path).map_err(|error| refuse(error))?;
    let convert = || pem::conversion(bytes, "pkey", path);
    if is_encrypted(bytes) {
        let fault = "has an encrypted private key, which is not supported; decrypt it with openssl pkey -in";
        return Err(refuse(&format_args!("{fault} {0} -out {0}.plain", path.display())));
    }
    let keys = pem::all::<PrivateKeyDer<'static>>(bytes, "private key", "PRIVATE KEY", convert);
    let first = keys.map(|keys| keys.into_iter().next()).map_err(|error| match error {
        PemError::Nothing { .. } | PemError::Damaged { .. } => refuse(&error),
    })?;
    let loaded = first.map(|key| provider.key_provider.load_private_key(key));
    loaded.and_then(Result::ok).ok_or_else(|| refuse(&UNUSABLE))
}

/// Returns whether the key is encrypted, by PKCS#8 (RFC 7468 section 11) or by PEM (RFC 1421 section 4.6.1.1).
fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .map(str::trim)
        .any(|line| line == ENCRYPTED || line.replace(' ', "") == "Proc-Type:4,ENCRYPTED")
}

fn mismatch(files: &Identity) -> FileProblem {
    let fault = format!("has a key that does not match the certificate in {}", files.cert_file.display());
    problem(TlsFile::KeyFile, &files.key_file, &fault)
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const UNUSABLE: &str = "has a private key that cannot be used; supported are RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519";
