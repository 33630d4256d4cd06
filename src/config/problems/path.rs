//! Paths of keys, and positions in a file.

use std::fmt;

use crate::config::problems::text::{MAX_QUOTED, quoted};

/// A position in a file, counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    pub(in crate::config) const fn new(line: usize, column: usize) -> Self {
        Self { line, column }
    }

    /// The position after a text.
    pub(in crate::config) fn behind(text: &str) -> Self {
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self::new(text.matches('\n').count() + 1, last.chars().count() + 1)
    }
}

/// The path to a value, on the stack of the code that reads it: no allocation until a problem needs it.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum BorrowedPath<'a> {
    Item(&'a Self, usize),
    Key(&'a Self, &'a str),
    Root(PathRoot),
}

/// The path to a value.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) struct KeyPath {
    root: PathRoot,
    pub(in crate::config) steps: Vec<Step>,
}

/// Where a path starts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum PathRoot {
    /// The command line argument with this name.
    Argument(&'static str),
    /// The document of the file.
    File,
    /// The flags of the command line, as one mapping.
    Flags,
}

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum Step {
    Item(usize),
    Key(Box<str>),
}

impl KeyPath {
    /// The path to the document of the file.
    pub(in crate::config) const fn document() -> Self {
        Self { root: PathRoot::File, steps: Vec::new() }
    }

    /// The path to a key of the mapping at this path.
    pub(in crate::config) fn join(&self, key: &str) -> Self {
        let mut joined = self.clone();
        joined.steps.push(Step::Key(key.into()));
        joined
    }

    /// The path to an item of the list at this path.
    pub(in crate::config) fn item(&self, index: usize) -> Self {
        let mut item = self.clone();
        item.steps.push(Step::Item(index));
        item
    }

    pub(in crate::config) fn is_in_file(&self) -> bool {
        self.root == PathRoot::File
    }
}

impl From<BorrowedPath<'_>> for KeyPath {
    fn from(path: BorrowedPath<'_>) -> Self {
        let (outer, step) = match path {
            BorrowedPath::Root(root) => return Self { root, steps: Vec::new() },
            BorrowedPath::Item(outer, index) => (outer, Step::Item(index)),
            BorrowedPath::Key(outer, key) => (outer, Step::Key(key.into())),
        };
        let mut path = Self::from(*outer);
        path.steps.push(step);
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.root {
            PathRoot::Argument(name) => f.write_str(name)?,
            PathRoot::Flags => f.write_str("--")?,
            PathRoot::File => {}
        }
        for (index, step) in self.steps.iter().enumerate() {
            let dot = if index == 0 && !matches!(self.root, PathRoot::Argument(_)) { "" } else { "." };
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Key(key) if !is_plain(key) => write!(f, "{dot}{}", quoted(key))?,
                Step::Key(key) if self.root == PathRoot::Flags => write!(f, "{dot}{}", flag_name(key))?,
                Step::Key(key) => write!(f, "{dot}{key}")?,
            }
        }
        Ok(())
    }
}

/// The name of the flag for a setting: `tls.ca-file` for `tls.ca_file`.
pub(in crate::config) fn flag_name(key: &str) -> String {
    key.replace('_', "-")
}

fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !key.is_empty() && key.len() <= MAX_QUOTED && key.chars().all(plain)
}

/// The part of an entry that a problem is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum Part {
    /// The key; of several equal ones, the one after this many others.
    Key(usize),
    Value,
}
