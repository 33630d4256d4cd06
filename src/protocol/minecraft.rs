//! The server list ping of Minecraft, Java Edition (<https://minecraft.wiki/w/Java_Edition_protocol/Server_List_Ping>).
//!
//! Sends a handshake that requests the status, and reads the status. Leaves nothing in the log.

use std::fmt::Display;

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _};
use serde::Deserialize;

use super::frame::{Malformed, dotted, take, unframed};
use super::lines::product;
use super::{Conversation, ConversationError, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// Minecraft.
#[derive(Debug)]
pub(super) struct Minecraft;

pub(super) static SERVICE: Service = Service {
    name: "minecraft",
    port: 25565,
    tls_name: "minecraft+tls",
    tls_port: 25565,
    client: Some("mcstatus {authority} status"),
    ..Service::DEFAULT
};

impl Protocol for Minecraft {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { request: status_request(&request.endpoint.host, request.endpoint.port.get()) })
    }
}

#[derive(Debug)]
struct Session {
    request: Vec<u8>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        wire.send(&self.request).await?;
        let version = wire.receive("a status", MAX_STATUS, status).await?;
        Ok(ServiceReply { version, role: None })
    }
}

/// Returns a handshake with the name of the server, by which proxies route, and a request for its status.
fn status_request(host: &impl Display, port: u16) -> Vec<u8> {
    let host = host.to_string();
    let mut handshake = vec![0];
    handshake.put_slice(NO_VERSION);
    // A name has at most 253 bytes, so its length takes one or two bytes.
    handshake.put_slice(&variable(host.len()));
    handshake.put_slice(host.as_bytes());
    handshake.put_u16(port);
    handshake.put_u8(FOR_STATUS);
    [variable(handshake.len()), handshake, STATUS_REQUEST.to_vec()].concat()
}

/// Encodes a varint: groups of seven bits, lowest first.
fn variable(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        bytes.push(if number > 0 { group | 0x80 } else { group });
        if number == 0 {
            return bytes;
        }
    }
}

