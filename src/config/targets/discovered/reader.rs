//! Reads discovered entries in both formats.

use std::collections::BTreeMap;

use crate::config::keys::schema::SettingKey;
use crate::config::problems::path::{KeyPath, Step};
use crate::config::problems::{At, Problems};
use crate::config::targets::builder::{EntryParts, TargetBuilder};
use crate::config::targets::entry::TargetEntry;
use crate::config::targets::prometheus::{self, LabelOrigins};
use crate::config::yaml::Node;

/// Reads the entries of one source.
pub(in crate::config) struct EntryReader<'a> {
    pub(in crate::config) builder: TargetBuilder<'a>,
    pub(in crate::config) keys: Vec<SettingKey>,
    /// Whether the entries come from another host.
    pub(super) is_remote: bool,
}

impl EntryReader<'_> {
    pub(super) fn read(&mut self, node: Node) -> (Option<EntryParts>, EntryProblems) {
        let problems = Problems::default();
        let at = problems.document();
        let (entry, origins) = self.entry(node, at);
        if let Some(entry) = entry.as_ref().filter(|_| self.is_remote) {
            entry.level.refuse_header_files(at);
        }
        let parts = entry.map(|entry| self.builder.parts(&entry, at));
        (parts, EntryProblems::new(problems, &origins))
    }

    /// The entry, and the labels that set its settings.
    pub(in crate::config) fn entry(&self, mut node: Node, at: At<'_>) -> (Option<TargetEntry>, LabelOrigins) {
        node.refuse_duplicate_keys(at);
        if prometheus::is_group(&node) {
            let (entry, origins) = prometheus::read(node, &self.keys, at);
            return (Some(entry), origins);
        }
        (TargetEntry::read(node, at), LabelOrigins::default())
    }
}

/// The problems of one entry.
pub(super) struct EntryProblems {
    /// Reason why the whole entry is invalid.
    pub(super) of_entry: Option<String>,
    /// Reasons why URLs are invalid, by their index.
    pub(super) of_urls: BTreeMap<usize, String>,
}

impl EntryProblems {
    fn new(problems: Problems, origins: &LabelOrigins) -> Self {
        let (mut of_entry, mut of_urls) = (Vec::new(), BTreeMap::new());
        for (path, message) in problems.into_found() {
            match path.url_index() {
                Some(index) => {
                    of_urls.entry(index).or_insert(message);
                }
                None => of_entry.push((path, message)),
            }
        }
        Self { of_entry: first_of(&of_entry, origins), of_urls }
    }
}

impl KeyPath {
    /// The index of the URL that the problem at this path of an entry is about.
    pub(super) fn url_index(&self) -> Option<usize> {
        match &*self.steps {
            [Step::Key(key), Step::Item(index)] if &**key == "urls" => Some(*index),
            _ => None,
        }
    }
}

/// The first problem, and how many more there are.
fn first_of(problems: &[(KeyPath, String)], origins: &LabelOrigins) -> Option<String> {
    let (path, message) = problems.first()?;
    let path = match origins.describe(path) {
        path if path.is_empty() => path,
        path => format!("{path}: "),
    };
    Some(match problems.len() {
        1 => format!("{path}{message}"),
        count => format!("{path}{message} (and {} more)", count - 1),
    })
}
