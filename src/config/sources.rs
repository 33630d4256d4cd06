//! Discovery sources, and the entries that they return.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::config::keys::value::HttpUrl;
use crate::config::problems::path::{KeyPath, Position};
use crate::config::problems::positions::Positions;
use crate::config::problems::text::OneLine;
use crate::config::yaml::{JsonError, Node, SyntaxError};
use crate::target::{HostName, TlsSettings};

pub(super) mod read;

/// A source of targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// Its unique name in metrics and logs: `file:sd/*.json`, `http:https://cmdb.internal/sd`,
    /// `dns:SRV:_postgres._tcp.internal`, `dns:A:web.internal:443`. Values of a query are hidden.
    pub name: Arc<str>,
    /// Its kind and place.
    pub kind: SourceKind,
    /// The time between two refreshes.
    pub refresh: Duration,
}

/// The kind and place of a source.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SourceKind {
    /// A name to resolve.
    Dns {
        /// The name.
        name: HostName,
        /// The records to query.
        records: Records,
    },
    /// Files whose path matches; in the last part `*` matches any characters and `?` matches one.
    File {
        /// The pattern, absolute or relative to the working directory.
        pattern: PathBuf,
    },
    /// A URL that returns targets like Prometheus' `http_sd`.
    Http(HttpSource),
}

/// A URL that returns targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpSource {
    /// The URL.
    pub url: HttpUrl,
    /// Headers whose values are in files; the names are valid and in lower case.
    pub headers_files: Vec<(String, PathBuf)>,
    /// TLS settings for `https`.
    pub tls: TlsSettings,
}

/// The type of records to query.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Records {
    /// IPv4 addresses, each with this port.
    A(u16),
    /// IPv6 addresses, each with this port.
    Aaaa(u16),
    /// Hosts and ports (RFC 2782).
    Srv,
}

/// An entry of a source: one target or several, not checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered(pub(super) Node);

impl Discovered {
    /// A host with a port, from DNS.
    pub fn address(address: String) -> Self {
        Self(Node::Text(address.into()))
    }

    /// The URLs as written, which may be invalid.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        urls_of(&self.0).iter().filter_map(|url| match url {
            Node::Text(url) => Some(&**url),
            _ => None,
        })
    }
}

/// The URLs of an entry in either format.
pub(super) fn urls_of(entry: &Node) -> &[Node] {
    let urls = match entry {
        Node::Mapping(keys) => keys
            .iter()
            .find(|(key, _)| matches!(&**key, "targets" | "url" | "urls"))
            .map(|(_, urls)| urls),
        url => Some(url),
    };
    match urls {
        Some(Node::List(urls)) => urls,
        Some(url) => slice::from_ref(url),
        None => &[],
    }
}

/// Parses the text of a source: a list, in JSON or YAML, of targets in the format of the configuration or of groups in
/// that of Prometheus' `file_sd` and `http_sd`.
///
/// Entries are not checked yet, so that an invalid one does not affect the others.
pub fn discovered(text: &str) -> Result<Vec<Discovered>, EntriesError> {
    entries(text, |_| Ok(Node::parse(text)?))
}

/// Like [`discovered`], but only JSON: parsing invalid YAML takes dozens of times its size in memory, and a text from
/// another host may be malicious.
pub fn discovered_json(text: &str) -> Result<Vec<Discovered>, EntriesError> {
    entries(text, |why| Err(EntriesError::Json(why)))
}

/// Reason why a text has no entries. The message is one line.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntriesError {
    /// The text is empty.
    #[error("is empty; must be a list of targets, possibly []")]
    Empty,
    /// The text is not JSON, for this reason.
    #[error("is not valid JSON: {}", OneLine(.0))]
    Json(String),
    /// The text is something other than a list.
    #[error("is {}; must be a list of targets", OneLine(.0))]
    NotAList(String),
    /// The text is not YAML, or exceeds a limit.
    #[error("{}", OneLine(.0))]
    Syntax(String),
    /// The text is too long.
    #[error("is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

impl From<SyntaxError> for EntriesError {
    fn from(SyntaxError { position, cause }: SyntaxError) -> Self {
        Self::Syntax(match position {
            Some(Position { line, column }) => format!("line {line}, column {column}: {cause}"),
            None => cause.to_string(),
        })
    }
}

/// The entries of a text; `otherwise` parses a text that is not JSON, given the reason.
fn entries(
    text: &str,
    otherwise: impl FnOnce(String) -> Result<Node, EntriesError>,
) -> Result<Vec<Discovered>, EntriesError> {
    if text.len() > MAX_BYTES {
        return Err(EntriesError::TooLarge);
    }
    let node = match Node::parse_json(text) {
        Err(JsonError::Bounds(error)) => return Err(error.into()),
        Err(JsonError::Syntax(why)) => otherwise(why)?,
        Ok(node) => node,
    };
    match node {
        Node::List(mut items) => {
            restore_texts(&mut items, text);
            Ok(items.into_iter().map(Discovered).collect())
        }
        Node::Null => Err(EntriesError::Empty),
        other => Err(EntriesError::NotAList(other.to_string())),
    }
}