/// Takes a varint of at most three groups, the maximum for the length of a packet.
fn take_variable(rest: &mut &[u8]) -> Result<usize, Malformed> {
    let mut number = 0;
    for shift in [0, 7, 14] {
        let byte = rest.try_get_u8()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("its length is too large".into())
}

/// Parses the version in a status.
fn status(buffered: &[u8]) -> Parsed<Option<String>> {
    unframed(buffered, |rest| {
        let length = take_variable(rest)?;
        Malformed::unless((MIN_STATUS..=MAX_STATUS).contains(&length), "its length is invalid for a status")?;
        if let Some(kind) = rest.first() {
            Malformed::unless(*kind == 0, "it is not a status")?;
        }
        let mut packet = take(rest, length)?.get(1..).unwrap_or_default();
        let length = take_variable(&mut packet).map_err(|_| "its text has an invalid length")?;
        Malformed::unless(length == packet.len(), "its two lengths differ")?;
        let status: Status = serde_json::from_slice(packet).map_err(|error| format!("its JSON is invalid: {error}"))?;
        Ok(status.version.name.as_deref().and_then(version))
    })
}

/// Returns a known product with its version, such as `Paper 1.20.4`; otherwise the dotted numbers. Operators can change
/// this text.
fn version(name: &str) -> Option<String> {
    product(name, PRODUCTS).or_else(|| name.split(' ').find_map(dotted).map(str::to_owned))
}

/// The relevant fields of a status.
#[derive(Debug, Deserialize)]
struct Status {
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Version {
    name: Option<String>,
}

/// The version -1: no particular version of the game, as clients send in status requests.
const NO_VERSION: &[u8] = b"\xff\xff\xff\xff\x0f";

const FOR_STATUS: u8 = 1;

const STATUS_REQUEST: &[u8] = b"\x01\0";

const PRODUCTS: &[&str] =
    &["Paper", "Spigot", "CraftBukkit", "Purpur", "Folia", "Velocity", "Waterfall", "BungeeCord", "Fabric", "Forge"];

/// Minimum length of a status: a type, a length, `{}`.
const MIN_STATUS: usize = 4;

/// Maximum length of a status: 32767 characters of three bytes, including an image.
const MAX_STATUS: usize = 100 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, endpoint, summary, talk};
    use super::*;

    fn response(json: &str) -> Vec<u8> {
        let packet = [&[0][..], &variable(json.len()), json.as_bytes()].concat();
        [variable(packet.len()), packet].concat()
    }

    /// Returns the example of the protocol's page, with a picture.
    fn full() -> Vec<u8> {
        let picture = "A".repeat(300);
        response(&format!(
            r#"{{"version":{{"name":"1.19.4","protocol":762}},"players":{{"max":100,"online":5}},"description":{{"text":"Hello, world!"}},"favicon":"{picture}"}}"#
        ))
    }

    #[test]
    fn a_number_has_as_few_groups_as_possible() {
        for (number, bytes) in [
            (0, &b"\0"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (25565, b"\xdd\xc7\x01"),
            (2_097_151, b"\xff\xff\x7f"),
        ] {
            assert_eq!(variable(number), bytes);
            assert_eq!(take_variable(&mut &*bytes), Ok(number));
        }
        assert_eq!(take_variable(&mut &b"\x80\x80"[..]), Err(Malformed::Short));
        assert!(take_variable(&mut &b"\xff\xff\xff\xff\x0f"[..]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_has_a_version() {
        let script = Script::listens().responds(full());
        let (found, sent) = talk(&Minecraft, "minecraft://mc.example", &script).await;
        assert_eq!(found.unwrap(), ServiceReply { version: Some("1.19.4".to_owned()), role: None });
        assert_eq!(sent, b"\x14\0\xff\xff\xff\xff\x0f\x0amc.example\x63\xdd\x01\x01\0");
        assert_survives(&Minecraft, "minecraft://mc.example", &script).await;
    }

    #[test]
    fn a_long_name_is_sent_completely() {
        let name = format!("{0}.{0}.example", "a".repeat(63));
        let endpoint = endpoint(&format!("minecraft://{name}"));
        let request = status_request(&endpoint.host, 1);
        assert_eq!(request.get(..2), Some(&b"\x92\x01"[..]));
        assert_eq!(request.len(), 2 + 0x92 + 2);
    }

    #[test]
    fn versions_are_numbers_or_known_products() {
        for (name, expected) in [
            ("1.20.4", Some("1.20.4")),
            ("Paper 1.20.4", Some("Paper 1.20.4")),
            ("Velocity 1.7.2-1.21.4", Some("Velocity 1.7.2-1.21.4")),
            ("Requires 1.8.9 or later", Some("1.8.9")),
            ("24w14a", None),
            ("join now, 5 of 20!", None),
        ] {
            assert_eq!(version(name).as_deref(), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (response(r#"{"version":{}}"#), "ok"),
            (b"\0".to_vec(), "unexpected: expected a status, received \"\\0\": its length is invalid for a status"),
            (b"\x04\x01".to_vec(), "unexpected: expected a status, received \"\\u{4}\\u{1}\": it is not a status"),
            (
                b"\x04\0\x01{}".to_vec(),
                "unexpected: expected a status, received \"\\u{4}\\0\\u{1}{}\": its two lengths differ",
            ),
            (
                response("{}"),
                "unexpected: expected a status, received \"\\u{4}\\0\\u{2}{}\": its JSON is invalid: missing field `version` at line 1 column 2",
            ),
            (
                b"\xff\xff\xff".to_vec(),
                "unexpected: expected a status, received \"\\xff\\xff\\xff\": its length is too large",
            ),
            (Vec::new(), "closed: a status"),
        ] {
            assert_eq!(
                summary(talk(&Minecraft, "minecraft://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = (status(&bytes), status(&response(&text)), version(&text));
        }
    }
}
