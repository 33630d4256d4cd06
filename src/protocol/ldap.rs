//! LDAP (RFC 4511) with the necessary part of BER (X.690), and `StartTLS` (RFC 4511 section 4.14).
//!
//! Sends an anonymous bind of version 3 and an unbind. Servers that log operations log both (`loglevel stats` of
//! OpenLDAP).

use async_trait::async_trait;
use bytes::Buf as _;

use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// LDAP.
#[derive(Debug)]
pub(super) struct Ldap;

pub(super) static SERVICE: Service = Service {
    name: "ldap",
    port: 389,
    tls_name: "ldaps",
    tls_port: 636,
    starttls_name: Some("ldap+starttls"),
    openssl_starttls: Some("ldap"),
    client: Some("ldapsearch -x -H ldap://{authority} -s base -b ''"),
    ..Service::DEFAULT
};

impl Protocol for Ldap {
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
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let result = ask(wire, START_TLS, "the response to StartTLS", Kind::Extended).await?;
        match result.code {
            SUCCESS => Ok(()),
            code if LOGIN_RESULTS.contains(&code) || NO_TLS.contains(&code) => {
                Err(ConversationError::Refused(format!("StartTLS: {}", result.text())))
            }
            _ => Err(ConversationError::Rejected(result.text())),
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let result = ask(wire, BIND, "the response to a bind", Kind::Bind).await?;
        if !LOGIN_RESULTS.contains(&result.code) {
            return Err(ConversationError::Rejected(result.text()));
        }
        wire.leave(UNBIND).await;
        Ok(ServiceReply::default())
    }
}

/// Sends a request and reads the result. Fails if the server ends the connection instead.
async fn ask(
    wire: &mut Wire<'_>,
    request: &[u8],
    awaited: &'static str,
    kind: Kind,
) -> Result<LdapResult, ConversationError> {
    wire.send(request).await?;
    let message = wire.receive(awaited, MAX_REPLY, message).await?;
    let result = message.result;
    if message.is_notice {
        return Err(ConversationError::Rejected(format!("notice of disconnection: {}", result.text())));
    }
    if message.kind != kind {
        return Err(ConversationError::Unexpected(format!(
            "expected {awaited}, received another response with {}",
            result.text()
        )));
    }
    Ok(result)
}

/// The operation of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Bind,
    Extended,
}

/// The relevant fields of an `LDAPMessage`.
#[derive(Debug)]
struct Message {
    /// Whether it is a notice of disconnection (RFC 4511 section 4.4.1), not a response to a request.
    is_notice: bool,
    kind: Kind,
    result: LdapResult,
}

/// The relevant fields of an `LDAPResult` (RFC 4511 section 4.1.9).
#[derive(Debug)]
struct LdapResult {
    code: u8,
    diagnostic: String,
}

impl LdapResult {
    /// Returns the result code with its name and the diagnostic message.
    fn text(&self) -> String {
        match (NAMES.iter().find(|(code, _)| *code == self.code), &*self.diagnostic) {
            (Some((code, name)), "") => format!("result {code} ({name})"),
            (Some((code, name)), text) => format!("result {code} ({name}): {text}"),
            (None, "") => format!("result {}", self.code),
            (None, text) => format!("result {}: {text}", self.code),
        }
    }
}

/// Parses a message, which is a SEQUENCE.
fn message(buffered: &[u8]) -> Parsed<Message> {
    match buffered.first() {
        None => return Parsed::Incomplete,
        Some(&SEQUENCE) => {}
        Some(_) => return Parsed::Invalid("it is not an LDAP message".to_owned()),
    }
    let mut rest = buffered;
    match element(&mut rest) {
        Element::Complete(_, body) => match read(body) {
            Some(message) => Parsed::Complete(message, buffered.len() - rest.len()),
            None => Parsed::Invalid("it is not a response to a bind or an extended operation".to_owned()),
        },
        Element::Incomplete => Parsed::Incomplete,
        Element::Malformed => Parsed::Invalid("its length is invalid".to_owned()),
    }
}

fn read(mut body: &[u8]) -> Option<Message> {
    let number = whole(&mut body, INTEGER)?;
    let Element::Complete(tag, mut operation) = element(&mut body) else { return None };
    let kind = match tag {
        BIND_RESPONSE => Kind::Bind,
        EXTENDED_RESPONSE => Kind::Extended,
        _ => return None,
    };
    let [code] = whole(&mut operation, ENUMERATED)? else { return None };
    let _matched = whole(&mut operation, OCTET_STRING)?;
    let diagnostic = String::from_utf8_lossy(whole(&mut operation, OCTET_STRING)?).into_owned();
    Some(Message { is_notice: number == [0], kind, result: LdapResult { code: *code, diagnostic } })
}

/// Takes the contents of an element with this tag.
fn whole<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    match element(rest) {
        Element::Complete(tag, contents) if tag == wanted => Some(contents),
        _ => None,
    }
}

/// A BER element.
enum Element<'a> {
    Malformed,
    Incomplete,
    /// The tag and the contents.
    Complete(u8, &'a [u8]),
}

/// Takes an element with a definite length (RFC 4511 section 5.1): one byte, or the number of length bytes and these.
fn element<'a>(rest: &mut &'a [u8]) -> Element<'a> {
    let (Ok(tag), Ok(first)) = (rest.try_get_u8(), rest.try_get_u8()) else { return Element::Incomplete };
    let length = match first {
        0..=0x7f => Ok(usize::from(first)),
        0x81 => rest.try_get_u8().map(usize::from),
        0x82 => rest.try_get_u16().map(usize::from),
        0x83 => rest.try_get_uint(3).map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
        0x84 => rest.try_get_u32().map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
        _ => return Element::Malformed,
    };
    let Ok(length) = length else { return Element::Incomplete };
    if length > MAX_REPLY {
        return Element::Malformed;
    }
    let Some((contents, after)) = rest.split_at_checked(length) else { return Element::Incomplete };
    *rest = after;
    Element::Complete(tag, contents)
}

