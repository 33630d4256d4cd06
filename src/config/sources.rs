//! Discovery: where targets come from besides the file, and what sources say of them.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::problems::path::{At, Position};
use crate::config::problems::positions::Places;
use crate::config::problems::text::OneLine;
use crate::config::yaml::{JsonError, Node, SyntaxError};
use crate::target::{HeaderFile, HostName, Target, TlsProfile, TlsSettings};

pub(super) mod read;

/// A source of targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// What it is called in metrics and logs: `file:sd/*.json`, `http:https://cmdb.internal/sd`,
    /// `dns:SRV:_postgres._tcp.internal`, `dns:A:web.internal:443`. No two sources have the same.
    pub name: Arc<str>,
    /// Where it looks.
    pub kind: SourceKind,
    /// How often it looks.
    pub refresh: Duration,
}

/// Where a source looks.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SourceKind {
    /// A name that is asked for.
    Dns {
        /// The name.
        name: HostName,
        /// What is asked for.
        records: Records,
    },
    /// Files whose path matches; in the last part `*` stands for any characters, `?` for one.
    File {
        /// The pattern, absolute or relative to the working directory.
        pattern: PathBuf,
    },
    /// An address that answers as Prometheus' `http_sd`.
    Http(HttpSource),
}

/// An address that is asked for targets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpSource {
    /// `http` or `https`, without user and password.
    pub url: String,
    /// Headers whose values are the contents of files, for secrets; names are valid ones in lower case.
    pub headers_files: Vec<(String, PathBuf)>,
    /// How TLS is spoken, with `https`.
    pub tls: TlsSettings,
}

/// The kinds of records that a name is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Records {
    /// IPv4 addresses, each with this port.
    A(u16),
    /// IPv6 addresses, each with this port.
    Aaaa(u16),
    /// Hosts and ports (RFC 2782).
    Srv,
}

/// What a source says of one target or several, not yet checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered(pub(super) Node);

impl Discovered {
    /// A host with a port, as DNS tells it.
    pub fn address(address: String) -> Self {
        Self(Node::Text(address.into()))
    }
}

/// What a source's words have come to.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The targets, each valid in itself.
    pub targets: Vec<Arc<Target>>,
    /// What was left out, each with its reason, in a line for the log.
    pub invalid: Vec<String>,
    /// The profiles of TLS for whose files targets were left out; they may be there later.
    pub unreadable: Vec<Arc<TlsProfile>>,
    /// The same of files of headers.
    pub unreadable_headers: Vec<Arc<HeaderFile>>,
}

/// What a text says that a source gave: a list, in JSON or YAML, of targets as a configuration has them and of groups as
/// Prometheus' `file_sd` and `http_sd` have them. The error is one line.
///
/// An entry that is neither is found out when targets are made of it, and leaves the others alone.
pub fn discovered(text: &str) -> Result<Vec<Discovered>, String> {
    list(text, |_| Node::parse(text).map_err(|error| syntax(&error)))
}

/// As [`discovered`], in JSON alone: to find out that a text is no YAML takes dozens of times its size, and one that
/// comes from elsewhere may be large on purpose.
pub fn discovered_json(text: &str) -> Result<Vec<Discovered>, String> {
    list(text, |why| Err(format!("is no valid JSON: {why}")))
}

/// The list that a text is; `otherwise` reads what is no JSON, and is told why it is none.
fn list(text: &str, otherwise: impl FnOnce(String) -> Result<Node, String>) -> Result<Vec<Discovered>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("has more than {} MiB", MAX_BYTES >> 20));
    }
    let node = match Node::parse_json(text) {
        Err(JsonError::Bounds(error)) => Err(syntax(&error)),
        Err(JsonError::Syntax(why)) => otherwise(why),
        Ok(node) => Ok(node),
    };
    match node.map_err(|why| OneLine(&why).to_string())? {
        Node::List(mut items) => {
            restore_texts(&mut items, text);
            Ok(items.into_iter().map(Discovered).collect())
        }
        Node::Null => Err("is empty; expected a list of targets, which is [] where there are none".to_owned()),
        other => Err(format!("is {other}; expected a list of targets")),
    }
}

/// Puts numbers back as they were written where a text is due, such as the label `version: 1.10`: Prometheus takes them
/// so, and once the text is gone nobody could tell.
fn restore_texts(items: &mut [Node], text: &str) {
    let places = OnceCell::new();
    let restore = |node: &mut Node, at: At<'_>| {
        if let Node::Float(_) | Node::Integer(_) = node
            && let Some(written) = places.get_or_init(|| Places::survey(text)).written(&at.into())
        {
            *node = Node::Text(written.into());
        }
    };
    for (index, item) in items.iter_mut().enumerate() {
        let Node::Mapping(entries) = item else { continue };
        let at = At::Root.item(index);
        for (key, value) in entries {
            match (&**key, value) {
                ("labels", Node::Mapping(labels)) => {
                    let at = at.key("labels");
                    for (name, value) in labels {
                        restore(value, at.key(name));
                    }
                }
                ("name" | "group" | "module", value) => restore(value, at.key(key)),
                _ => {}
            }
        }
    }
}

