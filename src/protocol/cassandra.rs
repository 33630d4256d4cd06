//! The native protocol of Apache Cassandra and `ScyllaDB`
//! (<https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec>).
//!
//! Sends OPTIONS of version 4, which requires no login. Leaves nothing in the log.

use async_trait::async_trait;
use bytes::Buf as _;

use super::frame::{Malformed, dotted, frame, length, take, text};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// Cassandra.
#[derive(Debug)]
pub(super) struct Cassandra;

pub(super) static SERVICE: Service = Service {
    name: "cassandra",
    port: 9042,
    tls_name: "cassandra+tls",
    tls_port: 9042,
    client: Some("cqlsh {host} {port}"),
    ..Service::DEFAULT
};

impl Protocol for Cassandra {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session)
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        wire.send(OPTIONS).await?;
        match wire.receive("the response to OPTIONS", MAX_REPLY, message).await? {
            Message::Supported { cql_version } => Ok(ServiceReply { version: cql_version, role: None }),
            Message::Error { code: PROTOCOL_ERROR | BAD_CREDENTIALS, .. } => Ok(ServiceReply::default()),
            Message::Error { code, text } => Err(ConversationError::Rejected(format!("{code:#06x} {text}"))),
        }
    }
}

/// The response to OPTIONS.
#[derive(Debug)]
enum Message {
    Error { code: i32, text: String },
    Supported { cql_version: Option<String> },
}

fn message(buffered: &[u8]) -> Parsed<Message> {
    let Some(version) = buffered.first() else { return Parsed::Incomplete };
    let header = match version {
        // The first two versions have a stream number of one byte.
        0x81 | 0x82 => 8,
        0x83..=0x86 => 9,
        _ => return Parsed::Invalid("it is not a response of a known version".to_owned()),
    };
    let size = |head: &[u8]| {
        let mut rest = head.get(header - LENGTH..).unwrap_or_default();
        Ok(length(rest.try_get_i32()?).saturating_add(header))
    };
    frame(buffered, header, size).and_then(|frame| {
        let opcode = frame.get(header - LENGTH - 1).copied();
        let mut body = frame.get(header..).unwrap_or_default();
        match opcode {
            Some(ERROR) => {
                let (code, text) = (body.try_get_i32()?, text(string(&mut body)?));
                Ok(Message::Error { code, text })
            }
            Some(SUPPORTED) => Ok(Message::Supported { cql_version: cql_version(body)? }),
            _ => Err("it is neither SUPPORTED nor ERROR".into()),
        }
    })
}

/// Returns the first of the CQL versions in a string multimap.
fn cql_version(mut options: &[u8]) -> Result<Option<String>, Malformed> {
    let mut version = None;
    for _ in 0..options.try_get_u16()? {
        let is_wanted = string(&mut options)? == b"CQL_VERSION";
        for _ in 0..options.try_get_u16()? {
            let value = string(&mut options)?;
            if is_wanted && version.is_none() {
                version = str::from_utf8(value).ok().and_then(dotted).map(str::to_owned);
            }
        }
    }
    Ok(version)
}

fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = rest.try_get_u16()?;
    take(rest, length.into())
}

/// A request: version 4, no flags, stream 0, opcode 5, no body.
const OPTIONS: &[u8] = b"\x04\0\0\0\x05\0\0\0\0";

const ERROR: u8 = 0;
const SUPPORTED: u8 = 6;

/// The errors of a server that speaks another version or requires a login (section 9 of the specification). Any other
/// error means that no client is served: server error, overloaded, is bootstrapping.
const PROTOCOL_ERROR: i32 = 0x000a;
const BAD_CREDENTIALS: i32 = 0x0100;

/// Size of the length of the body, the last field of a header after the opcode.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    /// Returns a response of Cassandra 4.1, as in section 4.2.4 of the specification.
    fn supported() -> Vec<u8> {
        let options: &[u8] = b"\0\x03\0\x11PROTOCOL_VERSIONS\0\x03\0\x043/v3\0\x044/v4\0\x045/v5\
            \0\x0bCOMPRESSION\0\x02\0\x06snappy\0\x03lz4\0\x0bCQL_VERSION\0\x01\0\x053.4.6";
        [&b"\x84\0\0\0\x06"[..], &u32::try_from(options.len()).unwrap().to_be_bytes(), options].concat()
    }

    fn error(version: u8, code: i32, text: &str) -> Vec<u8> {
        let stream: &[u8] = if version > 2 { b"\0\0" } else { b"\0" };
        let length = u16::try_from(text.len()).unwrap();
        let body = [&code.to_be_bytes()[..], &length.to_be_bytes(), text.as_bytes()].concat();
        let size = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[0x80 | version, 0][..], stream, &[0], &size, &body].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn supported_options_have_a_version() {
        let script = Script::listens().responds(supported());
        let (found, sent) = talk(&Cassandra, "cassandra://a", &script).await;
        let expected = ServiceReply { version: Some("3.4.6".to_owned()), role: None };
        assert_eq!((found.unwrap(), &*sent), (expected, OPTIONS));
        assert_survives(&Cassandra, "cassandra://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (error(4, 0x0000, "no nodes available"), "rejected: 0x0000 no nodes available"),
            (error(4, 0x1001, "Server is overloaded"), "rejected: 0x1001 Server is overloaded"),
            (error(4, 0x1002, "bootstrapping"), "rejected: 0x1002 bootstrapping"),
            (error(4, 0x0100, "a login is required"), "ok"),
            (error(3, 0x000A, "Invalid or unsupported protocol version (4)"), "ok"),
            (error(1, 0x000A, "Invalid or unsupported protocol version: 4"), "ok"),
            (
                b"\x84\0\0\0\x02\0\0\0\0".to_vec(),
                "unexpected: expected the response to OPTIONS, received \"\\x84\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x00\": it is neither SUPPORTED nor ERROR",
            ),
            (
                b"\x84\0\0\0\x06\xff\xff\xff\xff".to_vec(),
                "unexpected: expected the response to OPTIONS, received \"\\x84\\x00\\x00\\x00\\x06\\xff\\xff\\xff\\xff\": its length 18446744073709551615 is invalid",
            ),
            (
                b"\x04\0\0\0\x05\0\0\0\0".to_vec(),
                "unexpected: expected the response to OPTIONS, received \"\\u{4}\\0\\0\\0\\u{5}\\0\\0\\0\\0\": it is not a response of a known version",
            ),
            (Vec::new(), "closed: the response to OPTIONS"),
        ] {
            assert_eq!(
                summary(talk(&Cassandra, "cassandra://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(version in 0x80_u8..0x88, opcode in 0_u8..8, body in any::<Vec<u8>>()) {
            let size = u32::try_from(body.len()).unwrap().to_be_bytes();
            let _ = (message(&body), cql_version(&body));
            let _ = message(&[&[version, 0, 0, 0, opcode][..], &size, &body].concat());
        }
    }
}
