//! Errors of discovered entries.

use std::fmt;
use std::path::Path;

use crate::config::Diagnostic;
use crate::config::problems::path::{KeyPath, Part};
use crate::config::problems::positions::Positions;
use crate::config::problems::text::{OneLine, quoted};
use crate::config::sources::urls_of;
use crate::config::targets::prometheus;
use crate::config::yaml::Node;
use crate::target::hide_query_values;

/// A problem of an entry or of one of its URLs. Displays as one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryError {
    entry: usize,
    /// The key of the entry's URLs and the index among them, unless the error is about the whole entry.
    url: Option<(&'static str, usize)>,
    text: String,
}

impl EntryError {
    /// Returns errors of a file's entries with their positions in its text.
    pub fn locate(errors: Vec<Self>, file: &Path, text: &str) -> Vec<Diagnostic> {
        if errors.is_empty() {
            return Vec::new();
        }
        let positions = Positions::read(text);
        let located = errors.into_iter().map(|error| Diagnostic {
            file: Some(file.into()),
            position: positions.position(&error.path(), Part::Value),
            key: String::new(),
            message: error.text,
        });
        located.collect()
    }

    fn path(&self) -> KeyPath {
        let entry = KeyPath::document().item(self.entry);
        match self.url {
            Some((key, index)) => entry.join(key).item(index),
            None => entry,
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of an entry in messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryLabel<'a> {
    pub(super) index: usize,
    pub(super) node: &'a Node,
}

impl EntryLabel<'_> {
    /// An error about the entry, or about the URL with this index.
    pub(super) fn error(self, url: Option<usize>, message: &str) -> EntryError {
        let text = OneLine(&format!("entry {}{}: {message}", self.index + 1, self.url(url))).to_string();
        let key = if prometheus::is_group(self.node) { "targets" } else { "urls" };
        EntryError { entry: self.index, url: url.map(|index| (key, index)), text }
    }

    /// The entry's first URL, or the one of this index, if it has one.
    fn url(self, url: Option<usize>) -> String {
        let shown = |node: &Node| match node {
            Node::Text(text) => format!(", {}", quoted(&hide_query_values(text))),
            _ => String::new(),
        };
        let urls = urls_of(self.node);
        if let Some(index) = url {
            return urls.get(index).map(shown).unwrap_or_default();
        }
        let first = urls.first().map(shown).unwrap_or_default();
        let more = if urls.len() > 1 { format!(" and {} more", urls.len() - 1) } else { String::new() };
        format!("{first}{more}")
    }
}
