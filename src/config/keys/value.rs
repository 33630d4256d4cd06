//! The kinds of values that a key can have: each read from a [`Node`] on its own, each with its JSON Schema.
//!
//! What one value alone must be is decided here; what values must be together, in `compile`. A refused value says what
//! was found, what is expected and, where that is known, how to write it.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::problems::text::quoted;
use crate::config::yaml::Node;
use crate::duration;

use self::choice::Word;
pub(in crate::config) use self::source::{HttpScheme, HttpUrl, Port, RecordType};
pub(in crate::config) use self::tls::{FilePath, RootSet};

mod choice;
mod network;
mod source;
mod tls;

/// A kind of value.
pub(in crate::config) trait Leaf: Sized {
    /// Reads a value; the error says what is wrong with it and what would be right.
    fn read(node: Node) -> Result<Self, String>;

    /// What an editor should know about it.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// What stands at a key: a value, or why it is none. A key without a value counts as left out.
#[derive(Debug, Default)]
pub(in crate::config) enum Given<T> {
    #[default]
    Nothing,
    Value(T),
    Wrong(String),
}

impl<T: Leaf> Given<T> {
    pub(in crate::config) fn read(node: Node) -> Self {
        match node {
            Node::Null => Self::Nothing,
            node => T::read(node).map_or_else(Self::Wrong, Self::Value),
        }
    }

    pub(in crate::config) fn is_nothing(&self) -> bool {
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
pub(in crate::config) struct Text {
    pub(in crate::config) text: Box<str>,
    /// Whether it stood in quotes or could be nothing else than text.
    pub(in crate::config) literal: bool,
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
pub(in crate::config) struct Url(pub(in crate::config) Box<str>);

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
pub(in crate::config) struct List<T>(pub(in crate::config) Vec<Given<T>>);

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
pub(in crate::config) fn item<T: Leaf>(node: Node) -> Given<T> {
    match node {
        Node::Null => Given::Wrong("is empty; write a value after the dash or remove it".to_owned()),
        node => Given::read(node),
    }
}

/// The items of a list.
pub(in crate::config) fn items(node: Node) -> Result<Vec<Node>, String> {
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
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(Box<str>, Given<T>)>);

impl<T: Leaf> Leaf for Named<T> {
    fn read(node: Node) -> Result<Self, String> {
        Ok(Self(entries(node)?.into_iter().map(|(name, value)| (name, Given::read(value))).collect()))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": T::schema(generator) })
    }
}

/// The entries of a mapping, as written.
pub(in crate::config) fn entries(node: Node) -> Result<Vec<(Box<str>, Node)>, String> {
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

fn expected(node: &Node, what: &str) -> String {
    format!("is {node}; expected {what}")
}

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
}
