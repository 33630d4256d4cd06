//! Every key of a web configuration and the types of their values. The names are those of Prometheus' exporter-toolkit.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::mapping::mapping;
use crate::config::keys::read::{Key, Named, Scalar, entries, must_be};
use crate::config::problems::At;
use crate::config::problems::text::{any_of, quoted, suggestion};
use crate::config::yaml::Node;
use crate::target::{KeyExchangeGroup, TlsVersion};

mapping! {
    /// The web configuration.
    struct WebFile {
        /// Certificate of the server, and which clients may connect.
        tls_server_config: TlsServer,
        /// HTTP version and headers of responses.
        http_server_config: HttpServer,
        /// Users with the bcrypt hashes of their passwords.
        basic_auth_users: Users,
        /// Paths that need neither a password nor a client certificate.
        auth_excluded_paths: Vec<UrlPath>,
        /// Limit on the rate of requests.
        rate_limit: RateLimitKeys,
    }
}

mapping! {
    /// Certificate of the server, and which clients may connect.
    struct TlsServer {
        /// Certificate and its intermediates as PEM text.
        cert: Box<str>,
        /// Private key as PEM text.
        #[secret]
        key: Box<str>,
        /// Certificates that sign those of clients, as PEM text.
        client_ca: Box<str>,
        /// PEM file with the certificate and its intermediates.
        cert_file: PathBuf,
        /// PEM file with the private key.
        key_file: PathBuf,
        /// Whether clients need a certificate.
        client_auth_type: ClientAuthType,
        /// PEM file with the certificates that sign those of clients.
        client_ca_file: PathBuf,
        /// Subject alternative names of which a client certificate must have one.
        client_allowed_sans: Vec<Box<str>>,
        /// Minimum TLS version.
        min_version: ServerVersion,
        /// Maximum TLS version.
        max_version: ServerVersion,
        /// Cipher suites of TLS 1.2.
        cipher_suites: Vec<CipherSuite>,
        /// Whether the order of the server or that of the client decides.
        prefer_server_cipher_suites: bool,
        /// Groups for the key exchange in order of preference.
        curve_preferences: Vec<Curve>,
    }
}

mapping! {
    /// HTTP version and headers of responses.
    struct HttpServer {
        /// Whether clients may use HTTP/2.
        http2: bool,
        /// Headers of every response.
        headers: ResponseHeaders,
    }
}

mapping! {
    /// Limit on the rate of requests.
    struct RateLimitKeys {
        /// Time in which one request becomes available; `0` disables the limit.
        interval: Duration,
        /// Number of requests that may come at once.
        burst: NonZeroU32,
    }
}

/// Users with the hashes of their passwords. No message has the value, which may be a password.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Users(pub(super) Named<PasswordHash>);

impl Key for Users {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        if !matches!(node, Node::Mapping(_)) {
            at.refuse("must be a mapping of users to bcrypt hashes");
            return None;
        }
        Key::read(node, at).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Named::<PasswordHash>::schema(generator)
    }
}

/// The hash of a password: bcrypt, 60 characters.
#[derive(Clone, Eq, PartialEq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Returns the hash as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the base-2 logarithm of the number of rounds.
    fn cost(&self) -> u32 {
        self.0.get(4..6).and_then(|cost| cost.parse().ok()).unwrap_or_default()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl Scalar for PasswordHash {
    /// Reads a hash. No message has the value, which may be a password.
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = node else { return Err(format!("is not a bcrypt hash; {HOW_TO_HASH}")) };
        text.parse::<bcrypt::HashParts>()
            .map_err(|_| format!("is not a bcrypt hash, which has 60 characters like $2y$10$..; {HOW_TO_HASH}"))?;
        let hash = Self(text);
        match hash.cost() {
            4..=MAX_COST => Ok(hash),
            cost @ ..=31 if cost > MAX_COST => Err(format!(
                "has the cost {cost}, so that one check takes seconds and other clients wait; must be at most {MAX_COST}, such as 10"
            )),
            cost => Err(format!("has the cost {cost}; must be a bcrypt hash with a cost from 4 to 14")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 60, "maxLength": 60 })
    }
}

/// A check takes one to two seconds. Anyone can request one, and there is one at a time.
const MAX_COST: u32 = 14;

const HOW_TO_HASH: &str = "create one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`";

/// The path of a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct UrlPath(pub(super) Box<str>);

