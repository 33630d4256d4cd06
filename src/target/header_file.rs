//! Files that hold the values of headers, such as tokens.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};

use http::header::HeaderValue;

use crate::locks::{read, write};

/// A file whose content is the value of a header.
///
/// Two are equal where their paths are: what the file holds changes while the settings stay as they are. Whoever loads a
/// configuration attaches the secret before anything is probed.
#[derive(Debug)]
pub struct HeaderFile {
    path: PathBuf,
    secret: OnceLock<Arc<Secret>>,
}

impl HeaderFile {
    /// A file that nobody has read yet.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, secret: OnceLock::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it held when it was last good; none where it was never read.
    pub fn value(&self) -> Option<HeaderValue> {
        self.secret.get().map(|secret| secret.value())
    }

    /// Takes its values from this secret from now on. The first that is attached stays.
    pub fn attach(&self, secret: Arc<Secret>) {
        let _ = self.secret.set(secret);
    }
}

impl PartialEq for HeaderFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for HeaderFile {}

impl Hash for HeaderFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

/// The value of a header, which follows the content of a file.
#[derive(Debug)]
pub struct Secret(RwLock<HeaderValue>);

impl Secret {
    /// A secret with this value.
    pub const fn new(value: HeaderValue) -> Self {
        Self(RwLock::new(value))
    }

    /// The value now.
    pub fn value(&self) -> HeaderValue {
        read(&self.0).clone()
    }

    /// Changes the value for everybody who has the secret.
    pub fn set(&self, value: HeaderValue) {
        *write(&self.0) = value;
    }
}
