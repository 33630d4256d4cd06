//! Reading the configuration's file, within bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::config::problems::LoadError;
use crate::config::problems::path::Position;

/// The text of a file, at most 64 MiB of UTF-8. Every error names the file.
pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let mut bytes = Vec::new();
    match read_bytes(path, &mut bytes) {
        Ok(()) => {}
        Err(error) => return Err(LoadError::of_file(path, None, error.to_string())),
    }
    String::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("is not UTF-8: the byte 0x{byte:02x} belongs to no character; save the file as UTF-8");
        LoadError::of_file(path, Some(Position::behind(&String::from_utf8_lossy(valid))), message)
    })
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is a directory; name the file itself")]
    IsDirectory,
    #[error("does not exist; name a file with --config.file, or create it")]
    Missing,
    #[error("is larger than {} MiB, the most that a configuration may have", MAX_BYTES >> 20)]
    TooLarge,
}

fn read_bytes(path: &Path, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Io(error),
    })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ReadError::IsDirectory);
    }
    if metadata.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    // What is no regular file, such as a pipe, tells no size beforehand.
    let read = file.take(MAX_BYTES + 1).read_to_end(bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) {
        return Err(ReadError::TooLarge);
    }
    Ok(())
}

/// 200,000 targets with ten settings each fit in.
const MAX_BYTES: u64 = 64 << 20;
