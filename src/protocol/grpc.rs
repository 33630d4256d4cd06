//! gRPC: the health checking protocol (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>) over HTTP/2
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! Calls `grpc.health.v1.Health/Check` once for the service in the path, or for the whole server. A server without the
//! health service returns UNIMPLEMENTED, which is a valid response. Leaves nothing in the log by default.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, client};
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request as HttpRequest, StatusCode};
use tokio::time::timeout_at;

use super::http::{AGENT, authority};
use super::{ByteStream, Conversation, ConversationError, Protocol, Request, ServiceReply, Wire};
use crate::outcome::{GrpcResponse, Response};
use crate::target::{PathRule, PathUse, Security, Service};

/// gRPC.
#[derive(Debug)]
pub(super) struct Grpc;

pub(super) static SERVICE: Service = Service {
    name: "grpc",
    port: 50051,
    tls_name: "grpc+tls",
    tls_port: 50051,
    alpn: Some("h2"),
    // The protocol does not restrict the names of services.
    path: Some(PathUse::Name(PathRule::NONE)),
    client: Some("grpcurl -plaintext {authority} grpc.health.v1.Health/Check"),
    ..Service::DEFAULT
};

impl Protocol for Grpc {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        let scheme = if request.security() == Security::Plain { "http" } else { "https" };
        let uri = format!("{scheme}://{}/grpc.health.v1.Health/Check", authority(request.endpoint));
        Box::new(Session { uri, service: request.endpoint.path.clone(), response: None })
    }
}

#[derive(Debug)]
struct Session {
    uri: String,
    /// The service whose health is queried; `None` for the whole server.
    service: Option<Arc<str>>,
    response: Option<GrpcResponse>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let request = HttpRequest::post(&self.uri)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, AGENT)
            .body(());
        let request = request
            .map_err(|error| ConversationError::Unexpected(format!("the request cannot be created: {error}")))?;
        let message = message(self.service.as_deref().unwrap_or_default());
        let checked = timeout_at(wire.deadline(), check(request, message, wire.stream())).await;
        let checked = checked.unwrap_or(Err(ConversationError::Silent(AWAITED)))?;
        self.response = checked.response();
        verify(&checked)?;
        Ok(ServiceReply::default())
    }

    fn response(&self) -> Option<Response> {
        self.response.clone().map(Response::Grpc)
    }
}

/// The result of a call.
#[derive(Debug)]
struct Checked {
    http: StatusCode,
    /// `grpc-status`, from headers or trailers.
    status: Option<u16>,
    text: String,
    message: Vec<u8>,
}

/// Verifies the result of a call:
///
/// - a login that is required, by gRPC or by a proxy, and a server without the health service mean success;
/// - an unknown service is not the expected one;
/// - any other health and any other error, also those of a proxy without a server, mean that no client is served.
fn verify(checked: &Checked) -> Result<(), ConversationError> {
    let unexpected = |what: String| Err(ConversationError::Unexpected(format!("expected {AWAITED}, received {what}")));
    let rejected = |how: String| Err(ConversationError::Rejected(how));
    match (checked.http, checked.status) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None)
        | (_, Some(PERMISSION_DENIED | UNIMPLEMENTED | UNAUTHENTICATED)) => Ok(()),
        (http, None) if http == StatusCode::TOO_MANY_REQUESTS || http.is_server_error() => rejected(http.to_string()),
        (http, None) => unexpected(format!("{http} without a grpc-status")),
        (_, Some(OK)) => match health(&checked.message) {
            Some(SERVING) => Ok(()),
            Some(NOT_SERVING) => rejected("NOT_SERVING".to_owned()),
            Some(SERVICE_UNKNOWN) => unexpected("SERVICE_UNKNOWN: it does not know this service".to_owned()),
            Some(other) => rejected(format!("the health status {other}")),
            None => unexpected("no HealthCheckResponse".to_owned()),
        },
        (_, Some(NOT_FOUND)) => unexpected(format!("NOT_FOUND {}: it does not know this service", checked.text)),
        (_, Some(code)) => rejected(format!("{} {}", name(code), checked.text)),
    }
}

/// Returns the name of an error code (<https://grpc.io/docs/guides/status-codes/>).
fn name(code: u16) -> Cow<'static, str> {
    let name = match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        4 => "DEADLINE_EXCEEDED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        code => return format!("status {code}").into(),
    };
    name.into()
}

