//! A small file whose changes are followed.
//!
//! A writer that truncates a file and writes it again leaves it empty for a moment. Content that vanishes therefore
//! counts only once two looks have found the same file without any.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::files::{self, ReadError};
use crate::outcome::{LocalFault, LocalFaultReason};
use crate::probe::tcp::errno::{self, ConnectError, cause};

/// A file with the content in use.
#[derive(Debug)]
pub(super) struct FollowedFile<T> {
    /// The file at the last look; `None` if there was none.
    stamp: Option<Stamp>,
    content: Arc<T>,
    state: State,
    had_any: bool,
}

/// The state of the content in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The last look found it.
    Current,
    /// The last look found nothing for the first time.
    Doubtful,
    /// There is none.
    Void,
}

impl<T> FollowedFile<T> {
    /// Looks at a file and reads it if it has changed since `last`. `parse` also returns whether there is any content.
    ///
    /// Fails only if this machine lacks descriptors or memory. Other errors are for `parse`.
    pub(super) fn read(
        path: &Path,
        last: Option<&Self>,
        parse: impl FnOnce(Result<Vec<u8>, ReadError>) -> (T, bool),
    ) -> Result<Self, LocalFault> {
        // The stamp is taken first, so that the next look detects a change during the read.
        let stamp = stamp(path);
        if let Some(last) = last.filter(|last| last.stamp == stamp && last.state != State::Doubtful) {
            return Ok(last.with_stamp_and_state(stamp, last.state));
        }
        let (content, has_any) = parse(read(path)?);
        match last {
            Some(last) if !has_any && last.doubts(stamp) => Ok(last.with_stamp_and_state(stamp, State::Doubtful)),
            _ => {
                let state = if has_any { State::Current } else { State::Void };
                let had_any = has_any || last.is_some_and(|last| last.had_any);
                Ok(Self { stamp, content: Arc::new(content), state, had_any })
            }
        }
    }

    /// Returns the content in use.
    pub(super) fn content(&self) -> &T {
        &self.content
    }

    /// Returns whether the file has ever had any content.
    pub(super) fn had_any(&self) -> bool {
        self.had_any
    }

    /// Returns whether a look that finds nothing in the file with this stamp does not count yet.
    fn doubts(&self, stamp: Option<Stamp>) -> bool {
        match self.state {
            State::Current => true,
            State::Doubtful => self.stamp != stamp,
            State::Void => false,
        }
    }

    fn with_stamp_and_state(&self, stamp: Option<Stamp>, state: State) -> Self {
        Self { stamp, content: self.content.clone(), state, had_any: self.had_any }
    }
}

/// Reads a file. A lack of descriptors or memory is a local fault; other errors are part of the result.
fn read(path: &Path) -> Result<Result<Vec<u8>, ReadError>, LocalFault> {
    let read = files::read(path, MAX_LENGTH);
    if let Err(ReadError::Io(error)) = &read
        && let ConnectError::Local(reason @ (LocalFaultReason::NoDescriptor | LocalFaultReason::NoMemory)) =
            errno::at_once(error)
    {
        let detail = format!("cannot read {}: {}", path.display(), cause(errno::errno(error)));
        return Err(LocalFault { reason, detail });
    }
    Ok(read)
}

/// The metadata of a file. Files with equal stamps have the same content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Returns the stamp of a file; `None` if it does not exist.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Maximum length of a file. Lists of blocked hosts have some megabytes.
const MAX_LENGTH: u64 = 64 << 20;
