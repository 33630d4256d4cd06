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
use self::keys::{ClientAuthType, Curve, HttpServer, RateLimitKeys, ServerVersion, TlsServer, UrlPath, WebFile};
use super::keys::read::{Field, Key, Mapping as _, Named};
use super::problems::{At, Diagnostic, LoadError, Problems};
use super::yaml::{Node, SyntaxError};
use super::{folder, read};
use crate::files;
use crate::target::{KeyExchangeGroup, TlsVersion, TlsVersions};

mod keys;

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

/// Reads the settings of TLS; `None` if there are none, or if they are not complete.
fn tls(keys: TlsServer, folder: &Path, at: At<'_>) -> Option<TlsServerSettings> {
    let auth = keys.client_auth_type.get().copied();
    let sources = [
        keys.cert.is_absent() && keys.cert_file.is_absent(),
        keys.key.is_absent() && keys.key_file.is_absent(),
        keys.client_ca.is_absent() && keys.client_ca_file.is_absent(),
    ];
    let [lacks_certificate, lacks_key, lacks_authorities] = sources;
    // As in the toolkit: other settings do not enable TLS.
    if lacks_certificate && lacks_key && lacks_authorities && auth.is_none() {
        if keys.first_set().is_some() {
            let message = "does not enable TLS, because it has no `cert_file` and no `key_file`; add them";
            at.problems().warn(at.path(), message.to_owned());
        }
        return None;
    }
    if lacks_certificate {
        at.refuse("has no certificate; add `cert_file`");
    }
    if lacks_key {
        at.refuse("has no private key; add `key_file`");
    }
    let versions = versions(&keys.min_version, &keys.max_version, at.key("min_version"));
    let authorities = source(keys.client_ca, keys.client_ca_file, ["client_ca", "client_ca_file"], folder, at);
    let client_auth = client_auth(auth.unwrap_or_default(), authorities, lacks_authorities, at);
    let client_names = keys.client_allowed_sans.into_value();
    if client_names.is_some() && client_auth.as_ref().is_some_and(|auth| !auth.is_required()) {
        at.key("client_allowed_sans").refuse(
            "has no effect unless clients need a certificate; set `client_auth_type` to `RequireAndVerifyClientCert`",
        );
    }
    let cipher_suites = keys.cipher_suites.into_value().unwrap_or_default();
    let only_tls12 = versions.is_some_and(|versions| versions.iter().all(|version| version == TlsVersion::V1_2));
    if only_tls12 && !cipher_suites.is_empty() && !cipher_suites.iter().any(|suite| suite.is_of_tls12()) {
        at.key("cipher_suites")
            .refuse("has no suite of TLS 1.2, which is the only version; add one, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        return None;
    }
    let preference = match keys.prefer_server_cipher_suites.get() {
        Some(false) => Preference::Client,
        Some(true) | None => Preference::Server,
    };
    Some(TlsServerSettings {
        certificate: source(keys.cert, keys.cert_file, ["cert", "cert_file"], folder, at)?,
        key: source(keys.key, keys.key_file, ["key", "key_file"], folder, at)?,
        client_auth: client_auth?,
        client_names,
        versions: versions?,
        cipher_suites,
        preference,
        key_exchange: keys
            .curve_preferences
            .into_value()
            .unwrap_or_default()
            .into_iter()
            .map(|Curve(group)| group)
            .collect(),
    })
}

/// Returns where a PEM text is. The file takes precedence, as in the toolkit.
fn source(
    inline: Field<Box<str>>,
    file: Field<PathBuf>,
    [inline_key, file_key]: [&str; 2],
    folder: &Path,
    at: At<'_>,
) -> Option<PemSource> {
    if inline.get().is_some() && file.get().is_some() {
        at.problems()
            .warn(at.key(inline_key).path(), format!("has no effect, because `{file_key}` is set; remove one"));
    }
    let file = file.into_value().map(|path| PemSource::File(folder.join(path)));
    file.or_else(|| inline.into_value().map(PemSource::Inline))
}

fn client_auth(
    auth: ClientAuthType,
    authorities: Option<PemSource>,
    lacks_authorities: bool,
    at: At<'_>,
) -> Option<ClientAuth> {
    let verify = matches!(auth, ClientAuthType::VerifyClientCertIfGiven | ClientAuthType::RequireAndVerifyClientCert);
    if verify && lacks_authorities {
        at.key("client_auth_type")
            .refuse("needs the certificates that sign those of clients; add `client_ca_file`");
    }
    if authorities.is_some() && auth == ClientAuthType::NoClientCert {
        let fix = "set `client_auth_type` to `RequireAndVerifyClientCert`, or remove the client CA";
        at.refuse(format!("has a client CA, but clients need no certificate; {fix}"));
    }
    match auth {
        ClientAuthType::NoClientCert => Some(ClientAuth::None),
        ClientAuthType::RequestClientCert => Some(ClientAuth::Request),
        ClientAuthType::RequireAnyClientCert => Some(ClientAuth::RequireAny),
        ClientAuthType::VerifyClientCertIfGiven => authorities.map(ClientAuth::VerifyIfGiven),
        ClientAuthType::RequireAndVerifyClientCert => authorities.map(ClientAuth::RequireAndVerify),
    }
}

fn versions(min: &Field<ServerVersion>, max: &Field<ServerVersion>, at: At<'_>) -> Option<TlsVersions> {
    let (ServerVersion(min), ServerVersion(max)) = (
        min.get().copied().unwrap_or(ServerVersion(TlsVersion::V1_2)),
        max.get().copied().unwrap_or(ServerVersion(TlsVersion::V1_3)),
    );
    let versions = TlsVersions::try_new(min, max);
    if versions.is_none() {
        at.refuse("is above `max_version`; lower it");
    }
    versions
}

fn users(Named(users): Named<PasswordHash>, at: At<'_>) -> BTreeMap<Box<str>, PasswordHash> {
    let mut read = BTreeMap::new();
    for (name, hash) in users {
        let at = at.key(&name);
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
