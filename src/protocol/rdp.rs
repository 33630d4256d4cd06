//! The X.224 connection sequence of the Remote Desktop Protocol (MS-RDPBCGR sections 2.2.1.1 and 2.2.1.2).
//!
//! Sends a connection request that offers TLS and `CredSSP`, and reads the confirmation; TLS follows directly. A server
//! that requires another type of security is a success, too. Windows logs nothing by default; xrdp logs a connection
//! without a session as an error of about ten lines.

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
    /// The selection of the server before an upgrade to TLS.
    confirmed: Option<Negotiation>,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let selected = negotiate(wire).await?;
        self.confirmed = Some(selected);
        match selected {
            Negotiation::Selected(protocol) if protocol != STANDARD => Ok(()),
            Negotiation::Selected(_) => {
                Err(ConversationError::Refused("the server selects standard RDP security".to_owned()))
            }
            Negotiation::Required(code) => {
                Err(ConversationError::Refused(format!("the server rejects TLS with code {code}")))
            }
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let selected = match self.confirmed {
            Some(selected) => selected,
            None => negotiate(wire).await?,
        };
        Ok(ServiceReply { version: None, role: selected.security().map(str::to_owned) })
    }
}

async fn negotiate(wire: &mut Wire<'_>) -> Result<Negotiation, ConversationError> {
    wire.send(CONNECTION_REQUEST).await?;
    match wire.receive("a connection confirm", MAX_REPLY, response).await? {
        Response::Confirm(negotiation) => Ok(negotiation),
        Response::Failure(code) => {
            Err(ConversationError::Rejected(format!("the server rejects the negotiation with code {code}")))
        }
        Response::Disconnect(reason) => {
            Err(ConversationError::Rejected(format!("disconnect request with reason {reason}")))
        }
    }
}

/// The response of a server to a connection request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Response {
    Confirm(Negotiation),
    /// A disconnect request of X.224 (RFC 905 section 13.5), with its reason.
    Disconnect(u8),
    /// A code that does not name a type of security.
    Failure(u32),
}

/// The security that a server selects or requires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Negotiation {
    /// The server selected one of the offered protocols or [`STANDARD`].
    Selected(u32),
    /// The server rejected the offer. The code names the protocol that it requires.
    Required(u32),
}

impl Negotiation {
    /// Returns the security that the server requires, if it reports it.
    const fn security(self) -> Option<&'static str> {
        match self {
            Self::Selected(STANDARD) | Self::Required(2) => Some("rdp"),
            Self::Selected(1) | Self::Required(1 | 6) => Some("tls"),
            Self::Selected(2) | Self::Required(5) => Some("credssp"),
            Self::Selected(_) | Self::Required(_) => None,
        }
    }
}

/// Parses a TPKT (RFC 1006 section 6) with a connection confirm or a disconnect request.
fn response(buffered: &[u8]) -> Parsed<Response> {
    let size = |mut head: &[u8]| {
        Malformed::unless(head.try_get_u16()? == 0x0300, "it is not a TPKT")?;
        Ok(head.try_get_u16()?.into())
    };
    frame(buffered, TPKT, size).and_then(|packet| {
        let mut rest = packet.get(TPKT..).unwrap_or_default();
        let indicator = rest.try_get_u8()?;
        Malformed::unless(usize::from(indicator) == rest.len(), "its two lengths differ")?;
        let kind = rest.try_get_u8()? & 0xf0;
        let last = take(&mut rest, REFERENCES_AND_CLASS)?.last().copied().unwrap_or_default();
        match kind {
            CONFIRM if rest.is_empty() => Ok(Response::Confirm(Negotiation::Selected(STANDARD))),
            CONFIRM => negotiation(rest),
            DISCONNECT => Ok(Response::Disconnect(last)),
            _ => Err("it is not a connection confirm".into()),
        }
    })
}

/// Parses the negotiation after a confirm.
fn negotiation(mut rest: &[u8]) -> Result<Response, Malformed> {
    let (kind, _, length) = (rest.try_get_u8()?, rest.try_get_u8()?, rest.try_get_u16_le()?);
    Malformed::unless(length == 8, "its negotiation does not have 8 bytes")?;
    let number = rest.try_get_u32_le()?;
    Malformed::unless(rest.is_empty(), "data follows its negotiation")?;
    match (kind, number) {
        (2, 0..=2) => Ok(Response::Confirm(Negotiation::Selected(number))),
        (2, _) => Err("it selects a protocol that was not offered".into()),
        // TLS required, not allowed, without a certificate; CredSSP or TLS with a login required.
        (3, 1..=3 | 5 | 6) => Ok(Response::Confirm(Negotiation::Required(number))),
        (3, _) => Ok(Response::Failure(number)),
        _ => Err("its negotiation is neither a response nor a failure".into()),
    }
}

