//! The contents of TLS files at one moment. Each file is read only once, even if several settings name it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls_native_certs::CertificateResult;

use crate::files::digest::sha256;
use crate::files::{self, SpecialFile};
use crate::target::{Identity, Roots, Sha256Digest, TlsFile, TlsProfile};

/// The contents of the sources of profiles at one moment.
#[derive(Debug, Default)]
pub(super) struct FileContents {
    files: HashMap<PathBuf, Content<Vec<u8>>>,
    system: Option<Content<Vec<CertificateDer<'static>>>>,
}

/// The content of a source, or the reason why it cannot be read.
#[derive(Debug)]
struct Content<T> {
    read: Result<T, ReadError>,
    fingerprint: Fingerprint,
}

/// A digest of the content of a source, or of the reason why it cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fingerprint(Option<Sha256Digest>);

/// The fingerprints of the sources of a profile, by setting. Mozilla's roots have none, because they never change.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Fingerprints(BTreeMap<TlsFile, Fingerprint>);

impl Fingerprints {
    /// Returns the fingerprints of the component of a setting. A client certificate and its key are one component.
    pub(super) fn of_part(&self, setting: TlsFile) -> Self {
        let is_of_part = |other: TlsFile| match setting {
            TlsFile::CertFile | TlsFile::KeyFile => matches!(other, TlsFile::CertFile | TlsFile::KeyFile),
            TlsFile::CaFile | TlsFile::Roots => matches!(other, TlsFile::CaFile | TlsFile::Roots),
            TlsFile::CrlFile(_) => other == setting,
        };
        self.iter().filter(|(other, _)| is_of_part(*other)).collect()
    }

    /// Returns the fingerprint of the source of a setting.
    pub(super) fn get(&self, setting: TlsFile) -> Option<Fingerprint> {
        self.0.get(&setting).copied()
    }

    /// Returns all fingerprints.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TlsFile, Fingerprint)> {
        self.0.iter().map(|(setting, fingerprint)| (*setting, *fingerprint))
    }
}

impl FromIterator<(TlsFile, Fingerprint)> for Fingerprints {
    fn from_iter<I: IntoIterator<Item = (TlsFile, Fingerprint)>>(fingerprints: I) -> Self {
        Self(fingerprints.into_iter().collect())
    }
}

/// A reason why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(io::Error),
    #[error("is a directory, not a file")]
    IsDirectory,
    #[error("is not a regular file")]
    IsSpecial,
    #[error("has no readable certificate{0}; install the package ca-certificates or set SSL_CERT_FILE")]
    NoSystemRoots(String),
    #[error("was not read")]
    NotRead,
    #[error("is larger than the limit of {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

impl From<files::ReadError> for ReadError {
    fn from(error: files::ReadError) -> Self {
        match error {
            files::ReadError::Io(error) => Self::Io(error),
            files::ReadError::Special(SpecialFile::Directory) => Self::IsDirectory,
            files::ReadError::Special(_) => Self::IsSpecial,
            files::ReadError::TooLarge { .. } => Self::TooLarge,
        }
    }
}

impl FileContents {
    /// Reads the sources of a profile that are not read yet, and returns the fingerprints of all.
    pub(super) fn fingerprints(&mut self, profile: &TlsProfile) -> Fingerprints {
        for (_, path) in named_files(profile) {
            if !self.files.contains_key(path) {
                self.files.insert(path.to_owned(), Content::of_file(path));
            }
        }
        if profile.roots == Roots::System && self.system.is_none() {
            self.system = Some(Content::of_system(rustls_native_certs::load_native_certs()));
        }
        self.known_fingerprints(profile)
    }

    /// Returns the fingerprints of the sources of a profile, which must be read already.
    pub(super) fn known_fingerprints(&self, profile: &TlsProfile) -> Fingerprints {
        let files = named_files(profile).map(|(setting, path)| (setting, self.of_file(path)));
        let system = (profile.roots == Roots::System).then(|| (TlsFile::Roots, self.of_roots(&profile.roots)));
        files.chain(system).collect()
    }

