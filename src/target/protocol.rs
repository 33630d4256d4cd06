//! Protocols, as selected by the scheme of a URL.
//!
//! Contains only those facts of an application protocol that URLs, settings and labels need: its [`Service`]. The
//! exchanges and the list of all protocols are in `protocol`; code that parses URLs passes the known [`Schemes`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU16;

/// The protocol on a connection.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// An application protocol.
    Service(&'static Service, Security),
    /// None: only a TCP handshake.
    #[default]
    Tcp,
    /// TLS from the first byte.
    Tls,
}

impl Protocol {
    /// The canonical scheme.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service(service, security) => service.scheme(security),
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port of a URL without one, if the protocol has a default.
    pub fn default_port(self) -> Option<NonZeroU16> {
        match self {
            Self::Service(service, Security::Tls) => NonZeroU16::new(service.tls_port),
            Self::Service(service, Security::Plain | Security::Starttls) => NonZeroU16::new(service.port),
            Self::Tcp | Self::Tls => None,
        }
    }

    /// The use of a path in its URLs; `None` if it has none.
    pub const fn path(self) -> Option<PathUse> {
        match self {
            Self::Service(service, _) => service.path,
            Self::Tcp | Self::Tls => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Use of TLS by a service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Security {
    /// In the clear.
    Plain,
    /// In the clear, then upgraded to TLS as the protocol defines.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// An application protocol: its names, ports and forms of TLS.
#[derive(Debug)]
pub struct Service {
    /// The canonical scheme, and the label `protocol` of `service_info`.
    pub name: &'static str,
    /// Other schemes of the same protocol.
    pub other_names: &'static [OtherName],
    /// The default port.
    pub port: u16,
    /// The canonical scheme of TLS from the first byte: a registered name such as `https`, otherwise `NAME+tls`.
    pub tls_name: &'static str,
    /// The default port of TLS from the first byte.
    pub tls_port: u16,
    /// `NAME+starttls`, if the protocol can upgrade to TLS.
    pub starttls_name: Option<&'static str>,
    /// The name of the protocol in `openssl s_client -starttls` (openssl-s_client(1)); `None` if openssl cannot upgrade
    /// it.
    pub openssl_starttls: Option<&'static str>,
    /// The application protocol (ALPN) to offer by default.
    pub alpn: Option<&'static str>,
    /// The use of a path in its URLs; `None` if it has none.
    pub path: Option<PathUse>,
    /// A command with which a person can query the service in the clear. `{host}`, `{port}`, `{authority}` (both) and
    /// `{url}` are replaced by those of the target. Without one, `nc` is suggested.
    pub client: Option<&'static str>,
}

impl Service {
    /// Values that most services share; name and ports are still missing.
    pub const DEFAULT: Self = Self {
        name: "",
        other_names: &[],
        port: 0,
        tls_name: "",
        tls_port: 0,
        starttls_name: None,
        openssl_starttls: None,
        alpn: None,
        path: None,
        client: None,
    };

    fn scheme(&self, security: Security) -> &'static str {
        match security {
            Security::Plain => self.name,
            Security::Starttls => self.starttls_name.unwrap_or(self.name),
            Security::Tls => self.tls_name,
        }
    }

    /// The port that a name of the service implies; `None` if the service does not have this name.
    fn port_of(&self, name: &str) -> Option<u16> {
        if self.name == name {
            return Some(self.port);
        }
        let other = self.other_names.iter().find(|other| other.name == name)?;
        Some(other.port.unwrap_or(self.port))
    }
}

// Names are unique.
impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Service {}

impl Hash for Service {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Another scheme of a service.
#[derive(Clone, Copy, Debug)]
pub struct OtherName {
    /// The scheme.
    pub name: &'static str,
    /// Its port, if it differs from the service's.
    pub port: Option<u16>,
}

impl OtherName {
    /// A name with the service's port.
    pub const fn new(name: &'static str) -> Self {
        Self { name, port: None }
    }

    /// A name with a different port.
    pub const fn with_port(name: &'static str, port: u16) -> Self {
        Self { name, port: Some(port) }
    }
}

/// The use of a URL's path by a service.
#[derive(Clone, Copy, Debug)]
pub enum PathUse {
    /// The text after the slash names something within the service.
    Name(PathRule),
    /// The path is sent unchanged, including its slash and query.
    Target(PathRule),
}

impl PathUse {
    /// The rule for paths.
    pub(super) const fn rule(self) -> PathRule {
        match self {
            Self::Name(rule) | Self::Target(rule) => rule,
        }
    }
}

/// A rule for paths.
#[derive(Clone, Copy, Debug)]
pub struct PathRule {
    /// Returns whether a path is valid. A name is passed without its slash.
    pub admits: fn(&str) -> bool,
    /// Description of valid paths; follows the word "expected".
    pub expected: &'static str,
}

impl PathRule {
    /// Every path is valid.
    pub const NONE: Self = Self { admits: |_| true, expected: "any path" };
}

/// A scheme as written: the protocol and the port that it implies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Scheme {
    /// The protocol.
    pub protocol: Protocol,
    /// The port of a URL without one.
    pub port: Option<NonZeroU16>,
}

impl From<Protocol> for Scheme {
    fn from(protocol: Protocol) -> Self {
        Self { protocol, port: protocol.default_port() }
    }
}

/// All schemes of URLs: `tcp`, `tls`, and those of these services.
#[derive(Clone, Copy, Debug)]
pub struct Schemes(pub &'static [&'static Service]);

impl Schemes {
    /// Finds a scheme, ignoring case (RFC 3986 section 3.1).
    pub fn find(self, scheme: &str) -> Result<Scheme, SchemeError> {
        let lower = scheme.to_ascii_lowercase();
        let unknown = || SchemeError::Unknown(scheme.to_owned());
        let named = |name: &str| self.0.iter().find_map(|service| Some((*service, service.port_of(name)?)));
        let secured = |service: &'static Service, security, port| {
            let protocol = Protocol::Service(service, security);
            Scheme { protocol, port: NonZeroU16::new(port) }
        };
        match &*lower {
            "tcp" => return Ok(Protocol::Tcp.into()),
            "tls" => return Ok(Protocol::Tls.into()),
            _ => {}
        }
        if let Some(service) = self.0.iter().find(|service| service.tls_name == lower) {
            return Ok(Protocol::Service(service, Security::Tls).into());
        }
        if let Some(name) = lower.strip_suffix("+tls") {
            let (service, _) = named(name).ok_or_else(unknown)?;
            return Ok(Protocol::Service(service, Security::Tls).into());
        }
        if let Some(name) = lower.strip_suffix("+starttls") {
            let (service, port) = named(name).ok_or_else(unknown)?;
            let Some(_) = service.starttls_name else {
                return Err(SchemeError::NoStarttls(service.name, service.tls_name));
            };
            return Ok(secured(service, Security::Starttls, port));
        }
        let (service, port) = named(&lower).ok_or_else(unknown)?;
        Ok(secured(service, Security::Plain, port))
    }

    /// Every scheme, in every form and with every name.
    pub fn all(self) -> Vec<String> {
        let mut all: Vec<_> = ["tcp", "tls"].map(str::to_owned).into();
        for service in self.0 {
            let names = [service.name]
                .into_iter()
                .chain(service.other_names.iter().map(|other| other.name));
            for name in names {
                all.extend([name.to_owned(), format!("{name}+tls")]);
                all.extend(service.starttls_name.map(|_| format!("{name}+starttls")));
            }
            if !service.tls_name.ends_with("+tls") {
                all.push(service.tls_name.to_owned());
            }
        }
        all
    }
}

/// Reason why a text is not a scheme.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SchemeError {
    /// The protocol has no upgrade to TLS: its name, and its scheme for TLS from the first byte.
    #[error("{0} does not support STARTTLS; use {1}:// for TLS from the first byte")]
    NoStarttls(&'static str, &'static str),
    /// No protocol has this name.
    #[error("unknown scheme `{0}`; must be `tcp`, `tls` or a protocol such as `https`")]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    static MAIL: Service = Service {
        name: "smtp",
        other_names: &[OtherName::new("mail"), OtherName::with_port("submission", 587)],
        port: 25,
        tls_name: "smtps",
        tls_port: 465,
        starttls_name: Some("smtp+starttls"),
        ..Service::DEFAULT
    };
    static CACHE: Service =
        Service { name: "cache", port: 11211, tls_name: "cache+tls", tls_port: 11211, ..Service::DEFAULT };
    const SCHEMES: Schemes = Schemes(&[&MAIL, &CACHE]);

    #[test]
    fn every_scheme_has_canonical_name_and_port() {
        for (scheme, canonical, port) in [
            ("tcp", "tcp", None),
            ("TLS", "tls", None),
            ("smtp", "smtp", Some(25)),
            ("Mail", "smtp", Some(25)),
            ("submission", "smtp", Some(587)),
            ("submission+starttls", "smtp+starttls", Some(587)),
            ("smtp+starttls", "smtp+starttls", Some(25)),
            ("SMTPS", "smtps", Some(465)),
            ("smtp+tls", "smtps", Some(465)),
            ("submission+tls", "smtps", Some(465)),
            ("cache+tls", "cache+tls", Some(11211)),
        ] {
            let found = SCHEMES.find(scheme).unwrap();
            assert_eq!((found.protocol.as_str(), found.port.map(NonZeroU16::get)), (canonical, port), "{scheme}");
        }
    }

    #[test]
    fn unknown_schemes_are_refused() {
        for scheme in ["gopher", "", "tcp+tls", "smtps+starttls", "smtp+", "+tls"] {
            let error = SCHEMES.find(scheme).unwrap_err();
            assert_eq!(error, SchemeError::Unknown(scheme.into()));
        }
        assert_eq!(SCHEMES.find("cache+starttls"), Err(SchemeError::NoStarttls("cache", "cache+tls")));
    }

    #[test]
    fn every_listed_scheme_is_found() {
        let all = SCHEMES.all();
        assert_eq!(all.len(), 2 + 3 * 3 + 1 + 2, "{all:?}");
        assert!(all.iter().all(|scheme| SCHEMES.find(scheme).is_ok()), "{all:?}");
    }
}
