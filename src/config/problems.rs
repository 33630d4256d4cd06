//! Problems of a configuration: collected with their paths while it is read, located in the file at the end, printed
//! one per line.

use std::cell::RefCell;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::checked::CheckedKey;
use self::path::{BorrowedPath, KeyPath, Part, PathRoot, Position};
use self::positions::Positions;
use self::text::OneLine;

mod checked;
pub(super) mod path;
pub(super) mod positions;
pub(super) mod text;

/// Reasons why a configuration cannot be used: every problem, ordered by position.
///
/// Displays one line per problem, `FILE:LINE:COLUMN: path.to.key: what is wrong; what is expected`, at most
/// [`LoadError::MAX_LINES`] of them. It never contains the user or password of a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadError {
    diagnostics: Vec<Diagnostic>,
}

impl LoadError {
    /// The error of these problems, which must not be empty.
    pub fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics }
    }

    /// A file that cannot be used as a whole.
    pub(super) fn of_file(file: &Path, position: Option<Position>, message: String) -> Self {
        Self { diagnostics: vec![Diagnostic { file: Some(file.into()), position, key: String::new(), message }] }
    }

    /// Every problem.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Returns whether a problem is about the command line and not about a file.
    pub fn is_of_command_line(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.file.is_none())
    }

    /// Maximum number of printed lines.
    pub const MAX_LINES: usize = 100;
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().take(Self::MAX_LINES).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        match self.diagnostics.len().checked_sub(Self::MAX_LINES) {
            Some(more @ 1..) => write!(f, "\nand {more} more"),
            _ => Ok(()),
        }
    }
}

impl Error for LoadError {}

/// One problem or warning; displays as a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// The file, unless it is about the command line.
    pub file: Option<Arc<Path>>,
    /// The position in the file, if known.
    pub position: Option<Position>,
    /// The key, like `targets[2].timeout` or `--timeout`; empty if it is not about a key.
    pub key: String,
    /// The problem and what is expected.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some(Position { line, column })) => write!(f, "{}:{line}:{column}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", OneLine(&self.message))
    }
}

/// A value that is being read: its path, and the problems to report to.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    path: BorrowedPath<'a>,
    problems: &'a Problems,
}

impl<'a> At<'a> {
    /// The value of a key of this mapping.
    pub(super) const fn key(&'a self, key: &'a str) -> Self {
        Self { path: BorrowedPath::Key(&self.path, key), ..*self }
    }

    /// An item of this list.
    pub(super) const fn item(&'a self, index: usize) -> Self {
        Self { path: BorrowedPath::Item(&self.path, index), ..*self }
    }

    pub(super) fn path(self) -> KeyPath {
        self.path.into()
    }

    pub(super) const fn problems(self) -> &'a Problems {
        self.problems
    }

    /// The index of this item; `None` if it is not an item of a list.
    pub(super) const fn index(self) -> Option<usize> {
        match self.path {
            BorrowedPath::Item(_, index) => Some(index),
            BorrowedPath::Key(..) | BorrowedPath::Root(_) => None,
        }
    }

    /// Reports that the value is wrong.
    pub(super) fn refuse(self, message: impl fmt::Display) {
        self.problems.refuse(self.path(), message);
    }

    /// Reports that the key is wrong.
    pub(super) fn refuse_key(self, message: impl fmt::Display) {
        self.problems.refuse_key(self.path(), message);
    }

    /// Reports a repeated key, at the occurrence that follows `before` others.
    pub(super) fn refuse_repeated_key(self, before: usize, message: impl fmt::Display) {
        self.problems.add(self.path(), Part::Key(before), None, message);
    }

    /// Reports a problem whose message names another path, so that the position of that one is printed too.
    pub(super) fn refuse_with(self, other: KeyPath, message: impl fmt::Display) {
        self.problems.add(self.path(), Part::Value, Some(other), message);
    }

    /// Notes that a text was written without quotes and that YAML read it as a number or truth value, now the text
    /// `read`. That is a problem if the file has something else there, such as `0x1f`.
    pub(super) fn note_reading(self, read: &str) {
        self.problems.0.borrow_mut().readings.push((self.path(), read.into()));
    }
}

/// All problems so far. Shared by all readers, so reporting takes `&self`.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Collected>);

#[derive(Debug, Default)]
struct Collected {
    found: Vec<Problem>,
    /// Values that work but may be a mistake.
    warnings: Vec<Problem>,
    seen: HashSet<(KeyPath, Part, String)>,
    readings: Vec<(KeyPath, Box<str>)>,
}

#[derive(Debug)]
struct Problem {
    at: KeyPath,
    part: Part,
    message: String,
    /// A path that the message names.
    other: Option<KeyPath>,
}