/// Message 1: a simple bind of version 3 without a name or a password.
const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";

/// Message 1: the extended operation 1.3.6.1.4.1.1466.20037.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// Message 2.
const UNBIND: &[u8] = b"\x30\x05\x02\x01\x02\x42\x00";

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_RESPONSE: u8 = 0x78;

const SUCCESS: u8 = 0;

/// Success and the results about the version, credentials, TLS or policy (RFC 4511 appendix A). Any other result means
/// that no client is served: operations error, busy, unavailable, other.
const LOGIN_RESULTS: [u8; 11] = [SUCCESS, 2, 7, 8, 13, 14, 34, 48, 49, 50, 53];

/// The further results of `StartTLS` that concern only TLS: the operation is not possible now, or the server has no
/// certificate (RFC 4511 section 4.14.2).
const NO_TLS: [u8; 2] = [1, 52];

/// The names of the codes that probes receive.
const NAMES: [(u8, &str); 17] = [
    (SUCCESS, "success"),
    (1, "operationsError"),
    (2, "protocolError"),
    (3, "timeLimitExceeded"),
    (7, "authMethodNotSupported"),
    (8, "strongerAuthRequired"),
    (10, "referral"),
    (11, "adminLimitExceeded"),
    (13, "confidentialityRequired"),
    (34, "invalidDNSyntax"),
    (48, "inappropriateAuthentication"),
    (49, "invalidCredentials"),
    (50, "insufficientAccessRights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwillingToPerform"),
    (80, "other"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    fn result(number: u8, operation: u8, code: u8, diagnostic: &str) -> Vec<u8> {
        let length = |length: usize| u8::try_from(length).unwrap();
        let head = [INTEGER, 1, number, operation, length(7 + diagnostic.len())];
        let body = [ENUMERATED, 1, code, OCTET_STRING, 0, OCTET_STRING, length(diagnostic.len())];
        let contents = [&head, &body[..], diagnostic.as_bytes()].concat();
        [&[SEQUENCE, length(contents.len())], &*contents].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn any_response_to_a_bind_means_success() {
        // Lengths in the long form, as in Active Directory.
        let long = b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0".to_vec();
        let results = [0, 2, 7, 8, 13, 48, 49, 50, 53].map(|code| result(1, 0x61, code, "anonymous bind disallowed"));
        for response in results.into_iter().chain([long]) {
            let script = Script::listens().responds(response);
            let (found, sent) = talk(&Ldap, "ldap://a", &script).await;
            assert_eq!((found.unwrap(), sent), (ServiceReply::default(), [BIND, UNBIND].concat()));
            assert_survives(&Ldap, "ldap://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (result(1, 0x61, 51, "too busy"), "rejected: result 51 (busy): too busy"),
            (result(1, 0x61, 1, "backend down"), "rejected: result 1 (operationsError): backend down"),
            (result(1, 0x61, 80, "internal error"), "rejected: result 80 (other): internal error"),
            (result(1, 0x61, 118, ""), "rejected: result 118"),
            (result(0, 0x78, 52, ""), "rejected: notice of disconnection: result 52 (unavailable)"),
            (result(0, 0x78, 2, "bad"), "rejected: notice of disconnection: result 2 (protocolError): bad"),
            (
                result(1, 0x78, 2, "bad"),
                "unexpected: expected the response to a bind, received another response with result 2 (protocolError): bad",
            ),
            (
                b"\x30\x05\x02\x01\x01\x42\0".to_vec(),
                "unexpected: expected the response to a bind, received \"0\\u{5}\\u{2}\\u{1}\\u{1}B\\0\": it is not a response to a bind or an extended operation",
            ),
            (
                b"\x30\x84\xff\xff\xff\xff".to_vec(),
                "unexpected: expected the response to a bind, received \"0\\x84\\xff\\xff\\xff\\xff\": its length is invalid",
            ),
            (
                b"\x30\x80".to_vec(),
                "unexpected: expected the response to a bind, received \"0\\x80\": its length is invalid",
            ),
            (
                b"HTTP".to_vec(),
                "unexpected: expected the response to a bind, received \"HTTP\": it is not an LDAP message",
            ),
            (Vec::new(), "closed: the response to a bind"),
        ] {
            assert_eq!(summary(talk(&Ldap, "ldap://a", &Script::listens().responds(response)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_extended_operation_requests_tls() {
        for (response, expected) in [
            (result(1, 0x78, 0, ""), "ok"),
            (
                result(1, 0x78, 2, "unsupported extended operation"),
                "refused: StartTLS: result 2 (protocolError): unsupported extended operation",
            ),
            (result(1, 0x78, 52, ""), "refused: StartTLS: result 52 (unavailable)"),
            (result(1, 0x78, 1, ""), "refused: StartTLS: result 1 (operationsError)"),
            (result(1, 0x78, 80, ""), "rejected: result 80 (other)"),
            (result(1, 0x78, 51, ""), "rejected: result 51 (busy)"),
        ] {
            let (upgraded, sent) = upgrade(&Ldap, "ldap+starttls://a", &Script::listens().responds(response)).await;
            assert_eq!((summary(upgraded), &*sent), (expected.to_owned(), START_TLS));
        }
    }
}
