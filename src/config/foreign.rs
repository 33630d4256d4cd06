//! YAML and JSON files of other programs: their values with positions, for the conversion into a configuration of portprobe.
//!
//! Nothing has a meaning here, and scalars are texts as they are written: the other programs take `1.10` literally if they
//! expect a text. A value that its reader cannot use becomes an error with the file, line and path of the
//! value; the first one ends the conversion.

use std::borrow::Cow;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;

use crate::config::problems::path::{BorrowedPath, KeyPath, Part, PathRoot};
use crate::config::problems::positions::Positions;
use crate::config::problems::text::quoted;
use crate::config::problems::{Diagnostic, LoadError};
use crate::config::read;
use crate::config::yaml::{JsonError, Node, SyntaxError};
use crate::duration::{self, ParseDurationError};
use crate::files;

/// A file of another program.
#[derive(Debug)]
pub struct ForeignFile {
    path: PathBuf,
    text: String,
    root: Node,
}

impl ForeignFile {
    /// Reads a file of at most 64 MiB, which `flag` names.
    pub fn load(path: &Path, flag: &str) -> Result<Self, LoadError> {
        Self::parse(path, read(path, files::read_any, flag)?)
    }

    /// Parses the text of a file. JSON is parsed as such, because not all JSON is YAML.
    pub fn parse(path: &Path, text: String) -> Result<Self, LoadError> {
        let (parsed, spaced) = match Node::parse_json(&text) {
            // YAML has no tabs, and in JSON they are only space between values.
            Ok(root) => (Ok(root), Cow::Owned(text.replace('\t', " "))),
            Err(JsonError::Bounds(error)) => (Err(error), Cow::Borrowed(&*text)),
            Err(JsonError::Syntax(_)) => (Node::parse(&text), Cow::Borrowed(&*text)),
        };
        match parsed {
            Ok(mut root) => {
                restore_texts(&mut root, BorrowedPath::Root(PathRoot::File), &Positions::read(&spaced));
                drop(spaced);
                Ok(Self { path: path.into(), text, root })
            }
            Err(SyntaxError { position, cause }) => Err(LoadError::of_file(path, position, cause.to_string())),
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The document.
    pub fn root(&self) -> ForeignValue<'_> {
        ForeignValue { file: self, node: &self.root, path: BorrowedPath::Root(PathRoot::File).into() }
    }
}

/// A value of a [`ForeignFile`].
#[derive(Clone, Debug)]
pub struct ForeignValue<'a> {
    file: &'a ForeignFile,
    node: &'a Node,
    path: KeyPath,
}

impl<'a> ForeignValue<'a> {
    /// The entries of a mapping, in the order of the file; none if there is no value.
    pub fn entries(&self) -> Result<Vec<(&'a str, Self)>, LoadError> {
        match self.node {
            Node::Mapping(entries) => Ok(entries
                .iter()
                .map(|(key, node)| (&**key, Self { node, path: self.path.join(key), ..*self }))
                .collect()),
            Node::Null => Ok(Vec::new()),
            other => Err(self.refuse(&format!("is {other}; must be a mapping"))),
        }
    }

    /// The items of a list; none if there is no value.
    pub fn items(&self) -> Result<Vec<Self>, LoadError> {
        match self.node {
            Node::List(items) => {
                let items = items.iter().enumerate();
                Ok(items
                    .map(|(index, node)| Self { node, path: self.path.item(index), ..*self })
                    .collect())
            }
            Node::Null => Ok(Vec::new()),
            other => Err(self.refuse(&format!("is {other}; must be a list"))),
        }
    }

    /// The value of a key of this mapping, if it has one.
    pub fn get(&self, key: &str) -> Option<Self> {
        let node = self.node.get(key).filter(|node| **node != Node::Null)?;
        Some(Self { node, path: self.path.join(key), ..*self })
    }