    /// Returns the fingerprint of the roots.
    pub(super) fn of_roots(&self, roots: &Roots) -> Fingerprint {
        match roots {
            Roots::File(path) => self.of_file(path),
            Roots::Mozilla => Fingerprint(None),
            Roots::System => Fingerprint(self.system.as_ref().and_then(|content| content.fingerprint.0)),
        }
    }

    /// Returns the fingerprint of a file.
    pub(super) fn of_file(&self, path: &Path) -> Fingerprint {
        Fingerprint(self.files.get(path).and_then(|content| content.fingerprint.0))
    }

    /// Returns the bytes of a file.
    pub(super) fn bytes(&self, path: &Path) -> Result<&[u8], &ReadError> {
        let content = self.files.get(path).ok_or(&ReadError::NotRead)?;
        content.read.as_deref()
    }

    /// Returns the roots of this machine.
    pub(super) fn system(&self) -> Result<&[CertificateDer<'static>], &ReadError> {
        let content = self.system.as_ref().ok_or(&ReadError::NotRead)?;
        content.read.as_deref()
    }
}

/// Returns every file that a profile names, with its setting.
pub(super) fn named_files(profile: &TlsProfile) -> impl Iterator<Item = (TlsFile, &Path)> {
    let roots = if let Roots::File(path) = &profile.roots { Some((TlsFile::CaFile, path)) } else { None };
    let identity = profile
        .identity
        .iter()
        .flat_map(|Identity { cert_file, key_file }| [(TlsFile::CertFile, cert_file), (TlsFile::KeyFile, key_file)]);
    let crls = profile
        .crl_files
        .iter()
        .enumerate()
        .map(|(index, path)| (TlsFile::CrlFile(index), path));
    roots
        .into_iter()
        .chain(identity)
        .chain(crls)
        .map(|(setting, path)| (setting, path.as_path()))
}

impl<T> Content<T> {
    fn new(read: Result<T, ReadError>, digest: impl FnOnce(&T) -> Sha256Digest) -> Self {
        let digest = match &read {
            Ok(content) => digest(content),
            Err(error) => sha256(format!("unreadable: {error}").as_bytes()),
        };
        Self { read, fingerprint: Fingerprint(Some(digest)) }
    }
}

impl Content<Vec<u8>> {
    fn of_file(path: &Path) -> Self {
        Self::new(files::read(path, MAX_BYTES).map_err(ReadError::from), |bytes| sha256(bytes))
    }
}

impl Content<Vec<CertificateDer<'static>>> {
    /// Takes the loaded certificates. Errors count only if there are none, because a bundle may have unreadable ones.
    fn of_system(loaded: CertificateResult) -> Self {
        let CertificateResult { mut certs, errors, .. } = loaded;
        // The order of files in a directory is not stable.
        certs.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        let read = match errors.first() {
            _ if !certs.is_empty() => Ok(certs),
            Some(error) => Err(ReadError::NoSystemRoots(format!(" ({error})"))),
            None => Err(ReadError::NoSystemRoots(String::new())),
        };
        Self::new(read, |certificates| {
            let digests: Vec<u8> = certificates.iter().flat_map(|der| *sha256(der).as_bytes()).collect();
            sha256(&digests)
        })
    }
}

/// Maximum size of a file. The largest public revocation lists have 10 MiB.
const MAX_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(certificates: &[&[u8]]) -> CertificateResult {
        let mut result = CertificateResult::default();
        result.certs = certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        result
    }

    #[test]
    fn the_order_of_roots_does_not_matter() {
        let fingerprint = |certificates: &[&[u8]]| Content::of_system(loaded(certificates)).fingerprint;
        assert_eq!(fingerprint(&[b"a", b"b"]), fingerprint(&[b"b", b"a"]));
        assert_ne!(fingerprint(&[b"a", b"b"]), fingerprint(&[b"a"]));
        assert_ne!(fingerprint(&[b"a", b"b"]), fingerprint(&[b"ab"]));
    }

    #[test]
    fn missing_system_roots_are_an_error() {
        let error = Content::of_system(loaded(&[])).read.unwrap_err();
        let message = "has no readable certificate; install the package ca-certificates or set SSL_CERT_FILE";
        assert_eq!(error.to_string(), message);
    }
}
