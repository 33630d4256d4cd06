//! HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! Sends one request and follows no redirects. Leaves a line in the access log with the user agent `portprobe/VERSION`.

use std::borrow::Cow;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::pin::pin;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use http_body_util::Empty;
use httpdate::parse_http_date;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, SERVER, USER_AGENT,
};
use hyper::{Method, Request as HttpRequest, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use self::body::{BodySearch, Framing};
use self::first::SpeaksFirst;
use super::{ByteStream, Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::outcome::{HttpResponse, Response};
use crate::peer_text::excerpt;
use crate::target::{Endpoint, Host, HttpSettings, PathRule, PathUse, Service};

mod body;
mod first;

/// HTTP.
#[derive(Debug)]
pub(super) struct Http;

pub(super) static SERVICE: Service = Service {
    name: "http",
    port: 80,
    tls_name: "https",
    tls_port: 443,
    alpn: Some("http/1.1"),
    path: Some(PathUse::Target(REQUEST_TARGET)),
    client: Some("curl -iv {url}"),
    ..Service::DEFAULT
};

impl Protocol for Http {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        begin(request, Arc::default(), Arc::default())
    }
}

/// Starts a conversation with these settings.
pub(super) fn begin(
    request: Request<'_>,
    settings: Arc<HttpSettings>,
    file_headers: Arc<[(HeaderName, HeaderValue)]>,
) -> Box<dyn Conversation> {
    Box::new(Session {
        authority: authority(request.endpoint),
        target: request.endpoint.path.as_deref().unwrap_or("/").to_owned(),
        settings,
        file_headers,
        response: None,
    })
}

#[derive(Debug)]
struct Session {
    authority: String,
    target: String,
    settings: Arc<HttpSettings>,
    /// Headers whose values come from files.
    file_headers: Arc<[(HeaderName, HeaderValue)]>,
    response: Option<HttpResponse>,
}

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let (request, settings, deadline) = (self.request()?, &*self.settings, wire.deadline());
        let response = &mut self.response;
        let judge = |head: Head, body| {
            let received = response.insert(reported(&head, settings));
            let is_expected = received.is_expected_status;
            async move {
                if !is_expected {
                    return Err(unexpected_status(settings, &head).into());
                }
                if let Some(pattern) = &settings.body {
                    let limit = usize::try_from(settings.body_limit).unwrap_or(usize::MAX);
                    BodySearch::new(pattern, limit)
                        .read(body, Framing::of(&head.headers), deadline)
                        .await?;
                }
                Ok(ServiceReply { version: product(&head.headers), role: None })
            }
        };
        ask(request, deadline, wire.stream(), judge).await
    }

    fn response(&self) -> Option<Response> {
        self.response.clone().map(Response::Http)
    }
}

/// Returns what is reported of a head.
fn reported(head: &Head, settings: &HttpSettings) -> HttpResponse {
    let status = head.status.as_u16();
    let text = |name| head.headers.get(name)?.to_str().ok();
    HttpResponse {
        status,
        version: match head.version {
            Version::HTTP_09 => 0.9,
            Version::HTTP_10 => 1.0,
            Version::HTTP_2 => 2.0,
            Version::HTTP_3 => 3.0,
            _ => 1.1,
        },
        content_length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        last_modified: text(LAST_MODIFIED).and_then(seconds_since_1970),
        is_expected_status: settings.takes(status),
    }
}

