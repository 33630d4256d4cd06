//! The web configuration in use: TLS, users, headers and the rate limit of this server.
//!
//! [`config::web`](crate::config::web) reads the file; here the certificates that it names are read, and all of them are
//! watched: a change is in use within seconds, for new connections and requests. A change that is unusable or removes
//! protection leaves everything as it is. A change of TLS ends the connections that were accepted before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config::web::{self, ClientAuth, TlsServerSettings, WebSettings};
use crate::config::{Diagnostic, LoadError};
use crate::files::digest;
use crate::files::watch::{Changes, PERIOD, Watched, watch};
use crate::files::{MAX_SETTLING, SETTLE_TIME};
use crate::locks::{lock, read, write};
use crate::target::Sha256Digest;

mod clients;
mod tls;

/// A web configuration with its certificates. The default has nothing enabled.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    settings: WebSettings,
    tls: Option<Arc<ServerConfig>>,
    /// Cancelled once other settings or files of TLS are in use.
    outdated: CancellationToken,
}

impl WebConfig {
    /// Reads a web configuration and the files that it names. Also returns settings that may be a mistake.
    pub fn load(path: &Path) -> Result<(Self, Vec<Diagnostic>), LoadError> {
        let draft = web::load(path)?;
        let built = draft.settings().map(tls::build).unwrap_or_default();
        let (settings, warnings) = draft.finish(&built.unusable, &built.warnings)?;
        Ok((Self { settings, tls: built.config, outdated: CancellationToken::new() }, warnings))
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &WebSettings {
        &self.settings
    }

    /// Returns the configuration of TLS; `None` for plain HTTP.
    pub(super) const fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// Returns whether TLS is enabled.
    pub const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the token that is cancelled once connections with this TLS, or without any, must end.
    pub(super) const fn outdated(&self) -> &CancellationToken {
        &self.outdated
    }

    /// Returns whether every request needs a password, or every client a verified certificate.
    pub fn has_authentication(&self) -> bool {
        let settings = &self.settings;
        let client_auth = settings.tls.as_ref().map(|tls| &tls.client_auth);
        !settings.users.is_empty() || matches!(client_auth, Some(ClientAuth::RequireAndVerify(_)))
    }

    /// Returns the protection that another configuration lacks, such as `TLS`.
    fn protection_removed_by(&self, other: &Self) -> Vec<&'static str> {
        let of_clients = |config: &Self| config.settings.tls.as_ref().map_or(ClientProtection::None, client_protection);
        let names_clients = |config: &Self| {
            let tls = config.settings.tls.as_ref();
            tls.is_some_and(|tls| tls.client_names.is_some())
        };
        let removed = [
            (self.has_tls() && !other.has_tls(), "TLS"),
            (!self.settings.users.is_empty() && other.settings.users.is_empty(), "all users"),
            (of_clients(self) > of_clients(other), "the required client certificate"),
            (names_clients(self) && !names_clients(other), "`client_allowed_sans`"),
        ];
        let removed = removed.into_iter().filter(|(is_removed, _)| *is_removed);
        removed.map(|(_, protection)| protection).collect()
    }
}

/// The client certificate that every connection needs, the weakest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum ClientProtection {
    None,
    Any,
    Verified,
}

const fn client_protection(tls: &TlsServerSettings) -> ClientProtection {
    match tls.client_auth {
        ClientAuth::RequireAndVerify(_) => ClientProtection::Verified,
        ClientAuth::RequireAny => ClientProtection::Any,
        ClientAuth::VerifyIfGiven(_) | ClientAuth::Request | ClientAuth::None => ClientProtection::None,
    }
}

/// The web configuration that follows the changes of its file. The default has no file and nothing enabled.
#[derive(Debug, Default)]
pub struct WebConfigFile {
    path: Option<PathBuf>,
    current: RwLock<Arc<WebConfig>>,
    seen: Mutex<Seen>,
}

/// The contents of files that were found by the last refreshes.
#[derive(Debug, Default)]
struct Seen {
    /// The contents in use.
    used: Contents,
    /// Later contents that cannot be used, with the reasons.
    rejected: Option<(Contents, Vec<String>)>,
}

/// The digest of the file and of those that it names; `None` if one cannot be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Contents(BTreeMap<PathBuf, Option<Sha256Digest>>);

