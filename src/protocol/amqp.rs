//! AMQP 0-9-1 (<https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, sections 2.2.4 and 4.2), as spoken by
//! RabbitMQ.
//!
//! Sends the protocol header, reads Connection.Start and closes. RabbitMQ logs one warning for that (it would log an
//! error for a Connection.Close); `log.connection.level = error` suppresses it. A broker of another version responds
//! with its header, which is a success.

use async_trait::async_trait;
use bytes::Buf as _;

use self::table::Table;
use super::frame::{Malformed, dotted, frame, length, take, text, unframed};
use super::lines::product;
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

mod table;

/// AMQP.
#[derive(Debug)]
pub(super) struct Amqp;

pub(super) static SERVICE: Service = Service {
    name: "amqp",
    other_names: &[OtherName::new("rabbitmq")],
    port: 5672,
    tls_name: "amqps",
    tls_port: 5671,
    ..Service::DEFAULT
};

impl Protocol for Amqp {
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
        wire.send(HEADER).await?;
        match wire.receive("Connection.Start", MAX_REPLY, response).await? {
            Opening::Close(reason) => Err(ConversationError::Rejected(format!("Connection.Close: {reason}"))),
            Opening::OtherVersion => Ok(ServiceReply::default()),
            Opening::Start { version } => Ok(ServiceReply { version, role: None }),
        }
    }
}

/// The response of a broker to the header.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Opening {
    Close(String),
    OtherVersion,
    Start { version: Option<String> },
}

fn response(buffered: &[u8]) -> Parsed<Opening> {
    match buffered.first() {
        Some(b'A') => unframed(buffered, |rest| {
            let name = rest.get(..4).unwrap_or(rest);
            Malformed::unless(b"AMQP".starts_with(name), "it is neither a frame nor a header")?;
            take(rest, 4)?;
            take(rest, 4).map(|_| Opening::OtherVersion)
        }),
        Some(&METHOD) => frame(buffered, FRAME, |head| Ok(length(size(head)?).saturating_add(FRAME + END)))
            .and_then(|frame| opening(frame.get(FRAME..).unwrap_or_default())),
        Some(_) => Parsed::Invalid("it is neither a frame nor a header".to_owned()),
        None => Parsed::Incomplete,
    }
}

/// Reads the size of a payload, after the type and the channel.
fn size(mut head: &[u8]) -> Result<u32, Malformed> {
    head.try_get_u8()?;
    Malformed::unless(head.try_get_u16()? == 0, "it is not on channel 0")?;
    Ok(head.try_get_u32()?)
}

/// Parses a method and the end of its frame.
fn opening(mut rest: &[u8]) -> Result<Opening, Malformed> {
    Malformed::unless(rest.last() == Some(&0xce), "its frame is not terminated")?;
    Malformed::unless(rest.try_get_u16()? == CONNECTION, "its class is not Connection")?;
    match rest.try_get_u16()? {
        START => {
            take(&mut rest, VERSION)?;
            let size = length(rest.try_get_u32()?);
            let properties = Table::read(take(&mut rest, size)?)?;
            Ok(Opening::Start { version: version(&properties) })
        }
        CLOSE => {
            let (code, size) = (rest.try_get_u16()?, rest.try_get_u8()?);
            Ok(Opening::Close(format!("{code} {}", text(take(&mut rest, size.into())?))))
        }
        _ => Err("it is neither Connection.Start nor Connection.Close".into()),
    }
}

/// Returns a known product with its version; for another product, only the version.
fn version(properties: &Table<'_>) -> Option<String> {
    let property = |name| properties.text(name).unwrap_or_default();
    let version = dotted(property("version"));
    let product = product(property("product"), PRODUCTS);
    let words: Vec<_> = product.as_deref().into_iter().chain(version).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Protocol 0, version 0-9-1.
const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

const PRODUCTS: &[&str] = &["RabbitMQ", "LavinMQ", "Qpid", "qpid-cpp"];

/// The type of a frame that holds a method.
const METHOD: u8 = 1;

const CONNECTION: u16 = 10;
const START: u16 = 10;
const CLOSE: u16 = 50;

/// Lengths of the type, channel and size of a frame, and of its end.
const FRAME: usize = 7;
const END: usize = 1;

/// Length of the protocol version in Connection.Start.
const VERSION: usize = 2;

#[cfg(test)]
mod tests;
