//! Files that hold the values of headers, such as tokens.

use std::path::{Path, PathBuf};

/// A file whose content is the value of a header. The value is not part of a target, because it changes while the settings
/// stay as they are.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HeaderFile {
    path: PathBuf,
}

impl HeaderFile {
    /// A file at this path.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
