//! SHA-256 of bytes and of files.

use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use crate::files::open;
use crate::target::Sha256Digest;

/// The SHA-256 of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

/// The SHA-256 of a regular file of any size. `None` if it cannot be read, or if it is a pipe, which can be read only
/// once.
pub(crate) fn of_file(path: &Path) -> Option<Sha256Digest> {
    let mut file = open(path).ok()?;
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(finish(context)),
            length => context.update(piece.get(..length)?),
        }
    }
}

/// The digest of everything that a SHA-256 context has processed.
pub(crate) fn finish(context: Context) -> Sha256Digest {
    let digest = context.finish();
    Sha256Digest::new(digest.as_ref().try_into().expect("a SHA-256 digest must have 32 bytes"))
}

const PIECE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1] {
            let bytes = vec![7; length];
            fs::write(&path, &bytes).unwrap();
            assert_eq!(of_file(&path), Some(sha256(&bytes)), "{length}");
        }
        assert_eq!(of_file(folder.path()), None);
        assert_eq!(sha256(b"").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
