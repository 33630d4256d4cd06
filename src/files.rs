//! Files that others write: bounded reads here, digests and watching for changes in the modules below.
//!
//! Anything but a regular file is refused before it is opened, because opening a pipe without a writer blocks forever.
//! Only the configuration may be a pipe.
//!
//! Files are polled and their contents compared. Notifications of the kernel would miss a ConfigMap, which Kubernetes
//! replaces by swapping a symbolic link, and files on network file systems.

use std::fmt;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;

pub(crate) mod digest;
pub mod header_values;
pub mod reads;
pub(crate) mod watch;

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    bounded(open(path)?, limit)
}

/// Opens a regular file, without waiting for the writer of a pipe.
fn open(path: &Path) -> Result<File, ReadError> {
    refuse_special(&fs::metadata(path)?)?;
    // By now the path may name another file, such as a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

/// Reads at most `limit` bytes of a file that may also be a pipe or a device. Blocks until the writer of a pipe closes
/// it.
pub(crate) fn read_any(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(ReadError::Special(SpecialFile::Directory));
    }
    bounded(file, limit)
}

/// Reason why a file was not read. Its text follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused to open or to read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not a regular file.
    #[error("is {0}, not a regular file")]
    Special(SpecialFile),
    /// It has more bytes than the limit.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// A file that is not a regular file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpecialFile {
    /// A device.
    Device,
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
}

impl fmt::Display for SpecialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "a device",
            Self::Directory => "a directory",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
        })
    }
}

impl SpecialFile {
    /// `None` for a regular file.
    fn of(file_type: FileType) -> Option<Self> {
        match file_type {
            _ if file_type.is_file() => None,
            _ if file_type.is_dir() => Some(Self::Directory),
            _ if file_type.is_socket() => Some(Self::Socket),
            _ if file_type.is_fifo() => Some(Self::Pipe),
            _ => Some(Self::Device),
        }
    }
}

fn refuse_special(metadata: &fs::Metadata) -> Result<(), ReadError> {
    SpecialFile::of(metadata.file_type()).map_or(Ok(()), |special| Err(ReadError::Special(special)))
}

fn bounded(file: File, limit: u64) -> Result<Vec<u8>, ReadError> {
    if file.metadata()?.len() > limit {
        return Err(ReadError::TooLarge { limit });
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    // A file may have grown meanwhile, and a pipe has no length.
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(ReadError::TooLarge { limit })
    }
}

/// A file that has not changed for this long is complete: a partly written one may be valid.
pub(crate) const SETTLE_TIME: Duration = Duration::from_secs(2);

/// Number of waits after which a file that keeps changing is used as it is.
pub(crate) const MAX_SETTLING: usize = 5;

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "1234").unwrap();
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let text = |path: &Path, limit| read(path, limit).map_err(|error| error.to_string());
        assert_eq!(text(&file, 4), Ok(b"1234".to_vec()));
        for (path, limit, expected) in [
            (&*file, 3, "is larger than 3 bytes"),
            (&pipe, 4, "is a pipe, not a regular file"),
            (folder.path(), 4, "is a directory, not a regular file"),
            (Path::new("/dev/null"), 4, "is a device, not a regular file"),
        ] {
            assert_eq!(text(path, limit), Err(expected.to_owned()));
        }
        assert!(read(&folder.path().join("none"), 4).is_err());
    }

    #[test]
    fn a_pipe_can_be_read_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        std::thread::scope(|scope| {
            for (limit, fits) in [(4, true), (3, false)] {
                let writer = scope.spawn(|| fs::write(&pipe, "1234").unwrap());
                assert_eq!(read_any(&pipe, limit).is_ok_and(|bytes| bytes == b"1234"), fits);
                writer.join().unwrap();
            }
        });
        assert!(matches!(read_any(folder.path(), 4), Err(ReadError::Special(SpecialFile::Directory))));
    }
}
