//! Files that somebody else writes: what is no regular file is never opened, for a pipe that nobody writes to would hold
//! its reader for ever.

use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

pub mod header_values;

/// The content of a regular file of at most so many bytes. The error follows on the file's name.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let too_large = || format!("is larger than {limit} bytes, the most that is read");
    let is_regular = |metadata: &fs::Metadata| match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(format!("is {kind}, not a regular file")),
    };
    is_regular(&fs::metadata(path).map_err(failed)?)?;
    // It may be another one by now, and one that holds whoever opens it.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    is_regular(&metadata)?;
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    // It may have grown meanwhile.
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) { Ok(bytes) } else { Err(too_large()) }
}

/// What a file is that is no regular one.
fn kind(file_type: FileType) -> Option<&'static str> {
    match file_type {
        _ if file_type.is_file() => None,
        _ if file_type.is_dir() => Some("a directory"),
        _ if file_type.is_socket() => Some("a socket"),
        _ if file_type.is_fifo() => Some("a pipe"),
        _ => Some("a device"),
    }
}
