//! Microsoft SQL Server: TDS (MS-TDS sections 2.2.3.1, 2.2.6.5 and 3.2.5).
//!
//! Sends PRELOGIN, the first message of every client, reads the response and closes. Leaves nothing in the log.
//! `+starttls` requests encryption in it and wraps the handshake in PRELOGIN packets; `+tls` is TDS 8.0 with TLS from
//! the first byte.

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _};

use super::frame::{Malformed, frame, take};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire, Wrapping};
use crate::target::{OtherName, Security, Service};

/// SQL Server.
#[derive(Debug)]
pub(super) struct Mssql;

pub(super) static SERVICE: Service = Service {
    name: "mssql",
    other_names: &[OtherName::new("sqlserver")],
    port: 1433,
    tls_name: "mssql+tls",
    tls_port: 1433,
    starttls_name: Some("mssql+starttls"),
    alpn: Some("tds/8.0"),
    client: Some("sqlcmd -S {host},{port}"),
    ..Service::DEFAULT
};

impl Protocol for Mssql {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { security: request.security(), before_tls: None })
    }
}

#[derive(Debug)]
struct Session {
    security: Security,
    /// The response to PRELOGIN, if TLS followed it.
    before_tls: Option<Prelogin>,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let response = ask(wire, ENCRYPT_ON).await?;
        let encrypts = matches!(response.encryption, ENCRYPT_ON | ENCRYPT_REQUIRED);
        self.before_tls = Some(response);
        encrypts
            .then_some(())
            .ok_or_else(|| ConversationError::Refused("the server does not support encryption".to_owned()))
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let response = match self.before_tls.take() {
            Some(response) => response,
            None => ask(wire, ENCRYPT_OFF).await?,
        };
        Ok(ServiceReply { version: Some(response.version), role: None })
    }

    fn wrapping(&self) -> Wrapping {
        match self.security {
            Security::Starttls => Wrapping::Tds,
            Security::Plain | Security::Tls => Wrapping::None,
        }
    }
}

async fn ask(wire: &mut Wire<'_>, encryption: u8) -> Result<Prelogin, ConversationError> {
    wire.send(&request(encryption)).await?;
    wire.receive("the response to PRELOGIN", MAX_REPLY, response).await
}

/// The relevant fields of the response to PRELOGIN.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Prelogin {
    version: String,
    encryption: u8,
}

/// Returns a PRELOGIN with one session, without client version and instance.
fn request(encryption: u8) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] =
        [(VERSION, &[0; 6]), (ENCRYPTION, &[encryption]), (INSTANCE, &[0]), (THREAD, &[0; 4]), (MARS, &[0])];
    let mut offset = options.len() * OPTION + 1;
    let (mut list, mut values) = (Vec::new(), Vec::new());
    for (name, value) in options {
        list.put_u8(name);
        list.put_u16(u16::try_from(offset).unwrap_or(u16::MAX));
        list.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        values.put_slice(value);
        offset += value.len();
    }
    let mut packet = vec![PRELOGIN, LAST];
    packet.put_u16(u16::try_from(HEADER + offset).unwrap_or(u16::MAX));
    packet.put_slice(&[0, 0, 1, 0]);
    packet.put_slice(&list);
    packet.put_u8(END);
    packet.put_slice(&values);
    packet
}

fn response(buffered: &[u8]) -> Parsed<Prelogin> {
    let size = |mut head: &[u8]| {
        Malformed::unless(head.try_get_u8()? == RESPONSE, "it is not a response packet")?;
        Malformed::unless(head.try_get_u8()? == LAST, "it is not in one packet")?;
        Ok(head.try_get_u16()?.into())
    };
    frame(buffered, HEADER, size).and_then(|packet| prelogin(packet.get(HEADER..).unwrap_or_default()))
}

fn prelogin(data: &[u8]) -> Result<Prelogin, Malformed> {
    let mut version = value(data, VERSION)?.ok_or("it has no version")?;
    let (major, minor, build) = (version.try_get_u8()?, version.try_get_u8()?, version.try_get_u16()?);
    let mut encryption = value(data, ENCRYPTION)?.ok_or("it has no encryption option")?;
    Ok(Prelogin { version: format!("{major}.{minor}.{build}"), encryption: encryption.try_get_u8()? })
}

