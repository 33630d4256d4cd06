//! DNS over TCP (RFC 1035, RFC 7766), and over TLS (RFC 7858).
//!
//! Queries the SOA of the root, or of the name in the URL's path. Servers log it if they log queries; some log a name
//! that they refuse to answer for.

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
        expected: "a domain name like example.org, with 1 to 63 bytes per label and at most 253 in total",
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
    /// `None` if the path is not a name, which URLs rule out.
    question: Option<Vec<u8>>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let question = self
            .question
            .as_deref()
            .ok_or_else(|| ConversationError::Unexpected("no name to ask for".to_owned()))?;
        wire.send(&query(question)).await?;
        let code = wire
            .answer("the answer to a query", MAX_MESSAGE, |buffered| code(buffered, question))
            .await?;
        match code {
            NOERROR | NXDOMAIN | REFUSED => Ok(ServiceReply::default()),
            SERVFAIL => Err(ConversationError::Rejected("SERVFAIL".to_owned())),
            other => Err(ConversationError::Unexpected(format!(
                "expected NOERROR, NXDOMAIN or REFUSED, but code {other} came"
            ))),
        }
    }
}

/// A question for the SOA of a name; `None` if it is not a valid name.
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

/// The length, a header and the question (RFC 1035 sections 4.1.1, 4.2.2).
fn query(question: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER.len() + question.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), HEADER, question].concat()
}

/// The response code of a complete answer to this question.
fn code(buffered: &[u8], asked: &[u8]) -> Parsed<u8> {
    let mut rest = buffered;
    let Ok(length) = rest.try_get_u16() else { return Parsed::Incomplete };
    let length = usize::from(length);
    if length < HEADER.len() {
        return Parsed::Invalid("it is too short for an answer".to_owned());
    }
    let mut message = rest.get(..length).unwrap_or(rest);
    let (Ok(id), Ok(flags)) = (message.try_get_u16(), message.try_get_u16()) else { return Parsed::Incomplete };
    if id != ID || flags & (RESPONSE | OPCODE) != RESPONSE {
        return Parsed::Invalid("it is not a reply to this query".to_owned());
    }
    if rest.len() < length {
        return Parsed::Incomplete;
    }
    let Ok(questions) = message.try_get_u16() else { return Parsed::Incomplete };
    // After the three other counts of the header.
    let answered = message
        .get(6..6 + asked.len())
        .is_some_and(|echoed| echoed.eq_ignore_ascii_case(asked));
    // A server that could not parse the question does not repeat it.
    if questions != 0 && !answered {
        return Parsed::Invalid("it answers another question".to_owned());
    }
    Parsed::Complete((flags & CODE).to_be_bytes()[1], length + 2)
}

/// The root.
const ROOT: &str = ".";

/// Any value works, because nobody else can answer on this connection.
const ID: u16 = 0x7090;

/// The id, recursion desired, one question.
const HEADER: &[u8] = b"\x70\x90\x01\0\0\x01\0\0\0\0\0\0";

/// The type SOA, the class IN.
const SOA_IN: [u8; 4] = [0, 6, 0, 1];

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const CODE: u16 = 0x000f;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

/// Maximum length of a message with its length field.
const MAX_MESSAGE: usize = 2 + 0xffff;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    fn answer(id: u16, flags: u16, question: &[u8]) -> Vec<u8> {
        let message = [&id.to_be_bytes()[..], &flags.to_be_bytes(), b"\0\x01\0\0\0\0\0\0", question].concat();
        [&u16::try_from(message.len()).unwrap().to_be_bytes(), &*message].concat()
    }

    const OF_ROOT: &[u8] = b"\0\0\x06\0\x01";

    #[test]
    fn the_header_has_the_id() {
        assert!(HEADER.starts_with(&ID.to_be_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_a_query_serves() {
        for flags in [0x8180, 0x8183, 0x8105] {
            let script = Script::hears().answers(answer(ID, flags, OF_ROOT));
            let (found, said) = talk(&Dns, "dns://a", &script).await;
            assert_eq!((found.unwrap(), &*said), (ServiceReply::default(), &[b"\0\x11", HEADER, OF_ROOT].concat()[..]));
            assert_survives(&Dns, "dns://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_path_is_the_name() {
        let asked = b"\x07example\x03org\0\0\x06\0\x01";
        let script = Script::hears().answers(answer(ID, 0x8180, &asked.to_ascii_uppercase()));
        for url in ["dns://a/example.org", "dns://a/Example.ORG."] {
            let (found, said) = talk(&Dns, url, &script).await;
            assert!(found.is_ok() && said.ends_with(asked), "{found:?} {said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (answer, expected) in [
            (answer(ID, 0x8182, OF_ROOT), "rejected: SERVFAIL"),
            (answer(ID, 0x8184, OF_ROOT), "unexpected: expected NOERROR, NXDOMAIN or REFUSED, but code 4 came"),
            // Another id, a query, another question.
            (answer(1, 0x8180, OF_ROOT), "it is not a reply to this query"),
            (answer(ID, 0x0100, OF_ROOT), "it is not a reply to this query"),
            (answer(ID, 0x8180, b"\x01a\0\0\x06\0\x01"), "it answers another question"),
            (b"\0\x0b".to_vec(), "it is too short for an answer"),
            (Vec::new(), "closed: the answer to a query"),
        ] {
            let said = summary(talk(&Dns, "dns://a", &Script::hears().answers(answer)).await.0);
            assert!(said.ends_with(expected), "{said}");
        }
    }
}
