//! MQTT 3.1.1 and 5 (OASIS; <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html>,
//! <https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>).
//!
//! Sends CONNECT of 3.1.1 with an empty client identifier and a clean session, and DISCONNECT if it is accepted. A
//! broker that supports only version 5 reports that in a CONNACK of either version and closes, which is a success.
//! Brokers log connections: mosquitto writes two lines at "notice", unless `connection_messages` is false.

use async_trait::async_trait;
use bytes::Buf as _;

use super::frame::{Malformed, frame};
use super::{Conversation, ConversationError, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// MQTT.
#[derive(Debug)]
pub(super) struct Mqtt;

pub(super) static SERVICE: Service = Service {
    name: "mqtt",
    port: 1883,
    tls_name: "mqtts",
    tls_port: 8883,
    client: Some("mosquitto_sub -h {host} -p {port} -t '$SYS/broker/version' -C 1"),
    ..Service::DEFAULT
};

impl Protocol for Mqtt {
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
        wire.send(CONNECT).await?;
        let code = wire.receive("CONNACK", MAX_CONNACK, connack).await?;
        if code == ACCEPTED {
            wire.leave(DISCONNECT).await;
        } else if !SERVES.contains(&code) {
            return Err(ConversationError::Rejected(format!("CONNACK: code {code}")));
        }
        Ok(ServiceReply::default())
    }
}

/// Parses the code of a CONNACK: flags and code (3.1.1 section 3.2), in version 5 followed by properties.
fn connack(buffered: &[u8]) -> Parsed<u8> {
    let size = |mut head: &[u8]| {
        Malformed::unless(head.try_get_u8()? == 0x20, "it is not a CONNACK")?;
        let remaining = head.try_get_u8()?;
        // The length of properties can have two bytes, but a CONNACK to a client of 3.1.1 is never that long.
        Malformed::unless((2..0x80).contains(&remaining), "its length is invalid for a CONNACK")?;
        Ok(HEADER + usize::from(remaining))
    };
    frame(buffered, HEADER, size).and_then(|packet| {
        let mut rest = packet.get(HEADER..).unwrap_or_default();
        Malformed::unless(rest.try_get_u8()? & 0xfe == 0, "its flags are reserved")?;
        let code = rest.try_get_u8()?;
        if !rest.is_empty() {
            let properties = rest.try_get_u8()?;
            Malformed::unless(rest.len() == usize::from(properties), "its properties have the wrong length")?;
        }
        Ok(code)
    })
}

/// A CONNECT: protocol `MQTT`, level 4, clean session, keep-alive of a minute, no client identifier.
const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";

const DISCONNECT: &[u8] = b"\xe0\0";

const ACCEPTED: u8 = 0;

/// The codes of a broker that speaks another version or requires an identifier, a login or another address. Any other
/// code means that no client is served: server unavailable (3, 0x88), busy, quota exceeded, connection rate exceeded,
/// use another server.
const SERVES: [u8; 10] = [
    // 3.1.1 section 3.2.2.3: version, identifier, user name or password, not authorized.
    1, 2, 4, 5, // 5 section 3.2.2.2: the same, banned, authentication method.
    0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c,
];

/// Length of a header: type and a length below 128.
const HEADER: usize = 2;

const MAX_CONNACK: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_an_accepted_client_disconnects() {
        for (connack, goodbye) in [
            (&b"\x20\x02\0\0"[..], DISCONNECT),
            (b"\x20\x02\0\x01", b""),
            (b"\x20\x02\0\x02", b""),
            (b"\x20\x02\0\x04", b""),
            (b"\x20\x02\0\x05", b""),
            (b"\x20\x03\0\x84\0", b""),
            (b"\x20\x06\0\x87\x03\x1f\0\0", b""),
            (b"\x20\x03\0\x8a\0", b""),
            (b"\x20\x03\0\x8c\0", b""),
        ] {
            let script = Script::listens().responds(connack);
            let (found, sent) = talk(&Mqtt, "mqtt://a", &script).await;
            assert_eq!((found.unwrap(), sent), (ServiceReply::default(), [CONNECT, goodbye].concat()));
            assert_survives(&Mqtt, "mqtt://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (&b"\x20\x02\0\x03"[..], "rejected: CONNACK: code 3"),
            (b"\x20\x03\0\x88\0", "rejected: CONNACK: code 136"),
            (b"\x20\x03\0\x89\0", "rejected: CONNACK: code 137"),
            (b"\x20\x03\0\x97\0", "rejected: CONNACK: code 151"),
            (b"\x20\x03\0\x9f\0", "rejected: CONNACK: code 159"),
            (b"\x20\x03\0\x80\0", "rejected: CONNACK: code 128"),
            (b"\x20\x03\0\x9c\0", "rejected: CONNACK: code 156"),
            (b"\x20\x02\0\x06", "rejected: CONNACK: code 6"),
            (b"\x30\x02", "unexpected: expected CONNACK, received \"0\\u{2}\": it is not a CONNACK"),
            (b"\x20\x00", "unexpected: expected CONNACK, received \" \\0\": its length is invalid for a CONNACK"),
            (b"\x20\xff", "unexpected: expected CONNACK, received \" \\xff\": its length is invalid for a CONNACK"),
            (
                b"\x20\x03\0\x84\x01",
                "unexpected: expected CONNACK, received \" \\x03\\x00\\x84\\x01\": its properties have the wrong length",
            ),
            (b"", "closed: CONNACK"),
        ] {
            assert_eq!(summary(talk(&Mqtt, "mqtt://a", &Script::listens().responds(response)).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
            let _ = (connack(&bytes), connack(&[&b"\x20\x08"[..], &bytes].concat()));
        }
    }
}