    /// The value of a key of this mapping; no value if it does not exist.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        Self { node: self.node.get(key).unwrap_or(&NOTHING), path: self.path.join(key), ..*self }
    }

    /// Whether this is a list.
    pub const fn is_list(&self) -> bool {
        matches!(self.node, Node::List(_))
    }

    /// The text of a scalar; empty if there is no value.
    pub fn text(&self) -> Result<String, LoadError> {
        match self.node {
            Node::Null => Ok(String::new()),
            Node::Text(text) => Ok(text.to_string()),
            Node::Bool(_) | Node::Float(_) | Node::Integer(_) => Err(self.refuse("cannot be read as a text; quote it")),
            other => Err(self.refuse(&format!("is {other}; must be a text"))),
        }
    }

    /// The bytes of a text, decoded if it has the tag `!!binary`.
    pub fn bytes(&self) -> Result<Vec<u8>, LoadError> {
        let text = self.text()?;
        if !self.has_binary_tag() {
            return Ok(text.into_bytes());
        }
        let plain: String = text.split_whitespace().collect();
        BASE64
            .decode(plain.as_bytes())
            .map_err(|_| self.refuse("is not valid base64, which `!!binary` requires"))
    }

    /// A truth value.
    pub fn truth(&self) -> Result<bool, LoadError> {
        match self.node {
            Node::Bool(value) => Ok(*value),
            // The other programs also accept truth values of YAML 1.1.
            Node::Text(text) if is_one_of(text, ["true", "yes", "on"]) => Ok(true),
            Node::Text(text) if is_one_of(text, ["false", "no", "off"]) => Ok(false),
            Node::Null => Ok(false),
            other => Err(self.refuse(&format!("is {other}; must be `true` or `false`"))),
        }
    }

    /// A duration, as in Go or Prometheus.
    pub fn duration(&self) -> Result<Duration, LoadError> {
        let text = self.text()?;
        match duration::parse(&text) {
            Ok(duration) | Err(ParseDurationError::OtherFormat(duration)) => Ok(duration),
            Err(error) => Err(self.refuse(&format!("{} {error}", quoted(&text)))),
        }
    }

    /// Texts of a list.
    pub fn texts(&self) -> Result<Vec<String>, LoadError> {
        self.items()?.iter().map(Self::text).collect()
    }

    /// The value on one short line; `None` for a mapping, which may have secrets.
    pub fn short(&self) -> Option<String> {
        match self.node {
            Node::List(items) => {
                let items = items.iter().map(Node::scalar_text).collect::<Option<Vec<_>>>()?;
                Some(format!("[{}]", items.join(", ")))
            }
            node => node.scalar_text().map(Into::into),
        }
    }

    /// The error that this value cannot be used.
    pub fn refuse(&self, message: &str) -> LoadError {
        let position = Positions::read(&self.file.text).position(&self.path, Part::Value);
        let file = Some(self.file.path.as_path().into());
        LoadError::new(vec![Diagnostic { file, position, key: self.path.to_string(), message: message.to_owned() }])
    }

    /// Whether the value is written with the tag `!!binary`, which the parser of the tree drops.
    fn has_binary_tag(&self) -> bool {
        if !self.file.text.contains(BINARY) {
            return false;
        }
        let position = Positions::read(&self.file.text).position(&self.path, Part::Value);
        let Some(position) = position else { return false };
        let line = self.file.text.lines().nth(position.line - 1).unwrap_or_default();
        let start = line
            .char_indices()
            .nth(position.column - 1)
            .map_or(line.len(), |(index, _)| index);
        let (before, after) = line.split_at(start);
        after.starts_with(BINARY) || before.trim_end().ends_with(BINARY)
    }
}

/// Replaces scalars and keys by their texts in the file. A scalar whose text is not found keeps its type.
fn restore_texts(node: &mut Node, path: BorrowedPath<'_>, positions: &Positions<'_>) {
    match node {
        Node::Bool(_) | Node::Float(_) | Node::Integer(_) => {
            if let Some(written) = positions.written(&path.into()) {
                *node = Node::Text(written.into());
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                restore_texts(item, BorrowedPath::Item(&path, index), positions);
            }
        }
        Node::Mapping(entries) => {
            // Entries of merge keys follow the others.
            let keys = positions.keys(&path.into()).into_iter().map(Some);
            for ((key, value), written) in entries.iter_mut().zip(keys.chain(iter::repeat(None))) {
                if let Some(written) = written.filter(|written| **written != **key)
                    && Node::scalar(written).scalar_text().as_deref() == Some(&**key)
                {
                    *key = written.into();
                }
                restore_texts(value, BorrowedPath::Key(&path, key), positions);
            }
        }
        Node::Null | Node::Tagged(_) | Node::Text(_) => {}
    }
}