fn syntax(SyntaxError { position, cause }: &SyntaxError) -> String {
    match position {
        Some(Position { line, column }) => format!("line {line}, column {column}: {cause}"),
        None => cause.to_string(),
    }
}

/// As much as a configuration may have.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(text: &str) -> Result<usize, String> {
        discovered(text).map(|entries| entries.len())
    }

    #[test]
    fn json_and_yaml_are_the_same_list() {
        let text = "- a:1\n- targets: ['b:1']\n  labels: {team: x}\n";
        let json = r#"["a:1", {"targets": ["b:1"], "labels": {"team": "x"}}]"#;
        assert_eq!(discovered(text), discovered(json));
        assert_eq!(discovered(text).unwrap()[0], Discovered::address("a:1".to_owned()));
        for (text, expected) in [("[]", 0), ("\t[\n\t\"a:1\"\n]", 1), ("[1, null, {}]", 3), ("- a:1 # x", 1)] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_text_as_it_is_written() {
        for (yaml, text) in [("1.10", "1.10"), ("0x1F", "0x1F"), ("7", "7"), ("'1.10'", "1.10")] {
            let written = format!("- a:1\n- targets: ['b:1']\n  labels: {{v: {yaml}}}\n");
            let quoted = format!("- a:1\n- targets: ['b:1']\n  labels: {{v: '{text}'}}\n");
            assert_eq!(discovered(&written), discovered(&quoted), "{yaml}");
        }
    }

    /// What encoders that keep to ASCII write, and keys longer than YAML has them.
    #[test]
    fn json_is_read_where_it_is_no_yaml() {
        let long = "l".repeat(2000);
        let text = format!(r#"[{{"targets": ["a:1"], "labels": {{"face": "\ud83d\ude00\u007f\/", "{long}": "x"}}}}]"#);
        assert_eq!(count(&text), Ok(1));
    }

    #[test]
    fn what_is_no_list_is_refused_in_one_line() {
        let deep = "lists and mappings are nested more than 32 deep; a configuration needs no more than 5";
        for (text, message) in [
            ("", "is empty; expected a list of targets, which is [] where there are none"),
            ("\n# none\n", "is empty; expected a list of targets, which is [] where there are none"),
            ("{}", "is a mapping; expected a list of targets"),
            ("targets: ['a:1']", "is a mapping; expected a list of targets"),
            ("<!DOCTYPE html>\n<p>gone", "is `<!DOCTYPE html> <p>gone`; expected a list of targets"),
            ("7", "is the number 7; expected a list of targets"),
            (
                "- a\n---\n- b",
                "line 2, column 1: a second YAML document starts; a configuration is one document, remove the `---` between the two",
            ),
            (
                "[\"a:1\", ",
                "line 2, column 1: is no valid YAML: did not find expected node content while parsing a flow node",
            ),
            (&format!("{}{}", "[".repeat(40), "]".repeat(40)), deep),
        ] {
            let error = count(text).unwrap_err();
            assert!(error == message || error.ends_with(&format!(": {message}")), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn what_is_to_be_json_is_read_as_nothing_else() {
        assert_eq!(discovered_json(r#"["a:1"]"#), discovered("- a:1"));
        let error = discovered_json("- a:1").unwrap_err();
        assert!(error.starts_with("is no valid JSON: "), "{error}");
    }

    #[test]
    fn a_text_has_its_bounds() {
        let many = format!("[{}1]", "1,".repeat(12_000_000));
        assert!(count(&many).unwrap_err().ends_with("has so many values that they take more than 256 MiB"));
        assert_eq!(count(&" ".repeat(MAX_BYTES + 1)), Err("has more than 64 MiB".to_owned()));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), vec!["*a"; 2000].join(", "));
        assert!(count(&long).unwrap_err().contains("with its aliases the file grows to more than 256 MiB"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"([a-z]{1,9}: |- |  |\n|[\[\]{}&*!|>%@`"',:#?<~\\]|a:[0-9]{1,5}|"targets"|"labels"|\PC){0,60}"#) {
            if let Err(error) = discovered(&text) {
                prop_assert!(error.lines().count() == 1, "{}", error);
            }
        }
    }
}
