//! The files that targets and sources refer to: read with the configuration, then watched.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::{Draft, LoadError, Required, Unreadable};
use crate::files::header_values::HeaderValues;
use crate::probe::TlsStore;
use crate::target::TlsProfile;

/// The contents of all files that were read. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LoadedFiles {
    /// Certificates, keys and revocation lists.
    pub tls_store: Arc<TlsStore>,
    /// Values of headers. A value is dropped with the last target that uses it.
    pub header_values: Arc<HeaderValues>,
}

impl LoadedFiles {
    /// Uses a file, or the files of a TLS profile, if they are already loaded. Otherwise returns false.
    pub(super) fn reuse(&self, required: &Required) -> bool {
        match required {
            Required::Header(file) => self.header_values.reuse(file),
            Required::Tls(profile) => self.tls_store.is_loaded(profile),
        }
    }

    /// Reads a file, or the files of a TLS profile, unless they are already loaded.
    pub fn read(&self, required: &Required) -> Result<(), Unreadable> {
        match required {
            Required::Header(file) => self
                .header_values
                .read(file)
                .map_err(|error| Unreadable::Header(file.clone(), error.to_string())),
            Required::Tls(profile) => self
                .tls_store
                .read(profile)
                .map_err(|problems| Unreadable::Tls(profile.clone(), problems)),
        }
    }

    /// Reads the files of a draft and finishes it.
    pub fn finish<T>(&self, draft: Draft<'_, T>) -> Result<T, LoadError> {
        let unreadable = self.read_all(draft.required());
        draft.finish(&unreadable)
    }

    /// Reads files, and returns the errors.
    pub(super) fn read_all(&self, required: impl IntoIterator<Item = Required>) -> Vec<Unreadable> {
        required.into_iter().filter_map(|required| self.read(&required).err()).collect()
    }

    /// Drops the files of every other TLS profile.
    pub(super) fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        self.tls_store.retain(profiles);
    }

    /// Watches the files and applies their changes. Never ends. Calls `failed` whenever a changed file cannot be used.
    pub(super) async fn watch(&self, failed: &(dyn Fn() + Sync)) {
        tokio::join!(self.tls_store.watch(failed), self.header_values.watch(failed));
    }
}
