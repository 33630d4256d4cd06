//! Values of discovery sources.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Scalar, invalid, must_be};
use crate::config::keys::value::choice::Choice;
use crate::config::problems::text::quoted;
use crate::config::yaml::Node;
use crate::protocol::SCHEMES;
use crate::target::{Endpoint, Host, HostName, Scheme, TargetUrl, UrlError};

/// The URL of a discovery source, in its canonical form: `https://cmdb.internal/sd?site=a`.
///
/// It has no user, password or fragment, and its host has no zone. It is not parsed by a crate, because it follows the
/// rules and messages of target URLs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpUrl {
    scheme: HttpScheme,
    host: Host,
    port: NonZeroU16,
    /// Path and query, with the leading slash.
    path: String,
}

/// The scheme of an [`HttpUrl`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HttpScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl HttpScheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> NonZeroU16 {
        NonZeroU16::MIN.saturating_add(match self {
            Self::Http => 79,
            Self::Https => 442,
        })
    }
}

impl HttpUrl {
    /// The scheme.
    pub const fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    /// The host to connect to.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port to connect to.
    pub const fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// Path and query, with the leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as in a `Host` header: without the default port, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Ipv6(address, _) => format!("[{address}]"),
            host => host.to_string(),
        };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }
}

/// Reason why a text is not an [`HttpUrl`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HttpUrlError {
    /// A character that a path or query must escape.
    #[error("has the character `{}` in its path or query; write {}", .0.escape_debug(), percent_encoded(*.0))]
    Character(char),
    /// A user or password before `@`.
    #[error("has a user or password before `@`; remove it, and use `headers_files` for secrets")]
    Credentials,
    /// A host or port that is not valid in target URLs either.
    #[error(transparent)]
    Endpoint(UrlError),
    /// A fragment.
    #[error("has a fragment (`#`), which is not sent to servers; remove it")]
    Fragment,
    /// No host.
    #[error("has no host; must be a URL like https://cmdb.example.com/sd")]
    HostMissing,
    /// Another scheme than `http` and `https`.
    #[error("unknown scheme {}; must be `http` or `https`", quoted(.0))]
    Scheme(String),
    /// No scheme.
    #[error("{} is not a valid URL; must be like https://cmdb.example.com/sd", quoted(.0))]
    SchemeMissing(String),
    /// More than one port.
    #[error("has {0} ports; must have one")]
    SeveralPorts(usize),
    /// A zone of an IPv6 address.
    #[error("has an IPv6 zone, which HTTP does not support; remove it, or use a name")]
    Zone,
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| HttpUrlError::SchemeMissing(text.to_owned()))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(HttpUrlError::Credentials);
        }
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => HttpScheme::Http,
            scheme if scheme.eq_ignore_ascii_case("https") => HttpScheme::Https,
            other => return Err(HttpUrlError::Scheme(other.to_owned())),
        };
        check_path(path)?;
        let Endpoint { host, port, .. } = endpoint(authority, scheme)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { scheme, host, port, path: format!("{slash}{path}") })
    }
}

/// Host and port; without a port, that of the scheme.
fn endpoint(authority: &str, scheme: HttpScheme) -> Result<Endpoint, HttpUrlError> {
    let parse = |text: &str| TargetUrl::parse(text, Scheme::default(), SCHEMES);
    let url = match parse(authority) {
        Err(UrlError::PortMissing(_)) => parse(&format!("{authority}:{}", scheme.port())),
        Err(UrlError::HostMissing) => return Err(HttpUrlError::HostMissing),
        parsed => parsed,
    };
    let url = url.map_err(HttpUrlError::Endpoint)?;
    if let Host::Ipv6(_, Some(_)) = url.host() {
        return Err(HttpUrlError::Zone);
    }
    let mut endpoints = url.endpoints();
    match (endpoints.next(), endpoints.next()) {
        (Some(endpoint), None) => Ok(endpoint),
        _ => Err(HttpUrlError::SeveralPorts(url.count())),
    }
}

fn check_path(path: &str) -> Result<(), HttpUrlError> {
    if path.contains('#') {
        return Err(HttpUrlError::Fragment);
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%[]|".contains(c);
    path.chars()
        .find(|c| !is_allowed(*c))
        .map_or(Ok(()), |c| Err(HttpUrlError::Character(c)))
}

fn percent_encoded(c: char) -> String {
    let escaped: Vec<_> = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
    escaped.concat()
}

impl Scalar for HttpUrl {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.len() > MAX_URL_BYTES => {
                Err(format!("has {} bytes; must be a URL of at most {MAX_URL_BYTES} bytes", text.len()))
            }
            Node::Text(text) => text.parse().map_err(|error: HttpUrlError| error.to_string()),
            other => Err(must_be(&other, "a URL like https://cmdb.example.com/sd")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://[^@/?#]+([/?][^#]*)?$" })
    }
}

impl Scalar for HostName {
    fn read(node: Node) -> Result<Self, String> {
        match &node {
            Node::Text(text) if text.len() <= MAX_URL_BYTES => match text.parse() {
                Ok(name) => Ok(name),
                Err(UrlError::AddressMalformed(_)) => {
                    Err(format!("{} is not a valid DNS name; must not end in a number", quoted(text)))
                }
                Err(_) => Err(invalid(&node, "DNS name", "a name like _postgres._tcp.example.com")),
            },
            other => Err(invalid(other, "DNS name", "a name like _postgres._tcp.example.com")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": ["_postgres._tcp.example.com"] })
    }
}

/// The type of the records to query.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::config) enum RecordType {
    A,
    Aaaa,
    #[default]
    Srv,
}

impl RecordType {
    pub(in crate::config) const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

impl Choice for RecordType {
    const WORDS: &'static [(&'static str, Self)] =
        &[(Self::Srv.as_str(), Self::Srv), (Self::A.as_str(), Self::A), (Self::Aaaa.as_str(), Self::Aaaa)];
}

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config) struct Port(pub(in crate::config) NonZeroU16);

impl Scalar for Port {
    fn read(node: Node) -> Result<Self, String> {
        let port = if let Node::Integer(port) = node { u16::try_from(port).ok() } else { None };
        port.and_then(NonZeroU16::new)
            .map(Self)
            .ok_or_else(|| invalid(&node, "port", "a number between 1 and 65535"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": u16::MAX })
    }
}

const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_canonical_form() {
        for (text, canonical, port, path) in [
            ("http://cmdb.internal", "http://cmdb.internal/", 80, "/"),
            ("HTTPS://CMDB.internal:443/sd?a=b", "https://cmdb.internal/sd?a=b", 443, "/sd?a=b"),
            ("https://[::1]:8443?a", "https://[::1]:8443/?a", 8443, "/?a"),
            ("http://192.0.2.1:8080/x", "http://192.0.2.1:8080/x", 8080, "/x"),
        ] {
            let url: HttpUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.port().get(), url.path()), (canonical, port, path), "{text}");
            assert_eq!(canonical.parse(), Ok(url));
        }
    }
}
