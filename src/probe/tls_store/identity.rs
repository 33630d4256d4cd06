//! Certificates and their keys: those of clients, and the parsers that the HTTP server shares.

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
use super::pem;
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
    let Identity { cert_file, key_file } = files;
    let bytes = |path| contents.bytes(path).map_err(ToString::to_string);
    let chain = bytes(cert_file).and_then(|bytes| chain(bytes, cert_file));
    let key = bytes(key_file).and_then(|bytes| key(bytes, key_file, provider));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let of_chain = chain.err().map(|fault| problem(TlsFile::CertFile, cert_file, &fault));
            let of_key = key.err().map(|fault| problem(TlsFile::KeyFile, key_file, &fault));
            return Err(of_chain.into_iter().chain(of_key).collect());
        }
    };
    let not_after = chain
        .first()
        .and_then(|leaf| certificate::read(leaf).content)
        .map(|content| content.not_after);
    let certified = matching(chain, key).ok_or_else(|| vec![mismatch(files)])?;
    if not_after.is_some_and(|not_after| clock::now().seconds() > not_after) {
        warn!(file = %cert_file.display(), "The client certificate has expired");
    }
    Ok(ClientIdentity { key: Arc::new(certified), not_after })
}

/// Returns the certificate with its key; `None` if the key is that of another certificate.
pub(crate) fn matching(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Option<CertifiedKey> {
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // `Unknown` means that the match cannot be checked, which is not a fault of the files.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(certified),
        Err(_) => None,
    }
}

/// Parses a PEM text of certificates, which `path` names for the user. The error completes "the file ..".
pub(crate) fn chain(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let convert = || pem::conversion(bytes, "x509", path);
    let chain: Vec<CertificateDer<'static>> =
        pem::all(bytes, "certificate", "CERTIFICATE", convert).map_err(|error| error.to_string())?;
    for (index, der) in chain.iter().enumerate() {
        EndEntityCert::try_from(der).map_err(|error| {
            format!("has certificate number {}, which {}", index + 1, pem::certificate_fault(&error, der))
        })?;
    }
    Ok(chain)
}

/// Parses a PEM text with a private key, which `path` names for the user. The error completes "the file ..".
pub(crate) fn key(bytes: &[u8], path: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, String> {
    let convert = || pem::conversion(bytes, "pkey", path);
    if is_encrypted(bytes) {
        let fault = "has an encrypted private key, which is not supported; decrypt it with openssl pkey -in";
        return Err(format!("{fault} {0} -out {0}.plain", path.display()));
    }
    let keys = pem::all::<PrivateKeyDer<'static>>(bytes, "private key", "PRIVATE KEY", convert);
    let first = keys.map_err(|error| error.to_string())?.into_iter().next();
    let loaded = first.map(|key| provider.key_provider.load_private_key(key));
    loaded.and_then(Result::ok).ok_or_else(|| UNUSABLE.to_owned())
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
