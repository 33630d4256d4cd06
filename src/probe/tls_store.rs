//! TLS files in memory: roots, client certificates and revocation lists, which are reloaded when they change.
//!
//! `contents` reads files; `roots`, `identity` and `crl` parse them, and `pem` their encoding; `loader` builds changed
//! components, and `watch` detects changes.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
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
use crate::probe::certificate::Restrictions;
use crate::target::{FileProblem, KeyExchangeGroup, TlsFile, TlsProfile, TlsVersion};

mod contents;
mod crl;
pub(crate) mod identity;
mod loader;
mod pem;
mod roots;
mod watch;

/// The loaded TLS profiles of targets and discovery sources.
#[derive(Debug)]
pub struct TlsStore {
    stored: RwLock<HashMap<Arc<TlsProfile>, Stored>>,
    loader: Loader,
    provider: Arc<CryptoProvider>,
    period: Duration,
}

/// A loaded profile.
#[derive(Clone, Debug)]
struct Stored {
    context: Arc<TlsContext>,
    /// The components of the context.
    components: Components,
    /// The changed files that cannot be used, if there are any.
    rejected: Option<Rejected>,
}

/// Changed files that cannot be used.
#[derive(Clone, Debug)]
struct Rejected {
    found: Fingerprints,
    problems: Vec<FileProblem>,
}

impl TlsStore {
    /// Creates an empty store. [`Self::watch`] checks the files every `period`.
    pub fn watching_every(period: Duration) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { stored: RwLock::default(), loader: Loader::new(provider.clone()), provider, period }
    }

    /// Reads the files of a profile, unless it is already loaded. The error lists every file that cannot be used.
    pub fn read(&self, profile: &Arc<TlsProfile>) -> Result<(), Vec<FileProblem>> {
        if self.is_loaded(profile) {
            return Ok(());
        }
        let mut contents = FileContents::default();
        contents.fingerprints(profile);
        let (components, problems) = self.loader.make(profile, &contents, None);
        let components = components.ok_or(problems)?;
        let stored = Stored { context: self.context_of(profile, &components), components, rejected: None };
        write(&self.stored).insert(profile.clone(), stored);
        Ok(())
    }

    /// Returns whether the files of a profile are loaded.
    pub fn is_loaded(&self, profile: &TlsProfile) -> bool {
        self.context(profile).is_some()
    }

    /// Drops all other profiles.
    pub fn retain(&self, profiles: &HashSet<Arc<TlsProfile>>) {
        write(&self.stored).retain(|profile, _| profiles.contains(profile));
        self.loader.retain(profiles);
    }

    /// Returns the context of a profile; `None` if it is not loaded.
    pub(super) fn context(&self, profile: &TlsProfile) -> Option<Arc<TlsContext>> {
        let stored = read(&self.stored);
        stored.get(profile).map(|stored| stored.context.clone())
    }

    /// Creates a context of these components.
    fn context_of(&self, profile: &TlsProfile, components: &Components) -> Arc<TlsContext> {
        // The first random number takes 20 ms, because the generator must collect entropy. Here, no time is measured.
        let _ = self.provider.secure_random.fill(&mut [0; 1]);
        Arc::new(TlsContext {
            config: self.config(profile),
            roots: components.roots.content.clone(),
            crls: components.crls.iter().map(|component| component.content.clone()).collect(),
            identity: components.identity.as_ref().map(|component| component.content.clone()),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Creates the client configuration. It has no roots, so a handshake without a separate verifier fails.
    fn config(&self, profile: &TlsProfile) -> ClientConfig {
        let versions: Vec<_> = profile.versions.iter().map(supported).collect();
        let kx_groups = profile.key_exchange.iter().map(group).collect();
        let provider = CryptoProvider { kx_groups, ..CryptoProvider::clone(&self.provider) };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&versions)
            .expect("the provider must have cipher suites and a group for every version");
        let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = profile.alpn.iter().map(|protocol| protocol.as_str().into()).collect();
        config.resumption = Resumption::disabled();
        config.enable_sni = true;
        config.enable_early_data = false;
        config
    }
}

impl Default for TlsStore {
    /// Creates an empty store that checks its files every ten seconds.
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

/// Returns the implementation of a group.
fn group(group: KeyExchangeGroup) -> &'static dyn SupportedKxGroup {
    match group {
        KeyExchangeGroup::Secp256r1 => kx_group::SECP256R1,
        KeyExchangeGroup::Secp384r1 => kx_group::SECP384R1,
        KeyExchangeGroup::X25519 => kx_group::X25519,
        KeyExchangeGroup::X25519Mlkem768 => kx_group::X25519MLKEM768,
    }
}

/// The data that handshakes with a profile and the verification of certificates need.
#[derive(Debug)]
pub(super) struct TlsContext {
    /// Versions, key exchange groups and application protocols. Each handshake sets its verifier, client certificate
    /// resolver and session store.
    pub(super) config: ClientConfig,
    /// Trusted anchors.
    pub(super) roots: Arc<Anchors>,
    /// Revocation lists by file.
    pub(super) crls: Vec<Arc<[CertRevocationList<'static>]>>,
    /// The client certificate.
    pub(super) identity: Option<Arc<ClientIdentity>>,
    /// A unique number of this context.
    pub(super) generation: u64,
}

/// The trusted anchors, at which chains may end.
#[derive(Debug)]
pub(super) struct Anchors {
    /// The names and keys. Only built-in roots have name constraints here.
    pub(super) store: RootCertStore,
    /// The contents of the certificates, in the same order; `None` if only name and key are known.
    pub(super) contents: Vec<Option<CertificateContent>>,
    /// The restrictions of the certificates, in the same order. Those of built-in roots are empty.
    pub(super) restrictions: Vec<Restrictions>,
    /// The certificates, if they come from `ca_file`. A leaf that is one of them is trusted.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The origin for messages, such as "the file /etc/ca.pem" or "Mozilla's roots".
    pub(super) origin: String,
}

/// A client certificate with its key.
#[derive(Debug)]
pub(super) struct ClientIdentity {
    pub(super) key: Arc<CertifiedKey>,
    /// The last second in which the certificate is valid, since 1970; `None` if it cannot be parsed.
    pub(super) not_after: Option<i64>,
}

/// Returns a problem of the file that `setting` names.
fn problem(setting: TlsFile, path: &Path, fault: &dyn fmt::Display) -> FileProblem {
    FileProblem { setting, message: format!("the file {} {fault}", path.display()) }
}

/// The number of the next context.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
