//! Values of headers that are in files, such as tokens: read at load, reloaded when they change.
//!
//! No message contains the content of a file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use http::header::HeaderValue;

use crate::files::watch::{Changes, PERIOD, Watched, watch};
use crate::files::{self, ReadError};
use crate::locks::lock;
use crate::target::HeaderFile;

/// The values of the header files of all targets, in memory.
#[derive(Debug, Default)]
pub struct HeaderValues {
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// The value of a file. It is kept as long as one of its uses exists.
#[derive(Clone, Debug)]
struct Known {
    value: HeaderValue,
    uses: Vec<Weak<HeaderFile>>,
    /// Reason why the current content cannot be used.
    rejected: Option<String>,
}

impl Known {
    fn is_used(&self) -> bool {
        self.uses.iter().any(|file| file.strong_count() > 0)
    }

    fn shares_a_use(&self, other: &Self) -> bool {
        self.uses.iter().any(|file| other.uses.iter().any(|used| used.ptr_eq(file)))
    }
}

impl HeaderValues {
    /// Keeps a known and used value as long as `file` exists, too. Returns false if there is none.
    pub fn reuse(&self, file: &Arc<HeaderFile>) -> bool {
        add_use(&mut self.known(), file)
    }

    /// Reads a file, unless its value is known and used. Keeps the value as long as `file` exists.
    pub fn read(&self, file: &Arc<HeaderFile>) -> Result<(), HeaderFileError> {
        if self.reuse(file) {
            return Ok(());
        }
        // Files may hang, so no lock is held.
        let value = value(file.path()).map_err(|error| HeaderFileError { file: file.path().to_owned(), error })?;
        let mut known = self.known();
        if !add_use(&mut known, file) {
            let uses = vec![Arc::downgrade(file)];
            known.insert(file.path().to_owned(), Known { value, uses, rejected: None });
        }
        Ok(())
    }

    /// The value of a file; `None` if it was not read.
    pub fn value(&self, file: &HeaderFile) -> Option<HeaderValue> {
        self.known().get(file.path()).map(|known| known.value.clone())
    }

    /// Reloads changed files. Never ends by itself.
    ///
    /// Calls `failed` at each check, once for every file that has changed and cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        watch(self, PERIOD, failed).await;
    }

    /// Stores a refreshed value, unless all its uses are gone and the file has been read again for others.
    fn store(&self, path: &Path, refreshed: Known) {
        if let Some(known) = self.known().get_mut(path).filter(|known| known.shares_a_use(&refreshed)) {
            known.value = refreshed.value;
            known.rejected = refreshed.rejected;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        lock(&self.known)
    }
}

impl Watched for HeaderValues {
    const KIND: &'static str = "header";

    fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    fn refresh(&self) -> Changes {
        let mut known = self.known();
        known.retain(|_, known| known.is_used());
        let before = known.clone();
        // Files may hang, and neither a reload of the configuration nor a probe must wait for them.
        drop(known);
        let mut changes = Changes::default();
        for (path, mut refreshed) in before {
            refreshed.refresh(&path, &mut changes);
            self.store(&path, refreshed);
        }
        changes
    }
}

/// Keeps a known value as long as `file` exists. Returns whether the value is known and used.
fn add_use(known: &mut HashMap<PathBuf, Known>, file: &Arc<HeaderFile>) -> bool {
    let Some(known) = known.get_mut(file.path()).filter(|known| known.is_used()) else { return false };
    let new = Arc::downgrade(file);
    known.uses.retain(|file| file.strong_count() > 0 && !file.ptr_eq(&new));
    known.uses.push(new);
    true
}

impl Known {
    /// Reads the file again.
    fn refresh(&mut self, path: &Path, changes: &mut Changes) {
        match value(path) {
            Ok(value) if value == self.value => {
                changes
                    .restored
                    .extend(self.rejected.take().map(|_| path.display().to_string()));
            }
            Ok(value) => {
                changes.reloaded.insert(path.display().to_string());
                (self.value, self.rejected) = (value, None);
            }
            Err(error) => {
                let fault = HeaderFileError { file: path.to_owned(), error }.to_string();
                if self.rejected.as_ref() != Some(&fault) {
                    changes.rejected.insert(fault.clone());
                }
                changes.unusable.insert(fault.clone());
                self.rejected = Some(fault);
            }
        }
    }
}

/// Reads the value of a header from a file, without one line end after it.
pub(crate) fn value(path: &Path) -> Result<HeaderValue, HeaderValueError> {
    let bytes = files::read(path, MAX_BYTES)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(HeaderValueError::Empty);
    }
    let mut value = HeaderValue::from_bytes(line).map_err(|_| HeaderValueError::InvalidByte)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A file that holds no value of a header.
#[derive(Debug, thiserror::Error)]
#[error("the file {} {error}", file.display())]
pub struct HeaderFileError {
    file: PathBuf,
    error: HeaderValueError,
}

/// Reason why a file holds no value of a header. Its text follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum HeaderValueError {
    /// It is empty.
    #[error("is empty; must contain the value of the header")]
    Empty,
    /// Its content cannot be the value of a header.
    #[error("has a byte that is not allowed in headers, such as a line break")]
    InvalidByte,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Common servers refuse longer headers.
const MAX_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    fn file(path: &Path) -> Arc<HeaderFile> {
        Arc::new(HeaderFile::new(path.to_owned()))
    }