/// A TPKT, a connection request of class 0, and a negotiation request for TLS and `CredSSP`.
const CONNECTION_REQUEST: &[u8] = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0";

/// Standard RDP security, `PROTOCOL_RDP`.
const STANDARD: u32 = 0;

const TPKT: usize = 4;

/// The codes of X.224 messages.
const CONFIRM: u8 = 0xd0;
const DISCONNECT: u8 = 0x80;

/// Size of two references and of the class, or of the reason of a disconnect request.
const REFERENCES_AND_CLASS: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// Returns the examples of MS-RDPBCGR section 4.1.2, with the choice or the error.
    fn negotiated(kind: u8, number: u8) -> Vec<u8> {
        [&b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0"[..], &[kind, 0, 8, 0, number, 0, 0, 0]].concat()
    }

    /// From a server that does not negotiate.
    const OLD: &[u8] = b"\x03\0\0\x0b\x06\xd0\0\0\x12\x34\0";

    #[tokio::test(start_paused = true)]
    async fn any_requested_security_means_success() {
        for (response, role) in [
            (OLD.to_vec(), Some("rdp")),
            (negotiated(2, 0), Some("rdp")),
            (negotiated(2, 1), Some("tls")),
            (negotiated(2, 2), Some("credssp")),
            (negotiated(3, 1), Some("tls")),
            (negotiated(3, 2), Some("rdp")),
            (negotiated(3, 3), None),
            (negotiated(3, 5), Some("credssp")),
            (negotiated(3, 6), Some("tls")),
        ] {
            let script = Script::listens().responds(response);
            let (found, sent) = talk(&Rdp, "rdp://a", &script).await;
            assert_eq!((found.unwrap().role.as_deref(), &*sent), (role, CONNECTION_REQUEST));
            assert_survives(&Rdp, "rdp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        let expected =
            |shown: &str, why: &str| format!("unexpected: expected a connection confirm, received \"{shown}\": {why}");
        for (response, shown, why) in [
            (&b"HTTP/1.1"[..], "HTTP/1.1", "it is not a TPKT"),
            (b"\x03\0\0\0", "\\u{3}\\0\\0\\0", "its length 0 is invalid"),
            (b"\x03\0\0\x06\x02\xd0", "\\x03\\x00\\x00\\x06\\x02\\xd0", "its two lengths differ"),
            (
                b"\x03\0\0\x0b\x06\xf0\0\0\0\0\0",
                "\\x03\\x00\\x00\\x0b\\x06\\xf0\\x00\\x00\\x00\\x00\\x00",
                "it is not a connection confirm",
            ),
            (b"\x03\0\0\x06\x01\xd0", "\\x03\\x00\\x00\\x06\\x01\\xd0", "it is truncated"),
        ] {
            let script = Script::listens().responds(response);
            assert_eq!(summary(talk(&Rdp, "rdp://a", &script).await.0), expected(shown, why));
        }
        for (kind, number, why) in [
            (2, 8, "it selects a protocol that was not offered"),
            (1, 1, "its negotiation is neither a response nor a failure"),
        ] {
            let ended = summary(
                talk(&Rdp, "rdp://a", &Script::listens().responds(negotiated(kind, number)))
                    .await
                    .0,
            );
            assert!(ended.ends_with(why), "{ended}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_refusal_is_rejected() {
        for (response, expected) in [
            (negotiated(3, 4), "rejected: the server rejects the negotiation with code 4"),
            (negotiated(3, 7), "rejected: the server rejects the negotiation with code 7"),
            (b"\x03\0\0\x0b\x06\x80\0\0\0\0\x01".to_vec(), "rejected: disconnect request with reason 1"),
        ] {
            let script = Script::listens().responds(response);
            assert_eq!(summary(talk(&Rdp, "rdp://a", &script).await.0), expected);
            assert_eq!(summary(upgrade(&Rdp, "rdp+starttls://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_follows_if_it_is_selected() {
        for (response, expected) in [
            (negotiated(2, 1), "ok"),
            (negotiated(2, 2), "ok"),
            (negotiated(2, 0), "refused: the server selects standard RDP security"),
            (OLD.to_vec(), "refused: the server selects standard RDP security"),
            (negotiated(3, 2), "refused: the server rejects TLS with code 2"),
        ] {
            let script = Script::listens().responds(response);
            assert_eq!(summary(upgrade(&Rdp, "rdp+starttls://a", &script).await.0), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let length = u8::try_from(bytes.len()).unwrap();
            let packet = [&[3, 0, 0, length + 6, length + 1, 0xd0][..], &bytes].concat();
            let _ = (response(&bytes), response(&packet), negotiation(&bytes));
        }
    }
}
