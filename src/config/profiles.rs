//! What targets have in common of TLS, and the keys that name its files: so that each profile is read once, and what is
//! wrong with a file is told where it is named.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::config::place::KeyPath;
use crate::config::problem::Problems;
use crate::target::{FileProblem, TlsFile, TlsProfile};

/// Every profile so far, each kept once.
#[derive(Debug)]
pub(super) struct Profiles {
    folder: Arc<Path>,
    /// In the order of the targets.
    all: Vec<Arc<TlsProfile>>,
    named: HashMap<Arc<TlsProfile>, HashSet<NamedFile>>,
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
        Self { folder, all: Vec::new(), named: HashMap::new() }
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

    /// Has the files of every profile read, and notes what is wrong with one at each key that names it.
    pub(super) fn read(
        &self,
        mut files: impl FnMut(&Arc<TlsProfile>) -> Result<(), Vec<FileProblem>>,
        problems: &mut Problems,
    ) {
        for profile in &self.all {
            for FileProblem { setting, message } in files(profile).err().into_iter().flatten() {
                let named = self.named.get(profile).into_iter().flatten();
                for NamedFile { at, .. } in named.filter(|named| named.setting == setting) {
                    problems.add(at.clone(), message.clone());
                }
            }
        }
    }
}
