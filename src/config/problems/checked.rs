//! Problems of keys that a check finds once the configuration is complete.

use std::path::Path;

use crate::config::problems::Diagnostic;
use crate::config::problems::path::{KeyPath, Part};
use crate::config::problems::positions::Positions;

/// A key that is checked once the configuration is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckedKey {
    /// The `file` of the discovery source with this index.
    DiscoveryFile(usize),
    /// `limits.targets`.
    TargetLimit,
}

impl CheckedKey {
    /// Returns problems with their positions in the text of a configuration file.
    pub fn locate(problems: Vec<(Self, String)>, file: &Path, text: &str) -> Vec<Diagnostic> {
        if problems.is_empty() {
            return Vec::new();
        }
        let positions = Positions::read(text);
        let located = problems.into_iter().map(|(key, message)| {
            let path = key.path();
            let position = positions.position(&path, Part::Value);
            Diagnostic { file: Some(file.into()), position, key: path.to_string(), message }
        });
        located.collect()
    }

    fn path(self) -> KeyPath {
        let document = KeyPath::document();
        match self {
            Self::DiscoveryFile(index) => document.join("discovery").item(index).join("file"),
            Self::TargetLimit => document.join("limits").join("targets"),
        }
    }
}