/// Returns the time of an HTTP date.
fn seconds_since_1970(date: &str) -> Option<i64> {
    let since = parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

impl Session {
    fn request(&self) -> Result<HttpRequest<Empty<Bytes>>, ConversationError> {
        let mut request = HttpRequest::builder().method(self.settings.method.clone()).uri(&self.target);
        if let Some(headers) = request.headers_mut() {
            for (name, value) in &self.settings.headers {
                headers.append(name, value.clone());
            }
            for (name, value) in &*self.file_headers {
                headers.append(name, value.clone());
            }
        }
        let unset = |name| {
            self.settings
                .headers
                .iter()
                .chain(&*self.file_headers)
                .all(|(set, _)| *set != name)
        };
        if unset(HOST) {
            request = request.header(HOST, &self.authority);
        }
        if unset(USER_AGENT) {
            request = request.header(USER_AGENT, AGENT);
        }
        // Some servers require a length of zero if the method usually has a body (RFC 9110 section 8.6).
        if matches!(self.settings.method, Method::PATCH | Method::POST | Method::PUT) {
            request = request.header(CONTENT_LENGTH, 0);
        }
        let request = request.header(CONNECTION, "close").body(Empty::new());
        request.map_err(|error| ConversationError::Unexpected(format!("the request cannot be created: {error}")))
    }
}

/// Returns the error for an unexpected status, with the setting that would accept it.
fn unexpected_status(settings: &HttpSettings, head: &Head) -> ConversationError {
    let (code, shown) = (head.status.as_u16(), shown(head.status));
    if head.status == StatusCode::SERVICE_UNAVAILABLE {
        return ConversationError::Rejected(shown);
    }
    let expected: Vec<_> = settings.status.iter().map(ToString::to_string).collect();
    let expected = format!("expected the status {}, received {shown}", expected.join(", "));
    ConversationError::Unexpected(match (code, location(&head.headers)) {
        (300..400, Some(location)) => {
            format!("{expected}, a redirect to {location}; probe that URL, or add {code} to http.status")
        }
        (400..500, _) => {
            format!(
                "{expected}: the service responds, but refuses the request; to accept that, add {code} to http.status"
            )
        }
        (500..600, _) => {
            format!("{expected}: the service responds, but with an error; to accept that, add {code} to http.status")
        }
        _ => format!("{expected}; to accept it, add {code} to http.status"),
    })
}

/// Returns a status with its usual reason, if it has one.
pub(super) fn shown(status: StatusCode) -> String {
    let reason = status.canonical_reason().map(|reason| format!(" {reason}"));
    format!("{}{}", status.as_str(), reason.unwrap_or_default())
}

/// Returns the target of a redirect (RFC 9110 section 10.2.2).
pub(super) fn location(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    Some(excerpt(headers.get(LOCATION)?.as_bytes()))
}

/// Returns the value of `Host`: the name without a trailing dot, and the port unless it is the default of the scheme.
pub(super) fn authority(endpoint: &Endpoint) -> String {
    let host = match &endpoint.host {
        Host::Ipv6(address, _) => format!("[{address}]"),
        Host::Ipv4(address) => address.to_string(),
        Host::Name(name) => name.without_dot().to_owned(),
    };
    if endpoint.protocol.default_port() == Some(endpoint.port) { host } else { format!("{host}:{}", endpoint.port) }
}

/// The head of a response.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// Sends a request and passes head and body of the response to `judge`. The head arrives by `deadline`.
pub(super) async fn ask<T, F>(
    request: HttpRequest<Empty<Bytes>>,
    deadline: Instant,
    channel: &mut dyn ByteStream,
    judge: impl FnOnce(Head, Incoming) -> F + Send,
) -> Result<T, ConversationError>
where
    F: Future<Output = Result<T, Failed>> + Send,
{
    let mut channel = SpeaksFirst::new(channel);
    match exchange(request, deadline, &mut channel, judge).await {
        Ok(result) => Ok(result),
        Err(Failed::Judged(error)) => Err(error),
        Err(Failed::NotRead(error, awaited)) => Err(ended(&error, awaited, channel.first_bytes())),
    }
}

/// The reason why a response is not the expected one.
#[derive(Debug)]
pub(super) enum Failed {
    Judged(ConversationError),
    /// Reading failed when this was expected.
    NotRead(hyper::Error, &'static str),
}

impl From<ConversationError> for Failed {
    fn from(error: ConversationError) -> Self {
        Self::Judged(error)
    }
}

async fn exchange<T, F>(
    request: HttpRequest<Empty<Bytes>>,
    deadline: Instant,
    channel: &mut SpeaksFirst<'_>,
    judge: impl FnOnce(Head, Incoming) -> F,
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let not_read = |error| Failed::NotRead(error, AWAITED);
    let mut builder = http1::Builder::new();
    // As lenient as browsers: a malformed header is not a failure of the server.
    builder
        .max_buf_size(MAX_REPLY)
        .max_headers(MAX_HEADERS)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(channel)).await.map_err(not_read)?;
    let mut answer = pin!(async move {
        let response = timeout_at(deadline, sender.send_request(request)).await;
        let response = response.map_err(|_| ConversationError::Silent(AWAITED))?.map_err(not_read)?;
        let (head, body) = response.into_parts();
        judge(Head { status: head.status, version: head.version, headers: head.headers }, body).await
    });
    tokio::select! {
        answered = &mut answer => answered,
        // The connection has ended. The rest of the response is buffered, and reading it reports an error as well.
        _ = connection => answer.await,
    }
}

/// Converts an error of hyper when `awaited` was expected, given the first bytes of the peer.
fn ended(error: &hyper::Error, awaited: &'static str, buffered: &[u8]) -> ConversationError {
    let io = io_error(error);
    // hyper does not report invalid chunks of a body as parse errors.
    let is_invalid_chunk = io.is_some_and(|error| error.kind() == ErrorKind::InvalidInput);
    match io.and_then(io::Error::raw_os_error) {
        Some(code) => ConversationError::Broken(io::Error::from_raw_os_error(code), awaited),
        None if error.is_parse() || is_invalid_chunk => {
            ConversationError::unexpected(AWAITED, &format!("it is not HTTP ({error})"), buffered)
        }
        None => ConversationError::Closed(awaited),
    }
}

/// Returns the I/O error that caused an error of hyper.
fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    successors(error.source(), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

/// Returns the product in `Server` with its version (RFC 9110 section 10.2.4).
pub(super) fn product(headers: &HeaderMap) -> Option<String> {
    let server = headers.get(SERVER)?.to_str().ok()?;
    let token = server.split([' ', '(']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '+' | '~');
    (!token.is_empty() && token.len() <= MAX_PRODUCT && token.chars().all(plain)).then(|| token.replacen('/', " ", 1))
}

/// The rule for the target of a request (RFC 9112 section 3.2.1).
pub(super) const REQUEST_TARGET: PathRule = PathRule {
    admits: |target| target.parse::<Uri>().is_ok(),
    expected: "a URL path of at most 64 KiB; percent-encode other characters, like %3C for <",
};

/// The user agent.
pub(super) const AGENT: &str = concat!("portprobe/", env!("CARGO_PKG_VERSION"));

const AWAITED: &str = "a response to the request";

/// Maximum number of headers. Their total length is limited by [`MAX_REPLY`].
const MAX_HEADERS: usize = 1024;

/// Maximum length of a product.
const MAX_PRODUCT: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, endpoint, summary, talk, talk_with, talk_with_headers};
    use super::*;

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_successful_status_means_success() {
        let script = Script::listens().responds(answer("200 OK", "Server: nginx/1.22.1 (Debian)\r\n", "hello"));
        let (found, sent) = talk(&Http, "http://a.example.:8080/x?y=1", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("nginx 1.22.1"));
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.starts_with("GET /x?y=1 HTTP/1.1\r\nhost: a.example:8080\r\nuser-agent: portprobe/"), "{sent}");
        assert!(sent.ends_with("\r\n\r\n") && !sent.contains("transfer-encoding"), "{sent}");
        assert_survives(&Http, "http://a", &script).await;
    }

    #[test]
    fn a_head_is_reported() {
        let head = |status, version, headers: &[(HeaderName, &'static str)]| Head {
            status: StatusCode::from_u16(status).unwrap(),
            version,
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect(),
        };
        let settings = HttpSettings::default();
        let modified = "Wed, 21 Oct 2015 07:28:00 GMT";
        for (head, expected) in [
            (
                head(204, Version::HTTP_11, &[(CONTENT_LENGTH, "5"), (LAST_MODIFIED, modified)]),
                (204, 1.1, Some(5), Some(1_445_412_480), true),
            ),
            (
                head(500, Version::HTTP_10, &[(CONTENT_LENGTH, "-1"), (LAST_MODIFIED, "now")]),
                (500, 1.0, None, None, false),
            ),
            (
                head(999, Version::HTTP_2, &[(LAST_MODIFIED, "Wed, 21 Oct 1950 07:28:00 GMT")]),
                (999, 2.0, None, None, false),
            ),
        ] {
            let HttpResponse { status, version, content_length, last_modified, is_expected_status } =
                reported(&head, &settings);
            assert_eq!((status, version, content_length, last_modified, is_expected_status), expected);
        }
    }

    #[test]
    fn the_host_header_omits_the_default_port() {
        for (url, expected) in [
            ("http://a", "a"),
            ("https://a.", "a"),
            ("https://a:80", "a:80"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(authority(&endpoint(url)), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (answer("204 No Content", "", ""), "ok"),
            (answer("503 Service Unavailable", "", ""), "rejected: 503 Service Unavailable"),
            (
                answer("301 Moved Permanently", "Location: http://b/\r\n", ""),
                "unexpected: expected the status 2xx, received 301 Moved Permanently, a redirect to http://b/; probe that URL, or add 301 to http.status",
            ),
            (
                answer("304 Not Modified", "", ""),
                "unexpected: expected the status 2xx, received 304 Not Modified; to accept it, add 304 to http.status",
            ),
            (
                answer("404 Not Found", "Location: http://b/\r\n", ""),
                "unexpected: expected the status 2xx, received 404 Not Found: the service responds, but refuses the request; to accept that, add 404 to http.status",
            ),
            (
                answer("502 Bad Gateway", "", ""),
                "unexpected: expected the status 2xx, received 502 Bad Gateway: the service responds, but with an error; to accept that, add 502 to http.status",
            ),
            (
                answer("999 Request denied", "", ""),
                "unexpected: expected the status 2xx, received 999; to accept it, add 999 to http.status",
            ),
            (String::new(), "closed: a response to the request"),
            ("HTTP/1.1 200".to_owned(), "closed: a response to the request"),
        ] {
            assert_eq!(summary(talk(&Http, "http://a", &Script::listens().responds(script)).await.0), expected);
        }
        let greeting = "SSH-2.0-OpenSSH_9.2p1\r\n";
        for script in [Script::listens().responds(greeting), Script::greets(greeting)] {
            let text = summary(talk(&Http, "http://a", &script).await.0);
            let expected = "unexpected: expected a response to the request, received \"SSH-2.0-OpenSSH_9.2p1\\r\\n\": it is not HTTP";
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_headers_are_ignored() {
        let many = "X-A: 1\r\n".repeat(500);
        for headers in ["Server : GoAhead\r\n", "X-A: 1\r\n continued\r\n", "X-A: \x1b\r\n", "no header\r\n", &many] {
            let script = Script::listens().responds(answer("200 OK", headers, ""));
            assert_eq!(summary(talk(&Http, "http://a", &script).await.0), "ok", "{headers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn settings_define_request_and_success() {
        let settings = Arc::new(HttpSettings {
            method: Method::HEAD,
            headers: vec![(HOST, "b".try_into().unwrap()), ("x-a".try_into().unwrap(), "1".try_into().unwrap())],
            status: vec!["401".parse().unwrap(), "503".parse().unwrap(), "9xx".parse().unwrap()],
            ..HttpSettings::default()
        });
        for (status, expected) in [
            ("401 Unauthorized", "ok"),
            ("503 Service Unavailable", "ok"),
            ("999 Request denied", "ok"),
            (
                "200 OK",
                "unexpected: expected the status 401, 503, 9xx, received 200 OK; to accept it, add 200 to http.status",
            ),
        ] {
            let script = Script::listens().responds(answer(status, "", ""));
            let (ended, sent) = talk_with("http://a", &settings, &script).await;
            assert_eq!(summary(ended), expected);
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.starts_with("HEAD / HTTP/1.1\r\nhost: b\r\nx-a: 1\r\n"), "{sent}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_from_files_are_sent() {
        let value = HeaderValue::from_static("one");
        let file_headers = [(hyper::header::AUTHORIZATION, value.clone()), (USER_AGENT, value)].into();
        let script = Script::listens().responds(answer("200 OK", "", ""));
        let (ended, sent) = talk_with_headers("http://a", &Arc::default(), file_headers, &script).await;
        assert_eq!(summary(ended), "ok");
        let sent = String::from_utf8(sent).unwrap();
        let expected = "GET / HTTP/1.1\r\nauthorization: one\r\nuser-agent: one\r\nhost: a\r\n";
        assert!(sent.starts_with(expected) && !sent.contains("portprobe/"), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_post_has_a_length_of_zero() {
        for (method, length) in [(Method::POST, true), (Method::PUT, true), (Method::GET, false)] {
            let settings = Arc::new(HttpSettings { method, ..HttpSettings::default() });
            let script = Script::listens().responds(answer("200 OK", "", ""));
            let (_, sent) = talk_with("http://a", &settings, &script).await;
            let sent = String::from_utf8(sent).unwrap();
            assert_eq!(sent.contains("\r\ncontent-length: 0\r\n"), length, "{sent}");
        }
    }
}
