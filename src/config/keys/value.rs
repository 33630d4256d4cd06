//! The types of values that keys have, each with its JSON Schema. A value is checked by itself here; contradictions
//! between values are found in `levels` and `compile`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Field, Key, Scalar, entries, invalid, must_be};
use crate::config::problems::At;
use crate::config::problems::text::quoted;
use crate::config::yaml::Node;
use crate::duration;
use crate::histogram::Buckets;
use crate::target::{LabelName, Labels, Pattern};

pub(in crate::config) use self::network::{HeaderFileUse, HeaderFiles, HeaderValues, HostList, Statuses};
pub use self::source::{HttpScheme, HttpUrl, HttpUrlError};
pub(in crate::config) use self::source::{Port, RecordType};
pub(in crate::config) use self::tls::RootSet;

pub(in crate::config) use self::choice::scheme_error;

mod choice;
mod network;
mod source;
mod tls;

/// A text, or a number or truth value that was meant as one.
impl Key for Box<str> {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let Some(text) = node.scalar_text() else {
            at.refuse(must_be(&node, "a string"));
            return None;
        };
        if !matches!(node, Node::Text(_)) {
            at.note_reading(&text);
        }
        Some(text)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Label names and values, in the order written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::config) struct LabelValues(pub(in crate::config) Vec<(LabelName, Field<Box<str>>)>);

impl LabelValues {
    /// The labels that have a value.
    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (&LabelName, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name, &**value.get()?)))
    }

    /// The labels that have a value, by name.
    pub(in crate::config) fn to_map(&self) -> BTreeMap<LabelName, String> {
        self.iter().map(|(name, value)| (name.clone(), value.to_owned())).collect()
    }
}

impl Key for LabelValues {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let entries = entries(node, at)?;
        let mut labels = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            if name.len() > Labels::MAX_BYTES {
                let bytes = name.len();
                at.refuse(format_args!("has a label name of {bytes} bytes; must have at most {}", Labels::MAX_BYTES));
                continue;
            }
            let at = at.key(&name);
            match LabelName::try_new(&name) {
                Ok(label) => labels.push((label, label_value(node, at))),
                Err(error) => at.refuse_key(error),
            }
        }
        Some(Self(labels))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$" },
            "additionalProperties": Box::<str>::schema(generator),
        })
    }
}

/// A label value of bounded length, because every series has it.
fn label_value(node: Node, at: At<'_>) -> Field<Box<str>> {
    let value = Field::<Box<str>>::read(node, at);
    if let Some(bytes) = value.get().map(|value| value.len()).filter(|bytes| *bytes > Labels::MAX_BYTES) {
        at.refuse(format_args!("has {bytes} bytes; must have at most {}", Labels::MAX_BYTES));
    }
    value
}

/// A regular expression.
impl Key for Pattern {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let expression = Box::<str>::read(node, at)?;
        Self::try_new(&expression).map_err(|error| at.refuse(error)).ok()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Box::<str>::schema(generator)
    }
}

/// Upper bounds of buckets.
impl Key for Buckets {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let problems = at.problems().count();
        let bounds = Key::read(node, at).filter(|_| at.problems().count() == problems)?;
        Self::try_new(bounds).map_err(|error| at.refuse(error)).ok()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<f64>::schema(generator)
    }
}

/// A target's URL, not parsed yet: the scheme of a bare `host:port` depends on other keys.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Url(pub(in crate::config) Box<str>);

impl Scalar for Url {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.len() > MAX_URL_BYTES => {
                Err(format!("has {} bytes; must be a URL of at most {MAX_URL_BYTES} bytes", text.len()))
            }
            Node::Text(text) => Ok(Self(text)),
            other => Err(must_be(&other, "a URL like tcp://host:443")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["tcp://host:443", "tcp://10.0.0.5:22,8000-8010", "tcp://[2001:db8::1]:22"] })
    }
}

