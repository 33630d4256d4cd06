//! Values of networks and HTTP: addresses, methods, statuses, headers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Field, Key, Named, Scalar, entries, invalid, must_be};
use crate::config::problems::At;
use crate::config::problems::text::quoted;
use crate::config::yaml::Node;
use crate::target::{AllowedHosts, AuditedHosts, Host, Ports, PortsError, StatusRange, UrlError};

impl Scalar for IpAddr {
    fn read(node: Node) -> Result<Self, String> {
        let address = if let Node::Text(text) = &node { text.parse().ok() } else { None };
        let address =
            address.ok_or_else(|| invalid(&node, "IP address", "an address like 192.0.2.1 or 2001:db8::1"))?;
        match address {
            Self::V4(v4) if v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() => Err(not_local(&address)),
            Self::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Err(not_local(&address)),
            address => Ok(address),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["192.0.2.1", "2001:db8::1"] })
    }
}

fn not_local(address: &IpAddr) -> String {
    format!("{address} is not the address of a host; must be a local address")
}

impl Scalar for IpNet {
    fn read(node: Node) -> Result<Self, String> {
        let invalid = || invalid(&node, "address or CIDR", "like 192.0.2.1 or 10.0.0.0/8");
        let Node::Text(text) = &node else { return Err(invalid()) };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let network: Self = text.parse().map_err(|_| invalid())?;
        if network.addr() != network.network() {
            let (address, network) = (Self::from(network.addr()), network.trunc());
            return Err(format!(
                "{} has bits after its prefix; write {network} for the network, or {address} for the address",
                quoted(text)
            ));
        }
        Ok(network)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"] })
    }
}

impl Scalar for AllowedHosts {
    fn read(node: Node) -> Result<Self, String> {
        let expected = "an address or CIDR like 10.0.0.0/8, or the end of host names like example.com or .example.com";
        let invalid = || invalid(&node, "host", expected);
        let Node::Text(text) = &node else { return Err(invalid()) };
        if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            return <IpNet as Scalar>::read(node).map(Self::Network);
        }
        if let Some(below) = text.strip_prefix('*').filter(|below| below.starts_with('.')) {
            return Err(format!("{} has a wildcard; write {below} for all names below it", quoted(text)));
        }
        text.parse().map(Self::Suffix).map_err(|_| invalid())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/8", "2001:db8::/32", "example.com", ".example.com"] })
    }
}

impl Scalar for AuditedHosts {
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = &node else {
            return Err(must_be(&node, "an address, a CIDR like 10.0.0.0/24, or a host name"));
        };
        if text.contains('/') {
            return <IpNet as Scalar>::read(node).map(Self::Network);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if bare.matches(':').count() == 1 {
            return Err(format!("{} has a port; write only the host, and the port under `ports`", quoted(text)));
        }
        match bare.parse::<Host>().map_err(|error: UrlError| error.to_string())? {
            host if host.literal().is_some_and(|address| address.is_multicast()) => {
                Err(format!("{} is not the address of a host; must be an address to connect to", quoted(text)))
            }
            host => Ok(Self::Host(host)),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/24", "192.0.2.1", "2001:db8::1", "db.example.com"] })
    }
}

/// The hosts of an audit, at least one.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct HostList(pub(in crate::config) Vec<AuditedHosts>);

impl Key for HostList {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        if node == Node::List(Vec::new()) {
            at.refuse("is empty; add addresses, networks or host names");
            return None;
        }
        Vec::read(node, at).filter(|hosts| !hosts.is_empty()).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<AuditedHosts>::schema(generator)
    }
}

