//! The web configuration: the file of `--web.config.file`, in the format of Prometheus' exporter-toolkit.
//!
//! It has TLS, users, headers and a rate limit of the HTTP server. As for the configuration of targets, all problems are
//! reported together, with their positions. Certificates and keys are read by the caller, whose errors become problems
//! of the keys that name the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use self::keys::{CipherSuite, PasswordHash};
use self::keys::{HttpServer, RateLimitKeys, UrlPath, WebFile};
use self::tls::tls;
use super::keys::read::{Field, Key, Named};
use super::problems::{At, Diagnostic, LoadError, Problems};
use super::yaml::{Node, SyntaxError};
use super::{folder, read};
use crate::files;
use crate::target::{KeyExchangeGroup, TlsVersions};

mod keys;
mod tls;

/// A valid web configuration. The default has nothing enabled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSettings {
    /// TLS; `None`: plain HTTP.
    pub tls: Option<TlsServerSettings>,
    /// Headers of every response; `None` removes one that portprobe sets.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Hashes of passwords by user. Empty: no password is needed.
    pub users: BTreeMap<Box<str>, PasswordHash>,
    /// Paths that need neither a password nor a client certificate.
    pub excluded_paths: BTreeSet<Box<str>>,
    /// Limit on the rate of requests.
    pub rate_limit: Option<RateLimit>,
}

impl WebSettings {
    /// Returns whether a request of this path needs a password.
    pub fn needs_password(&self, path: &str) -> bool {
        !self.users.is_empty() && !self.excluded_paths.contains(path)
    }
}

/// Settings of TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsServerSettings {
    /// The certificate and its intermediates.
    pub certificate: PemSource,
    /// The private key.
    pub key: PemSource,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
    /// The subject alternative names of which a client certificate must have one. `None`: no check.
    pub client_names: Option<Vec<Box<str>>>,
    /// The TLS versions.
    pub versions: TlsVersions,
    /// Cipher suites; empty: all.
    pub cipher_suites: Vec<CipherSuite>,
    /// Whose order of cipher suites decides.
    pub preference: Preference,
    /// Groups for the key exchange in order of preference; empty: all.
    pub key_exchange: Vec<KeyExchangeGroup>,
}

/// Where PEM text is.
#[derive(Clone, Eq, PartialEq)]
pub enum PemSource {
    /// In a file.
    File(PathBuf),
    /// In the configuration. It may be a private key.
    Inline(Box<str>),
}

impl std::fmt::Debug for PemSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Inline(_) => f.write_str("Inline"),
        }
    }
}

/// Whether clients need a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    /// It is not requested.
    None,
    /// It is requested; the client may send any or none.
    Request,
    /// It must send any.
    RequireAny,
    /// It may send one, which must be signed by these authorities.
    VerifyIfGiven(PemSource),
    /// It must send one that is signed by these authorities.
    RequireAndVerify(PemSource),
}

impl ClientAuth {
    /// Returns the authorities that sign the certificates of clients.
    pub const fn authorities(&self) -> Option<&PemSource> {
        match self {
            Self::VerifyIfGiven(source) | Self::RequireAndVerify(source) => Some(source),
            Self::None | Self::Request | Self::RequireAny => None,
        }
    }

    /// Returns whether a client without a certificate is refused.
    pub const fn is_required(&self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify(_))
    }
}

/// Whose order of cipher suites decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preference {
    /// That of the client.
    Client,
    /// That of this server.
    Server,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Time in which one token is added.
    pub interval: Duration,
    /// Size of the bucket.
    pub burst: u32,
}

/// The settings that have PEM text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum WebPem {
    /// `cert` or `cert_file`.
    Certificate,
    /// `client_ca` or `client_ca_file`.
    ClientCa,
    /// `key` or `key_file`.
    Key,
}

/// A web configuration whose files have not been read yet.
#[derive(Debug)]
pub struct WebDraft {
    settings: Option<WebSettings>,
    problems: Problems,
    text: String,
    path: PathBuf,
}

/// Reads a web configuration, which must be a regular file. An empty one enables nothing.
pub fn load(path: &Path) -> Result<WebDraft, LoadError> {
    parse(read(path, files::read, "--web.config.file")?, path)
}

/// Reads a web configuration from text. Messages name it `path`, and its paths are relative to the folder of `path`.
pub fn parse(text: String, path: &Path) -> Result<WebDraft, LoadError> {
    let problems = Problems::default();
    let settings = match Node::parse(&text) {
        Ok(Node::Null) => Some(WebSettings::default()),
        Ok(mut document) => {
            document.refuse_duplicate_keys(problems.document());
            WebFile::read(document, problems.document()).map(|file| settings(file, folder(path), problems.document()))
        }
        Err(SyntaxError { position, cause }) => {
            return Err(LoadError::of_file(path, position, without_value(cause.to_string())));
        }
    };
    Ok(WebDraft { settings, problems, text, path: path.to_owned() })
}

/// Returns an error of YAML without the value that does not match its tag, because it may be a password.
fn without_value(message: String) -> String {
    if message.contains("invalid value: ") || message.contains("invalid type: ") {
        "is not valid YAML: a value does not match its tag".to_owned()
    } else {
        message
    }
}