/// Returns a `HealthCheckRequest` with the service as its only field, after the message prefix: not compressed, length.
fn message(service: &str) -> Bytes {
    let mut fields = BytesMut::new();
    if !service.is_empty() {
        fields.put_u8(0x0a);
        put_varint(&mut fields, service.len());
        fields.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(u32::try_from(fields.len()).unwrap_or(u32::MAX));
    message.put_slice(&fields);
    message.freeze()
}

/// Writes a varint: groups of seven bits, lowest first.
fn put_varint(buffer: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        buffer.put_u8(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    buffer.put_u8(u8::try_from(value).unwrap_or_default());
}

/// Returns the status of a `HealthCheckResponse`: field 1, a small number. An empty message is UNKNOWN.
fn health(message: &[u8]) -> Option<u8> {
    let mut rest = message;
    let compressed = rest.try_get_u8().ok()?;
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    match (compressed, rest.get(..length)?) {
        (0, []) => Some(0),
        (0, [0x08, status]) => Some(*status),
        _ => None,
    }
}

/// Calls the service.
async fn check(
    request: HttpRequest<()>,
    message: Bytes,
    channel: &mut dyn ByteStream,
) -> Result<Checked, ConversationError> {
    let (sender, connection) = client::handshake(channel).await.map_err(|error| ended(&error))?;
    let mut called = pin!(call(sender, request, message));
    tokio::select! {
        checked = &mut called => checked,
        // The connection has ended. The rest of the response is buffered.
        closed = connection => match (called.await, closed) {
            (Err(ConversationError::Closed(_)), Err(error)) => Err(ended(&error)),
            (checked, _) => checked,
        },
    }
}

async fn call(
    sender: SendRequest<Bytes>,
    request: HttpRequest<()>,
    message: Bytes,
) -> Result<Checked, ConversationError> {
    let mut sender = sender.ready().await.map_err(|error| ended(&error))?;
    let (response, mut body) = sender.send_request(request, false).map_err(|error| ended(&error))?;
    body.send_data(message, true).map_err(|error| ended(&error))?;
    answer(response).await
}

async fn answer(response: ResponseFuture) -> Result<Checked, ConversationError> {
    let (head, mut body) = response.await.map_err(|error| ended(&error))?.into_parts();
    let mut checked = Checked { http: head.status, status: None, text: String::new(), message: Vec::new() };
    checked.take_status(&head.headers);
    // The body of another status is a page, whose length is not limited.
    if checked.status.is_none() && checked.http == StatusCode::OK {
        checked.message = read(&mut body).await?;
        if let Some(trailers) = body.trailers().await.map_err(|error| ended(&error))? {
            checked.take_status(&trailers);
        }
    }
    Ok(checked)
}

impl Checked {
    /// Returns what is reported; `None` if a proxy has responded.
    fn response(&self) -> Option<GrpcResponse> {
        let status = self.status?;
        let serving = if status == OK { health(&self.message) } else { None };
        Some(GrpcResponse { status: status.into(), serving })
    }

    fn take_status(&mut self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        self.status = text("grpc-status").and_then(|status| status.parse().ok());
        text("grpc-message").unwrap_or_default().clone_into(&mut self.text);
    }
}

/// Reads the data of a response, up to [`MAX_MESSAGE`].
async fn read(body: &mut RecvStream) -> Result<Vec<u8>, ConversationError> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| ended(&error))?;
        // Without released capacity the peer stops sending.
        let _ = body.flow_control().release_capacity(data.len());
        message.extend_from_slice(&data);
        if message.len() > MAX_MESSAGE {
            return Err(ConversationError::unexpected(AWAITED, "it is too long", &message));
        }
    }
    Ok(message)
}

/// Converts an error of h2:
///
/// - a frame by which the server refuses work means that no client is served;
/// - h2 keeps the kind of a connection error, but not always its code.
fn ended(error: &h2::Error) -> ConversationError {
    if let Some(reason) = error.reason().filter(|reason| error.is_remote() && REFUSALS.contains(reason)) {
        let frame = if error.is_go_away() { "GOAWAY" } else { "RST_STREAM" };
        return ConversationError::Rejected(format!("{frame} with {reason:?}"));
    }
    match error.get_io() {
        Some(io) => match (io.raw_os_error(), io.kind()) {
            (Some(code), _) => ConversationError::Broken(io::Error::from_raw_os_error(code), AWAITED),
            (None, kind @ (ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::TimedOut)) => {
                ConversationError::Broken(kind.into(), AWAITED)
            }
            (None, _) => ConversationError::Closed(AWAITED),
        },
        None => ConversationError::Unexpected(format!(
            "expected {AWAITED}, received data that is not gRPC over HTTP/2: {error}"
        )),
    }
}

