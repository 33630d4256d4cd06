//! What TLS needs of files: roots, client certificates, revocation lists. Read at load, kept up to date.
//!
//! `contents` reads bytes, `roots`, `identity` and `crl` make sense of them, `pem` knows how they are packed,
//! `loader` puts together what has changed, and `watch` looks for it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use webpki::CertRevocationList;

use self::contents::{FileContents, Fingerprints};
use self::loader::{Components, Loader};
use crate::files::watch::PERIOD;
use crate::locks::{read, write};
use crate::outcome::CertificateContent;
use crate::target::{FileProblem, TlsProfile, TlsVersion};

mod contents;
mod crl;
mod identity;
mod loader;
mod pem;
mod roots;
mod watch;

/// Everything that was read for the profiles of the targets.
#[derive(Debug)]
pub struct TlsStore {
    held: RwLock<HashMap<Arc<TlsProfile>, Stored>>,
    workshop: Loader,
    provider: Arc<CryptoProvider>,
    period: Duration,
}

/// What is known of one profile.
#[derive(Clone, Debug)]
struct Stored {
    context: Arc<TlsContext>,
    /// What the context is made of.
    parts: Components,
    /// What its files hold now, where not all of that can be used.
    rejected: Option<Rejected>,
}

/// Files that have changed and cannot be used.
#[derive(Clone, Debug)]
struct Rejected {
    found: Fingerprints,
    problems: Vec<FileProblem>,
}

impl TlsStore {
    /// Nothing read yet. [`Self::watch`] looks at the files once in every `period`.
    pub fn watching_every(period: Duration) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { held: RwLock::default(), workshop: Loader::new(provider.clone()), provider, period }
    }

    /// Reads what a profile needs, unless that was done before; every file that cannot be used is in the error.
    pub fn read(&self, profile: &Arc<TlsProfile>) -> Result<(), Vec<FileProblem>> {
        if self.context(profile).is_some() {
            return Ok(());
        }
        let mut snapshot = FileContents::default();
        snapshot.fingerprints(profile);
        let (parts, problems) = self.workshop.make(profile, &snapshot, None);
        let parts = parts.ok_or(problems)?;
        let held = Stored { context: self.context_of(profile, &parts), parts, rejected: None };
        write(&self.held).insert(profile.clone(), held);
        Ok(())
    }

    /// Forgets what was read for any other profile.
    pub fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        write(&self.held).retain(|profile, _| profiles.contains(profile));
        self.workshop.retain(profiles);
    }

    /// What was read for a profile; none where nothing was.
    pub(super) fn context(&self, profile: &TlsProfile) -> Option<Arc<TlsContext>> {
        let held = read(&self.held);
        held.get(profile).map(|held| held.context.clone())
    }

    /// A context of these parts.
    fn context_of(&self, profile: &TlsProfile, parts: &Components) -> Arc<TlsContext> {
        // The first random number takes 20 ms, for there is no entropy yet. Here nobody measures.
        let _ = self.provider.secure_random.fill(&mut [0; 1]);
        Arc::new(TlsContext {
            config: self.config(profile),
            roots: parts.roots.content.clone(),
            crls: parts.crls.iter().map(|part| part.content.clone()).collect(),
            identity: parts.identity.as_ref().map(|part| part.content.clone()),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What is offered. As it stands it trusts nobody: a handshake that forgot to bring its own verifier fails.
    fn config(&self, profile: &TlsProfile) -> ClientConfig {
        let versions: Vec<_> = profile.versions.iter().map(supported).collect();
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&versions)
            .expect("the provider must have cipher suites for every version");
        let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = profile.alpn.iter().map(|protocol| protocol.as_str().into()).collect();
        config.resumption = Resumption::disabled();
        config.enable_sni = true;
        config.enable_early_data = false;
        config
    }
}

impl Default for TlsStore {
    /// Nothing read yet, its files to be looked at every ten seconds.
    fn default() -> Self {
        Self::watching_every(PERIOD)
    }
}

const fn supported(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V1_2 => &TLS12,
        TlsVersion::V1_3 => &TLS13,
    }
}

/// What handshakes with one profile need, and what their certificates are judged by.
#[derive(Debug)]
pub(super) struct TlsContext {
    /// Versions, key exchange groups and application protocols. Each handshake brings its own verifier, client
    /// certificate resolver and session store.
    pub(super) config: ClientConfig,
    /// Where chains may end.
    pub(super) roots: Arc<Anchors>,
    /// Revocation lists, by file.
    pub(super) crls: Vec<Arc<[CertRevocationList<'static>]>>,
    /// The client certificate.
    pub(super) identity: Option<Arc<ClientIdentity>>,
    /// Another number for any other context of this process.
    pub(super) generation: u64,
}

/// Where chains may end.
#[derive(Debug)]
pub(super) struct Anchors {
    /// As names and keys.
    pub(super) store: RootCertStore,
    /// What the certificate of each of them says, in the same order; none where only name and key are known.
    pub(super) contents: Vec<Option<CertificateContent>>,
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

/// Numbers for contexts.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