impl WebDraft {
    /// Returns the settings, whose files must be read; `None` if they are unusable.
    pub const fn settings(&self) -> Option<&WebSettings> {
        self.settings.as_ref()
    }

    /// Returns the settings and their warnings, or every problem, among them these of PEM text. Warnings of PEM text are
    /// reported with the others.
    pub fn finish(
        self,
        unusable: &[(WebPem, String)],
        warnings: &[(WebPem, String)],
    ) -> Result<(WebSettings, Vec<Diagnostic>), LoadError> {
        let tls = self.settings().and_then(|settings| settings.tls.clone());
        let document = self.problems.document();
        let at_tls = document.key("tls_server_config");
        let key = |pem: WebPem| tls.as_ref().map_or("cert_file", |tls| tls.key_of(pem));
        for (pem, message) in unusable {
            at_tls.key(key(*pem)).refuse(message);
        }
        for (pem, message) in warnings {
            self.problems.warn(at_tls.key(key(*pem)).path(), message.clone());
        }
        let warnings = self.problems.take_warnings(&self.path, &self.text);
        let settings = self.problems.finish(Some(&self.path), &self.text, self.settings)?;
        Ok((settings, warnings))
    }
}

impl TlsServerSettings {
    /// Returns the text of a setting, or the file that has it.
    pub const fn source(&self, pem: WebPem) -> Option<&PemSource> {
        match pem {
            WebPem::Certificate => Some(&self.certificate),
            WebPem::ClientCa => self.client_auth.authorities(),
            WebPem::Key => Some(&self.key),
        }
    }

    /// Returns the files that TLS needs.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let sources = WebPem::ALL.into_iter().filter_map(|pem| self.source(pem));
        sources.filter_map(|source| match source {
            PemSource::File(path) => Some(path.as_path()),
            PemSource::Inline(_) => None,
        })
    }

    fn key_of(&self, pem: WebPem) -> &'static str {
        match (pem, self.source(pem)) {
            (WebPem::Certificate, Some(PemSource::Inline(_))) => "cert",
            (WebPem::Certificate, _) => "cert_file",
            (WebPem::ClientCa, Some(PemSource::Inline(_))) => "client_ca",
            (WebPem::ClientCa, _) => "client_ca_file",
            (WebPem::Key, Some(PemSource::Inline(_))) => "key",
            (WebPem::Key, _) => "key_file",
        }
    }
}

impl WebPem {
    /// Every setting with PEM text.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::ClientCa, Self::Key];
}

/// Converts the keys of a file.
fn settings(file: WebFile, folder: &Path, at: At<'_>) -> WebSettings {
    let HttpServer { headers, http2: _ } = file.http_server_config.into_value().unwrap_or_default();
    let paths = file.auth_excluded_paths.into_value().unwrap_or_default();
    warn_of_patterns(&paths, at.key("auth_excluded_paths"));
    let server = file.tls_server_config.into_value();
    WebSettings {
        tls: server.and_then(|server| tls(server, folder, at.key("tls_server_config"))),
        headers: headers.into_value().unwrap_or_default().0,
        users: users(file.basic_auth_users.into_value().unwrap_or_default().0, at.key("basic_auth_users")),
        excluded_paths: paths.into_iter().map(|UrlPath(path)| path).collect(),
        rate_limit: file
            .rate_limit
            .into_value()
            .and_then(|limit| rate_limit(&limit, at.key("rate_limit"))),
    }
}

/// Warns of paths that are meant as patterns.
fn warn_of_patterns(paths: &[UrlPath], at: At<'_>) {
    for (index, UrlPath(path)) in paths.iter().enumerate() {
        if path.contains('*') {
            let message = format!("`{path}` excludes only the path with this asterisk; list every path");
            at.problems().warn(at.item(index).path(), message);
        }
    }
}

fn users(Named(users): Named<PasswordHash>, at: At<'_>) -> BTreeMap<Box<str>, PasswordHash> {
    let mut read = BTreeMap::new();
    for (name, hash) in users {
        let at = at.key(&name);
        if name.is_empty() {
            at.problems().warn(at.path(), "is a user without a name; add one".to_owned());
        }
        if name.contains(':') {
            let message = "can never log in, because HTTP ends the name at the colon; remove the colon";
            at.problems().warn(at.path(), message.to_owned());
        }
        match hash.read(at) {
            Field::Valid(hash) => {
                read.insert(name.clone(), hash);
            }
            Field::Absent => at.refuse("has no bcrypt hash; add one, or remove the user"),
            Field::Invalid => {}
        }
    }
    read
}

/// Reads a limit; `None` if it is disabled.
fn rate_limit(keys: &RateLimitKeys, at: At<'_>) -> Option<RateLimit> {
    let interval = keys.interval.get().copied().filter(|interval| !interval.is_zero())?;
    if keys.burst.is_absent() {
        at.refuse("has no `burst`, so every request would be refused; add it, such as `burst: 10`");
    }
    let burst = keys.burst.get()?.get();
    Some(RateLimit { interval, burst })
}
