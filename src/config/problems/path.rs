//! Places: keys by their path, and positions in a file.

use std::fmt;

use crate::config::problems::text::{MAX_QUOTED, quoted};

/// A place in a file, counted from 1; columns in characters.
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

    /// The place of what follows a text.
    pub(in crate::config) fn behind(text: &str) -> Self {
        let last = text.rsplit('\n').next().unwrap_or_default();
        Self::new(text.matches('\n').count() + 1, last.chars().count() + 1)
    }
}

/// The way to a value, on the stack of whoever reads it: free until it is needed.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum At<'a> {
    /// The argument of this name.
    Argument(&'static str),
    /// The flags, as one mapping.
    Flags,
    Item(&'a Self, usize),
    Key(&'a Self, &'a str),
    /// The file's whole document.
    Root,
}

impl<'a> At<'a> {
    pub(in crate::config) const fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(in crate::config) const fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

/// The way to a value, kept.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) struct KeyPath {
    origin: Origin,
    pub(in crate::config) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Origin {
    Argument(&'static str),
    File,
    Flags,
}

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum Step {
    Item(usize),
    Key(Box<str>),
}

impl KeyPath {
    /// The way to a key of the mapping that this leads to.
    pub(in crate::config) fn join(&self, key: &str) -> Self {
        let mut joined = self.clone();
        joined.steps.push(Step::Key(key.into()));
        joined
    }

    /// The way to an item of the list that this leads to.
    pub(in crate::config) fn item(&self, index: usize) -> Self {
        let mut item = self.clone();
        item.steps.push(Step::Item(index));
        item
    }

    pub(in crate::config) fn is_in_file(&self) -> bool {
        self.origin == Origin::File
    }
}

impl From<At<'_>> for KeyPath {
    fn from(at: At<'_>) -> Self {
        let (outer, step) = match at {
            At::Argument(name) => return Self { origin: Origin::Argument(name), steps: Vec::new() },
            At::Flags => return Self { origin: Origin::Flags, steps: Vec::new() },
            At::Root => return Self { origin: Origin::File, steps: Vec::new() },
            At::Item(outer, index) => (outer, Step::Item(index)),
            At::Key(outer, key) => (outer, Step::Key(key.into())),
        };
        let mut path = Self::from(*outer);
        path.steps.push(step);
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Argument(name) => f.write_str(name)?,
            Origin::Flags => f.write_str("--")?,
            Origin::File => {}
        }
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Key(key) if is_plain(key) && index == 0 => f.write_str(key)?,
                Step::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Step::Key(key) if index == 0 => write!(f, "{}", quoted(key))?,
                Step::Key(key) => write!(f, ".{}", quoted(key))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !key.is_empty() && key.len() <= MAX_QUOTED && key.chars().all(plain)
}

/// Which part of an entry a problem is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum Part {
    /// Its key, of several equal ones the one after so many others.
    Key(usize),
    Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_like_the_keys_they_lead_through() {
        let (root, flags) = (At::Root, At::Flags);
        let targets = root.key("targets");
        let target = targets.item(2);
        let confirm = flags.key("confirm");
        for (at, written) in [
            (target.key("timeout"), "targets[2].timeout"),
            (target.key("a b"), "targets[2].`a b`"),
            (target.key("user:secret@host"), "targets[2].`...` (not shown, for it may hold a password)"),
            (confirm.key("failures"), "--confirm.failures"),
            (At::Argument("URL"), "URL"),
            (root, ""),
        ] {
            assert_eq!(KeyPath::from(at).to_string(), written);
        }
    }
}
