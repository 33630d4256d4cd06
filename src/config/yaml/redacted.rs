//! Writing nodes without what must not be seen.

use std::sync::LazyLock;

use serde::ser::{Serialize, Serializer};

use super::Node;

/// A node as it is written.
pub(in crate::config) struct Written<'a> {
    node: &'a Node,
    hidden: &'a [&'a str],
    /// Whether the values of all keys are secret.
    hides_all: bool,
}

impl<'a> Written<'a> {
    pub(in crate::config) const fn new(node: &'a Node, hidden: &'a [&'a str]) -> Self {
        Self { node, hidden, hides_all: false }
    }
}

impl Written<'_> {
    fn inner<'a>(&'a self, node: &'a Node) -> Written<'a> {
        Written { node, hidden: self.hidden, hides_all: false }
    }

    fn value<'a>(&'a self, key: &str, value: &'a Node) -> Written<'a> {
        match value {
            Node::Mapping(_) if self.hides(key) => Written { hides_all: true, ..self.inner(value) },
            Node::Bool(_) | Node::Float(_) | Node::Integer(_) | Node::Text(_) if self.hides(key) => self.inner(&HIDDEN),
            _ => self.inner(value),
        }
    }

    fn hides(&self, key: &str) -> bool {
        self.hides_all || self.hidden.contains(&key)
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.node {
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Float(value) => serializer.serialize_f64(*value),
            Node::Integer(value) => serializer.serialize_i64(*value),
            Node::List(items) => serializer.collect_seq(items.iter().map(|item| self.inner(item))),
            Node::Mapping(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, self.value(key, value))))
            }
            // What a tag marks was not kept, and no key takes one.
            Node::Null | Node::Tagged(_) => serializer.serialize_unit(),
            Node::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// Stands for what is not to be shown.
static HIDDEN: LazyLock<Node> = LazyLock::new(|| Node::Text("<hidden>".into()));