/// Ports and ranges, as one text or as a list.
impl Key for Ports {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        if node == Node::List(Vec::new()) {
            at.refuse("is empty; add a port or a range, or remove the key");
            return None;
        }
        let text = match node {
            Node::List(items) => {
                let parts = items.iter().enumerate().map(|(index, item)| port_text(item, at.item(index)));
                parts.collect::<Option<Vec<_>>>()?.join(",")
            }
            node => port_text(&node, at)?,
        };
        text.parse().map_err(|error: PortsError| at.refuse(error)).ok()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let ports = json_schema!({ "type": ["integer", "string"], "examples": [443, "22,8000-8010"] });
        json_schema!({ "anyOf": [{ "type": "array", "items": ports, "minItems": 1 }, ports] })
    }
}

fn port_text(node: &Node, at: At<'_>) -> Option<String> {
    let text = match node {
        Node::Integer(_) | Node::Text(_) => node.scalar_text(),
        _ => None,
    };
    if text.is_none() {
        at.refuse(must_be(node, "a port or a range like 8000-8010"));
    }
    text.map(Into::into)
}

impl Scalar for SocketAddr {
    /// Reads the address of a DNS server: `ip`, `ip:port` or `[ip]:port`.
    fn read(node: Node) -> Result<Self, String> {
        let expected = "an IP address with an optional port, like 192.0.2.53 or [2001:db8::53]:5353";
        let invalid = || invalid(&node, "DNS server", expected);
        let Node::Text(text) = &node else { return Err(invalid()) };
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = match bare.parse::<IpAddr>() {
            Ok(address) => Self::new(address, DNS_PORT),
            Err(_) => text.parse().map_err(|_| invalid())?,
        };
        match address.port() {
            0 => Err(invalid()),
            _ => Ok(address),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["192.0.2.53", "[2001:db8::53]:5353"] })
    }
}

impl Scalar for Method {
    fn read(node: Node) -> Result<Self, String> {
        let method = if let Node::Text(text) = &node { Self::from_bytes(text.as_bytes()).ok() } else { None };
        method.ok_or_else(|| invalid(&node, "method", "an HTTP method like GET, HEAD or POST"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": ["GET", "HEAD", "POST"] })
    }
}

impl Scalar for StatusRange {
    fn read(node: Node) -> Result<Self, String> {
        let range = node.scalar_text().and_then(|text| text.parse().ok());
        range.ok_or_else(|| invalid(&node, "status", "between 100 and 999, or a range like 200-299 or 2xx"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "examples": [200, "301-308", "2xx"] })
    }
}

/// The statuses of a successful response, at least one.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Statuses(pub(in crate::config) Vec<StatusRange>);

impl Key for Statuses {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        if node == Node::List(Vec::new()) {
            at.refuse("is empty; add a status or a range, or remove the key");
            return None;
        }
        Vec::read(node, at).filter(|ranges| !ranges.is_empty()).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<StatusRange>::schema(generator)
    }
}

/// Headers and their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::config) struct HeaderValues(pub(in crate::config) Vec<(HeaderName, HeaderValue)>);

impl Key for HeaderValues {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let mut headers = Vec::new();
        for (name, node) in entries(node, at)? {
            let at = at.key(&name);
            let Some(header) = header_name(&name, at) else { continue };
            let Some(text) = Field::<Box<str>>::read(node, at).into_value() else { continue };
            match HeaderValue::try_from(&*text) {
                Ok(value) => headers.push((header, value)),
                Err(_) => at.refuse("has a character that is not allowed in headers, such as a line break; remove it"),
            }
        }
        Some(Self(headers))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Named::<Box<str>>::schema(generator)
    }
}

/// Headers whose values are in files.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::config) struct HeaderFiles(pub(in crate::config) Vec<HeaderFileUse>);

/// A header and the file with its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::config) struct HeaderFileUse {
    pub(in crate::config) header: HeaderName,
    /// The header's name as written.
    pub(in crate::config) key: Box<str>,
    pub(in crate::config) path: PathBuf,
}