/// The path of a file as written; it may be relative.
impl Scalar for PathBuf {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) if text.is_empty() => Err("is empty; set a path, or remove the key".to_owned()),
            Node::Text(text) => Ok(String::from(text).into()),
            other => Err(must_be(&other, "the path of a file")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Scalar for bool {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Bool(value) => Ok(value),
            other => Err(invalid(&other, "boolean", "true or false")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

impl Scalar for f64 {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Float(value) => Ok(value),
            Node::Integer(value) => Ok(value as Self),
            other => Err(invalid(&other, "number", "a number of seconds, like 0.005")),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}

impl Scalar for u32 {
    fn read(node: Node) -> Result<Self, String> {
        let number = if let Node::Integer(number) = node { Self::try_from(number).ok() } else { None };
        number.ok_or_else(|| invalid(&node, "number", "a whole number of at least 0"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": Self::MAX })
    }
}

impl Scalar for NonZeroU32 {
    fn read(node: Node) -> Result<Self, String> {
        let number = if let Node::Integer(number) = node { u32::try_from(number).ok() } else { None };
        number
            .and_then(Self::new)
            .ok_or_else(|| invalid(&node, "number", "a whole number of at least 1"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

impl Scalar for Duration {
    fn read(node: Node) -> Result<Self, String> {
        match node {
            Node::Text(text) => duration::parse(&text).map_err(|error| format!("{} {error}", quoted(&text))),
            Node::Integer(0) => Ok(Self::ZERO),
            Node::Integer(number @ 1..) => {
                Err(format!("`{number}` has no unit; must end in ms, s, m, h, d, w or y, like {number}s"))
            }
            other => Err(must_be(&other, "a duration of whole numbers with units, like 1m30s or 500ms")),
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

/// A rule for durations: within a range.
pub(in crate::config) fn between(
    range: RangeInclusive<Duration>,
    expected: impl Display,
) -> impl Fn(&Duration) -> Result<(), String> {
    move |value| {
        let error = || format!("{} is out of range; {expected}", duration::display(*value));
        range.contains(value).then_some(()).ok_or_else(error)
    }
}

/// A rule for durations: not zero.
pub(in crate::config) fn positive(fix: impl Display) -> impl Fn(&Duration) -> Result<(), String> {
    move |value| {
        let error = || format!("{} is too short; {fix}", duration::display(*value));
        (!value.is_zero()).then_some(()).ok_or_else(error)
    }
}

/// A rule for numbers: a maximum.
pub(in crate::config) fn at_most(max: u32, expected: impl Display) -> impl Fn(&NonZeroU32) -> Result<(), String> {
    move |value| {
        (value.get() <= max)
            .then_some(())
            .ok_or_else(|| format!("{value} is out of range; {expected}"))
    }
}

/// Far longer than a name with many ports. Keeps a misplaced block scalar out of messages.
const MAX_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Scalar>(yaml: &str) -> Result<T, String> {
        T::read(Node::parse(yaml).unwrap())
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(read("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(read("0"), Ok(Duration::ZERO));
        for (yaml, message) in [
            ("60", "`60` has no unit; must end in ms, s, m, h, d, w or y, like 60s"),
            ("'60'", "`60` has a number without a unit; must be whole numbers with units, like 1m30s or 500ms"),
            ("-1", "is the number -1; must be a duration of whole numbers with units, like 1m30s or 500ms"),
            ("1.5", "is the number 1.5; must be a duration of whole numbers with units, like 1m30s or 500ms"),
            ("[1s]", "is a list; must be a duration of whole numbers with units, like 1m30s or 500ms"),
        ] {
            assert_eq!(read::<Duration>(yaml), Err(message.to_owned()), "{yaml}");
        }
    }

    #[test]
    fn numbers_have_ranges() {
        assert_eq!(read("1"), Ok(NonZeroU32::MIN));
        assert_eq!(read("0"), Ok(0_u32));
        let message = "is the number 0; must be a whole number of at least 1";
        assert_eq!(read::<NonZeroU32>("0"), Err(message.to_owned()));
        assert_eq!(
            read::<NonZeroU32>("'3'"),
            Err("`3` is not a valid number; must be a whole number of at least 1".to_owned())
        );
        assert!(read::<u32>("4294967296").is_err() && read::<u32>("-1").is_err() && read::<u32>("1.5").is_err());
        assert_eq!(read("1"), Ok(1.0_f64));
        assert!(read::<bool>("yes").is_err());
    }
}
