//! YAML text becomes a tree of [`Node`]s: what the file says, before any key has a meaning.
//!
//! The only file that knows `serde_yaml`. Anything that YAML allows becomes a node, so that this step fails on syntax
//! alone; duplicate keys stay in the tree for `compile` to report. What a file can cost is bounded: in depth, and in
//! the size to which its aliases expand.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::sync::LazyLock;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::config::locate::Places;
use crate::config::place::Position;
use crate::config::quote::quoted;

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
        let seed = Seed { budget: &budget, depth: 0 };
        let node = seed.deserialize(document).map_err(|error| budget.explain(&error, text))?;
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
        let node = Seed { budget: &budget, depth: 0 }.deserialize(&mut document);
        node.and_then(|node| document.end().map(|()| node)).map_err(|error| budget.explain_json(&error))
    }

    /// Writes the same as YAML, with a mark in place of each text whose key is one of `hidden`.
    pub(super) fn write_yaml(&self, writer: impl Write, hidden: &[&str]) -> Result<(), serde_yaml::Error> {
        serde_yaml::to_writer(writer, &Written { node: self, hidden, hides_all: false })
    }

    /// A scalar as YAML would read it, for values that come from elsewhere than a file.
    pub(super) fn scalar(text: &str) -> Self {
        let budget = Budget::default();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'));
        let read =
            plain.then(|| Seed { budget: &budget, depth: 0 }.deserialize(serde_yaml::Deserializer::from_str(text)));
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

/// A node as it is written.
struct Written<'a> {
    node: &'a Node,
    hidden: &'a [&'a str],
    /// Whether the values of all keys are secret.
    hides_all: bool,
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

/// Why a JSON text cannot be used.
#[derive(Debug)]
pub(super) enum JsonError {
    /// It is beyond the bounds.
    Bounds(SyntaxError),
    /// It is no JSON.
    Syntax(String),
}

/// Why a text is no YAML document that can be used.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Where, as far as it is known.
    pub(super) position: Option<Position>,
    /// What is wrong.
    pub(super) cause: Cause,
}

impl SyntaxError {
    const fn at(position: Option<Position>, cause: Cause) -> Self {
        Self { position, cause }
    }
}

/// What keeps a text from being a document.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(
        "a value that is repeated by aliases is itself repeated, too often to be meant; write fewer aliases (`*name`)"
    )]
    AliasesRepeat,
    #[error("the character {0} is not allowed in YAML; remove it, or write it as an escape in double quotes")]
    Character(String),
    #[error("lists and mappings are nested more than {MAX_DEPTH} deep; a configuration needs no more than 5")]
    Depth,
    #[error("a second YAML document starts; a configuration is one document, remove the `---` between the two")]
    SeveralDocuments,
    #[error("with its aliases the file grows to more than {} MiB; write fewer aliases (`*name`)", MAX_BYTES >> 20)]
    Size,
    #[error("is no valid YAML: {0}")]
    Syntax(String),
    #[error("has so many values that they take more than {} MiB", MAX_BYTES >> 20)]
    Values,
}

/// What of the bounds is left, and which of them was met first.
struct Budget {
    bytes: Cell<usize>,
    met: Cell<Option<fn() -> Cause>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: Cell::new(MAX_BYTES), met: Cell::new(None) }
    }
}

impl Budget {
    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.bytes.get().checked_sub(bytes + size_of::<Node>());
        self.bytes.set(left.ok_or_else(|| self.refuse(|| Cause::Size))?);
        Ok(())
    }

    fn refuse<E: Error>(&self, cause: fn() -> Cause) -> E {
        self.met.set(Some(cause));
        E::custom("refused")
    }

    fn explain_json(&self, error: &serde_json::Error) -> JsonError {
        let Some(cause) = self.met.get() else { return JsonError::Syntax(error.to_string()) };
        // JSON has no aliases to blame.
        let cause = match cause() {
            Cause::Size => Cause::Values,
            cause => cause,
        };
        JsonError::Bounds(SyntaxError::at(Some(Position::new(error.line(), error.column())), cause))
    }

    fn explain(&self, error: &serde_yaml::Error, text: &str) -> SyntaxError {
        let position = error.location().map(|at| Position::new(at.line(), at.column()));
        let line = position.and_then(|at| text.lines().nth(at.line.saturating_sub(1))).unwrap_or_default();
        SyntaxError::at(position, self.met.get().map_or_else(|| syntax(&error.to_string(), line), |cause| cause()))
    }
}

/// `serde_yaml` keeps its reasons to itself, so its text has to do; the position that it repeats is cut off, and what
/// people trip over is explained.
fn syntax(message: &str, line: &str) -> Cause {
    if message.starts_with("repetition limit exceeded") {
        return Cause::AliasesRepeat;
    }
    let (what, rest) = message.split_once(" at line ").unwrap_or((message, ""));
    // Where a value does not fit its tag the value is repeated, and that may be a password.
    let what = if what.contains('@') { "a value that its tag does not allow" } else { what };
    let context = rest.split_once(", ").map(|(_, context)| context).filter(|context| !context.contains("next token"));
    let context = context.map(|context| format!(" {}", context.split(" at line ").next().unwrap_or_default()));
    let indent = line.len() - line.trim_start().len();
    let hint = if line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
        "; indent with blanks, YAML allows no tabs there"
    } else if line.contains('[') && line.contains("::") {
        "; a text that starts with a bracket, such as an IPv6 address, needs quotes"
    } else if what == "unknown anchor" {
        "; `*name` repeats what `&name` marks further up, and a text that starts with `*` needs quotes"
    } else {
        ""
    };
    Cause::Syntax(format!("{what}{}{hint}", context.unwrap_or_default()))
}

/// Refuses characters that YAML does not allow (1.2.2, section 5.1), for `libyaml` does not tell where they stand.
fn check_characters(text: &str) -> Result<(), SyntaxError> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    match text.char_indices().find(|(_, c)| forbidden(*c)) {
        Some((index, c)) => {
            let cause = Cause::Character(c.escape_default().to_string());
            Err(SyntaxError::at(text.get(..index).map(Position::behind), cause))
        }
        None => Ok(()),
    }
}

/// Refuses thousands of open brackets before `libyaml` sees them, whose work grows with the square of their number.
///
/// Counts brackets where a value can start, thus not within texts; comments and block texts count too, but never that
/// much. The exact bound is kept while nodes are read.
fn check_brackets(text: &str) -> Result<(), SyntaxError> {
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

/// Reads one node at a depth, within the budget.
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
            // A list or mapping as a key is nobody's key; under this name it is reported as unknown.
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

/// Takes over what a merge key (`<<`) offers and the mapping does not have itself; of several sources the first counts.
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

/// Stands for what is not to be shown.
static HIDDEN: LazyLock<Node> = LazyLock::new(|| Node::Text("<hidden>".into()));

/// Deeper than any configuration, and far from what the stack bears.
const MAX_DEPTH: usize = 32;
const MAX_OPEN_BRACKETS: usize = 1000;
/// A file of 200,000 targets with ten settings each takes half of it.
const MAX_BYTES: usize = 256 << 20;

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
