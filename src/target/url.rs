//! Target URLs: `scheme://host[:ports][/path]`, or a bare `host:ports`.
//!
//! A parsed URL is canonical: the host is in lower case, internationalised names are A-labels (RFC 5891), and the port
//! is always included. The syntax is that of RFC 3986, plus port lists and zones as in `[fe80::1%eth0]`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::ports::{Ports, PortsError};
use super::protocol::{PathUse, Protocol, Scheme, SchemeError, Schemes};

/// A URL of a configuration: one target for each of its ports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TargetUrl {
    protocol: Protocol,
    host: Host,
    ports: Ports,
    path: Option<Arc<str>>,
}

impl TargetUrl {
    /// Parses a URL with one of `schemes`, or a bare `host:ports`, which gets the scheme `scheme`.
    pub fn parse(text: &str, scheme: Scheme, schemes: Schemes) -> Result<Self, UrlError> {
        let (Scheme { protocol, port }, rest) = match text.split_once("://") {
            // The text before `://` may be part of a password.
            Some((scheme, rest)) => {
                let refused =
                    |error: SchemeError| if rest.contains('@') { UrlError::Credentials } else { error.into() };
                (schemes.find(scheme).map_err(refused)?, rest)
            }
            None => (scheme, text),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        let path = read_path(path, protocol)?;
        let (host, ports) = split_authority(authority)?;
        let ports = match (ports, port) {
            (Some(ports), _) => ports.parse()?,
            (None, Some(port)) => Ports::from(port),
            (None, None) => return Err(UrlError::PortMissing(protocol)),
        };
        Ok(Self { protocol, host, ports, path })
    }

    /// One endpoint for each port, in the order written.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.ports.iter().map(|port| Endpoint {
            protocol: self.protocol,
            host: self.host.clone(),
            port,
            path: self.path.clone(),
        })
    }

    /// The protocol.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The number of endpoints, at least one.
    pub fn count(&self) -> usize {
        self.ports.count()
    }
}

/// Host, port, protocol and path of a target. Displays as the canonical URL, which is the target's default name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// The protocol.
    pub protocol: Protocol,
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: NonZeroU16,
    /// The path, if the protocol uses it: with its slash if it is sent unchanged, without if it is a name.
    pub path: Option<Arc<str>>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.protocol)?;
        match &self.host {
            Host::Ipv6(..) => write!(f, "[{}]", self.host)?,
            Host::Ipv4(_) | Host::Name(_) => write!(f, "{}", self.host)?,
        }
        write!(f, ":{}", self.port)?;
        match (&self.path, self.protocol.path()) {
            (Some(path), Some(PathUse::Target(_))) => f.write_str(path),
            (Some(path), _) => write!(f, "/{path}"),
            (None, _) => Ok(()),
        }
    }
}

/// A DNS name or a literal address. Displays without brackets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address; a link-local one may have a zone.
    Ipv6(Ipv6Addr, Option<Ipv6Zone>),
    /// A DNS name.
    Name(HostName),
}

impl Host {
    /// The address, unless the host is a name.
    pub fn literal(&self) -> Option<IpAddr> {
        match self {
            Self::Ipv4(address) => Some((*address).into()),
            Self::Ipv6(address, _) => Some((*address).into()),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for Host {
    type Err = UrlError;

    /// Parses an address or a name, without brackets.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.parse() {
            _ if text.contains(':') => ipv6(text),
            Ok(address) => Ok(Self::Ipv4(specified(address)?)),
            Err(_) => Ok(Self::Name(text.parse()?)),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address, None),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => write!(f, "{address}"),
            Self::Ipv6(address, None) => write!(f, "{address}"),
            Self::Ipv6(address, Some(zone)) => write!(f, "{address}%{}", zone.as_str()),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

/// Name or number of the network interface of a link-local address (RFC 4007 section 11).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ipv6Zone(Arc<str>);

impl Ipv6Zone {
    /// The interface's name or number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A DNS name of lower-case A-labels of 1 to 63 bytes, at most 253 bytes in total. It may end in a dot.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The name, including a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the name ends in a dot, so that no search domain is appended.
    pub fn is_absolute(&self) -> bool {
        self.0.ends_with('.')
    }

    /// The name as used in SNI and certificates: without the trailing dot.
    pub fn without_dot(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }

    /// The same name without its trailing dot.
    #[must_use]
    pub fn into_relative(self) -> Self {
        if self.is_absolute() { Self(self.without_dot().into()) } else { self }
    }
}

impl FromStr for HostName {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = || UrlError::HostMalformed(text.to_owned());
        let name = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::VerifyAllowRootDot)
            .map_err(|_| malformed())?;
        // An underscore is not valid in host names (RFC 1123), but occurs in service names.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(malformed());
        }
        let last = name.strip_suffix('.').unwrap_or(&name).rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UrlError::AddressMalformed(text.to_owned()));
        }
        Ok(Self(name.as_ref().into()))
    }
}

