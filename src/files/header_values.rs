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
use crate::target::{HeaderFile, Secret};

/// The secrets of all targets. Each is kept as long as a target uses it.
#[derive(Debug, Default)]
pub struct Secrets {
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// The state of one file.
#[derive(Clone, Debug)]
struct Known {
    secret: Weak<Secret>,
    /// Why its present content cannot be used.
    rejected: Option<String>,
}

impl Secrets {
    /// Attaches the secret to a file, which is read unless it was read before.
    pub fn read(&self, file: &HeaderFile) -> Result<(), HeaderFileError> {
        if let Some(secret) = self.secret(file.path()) {
            file.attach(secret);
            return Ok(());
        }
        let value = value(file.path()).map_err(|error| HeaderFileError { file: file.path().to_owned(), error })?;
        let secret = Arc::new(Secret::new(value));
        let known = Known { secret: Arc::downgrade(&secret), rejected: None };
        self.known().insert(file.path().to_owned(), known);
        file.attach(secret);
        Ok(())
    }

    /// Reloads changed files. Never ends by itself.
    ///
    /// Calls `failed` at each check, once for every file that has changed and cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        watch(self, PERIOD, failed).await;
    }

    /// The secret of a file that was read before and is still in use.
    fn secret(&self, path: &Path) -> Option<Arc<Secret>> {
        self.known().get(path)?.secret.upgrade()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        lock(&self.known)
    }
}

impl Watched for Secrets {
    const KIND: &'static str = "header";

    fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    fn refresh(&self) -> Changes {
        let mut known = self.known();
        known.retain(|_, known| known.secret.strong_count() > 0);
        let before = known.clone();
        // Files may hang, and a reload of the configuration must not wait for them.
        drop(known);
        let mut changes = Changes::default();
        for (path, Known { secret, rejected }) in before {
            let Some(secret) = secret.upgrade() else { continue };
            let rejected = compare(&path, &secret, rejected, &mut changes);
            if let Some(known) = self.known().get_mut(&path) {
                known.rejected = rejected;
            }
        }
        changes
    }
}

/// Reads a file again; returns why its content cannot be used.
fn compare(path: &Path, secret: &Secret, rejected: Option<String>, changes: &mut Changes) -> Option<String> {
    match value(path) {
        Ok(value) if value == secret.value() => {
            changes.restored.extend(rejected.map(|_| path.display().to_string()));
            None
        }
        Ok(value) => {
            secret.set(value);
            changes.reloaded.insert(path.display().to_string());
            None
        }
        Err(error) => {
            let fault = HeaderFileError { file: path.to_owned(), error }.to_string();
            if rejected.as_ref() != Some(&fault) {
                changes.rejected.insert(fault.clone());
            }
            changes.unusable.insert(fault.clone());
            Some(fault)
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
    #[error("is empty; it must hold the value of the header")]
    Empty,
    /// Its content cannot be the value of a header.
    #[error("has a byte that no header may have, such as a second line")]
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

    fn text(file: &HeaderFile) -> String {
        file.value().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_rotated_secret_is_used_an_invalid_one_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let (secrets, first, second) =
            (Secrets::default(), HeaderFile::new(path.clone()), HeaderFile::new(path.clone()));
        fs::write(&path, "Bearer one\r\n").unwrap();
        secrets.read(&first).unwrap();
        assert_eq!((text(&first), second.value()), ("Bearer one".to_owned(), None));
        fs::write(&path, "Bearer two").unwrap();
        secrets.read(&second).unwrap();
        assert_eq!(text(&second), "Bearer one", "a reload brings no other secret than a look does");
        assert_eq!(
            (secrets.reload(), text(&first), text(&second)),
            (0, "Bearer two".to_owned(), "Bearer two".to_owned())
        );
        for bad in ["", "two\nlines", "\n"] {
            fs::write(&path, bad).unwrap();
            assert_eq!((secrets.reload(), secrets.reload(), text(&first)), (1, 1, "Bearer two".to_owned()), "{bad}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!((secrets.reload(), text(&first)), (1, "Bearer two".to_owned()));
        fs::write(&path, "Bearer two\n").unwrap();
        assert_eq!((secrets.reload(), text(&first)), (0, "Bearer two".to_owned()));
    }

    #[test]
    fn each_change_is_logged_once_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::new(HeaderValue::from_static("one"));
        let look = |rejected: Option<String>| {
            let mut changes = Changes::default();
            let rejected = compare(&path, &secret, rejected, &mut changes);
            (rejected, changes)
        };
        let (rejected, missing) = look(None);
        assert_eq!((missing.unusable.len(), missing.rejected.len()), (1, 1), "{missing:?}");
        let (rejected, still) = look(rejected);
        assert_eq!((still.unusable.len(), still.rejected.len()), (1, 0), "{still:?}");
        fs::write(&path, "hunter2\nhunter3").unwrap();
        let (rejected, other) = look(rejected);
        let message = format!("the file {} has a byte that no header may have, such as a second line", path.display());
        assert_eq!(other.rejected, BTreeSet::from([message]));
        fs::write(&path, "one").unwrap();
        let (rejected, restored) = look(rejected);
        assert_eq!((restored.restored.len(), restored.reloaded.len(), &rejected), (1, 0, &None), "{restored:?}");
        fs::write(&path, "two").unwrap();
        let (_, changed) = look(rejected);
        assert_eq!((changed.restored.len(), changed.reloaded.len()), (0, 1), "{changed:?}");
    }

    #[test]
    fn an_unused_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one").unwrap();
        let (secrets, file) = (Secrets::default(), HeaderFile::new(path.clone()));
        secrets.read(&file).unwrap();
        drop(file);
        fs::write(&path, "").unwrap();
        assert_eq!((secrets.reload(), secrets.known().len()), (0, 0));
        let error = secrets.read(&HeaderFile::new(path.clone())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the file {} is empty; it must hold the value of the header", path.display())
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
