//! YAML and JSON files of other programs: their values with positions, for the conversion into a configuration of portprobe.
//!
//! Nothing has a meaning here. A value that its reader cannot use becomes an error with the file, line and path of the
//! value; the first one ends the conversion.

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
        let parsed = match Node::parse_json(&text) {
            Err(JsonError::Bounds(error)) => Err(error),
            Err(JsonError::Syntax(_)) => Node::parse(&text),
            Ok(root) => Ok(root),
        };
        match parsed {
            Ok(root) => Ok(Self { path: path.into(), text, root }),
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
            node => node
                .scalar_text()
                .map(Into::into)
                .ok_or_else(|| self.refuse(&format!("is {node}; must be a text"))),
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
            // Truth values of YAML 1.1, which the other programs accept.
            Node::Text(text) if matches!(&**text, "yes" | "on" | "Yes" | "On") => Ok(true),
            Node::Text(text) if matches!(&**text, "no" | "off" | "No" | "Off") => Ok(false),
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
        assert_eq!(error, "a.yml:4:11: modules.a.list: is the number 5; must be a list");
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
    fn binary_values_are_decoded() {
        let file =
            file("a:\n- send: !!binary AAAACATSFi8= # SSLRequest\n- send: AAAA\n- { send: !!binary \"AAE=\" }\n");
        let steps = file.root().get("a").unwrap().items().unwrap();
        let bytes: Vec<_> = steps.iter().map(|step| step.get("send").unwrap().bytes().unwrap()).collect();
        assert_eq!(bytes, [b"\0\0\0\x08\x04\xd2\x16/" as &[u8], b"AAAA", b"\0\x01"]);
    }
}
