//! Files as sources: every file whose name matches a pattern, read again at each refresh.
//!
//! Contents are compared, not modification times, so that files and folders can be replaced through symbolic links.
//! Unchanged content is not parsed again. A file that cannot be used keeps its previous entries.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern;

use super::{RefreshError, Snapshot};
use crate::config::{Discovered, discovered};
use crate::files;
use crate::files::digest::sha256;
use crate::peer_text::escaped;
use crate::target::Sha256Digest;

/// The files of one source as of the last refresh.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    cached: HashMap<PathBuf, Cached>,
    /// The entries of all files, one file after the other.
    entries: Arc<[Discovered]>,
    problems: Vec<String>,
}

/// The last usable content of a file.
#[derive(Clone, Debug)]
struct Cached {
    digest: Sha256Digest,
    /// The range of its entries in [`Files::entries`].
    range: Range<usize>,
}

/// Result of reading one file.
enum Part {
    /// Its entries have not changed.
    Unchanged(Cached),
    /// It has new entries.
    Changed { digest: Sha256Digest, entries: Vec<Discovered> },
}

impl Files {
    /// Reads every file that matches. If the folder cannot be listed, nothing changes.
    pub(super) fn refresh(&mut self, pattern: &Path) -> Result<Snapshot, RefreshError> {
        let Matching { paths, mut problems } = matching(pattern)?;
        let (mut parts, mut budget) = (Vec::new(), MAX_TOTAL_BYTES);
        for path in paths {
            let cached = self.cached.get(&path);
            match part(&path, cached, &mut budget) {
                Ok(part) => parts.push((path, part)),
                Err(error) => {
                    problems.push(format!("the file {} {error}", shown(&path)));
                    if let Some(cached) = cached {
                        parts.push((path, Part::Unchanged(cached.clone())));
                    }
                }
            }
        }
        let is_unchanged =
            parts.len() == self.cached.len() && parts.iter().all(|(_, part)| matches!(part, Part::Unchanged(_)));
        if !is_unchanged {
            self.replace(parts);
        }
        self.problems.clone_from(&problems);
        Ok(Snapshot { entries: self.entries.clone(), problems })
    }

    /// Returns whether two refreshes found the same content and the same problems.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entries, &other.entries) && self.problems == other.problems
    }

    fn replace(&mut self, parts: Vec<(PathBuf, Part)>) {
        let (mut all, mut cached) = (Vec::new(), HashMap::new());
        for (path, part) in parts {
            let start = all.len();
            let digest = match part {
                Part::Unchanged(Cached { digest, range }) => {
                    all.extend_from_slice(self.entries.get(range).unwrap_or_default());
                    digest
                }
                Part::Changed { digest, entries } => {
                    all.extend(entries);
                    digest
                }
            };
            cached.insert(path, Cached { digest, range: start..all.len() });
        }
        (self.cached, self.entries) = (cached, all.into());
    }
}

/// Reads one file. `budget` is the total size that this file and all later ones may have.
fn part(path: &Path, cached: Option<&Cached>, budget: &mut u64) -> Result<Part, RefreshError> {
    let bytes = files::read(path, MAX_BYTES)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    *budget = budget
        .checked_sub(length)
        .ok_or(RefreshError::FilesTooLarge(MAX_TOTAL_BYTES >> 20))?;
    let digest = sha256(&bytes);
    if let Some(cached) = cached.filter(|cached| cached.digest == digest) {
        return Ok(Part::Unchanged(cached.clone()));
    }
    let (_, entries) = parse(bytes)?;
    Ok(Part::Changed { digest, entries })
}

/// The files that match a pattern, in the order of their names.
pub(super) fn paths(pattern: &Path) -> Result<Vec<PathBuf>, RefreshError> {
    Ok(matching(pattern)?.paths)
}

/// The text of one file and its entries.
pub(super) fn text_and_entries(path: &Path) -> Result<(String, Vec<Discovered>), RefreshError> {
    parse(files::read(path, MAX_BYTES)?)
}

fn parse(bytes: Vec<u8>) -> Result<(String, Vec<Discovered>), RefreshError> {
    let text = String::from_utf8(bytes).map_err(|_| RefreshError::Utf8)?;
    let entries = discovered(&text).map_err(RefreshError::InvalidFile)?;
    Ok((text, entries))
}

/// The files that match a pattern, in the order of their names.
#[derive(Debug, Default)]
struct Matching {
    paths: Vec<PathBuf>,
    problems: Vec<String>,
}

fn matching(pattern: &Path) -> Result<Matching, RefreshError> {
    let name = pattern.file_name().ok_or_else(|| RefreshError::NoFileName(shown(pattern)))?;
    let name = name.to_string_lossy();
    let folder = pattern
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let failed = |error: io::Error| RefreshError::Folder(shown(folder), error);
    if !name.contains(['*', '?']) {
        // The file may be readable in a folder that cannot be listed.
        fs::metadata(folder).map_err(failed)?;
        let paths = fs::symlink_metadata(pattern)
            .is_ok()
            .then(|| pattern.to_owned())
            .into_iter()
            .collect();
        return Ok(Matching { paths, problems: Vec::new() });
    }
    let wanted = NamePattern::parse(&name)?;
    let (mut names, mut is_more) = (BTreeSet::<OsString>::new(), false);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let found = entry.map_err(failed)?.file_name();
        if wanted.matches(&found.to_string_lossy()) {
            names.insert(found);
        }
        if names.len() > MAX_FILES {
            names.pop_last();
            is_more = true;
        }
    }
    let problem =
        || format!("more than {MAX_FILES} files match {}; only the first {MAX_FILES} by name are read", shown(pattern));
    let paths = names
        .into_iter()
        .map(|name| if folder == Path::new(".") { name.into() } else { folder.join(name) });
    Ok(Matching { paths: paths.collect(), problems: is_more.then(problem).into_iter().collect() })
}

/// A pattern of file names: `*` matches any characters, `?` matches one, nothing else is special.
///
/// As in a shell, a name with a leading dot needs a pattern with a leading dot: such names are unfinished files of
/// editors and the folders that Kubernetes swaps.
struct NamePattern {
    pattern: Pattern,
    has_leading_dot: bool,
}

impl NamePattern {
    fn parse(text: &str) -> Result<Self, RefreshError> {
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                // In the crate, two stars are another wildcard and brackets are a class of characters.
                '*' if pattern.ends_with('*') => {}
                '[' => pattern.push_str("[[]"),
                other => pattern.push(other),
            }
        }
        let pattern = Pattern::new(&pattern).map_err(|error| RefreshError::Pattern(escaped(text), error))?;
        Ok(Self { pattern, has_leading_dot: text.starts_with('.') })
    }

    fn matches(&self, name: &str) -> bool {
        // The crate's option for leading dots lets `*.json` match `.json`.
        (self.has_leading_dot || !name.starts_with('.')) && self.pattern.matches(name)
    }
}

fn shown(path: &Path) -> String {
    escaped(&path.display().to_string())
}

/// The limit of a configuration too.
const MAX_BYTES: u64 = 64 << 20;

/// Limit of all files together: millions of targets.
const MAX_TOTAL_BYTES: u64 = 256 << 20;

const MAX_FILES: usize = 10_000;

#[cfg(test)]
mod tests;