/// The error codes of HTTP/2 for which gRPC clients do not blame the request (RFC 9113 section 7): the server shuts down,
/// fails or is overloaded, as does a proxy in front of it.
const REFUSALS: [Reason; 5] =
    [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM];

/// Codes of gRPC.
const OK: u16 = 0;
const NOT_FOUND: u16 = 5;
const PERMISSION_DENIED: u16 = 7;
const UNIMPLEMENTED: u16 = 12;
const UNAUTHENTICATED: u16 = 16;

/// The status in a `HealthCheckResponse`.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;
const SERVICE_UNKNOWN: u8 = 3;

const AWAITED: &str = "a response to the health check";

/// Far more than a health status.
const MAX_MESSAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{DuplexStream, duplex};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, Instant};

    use super::super::testing::{Script, endpoint, request, summary, talk};
    use super::*;

    #[test]
    fn a_request_names_the_service() {
        assert_eq!(&*message(""), b"\0\0\0\0\0");
        assert_eq!(&*message("my.Shop"), b"\0\0\0\0\x09\x0a\x07my.Shop");
        assert_eq!(&message(&"x".repeat(200))[..8], b"\0\0\0\0\xcb\x0a\xc8\x01");
    }

    #[test]
    fn each_response_has_a_class() {
        let of = |status, message: &[u8]| {
            let checked = Checked { http: StatusCode::OK, status, text: "why".into(), message: message.to_vec() };
            summary(verify(&checked).map(|()| ServiceReply::default()))
        };
        assert_eq!(of(Some(0), b"\0\0\0\0\x02\x08\x01"), "ok");
        assert_eq!(of(Some(0), b"\0\0\0\0\x02\x08\x02"), "rejected: NOT_SERVING");
        assert_eq!(of(Some(0), b"\0\0\0\0\0"), "rejected: the health status 0");
        for (message, what) in [
            (&b"\0\0\0\0\x02\x08\x03"[..], "SERVICE_UNKNOWN: it does not know this service"),
            (b"\0\0\0\0\x09\x08\x01", "no HealthCheckResponse"),
            (b"", "no HealthCheckResponse"),
        ] {
            assert_eq!(of(Some(0), message), format!("unexpected: expected {AWAITED}, received {what}"));
        }
        for code in [7, 12, 16] {
            assert_eq!(of(Some(code), b""), "ok");
        }
        for (code, name) in [(2, "UNKNOWN"), (8, "RESOURCE_EXHAUSTED"), (14, "UNAVAILABLE"), (99, "status 99")] {
            assert_eq!(of(Some(code), b""), format!("rejected: {name} why"));
        }
        assert!(of(Some(5), b"").starts_with("unexpected"));
        assert!(of(None, b"").ends_with("received 200 OK without a grpc-status"));
        for (http, expected) in [
            (401, "ok"),
            (403, "ok"),
            (404, "unexpected: expected a response to the health check, received 404 Not Found without a grpc-status"),
            (429, "rejected: 429 Too Many Requests"),
            (500, "rejected: 500 Internal Server Error"),
            (502, "rejected: 502 Bad Gateway"),
        ] {
            let http = StatusCode::from_u16(http).unwrap();
            let checked = Checked { http, status: None, text: String::new(), message: Vec::new() };
            assert_eq!(summary(verify(&checked).map(|()| ServiceReply::default())), expected);
        }
    }

    /// Probes an HTTP/2 server that responds to one call with these trailers and this message.
    async fn against(status: &'static str, message: &'static [u8]) -> String {
        let (mut near, far) = duplex(1 << 16);
        let server = tokio::spawn(async move {
            let mut connection = h2::server::handshake(far).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let head = hyper::Response::builder()
                    .header(CONTENT_TYPE, "application/grpc")
                    .body(())
                    .unwrap();
                let mut stream = respond.send_response(head, false).unwrap();
                stream.send_data(Bytes::from_static(message), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.try_into().unwrap());
                stream.send_trailers(trailers).unwrap();
            }
        });
        let endpoint = endpoint("grpc://a.example/my.Shop");
        let mut conversation = Grpc.begin(request(&endpoint));
        let mut wire = Wire::new(&mut near, Vec::new(), Instant::now() + Duration::from_secs(5));
        let ended = summary(conversation.exchange(&mut wire).await);
        drop(near);
        server.await.unwrap();
        ended
    }

    #[tokio::test]
    async fn responses_of_another_implementation_are_parsed() {
        assert_eq!(against("0", b"\0\0\0\0\x02\x08\x01").await, "ok");
        assert_eq!(against("0", b"\0\0\0\0\x02\x08\x02").await, "rejected: NOT_SERVING");
        assert_eq!(against("12", b"").await, "ok");
    }

    #[tokio::test]
    async fn a_login_page_can_have_any_length() {
        let ended = with_server(async |mut connection| {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let head = hyper::Response::builder().status(403).body(()).unwrap();
                let mut page = respond.send_response(head, false).unwrap();
                page.send_data(Bytes::from(vec![b'a'; 2 * MAX_MESSAGE]), false).unwrap();
            }
        });
        assert_eq!(ended.await, "ok");
    }

    /// Probes an HTTP/2 server that handles its connection like this.
    async fn with_server(handle: impl AsyncFnOnce(h2::server::Connection<DuplexStream, Bytes>)) -> String {
        let (mut near, far) = duplex(1 << 16);
        let server = async { handle(h2::server::handshake(far).await.unwrap()).await };
        let client = async {
            let endpoint = endpoint("grpc://a");
            let mut wire = Wire::new(&mut near, Vec::new(), Instant::now() + Duration::from_secs(5));
            let ended = summary(Grpc.begin(request(&endpoint)).exchange(&mut wire).await);
            drop(near);
            ended
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn refused_work_is_rejected() {
        for (reason, expected) in [
            (Reason::NO_ERROR, "rejected: GOAWAY with NO_ERROR"),
            (Reason::ENHANCE_YOUR_CALM, "rejected: GOAWAY with ENHANCE_YOUR_CALM"),
            (
                Reason::HTTP_1_1_REQUIRED,
                "unexpected: expected a response to the health check, received data that is not gRPC over HTTP/2: connection error received: endpoint requires HTTP/1.1",
            ),
        ] {
            let at_once = with_server(async |mut connection| {
                connection.abrupt_shutdown(reason);
                let _ = poll_fn(|context| connection.poll_closed(context)).await;
            });
            assert_eq!(at_once.await, expected);
        }
        let refused = with_server(async |mut connection| {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        });
        assert_eq!(refused.await, "rejected: RST_STREAM with REFUSED_STREAM");
        let overloaded = with_server(async |mut connection| {
            let request = connection.accept().await;
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            let _ = poll_fn(|context| connection.poll_closed(context)).await;
            drop(request);
        });
        assert_eq!(overloaded.await, "rejected: GOAWAY with ENHANCE_YOUR_CALM");
    }

    /// Closing a socket with unread data sends a RST.
    #[tokio::test]
    async fn a_reset_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let server = tokio::spawn(async move { far.readable().await.map(|()| drop(far)) });
        let endpoint = endpoint("grpc://a");
        let mut conversation = Grpc.begin(request(&endpoint));
        let mut wire = Wire::new(&mut near, Vec::new(), Instant::now() + Duration::from_secs(5));
        let ended = conversation.exchange(&mut wire).await;
        server.await.unwrap().unwrap();
        assert!(
            matches!(&ended, Err(ConversationError::Broken(error, _)) if error.kind() == ErrorKind::ConnectionReset),
            "{ended:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_http_2_has_a_class() {
        for (script, expected) in [
            (Script::greets(""), "closed: a response to the health check"),
            (Script::greets("").stays_silent(), "silent: a response to the health check"),
        ] {
            assert_eq!(summary(talk(&Grpc, "grpc://a", &script).await.0), expected);
        }
        let other = Script::greets("HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(summary(talk(&Grpc, "grpc://a", &other).await.0).starts_with("unexpected: expected a response"));
    }
}
