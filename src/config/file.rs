//! Reading the configuration file.

use std::io;
use std::path::Path;

use crate::config::problems::LoadError;
use crate::config::problems::path::Position;
use crate::files::{self, ReadError, SpecialFile};

/// Reads the text of a file: UTF-8, at most 64 MiB. It may be a pipe. Every error names the file.
pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let bytes = files::read_any(path, MAX_BYTES).map_err(|error| LoadError::of_file(path, None, explain(&error)))?;
    String::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("is not UTF-8: the byte 0x{byte:02x} belongs to no character; save the file as UTF-8");
        LoadError::of_file(path, Some(Position::behind(&String::from_utf8_lossy(valid))), message)
    })
}

/// Adds what to do about an error.
fn explain(error: &ReadError) -> String {
    match error {
        ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "does not exist; name a file with --config.file, or create it".to_owned()
        }
        ReadError::Special(SpecialFile::Directory) => "is a directory; name the file itself".to_owned(),
        ReadError::TooLarge { .. } => {
            format!("is larger than {} MiB, the most that a configuration may have", MAX_BYTES >> 20)
        }
        ReadError::Io(_) | ReadError::Special(_) => error.to_string(),
    }
}

/// 200,000 targets with ten settings each fit.
const MAX_BYTES: u64 = 64 << 20;
