//! The WebSocket Protocol (RFC 6455).
//!
//! Sends an upgrade request and, if it is granted, a close frame with status 1000. Leaves a line in the access log.

use std::future::ready;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand;
use data_encoding::BASE64;
use http_body_util::Empty;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use hyper::{Request as HttpRequest, StatusCode};

use super::http::{AGENT, REQUEST_TARGET, ask, authority, location, product, shown};
use super::{Conversation, ConversationError, Protocol, Request, ServiceReply, Wire};
use crate::target::{PathUse, Service};

/// `WebSocket`.
#[derive(Debug)]
pub(super) struct Ws;

pub(super) static SERVICE: Service = Service {
    name: "ws",
    port: 80,
    tls_name: "wss",
    tls_port: 443,
    alpn: Some("http/1.1"),
    path: Some(PathUse::Target(REQUEST_TARGET)),
    ..Service::DEFAULT
};

impl Protocol for Ws {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        let target = request.endpoint.path.as_deref().unwrap_or("/").into();
        Box::new(Session { authority: authority(request.endpoint), target })
    }
}

#[derive(Debug)]
struct Session {
    authority: String,
    target: Arc<str>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let key = key();
        let request = self.request(&key);
        let request = request
            .map_err(|error| ConversationError::Unexpected(format!("the request cannot be created: {error}")))?;
        let deadline = wire.deadline();
        let head = ask(request, deadline, wire.stream(), |head, _| ready(Ok(head))).await?;
        if verify(head.status, &head.headers, &key)? == Granted::Upgrade {
            wire.leave(CLOSE).await;
        }
        Ok(ServiceReply { version: product(&head.headers), role: None })
    }
}

impl Session {
    fn request(&self, key: &str) -> Result<HttpRequest<Empty<hyper::body::Bytes>>, http::Error> {
        HttpRequest::get(&*self.target)
            .header(HOST, &self.authority)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, key)
            .body(Empty::new())
    }
}

/// What a server that accepts clients grants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Granted {
    /// Nothing without a login.
    Login,
    Upgrade,
}

/// Verifies status, upgrade and accept key (section 4.1):
///
/// - 401 and 403 require a login;
/// - 429 and the errors of servers and of proxies without one mean that no client is served;
/// - any other status than 101 is not a response to an upgrade.
fn verify(status: StatusCode, headers: &HeaderMap, key: &str) -> Result<Granted, ConversationError> {
    match status {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(Granted::Login),
        StatusCode::TOO_MANY_REQUESTS => return Err(ConversationError::Rejected(shown(status))),
        status if status.is_server_error() => return Err(ConversationError::Rejected(shown(status))),
        status => {
            let redirect = location(headers).filter(|_| status.is_redirection());
            let redirect = redirect.map(|location| format!(", a redirect to {location}; probe that URL"));
            let (shown, redirect) = (shown(status), redirect.unwrap_or_default());
            let error = format!("expected the status 101 Switching Protocols, received {shown}{redirect}");
            return Err(ConversationError::Unexpected(error));
        }
    }
    let is = |name: HeaderName, expected: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.eq_ignore_ascii_case(expected))
    };
    if !is(UPGRADE, "websocket") {
        return Err(ConversationError::Unexpected("expected an upgrade to websocket, received another one".to_owned()));
    }
    let accepted = headers
        .get(SEC_WEBSOCKET_ACCEPT)
        .is_some_and(|value| value.as_bytes() == accept(key).as_bytes());
    if accepted {
        return Ok(Granted::Upgrade);
    }
    Err(ConversationError::Unexpected(
        "expected the accept key of this request, received another one or none".to_owned(),
    ))
}

/// Returns a nonce of sixteen bytes (section 4.1).
fn key() -> String {
    let mut nonce = [0; 16];
    // After a failure the key is predictable, but it protects no secret.
    let _ = rand::fill(&mut nonce);
    BASE64.encode(&nonce)
}

/// Returns the accept key of the server (section 4.2.2).
fn accept(key: &str) -> String {
    let joined = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, joined.as_bytes()).as_ref())
}

/// A masked close frame with status 1000, normal closure (sections 5.5.1, 7.4.1); its mask is zero.
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, summary, talk};
    use super::*;

    #[test]
    fn the_accept_key_follows_the_standard() {
        // Section 1.3.
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_response_must_match_the_request() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let headers = |upgrade: &'static str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, upgrade.try_into().unwrap());
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept.try_into().unwrap());
            headers
        };
        let right = headers("WebSocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (status, headers, expected) in [
            (101, &right, "ok"),
            (401, &right, "ok"),
            (403, &right, "ok"),
            (429, &right, "rejected: 429 Too Many Requests"),
            (502, &right, "rejected: 502 Bad Gateway"),
            (503, &right, "rejected: 503 Service Unavailable"),
            (404, &right, "unexpected: expected the status 101 Switching Protocols, received 404 Not Found"),
            (200, &right, "unexpected: expected the status 101 Switching Protocols, received 200 OK"),
            (
                101,
                &headers("h2c", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                "unexpected: expected an upgrade to websocket, received another one",
            ),
            (
                101,
                &headers("websocket", "x"),
                "unexpected: expected the accept key of this request, received another one or none",
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(summary(verify(status, headers, key).map(|_| ServiceReply::default())), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_responses_have_a_class() {
        for (response, expected) in [
            ("", "closed: a response to the request"),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "ok"),
            (
                "HTTP/1.1 301 Moved\r\nLocation: wss://b/chat\r\nContent-Length: 0\r\n\r\n",
                "unexpected: expected the status 101 Switching Protocols, received 301 Moved Permanently, a redirect to wss://b/chat; probe that URL",
            ),
        ] {
            let (ended, sent) = talk(&Ws, "ws://a/chat", &Script::listens().responds(response)).await;
            assert_eq!(summary(ended), expected);
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\n") && sent.contains("upgrade: websocket\r\n"));
        }
        let silent = Script::listens().responds("HTTP/1.1 101").stays_silent();
        assert_eq!(summary(talk(&Ws, "ws://a", &silent).await.0), "silent: a response to the request");
    }
}