impl Problems {
    /// The document of a file.
    pub(super) const fn document(&self) -> At<'_> {
        self.at(PathRoot::File)
    }

    /// The flags of the command line, as one mapping.
    pub(super) const fn flags(&self) -> At<'_> {
        self.at(PathRoot::Flags)
    }

    /// The command line argument with this name.
    pub(super) const fn argument(&self, name: &'static str) -> At<'_> {
        self.at(PathRoot::Argument(name))
    }

    /// Reports that the value at a path is wrong; the same problem counts once.
    pub(super) fn refuse(&self, at: KeyPath, message: impl fmt::Display) {
        self.add(at, Part::Value, None, message);
    }

    /// Reports that the key at a path is wrong.
    pub(super) fn refuse_key(&self, at: KeyPath, message: impl fmt::Display) {
        self.add(at, Part::Key(0), None, message);
    }

    /// Warns about a value that can be used but may be a mistake; the same warning counts once.
    pub(super) fn warn(&self, at: KeyPath, message: String) {
        let mut collected = self.0.borrow_mut();
        if collected.seen.insert((at.clone(), Part::Value, message.clone())) {
            collected.warnings.push(Problem { at, part: Part::Value, message, other: None });
        }
    }

    /// The number of problems so far.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().found.len()
    }

    /// The path and message of each problem, in the order found: for values that are not in a file.
    pub(super) fn into_found(self) -> impl Iterator<Item = (KeyPath, String)> {
        self.0
            .into_inner()
            .found
            .into_iter()
            .map(|Problem { at, message, .. }| (at, message))
    }

    /// The warnings so far, with their positions in `text`.
    pub(super) fn take_warnings(&self, file: &Path, text: &str) -> Vec<Diagnostic> {
        let warnings = std::mem::take(&mut self.0.borrow_mut().warnings);
        if warnings.is_empty() {
            return Vec::new();
        }
        located(warnings, Some(file), &Positions::read(text))
    }

    /// `value`, or every problem with its position in `text`.
    pub(super) fn finish<T>(self, file: Option<&Path>, text: &str, value: Option<T>) -> Result<T, LoadError> {
        self.forget_plain_integers(text);
        let readings = std::mem::take(&mut self.0.borrow_mut().readings);
        let value = match value {
            Some(value) if self.count() == 0 && readings.is_empty() => return Ok(value),
            value => value,
        };
        let positions = Positions::read(text);
        for (at, read) in readings {
            if let Some(written) = positions.written(&at).filter(|written| **written != *read) {
                self.refuse(at, misread(written, &read));
            }
        }
        match value {
            Some(value) if self.count() == 0 => Ok(value),
            _ => Err(LoadError { diagnostics: located(self.0.into_inner().found, file, &positions) }),
        }
    }

    const fn at(&self, root: PathRoot) -> At<'_> {
        At { path: BorrowedPath::Root(root), problems: self }
    }

    fn add(&self, at: KeyPath, part: Part, other: Option<KeyPath>, message: impl fmt::Display) {
        let message = message.to_string();
        let mut collected = self.0.borrow_mut();
        if collected.seen.insert((at.clone(), part, message.clone())) {
            collected.found.push(Problem { at, part, message, other });
        }
    }

    /// Avoids a second parse of the file for labels like `rack: 7`: if the text contains no integer with a prefix or
    /// sign that YAML drops, all integers have the text as written.
    fn forget_plain_integers(&self, text: &str) {
        let readings = &mut self.0.borrow_mut().readings;
        if readings.is_empty() || text.as_bytes().array_windows().any(|bytes| is_odd_integer(*bytes)) {
            return;
        }
        readings.retain(|(_, read)| !read.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    }
}

/// Problems as diagnostics, ordered by position.
fn located(problems: Vec<Problem>, file: Option<&Path>, positions: &Positions<'_>) -> Vec<Diagnostic> {
    let file: Option<Arc<Path>> = file.map(Into::into);
    let located = problems.into_iter().map(|problem| problem.located(file.as_ref(), positions));
    let mut diagnostics: Vec<_> = located.collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    diagnostics
}

impl Problem {
    fn located(self, file: Option<&Arc<Path>>, positions: &Positions<'_>) -> Diagnostic {
        let position = positions.position(&self.at, self.part);
        let other = self
            .other
            .as_ref()
            .and_then(|other| Some((other, positions.position(other, Part::Value)?)));
        let message = match other {
            Some((other, Position { line, column })) => format!("{} ({other} is at {line}:{column})", self.message),
            None => self.message,
        };
        let file = file.filter(|_| self.at.is_in_file()).cloned();
        Diagnostic { file, position, key: self.at.to_string(), message }
    }
}

/// Returns whether an integer that YAML rewrites may start here: 0x1f, 0o7, 0b1, +7, -0.
const fn is_odd_integer([before, first, second]: [u8; 3]) -> bool {
    let is_odd = matches!((first, second), (b'0', b'x' | b'o' | b'b') | (b'+', b'0'..=b'9') | (b'-', b'0'));
    is_odd && !before.is_ascii_alphanumeric()
}

fn misread(written: &str, read: &str) -> String {
    let written = OneLine(written).to_string();
    format!("YAML reads `{written}` as {read}; quote it: \"{written}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_100_problems_are_printed() {
        let problems = Problems::default();
        let targets = problems.document();
        let targets = targets.key("targets");
        for index in 0..LoadError::MAX_LINES + 7 {
            targets.item(index).refuse("is wrong");
        }
        targets.item(0).refuse("is wrong");
        let text = problems
            .finish(Some(Path::new("a.yaml")), "", Some(()))
            .unwrap_err()
            .to_string();
        assert_eq!(text.lines().count(), LoadError::MAX_LINES + 1);
        assert!(text.starts_with("a.yaml: targets[0]: is wrong\n") && text.ends_with("\nand 7 more"), "{text}");
    }

    #[test]
    fn paths_are_written_like_keys() {
        let problems = Problems::default();
        let (root, flags) = (problems.document(), problems.flags());
        let targets = root.key("targets");
        let target = targets.item(2);
        let confirm = flags.key("confirm");
        for (at, written) in [
            (target.key("timeout"), "targets[2].timeout"),
            (target.key("a b"), "targets[2].`a b`"),
            (target.key("user:secret@host"), "targets[2].`...` (hidden, may contain a password)"),
            (confirm.key("failures"), "--confirm.failures"),
            (flags.key("slow_after"), "--slow-after"),
            (problems.argument("URL"), "URL"),
            (root, ""),
        ] {
            assert_eq!(at.path().to_string(), written);
        }
    }
}
