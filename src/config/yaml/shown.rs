//! The configuration in force, to be shown: as it was written, without comments and without what may be secret.

use std::io::Read as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::config::yaml::Node;

/// A configuration to be shown. It is kept packed, for one of a hundred thousand targets has ten megabytes of text that
/// hardly anybody asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shown(Arc<[u8]>);

impl Shown {
    /// What is shown of a document.
    pub(in crate::config) fn of(document: &Node) -> Self {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        // Neither writing YAML to memory nor packing it there fails.
        let _ = document.write_yaml(&mut packed, SECRETS);
        Self(packed.finish().unwrap_or_default().into())
    }

    /// As YAML. Takes a while where there are many targets.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        let _ = ZlibDecoder::new(&*self.0).read_to_string(&mut text);
        text
    }
}

/// Keys of what may be secret: a dialogue may send a password, and a header be one.
const SECRETS: &[&str] = &["send", "headers"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_secret_and_the_names_of_files_are_not() {
        let text =
            "modules: { a: { http: { headers: { x-key: secret, x-pin: 5550 }, headers_files: { x-a: token } } } }";
        let shown = Shown::of(&Node::parse(text).unwrap()).to_yaml();
        assert!(!shown.contains("secret") && !shown.contains("5550"), "{shown}");
        let expected = text.replace("secret", "<hidden>").replace("5550", "<hidden>");
        assert_eq!(Node::parse(&shown).unwrap(), Node::parse(&expected).unwrap(), "{shown}");
    }

    #[test]
    fn what_is_shown_says_the_same_but_for_secrets() {
        let text = "\
# A comment.
labels: { region: eu, \"no\": \"no\", number: \"1.10\" }
base: &base { interval: 1s }
targets:
- 'tcp://[::1]:22'
- { url: a:1, <<: *base, dialogue: [{ send: 'AUTH secret\\r\\n' }, { expect: '^\\+OK: \"x\"$' }] }
";
        let shown = Shown::of(&Node::parse(text).unwrap()).to_yaml();
        assert!(!shown.contains("secret"), "{shown}");
        let expected = Node::parse(&text.replace("'AUTH secret\\r\\n'", "<hidden>")).unwrap();
        assert_eq!(Node::parse(&shown).unwrap(), expected, "{shown}");
    }
}
