//! Files as sources: every file whose name matches a pattern, read anew at each look.
//!
//! Content counts, not times of modification, so that files and folders may be swapped by symbolic links; a content that
//! is unchanged is not parsed again. A file that cannot be used keeps what it held. What is no regular file is never
//! opened: a pipe that nobody writes to would hold its reader for ever.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern;

use super::Found;
use crate::config::{Discovered, discovered};
use crate::files;
use crate::files::digest::sha256;
use crate::peer_text::escaped;
use crate::target::Sha256Digest;

/// What the files of one source held when last looked at.
#[derive(Debug, Default)]
pub(super) struct Files {
    held: HashMap<PathBuf, Held>,
    /// The entries of all files, one file after the other.
    entries: Arc<[Discovered]>,
}

/// What one file held.
#[derive(Clone, Debug)]
struct Held {
    /// Of the content that its entries are made of.
    digest: Sha256Digest,
    /// Where its entries stand among all.
    range: Range<usize>,
}

/// What has become of a file.
enum Part {
    /// Its entries are as they were.
    Kept(Held),
    /// It has these entries now.
    Read { digest: Sha256Digest, entries: Vec<Discovered> },
}

impl Files {
    /// Looks at every file that matches. Fails where their folder cannot be listed; then everything stays as it was.
    pub(super) fn look(&mut self, pattern: &Path) -> Result<Found, String> {
        let Matching { paths, mut complaints } = matching(pattern)?;
        let (mut parts, mut budget) = (Vec::new(), MAX_BYTES_IN_ALL);
        for path in paths {
            let held = self.held.get(&path);
            match part(&path, held, &mut budget) {
                Ok(part) => parts.push((path, part)),
                Err(why) => {
                    complaints.push(format!("the file {} {why}", shown(&path)));
                    if let Some(held) = held {
                        parts.push((path, Part::Kept(held.clone())));
                    }
                }
            }
        }
        let is_unchanged =
            parts.len() == self.held.len() && parts.iter().all(|(_, part)| matches!(part, Part::Kept(_)));
        if !is_unchanged {
            self.take(parts);
        }
        Ok(Found { entries: self.entries.clone(), complaints })
    }

    fn take(&mut self, parts: Vec<(PathBuf, Part)>) {
        let (mut all, mut held) = (Vec::new(), HashMap::new());
        for (path, part) in parts {
            let start = all.len();
            let digest = match part {
                Part::Kept(Held { digest, range }) => {
                    all.extend_from_slice(self.entries.get(range).unwrap_or_default());
                    digest
                }
                Part::Read { digest, entries } => {
                    all.extend(entries);
                    digest
                }
            };
            held.insert(path, Held { digest, range: start..all.len() });
        }
        (self.held, self.entries) = (held, all.into());
    }
}

/// Reads one file; `budget` is what all files together may still have. The error follows on the file's name.
fn part(path: &Path, held: Option<&Held>, budget: &mut u64) -> Result<Part, String> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| error.to_string())?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    *budget = budget.checked_sub(length).ok_or_else(|| {
        format!("is not looked at: the files before it already have most of {} MiB", MAX_BYTES_IN_ALL >> 20)
    })?;
    let digest = sha256(&bytes);
    if let Some(held) = held.filter(|held| held.digest == digest) {
        return Ok(Part::Kept(held.clone()));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let entries = discovered(&text).map_err(|why| format!("cannot be used: {why}"))?;
    Ok(Part::Read { digest, entries })
}

/// The paths that match a pattern, in the order of their names.
#[derive(Debug, Default)]
struct Matching {
    paths: Vec<PathBuf>,
    complaints: Vec<String>,
}

fn matching(pattern: &Path) -> Result<Matching, String> {
    let Some(name) = pattern.file_name() else { return Err(format!("{} names no file", shown(pattern))) };
    let name = name.to_string_lossy();
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let failed = |error: io::Error| format!("the folder {} cannot be listed: {error}", shown(folder));
    if !name.contains(['*', '?']) {
        // The folder need not be one that can be listed.
        fs::metadata(folder).map_err(failed)?;
        let paths = fs::symlink_metadata(pattern).is_ok().then(|| pattern.to_owned()).into_iter().collect();
        return Ok(Matching { paths, complaints: Vec::new() });
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
    let complaint =
        || format!("more than {MAX_FILES} files match {}; the first by their names are read", shown(pattern));
    let paths = names.into_iter().map(|name| if folder == Path::new(".") { name.into() } else { folder.join(name) });
    Ok(Matching { paths: paths.collect(), complaints: is_more.then(complaint).into_iter().collect() })
}

/// A pattern of file names: `*` matches any characters, `?` matches one, nothing else is special.
///
/// As in a shell, a name with a leading dot needs a pattern with a leading dot: such names are unfinished files of editors
/// and the folders that Kubernetes swaps.
struct NamePattern {
    pattern: Pattern,
    has_leading_dot: bool,
}

impl NamePattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                // In the crate, two stars are another wildcard and brackets are a class of characters.
                '*' if pattern.ends_with('*') => {}
                '[' => pattern.push_str("[[]"),
                other => pattern.push(other),
            }
        }
        let pattern =
            Pattern::new(&pattern).map_err(|error| format!("the pattern {} cannot be used: {error}", escaped(text)))?;
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

/// As much as a configuration may have.
const MAX_BYTES: u64 = 64 << 20;

/// More than enough for as many targets as anybody has, and little enough for memory.
const MAX_BYTES_IN_ALL: u64 = 256 << 20;

const MAX_FILES: usize = 10_000;

#[cfg(test)]
mod tests;
