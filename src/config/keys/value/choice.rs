//! Values that are one of several words.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Scalar, expected};
use crate::config::problems::text::suggestion;
use crate::config::yaml::Node;
use crate::outcome::Phase;
use crate::protocol::SCHEMES;
use crate::target::{AddressMode, Expect, IpFamily, Scheme, SchemeError};

/// A value that is one of several words.
pub(in crate::config) trait Choice: Copy + 'static {
    /// Each word and its value.
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for AddressMode {
    const WORDS: &'static [(&'static str, Self)] = &[("any", Self::Any), ("all", Self::All)];
}

impl Choice for Expect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("open", Self::Open), ("refused", Self::Refused), ("filtered", Self::Filtered), ("closed", Self::Closed)];
}

impl Choice for IpFamily {
    const WORDS: &'static [(&'static str, Self)] = &[("any", Self::Any), ("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)];
}

impl Choice for Phase {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::Resolve.as_str(), Self::Resolve),
        (Self::Connect.as_str(), Self::Connect),
        (Self::Starttls.as_str(), Self::Starttls),
        (Self::Tls.as_str(), Self::Tls),
        (Self::Protocol.as_str(), Self::Protocol),
    ];
}

impl Scalar for Scheme {
    fn read(node: Node) -> Result<Self, String> {
        let Node::Text(text) = &node else { return Err(expected(&node, "a scheme, such as tcp, tls or https")) };
        SCHEMES.find(text).map_err(|error| {
            let schemes = SCHEMES.all();
            match (error, suggestion(text, schemes.iter().map(String::as_str))) {
                (SchemeError::Unknown(_), Some(near)) => format!("is {node}; did you mean `{near}`?"),
                (SchemeError::Unknown(_), None) => expected(&node, "a scheme, such as tcp, tls or https"),
                (error, _) => format!("is {node}: {error}"),
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": SCHEMES.all() })
    }
}

impl<T: Choice> Scalar for T {
    fn read(node: Node) -> Result<Self, String> {
        if let Node::Text(text) = &node
            && let Some((_, value)) = Self::WORDS.iter().find(|(word, _)| **word == **text)
        {
            return Ok(*value);
        }
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let nearest = match &node {
            Node::Text(text) => suggestion(text, words.iter().copied()),
            _ => None,
        };
        Err(match nearest {
            Some(word) if words.len() == 1 => format!("is {node}; did you mean `{word}`?"),
            Some(word) => format!("is {node}; did you mean `{word}`? expected {}", any_of(&words)),
            None => expected(&node, &any_of(&words)),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

fn any_of(words: &[&str]) -> String {
    match words {
        [one] => format!("`{one}`"),
        words => format!("one of {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Scalar>(yaml: &str) -> Result<T, String> {
        T::read(Node::parse(yaml).unwrap())
    }

    #[test]
    fn a_near_word_is_suggested() {
        assert_eq!(read("refused"), Ok(Expect::Refused));
        let message = "is `opne`; did you mean `open`? expected one of open, refused, filtered, closed";
        assert_eq!(read::<Expect>("opne"), Err(message.to_owned()));
        assert_eq!(
            read::<Scheme>("7"),
            Err("is the number 7; expected a scheme, such as tcp, tls or https".to_owned())
        );
    }
}
