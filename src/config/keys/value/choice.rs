//! Values that are one of several words.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Scalar, must_be};
use crate::config::problems::text::{any_of, quoted, suggestion};
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
        let Node::Text(text) = &node else { return Err(must_be(&node, "a scheme such as `tcp`, `tls` or `https`")) };
        SCHEMES.find(text).map_err(|error| scheme_error(&error))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": SCHEMES.all() })
    }
}

/// The message for a scheme that cannot be used.
pub(in crate::config) fn scheme_error(error: &SchemeError) -> String {
    let SchemeError::Unknown(scheme) = error else { return error.to_string() };
    if NOT_OVER_TCP.contains(&&**scheme) {
        return format!("unknown scheme {}; only protocols over TCP can be probed", quoted(scheme));
    }
    let schemes = SCHEMES.all();
    match suggestion(scheme, schemes.iter().map(String::as_str)) {
        Some(near) => format!("unknown scheme {}; did you mean `{near}`?", quoted(scheme)),
        None => format!("unknown scheme {}; must be `tcp`, `tls` or a protocol such as `https`", quoted(scheme)),
    }
}

/// Schemes that people try, for which a similar name would mislead.
const NOT_OVER_TCP: [&str; 6] = ["icmp", "ping", "quic", "sctp", "udp", "unix"];

impl<T: Choice> Scalar for T {
    fn read(node: Node) -> Result<Self, String> {
        if let Node::Text(text) = &node
            && let Some((_, value)) = Self::WORDS.iter().find(|(word, _)| **word == **text)
        {
            return Ok(*value);
        }
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let expected = any_of(&words);
        let Node::Text(text) = &node else { return Err(must_be(&node, &expected)) };
        let hint = suggestion(text, words.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("unknown value {}; must be {expected}{}", quoted(text), hint.unwrap_or_default()))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
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
        let message =
            "unknown value `opne`; must be one of `open`, `refused`, `filtered`, `closed`; did you mean `open`?";
        assert_eq!(read::<Expect>("opne"), Err(message.to_owned()));
        let message = "is the number 7; must be a scheme such as `tcp`, `tls` or `https`";
        assert_eq!(read::<Scheme>("7"), Err(message.to_owned()));
    }
}
