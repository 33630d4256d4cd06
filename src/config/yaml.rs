//! YAML text as a tree of [`Node`]s: the content of a file, before any key has a meaning.
//!
//! The only module that uses `serde_yaml`. Everything that YAML allows becomes a node, so that parsing fails only on
//! syntax; duplicate keys stay in the tree until [`Node::refuse_duplicate_keys`]. The cost of a file is bounded: its
//! depth, and its size with all aliases expanded.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;

use self::error::Cause;
pub(super) use self::error::{JsonError, SyntaxError};
use self::read::{Budget, check_brackets, check_characters};
use self::redacted::Written;
use crate::config::problems::At;
use crate::config::problems::positions::Positions;
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
    /// In the order written, merge keys applied.
    Mapping(Vec<(Box<str>, Self)>),
    Null,
    /// A value with a custom tag: for `!secret`, `secret`.
    Tagged(Box<str>),
    Text(Box<str>),
}

impl Node {
    /// Reads the only document of a YAML text; a text without one is [`Node::Null`].
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_characters(text)?;
        check_brackets(text)?;
        let budget = Budget::default();
        let mut documents = serde_yaml::Deserializer::from_str(text);
        let Some(document) = documents.next() else { return Ok(Self::Null) };
        let node = budget.read(document).map_err(|error| budget.explain(&error, text))?;
        match documents.next() {
            Some(_) => Err(SyntaxError::at(Positions::read(text).second_document(), Cause::SeveralDocuments)),
            None => Ok(node),
        }
    }

    /// Reads a JSON text.
    ///
    /// Not all JSON is YAML: YAML has no surrogate pairs and limits the length of keys.
    pub(super) fn parse_json(text: &str) -> Result<Self, JsonError> {
        let budget = Budget::default();
        let mut document = serde_json::Deserializer::from_str(text);
        let node = budget.read(&mut document);
        node.and_then(|node| document.end().map(|()| node))
            .map_err(|error| budget.explain_json(&error))
    }

    /// Writes the node as YAML, with a mark in place of each text whose key is one of `hidden`.
    pub(super) fn write_yaml(&self, writer: impl Write, hidden: &[&str]) -> Result<(), serde_yaml::Error> {
        serde_yaml::to_writer(writer, &Written::new(self, hidden))
    }

    /// A scalar as YAML would read it, for values that do not come from a file.
    pub(super) fn scalar(text: &str) -> Self {
        let budget = Budget::default();
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'));
        let read = plain.then(|| budget.read(serde_yaml::Deserializer::from_str(text)));
        match read {
            Some(Ok(node @ (Self::Bool(_) | Self::Float(_) | Self::Integer(_)))) => node,
            _ => Self::Text(text.into()),
        }
    }

    /// Reports every key that is repeated in its mapping, at any depth, and removes the repetitions. The first one that
    /// has a value stays.
    pub(super) fn refuse_duplicate_keys(&mut self, at: At<'_>) {
        match self {
            Self::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.refuse_duplicate_keys(at.item(index));
                }
            }
            Self::Mapping(entries) => {
                let mut seen: HashMap<&str, (usize, usize)> = HashMap::with_capacity(entries.len());
                let mut repeated = Vec::new();
                for (index, (key, value)) in entries.iter_mut().enumerate() {
                    let key: &str = key;
                    let (first, count) = seen.entry(key).or_insert((index, 0));
                    if *count == 0 {
                        value.refuse_duplicate_keys(at.key(key));
                    } else {
                        at.key(key).refuse_repeated_key(*count, "duplicate key; remove one");
                        repeated.push((index, *first));
                    }
                    *count += 1;
                }
                for (index, first) in &repeated {
                    if matches!(entries.get(*first), Some((_, Self::Null))) {
                        entries.swap(*first, *index);
                    }
                }
                let mut indexes = 0..;
                entries.retain(|_| {
                    let index = indexes.next();
                    repeated.binary_search_by_key(&index, |(index, _)| Some(*index)).is_err()
                });
            }
            Self::Bool(_) | Self::Float(_) | Self::Integer(_) | Self::Null | Self::Tagged(_) | Self::Text(_) => {}
        }
    }

    /// The value of a key, if the node is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Mapping(entries) = self else { return None };
        entries.iter().find(|(known, _)| **known == *key).map(|(_, value)| value)
    }

    /// The text of a scalar, numbers and truth values as Rust writes them.
    pub(super) fn scalar_text(&self) -> Option<Box<str>> {
        match self {
            Self::Bool(value) => Some(value.to_string().into()),
            // With its point, to distinguish it from an integer.
            Self::Float(value) => Some(format!("{value:?}").into()),
            Self::Integer(value) => Some(value.to_string().into()),
            Self::Text(text) => Some(text.clone()),
            Self::List(_) | Self::Mapping(_) | Self::Null | Self::Tagged(_) => None,
        }
    }
}

impl fmt::Display for Node {
    /// Describes the node for messages: "`60`", "a list".
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
    use crate::config::problems::Problems;

    fn parse(text: &str) -> Node {
        Node::parse(text).unwrap()
    }

    fn mapping(entries: &[(&str, Node)]) -> Node {
        Node::Mapping(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    #[test]
    fn scalars_follow_yaml() {
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
    fn duplicate_keys_stay_in_the_tree() {
        let twice = mapping(&[("a", Node::Integer(1)), ("a", Node::Integer(2))]);
        assert_eq!(parse("{a: 1, a: 2}"), twice);
    }

    #[test]
    fn the_first_repetition_with_a_value_stays() {
        for (text, kept) in [("{a: 1, a: 2, a: 3}", Node::Integer(1)), ("{a: , b: 1, a: 2}", Node::Integer(2))] {
            let problems = Problems::default();
            let mut node = parse(text);
            node.refuse_duplicate_keys(problems.document());
            let Node::Mapping(entries) = node else { panic!("no mapping") };
            assert_eq!(entries.first(), Some(&("a".into(), kept)), "{text}");
            assert_eq!(entries.iter().filter(|(key, _)| &**key == "a").count(), 1, "{text}");
        }
    }

    #[test]
    fn a_merge_key_adds_missing_keys() {
        let text = "base: &base {a: 1, b: 1}\nmore: &more {b: 2, c: 2}\nuser: {<<: [*base, *more], a: 3}";
        let Node::Mapping(entries) = parse(text) else { panic!("no mapping") };
        let user = mapping(&[("a", Node::Integer(3)), ("b", Node::Integer(1)), ("c", Node::Integer(2))]);
        assert_eq!(entries[2].1, user);
        assert_eq!(parse("{<<: 1}"), mapping(&[("<<", Node::Integer(1))]));
    }

    #[test]
    fn flag_values_are_only_yaml_scalars() {
        assert_eq!(Node::scalar("3"), Node::Integer(3));
        assert_eq!(Node::scalar("true"), Node::Bool(true));
        for text in ["", "null", "[a]", "{a: b}", "*a", "# x", "10.0.0.1", "- a", "!x", "a: b"] {
            assert_eq!(Node::scalar(text), Node::Text(text.into()), "{text}");
        }
    }
}
