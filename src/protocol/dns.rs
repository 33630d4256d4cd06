//! DNS over TCP (RFC 1035, RFC 7766), and over TLS (RFC 7858).
//!
//! Queries the SOA of the root, or of the name in the path of the URL. Servers log it if they log queries; some also
//! log a refused name.

use async_trait::async_trait;
use bytes::Buf as _;

use super::{Conversation, ConversationError, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{HostName, PathRule, PathUse, Service};

/// DNS.
#[derive(Debug)]
pub(super) struct Dns;

pub(super) static SERVICE: Service = Service {
    name: "dns",
    port: 53,
    tls_name: "dns+tls",
    tls_port: 853,
    path: Some(PathUse::Name(PathRule {
        admits: |name| question(name).is_some(),
        expected: "a domain name like example.org, with 1 to 63 bytes per part and at most 253 in total",
    })),
    client: Some("dig +tcp @{host} -p {port} . SOA"),
    ..Service::DEFAULT
};

impl Protocol for Dns {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { question: question(request.endpoint.path.as_deref().unwrap_or(ROOT)) })
    }
}

#[derive(Debug)]
struct Session {
    /// `None` if the path is not a name, which the URL parser excludes.
    question: Option<Vec<u8>>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let question = self
            .question
            .as_deref()
            .ok_or_else(|| ConversationError::Unexpected("there is no name to query".to_owned()))?;
        wire.send(&query(question)).await?;
        let code = wire
            .receive("the response to a query", MAX_MESSAGE, |buffered| code(buffered, question))
            .await?;
        match code {
            NOERROR | NXDOMAIN | REFUSED => Ok(ServiceReply::default()),
            other => Err(ConversationError::Rejected(name(other))),
        }
    }
}

/// Returns the name of a response code (RFC 6895 section 2.3).
fn name(code: u8) -> String {
    match code {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        4 => "NOTIMP".to_owned(),
        9 => "NOTAUTH".to_owned(),
        other => format!("response code {other}"),
    }
}

/// Returns a question for the SOA of a name; `None` if the name is invalid.
fn question(name: &str) -> Option<Vec<u8>> {
    let mut question = Vec::new();
    if name != ROOT {
        let name: HostName = name.parse().ok()?;
        for label in name.without_dot().split('.') {
            question.push(u8::try_from(label.len()).ok()?);
            question.extend(label.bytes());
        }
    }
    question.push(0);
    question.extend(SOA_IN);
    Some(question)
}

/// Returns a query: its length, a header and the question (RFC 1035 sections 4.1.1, 4.2.2).
fn query(question: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER.len() + question.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), HEADER, question].concat()
}

/// Parses the response code of a complete response to this question.
fn code(buffered: &[u8], requested: &[u8]) -> Parsed<u8> {
    let mut rest = buffered;
    let Ok(length) = rest.try_get_u16() else { return Parsed::Incomplete };
    let length = usize::from(length);
    if length < HEADER.len() {
        return Parsed::Invalid("it is too short for a response".to_owned());
    }
    let mut message = rest.get(..length).unwrap_or(rest);
    let (Ok(id), Ok(flags)) = (message.try_get_u16(), message.try_get_u16()) else { return Parsed::Incomplete };
    if id != ID || flags & (RESPONSE | OPCODE) != RESPONSE {
        return Parsed::Invalid("it is not a response to this query".to_owned());
    }
    if rest.len() < length {
        return Parsed::Incomplete;
    }
    let Ok(questions) = message.try_get_u16() else { return Parsed::Incomplete };
    // The question follows the three other counts of the header.
    let answered = message
        .get(6..6 + requested.len())
        .is_some_and(|echoed| echoed.eq_ignore_ascii_case(requested));
    // A server that could not parse the question does not repeat it.
    if questions != 0 && !answered {
        return Parsed::Invalid("it responds to another query".to_owned());
    }
    Parsed::Complete((flags & CODE).to_be_bytes()[1], length + 2)
}

/// The name of the root.
const ROOT: &str = ".";

/// The ID. Any value works, because no other peer can respond on this connection.
const ID: u16 = 0x7090;

/// A header: the ID, recursion desired, one question.
const HEADER: &[u8] = b"\x70\x90\x01\0\0\x01\0\0\0\0\0\0";

/// The type SOA and the class IN.
const SOA_IN: [u8; 4] = [0, 6, 0, 1];

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const CODE: u16 = 0x000f;

const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

/// Maximum length of a message with its length field.
const MAX_MESSAGE: usize = 2 + 0xffff;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    fn response(id: u16, flags: u16, question: &[u8]) -> Vec<u8> {
        let message = [&id.to_be_bytes()[..], &flags.to_be_bytes(), b"\0\x01\0\0\0\0\0\0", question].concat();
        [&u16::try_from(message.len()).unwrap().to_be_bytes(), &*message].concat()
    }

    const OF_ROOT: &[u8] = b"\0\0\x06\0\x01";

    #[test]
    fn the_header_has_the_id() {
        assert!(HEADER.starts_with(&ID.to_be_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn any_response_to_a_query_means_success() {
        for flags in [0x8180, 0x8183, 0x8105] {
            let script = Script::listens().responds(response(ID, flags, OF_ROOT));
            let (found, sent) = talk(&Dns, "dns://a", &script).await;
            assert_eq!((found.unwrap(), &*sent), (ServiceReply::default(), &[b"\0\x11", HEADER, OF_ROOT].concat()[..]));
            assert_survives(&Dns, "dns://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_path_is_the_name() {
        let requested = b"\x07example\x03org\0\0\x06\0\x01";
        let script = Script::listens().responds(response(ID, 0x8180, &requested.to_ascii_uppercase()));
        for url in ["dns://a/example.org", "dns://a/Example.ORG."] {
            let (found, sent) = talk(&Dns, url, &script).await;
            assert!(found.is_ok() && sent.ends_with(requested), "{found:?} {sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (response(ID, 0x8182, OF_ROOT), "rejected: SERVFAIL"),
            (response(ID, 0x8184, OF_ROOT), "rejected: NOTIMP"),
            (response(ID, 0x818b, OF_ROOT), "rejected: response code 11"),
            // Another id, a query, another question.
            (response(1, 0x8180, OF_ROOT), "it is not a response to this query"),
            (response(ID, 0x0100, OF_ROOT), "it is not a response to this query"),
            (response(ID, 0x8180, b"\x01a\0\0\x06\0\x01"), "it responds to another query"),
            (b"\0\x0b".to_vec(), "it is too short for a response"),
            (Vec::new(), "closed: the response to a query"),
        ] {
            let sent = summary(talk(&Dns, "dns://a", &Script::listens().responds(response)).await.0);
            assert!(sent.ends_with(expected), "{sent}");
        }
    }
}
