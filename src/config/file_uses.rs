//! The files that a configuration names: each is needed once, and an error is reported at every key that names it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::problems::Problems;
use crate::config::problems::path::KeyPath;
use crate::target::{FileProblem, HeaderFile, TlsFile, TlsProfile};

/// Something that must be read from files.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Required {
    /// The value of a header.
    Header(Arc<HeaderFile>),
    /// All files of a TLS profile.
    Tls(Arc<TlsProfile>),
}

/// Reason why a [`Required`] cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unreadable {
    /// The error of a header's file; it names the file.
    Header(Arc<HeaderFile>, String),
    /// Every file of a profile that cannot be used.
    Tls(Arc<TlsProfile>, Vec<FileProblem>),
}

impl Unreadable {
    /// The first error.
    pub fn into_message(self) -> String {
        match self {
            Self::Header(_, message) => message,
            Self::Tls(_, problems) => {
                let first = problems.into_iter().next().map(|problem| problem.message);
                first.unwrap_or_else(|| "a file that TLS needs cannot be used".to_owned())
            }
        }
    }
}

/// The files so far. Equal TLS profiles, and equal paths of header files, are shared.
#[derive(Debug)]
pub(super) struct FileUses {
    folder: Arc<Path>,
    /// In the order of the targets.
    profiles: Vec<Arc<TlsProfile>>,
    uses: HashMap<Arc<TlsProfile>, HashSet<FileUse>>,
    headers: BTreeMap<PathBuf, (Arc<HeaderFile>, HashSet<KeyPath>)>,
}

/// A key that names a file of a TLS profile.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FileUse {
    pub(super) setting: TlsFile,
    pub(super) at: KeyPath,
}

impl FileUses {
    /// No files yet. Paths in the configuration are relative to `folder`.
    pub(super) fn new(folder: Arc<Path>) -> Self {
        Self { folder, profiles: Vec::new(), uses: HashMap::new(), headers: BTreeMap::new() }
    }

    /// The folder that paths in the configuration are relative to.
    pub(super) fn folder(&self) -> Arc<Path> {
        self.folder.clone()
    }

    /// The shared profile that is equal to this one; `uses` are the keys that name its files.
    pub(super) fn share_profile(&mut self, profile: TlsProfile, uses: Vec<FileUse>) -> Arc<TlsProfile> {
        if let Some((shared, _)) = self.uses.get_key_value(&profile) {
            let shared = Arc::clone(shared);
            self.uses.entry(shared.clone()).or_default().extend(uses);
            return shared;
        }
        let shared = Arc::new(profile);
        self.profiles.push(shared.clone());
        self.uses.insert(shared.clone(), uses.into_iter().collect());
        shared
    }

    /// The shared header file at this path, which the key at `at` names.
    pub(super) fn share_header(&mut self, path: PathBuf, at: KeyPath) -> Arc<HeaderFile> {
        let new = (Arc::new(HeaderFile::new(path.clone())), HashSet::new());
        let (file, uses) = self.headers.entry(path).or_insert(new);
        uses.insert(at);
        file.clone()
    }

    /// Everything that must be read, each once.
    pub(super) fn required(&self) -> impl Iterator<Item = Required> {
        let headers = self.headers.values().map(|(file, _)| Required::Header(file.clone()));
        headers.chain(self.profiles.iter().cloned().map(Required::Tls))
    }

    /// Reports an error at each key that names the file.
    pub(super) fn refuse(&self, unreadable: &Unreadable, problems: &Problems) {
        match unreadable {
            Unreadable::Header(file, message) => {
                let uses = self.headers.get(file.path()).into_iter().flat_map(|(_, uses)| uses);
                uses.for_each(|at| problems.refuse(at.clone(), message));
            }
            Unreadable::Tls(profile, errors) => {
                for FileProblem { setting, message } in errors {
                    let uses = self.uses.get(profile).into_iter().flatten();
                    uses.filter(|file| file.setting == *setting)
                        .for_each(|file| problems.refuse(file.at.clone(), message));
                }
            }
        }
    }
}