impl WebConfigFile {
    /// Reads the file. Also returns settings that may be a mistake.
    pub fn load(path: &Path) -> Result<(Self, Vec<Diagnostic>), LoadError> {
        // Before the file is loaded, so that a later change is detected.
        let used = Contents::of(path);
        let (config, warnings) = WebConfig::load(path)?;
        let seen = Seen { used, rejected: None };
        let file = Self { path: Some(path.to_owned()), current: RwLock::new(Arc::new(config)), seen: Mutex::new(seen) };
        Ok((file, warnings))
    }

    /// Returns the configuration in use.
    pub fn current(&self) -> Arc<WebConfig> {
        read(&self.current).clone()
    }

    /// Watches the files. Never ends. Calls `failed` once for every problem of a changed file.
    pub(crate) async fn watch(self: &Arc<Self>, failed: &(dyn Fn() + Sync)) {
        watch(self, PERIOD, failed).await;
    }

    fn compare(&self, path: &Path, seen: &mut Seen) -> Changes {
        let (mut found, mut changes) = (Contents::of(path), Changes::default());
        match &seen.rejected {
            Some((rejected, reasons)) if *rejected == found => {
                changes.unusable.extend(reasons.iter().cloned());
                return changes;
            }
            Some((rejected, _)) if seen.used == found => {
                changes.restored = rejected.differing(&found);
                seen.rejected = None;
                return changes;
            }
            None if seen.used == found => return changes,
            Some(_) | None => {}
        }
        // A partly written file may be valid and lack its users.
        for _ in 0..MAX_SETTLING {
            thread::sleep(SETTLE_TIME);
            let now = Contents::of(path);
            if now == found {
                break;
            }
            found = now;
        }
        match WebConfig::load(path) {
            Ok((config, warnings)) => {
                let removed = self.current().protection_removed_by(&config);
                if !removed.is_empty() {
                    let reason =
                        format!("{}: removes {}, which needs a restart", path.display(), removed.join(" and "));
                    error!(reason, "Cannot reload the web configuration, keeping the current one");
                    changes.unusable.insert(reason.clone());
                    seen.rejected = Some((found, vec![reason]));
                    return changes;
                }
                changes.reloaded = seen.used.differing(&found);
                log_warnings(&warnings);
                let keeps_tls = seen.used.without(path) == found.without(path);
                self.replace(config, keeps_tls);
                *seen = Seen { used: found, rejected: None };
            }
            Err(error) => {
                let reasons: Vec<_> = error.diagnostics().iter().map(ToString::to_string).collect();
                changes.rejected = reasons.iter().cloned().collect();
                changes.unusable.clone_from(&changes.rejected);
                seen.rejected = Some((found, reasons));
            }
        }
        changes
    }

    /// Uses another configuration. Connections remain open only if the files of TLS, too, are the same.
    fn replace(&self, config: WebConfig, keeps_files: bool) {
        let before = self.current();
        if keeps_files && before.settings.tls == config.settings.tls {
            *write(&self.current) = Arc::new(WebConfig { outdated: before.outdated.clone(), ..config });
            return;
        }
        *write(&self.current) = Arc::new(config);
        before.outdated.cancel();
    }
}

/// Logs settings that may be a mistake.
pub(crate) fn log_warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        warn!(%warning, "The web configuration may have a mistake");
    }
}

impl Watched for WebConfigFile {
    const KIND: &'static str = "web configuration";

    fn is_empty(&self) -> bool {
        self.path.is_none()
    }

    fn refresh(&self) -> Changes {
        let Some(path) = &self.path else { return Changes::default() };
        self.compare(path, &mut lock(&self.seen))
    }
}

impl Contents {
    fn of(path: &Path) -> Self {
        let mut contents = BTreeMap::from([(path.to_owned(), digest::of_file(path))]);
        let draft = web::load(path).ok();
        let tls = draft.as_ref().and_then(|draft| draft.settings()?.tls.as_ref());
        let files = tls.into_iter().flat_map(TlsServerSettings::files);
        contents.extend(files.map(|file| (file.to_owned(), digest::of_file(file))));
        Self(contents)
    }

    /// Returns the contents of all other files.
    fn without(&self, excluded: &Path) -> BTreeMap<&Path, Option<Sha256Digest>> {
        let others = self.0.iter().filter(|(path, _)| *path != excluded);
        others.map(|(path, digest)| (path.as_path(), *digest)).collect()
    }

    /// Returns the names of the files that differ.
    fn differing(&self, other: &Self) -> BTreeSet<String> {
        let changed = other.0.iter().filter(|(path, digest)| self.0.get(*path) != Some(*digest));
        changed.map(|(path, _)| path.display().to_string()).collect()
    }
}