/// Reason why a text is not a target URL. Never contains a user or password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// The last part is a number, as in an IPv4 address, but the host is not one.
    #[error("`{0}` is not a valid host; must be an IPv4 address, or a name that does not end in a number")]
    AddressMalformed(String),
    /// An IPv6 address outside brackets.
    #[error("`{0}` has several colons; enclose an IPv6 address in brackets, like [2001:db8::1]:443")]
    BracketsMissing(String),
    /// A user or a password.
    #[error("has a user or password before `@`; probes do not log in; remove it")]
    Credentials,
    /// The host is not a DNS name.
    #[error(
        "`{0}` is not a valid host name; must be letters, digits, hyphens and dots, at most 63 per part and 253 in total"
    )]
    HostMalformed(String),
    /// The host is missing.
    #[error("has no host; must be like tcp://host:443")]
    HostMissing,
    /// The text in brackets is not an IPv6 address.
    #[error("`[{0}]` is not a valid IPv6 address; must be like [2001:db8::1] or [fe80::1%eth0]")]
    Ipv6Malformed(String),
    /// A character that is not allowed in paths.
    #[error("has the character `{}` in its path; percent-encode it, like %20 for a space", .0.escape_debug())]
    PathMalformed(char),
    /// A path that is not valid for the protocol.
    #[error("`{path}` is not a valid path for {protocol}; must be {expected}")]
    PathRefused {
        /// The path; a name without its slash.
        path: String,
        /// The protocol.
        protocol: Protocol,
        /// Description of valid paths.
        expected: &'static str,
    },
    /// A path or query that the protocol does not use.
    #[error("has a path or query, which {0} does not use; remove it")]
    PathWithoutUse(Protocol),
    /// The protocol has no default port.
    #[error("has no port, and {0} has no default port; add one, like host:443")]
    PortMissing(Protocol),
    /// The ports are not valid.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The scheme is not valid.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// An unspecified address, which is not the address of a host.
    #[error("`{0}` is not the address of a host; must be the address to connect to, like 127.0.0.1 for this machine")]
    Unspecified(IpAddr),
    /// A zone on an address that is not link-local.
    #[error("`[{0}]` has a zone, which is only for link-local addresses (fe80::/10); remove it")]
    ZoneWithoutUse(String),
}

/// The path in the form that the protocol uses; `None` if it is empty.
fn read_path(path: &str, protocol: Protocol) -> Result<Option<Arc<str>>, UrlError> {
    if matches!(path, "" | "/") {
        return Ok(None);
    }
    let Some(path_use) = protocol.path() else { return Err(UrlError::PathWithoutUse(protocol)) };
    if let Some(odd) = path.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        return Err(UrlError::PathMalformed(odd));
    }
    let path: Arc<str> = match path_use {
        PathUse::Name(_) if path.contains('?') => return Err(UrlError::PathMalformed('?')),
        PathUse::Name(_) => path.strip_prefix('/').unwrap_or(path).into(),
        PathUse::Target(_) if path.starts_with('?') => format!("/{path}").into(),
        PathUse::Target(_) => path.into(),
    };
    let rule = path_use.rule();
    if !(rule.admits)(&path) {
        let expected = rule.expected;
        return Err(UrlError::PathRefused { path: path.to_string(), protocol, expected });
    }
    Ok(Some(path))
}

/// Splits into the host and the port list, if there is one.
fn split_authority(authority: &str) -> Result<(Host, Option<&str>), UrlError> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let malformed = || UrlError::Ipv6Malformed(bracketed.to_owned());
        let (address, after) = bracketed.split_once(']').ok_or_else(malformed)?;
        let ports = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or_else(malformed)?),
        };
        return Ok((ipv6(address)?, ports));
    }
    let (host, ports) = match authority.split_once(':') {
        Some((_, ports)) if ports.contains(':') => return Err(UrlError::BracketsMissing(authority.to_owned())),
        Some((host, ports)) => (host, Some(ports)),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err(UrlError::HostMissing);
    }
    let host = match host.parse() {
        Ok(address) => Host::Ipv4(specified(address)?),
        Err(_) => Host::Name(host.parse()?),
    };
    Ok((host, ports))
}

