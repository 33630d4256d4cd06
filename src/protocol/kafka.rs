//! Protocol of Apache Kafka (<https://kafka.apache.org/protocol>) and of compatible brokers.
//!
//! Sends an `ApiVersions` request of version 0, which every broker since 0.10 answers without a login. Leaves nothing
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
        match wire.answer("the answer to ApiVersions", MAX_REPLY, error_code).await? {
            NONE | UNSUPPORTED_VERSION => Ok(ServiceReply::default()),
            code => Err(ConversationError::Rejected(format!("ApiVersions: error {code}"))),
        }
    }
}

/// The error code of the reply to [`API_VERSIONS`].
fn error_code(buffered: &[u8]) -> Parsed<i16> {
    let size = |mut head: &[u8]| Ok(length(head.try_get_i32()?).saturating_add(SIZE));
    frame(buffered, SIZE, size).and_then(|message| {
        let mut rest = message.get(SIZE..).unwrap_or_default();
        Malformed::unless(rest.try_get_i32()? == CORRELATION, "it answers another request")?;
        let code = rest.try_get_i16()?;
        let ranges = length(rest.try_get_i32()?);
        Malformed::unless(rest.len() == ranges.saturating_mul(RANGE), "its list of versions has another length")?;
        Ok(code)
    })
}

/// Key 18, version 0, our correlation id, our client id.
const API_VERSIONS: &[u8] = b"\0\0\0\x13\0\x12\0\0port\0\x09portprobe";

const CORRELATION: i32 = i32::from_be_bytes(*b"port");

const NONE: i16 = 0;
const UNSUPPORTED_VERSION: i16 = 35;

/// Length of the size before every message.
const SIZE: usize = 4;

/// A key, the lowest and the highest version.
const RANGE: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    /// The beginning of the reply of Kafka 3.7: Produce 0 to 10, Fetch 0 to 16.
    const ANSWER: &[u8] = b"\0\0\0\x16port\0\0\0\0\0\x02\0\0\0\0\0\x0a\0\x01\0\0\0\x10";

    #[test]
    fn the_request_knows_its_length() {
        let size = API_VERSIONS.first_chunk().map(|size| u32::from_be_bytes(*size));
        assert_eq!(size, u32::try_from(API_VERSIONS.len() - SIZE).ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_tells_its_versions_serves() {
        let script = Script::hears().answers(ANSWER);
        let (found, said) = talk(&Kafka, "kafka://a", &script).await;
        assert_eq!((found.unwrap(), &*said), (ServiceReply::default(), API_VERSIONS));
        assert_survives(&Kafka, "kafka://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (answer, expected) in [
            (&b"\0\0\0\x0aport\0\x23\0\0\0\0"[..], "ok"),
            (b"\0\0\0\x0aport\0\x08\0\0\0\0", "rejected: ApiVersions: error 8"),
            (b"\0\0\0\x0aport\xff\xff\0\0\0\0", "rejected: ApiVersions: error -1"),
            (
                b"\0\0\0\x0asort\0\0\0\0\0\0",
                "unexpected: expected the answer to ApiVersions, but \"\\0\\0\\0\\nsort\\0\\0\\0\\0\\0\\0\" came: it answers another request",
            ),
            (
                b"\0\0\0\x0aport\0\0\0\0\0\x01",
                "unexpected: expected the answer to ApiVersions, but \"\\0\\0\\0\\nport\\0\\0\\0\\0\\0\\u{1}\" came: its list of versions has another length",
            ),
            (
                // A TLS alert: the listener expects TLS.
                b"\x15\x03\x03\0\x02\x02\x50",
                "unexpected: expected the answer to ApiVersions, but \"\\u{15}\\u{3}\\u{3}\\0\\u{2}\\u{2}P\" came: its length is 352518916",
            ),
            (b"", "closed: the answer to ApiVersions"),
        ] {
            assert_eq!(summary(talk(&Kafka, "kafka://a", &Script::hears().answers(answer)).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in any::<Vec<u8>>()) {
            let sized = [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), &*bytes].concat();
            let _ = (error_code(&bytes), error_code(&sized));
        }
    }
}