fn is_one_of(text: &str, words: [&str; 3]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

static NOTHING: Node = Node::Null;

const BINARY: &str = "!!binary";

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ForeignFile {
        ForeignFile::parse(Path::new("a.yml"), text.to_owned()).unwrap()
    }

    #[test]
    fn errors_have_file_line_and_path() {
        let file = file("modules:\n  a:\n    timeout: soon\n    list: 5\n");
        let a = file.root().get("modules").unwrap().get("a").unwrap();
        let timeout = a.get("timeout").unwrap();
        let error = timeout.duration().unwrap_err().to_string();
        assert!(error.starts_with("a.yml:3:14: modules.a.timeout: `soon` is not a valid duration"), "{error}");
        let error = a.get("list").unwrap().items().unwrap_err().to_string();
        assert_eq!(error, "a.yml:4:11: modules.a.list: is `5`; must be a list");
    }

    #[test]
    fn syntax_errors_have_a_line() {
        let error = ForeignFile::parse(Path::new("a.yml"), "a: [1".to_owned())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("a.yml:"), "{error}");
    }

    #[test]
    fn durations_of_go_are_accepted() {
        let file = file("[1.5s, 1m30s, 500ms]");
        let durations: Vec<_> = file
            .root()
            .items()
            .unwrap()
            .iter()
            .map(|value| value.duration().unwrap())
            .collect();
        assert_eq!(durations, [1500, 90_000, 500].map(Duration::from_millis));
    }

    #[test]
    fn scalars_keep_their_texts() {
        let numbers = ["1.10", "0x10", "0o17", "010", "1e3", "+5", "-0", ".5", "5.", "1_000", "18446744073709551616"];
        let words = ["true", "True", "FALSE", "yes", "2024-01-02", ".inf", "-.INF", ".NaN", "1:30"];
        for written in numbers.iter().chain(&words) {
            for (text, key) in [
                (format!("a: {{ v: {written} }}\n"), "v"),
                (format!("b: &b {{ v: {written} }}\na: {{ <<: *b, w: 1 }}\n"), "v"),
                (format!("b: &b {{ v: 1 }}\na: {{ <<: *b, {written}: {written} }}\n"), *written),
            ] {
                let file = file(&text);
                let a = file.root().get("a").unwrap();
                assert_eq!(a.get(key).unwrap().text().unwrap(), *written, "{text}");
            }
        }
        let file = file("[~, '1.10', !!str 1.10, !!float 1.10]");
        assert_eq!(file.root().texts().unwrap(), ["", "1.10", "1.10", "1.10"]);
    }

    #[test]
    fn values_of_json_with_tabs_keep_their_texts() {
        let file = file("[\n\t1.10,\n\ttrue,\n\t{\"v\":\t1e3},\n\t\"a\\tb\"\n]\n");
        let values = file.root().items().unwrap();
        let texts = [&values[0], &values[1], &values[2].child("v"), &values[3]];
        assert_eq!(texts.map(|value| value.text().unwrap()), ["1.10", "true", "1e3", "a\tb"]);
    }

    #[test]
    fn a_number_without_its_text_is_refused() {
        let file = file(r#"["\ud83d\ude00", 1.10]"#);
        let error = file.root().texts().unwrap_err().to_string();
        assert!(error.ends_with("[1]: cannot be read as a text; quote it"), "{error}");
    }

    #[test]
    fn truth_values_may_be_those_of_yaml_1_1() {
        let file = file("[true, True, yes, On, false, FALSE, No, off, ~]");
        let values = file.root().items().unwrap();
        let values: Vec<_> = values.iter().map(|value| value.truth().unwrap()).collect();
        assert_eq!(values, [true, true, true, true, false, false, false, false, false]);
    }

    #[test]
    fn binary_values_are_decoded() {
        let file =
            file("a:\n- send: !!binary AAAACATSFi8= # SSLRequest\n- send: AAAA\n- { send: !!binary \"AAE=\" }\n");
        let steps = file.root().get("a").unwrap().items().unwrap();
        let bytes: Vec<_> = steps.iter().map(|step| step.get("send").unwrap().bytes().unwrap()).collect();
        assert_eq!(bytes, [b"\0\0\0\x08\x04\xd2\x16/" as &[u8], b"AAAA", b"\0\x01"]);
    }
}