/// Restores numbers and truth values as they were written if a text is expected, such as the label `version: 1.10`:
/// Prometheus takes them literally, and later the text is gone.
fn restore_texts(items: &mut [Node], text: &str) {
    let positions = OnceCell::new();
    let restore = |node: &mut Node, path: &dyn Fn() -> KeyPath| {
        if let Node::Bool(_) | Node::Float(_) | Node::Integer(_) = node
            && let Some(written) = positions.get_or_init(|| Positions::read(text)).written(&path())
        {
            *node = Node::Text(written.into());
        }
    };
    for (index, item) in items.iter_mut().enumerate() {
        let Node::Mapping(entries) = item else { continue };
        for (key, value) in entries {
            let path = || KeyPath::document().item(index).join(key);
            match (&**key, value) {
                ("labels", Node::Mapping(labels)) => {
                    for (name, value) in labels {
                        restore(value, &|| path().join(name));
                    }
                }
                ("name" | "group" | "module", value) => restore(value, &path),
                _ => {}
            }
        }
    }
}

/// The maximum size of a configuration too.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(text: &str) -> Result<usize, String> {
        discovered(text).map(|entries| entries.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn json_and_yaml_are_equivalent() {
        let text = "- a:1\n- targets: ['b:1']\n  labels: {team: x}\n";
        let json = r#"["a:1", {"targets": ["b:1"], "labels": {"team": "x"}}]"#;
        assert_eq!(discovered(text), discovered(json));
        assert_eq!(discovered(text).unwrap()[0], Discovered::address("a:1".to_owned()));
        for (text, expected) in [("[]", 0), ("\t[\n\t\"a:1\"\n]", 1), ("[1, null, {}]", 3), ("- a:1 # x", 1)] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn labels_keep_their_text() {
        for (yaml, text) in
            [("1.10", "1.10"), ("0x1F", "0x1F"), ("7", "7"), ("'1.10'", "1.10"), ("True", "True"), ("FALSE", "FALSE")]
        {
            let written = format!("- a:1\n- targets: ['b:1']\n  labels: {{v: {yaml}}}\n");
            let quoted = format!("- a:1\n- targets: ['b:1']\n  labels: {{v: '{text}'}}\n");
            assert_eq!(discovered(&written), discovered(&quoted), "{yaml}");
        }
    }

    /// ASCII-only encoders write surrogate pairs; YAML limits the length of keys.
    #[test]
    fn json_that_is_not_yaml_is_read() {
        let long = "l".repeat(2000);
        let text = format!(r#"[{{"targets": ["a:1"], "labels": {{"face": "\ud83d\ude00\u007f\/", "{long}": "x"}}}}]"#);
        assert_eq!(count(&text), Ok(1));
    }

    #[test]
    fn the_error_is_one_line() {
        let deep = "is nested more than 32 levels deep; a configuration needs at most 5";
        for (text, message) in [
            ("", "is empty; must be a list of targets, possibly []"),
            ("\n# none\n", "is empty; must be a list of targets, possibly []"),
            ("{}", "is a mapping; must be a list of targets"),
            ("targets: ['a:1']", "is a mapping; must be a list of targets"),
            ("<!DOCTYPE html>\n<p>gone", "is `<!DOCTYPE html> <p>gone`; must be a list of targets"),
            ("7", "is the number 7; must be a list of targets"),
            ("- a\n---\n- b", "line 2, column 1: has a second YAML document; must be one document; remove the `---`"),
            (
                "[\"a:1\", ",
                "line 2, column 1: is not valid YAML: did not find expected node content while parsing a flow node",
            ),
            (&format!("{}{}", "[".repeat(40), "]".repeat(40)), deep),
        ] {
            let error = count(text).unwrap_err();
            assert!(error == message || error.ends_with(&format!(": {message}")), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn only_json_is_json() {
        assert_eq!(discovered_json(r#"["a:1"]"#), discovered("- a:1"));
        let error = discovered_json("- a:1").unwrap_err().to_string();
        assert!(error.starts_with("is not valid JSON: "), "{error}");
    }

    #[test]
    fn the_size_of_a_text_is_limited() {
        let many = format!("[{}1]", "1,".repeat(12_000_000));
        assert!(count(&many).unwrap_err().ends_with("has values of more than 256 MiB in memory"));
        assert_eq!(count(&" ".repeat(MAX_BYTES + 1)), Err("is larger than 64 MiB".to_owned()));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), vec!["*a"; 2000].join(", "));
        assert!(count(&long).unwrap_err().contains("expands to more than 256 MiB"));
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in r#"([a-z]{1,9}: |- |  |\n|[\[\]{}&*!|>%@`"',:#?<~\\]|a:[0-9]{1,5}|"targets"|"labels"|\PC){0,60}"#) {
            if let Err(error) = discovered(&text) {
                prop_assert!(error.to_string().lines().count() == 1, "{}", error);
            }
        }
    }
}
