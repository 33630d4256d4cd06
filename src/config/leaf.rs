//! The kinds of values that a key can have: each read from a [`Node`] on its own, each with its JSON Schema.
//!
//! What one value alone must be is decided here; what values must be together, in `compile`. A refused value says what
//! was found, what is expected and, where that is known, how to write it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::node::Node;
use crate::config::quote::quoted;
use crate::config::suggest;
use crate::duration;
use crate::outcome::Phase;
use crate::protocol::SCHEMES;
use crate::target::{AddressMode, Expect, IpFamily, Scheme, UrlError};

pub(super) use self::discovery::{HttpScheme, HttpUrl, Port, RecordType};
pub(super) use self::tls::{FilePath, RootSet};

mod discovery;
mod http;
mod tls;

/// A kind of value.
pub(super) trait Leaf: Sized {
    /// Reads a value; the error says what is wrong with it and what would be right.
    fn read(node: Node) -> Result<Self, String>;

    /// What an editor should know about it.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// What stands at a key: a value, or why it is none. A key without a value counts as left out.
#[derive(Debug, Default)]
pub(super) enum Given<T> {
    #[default]
    Nothing,
    Value(T),
    Wrong(String),
}

impl<T: Leaf> Given<T> {
    pub(super) fn read(node: Node) -> Self {
        match node {
            Node::Null => Self::Nothing,
            node => T::read(node).map_or_else(Self::Wrong, Self::Value),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl<T: Leaf> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Given".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

/// A text, or a number or truth value that was meant as one.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: Box<str>,
    /// Whether it stood in quotes or could be nothing else than text.
    pub(super) literal: bool,
}

impl Leaf for Text {
    fn read(node: Node) -> Result<Self, String> {
        let literal = matches!(node, Node::Text(_));
        match node.scalar_text() {
            Some(text) => Ok(Self { text, literal }),
            None => Err(expected(&node, "a text")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A target's URL, not yet read: which scheme a bare `host:port` has is decided later.
#[derive(Debug)]
pub(super) struct Url(pub(super) Box<str>);

impl Leaf for Url {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.len() > MAX_URL_BYTES => {
                Err(format!("has {} bytes; expected a URL like tcp://host:443, of at most {MAX_URL_BYTES}", text.len()))
            }
            Node::Text(text) => Ok(Self(text)),
            other => Err(expected(&other, "a URL like tcp://host:443")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["tcp://host:443", "tcp://10.0.0.5:22,8000-8010", "tcp://[2001:db8::1]:22"] })
    }
}

/// Items, each good or bad by itself.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<Given<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Leaf> Leaf for List<T> {
    fn read(node: Node) -> Result<Self, String> {
        Ok(Self(items(node)?.into_iter().map(item).collect()))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator) })
    }
}

/// One item of a list; here an empty one is not a key left out, but a slip.
pub(super) fn item<T: Leaf>(node: Node) -> Given<T> {
    match node {
        Node::Null => Given::Wrong("is empty; write a value after the dash or remove it".to_owned()),
        node => Given::read(node),
    }
}

/// The items of a list.
pub(super) fn items(node: Node) -> Result<Vec<Node>, String> {
    match node {
        Node::List(items) => Ok(items),
        Node::Text(text) => Err(format!(
            "is {0}, which is no list; one item is written as a list, too: [{1}]",
            quoted(&text),
            inner(&text)
        )),
        other => Err(expected(&other, "a list")),
    }
}

fn inner(text: &str) -> String {
    quoted(text).to_string().trim_matches('`').to_owned()
}

/// Entries under names that the user chooses, each name once.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(Box<str>, Given<T>)>);

impl<T: Leaf> Leaf for Named<T> {
    fn read(node: Node) -> Result<Self, String> {
        Ok(Self(entries(node)?.into_iter().map(|(name, value)| (name, Given::read(value))).collect()))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": T::schema(generator) })
    }
}

/// The entries of a mapping, as written.
pub(super) fn entries(node: Node) -> Result<Vec<(Box<str>, Node)>, String> {
    match node {
        Node::Mapping(entries) => Ok(entries),
        other => Err(expected(&other, "a mapping (`key: value`, a line each)")),
    }
}

impl Leaf for bool {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Bool(value) => Ok(value),
            other => Err(expected(&other, "true or false")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

impl Leaf for f64 {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Float(value) => Ok(value),
            Node::Integer(value) => Ok(value as Self),
            other => Err(expected(&other, "a number of seconds, such as 0.005")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}

impl Leaf for u32 {
    fn read(node: Node) -> Result<Self, String> {
        let number = if let Node::Integer(number) = node { Self::try_from(number).ok() } else { None };
        number.ok_or_else(|| expected(&node, "a whole number, 0 or more"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": Self::MAX })
    }
}

impl Leaf for NonZeroU32 {
    fn read(node: Node) -> Result<Self, String> {
        let number = if let Node::Integer(number) = node { u32::try_from(number).ok() } else { None };
        number.and_then(Self::new).ok_or_else(|| expected(&node, "a whole number of at least 1"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

impl Leaf for Duration {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) => duration::parse(&text).map_err(|error| format!("{} {error}", quoted(&text))),
            Node::Integer(0) => Ok(Self::ZERO),
            Node::Integer(number @ 1..) => {
                Err(format!("`{number}` lacks a unit (ms, s, m, h, d, w or y); for seconds write {number}s"))
            }
            other => Err(expected(&other, "a duration in whole numbers with units, like 1m30s or 500ms")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(0|([0-9]+(ms|[smhdwy]))+)$",
            "examples": ["1m30s", "500ms"],
        })
    }
}

impl Leaf for IpAddr {
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = &node else { return Err(expected(&node, "an IP address")) };
        let address = text.parse().map_err(|_| expected(&node, "an IP address, like 192.0.2.1 or 2001:db8::1"))?;
        match address {
            Self::V4(v4) if v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() => Err(no_own(&address)),
            Self::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Err(no_own(&address)),
            address => Ok(address),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["192.0.2.1", "2001:db8::1"] })
    }
}

fn no_own(address: &IpAddr) -> String {
    format!("is {address}, which is no address of one machine; expected a local address of this one, or remove the key")
}

impl Leaf for IpNet {
    fn read(node: Node) -> Result<Self, String> {
        let expected = || expected(&node, "an address or a CIDR, like 192.0.2.1 or 10.0.0.0/8");
        let Node::Text(text) = &node else { return Err(expected()) };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let network: Self = text.parse().map_err(|_| expected())?;
        if network.addr() != network.network() {
            let (address, network) = (Self::from(network.addr()), network.trunc());
            return Err(format!(
                "is {}, which has bits behind its prefix; write {network} for the network or {address} for the address",
                quoted(text)
            ));
        }
        Ok(network)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"] })
    }
}

impl Leaf for SocketAddr {
    /// The address of a name server: `ip`, `ip:port` or `[ip]:port`.
    fn read(node: Node) -> Result<Self, String> {
        let expected = || {
            expected(
                &node,
                "an IP address with or without a port, like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
            )
        };
        let Node::Text(text) = &node else { return Err(expected()) };
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = match bare.parse::<IpAddr>() {
            Ok(address) => Self::new(address, DNS_PORT),
            Err(_) => text.parse().map_err(|_| expected())?,
        };
        match address.port() {
            0 => Err(expected()),
            _ => Ok(address),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["192.0.2.53", "[2001:db8::53]:5353"] })
    }
}

/// A kind of value that is one of a few words.
pub(super) trait Word: Copy + 'static {
    /// Each word and what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for AddressMode {
    const WORDS: &'static [(&'static str, Self)] = &[("any", Self::Any), ("all", Self::All)];
}

impl Word for Expect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("open", Self::Open), ("refused", Self::Refused), ("filtered", Self::Filtered), ("closed", Self::Closed)];
}

