//! Values of TLS.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::read::{Key, Scalar, invalid};
use crate::config::keys::value::choice::Choice;
use crate::config::problems::At;
use crate::config::yaml::Node;
use crate::target::{AlpnProtocol, KeyExchange, KeyExchangeGroup, ServerName, Sha256Digest, TlsVersion, Verify};

/// Trusted roots that do not come from a file of the user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::config) enum RootSet {
    Mozilla,
    System,
}

impl Choice for RootSet {
    const WORDS: &'static [(&'static str, Self)] = &[("mozilla", Self::Mozilla), ("system", Self::System)];
}

impl Choice for Verify {
    const WORDS: &'static [(&'static str, Self)] = &[("strict", Self::Strict), ("report", Self::Report)];
}

impl Scalar for TlsVersion {
    /// Reads a version; without quotes it is a number.
    fn read(node: Node) -> Result<Self, String> {
        let text = node.scalar_text().unwrap_or_default();
        let version = Self::ALL.into_iter().find(|version| version.as_str() == &*text);
        version.ok_or_else(|| invalid(&node, "TLS version", "1.2 or 1.3"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [1.2, 1.3, "1.2", "1.3"] })
    }
}

impl Choice for KeyExchangeGroup {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::X25519Mlkem768.as_str(), Self::X25519Mlkem768),
        (Self::X25519.as_str(), Self::X25519),
        (Self::Secp256r1.as_str(), Self::Secp256r1),
        (Self::Secp384r1.as_str(), Self::Secp384r1),
    ];
}

impl Key for KeyExchange {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        let problems = at.problems().count();
        let groups = Key::read(node, at).filter(|_| at.problems().count() == problems)?;
        Self::try_new(groups).map_err(|error| at.refuse(error)).ok()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut groups = Vec::<KeyExchangeGroup>::schema(generator);
        groups.insert("minItems".to_owned(), 1.into());
        groups.insert("uniqueItems".to_owned(), true.into());
        groups
    }
}

impl Scalar for ServerName {
    fn read(node: Node) -> Result<Self, String> {
        let name = if let Node::Text(text) = &node { text.parse().ok() } else { None };
        name.ok_or_else(|| {
            invalid(&node, "server name", "a DNS name or an IP address, like db.example.com or 192.0.2.1")
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["db.example.com", "192.0.2.1"] })
    }
}

impl Scalar for AlpnProtocol {
    fn read(node: Node) -> Result<Self, String> {
        let name = if let Node::Text(text) = &node { Self::try_new(text) } else { None };
        name.ok_or_else(|| invalid(&node, "ALPN protocol", "a name of 1 to 255 bytes, like h2 or http/1.1"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 255, "examples": ["h2", "http/1.1"] })
    }
}

impl Scalar for Sha256Digest {
    fn read(node: Node) -> Result<Self, String> {
        let digest = if let Node::Text(text) = &node { text.parse().ok() } else { None };
        digest.ok_or_else(|| {
            let source = "`openssl x509 -in FILE -noout -fingerprint -sha256`";
            invalid(&node, "SHA-256 digest", &format!("hex or base64, like the output of {source} after `=`"))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(:*([0-9a-fA-F]:*){64}|[A-Za-z0-9+/]{43}=)$" })
    }
}
