//! The TNS protocol of Oracle Database listeners.
//!
//! Oracle publishes no specification. The packets are those of its open-source drivers
//! (<https://github.com/oracle/python-oracledb>, `impl/thin`) and of Wireshark's dissector (`packet-tns.c`).
//!
//! Sends a CONNECT with `COMMAND=ping` like `tnsping`. If the URL contains a service, sends a CONNECT to that service,
//! which shows whether a database offers it. The listener logs one line per connection.

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _};

use super::frame::{Malformed, frame, length, take};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{PathRule, PathUse, Service};

/// Oracle Database.
#[derive(Debug)]
pub(super) struct Oracle;

pub(super) static SERVICE: Service = Service {
    name: "oracle",
    port: 1521,
    tls_name: "oracle+tls",
    tls_port: 2484,
    path: Some(PathUse::Name(PathRule {
        admits: is_plain,
        expected: "a service name of at most 128 letters, digits and ._-$",
    })),
    client: Some("tnsping {authority}"),
    ..Service::DEFAULT
};

impl Protocol for Oracle {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        let wanted = match &request.endpoint.path {
            None => Wanted::Listener,
            Some(name) => Wanted::Service(name.to_string()),
        };
        Box::new(Session { wanted })
    }
}

#[derive(Debug)]
struct Session {
    wanted: Wanted,
}

/// The peer that must respond.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Wanted {
    Listener,
    /// A database with a service of this name.
    Service(String),
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        wire.send(&self.wanted.connect()).await?;
        match wire.receive("the response to CONNECT", MAX_REPLY, packet).await? {
            Packet::Refused { error, version } if self.wanted.serves_with(error) => {
                Ok(ServiceReply { version, role: None })
            }
            Packet::Refused { error, .. } => {
                Err(ConversationError::Rejected(format!("the listener responded with ORA-{error:05}")))
            }
            Packet::Welcome => Ok(ServiceReply::default()),
        }
    }
}

impl Wanted {
    fn connect(&self) -> Vec<u8> {
        let data = match self {
            Self::Listener => "(CONNECT_DATA=(COMMAND=ping))".to_owned(),
            Self::Service(name) => {
                format!("(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME={name})(CID=(PROGRAM=portprobe))))")
            }
        };
        let mut packet = Vec::new();
        packet.put_u16(u16::try_from(CONNECT + data.len()).unwrap_or(u16::MAX));
        packet.put_slice(CONNECT_BEGIN);
        packet.put_u16(u16::try_from(data.len()).unwrap_or(u16::MAX));
        packet.put_u16(u16::try_from(CONNECT).unwrap_or(u16::MAX));
        // Maximum size of the response, flags, and fields for traces.
        packet.put_bytes(0, CONNECT.saturating_sub(packet.len()));
        packet.put_slice(data.as_bytes());
        packet
    }

    /// Returns whether an error of the listener means that other clients are served.
    fn serves_with(&self, error: u32) -> bool {
        match self {
            Self::Listener => LOGIN_ERRORS.contains(&error) || LISTENER_ERRORS.contains(&error),
            Self::Service(_) => LOGIN_ERRORS.contains(&error),
        }
    }
}

/// Returns whether a name contains no syntax.
fn is_plain(name: &str) -> bool {
    name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte))
}

/// A response of a listener to CONNECT.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Packet {
    /// A refusal, or the response to a ping, with its error number.
    Refused { error: u32, version: Option<String> },
    /// An acceptance, a redirect, or a request to send it again.
    Welcome,
}

fn packet(buffered: &[u8]) -> Parsed<Packet> {
    let size = |mut head: &[u8]| {
        let size = head.try_get_u16()?;
        head.try_get_u16()?;
        let kind = head.try_get_u8()?;
        Malformed::unless([ACCEPT, REFUSE, REDIRECT, RESEND].contains(&kind), "its type is unexpected")?;
        Ok(size.into())
    };
    frame(buffered, HEADER, size).and_then(|packet| match packet.get(4) {
        Some(&REFUSE) => refusal(packet.get(HEADER..).unwrap_or_default()),
        _ => Ok(Packet::Welcome),
    })
}

