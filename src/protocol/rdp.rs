//! X.224 connection sequence of the Remote Desktop Protocol (MS-RDPBCGR sections 2.2.1.1 and 2.2.1.2).
//!
//! Sends a connection request that offers TLS and `CredSSP`, and reads the confirmation; TLS follows at once. A server
//! that wants another kind of security serves as well. Windows logs nothing by default; xrdp logs a connection without
//! a session as an error, in about ten lines.

use async_trait::async_trait;
use bytes::Buf as _;

use super::frame::{Malformed, frame, take};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// RDP.
#[derive(Debug)]
pub(super) struct Rdp;

pub(super) static SERVICE: Service = Service {
    name: "rdp",
    port: 3389,
    tls_name: "rdp+tls",
    tls_port: 3389,
    starttls_name: Some("rdp+starttls"),
    client: Some("xfreerdp /v:{authority}"),
    ..Service::DEFAULT
};

impl Protocol for Rdp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { confirmed: None })
    }
}

#[derive(Debug)]
struct Session {
    /// The choice of the server before an upgrade to TLS.
    confirmed: Option<Negotiation>,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let chosen = negotiate(wire).await?;
        self.confirmed = Some(chosen);
        match chosen {
            Negotiation::Chose(protocol) if protocol != STANDARD => Ok(()),
            Negotiation::Chose(_) => {
                Err(ConversationError::Refused("the server chooses RDP's own security".to_owned()))
            }
            Negotiation::Failed(code) => {
                Err(ConversationError::Refused(format!("the server refuses TLS by code {code}")))
            }
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let chosen = match self.confirmed {
            Some(chosen) => chosen,
            None => negotiate(wire).await?,
        };
        Ok(ServiceReply { version: None, role: chosen.security().map(str::to_owned) })
    }
}

async fn negotiate(wire: &mut Wire<'_>) -> Result<Negotiation, ConversationError> {
    wire.send(CONNECTION_REQUEST).await?;
    wire.answer("a connection confirm", MAX_REPLY, confirm).await
}

/// Response of a server to the offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Negotiation {
    /// One of the offered protocols, or [`STANDARD`].
    Chose(u32),
    /// Refused; the code names the protocol that the server wants.
    Failed(u32),
}

impl Negotiation {
    /// The security that the server wants, if it reports it.
    const fn security(self) -> Option<&'static str> {
        match self {
            Self::Chose(STANDARD) | Self::Failed(2) => Some("rdp"),
            Self::Chose(1) | Self::Failed(1 | 6) => Some("tls"),
            Self::Chose(2) | Self::Failed(5) => Some("credssp"),
            Self::Chose(_) | Self::Failed(_) => None,
        }
    }
}

/// A TPKT (RFC 1006 section 6) with a connection confirm.
fn confirm(buffered: &[u8]) -> Parsed<Negotiation> {
    let size = |mut head: &[u8]| {
        Malformed::unless(head.try_get_u16()? == 0x0300, "it is not a TPKT")?;
        Ok(head.try_get_u16()?.into())
    };
    frame(buffered, TPKT, size).and_then(|packet| {
        let mut rest = packet.get(TPKT..).unwrap_or_default();
        let indicator = rest.try_get_u8()?;
        Malformed::unless(usize::from(indicator) == rest.len(), "its two lengths differ")?;
        Malformed::unless(rest.try_get_u8()? & 0xf0 == 0xd0, "it is not a connection confirm")?;
        take(&mut rest, REFERENCES_AND_CLASS)?;
        if rest.is_empty() { Ok(Negotiation::Chose(STANDARD)) } else { negotiation(rest) }
    })
}

/// The negotiation after a confirm.
fn negotiation(mut rest: &[u8]) -> Result<Negotiation, Malformed> {
    let (kind, _, length) = (rest.try_get_u8()?, rest.try_get_u8()?, rest.try_get_u16_le()?);
    Malformed::unless(length == 8, "its negotiation has another length than 8")?;
    let number = rest.try_get_u32_le()?;
    Malformed::unless(rest.is_empty(), "something stands behind its negotiation")?;
    match (kind, number) {
        (2, 0..=2) => Ok(Negotiation::Chose(number)),
        (2, _) => Err("it chooses what was not offered".into()),
        // 4 would mean that our flags contradict each other.
        (3, 1..=3 | 5 | 6) => Ok(Negotiation::Failed(number)),
        (3, _) => Err(format!("it refuses the negotiation by code {number}").into()),
        _ => Err("its negotiation is neither a response nor a failure".into()),
    }
}

