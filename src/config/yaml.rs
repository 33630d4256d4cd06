//! YAML text becomes a tree of [`Node`]s: what the file says, before any key has a meaning.
//!
//! The only module that knows `serde_yaml`. Anything that YAML allows becomes a node, so that this step fails on syntax
//! alone; duplicate keys stay in the tree for `compile` to report. What a file can cost is bounded: in depth, and in
//! the size to which its aliases expand.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;

use self::error::Cause;
pub(super) use self::error::{JsonError, SyntaxError};
use self::read::{Budget, check_brackets, check_characters};
use self::redacted::Written;
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::config::problems::positions::Places;
use crate::config::problems::text::quoted;

mod error;
mod read;
pub(super) mod redacted;

/// One value of a YAML document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Bool(bool),
    Float(f64),
    Integer(i64),
    List(Vec<Self>),
    /// In the order written, merge keys applied; a duplicate key is there twice, the first counts.
    Mapping(Vec<(Box<str>, Self)>),
    Null,
    /// A value with a tag of its own: for `!secret`, `secret`.
    Tagged(Box<str>),
    Text(Box<str>),
}

impl Node {
    /// Reads the one document of a YAML text; a text without any is [`Node::Null`].
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_characters(text)?;
        check_brackets(text)?;
        let budget = Budget::default();
        let mut documents = serde_yaml::Deserializer::from_str(text);
        let Some(document) = documents.next() else { return Ok(Self::Null) };
        let node = budget.read(document).map_err(|error| budget.explain(&error, text))?;
        match documents.next() {
            Some(_) => Err(SyntaxError::at(Places::survey(text).second_document(), Cause::SeveralDocuments)),
            None => Ok(node),
        }
    }

    /// Reads a JSON text.
    ///
    /// YAML contains JSON in name only: it has no pairs of surrogates, and bounds the length of keys.
    pub(super) fn parse_json(text: &str) -> Result<Self, JsonError> {
        let budget = Budget::default();
        let mut document = serde_json::Deserializer::from_str(text);
        let node = budget.read(&mut document);
        node.and_then(|node| document.end().map(|()| node)).map_err(|error| budget.explain_json(&error))
    }

    /// Writes the same as YAML, with a mark in place of each text whose key is one of `hidden`.
    pub(super) fn write_yaml(&self, writer: impl Write, hidden: &[&str]) -> Result<(), serde_yaml::Error> {
        serde_yaml::to_writer(writer, &Written::new(self, hidden))
    }

    /// A scalar as YAML would read it, for values that come from elsewhere than a file.
    pub(super) fn scalar(text: &str) -> Self {
        let budget = Budget::default();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'));
        let read = plain.then(|| budget.read(serde_yaml::Deserializer::from_str(text)));
        match read {
            Some(Ok(node @ (Self::Bool(_) | Self::Float(_) | Self::Integer(_)))) => node,
            _ => Self::Text(text.into()),
        }
    }

    /// The text of a scalar, written as Rust would.
    pub(super) fn scalar_text(&self) -> Option<Box<str>> {
        match self {
            Self::Bool(value) => Some(value.to_string().into()),
            // With its point, so that it is told from an integer.
            Self::Float(value) => Some(format!("{value:?}").into()),
            Self::Integer(value) => Some(value.to_string().into()),
            Self::Text(text) => Some(text.clone()),
            Self::List(_) | Self::Mapping(_) | Self::Null | Self::Tagged(_) => None,
        }
    }
}

/// Notes every key that stands twice in one mapping, wherever that is.
pub(super) fn duplicate_keys(node: &Node, at: At<'_>, problems: &mut Problems) {
    match node {
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                duplicate_keys(item, at.item(index), problems);
            }
        }
        Node::Mapping(entries) => {
            let mut seen: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
            for (key, value) in entries {
                let count = seen.entry(key).or_default();
                if *count == 0 {
                    duplicate_keys(value, at.key(key), problems);
                } else {
                    problems.add_key(at.key(key), *count, "stands twice in this mapping; remove one of the two");
                }
                *count += 1;
            }
        }
        Node::Bool(_) | Node::Float(_) | Node::Integer(_) | Node::Null | Node::Tagged(_) | Node::Text(_) => {}
    }
}

impl fmt::Display for Node {
    /// What was found, as messages say it: "`60`", "a list".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Float(value) => write!(f, "the number {value}"),
            Self::Integer(value) => write!(f, "the number {value}"),
            Self::List(_) => f.write_str("a list"),
            Self::Mapping(_) => f.write_str("a mapping"),
            Self::Null => f.write_str("empty"),
            Self::Tagged(tag) => write!(f, "a value with the tag {}", quoted(&format!("!{tag}"))),
            Self::Text(text) => write!(f, "{}", quoted(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node {
        Node::parse(text).unwrap()
    }

    fn mapping(entries: &[(&str, Node)]) -> Node {
        Node::Mapping(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    #[test]
    fn scalars_are_read_as_yaml_says() {
        for (text, node) in [
            ("true", Node::Bool(true)),
            ("yes", Node::Text("yes".into())),
            ("7", Node::Integer(7)),
            ("007", Node::Text("007".into())),
            ("0x1f", Node::Integer(31)),
            ("1.5", Node::Float(1.5)),
            ("18446744073709551615", Node::Float(18_446_744_073_709_551_615.0)),
            ("~", Node::Null),
            ("\"7\"", Node::Text("7".into())),
            ("!!str 7", Node::Text("7".into())),
            ("!secret 7", Node::Tagged("secret".into())),
            ("# nothing", Node::Null),
        ] {
            assert_eq!(parse(text), node, "{text}");
        }
    }

    #[test]
    fn a_duplicate_key_stays_in_the_tree() {
        let twice = mapping(&[("a", Node::Integer(1)), ("a", Node::Integer(2))]);
        assert_eq!(parse("{a: 1, a: 2}"), twice);
    }

    #[test]
    fn a_merge_key_offers_what_the_mapping_lacks() {
        let text = "base: &base {a: 1, b: 1}\nmore: &more {b: 2, c: 2}\nuser: {<<: [*base, *more], a: 3}";
        let Node::Mapping(entries) = parse(text) else { panic!("no mapping") };
        let user = mapping(&[("a", Node::Integer(3)), ("b", Node::Integer(1)), ("c", Node::Integer(2))]);
        assert_eq!(entries[2].1, user);
        assert_eq!(parse("{<<: 1}"), mapping(&[("<<", Node::Integer(1))]));
    }

    #[test]
    fn flag_values_are_read_as_yaml_scalars_and_nothing_more() {
        assert_eq!(Node::scalar("3"), Node::Integer(3));
        assert_eq!(Node::scalar("true"), Node::Bool(true));
        for text in ["", "null", "[a]", "{a: b}", "*a", "# x", "10.0.0.1", "- a", "!x", "a: b"] {
            assert_eq!(Node::scalar(text), Node::Text(text.into()), "{text}");
        }
    }
}
