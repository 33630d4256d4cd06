//! Values of discovery sources.

use std::fmt;
use std::num::NonZeroU16;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Scalar, expected};
use crate::config::keys::value::choice::Choice;
use crate::config::problems::text::quoted;
use crate::config::yaml::Node;
use crate::protocol::SCHEMES;
use crate::target::{Endpoint, Host, HostName, Scheme, TargetUrl, UrlError};

/// The address of an HTTP server and a path there, in the one way to write it: `https://cmdb.internal/sd?site=a`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) struct HttpUrl {
    scheme: HttpScheme,
    host: Host,
    /// Host, port where it is another than the scheme's, path and query.
    rest: String,
}

/// The scheme of an [`HttpUrl`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::config) enum HttpScheme {
    Http,
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
    fn parse(text: &str) -> Result<Self, String> {
        let shape = || format!("is {}; expected a URL like https://cmdb.example.com/sd", quoted(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(shape)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user or password before `@`; a URL is no place for secrets, remove it and name files with them under `headers_files`".to_owned());
        }
        let scheme = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => HttpScheme::Http,
            scheme if scheme.eq_ignore_ascii_case("https") => HttpScheme::Https,
            other => return Err(format!("has the scheme {}; expected http or https", quoted(other))),
        };
        check_path(path)?;
        let Endpoint { host, port, .. } = endpoint(authority, scheme)?;
        let port = if port == scheme.port() { String::new() } else { format!(":{port}") };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let rest = match &host {
            Host::Ipv6(address, _) => format!("[{address}]{port}{slash}{path}"),
            host => format!("{host}{port}{slash}{path}"),
        };
        Ok(Self { scheme, host, rest })
    }

    pub(in crate::config) const fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    pub(in crate::config) const fn host(&self) -> &Host {
        &self.host
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.rest)
    }
}

/// Host and port; without a port, that of the scheme.
fn endpoint(authority: &str, scheme: HttpScheme) -> Result<Endpoint, String> {
    let parse = |text: &str| TargetUrl::parse(text, Scheme::default(), SCHEMES);
    let url = match parse(authority) {
        Err(UrlError::PortMissing(_)) => parse(&format!("{authority}:{}", scheme.port())),
        Err(UrlError::HostMissing) => {
            return Err("has no host; expected a URL like https://cmdb.example.com/sd".to_owned());
        }
        parsed => parsed,
    };
    let url = url.map_err(|error| error.to_string())?;
    if let Host::Ipv6(_, Some(_)) = url.host() {
        return Err("has a zone behind its address, which HTTP has no place for; remove it or write a name".to_owned());
    }
    let mut endpoints = url.endpoints();
    match (endpoints.next(), endpoints.next()) {
        (Some(endpoint), None) => Ok(endpoint),
        _ => Err(format!("has {} ports; expected one", url.count())),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.contains('#') {
        return Err("has a fragment (`#`), which no server gets to see; remove it".to_owned());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%[]|".contains(c);
    match path.chars().find(|c| !allowed(*c)) {
        Some(c) => {
            let escaped: Vec<_> = c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
            Err(format!("has the character `{}` in its path or query; write {}", c.escape_debug(), escaped.concat()))
        }
        None => Ok(()),
    }
}

impl Scalar for HttpUrl {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.len() > MAX_URL_BYTES => {
                Err(format!("has {} bytes; expected a URL of at most {MAX_URL_BYTES}", text.len()))
            }
            Node::Text(text) => Self::parse(&text),
            other => Err(expected(&other, "a URL like https://cmdb.example.com/sd")),
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
                    Err(format!("is {}, an address or half of one; expected a DNS name", quoted(text)))
                }
                Err(_) => Err(expected(&node, "a DNS name, like _postgres._tcp.example.com")),
            },
            other => Err(expected(other, "a DNS name, like _postgres._tcp.example.com")),
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
        port.and_then(NonZeroU16::new).map(Self).ok_or_else(|| expected(&node, "a port, 1 to 65535"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": u16::MAX })
    }
}

const MAX_URL_BYTES: usize = 2048;