/// A TPKT, a connection request of class 0, and a negotiation request for TLS and `CredSSP`.
const CONNECTION_REQUEST: &[u8] = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0";

/// Standard RDP security, `PROTOCOL_RDP`.
const STANDARD: u32 = 0;

const TPKT: usize = 4;

const REFERENCES_AND_CLASS: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// The examples of MS-RDPBCGR section 4.1.2, with the choice or the error.
    fn answer(kind: u8, number: u8) -> Vec<u8> {
        [&b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0"[..], &[kind, 0, 8, 0, number, 0, 0, 0]].concat()
    }

    /// From a server that does not negotiate.
    const OLD: &[u8] = b"\x03\0\0\x0b\x06\xd0\0\0\x12\x34\0";

    #[tokio::test(start_paused = true)]
    async fn whatever_security_a_server_asks_for_it_serves() {
        for (answer, role) in [
            (OLD.to_vec(), Some("rdp")),
            (answer(2, 0), Some("rdp")),
            (answer(2, 1), Some("tls")),
            (answer(2, 2), Some("credssp")),
            (answer(3, 1), Some("tls")),
            (answer(3, 2), Some("rdp")),
            (answer(3, 3), None),
            (answer(3, 5), Some("credssp")),
            (answer(3, 6), Some("tls")),
        ] {
            let script = Script::hears().answers(answer);
            let (found, said) = talk(&Rdp, "rdp://a", &script).await;
            assert_eq!((found.unwrap().role.as_deref(), &*said), (role, CONNECTION_REQUEST));
            assert_survives(&Rdp, "rdp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        let expected =
            |shown: &str, why: &str| format!("unexpected: expected a connection confirm, but \"{shown}\" came: {why}");
        for (answer, shown, why) in [
            (&b"HTTP/1.1"[..], "HTTP/1.1", "it is not a TPKT"),
            (b"\x03\0\0\0", "\\u{3}\\0\\0\\0", "its length is 0"),
            (b"\x03\0\0\x06\x02\xd0", "\\x03\\x00\\x00\\x06\\x02\\xd0", "its two lengths differ"),
            (b"\x03\0\0\x06\x01\x80", "\\x03\\x00\\x00\\x06\\x01\\x80", "it is not a connection confirm"),
            (b"\x03\0\0\x06\x01\xd0", "\\x03\\x00\\x00\\x06\\x01\\xd0", "it is cut short"),
        ] {
            let script = Script::hears().answers(answer);
            assert_eq!(summary(talk(&Rdp, "rdp://a", &script).await.0), expected(shown, why));
        }
        for (kind, number, why) in [
            (2, 8, "it chooses what was not offered"),
            (3, 4, "it refuses the negotiation by code 4"),
            (1, 1, "its negotiation is neither a response nor a failure"),
        ] {
            let ended = summary(talk(&Rdp, "rdp://a", &Script::hears().answers(answer(kind, number))).await.0);
            assert!(ended.ends_with(why), "{ended}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_follows_where_it_is_chosen() {
        for (answer, expected) in [
            (answer(2, 1), "ok"),
            (answer(2, 2), "ok"),
            (answer(2, 0), "refused: the server chooses RDP's own security"),
            (OLD.to_vec(), "refused: the server chooses RDP's own security"),
            (answer(3, 2), "refused: the server refuses TLS by code 2"),
        ] {
            let script = Script::hears().answers(answer);
            assert_eq!(summary(upgrade(&Rdp, "rdp+starttls://a", &script).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let length = u8::try_from(bytes.len()).unwrap();
            let packet = [&[3, 0, 0, length + 6, length + 1, 0xd0][..], &bytes].concat();
            let _ = (confirm(&bytes), confirm(&packet), negotiation(&bytes));
        }
    }
}
