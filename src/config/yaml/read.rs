//! Reads nodes within limits of depth, and of size with all aliases expanded.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

use crate::config::problems::path::Position;
use crate::config::yaml::Node;
use crate::config::yaml::error::{Cause, JsonError, MAX_BYTES, MAX_DEPTH, SyntaxError, syntax};

/// The remaining budget, and the first limit that was exceeded.
pub(in crate::config) struct Budget {
    bytes: Cell<usize>,
    met: Cell<Option<fn() -> Cause>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: Cell::new(MAX_BYTES), met: Cell::new(None) }
    }
}

impl Budget {
    /// Reads a node and its content.
    pub(in crate::config) fn read<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<Node, D::Error> {
        Seed { budget: self, depth: 0 }.deserialize(deserializer)
    }

    /// Returns why a JSON text cannot be used.
    pub(in crate::config) fn explain_json(&self, error: &serde_json::Error) -> JsonError {
        let Some(cause) = self.met.get() else { return JsonError::Syntax(error.to_string()) };
        // JSON has no aliases.
        let cause = match cause() {
            Cause::Size => Cause::Values,
            cause => cause,
        };
        JsonError::Bounds(SyntaxError::at(Some(Position::new(error.line(), error.column())), cause))
    }

    /// Returns why a YAML text cannot be used.
    pub(in crate::config) fn explain(&self, error: &serde_yaml::Error, text: &str) -> SyntaxError {
        let position = error.location().map(|at| Position::new(at.line(), at.column()));
        let line = position
            .and_then(|at| text.lines().nth(at.line.saturating_sub(1)))
            .unwrap_or_default();
        SyntaxError::at(position, self.met.get().map_or_else(|| syntax(&error.to_string(), line), |cause| cause()))
    }

    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.bytes.get().checked_sub(bytes + size_of::<Node>());
        self.bytes.set(left.ok_or_else(|| self.refuse(|| Cause::Size))?);
        Ok(())
    }

    fn refuse<E: Error>(&self, cause: fn() -> Cause) -> E {
        self.met.set(Some(cause));
        E::custom("refused")
    }
}

/// Refuses characters that YAML does not allow (1.2.2, section 5.1), because `libyaml` does not report their position.
pub(in crate::config) fn check_characters(text: &str) -> Result<(), SyntaxError> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    match text.char_indices().find(|(_, c)| forbidden(*c)) {
        Some((index, c)) => {
            let cause = Cause::Character(c.escape_default().to_string());
            Err(SyntaxError::at(text.get(..index).map(Position::behind), cause))
        }
        None => Ok(()),
    }
}

/// Refuses thousands of open brackets, for which `libyaml` takes quadratic time.
///
/// Counts brackets where a value can start. This includes brackets in comments and block scalars, but these never have
/// that many. The exact limit is checked while nodes are read.
pub(in crate::config) fn check_brackets(text: &str) -> Result<(), SyntaxError> {
    let mut open = 0_usize;
    let mut before = b' ';
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' if matches!(before, b' ' | b'\n' | b'\t' | b'\r' | b'[' | b'{' | b',' | b':') => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Err(SyntaxError::at(text.get(..index).map(Position::behind), Cause::Depth));
        }
        before = byte;
    }
    Ok(())
}

/// Reads a node at a depth.
#[derive(Clone, Copy)]
struct Seed<'a> {
    budget: &'a Budget,
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.budget.refuse(|| Cause::Depth));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn scalar<E: Error>(self, node: Node) -> Result<Node, E> {
        self.budget.take(0)?;
        Ok(node)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Node::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(i64::try_from(value).map_or(Node::Float(value as f64), Node::Integer))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(Node::Float(value as f64))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.scalar(Node::Float(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Node::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.budget.take(value.len())?;
        Ok(Node::Text(value.into()))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.scalar(Node::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.scalar(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.budget.take(0)?;
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        self.budget.take(0)?;
        let inner = self.deeper()?;
        let (mut mapping, mut merged) = (Vec::new(), Vec::new());
        while let Some((key, value)) = entries.next_entry_seed(inner, inner)? {
            // No key is a list or mapping; under this name it is reported as unknown.
            let key = key.scalar_text().unwrap_or_else(|| key.to_string().into());
            match value {
                value @ (Node::List(_) | Node::Mapping(_)) if &*key == "<<" => merged.push(value),
                value => mapping.push((key, value)),
            }
        }
        for source in merged {
            merge(&mut mapping, source);
        }
        Ok(Node::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (tag, value) = tagged.variant::<String>()?;
        value.newtype_variant_seed(self.deeper()?)?;
        Ok(Node::Tagged(tag.into()))
    }
}

/// Adds the entries of a merge key (`<<`) that the mapping lacks; the first of several sources wins.
fn merge(mapping: &mut Vec<(Box<str>, Node)>, source: Node) {
    match source {
        Node::Mapping(entries) => {
            let mut own: HashSet<_> = mapping.iter().map(|(key, _)| key.clone()).collect();
            mapping.extend(entries.into_iter().filter(|(key, _)| own.insert(key.clone())));
        }
        Node::List(sources) if sources.iter().all(|source| matches!(source, Node::Mapping(_))) => {
            for source in sources {
                merge(mapping, source);
            }
        }
        other => mapping.push(("<<".into(), other)),
    }
}

const MAX_OPEN_BRACKETS: usize = 1000;
