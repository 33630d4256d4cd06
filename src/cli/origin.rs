//! The configuration's file, as the daemon comes back to it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::environment;
use crate::app::{Files, Origin, machine};
use crate::config::{self, Config, LoadError};
use crate::discovery::Lookups;
use crate::probe::NetworkProber;
use crate::target::Sha256Digest;

/// A configuration in a file, and whoever lives by it besides targets.
#[derive(Debug)]
pub(super) struct ConfigurationFile {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    pub(super) prober: Arc<NetworkProber>,
    pub(super) lookups: Lookups,
}

impl Origin for ConfigurationFile {
    fn load(&self) -> Result<Config, LoadError> {
        config::load(&self.path, &environment, |needed| self.files.read(needed))
    }

    fn digest(&self) -> Option<Sha256Digest> {
        digest(&self.path)
    }

    fn adopt(&self, config: &Config) {
        machine::raise_descriptor_limit(config.limits.in_flight);
        self.prober.set_resolver_options(config.dns);
        self.lookups.set_resolver_options(config.dns);
    }
}

/// A digest of a file's content. Only a regular file has one that can be read again; a pipe is read once.
pub(super) fn digest(path: &Path) -> Option<Sha256Digest> {
    let mut file = fs::metadata(path).ok().filter(fs::Metadata::is_file).and_then(|_| File::open(path).ok())?;
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).ok()? {
            0 => break,
            length => context.update(piece.get(..length)?),
        }
    }
    context.finish().as_ref().try_into().map(Sha256Digest::new).ok()
}

const PIECE_BYTES: usize = 64 * 1024;
