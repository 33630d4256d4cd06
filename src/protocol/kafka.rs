//! The protocol of Apache Kafka (<https://kafka.apache.org/protocol>) and of compatible brokers.
//!
//! Sends an `ApiVersions` request of version 0, which every broker since 0.10 accepts without a login. Leaves nothing
//! in the log.

use async_trait::async_trait;
use bytes::Buf as _;

use super::frame::{Malformed, frame, length};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// Kafka.
#[derive(Debug)]
pub(super) struct Kafka;

pub(super) static SERVICE: Service = Service {
    name: "kafka",
    port: 9092,
    tls_name: "kafka+tls",
    tls_port: 9092,
    client: Some("kafka-broker-api-versions.sh --bootstrap-server {authority}"),
    ..Service::DEFAULT
};

impl Protocol for Kafka {
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
        wire.send(API_VERSIONS).await?;
        match wire.receive("the response to ApiVersions", MAX_REPLY, error_code).await? {
            NONE | UNSUPPORTED_VERSION => Ok(ServiceReply::default()),
            code => Err(ConversationError::Rejected(format!("ApiVersions: error {code}"))),
        }
    }
}

/// Parses the error code of the response to [`API_VERSIONS`].
fn error_code(buffered: &[u8]) -> Parsed<i16> {
    let size = |mut head: &[u8]| Ok(length(head.try_get_i32()?).saturating_add(SIZE));
    frame(buffered, SIZE, size).and_then(|message| {
        let mut rest = message.get(SIZE..).unwrap_or_default();
        Malformed::unless(rest.try_get_i32()? == CORRELATION, "it responds to another request")?;
        let code = rest.try_get_i16()?;
        let ranges = length(rest.try_get_i32()?);
        Malformed::unless(rest.len() == ranges.saturating_mul(RANGE), "its list of versions has the wrong length")?;
        Ok(code)
    })
}

/// A request: key 18, version 0, correlation ID, client ID.
const API_VERSIONS: &[u8] = b"\0\0\0\x13\0\x12\0\0port\0\x09portprobe";

const CORRELATION: i32 = i32::from_be_bytes(*b"port");

const NONE: i16 = 0;
const UNSUPPORTED_VERSION: i16 = 35;

/// Length of the size before a message.
const SIZE: usize = 4;

/// Length of a range: a key, the lowest and the highest version.
const RANGE: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    /// The beginning of the reply of Kafka 3.7: Produce 0 to 10, Fetch 0 to 16.
    const ANSWER: &[u8] = b"\0\0\0\x16port\0\0\0\0\0\x02\0\0\0\0\0\x0a\0\x01\0\0\0\x10";

    #[test]
    fn the_request_contains_its_length() {
        let size = API_VERSIONS.first_chunk().map(|size| u32::from_be_bytes(*size));
        assert_eq!(size, u32::try_from(API_VERSIONS.len() - SIZE).ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_of_versions_means_success() {
        let script = Script::listens().responds(ANSWER);
        let (found, sent) = talk(&Kafka, "kafka://a", &script).await;
        assert_eq!((found.unwrap(), &*sent), (ServiceReply::default(), API_VERSIONS));
        assert_survives(&Kafka, "kafka://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (&b"\0\0\0\x0aport\0\x23\0\0\0\0"[..], "ok"),
            (b"\0\0\0\x0aport\0\x08\0\0\0\0", "rejected: ApiVersions: error 8"),
            (b"\0\0\0\x0aport\xff\xff\0\0\0\0", "rejected: ApiVersions: error -1"),
            (
                b"\0\0\0\x0asort\0\0\0\0\0\0",
                "unexpected: expected the response to ApiVersions, received \"\\0\\0\\0\\nsort\\0\\0\\0\\0\\0\\0\": it responds to another request",
            ),
            (
                b"\0\0\0\x0aport\0\0\0\0\0\x01",
                "unexpected: expected the response to ApiVersions, received \"\\0\\0\\0\\nport\\0\\0\\0\\0\\0\\u{1}\": its list of versions has the wrong length",
            ),
            (
                // A TLS alert: the listener expects TLS.
                b"\x15\x03\x03\0\x02\x02\x50",
                "unexpected: expected the response to ApiVersions, received \"\\u{15}\\u{3}\\u{3}\\0\\u{2}\\u{2}P\": its length 352518916 is invalid",
            ),
            (b"", "closed: the response to ApiVersions"),
        ] {
            assert_eq!(summary(talk(&Kafka, "kafka://a", &Script::listens().responds(response)).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
            let sized = [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), &*bytes].concat();
            let _ = (error_code(&bytes), error_code(&sized));
        }
    }
}