/// Parses an IPv6 address with an optional zone, which may follow `%25` (RFC 6874).
fn ipv6(text: &str) -> Result<Host, UrlError> {
    let malformed = || UrlError::Ipv6Malformed(text.to_owned());
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").filter(|z| !z.is_empty()).unwrap_or(zone))),
        None => (text, None),
    };
    let address = specified(address.parse::<Ipv6Addr>().map_err(|_| malformed())?)?;
    let Some(zone) = zone else { return Ok(Host::Ipv6(address, None)) };
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'%' | b'[' | b']');
    if zone.is_empty() || zone.len() > MAX_INTERFACE_BYTES || !zone.bytes().all(plain) {
        return Err(malformed());
    }
    if !address.is_unicast_link_local() {
        return Err(UrlError::ZoneWithoutUse(text.to_owned()));
    }
    Ok(Host::Ipv6(address, Some(Ipv6Zone(zone.into()))))
}

/// Fails for an unspecified address, because a connection to it reaches this machine.
fn specified<A: Copy + Into<IpAddr>>(address: A) -> Result<A, UrlError> {
    let ip: IpAddr = address.into();
    if ip.to_canonical().is_unspecified() { Err(UrlError::Unspecified(ip)) } else { Ok(address) }
}

/// `IFNAMSIZ` of Linux without the final NUL.
const MAX_INTERFACE_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::{PathRule, Security, Service};

    static WEB: Service = Service {
        name: "http",
        port: 80,
        tls_name: "https",
        tls_port: 443,
        path: Some(PathUse::Target(PathRule::NONE)),
        ..Service::DEFAULT
    };
    static NAMED: Service = Service {
        name: "grpc",
        port: 50051,
        tls_name: "grpc+tls",
        tls_port: 50051,
        path: Some(PathUse::Name(SHORT)),
        ..Service::DEFAULT
    };
    const SHORT: PathRule = PathRule { admits: |name| name.len() < 20, expected: "a short name" };
    const SCHEMES: Schemes = Schemes(&[&WEB, &NAMED]);

    fn unknown(scheme: &str) -> UrlError {
        SchemeError::Unknown(scheme.into()).into()
    }

    fn canonical(text: &str) -> Result<Vec<String>, UrlError> {
        let url = TargetUrl::parse(text, Scheme::default(), SCHEMES)?;
        Ok(url.endpoints().map(|endpoint| endpoint.to_string()).collect())
    }

    #[test]
    fn urls_become_canonical() {
        for (text, expected) in [
            ("tcp://10.0.0.5:22", "tcp://10.0.0.5:22"),
            ("TCP://Example.COM:443", "tcp://example.com:443"),
            ("example.com:443", "tcp://example.com:443"),
            ("TLS://Example.COM:443", "tls://example.com:443"),
            ("tcp://example.com.:443/", "tcp://example.com.:443"),
            ("tcp://[2001:DB8:0::1]:443", "tcp://[2001:db8::1]:443"),
            ("[::1]:443", "tcp://[::1]:443"),
            ("tcp://[fe80::1%eth0]:22", "tcp://[fe80::1%eth0]:22"),
            ("tcp://[fe80::1%25eth0]:22", "tcp://[fe80::1%eth0]:22"),
            ("tcp://[fe80::1%25]:22", "tcp://[fe80::1%25]:22"),
            ("tcp://München.de:80", "tcp://xn--mnchen-3ya.de:80"),
            ("tcp://a_b.example:80", "tcp://a_b.example:80"),
            ("tcp://_sip._tcp.example:80", "tcp://_sip._tcp.example:80"),
            ("tcp://1password.com:80", "tcp://1password.com:80"),
            ("tcp://r3---sn-x.example:80", "tcp://r3---sn-x.example:80"),
        ] {
            assert_eq!(canonical(text), Ok(vec![expected.to_owned()]), "{text}");
        }
    }

    #[test]
    fn a_service_may_have_a_path() {
        for (text, expected) in [
            ("http://a", "http://a:80"),
            ("http://a:80/", "http://a:80"),
            ("http+tls://A/x/?q=1&r=@", "https://a:443/x/?q=1&r=@"),
            ("https://[::1]?q", "https://[::1]:443/?q"),
            ("grpc://a/my.Service", "grpc://a:50051/my.Service"),
            ("grpc+tls://a:1/", "grpc+tls://a:1"),
        ] {
            assert_eq!(canonical(text), Ok(vec![expected.to_owned()]), "{text}");
        }
        for (text, error) in [
            ("http://a/b c", UrlError::PathMalformed(' ')),
            ("http://a/ü", UrlError::PathMalformed('ü')),
            ("http://a/x#y", UrlError::PathMalformed('#')),
            ("grpc://a/x?y", UrlError::PathMalformed('?')),
            (
                "grpc+tls://a/a.name.that.is.too.long",
                UrlError::PathRefused {
                    path: "a.name.that.is.too.long".into(),
                    protocol: Protocol::Service(&NAMED, Security::Tls),
                    expected: "a short name",
                },
            ),
            ("http://u:p@a/x", UrlError::Credentials),
            ("grpc+starttls://a", SchemeError::NoStarttls("grpc", "grpc+tls").into()),
        ] {
            assert_eq!(canonical(text), Err(error), "{text}");
        }
        let https = Protocol::Service(&WEB, Security::Tls);
        let bare = TargetUrl::parse("a", https.into(), SCHEMES).unwrap();
        assert_eq!(bare.endpoints().next().unwrap().to_string(), "https://a:443");
    }

    #[test]
    fn each_port_of_a_url_is_an_endpoint() {
        assert_eq!(canonical("tcp://a:22,80-81").unwrap(), ["tcp://a:22", "tcp://a:80", "tcp://a:81"]);
        assert_eq!(canonical("[::1]:1,2").unwrap(), ["tcp://[::1]:1", "tcp://[::1]:2"]);
    }

    #[test]
    fn invalid_urls_are_refused_with_a_reason() {
        let tcp = Protocol::Tcp;
        for (text, error) in [
            ("", UrlError::HostMissing),
            ("tcp://", UrlError::HostMissing),
            ("tcp://:22", UrlError::HostMissing),
            ("tcp://host", UrlError::PortMissing(tcp)),
            ("tcp://[::1]", UrlError::PortMissing(tcp)),
            ("tls://host", UrlError::PortMissing(Protocol::Tls)),
            ("tcp://host:", UrlError::Ports(PortsError::Empty)),
            ("tcp://host:0", UrlError::Ports(PortsError::OutOfRange("0".into()))),
            ("tcp://host:22/path", UrlError::PathWithoutUse(tcp)),
            ("tcp://host:22?q", UrlError::PathWithoutUse(tcp)),
            ("tcp://user:secret@host:22", UrlError::Credentials),
            ("user@host:22", UrlError::Credentials),
            ("user:se://cret@host:22", UrlError::Credentials),
            ("tcp://user:se/cret@host:22", UrlError::PathWithoutUse(tcp)),
            ("gopher://host:70", unknown("gopher")),
            ("://host:70", unknown("")),
            ("tcp://::1:22", UrlError::BracketsMissing("::1:22".into())),
            ("tcp://[::1:22", UrlError::Ipv6Malformed("::1:22".into())),
            ("tcp://[::1]22", UrlError::Ipv6Malformed("::1]22".into())),
            ("tcp://[host]:22", UrlError::Ipv6Malformed("host".into())),
            ("tcp://[fe80::1%]:22", UrlError::Ipv6Malformed("fe80::1%".into())),
            ("tcp://[2001:db8::1%eth0]:22", UrlError::ZoneWithoutUse("2001:db8::1%eth0".into())),
            ("tcp://0.0.0.0:22", UrlError::Unspecified("0.0.0.0".parse().unwrap())),
            ("0.0.0.0:22", UrlError::Unspecified("0.0.0.0".parse().unwrap())),
            ("tcp://[::]:22", UrlError::Unspecified("::".parse().unwrap())),
            ("tcp://[::ffff:0.0.0.0]:22", UrlError::Unspecified("::ffff:0.0.0.0".parse().unwrap())),
            ("tcp://10.0.0.256:22", UrlError::AddressMalformed("10.0.0.256".into())),
            ("tcp://1.2.3:22", UrlError::AddressMalformed("1.2.3".into())),
            ("tcp://0x7f.1:22", UrlError::AddressMalformed("0x7f.1".into())),
            ("tcp://a..b:22", UrlError::HostMalformed("a..b".into())),
            ("tcp://.:22", UrlError::HostMalformed(".".into())),
            ("tcp://*.example:22", UrlError::HostMalformed("*.example".into())),
            ("tcp://a b:22", UrlError::HostMalformed("a b".into())),
            ("tcp://a\tb:22", UrlError::HostMalformed("a\tb".into())),
        ] {
            assert_eq!(canonical(text), Err(error), "{text}");
        }
        let long = format!("tcp://{}.example:1", "a".repeat(64));
        assert!(matches!(canonical(&long), Err(UrlError::HostMalformed(_))));
    }

    #[test]
    fn a_trailing_dot_is_not_in_sni() {
        let name: HostName = "db.example.".parse().unwrap();
        assert!(name.is_absolute());
        assert_eq!(name.without_dot(), "db.example");
        assert_eq!(name.into_relative().as_str(), "db.example");
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_stable(text in r"(tcp://)?([a-zA-Z0-9ü_.-]{1,20}|\[[0-9a-f:%]{1,20}\]):[0-9]{1,5}") {
            if let Ok(names) = canonical(&text) {
                prop_assert_eq!(canonical(&names[0]), Ok(names.clone()));
            }
        }

        #[test]
        fn no_text_causes_a_panic(text in r"(tcp://)?[^\n]{0,40}") {
            let _ = canonical(&text);
        }
    }
}
