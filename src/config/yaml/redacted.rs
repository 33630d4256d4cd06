//! The configuration for `/config`: as written, without comments and without values that may be secret.

use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::ser::{Serialize, Serializer};

use crate::config::yaml::Node;
use crate::target::hide_query_values;

/// A configuration without its secrets. It is compressed, because a configuration of 100,000 targets has 10 MB of text
/// that is rarely requested.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RedactedConfig(Arc<[u8]>);

impl RedactedConfig {
    /// The document without the values of the `secret` keys.
    pub(in crate::config) fn new(document: &Node, secret: &[&str]) -> Self {
        let mut compressed = ZlibEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = document.write_yaml(&mut compressed, secret);
        Self(compressed.finish().unwrap_or_default().into())
    }

    /// The YAML text of a module; `None` if there is none with this name. Takes a while for many targets.
    pub fn module_to_yaml(&self, name: &str) -> Option<String> {
        let document = Node::parse(&self.to_yaml()).ok()?;
        let module = document.get("modules")?.get(name)?;
        let mut text = Vec::new();
        module.write_yaml(&mut text, &[]).ok()?;
        String::from_utf8(text).ok()
    }

    /// The YAML text. Takes a while for many targets.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        let _ = ZlibDecoder::new(&*self.0).read_to_string(&mut text);
        text
    }
}

/// A node that is written without the values of hidden keys.
pub(in crate::config) struct Written<'a> {
    node: &'a Node,
    hidden: &'a [&'a str],
    /// Whether the values of all keys are secret.
    hides_all: bool,
    /// Whether the node is a URL or a list of URLs.
    is_url: bool,
}

impl<'a> Written<'a> {
    pub(in crate::config) const fn new(node: &'a Node, hidden: &'a [&'a str]) -> Self {
        Self { node, hidden, hides_all: false, is_url: false }
    }
}

impl Written<'_> {
    fn inner<'a>(&'a self, node: &'a Node) -> Written<'a> {
        Written { node, hidden: self.hidden, hides_all: false, is_url: false }
    }

    fn value<'a>(&'a self, key: &str, value: &'a Node) -> Written<'a> {
        match value {
            Node::Mapping(_) if self.hides(key) => Written { hides_all: true, ..self.inner(value) },
            Node::Bool(_) | Node::Float(_) | Node::Integer(_) | Node::Text(_) if self.hides(key) => self.inner(&HIDDEN),
            _ => Written { is_url: URLS.contains(&key), ..self.inner(value) },
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
            Node::List(items) => {
                serializer.collect_seq(items.iter().map(|item| Written { is_url: self.is_url, ..self.inner(item) }))
            }
            Node::Mapping(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, self.value(key, value))))
            }
            // The value of a tag is not kept, and no key accepts one.
            Node::Null | Node::Tagged(_) => serializer.serialize_unit(),
            Node::Text(text) if self.is_url => serializer.serialize_str(&hide_query_values(text)),
            Node::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// Replaces a hidden value.
static HIDDEN: LazyLock<Node> = LazyLock::new(|| Node::Text("<hidden>".into()));

/// Keys of URLs, whose queries may contain secrets.
const URLS: [&str; 4] = ["http", "targets", "url", "urls"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_mappings_lose_all_values() {
        let text =
            "modules: { a: { http: { headers: { x-key: secret, x-pin: 5550 }, headers_files: { x-a: token } } } }";
        let shown = RedactedConfig::new(&Node::parse(text).unwrap(), &["send", "headers"]).to_yaml();
        assert!(!shown.contains("secret") && !shown.contains("5550"), "{shown}");
        let expected = text.replace("secret", "<hidden>").replace("5550", "<hidden>");
        assert_eq!(Node::parse(&shown).unwrap(), Node::parse(&expected).unwrap(), "{shown}");
    }

    #[test]
    fn values_of_queries_are_hidden() {
        let text = "\
discovery: [{ http: 'https://cmdb.example/sd?token=secret' }]
targets:
- https://a.example/?key=secret
- { url: 'https://b.example/?secret' }
- { urls: ['https://c.example/?a=secret&b=secret', 'https://d.example/'], dialogue: [{ expect: 'a?b=c' }] }
";
        let shown = RedactedConfig::new(&Node::parse(text).unwrap(), &[]).to_yaml();
        let expected = Node::parse(&text.replace("secret", "<hidden>")).unwrap();
        assert_eq!(Node::parse(&shown).unwrap(), expected, "{shown}");
    }

    #[test]
    fn everything_but_secrets_is_shown() {
        let text = "\
# A comment.
labels: { region: eu, \"no\": \"no\", number: \"1.10\" }
base: &base { interval: 1s }
targets:
- 'tcp://[::1]:22'
- { url: a:1, <<: *base, dialogue: [{ send: 'AUTH secret\\r\\n' }, { expect: '^\\+OK: \"x\"$' }] }
";
        let shown = RedactedConfig::new(&Node::parse(text).unwrap(), &["send", "headers"]).to_yaml();
        assert!(!shown.contains("secret"), "{shown}");
        let expected = Node::parse(&text.replace("'AUTH secret\\r\\n'", "<hidden>")).unwrap();
        assert_eq!(Node::parse(&shown).unwrap(), expected, "{shown}");
    }
}
