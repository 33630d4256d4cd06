//! What targets and sources need of files: read at load, kept up to date.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::{Needed, Unusable};
use crate::files::header_values::Secrets;
use crate::probe::Trust;
use crate::target::TlsProfile;

/// Everything that was read from files. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Of TLS.
    pub trust: Arc<Trust>,
    /// Of headers; it drops by itself what no target has any more.
    pub secrets: Arc<Secrets>,
}

impl Files {
    /// Reads what is needed, unless that was done before.
    pub fn read(&self, needed: Needed<'_>) -> Result<(), Unusable> {
        match needed {
            Needed::Header(file) => self.secrets.read(file).map_err(Unusable::Header),
            Needed::Tls(profile) => self.trust.read(profile).map_err(Unusable::Tls),
        }
    }

    /// Forgets what was read for any other profile of TLS.
    pub(super) fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        self.trust.retain(profiles);
    }

    /// Takes over what changes. Never ends by itself; `failed` is called whenever a changed file cannot be used.
    pub(super) async fn watch(&self, failed: &(dyn Fn() + Sync)) {
        tokio::join!(self.trust.watch(failed), self.secrets.watch(failed));
    }
}
