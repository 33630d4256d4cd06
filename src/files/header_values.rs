//! What files hold of secrets for requests: read at load, kept up to date.
//!
//! Content is compared, not times of modification, so that a mounted secret whose symbolic links are swapped is seen.
//! What cannot be used leaves in force what was read before. No message repeats what a file holds.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{error, info, warn};

use crate::files;
use crate::locks::lock;
use crate::target::{HeaderFile, Secret};

/// The secrets of all targets, each there as long as a target has it.
#[derive(Debug, Default)]
pub struct Secrets {
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// What is known of one file.
#[derive(Clone, Debug)]
struct Known {
    secret: Weak<Secret>,
    /// Why what it holds now cannot be used.
    rejected: Option<String>,
}

impl Secrets {
    /// Gives a file its secret, which is read unless that was done before. The error names the file.
    pub fn read(&self, file: &HeaderFile) -> Result<(), String> {
        if let Some(secret) = self.secret(file.path()) {
            file.attach(secret);
            return Ok(());
        }
        let value = value(file.path()).map_err(|why| fault(file.path(), &why))?;
        let secret = Arc::new(Secret::new(value));
        let known = Known { secret: Arc::downgrade(&secret), rejected: None };
        self.known().insert(file.path().to_owned(), known);
        file.attach(secret);
        Ok(())
    }

    /// Looks at the files again and again, and takes over what has changed. Never ends by itself.
    ///
    /// Calls `failed` each time that it looks, once for every file that has changed and cannot be used.
    pub async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.known().is_empty() {
                continue;
            }
            let secrets = self.clone();
            match spawn_blocking(move || secrets.look()).await {
                Ok(failures) => (0..failures).for_each(|_| failed()),
                // What was read before is still in force.
                Err(error) => error!(%error, "Cannot look at the files of headers"),
            }
        }
    }

    /// Takes over what has changed, and tells how many files cannot be used.
    fn look(&self) -> usize {
        let mut known = self.known();
        known.retain(|_, known| known.secret.strong_count() > 0);
        let before = known.clone();
        // Files may hang, and a reload is not to wait for them.
        drop(known);
        let mut news = News::default();
        for (path, Known { secret, rejected }) in before {
            let Some(secret) = secret.upgrade() else { continue };
            let rejected = news.compare(&path, &secret, rejected);
            if let Some(known) = self.known().get_mut(&path) {
                known.rejected = rejected;
            }
        }
        news.tell()
    }

    /// The secret of a file that was read before and is still in use.
    fn secret(&self, path: &Path) -> Option<Arc<Secret>> {
        self.known().get(path)?.secret.upgrade()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        lock(&self.known)
    }
}

/// What one look has found.
#[derive(Debug, Default)]
struct News {
    taken_over: BTreeSet<String>,
    /// Files that were unusable and are again as they were before.
    restored: BTreeSet<String>,
    /// What is wrong with files that have just changed.
    rejected: Vec<String>,
    unusable: usize,
}

impl News {
    /// Reads a file again; what is wrong with it is what comes back.
    fn compare(&mut self, path: &Path, secret: &Secret, rejected: Option<String>) -> Option<String> {
        match value(path) {
            Ok(value) if value == secret.value() => {
                self.restored.extend(rejected.map(|_| path.display().to_string()));
                None
            }
            Ok(value) => {
                secret.set(value);
                self.taken_over.insert(path.display().to_string());
                None
            }
            Err(why) => {
                self.unusable += 1;
                if rejected.as_ref() != Some(&why) {
                    self.rejected.push(fault(path, &why));
                }
                Some(why)
            }
        }
    }

    /// Logs what is new, and tells how many files cannot be used.
    fn tell(&self) -> usize {
        let listed = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !self.taken_over.is_empty() {
            info!(files = listed(&self.taken_over), "Took over changed files of headers");
        }
        if !self.restored.is_empty() {
            info!(files = listed(&self.restored), "Files of headers are again as they were before");
        }
        for fault in &self.rejected {
            warn!(fault, "Cannot use a changed file of a header, what was read before stays in force");
        }
        self.unusable
    }
}

/// The value of a header that a file holds, one line end behind it apart. The error follows on the file's name.
pub(crate) fn value(path: &Path) -> Result<HeaderValue, String> {
    let bytes = files::read(path, MAX_BYTES)?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err("is empty; it must hold the value of the header".to_owned());
    }
    let mut value = HeaderValue::from_bytes(line)
        .map_err(|_| "has a byte that no header may have, such as a second line".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn fault(path: &Path, why: &str) -> String {
    format!("the file {} {why}", path.display())
}

/// A new token is in use as soon as a changed configuration would be.
const PERIOD: Duration = Duration::from_secs(10);

/// Common servers refuse longer headers.
const MAX_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(file: &HeaderFile) -> String {
        file.value().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_rotated_secret_reaches_everybody_and_a_bad_one_nobody() {
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
            (secrets.look(), text(&first), text(&second)),
            (0, "Bearer two".to_owned(), "Bearer two".to_owned())
        );
        for bad in ["", "two\nlines", "\n"] {
            fs::write(&path, bad).unwrap();
            assert_eq!((secrets.look(), secrets.look(), text(&first)), (1, 1, "Bearer two".to_owned()), "{bad}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!((secrets.look(), text(&first)), (1, "Bearer two".to_owned()));
        fs::write(&path, "Bearer two\n").unwrap();
        assert_eq!((secrets.look(), text(&first)), (0, "Bearer two".to_owned()));
    }

    #[test]
    fn each_change_is_told_once_and_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::new(HeaderValue::from_static("one"));
        let look = |rejected: Option<String>| {
            let mut news = News::default();
            let rejected = news.compare(&path, &secret, rejected);
            (rejected, news)
        };
        let (rejected, missing) = look(None);
        assert_eq!((missing.unusable, missing.rejected.len()), (1, 1), "{missing:?}");
        let (rejected, still) = look(rejected);
        assert_eq!((still.unusable, still.rejected.len()), (1, 0), "{still:?}");
        fs::write(&path, "hunter2\nhunter3").unwrap();
        let (rejected, other) = look(rejected);
        let message = format!("the file {} has a byte that no header may have, such as a second line", path.display());
        assert_eq!(other.rejected, [message]);
        fs::write(&path, "one").unwrap();
        let (rejected, restored) = look(rejected);
        assert_eq!((restored.restored.len(), restored.taken_over.len(), &rejected), (1, 0, &None), "{restored:?}");
        fs::write(&path, "two").unwrap();
        let (_, changed) = look(rejected);
        assert_eq!((changed.restored.len(), changed.taken_over.len()), (0, 1), "{changed:?}");
    }

    #[test]
    fn a_file_that_nobody_has_any_more_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "one").unwrap();
        let (secrets, file) = (Secrets::default(), HeaderFile::new(path.clone()));
        secrets.read(&file).unwrap();
        drop(file);
        fs::write(&path, "").unwrap();
        assert_eq!((secrets.look(), secrets.known().len()), (0, 0));
        let error = secrets.read(&HeaderFile::new(path.clone())).unwrap_err();
        assert_eq!(error, format!("the file {} is empty; it must hold the value of the header", path.display()));
    }

    #[test]
    fn no_file_is_larger_than_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "x".repeat(64 << 10)).unwrap();
        assert!(value(&path).is_ok_and(|value| value.is_sensitive()));
        fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
        assert_eq!(value(&path), Err("is larger than 65536 bytes, the most that is read".to_owned()));
        assert_eq!(value(folder.path()), Err("is a directory, not a regular file".to_owned()));
    }
}