/// Returns the value of an option. The data starts with a list of options with their offsets and lengths.
fn value(data: &[u8], wanted: u8) -> Result<Option<&[u8]>, Malformed> {
    let mut list = data;
    loop {
        let name = list.try_get_u8()?;
        if name == END {
            return Ok(None);
        }
        let (offset, length) = (list.try_get_u16()?, list.try_get_u16()?);
        if name == wanted {
            let mut rest = data;
            take(&mut rest, offset.into())?;
            return take(&mut rest, length.into()).map(Some);
        }
    }
}

/// The types of packets.
const PRELOGIN: u8 = 0x12;
const RESPONSE: u8 = 0x04;

/// The status of the last packet of a message.
const LAST: u8 = 1;

/// The options.
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const END: u8 = 0xff;

/// Encryption of the login only.
const ENCRYPT_OFF: u8 = 0;
const ENCRYPT_ON: u8 = 1;
const ENCRYPT_REQUIRED: u8 = 3;

/// Length of a header: type, status, length, process, number, window.
const HEADER: usize = 8;

/// Length of an item of the list: name, offset, length.
const OPTION: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// Returns the example of MS-TDS section 4.2 with the version of SQL Server 2022.
    fn answer_with(encryption: u8) -> Vec<u8> {
        [
            &b"\x04\x01\0\x2b\0\0\x01\0"[..],
            b"\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03\0\x22\0\0\x04\0\x22\0\x01\xff",
            b"\x10\0\x0f\xa3\0\0",
            &[encryption],
            b"\0\0",
        ]
        .concat()
    }

    #[test]
    fn the_request_is_as_specified() {
        let expected: &[u8] = b"\x12\x01\0\x2f\0\0\x01\0\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03\0\x22\0\x04\x04\0\x26\0\x01\xff\0\0\0\0\0\0\x01\0\0\0\0\0\0";
        assert_eq!(request(ENCRYPT_ON), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prelogin_reply_has_a_version() {
        for encryption in [0, 1, 2, 3] {
            let script = Script::listens().responds(answer_with(encryption));
            let (found, sent) = talk(&Mssql, "mssql://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), sent), (Some("16.0.4003"), request(ENCRYPT_OFF)));
            assert_survives(&Mssql, "mssql://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        let packet = |data: &[u8]| {
            let length = u16::try_from(HEADER + data.len()).unwrap().to_be_bytes();
            [&[RESPONSE, LAST][..], &length, &[0, 0, 1, 0], data].concat()
        };
        for (response, why) in [
            (b"HTTP/1.1".to_vec(), "it is not a response packet"),
            (b"\x04\0\0\x08\0\0\x01\0".to_vec(), "it is not in one packet"),
            (b"\x04\x01\0\0\0\0\x01\0".to_vec(), "its length 0 is invalid"),
            (packet(b"\xff"), "it has no version"),
            (packet(b"\0\0\x06\0\x04\xff\x10\0\0\0"), "it has no encryption option"),
            (packet(b"\0\xff\xff\xff\xff\xff"), "it is truncated"),
            (packet(b"\0\0\x06\0\x01\xff\x10"), "it is truncated"),
            (packet(b"\0\0"), "it is truncated"),
        ] {
            let ended = summary(talk(&Mssql, "mssql://a", &Script::listens().responds(response)).await.0);
            assert!(ended.starts_with("unexpected: ") && ended.ends_with(why), "{ended}");
        }
        assert_eq!(
            summary(talk(&Mssql, "mssql://a", &Script::listens().responds("")).await.0),
            "closed: the response to PRELOGIN"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tls_follows_if_the_server_encrypts() {
        for (encryption, expected) in [
            (0, "refused: the server does not support encryption"),
            (1, "ok"),
            (2, "refused: the server does not support encryption"),
            (3, "ok"),
        ] {
            let script = Script::listens().responds(answer_with(encryption));
            let (upgraded, sent) = upgrade(&Mssql, "mssql+starttls://a", &script).await;
            assert_eq!((summary(upgraded), sent), (expected.to_owned(), request(ENCRYPT_ON)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>()) {
            let _ = (response(&bytes), prelogin(&bytes));
        }
    }
}