/// Parses two reasons and a text in the syntax of connect data.
fn refusal(mut rest: &[u8]) -> Result<Packet, Malformed> {
    rest.try_get_u16()?;
    let size = rest.try_get_u16()?;
    let text = String::from_utf8_lossy(take(&mut rest, length(size))?);
    let error = number(&text, "(ERR=").ok_or("its refusal has no error number")?;
    let version = number(&text, "(VSNNUM=").filter(|number| *number > 0).map(version);
    Ok(Packet::Refused { error, version })
}

fn number(text: &str, name: &str) -> Option<u32> {
    let (_, after) = text.split_once(name)?;
    after.split_once(')')?.0.parse().ok()
}

/// Formats a version from one number, whose parts have other widths since release 18.
fn version(number: u32) -> String {
    let part = |shift: u32, mask: u32| (number >> shift) & mask;
    let major = part(24, 0xff);
    if major >= 18 {
        return format!("{major}.{}.{}.{}.{}", part(16, 0xff), part(12, 0x0f), part(4, 0xff), part(0, 0x0f));
    }
    format!("{major}.{}.{}.{}.{}", part(20, 0x0f), part(12, 0xff), part(8, 0x0f), part(0, 0xff))
}

/// The start of CONNECT: no checksum; type 1; version 310, compatible with 300; 8 KiB per packet, 32 KiB per transfer;
/// network characteristics; byte order.
const CONNECT_BEGIN: &[u8] = b"\0\0\x01\0\0\0\x01\x36\x01\x2c\0\0\x20\0\x7f\xff\x7f\x08\0\0\0\x01";

/// Length of CONNECT without its data.
const CONNECT: usize = 58;

/// Length of a header: length, checksum, type, flags, checksum.
const HEADER: usize = 8;

const ACCEPT: u8 = 2;
const REFUSE: u8 = 4;
const REDIRECT: u8 = 5;
const RESEND: u8 = 11;

/// The errors about a login or the address of the client (<https://docs.oracle.com/error-help/db/>): the user cannot be
/// authenticated (TNS-01189, TNS-01190, ORA-01017), the address is filtered. Any other error means that no client is
/// served, such as those of a listener without a free handler, or that stops or blocks new connections.
const LOGIN_ERRORS: [u32; 5] = [1017, 1189, 1190, 12506, 12529];

/// The further errors of a listener that serves clients with another request: none (the response to a ping); no
/// connect data, region or service; an unknown SID, command, service, instance or handler.
const LISTENER_ERRORS: [u32; 10] = [0, 12502, 12503, 12504, 12505, 12508, 12514, 12521, 12523, 12524];