impl Word for IpFamily {
    const WORDS: &'static [(&'static str, Self)] = &[("any", Self::Any), ("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)];
}

impl Word for Phase {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Resolve.as_str(), Self::Resolve),
        (Self::Connect.as_str(), Self::Connect),
        (Self::Starttls.as_str(), Self::Starttls),
        (Self::Tls.as_str(), Self::Tls),
        (Self::Protocol.as_str(), Self::Protocol),
    ];
}

impl Leaf for Scheme {
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = &node else { return Err(expected(&node, "a scheme, such as tcp, tls or https")) };
        SCHEMES.find(text).map_err(|error| {
            let schemes = SCHEMES.all();
            match (error, suggest::nearest(text, schemes.iter().map(String::as_str))) {
                (UrlError::UnknownScheme(_), Some(near)) => format!("is {node}; did you mean `{near}`?"),
                (UrlError::UnknownScheme(_), None) => expected(&node, "a scheme, such as tcp, tls or https"),
                (error, _) => format!("is {node}: {error}"),
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": SCHEMES.all() })
    }
}

impl<T: Word> Leaf for T {
    fn read(node: Node) -> Result<Self, String> {
        if let Node::Text(text) = &node
            && let Some((_, value)) = Self::WORDS.iter().find(|(word, _)| **word == **text)
        {
            return Ok(*value);
        }
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let nearest = match &node {
            Node::Text(text) => suggest::nearest(text, words.iter().copied()),
            _ => None,
        };
        Err(match nearest {
            Some(word) if words.len() == 1 => format!("is {node}; did you mean `{word}`?"),
            Some(word) => format!("is {node}; did you mean `{word}`? expected {}", any_of(&words)),
            None => expected(&node, &any_of(&words)),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

fn any_of(words: &[&str]) -> String {
    match words {
        [one] => format!("`{one}`"),
        words => format!("one of {}", words.join(", ")),
    }
}

fn expected(node: &Node, what: &str) -> String {
    format!("is {node}; expected {what}")
}

const DNS_PORT: u16 = 53;
/// Far longer than any name with many ports; keeps a slip with an anchor or a block text out of the messages.
const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Leaf>(yaml: &str) -> Result<T, String> {
        T::read(Node::parse(yaml).unwrap())
    }

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!(read("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read("0"), Ok(Duration::ZERO));
        for (yaml, message) in [
            ("60", "`60` lacks a unit (ms, s, m, h, d, w or y); for seconds write 60s"),
            ("'60'", "`60` lacks a unit after its number (ms, s, m, h, d, w or y)"),
            ("-1", "is the number -1; expected a duration in whole numbers with units, like 1m30s or 500ms"),
            ("1.5", "is the number 1.5; expected a duration in whole numbers with units, like 1m30s or 500ms"),
            ("[1s]", "is a list; expected a duration in whole numbers with units, like 1m30s or 500ms"),
        ] {
            assert_eq!(read::<Duration>(yaml), Err(message.to_owned()), "{yaml}");
        }
    }

    #[test]
    fn a_network_has_no_bits_behind_its_prefix() {
        assert_eq!(read("10.0.0.0/8"), Ok("10.0.0.0/8".parse::<IpNet>().unwrap()));
        assert_eq!(read("10.0.0.1"), Ok("10.0.0.1/32".parse::<IpNet>().unwrap()));
        assert_eq!(read("2001:db8::1"), Ok("2001:db8::1/128".parse::<IpNet>().unwrap()));
        let message = "is `10.0.0.1/8`, which has bits behind its prefix; write 10.0.0.0/8 for the network or 10.0.0.1/32 for the address";
        assert_eq!(read::<IpNet>("10.0.0.1/8"), Err(message.to_owned()));
        for yaml in ["10.0.0.0/33", "host", "10", "10.0.0", "''"] {
            assert!(read::<IpNet>(yaml).unwrap_err().contains("expected an address or a CIDR"), "{yaml}");
        }
    }

    #[test]
    fn a_name_server_has_port_53_unless_another_is_written() {
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
            assert!(read::<SocketAddr>(yaml).unwrap_err().contains("expected an IP address"), "{yaml}");
        }
    }

    #[test]
    fn a_word_is_one_of_a_few_and_a_near_one_is_suggested() {
        assert_eq!(read("refused"), Ok(Expect::Refused));
        let message = "is `opne`; did you mean `open`? expected one of open, refused, filtered, closed";
        assert_eq!(read::<Expect>("opne"), Err(message.to_owned()));
        assert_eq!(
            read::<Scheme>("7"),
            Err("is the number 7; expected a scheme, such as tcp, tls or https".to_owned())
        );
    }

    #[test]
    fn numbers_have_their_ranges() {
        assert_eq!(read("1"), Ok(NonZeroU32::MIN));
        assert_eq!(read("0"), Ok(0_u32));
        let message = "is the number 0; expected a whole number of at least 1";
        assert_eq!(read::<NonZeroU32>("0"), Err(message.to_owned()));
        assert_eq!(read::<NonZeroU32>("'3'"), Err("is `3`; expected a whole number of at least 1".to_owned()));
        assert!(read::<u32>("4294967296").is_err() && read::<u32>("-1").is_err() && read::<u32>("1.5").is_err());
        assert_eq!(read("1"), Ok(1.0_f64));
        assert!(read::<bool>("yes").is_err());
    }

    #[test]
    fn a_source_address_is_one_of_a_machine() {
        assert_eq!(read("192.0.2.1"), Ok("192.0.2.1".parse::<IpAddr>().unwrap()));
        for yaml in ["0.0.0.0", "'::'", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(read::<IpAddr>(yaml).unwrap_err().contains("no address of one machine"), "{yaml}");
        }
    }
}
