//! Problems of a configuration: collected while compiling, given positions afterwards, printed one a line.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, mem};

use self::path::{At, KeyPath, Part, Position};
use self::positions::Places;
use self::text::OneLine;

pub(super) mod path;
pub(super) mod positions;
pub(super) mod text;

/// Why a configuration cannot be used: every problem, by position.
///
/// Its text is one line for each, `FILE:LINE:COLUMN: path.to.key: what is wrong, and what would be right`, at most
/// [`LoadError::MAX_LINES`] of them. It never holds a user or password of a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadError {
    complaints: Vec<Complaint>,
}

impl LoadError {
    /// A file that is bad as a whole.
    pub(super) fn of_file(file: &Path, position: Option<Position>, message: String) -> Self {
        Self { complaints: vec![Complaint { file: Some(file.into()), position, key: String::new(), message }] }
    }

    /// Every problem.
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// So many are printed.
    pub const MAX_LINES: usize = 100;
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.complaints.iter().take(Self::MAX_LINES).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{complaint}")?;
        }
        match self.complaints.len().checked_sub(Self::MAX_LINES) {
            Some(more @ 1..) => write!(f, "\nand {more} more"),
            _ => Ok(()),
        }
    }
}

impl Error for LoadError {}

/// One problem, ready to be printed as a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Complaint {
    /// The file, where it is about one.
    pub file: Option<Arc<Path>>,
    /// Where in the file, as far as that is known.
    pub position: Option<Position>,
    /// The key, like `targets[2].timeout` or `--timeout`; empty where it is about no key.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Complaint {
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

/// Everything found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    /// What may be meant so.
    warnings: Vec<Problem>,
    seen: HashSet<(KeyPath, Part, String)>,
    readings: Vec<(KeyPath, Box<str>)>,
}

#[derive(Debug)]
struct Problem {
    at: KeyPath,
    part: Part,
    message: String,
    /// A place that the message names, with what it is called there.
    also: Option<KeyPath>,
}

impl Problems {
    /// Notes that the value at a place is wrong; the same is noted once only.
    pub(super) fn add(&mut self, at: impl Into<KeyPath>, message: impl Into<String>) {
        self.note(Problem { at: at.into(), part: Part::Value, message: message.into(), also: None });
    }

    /// Notes that a key itself is wrong; of several equal ones the one after `before` others.
    pub(super) fn add_key(&mut self, at: impl Into<KeyPath>, before: usize, message: impl Into<String>) {
        self.note(Problem { at: at.into(), part: Part::Key(before), message: message.into(), also: None });
    }

    /// Notes a problem whose message names another place, so that its line is told, too.
    pub(super) fn add_with(&mut self, at: impl Into<KeyPath>, also: KeyPath, message: impl Into<String>) {
        self.note(Problem { at: at.into(), part: Part::Value, message: message.into(), also: Some(also) });
    }

    /// Warns of what can be used and may still be a mistake; of the same once only.
    pub(super) fn warn(&mut self, at: impl Into<KeyPath>, message: String) {
        let problem = Problem { at: at.into(), part: Part::Value, message, also: None };
        if self.seen.insert((problem.at.clone(), problem.part, problem.message.clone())) {
            self.warnings.push(problem);
        }
    }

