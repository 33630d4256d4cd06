//! Files that hold the values of headers, such as tokens.

use std::path::{Path, PathBuf};

/// A file whose content is the value of a header. The value is not part of the settings, because it may change while
/// they do not.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HeaderFile {
    path: PathBuf,
}

impl HeaderFile {
    /// The file at this path.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
