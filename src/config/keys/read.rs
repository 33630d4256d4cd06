//! Reads the value of a key from its [`Node`] and reports problems.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::keys::unknown::refuse_unknown_keys;
use crate::config::problems::At;
use crate::config::problems::text::quoted;
use crate::config::yaml::Node;

/// A type of value that a key can have.
pub(in crate::config) trait Key: Sized {
    /// Reads a value; `None` if it is invalid, which is reported.
    fn read(node: Node, at: At<'_>) -> Option<Self>;

    /// The JSON Schema of the value.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// The keys in the value whose values are secret.
    fn secret_keys() -> Vec<&'static str> {
        Vec::new()
    }
}

/// A type of value that is valid or invalid by itself, wherever it is.
pub(in crate::config) trait Scalar: Sized {
    /// Reads a value; the error describes the value, what is expected and, if known, the fix.
    fn read(node: Node) -> Result<Self, String>;

    /// The JSON Schema of the value.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

impl<T: Scalar> Key for T {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        T::read(node).map_err(|error| at.refuse(error)).ok()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        <T as Scalar>::schema(generator)
    }
}

/// The value of a key. An invalid value differs from an absent one: what depends on it is not reported as missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::config) enum Field<T> {
    /// The key does not exist or has no value (null).
    #[default]
    Absent,
    /// The value is invalid, which has been reported.
    Invalid,
    Valid(T),
}

impl<T> Field<T> {
    /// The valid value.
    pub(in crate::config) const fn get(&self) -> Option<&T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// The valid value, moved.
    pub(in crate::config) fn into_value(self) -> Option<T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    pub(in crate::config) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The same, unless a value breaks the rule, which is reported.
    pub(in crate::config) fn check<E: fmt::Display>(self, at: At<'_>, rule: impl Fn(&T) -> Result<(), E>) -> Self {
        match self.get().map(rule) {
            Some(Err(error)) => {
                at.refuse(error);
                Self::Invalid
            }
            Some(Ok(())) | None => self,
        }
    }
}

impl<T: Key> Field<T> {
    pub(in crate::config) fn read(node: Node, at: At<'_>) -> Self {
        match node {
            Node::Null => Self::Absent,
            node => T::read(node, at).map_or(Self::Invalid, Self::Valid),
        }
    }
}

impl<T: Key> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

/// A value that is read later, when more about its context is known.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Unread<T>(Node, PhantomData<T>);

impl<T: Key> Unread<T> {
    const fn new(node: Node) -> Self {
        Self(node, PhantomData)
    }

    pub(in crate::config) fn read(self, at: At<'_>) -> Field<T> {
        Field::read(self.0, at)
    }

    /// Reads an item of a list. An empty one is not an absent key, but a mistake.
    pub(in crate::config) fn read_item(self, at: At<'_>) -> Option<T> {
        match self.0 {
            Node::Null => {
                at.refuse("is empty; add a value after the dash, or remove it");
                None
            }
            node => T::read(node, at),
        }
    }
}

/// A list whose items are read one at a time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Items<T>(pub(in crate::config) Vec<Unread<T>>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Key> Key for Items<T> {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        Some(Self(items(node, at)?.into_iter().map(Unread::new).collect()))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator) })
    }

    fn secret_keys() -> Vec<&'static str> {
        T::secret_keys()
    }
}

/// A list without its invalid items. A single item needs no brackets.
impl<T: Key> Key for Vec<T> {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        // A text with a comma or a blank was probably meant as several items.
        if node.scalar_text().is_some_and(|text| !text.contains([',', ' '])) {
            return T::read(node, at).map(|item| vec![item]);
        }
        let items = items(node, at)?.into_iter().map(Unread::new).enumerate();
        Some(items.filter_map(|(index, item)| item.read_item(at.item(index))).collect())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let item = T::schema(generator);
        json_schema!({ "anyOf": [{ "type": "array" }, item], "items": item })
    }

    fn secret_keys() -> Vec<&'static str> {
        T::secret_keys()
    }
}

/// Values under names that users choose, read one at a time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(Box<str>, Unread<T>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Key> Key for Named<T> {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        Some(Self(
            entries(node, at)?
                .into_iter()
                .map(|(name, node)| (name, Unread::new(node)))
                .collect(),
        ))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": T::schema(generator) })
    }

    fn secret_keys() -> Vec<&'static str> {
        T::secret_keys()
    }
}

/// A mapping with fixed keys, declared by `mapping!`.
pub(in crate::config) trait Mapping: Sized {
    /// Every key, in the order of their documentation.
    fn keys() -> Vec<&'static str>;

    fn has(key: &str) -> bool;

    /// Every key with a valid value.
    fn set_keys(&self) -> impl Iterator<Item = &'static str>;

    /// The first key with a valid value.
    fn first_set(&self) -> Option<&'static str> {
        self.set_keys().next()
    }

    /// Reads the values of all keys.
    fn take(entries: &mut Entries, at: At<'_>) -> Self;
}