/// Maximum length of a service name, more than Oracle allows.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    fn packet_of(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER + body.len()).unwrap().to_be_bytes();
        [&length[..], &[0, 0, kind, 0, 0, 0], body].concat()
    }

    fn refusing(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        packet_of(REFUSE, &[&[4, 0][..], &length, text.as_bytes()].concat())
    }

    fn refusing_by(error: u32) -> Vec<u8> {
        refusing(&format!(
            "(DESCRIPTION=(TMP=)(VSNNUM=186647552)(ERR={error})(ERROR_STACK=(ERROR=(CODE={error})(EMFI=4))))"
        ))
    }

    #[test]
    fn connect_is_like_that_of_drivers() {
        let connect = Wanted::Listener.connect();
        assert_eq!(connect.get(..2), Some(&b"\0\x57"[..]));
        assert_eq!(connect.get(24..28), Some(&b"\0\x1d\0\x3a"[..]));
        assert!(connect.ends_with(b"(CONNECT_DATA=(COMMAND=ping))") && connect.len() == 0x57);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_of_the_listener_means_success() {
        for (response, version) in [
            // The reply of release 10.2 to a ping.
            (refusing("(DESCRIPTION=(TMP=)(VSNNUM=169869568)(ERR=0)(ALIAS=LISTENER))"), Some("10.2.0.1.0")),
            (refusing_by(12514), Some("11.2.0.4.0")),
            (refusing_by(12504), Some("11.2.0.4.0")),
            (refusing_by(1189), Some("11.2.0.4.0")),
            (packet_of(ACCEPT, b"\x01\x36\0\0\x20\0\x7f\xff\x01\0\0\0\0\x20\x61\0"), None),
            (packet_of(REDIRECT, b"\0\x02()"), None),
            (packet_of(RESEND, b""), None),
        ] {
            let script = Script::listens().responds(response);
            let (found, sent) = talk(&Oracle, "oracle://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), sent), (version, Wanted::Listener.connect()));
            assert_survives(&Oracle, "oracle://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (url, response, expected) in [
            ("oracle://a", refusing_by(12516), "rejected: the listener responded with ORA-12516"),
            ("oracle://a", refusing_by(12528), "rejected: the listener responded with ORA-12528"),
            ("oracle://a/ORCL", refusing_by(12519), "rejected: the listener responded with ORA-12519"),
            ("oracle://a/ORCL", refusing_by(12514), "rejected: the listener responded with ORA-12514"),
            ("oracle://a", refusing_by(12500), "rejected: the listener responded with ORA-12500"),
            ("oracle://a", refusing_by(12540), "rejected: the listener responded with ORA-12540"),
            ("oracle://a/ORCL", refusing_by(12505), "rejected: the listener responded with ORA-12505"),
            ("oracle://a/ORCL", refusing_by(12521), "rejected: the listener responded with ORA-12521"),
            ("oracle://a/ORCL", refusing_by(12529), "ok"),
            ("oracle://a/ORCL", refusing_by(1017), "ok"),
            (
                "oracle://a",
                refusing("()"),
                "unexpected: expected the response to CONNECT, received \"\\0\\u{e}\\0\\0\\u{4}\\0\\0\\0\\u{4}\\0\\0\\u{2}()\": its refusal has no error number",
            ),
            (
                "oracle://a",
                packet_of(6, b""),
                "unexpected: expected the response to CONNECT, received \"\\0\\u{8}\\0\\0\\u{6}\\0\\0\\0\": its type is unexpected",
            ),
            (
                "oracle://a",
                b"\0\0\0\0\x04\0\0\0".to_vec(),
                "unexpected: expected the response to CONNECT, received \"\\0\\0\\0\\0\\u{4}\\0\\0\\0\": its length 0 is invalid",
            ),
            ("oracle://a", Vec::new(), "closed: the response to CONNECT"),
        ] {
            assert_eq!(summary(talk(&Oracle, url, &Script::listens().responds(response)).await.0), expected);
        }
    }

    #[test]
    fn a_name_contains_no_syntax() {
        assert!(is_plain("orders.example_1") && is_plain(&"x".repeat(MAX_NAME)));
        assert!(!is_plain("orders)(COMMAND=stop)") && !is_plain(&"x".repeat(MAX_NAME + 1)));
        let connect = Wanted::Service("orders".to_owned()).connect();
        assert!(connect.ends_with(b"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orders)(CID=(PROGRAM=portprobe))))"));
    }

    #[test]
    fn version_fields_differ_since_release_18() {
        for (number, expected) in
            [(186_647_552, "11.2.0.4.0"), (318_767_104, "19.0.0.0.0"), (0x1303_0000, "19.3.0.0.0")]
        {
            assert_eq!(version(number), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>(), text in any::<String>(), number in any::<u32>()) {
            let _ = (packet(&bytes), packet(&packet_of(REFUSE, &bytes)), packet(&refusing(&text)), version(number));
        }
    }
}
