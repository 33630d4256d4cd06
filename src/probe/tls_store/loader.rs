//! The parts of a context, each with what its files held: a bad file keeps back its own part alone, and a part whose
//! files have not changed is not made again.

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

/// Everything of a context that files have a part in.
#[derive(Clone, Debug)]
pub(super) struct Components {
    pub(super) roots: Component<Arc<Anchors>>,
    pub(super) identity: Option<Component<Arc<ClientIdentity>>>,
    /// The lists of each file.
    pub(super) crls: Vec<Component<Arc<[CertRevocationList<'static>]>>>,
}

impl Components {
    /// What their files held.
    pub(super) fn made_of(&self) -> Fingerprints {
        let identity = self.identity.iter().flat_map(|part| part.made_of.iter());
        let crls = self.crls.iter().flat_map(|part| part.made_of.iter());
        self.roots.made_of.iter().chain(identity).chain(crls).collect()
    }
}

/// What was made of files, and what they held.
#[derive(Clone, Debug)]
pub(super) struct Component<T> {
    pub(super) content: T,
    made_of: Fingerprints,
}

/// Makes parts; those that profiles have in common are in memory once.
#[derive(Debug)]
pub(super) struct Loader {
    provider: Arc<CryptoProvider>,
    roots: Shared<Roots, Arc<Anchors>>,
    identities: Shared<Identity, Arc<ClientIdentity>>,
    crls: Shared<PathBuf, Arc<[CertRevocationList<'static>]>>,
}

impl Loader {
    /// Nothing made yet.
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, roots: Shared::default(), identities: Shared::default(), crls: Shared::default() }
    }

    /// Forgets what was made for any other profile.
    pub(super) fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        self.roots.retain(&profiles.iter().map(|profile| &profile.roots).collect());
        self.identities.retain(&profiles.iter().filter_map(|profile| profile.identity.as_ref()).collect());
        self.crls.retain(&profiles.iter().flat_map(|profile| &profile.crl_files).collect());
    }

    /// Makes the parts of a profile whose files have changed since those `before` were made. One that cannot be made
    /// stays as it was; where there was nothing before, there are no parts.
    pub(super) fn make(
        &self,
        profile: &TlsProfile,
        snapshot: &FileContents,
        before: Option<&Components>,
    ) -> (Option<Components>, Vec<FileProblem>) {
        let (mut problems, found) = (Vec::new(), snapshot.known_fingerprints(profile));
        let roots = renewed(
            before.map(|parts| &parts.roots),
            found.of_part(TlsFile::Roots),
            || self.roots(&profile.roots, snapshot),
            &mut problems,
        );
        let identity = profile.identity.as_ref().map(|files| {
            let before = before.and_then(|parts| parts.identity.as_ref());
            renewed(before, found.of_part(TlsFile::CertFile), || self.identity(files, snapshot), &mut problems)
        });
        let before = before.map(|parts| &*parts.crls).unwrap_or_default();
        let crls = self.all_crls(profile, snapshot, &found, before, &mut problems);
        let parts =
            || -> Result<_, Missing> { Ok(Components { roots: roots?, identity: identity.transpose()?, crls: crls? }) };
        (parts().ok(), problems)
    }

    /// The lists of every file; each is tried, so that all problems are told.
    fn all_crls(
        &self,
        profile: &TlsProfile,
        snapshot: &FileContents,
        found: &Fingerprints,
        before: &[Component<Arc<[CertRevocationList<'static>]>>],
        problems: &mut Vec<FileProblem>,
    ) -> Result<Vec<Component<Arc<[CertRevocationList<'static>]>>>, Missing> {
        let mut all = Vec::with_capacity(profile.crl_files.len());
        for (index, path) in profile.crl_files.iter().enumerate() {
            let found = found.of_part(TlsFile::CrlFile(index));
            all.push(renewed(before.get(index), found, || self.crls(index, path, snapshot), problems));
        }
        all.into_iter().collect()
    }

    fn roots(&self, roots: &Roots, snapshot: &FileContents) -> Result<Arc<Anchors>, Vec<FileProblem>> {
        let read = || roots::read(roots, snapshot).map(Arc::new);
        self.roots.of(roots, vec![snapshot.of_roots(roots)], read).map_err(|problem| vec![problem])
    }

    fn identity(&self, files: &Identity, snapshot: &FileContents) -> Result<Arc<ClientIdentity>, Vec<FileProblem>> {
        let found = vec![snapshot.of_file(&files.cert_file), snapshot.of_file(&files.key_file)];
        let read = || identity::read(files, snapshot, &self.provider).map(Arc::new);
        self.identities.of(files, found, read)
    }

    fn crls(
        &self,
        index: usize,
        path: &Path,
        snapshot: &FileContents,
    ) -> Result<Arc<[CertRevocationList<'static>]>, Vec<FileProblem>> {
        let read = || crl::read(path, snapshot).map(Arc::from);
        let problem = |message| vec![FileProblem { setting: TlsFile::CrlFile(index), message }];
        self.crls.of(&path.to_owned(), vec![snapshot.of_file(path)], read).map_err(problem)
    }
}

/// The part as its files are now; as it was before where they have not changed, or can no longer be used.
fn renewed<T: Clone>(
    before: Option<&Component<T>>,
    found: Fingerprints,
    make: impl FnOnce() -> Result<T, Vec<FileProblem>>,
    problems: &mut Vec<FileProblem>,
) -> Result<Component<T>, Missing> {
    if let Some(part) = before.filter(|part| part.made_of == found) {
        return Ok(part.clone());
    }
    match make() {
        Ok(content) => Ok(Component { content, made_of: found }),
        Err(found) => {
            problems.extend(found);
            before.cloned().ok_or(Missing)
        }
    }
}

/// A part cannot be made, and there was none before.
#[derive(Debug)]
struct Missing;

/// What was made of sources that several profiles name, made anew only where their content has changed.
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