impl Key for HeaderFiles {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let mut files: Vec<HeaderFileUse> = Vec::new();
        for (key, node) in entries(node, at)? {
            let at = at.key(&key);
            let header = header_name(&key, at);
            if files.iter().any(|known| Some(&known.header) == header.as_ref()) {
                at.refuse_key("duplicate header (names are case-insensitive); remove one");
            }
            match Field::<PathBuf>::read(node, at) {
                Field::Valid(path) => {
                    files.extend(header.map(|header| HeaderFileUse { header, key: key.clone(), path }));
                }
                Field::Absent => at.refuse("is empty; set the path of the file with the value"),
                Field::Invalid => {}
            }
        }
        Some(Self(files))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Named::<PathBuf>::schema(generator)
    }
}

fn header_name(name: &str, at: At<'_>) -> Option<HeaderName> {
    let message = match HeaderName::try_from(name) {
        Err(_) => "is not a valid header name; must be letters, digits and hyphens",
        Ok(header) if FRAMING_HEADERS.contains(&header) => "reserved header, set by portprobe; remove it",
        Ok(header) => return Some(header),
    };
    at.refuse_key(message);
    None
}

/// Headers that control framing and connection (RFC 9110 section 7.6.1). With an announced body that is not sent, or a
/// connection that stays open, the server would appear to hang.
const FRAMING_HEADERS: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problems::Problems;

    fn read<T: Scalar>(yaml: &str) -> Result<T, String> {
        T::read(Node::parse(yaml).unwrap())
    }

    #[test]
    fn a_network_has_only_prefix_bits() {
        assert_eq!(read("10.0.0.0/8"), Ok("10.0.0.0/8".parse::<IpNet>().unwrap()));
        assert_eq!(read("10.0.0.1"), Ok("10.0.0.1/32".parse::<IpNet>().unwrap()));
        assert_eq!(read("2001:db8::1"), Ok("2001:db8::1/128".parse::<IpNet>().unwrap()));
        let message =
            "`10.0.0.1/8` has bits after its prefix; write 10.0.0.0/8 for the network, or 10.0.0.1/32 for the address";
        assert_eq!(read::<IpNet>("10.0.0.1/8"), Err(message.to_owned()));
        for yaml in ["10.0.0.0/33", "host", "10", "10.0.0", "''"] {
            assert!(
                read::<IpNet>(yaml)
                    .unwrap_err()
                    .contains("must be like 192.0.2.1 or 10.0.0.0/8"),
                "{yaml}"
            );
        }
    }

    #[test]
    fn port_53_is_the_default_of_dns_servers() {
        for (yaml, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("'[2001:db8::53]'", "[2001:db8::53]:53"),
            ("'[2001:db8::53]:5353'", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(read(yaml), Ok(address.parse::<SocketAddr>().unwrap()), "{yaml}");
        }
        for yaml in ["dns.example", "192.0.2.53:0", "192.0.2.53:65536", "53", "''"] {
            assert!(read::<SocketAddr>(yaml).unwrap_err().contains("must be an IP address"), "{yaml}");
        }
    }

    #[test]
    fn a_source_address_belongs_to_one_host() {
        assert_eq!(read("192.0.2.1"), Ok("192.0.2.1".parse::<IpAddr>().unwrap()));
        for yaml in ["0.0.0.0", "'::'", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(read::<IpAddr>(yaml).unwrap_err().contains("not the address of a host"), "{yaml}");
        }
    }

    #[test]
    fn one_status_needs_no_list() {
        let statuses = |yaml: &str| {
            let problems = Problems::default();
            Statuses::read(Node::parse(yaml).unwrap(), problems.document()).map(|Statuses(ranges)| ranges)
        };
        for yaml in ["200", "'200'", "[200]", "['200']"] {
            assert_eq!(statuses(yaml), Some(vec!["200".parse().unwrap()]), "{yaml}");
        }
        assert_eq!(statuses("200-299"), Some(vec![StatusRange::SUCCESS]));
        assert_eq!(statuses("2xx"), Some(vec![StatusRange::SUCCESS]));
        for yaml in ["[]", "1000", "{}", "true"] {
            assert_eq!(statuses(yaml), None, "{yaml}");
        }
    }
}
