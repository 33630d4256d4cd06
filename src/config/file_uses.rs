//! What targets have in common of TLS and of secret headers, and the keys that name the files: so that each is read once,
//! and what is wrong with a file is told where it is named.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::problems::Problems;
use crate::config::problems::path::KeyPath;
use crate::target::{FileProblem, HeaderFile, TlsFile, TlsProfile};

/// What a configuration needs of files.
#[derive(Clone, Copy, Debug)]
pub enum Needed<'a> {
    /// The value of a header.
    Header(&'a HeaderFile),
    /// Whatever a profile of TLS names.
    Tls(&'a Arc<TlsProfile>),
}

/// Why what is needed of files cannot be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// What is wrong with the file of a header; names the file.
    Header(String),
    /// Every file of a profile that cannot be used.
    Tls(Vec<FileProblem>),
}

impl Unusable {
    /// The first that is wrong.
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Header(message) => message,
            Self::Tls(problems) => {
                let first = problems.into_iter().next().map(|problem| problem.message);
                first.unwrap_or_else(|| "a file that TLS needs cannot be used".to_owned())
            }
        }
    }
}

/// Every profile so far, each kept once.
#[derive(Debug)]
pub(super) struct Profiles {
    folder: Arc<Path>,
    /// In the order of the targets.
    all: Vec<Arc<TlsProfile>>,
    named: HashMap<Arc<TlsProfile>, HashSet<NamedFile>>,
    /// Files of headers, and the keys that name them.
    headers: BTreeMap<PathBuf, (Arc<HeaderFile>, HashSet<KeyPath>)>,
}

/// A key that names a file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct NamedFile {
    pub(super) setting: TlsFile,
    pub(super) at: KeyPath,
}

impl Profiles {
    /// None yet. Paths in the configuration are relative to `folder`.
    pub(super) fn new(folder: Arc<Path>) -> Self {
        Self { folder, all: Vec::new(), named: HashMap::new(), headers: BTreeMap::new() }
    }

    /// What paths in the configuration are relative to.
    pub(super) fn folder(&self) -> Arc<Path> {
        self.folder.clone()
    }

    /// The one profile that is equal to this, whose files are named by these keys.
    pub(super) fn share(&mut self, profile: TlsProfile, named: Vec<NamedFile>) -> Arc<TlsProfile> {
        if let Some((shared, _)) = self.named.get_key_value(&profile) {
            let shared = Arc::clone(shared);
            self.named.entry(shared.clone()).or_default().extend(named);
            return shared;
        }
        let shared = Arc::new(profile);
        self.all.push(shared.clone());
        self.named.insert(shared.clone(), named.into_iter().collect());
        shared
    }

    /// The one file of a header at this path, which is named by this key.
    pub(super) fn share_header(&mut self, path: PathBuf, at: KeyPath) -> Arc<HeaderFile> {
        let new = (Arc::new(HeaderFile::new(path.clone())), HashSet::new());
        let (file, named) = self.headers.entry(path).or_insert(new);
        named.insert(at);
        file.clone()
    }

    /// Has every file read, and notes what is wrong with one at each key that names it.
    pub(super) fn read(&self, mut files: impl FnMut(Needed<'_>) -> Result<(), Unusable>, problems: &mut Problems) {
        for (file, named) in self.headers.values() {
            if let Err(unusable) = files(Needed::Header(file)) {
                let message = unusable.into_message();
                for at in named {
                    problems.add(at.clone(), message.clone());
                }
            }
        }
        for profile in &self.all {
            let Err(Unusable::Tls(faults)) = files(Needed::Tls(profile)) else { continue };
            for FileProblem { setting, message } in faults {
                let named = self.named.get(profile).into_iter().flatten();
                for NamedFile { at, .. } in named.filter(|named| named.setting == setting) {
                    problems.add(at.clone(), message.clone());
                }
            }
        }
    }
}