    /// Notes that a text was written without quotes and read as a number or truth value, which comes out as `read`: it
    /// is right only if that is what was written.
    pub(super) fn read_as(&mut self, at: At<'_>, read: &str) {
        self.readings.push((at.into(), read.into()));
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Ends collecting for what is no file: every place with what is wrong there, in the order found.
    pub(super) fn into_found(self) -> impl Iterator<Item = (KeyPath, String)> {
        self.found.into_iter().map(|Problem { at, message, .. }| (at, message))
    }

    /// The warnings so far, with their places in `text`.
    pub(super) fn take_warnings(&mut self, file: &Path, text: &str) -> Vec<Complaint> {
        if self.warnings.is_empty() {
            return Vec::new();
        }
        let (file, places): (Arc<Path>, _) = (file.into(), Places::survey(text));
        let warnings = mem::take(&mut self.warnings).into_iter();
        let mut complaints: Vec<_> = warnings.map(|problem| problem.located(Some(&file), &places)).collect();
        complaints.sort_by_key(|complaint| complaint.position);
        complaints
    }

    /// Ends collecting: what was made, or every problem with its place in `text`.
    pub(super) fn finish<T>(mut self, file: Option<&Path>, text: &str, made: Option<T>) -> Result<T, LoadError> {
        self.forget_plain_integers(text);
        let made = match made {
            Some(made) if self.found.is_empty() && self.readings.is_empty() => return Ok(made),
            made => made,
        };
        let places = Places::survey(text);
        for (at, read) in mem::take(&mut self.readings) {
            if let Some(written) = places.written(&at).filter(|written| **written != *read) {
                self.add(at, misread(written, &read));
            }
        }
        match made {
            Some(made) if self.found.is_empty() => Ok(made),
            _ => Err(self.located(file, &places)),
        }
    }

    /// Spares a second reading of the file for labels like `rack: 7`: where no number is written with a prefix or a
    /// sign that gets lost, integers are what they look like.
    fn forget_plain_integers(&mut self, text: &str) {
        if self.readings.is_empty() || text.as_bytes().array_windows().any(|bytes| is_odd_integer(*bytes)) {
            return;
        }
        self.readings.retain(|(_, read)| !read.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    }

    fn located(self, file: Option<&Path>, places: &Places<'_>) -> LoadError {
        let file: Option<Arc<Path>> = file.map(Into::into);
        let mut complaints: Vec<_> =
            self.found.into_iter().map(|problem| problem.located(file.as_ref(), places)).collect();
        complaints.sort_by_key(|complaint| complaint.position);
        LoadError { complaints }
    }

    fn note(&mut self, problem: Problem) {
        if self.seen.insert((problem.at.clone(), problem.part, problem.message.clone())) {
            self.found.push(problem);
        }
    }
}

impl Problem {
    fn located(self, file: Option<&Arc<Path>>, places: &Places<'_>) -> Complaint {
        let position = places.position(&self.at, self.part);
        let also = self.also.as_ref().and_then(|also| Some((also, places.position(also, Part::Value)?)));
        let message = match also {
            Some((also, Position { line, column })) => format!("{} ({also} is at {line}:{column})", self.message),
            None => self.message,
        };
        let file = file.filter(|_| self.at.is_in_file()).cloned();
        Complaint { file, position, key: self.at.to_string(), message }
    }
}

/// Whether a number may start here of which YAML forgets how it was written: 0x1f, 0o7, 0b1, +7, -0.
const fn is_odd_integer([before, first, second]: [u8; 3]) -> bool {
    let is_odd = matches!((first, second), (b'0', b'x' | b'o' | b'b') | (b'+', b'0'..=b'9') | (b'-', b'0'));
    is_odd && !before.is_ascii_alphanumeric()
}

fn misread(written: &str, read: &str) -> String {
    let written = OneLine(written).to_string();
    format!("is read by YAML as {read}, not as the text `{written}`; put it in quotes: \"{written}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_problems_are_printed() {
        let mut problems = Problems::default();
        for index in 0..LoadError::MAX_LINES + 7 {
            problems.add(At::Root.key("targets").item(index), "is wrong");
        }
        problems.add(At::Root.key("targets").item(0), "is wrong");
        let text = problems.finish(Some(Path::new("a.yaml")), "", Some(())).unwrap_err().to_string();
        assert_eq!(text.lines().count(), LoadError::MAX_LINES + 1);
        assert!(text.starts_with("a.yaml: targets[0]: is wrong\n") && text.ends_with("\nand 7 more"), "{text}");
    }
}