impl Scalar for UrlPath {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.starts_with('/') => Ok(Self(text)),
            Node::Text(text) => Err(format!("{} is not a path; must begin with /, like /-/healthy", quoted(&text))),
            other => Err(must_be(&other, "a path like /-/healthy")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

/// Whether clients need a certificate, as written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum ClientAuthType {
    #[default]
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl Scalar for ClientAuthType {
    fn read(node: Node) -> Result<Self, String> {
        match word(&node, &CLIENT_AUTH_TYPES.map(|(name, _)| name))? {
            // The earlier name in Prometheus' files.
            "RequireClientCert" => Ok(Self::RequireAnyClientCert),
            name => Ok(CLIENT_AUTH_TYPES
                .into_iter()
                .find_map(|(known, value)| (known == name).then_some(value))
                .unwrap_or_default()),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": CLIENT_AUTH_TYPES.map(|(name, _)| name) })
    }
}

const CLIENT_AUTH_TYPES: [(&str, ClientAuthType); 6] = [
    ("NoClientCert", ClientAuthType::NoClientCert),
    ("RequestClientCert", ClientAuthType::RequestClientCert),
    ("RequireAnyClientCert", ClientAuthType::RequireAnyClientCert),
    ("VerifyClientCertIfGiven", ClientAuthType::VerifyClientCertIfGiven),
    ("RequireAndVerifyClientCert", ClientAuthType::RequireAndVerifyClientCert),
    ("RequireClientCert", ClientAuthType::RequireAnyClientCert),
];

/// A TLS version in the spelling of Go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ServerVersion(pub(super) TlsVersion);

impl Scalar for ServerVersion {
    fn read(node: Node) -> Result<Self, String> {
        match word(&node, &["TLS12", "TLS13"]) {
            Ok("TLS12") => Ok(Self(TlsVersion::V1_2)),
            Ok(_) => Ok(Self(TlsVersion::V1_3)),
            Err(error) => match &node {
                Node::Text(text) if matches!(&**text, "TLS10" | "TLS11") => {
                    Err(format!("`{text}` is not supported, because it is not secure; must be `TLS12` or `TLS13`"))
                }
                _ => Err(error),
            },
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["TLS12", "TLS13"] })
    }
}

/// A supported cipher suite, by its name in the IANA registry, which is that of Go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CipherSuite(&'static str);

impl CipherSuite {
    /// Returns the name, like `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns whether it is a suite of TLS 1.2, which alone can be selected.
    pub fn is_of_tls12(self) -> bool {
        self.0.contains("_WITH_")
    }
}

impl Scalar for CipherSuite {
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = &node else { return Err(must_be(&node, "the name of a cipher suite")) };
        let name = SUITES.into_iter().find(|name| *name == &**text);
        let usual = "must be TLS_ECDHE_ECDSA_WITH_ or TLS_ECDHE_RSA_WITH_ and AES_128_GCM_SHA256, AES_256_GCM_SHA384 \
                     or CHACHA20_POLY1305_SHA256";
        name.map(Self).ok_or_else(|| {
            if text.ends_with("_CBC_SHA") || text.ends_with("_CBC_SHA256") {
                return format!("`{text}` is not supported, because CBC is not secure; {usual}");
            }
            if text.starts_with("TLS_RSA_WITH_") {
                return format!("`{text}` is not supported, because its key exchange has no forward secrecy; {usual}");
            }
            format!("unknown cipher suite {}; {usual}", quoted(text))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": SUITES })
    }
}

const SUITES: [&str; 9] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// A group for the key exchange in the spelling of Go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Curve(pub(super) KeyExchangeGroup);

impl Scalar for Curve {
    fn read(node: Node) -> Result<Self, String> {
        match word(&node, &["X25519", "CurveP256", "CurveP384"]) {
            Ok("X25519") => Ok(Self(KeyExchangeGroup::X25519)),
            Ok("CurveP256") => Ok(Self(KeyExchangeGroup::Secp256r1)),
            Ok(_) => Ok(Self(KeyExchangeGroup::Secp384r1)),
            Err(error) => match &node {
                Node::Text(text) if &**text == "CurveP521" => {
                    Err("`CurveP521` is not supported; must be `X25519`, `CurveP256` or `CurveP384`".to_owned())
                }
                _ => Err(error),
            },
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["X25519", "CurveP256", "CurveP384"] })
    }
}

/// Headers of every response; `None` removes one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ResponseHeaders(pub(super) Vec<(HeaderName, Option<HeaderValue>)>);

impl Key for ResponseHeaders {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let mut headers = Vec::new();
        for (name, node) in entries(node, at)? {
            let at = at.key(&name);
            let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == &*name) else {
                let known = HEADERS.map(|(name, _)| name);
                let hint = suggestion(&name, known).map(|near| format!("; did you mean `{near}`?"));
                at.refuse_key(format!("cannot be set; must be {}{}", any_of(&known), hint.unwrap_or_default()));
                continue;
            };
            match header(&node, allowed) {
                Ok(value) => headers.extend(HeaderName::try_from(&*name).ok().map(|name| (name, value))),
                Err(error) => at.refuse(error),
            }
        }
        Some(Self(headers))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

fn header(node: &Node, allowed: &[&str]) -> Result<Option<HeaderValue>, String> {
    let text = match node {
        Node::Null => "".into(),
        node => node.scalar_text().ok_or_else(|| must_be(node, "the value of a header"))?,
    };
    if !allowed.is_empty() && !allowed.contains(&&*text) {
        return Err(format!("is {}; must be {}", quoted(&text), any_of(allowed)));
    }
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(&*text)
        .map(Some)
        .map_err(|_| format!("{} has characters that a header cannot have", quoted(&text)))
}

/// The headers that can be set, with their allowed values if these are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// Returns the word of a list that a value is.
fn word<'a>(node: &Node, words: &[&'a str]) -> Result<&'a str, String> {
    let Node::Text(text) = node else { return Err(must_be(node, &any_of(words))) };
    words.iter().copied().find(|word| *word == &**text).ok_or_else(|| {
        let hint = words.iter().find(|word| word.eq_ignore_ascii_case(text));
        let hint = hint.map(|near| format!("; did you mean `{near}`?"));
        format!("unknown value {}; must be {}{}", quoted(text), any_of(words), hint.unwrap_or_default())
    })
}
