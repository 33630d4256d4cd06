//! Builds the components of a context. An unusable file affects only its component, and a component is rebuilt only if
//! its files have changed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use webpki::CertRevocationList;

use super::contents::{FileContents, Fingerprint, Fingerprints};
use super::{Anchors, ClientIdentity, crl, identity, roots};
use crate::locks::lock;
use crate::target::{FileProblem, Identity, Roots, TlsFile, TlsProfile};

/// The components of a context that come from files.
#[derive(Clone, Debug)]
pub(super) struct Components {
    pub(super) roots: Component<Arc<Anchors>>,
    pub(super) identity: Option<Component<Arc<ClientIdentity>>>,
    /// The lists of each file.
    pub(super) crls: Vec<Component<Arc<[CertRevocationList<'static>]>>>,
}

impl Components {
    /// Returns the fingerprints of the files from which the components were built.
    pub(super) fn made_of(&self) -> Fingerprints {
        let identity = self.identity.iter().flat_map(|component| component.made_of.iter());
        let crls = self.crls.iter().flat_map(|component| component.made_of.iter());
        self.roots.made_of.iter().chain(identity).chain(crls).collect()
    }
}

/// A component with the fingerprints of the files from which it was built.
#[derive(Clone, Debug)]
pub(super) struct Component<T> {
    pub(super) content: T,
    made_of: Fingerprints,
}

/// The builder of components. Profiles with the same files share them.
#[derive(Debug)]
pub(super) struct Loader {
    provider: Arc<CryptoProvider>,
    roots: Shared<Roots, Arc<Anchors>>,
    identities: Shared<Identity, Arc<ClientIdentity>>,
    crls: Shared<PathBuf, Arc<[CertRevocationList<'static>]>>,
}

impl Loader {
    /// Creates a builder without components.
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, roots: Shared::default(), identities: Shared::default(), crls: Shared::default() }
    }

    /// Drops the components of all other profiles.
    pub(super) fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        self.roots.retain(&profiles.iter().map(|profile| &profile.roots).collect());
        self.identities
            .retain(&profiles.iter().filter_map(|profile| profile.identity.as_ref()).collect());
        self.crls
            .retain(&profiles.iter().flat_map(|profile| &profile.crl_files).collect());
    }

    /// Builds the components of a profile whose files have changed since `before`. A component that cannot be built
    /// keeps its previous content; without one, there are no components.
    pub(super) fn make(
        &self,
        profile: &TlsProfile,
        contents: &FileContents,
        before: Option<&Components>,
    ) -> (Option<Components>, Vec<FileProblem>) {
        let (mut problems, found) = (Vec::new(), contents.known_fingerprints(profile));
        let roots = renewed(
            before.map(|components| &components.roots),
            found.of_part(TlsFile::Roots),
            || self.roots(&profile.roots, contents),
            &mut problems,
        );
        let identity = profile.identity.as_ref().map(|files| {
            let before = before.and_then(|components| components.identity.as_ref());
            renewed(before, found.of_part(TlsFile::CertFile), || self.identity(files, contents), &mut problems)
        });
        let before = before.map(|components| &*components.crls).unwrap_or_default();
        let crls = self.all_crls(profile, contents, &found, before, &mut problems);
        let components =
            || -> Result<_, Missing> { Ok(Components { roots: roots?, identity: identity.transpose()?, crls: crls? }) };
        (components().ok(), problems)
    }

    /// Builds the lists of every file. All files are tried, so that all problems are reported.
    fn all_crls(
        &self,
        profile: &TlsProfile,
        contents: &FileContents,
        found: &Fingerprints,
        before: &[Component<Arc<[CertRevocationList<'static>]>>],
        problems: &mut Vec<FileProblem>,
    ) -> Result<Vec<Component<Arc<[CertRevocationList<'static>]>>>, Missing> {
        let mut all = Vec::with_capacity(profile.crl_files.len());
        for (index, path) in profile.crl_files.iter().enumerate() {
            let found = found.of_part(TlsFile::CrlFile(index));
            all.push(renewed(before.get(index), found, || self.crls(index, path, contents), problems));
        }
        all.into_iter().collect()
    }

    fn roots(&self, roots: &Roots, contents: &FileContents) -> Result<Arc<Anchors>, Vec<FileProblem>> {
        let read = || roots::read(roots, contents).map(Arc::new);
        self.roots
            .of(roots, vec![contents.of_roots(roots)], read)
            .map_err(|problem| vec![problem])
    }

    fn identity(&self, files: &Identity, contents: &FileContents) -> Result<Arc<ClientIdentity>, Vec<FileProblem>> {
        let found = vec![contents.of_file(&files.cert_file), contents.of_file(&files.key_file)];
        let read = || identity::read(files, contents, &self.provider).map(Arc::new);
        self.identities.of(files, found, read)
    }

    fn crls(
        &self,
        index: usize,
        path: &Path,
        contents: &FileContents,
    ) -> Result<Arc<[CertRevocationList<'static>]>, Vec<FileProblem>> {
        let read = || crl::read(TlsFile::CrlFile(index), path, contents).map(Arc::from);
        self.crls
            .of(&path.to_owned(), vec![contents.of_file(path)], read)
            .map_err(|problem| vec![problem])
    }
}

/// Returns the component of the current files; the previous one if they have not changed or cannot be used.
fn renewed<T: Clone>(
    before: Option<&Component<T>>,
    found: Fingerprints,
    make: impl FnOnce() -> Result<T, Vec<FileProblem>>,
    problems: &mut Vec<FileProblem>,
) -> Result<Component<T>, Missing> {
    if let Some(component) = before.filter(|component| component.made_of == found) {
        return Ok(component.clone());
    }
    match make() {
        Ok(content) => Ok(Component { content, made_of: found }),
        Err(found) => {
            problems.extend(found);
            before.cloned().ok_or(Missing)
        }
    }
}

/// The error if a component cannot be built and there is no previous one.
#[derive(Debug)]
struct Missing;

/// Components by source, shared by profiles and rebuilt only if the content of the source has changed.
#[derive(Debug)]
struct Shared<K, T>(Mutex<HashMap<K, (Vec<Fingerprint>, T)>>);

impl<K: Clone + Eq + Hash, T: Clone> Shared<K, T> {
    fn of<E>(&self, source: &K, found: Vec<Fingerprint>, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut known = lock(&self.0);
        if let Some((_, content)) = known.get(source).filter(|(made_of, _)| *made_of == found) {
            return Ok(content.clone());
        }
        let content = make()?;
        known.insert(source.clone(), (found, content.clone()));
        Ok(content)
    }

    fn retain(&self, sources: &HashSet<&K>) {
        lock(&self.0).retain(|source, _| sources.contains(source));
    }
}

impl<K, T> Default for Shared<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