    #[test]
    fn only_a_valid_value_replaces_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let (header_values, first, second) = (HeaderValues::default(), file(&path), file(&path));
        let value = || header_values.value(&first).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(value(), None);
        let expect = |expected: &str| assert_eq!(value().as_deref(), Some(expected));
        fs::write(&path, "Bearer one\r\n").unwrap();
        header_values.read(&first).unwrap();
        expect("Bearer one");
        fs::write(&path, "Bearer two").unwrap();
        header_values.read(&second).unwrap();
        // A reload of the configuration does not read a known file again.
        expect("Bearer one");
        assert_eq!(header_values.reload(), 0);
        expect("Bearer two");
        for bad in ["", "two\nlines", "\n"] {
            fs::write(&path, bad).unwrap();
            assert_eq!((header_values.reload(), header_values.reload()), (1, 1), "{bad}");
            expect("Bearer two");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(header_values.reload(), 1);
        expect("Bearer two");
        fs::write(&path, "Bearer two\n").unwrap();
        assert_eq!(header_values.reload(), 0);
        expect("Bearer two");
    }

    #[test]
    fn a_late_refresh_keeps_a_newer_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let header_values = HeaderValues::default();
        let value = |file: &HeaderFile| header_values.value(file).map(|value| value.to_str().unwrap().to_owned());
        let read = |content: &str| {
            fs::write(&path, content).unwrap();
            let file = file(&path);
            header_values.read(&file).unwrap();
            file
        };
        let old = read("one");
        let refreshed = header_values.known()[&path].clone();
        drop(old);
        let new = read("two");
        header_values.store(&path, refreshed);
        assert_eq!(value(&new).as_deref(), Some("two"));
        let refreshed = Known { value: HeaderValue::from_static("three"), ..header_values.known()[&path].clone() };
        header_values.store(&path, refreshed);
        assert_eq!(value(&new).as_deref(), Some("three"));
    }

    #[test]
    fn each_change_is_logged_once_without_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut known = Known { value: HeaderValue::from_static("one"), uses: Vec::new(), rejected: None };
        let mut refresh = || {
            let mut changes = Changes::default();
            known.refresh(&path, &mut changes);
            changes
        };
        let missing = refresh();
        assert_eq!((missing.unusable.len(), missing.rejected.len()), (1, 1), "{missing:?}");
        let still = refresh();
        assert_eq!((still.unusable.len(), still.rejected.len()), (1, 0), "{still:?}");
        fs::write(&path, "hunter2\nhunter3").unwrap();
        let message =
            format!("the file {} has a byte that is not allowed in headers, such as a line break", path.display());
        assert_eq!(refresh().rejected, BTreeSet::from([message]));
        fs::write(&path, "one").unwrap();
        let restored = refresh();
        assert_eq!((restored.restored.len(), restored.reloaded.len()), (1, 0), "{restored:?}");
        fs::write(&path, "two").unwrap();
        let changed = refresh();
        assert_eq!((changed.restored.len(), changed.reloaded.len()), (0, 1), "{changed:?}");
    }

    #[test]
    fn an_unused_value_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one").unwrap();
        let (header_values, first, second) = (HeaderValues::default(), file(&path), file(&path));
        header_values.read(&first).unwrap();
        header_values.read(&second).unwrap();
        drop(first);
        assert_eq!((header_values.reload(), header_values.known().len()), (0, 1));
        drop(second);
        fs::write(&path, "").unwrap();
        assert_eq!((header_values.reload(), header_values.known().len()), (0, 0));
        let error = header_values.read(&file(&path)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the file {} is empty; must contain the value of the header", path.display())
        );
    }

    #[test]
    fn files_are_no_larger_than_headers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "x".repeat(64 << 10)).unwrap();
        assert!(value(&path).is_ok_and(|value| value.is_sensitive()));
        fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
        assert!(matches!(value(&path), Err(HeaderValueError::Read(ReadError::TooLarge { limit: 65_536 }))));
        assert!(value(folder.path()).is_err());
    }
}