/// Reads a mapping with fixed keys: reports unknown keys, then reads the values in the order of the keys.
pub(in crate::config) fn mapping<T: Mapping>(node: Node, at: At<'_>) -> Option<T> {
    let mut entries = Entries(entries(node, at)?);
    let unknown = entries
        .0
        .iter()
        .map(|(key, node)| (&**key, node))
        .filter(|(key, _)| !T::has(key));
    refuse_unknown_keys(unknown, T::keys, at);
    Some(T::take(&mut entries, at))
}

/// The entries of a mapping with fixed keys; each value is taken once.
pub(in crate::config) struct Entries(Vec<(Box<str>, Node)>);

impl Entries {
    /// The value of a key of the mapping at `at`.
    pub(in crate::config) fn take<T: Key>(&mut self, key: &str, at: At<'_>) -> Field<T> {
        match self.0.iter_mut().find(|(known, _)| **known == *key) {
            Some((_, node)) => Field::read(mem::replace(node, Node::Null), at.key(key)),
            None => Field::Absent,
        }
    }
}

/// The items of a list; anything else is reported.
pub(in crate::config) fn items(node: Node, at: At<'_>) -> Option<Vec<Node>> {
    match node {
        Node::List(items) => return Some(items),
        Node::Text(text) => {
            at.refuse(format_args!("is {}; must be a list; enclose it in brackets", quoted(&text)));
        }
        other => at.refuse(must_be(&other, "a list")),
    }
    None
}

/// The entries of a mapping, in the order written; anything else is reported.
pub(in crate::config) fn entries(node: Node, at: At<'_>) -> Option<Vec<(Box<str>, Node)>> {
    match node {
        Node::Mapping(entries) => Some(entries),
        other => {
            at.refuse(must_be(&other, "a mapping (`key: value`)"));
            None
        }
    }
}

/// The message for a value of another type than expected.
pub(in crate::config) fn must_be(node: &Node, expected: &str) -> String {
    format!("is {node}; must be {expected}")
}

/// The message for a value that is not a valid `kind`, because of its type or its text.
pub(in crate::config) fn invalid(node: &Node, kind: &str, expected: &str) -> String {
    match node {
        Node::Text(text) => format!("{} is not a valid {kind}; must be {expected}", quoted(text)),
        other => must_be(other, expected),
    }
}

/// Puts a value at the key that a dotted path names, such as `confirm.failures`.
pub(in crate::config) fn put(mapping: &mut Vec<(Box<str>, Node)>, path: &str, value: Node) {
    let Some((outer, inner)) = path.split_once('.') else { return mapping.push((path.into(), value)) };
    if let Some((_, Node::Mapping(entries))) = mapping.iter_mut().find(|(known, _)| &**known == outer) {
        return put(entries, inner, value);
    }
    let mut entries = Vec::new();
    put(&mut entries, inner, value);
    mapping.push((outer.into(), Node::Mapping(entries)));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::keys::{Confirm, Http, Target};
    use crate::config::problems::Problems;

    fn read<T: Key>(yaml: &str) -> (Option<T>, Vec<String>) {
        let problems = Problems::default();
        let value = T::read(Node::parse(yaml).unwrap(), problems.document());
        (
            value,
            problems
                .into_found()
                .map(|(path, message)| format!("{path}: {message}"))
                .collect(),
        )
    }

    #[test]
    fn an_invalid_value_is_not_absent() {
        let (confirm, problems) = read::<Confirm>("{failures: 0, delay: , successes: 3}");
        let confirm = confirm.unwrap();
        assert_eq!((confirm.failures, confirm.delay), (Field::Invalid, Field::Absent));
        assert_eq!(confirm.successes.get().map(|number| number.get()), Some(3));
        assert_eq!(problems, ["failures: is the number 0; must be a whole number of at least 1"]);
    }

    #[test]
    fn a_single_item_needs_no_list() {
        let read = |yaml| read::<Vec<PathBuf>>(yaml);
        for yaml in ["a.pem", "[a.pem]"] {
            assert_eq!(read(yaml), (Some(vec!["a.pem".into()]), vec![]), "{yaml}");
        }
        assert_eq!(read("[]"), (Some(vec![]), vec![]));
        for (yaml, problem) in [
            ("''", "is empty; set a path, or remove the key"),
            ("7", "is the number 7; must be the path of a file"),
            ("{}", "is a mapping; must be a list"),
            ("a.pem, b.pem", "is `a.pem, b.pem`; must be a list; enclose it in brackets"),
            ("a.pem b.pem", "is `a.pem b.pem`; must be a list; enclose it in brackets"),
        ] {
            assert_eq!(read(yaml), (None, vec![format!(": {problem}")]), "{yaml}");
        }
    }

    #[test]
    fn unknown_keys_are_reported_first() {
        let (_, problems) = read::<Target>("{timeout: 0, url: 5, intervall: 1s}");
        let paths: Vec<_> = problems.iter().filter_map(|problem| problem.split(": ").next()).collect();
        assert_eq!(paths, ["intervall", "url", "timeout"]);
    }

    #[test]
    fn the_first_set_key_has_a_valid_value() {
        let (http, _) = read::<Http>("{method: 5, headers: , body: x}");
        assert_eq!(http.unwrap().first_set(), Some("body"));
    }

    #[test]
    fn secret_keys_are_found_at_any_depth() {
        assert_eq!(Target::secret_keys(), ["send", "headers"]);
    }
}
