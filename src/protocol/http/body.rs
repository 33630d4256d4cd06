//! The search for a pattern in a body that arrives in pieces and may never end.

use std::io::ErrorKind;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::{Failed, io_error};
use crate::peer_text::excerpt;
use crate::protocol::ConversationError;
use crate::target::Pattern;

/// A body and the pattern that it must match.
#[derive(Debug)]
pub(super) struct BodySearch<'a> {
    pattern: &'a Pattern,
    /// Maximum number of bytes to read.
    limit: usize,
    /// The bytes read so far.
    received: Vec<u8>,
    /// Number of bytes that were searched last.
    searched: usize,
    /// Number of bytes that were searched as if nothing followed them.
    paused: usize,
    /// Sum of the bytes of all searches.
    spent: usize,
}

impl<'a> BodySearch<'a> {
    pub(super) const fn new(pattern: &'a Pattern, limit: usize) -> Self {
        Self { pattern, limit, received: Vec::new(), searched: 0, paused: 0, spent: 0 }
    }

    /// Reads a body until it certainly matches, matches and pauses, or ends. Ends by `deadline`.
    pub(super) async fn read(mut self, mut body: Incoming, framing: Framing, deadline: Instant) -> Result<(), Failed> {
        let end = loop {
            if self.received.len() >= self.limit {
                break End::Limit;
            }
            if body.is_end_stream() {
                break End::Complete;
            }
            if self.is_due() {
                if self.search(Pattern::is_certain_match) {
                    return Ok(());
                }
                // A search takes time, and a peer that never stops sending must not block other probes.
                yield_now().await;
            }
            let has_paused = self.paused == self.received.len();
            let until = if has_paused { deadline } else { deadline.min(Instant::now() + PAUSE) };
            match timeout_at(until, body.frame()).await {
                Ok(None) => break End::Complete,
                Ok(Some(Ok(frame))) => self.take(frame.data_ref().map_or(&[], |data| data)),
                Ok(Some(Err(error))) if framing == Framing::Connection && is_eof(&error) => break End::Complete,
                Ok(Some(Err(error))) => break End::Broken(error),
                Err(_) if Instant::now() >= deadline => break End::Deadline,
                Err(_) => {
                    self.paused = self.received.len();
                    if self.search(Pattern::is_match) {
                        return Ok(());
                    }
                }
            }
        };
        if self.search(Pattern::is_match) { Ok(()) } else { Err(self.missing(end)) }
    }

    fn take(&mut self, data: &[u8]) {
        let room = self.limit - self.received.len();
        self.received.extend_from_slice(data.get(..room).unwrap_or(data));
    }

    /// Returns whether to search in what has arrived: at once as long as that takes little time in total, then only if
    /// as much has arrived as was searched before.
    const fn is_due(&self) -> bool {
        let length = self.received.len();
        length > self.searched && (self.spent + length <= MAX_SPENT || length >= 2 * self.searched)
    }

    fn search(&mut self, matches: impl Fn(&Pattern, &[u8]) -> bool) -> bool {
        self.searched = self.received.len();
        self.spent += self.searched;
        matches(self.pattern, &self.received)
    }

    /// Returns the error of a body that does not match.
    fn missing(&self, end: End) -> Failed {
        let (limit, then) = match end {
            End::Broken(error) => return Failed::NotRead(error, AWAITED),
            End::Complete => ("", ""),
            End::Deadline if self.received.is_empty() => return ConversationError::Silent(AWAITED).into(),
            End::Deadline => ("", ", and the body did not end before the timeout"),
            End::Limit => (" within body_limit", ""),
        };
        let (expected, received) = (self.pattern.as_str(), excerpt(&self.received));
        ConversationError::Unexpected(format!(
            "expected a body that matches `{expected}`{limit}, received \"{received}\"{then}"
        ))
        .into()
    }
}

/// What marks the end of a body (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// The end of the connection.
    Connection,
    /// Its length, or the last chunk.
    Message,
}

impl Framing {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        if is_framed { Self::Message } else { Self::Connection }
    }
}

/// Returns whether TLS ended without `close_notify`, as that of some servers does.
fn is_eof(error: &hyper::Error) -> bool {
    io_error(error).is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof)
}

/// The reason why no more is read.
#[derive(Debug)]
enum End {
    Broken(hyper::Error),
    Complete,
    Deadline,
    Limit,
}

const AWAITED: &str = "a body";

/// Pause after which a match counts although more data could end it, such as one of `ok$`.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum sum of bytes that are searched as they arrive, which takes less than a millisecond with most patterns.
const MAX_SPENT: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::sleep;

    use super::*;
    use crate::protocol::testing::{Script, endpoint, request, summary, talk_with};
    use crate::protocol::{Wire, begin_http};
    use crate::target::HttpSettings;

    fn settings(pattern: &str, body_limit: u32) -> Arc<HttpSettings> {
        let body = Some(Pattern::try_new(pattern).unwrap());
        Arc::new(HttpSettings { body, body_limit, ..HttpSettings::default() })
    }

    /// Runs an exchange with this pattern. The peer sends a head, then pieces of the body, each after a pause in
    /// milliseconds, and keeps the connection open. Returns the result and its time in milliseconds.
    async fn stream(pattern: &str, head: &str, pieces: &[(u64, &[u8])]) -> (String, u128) {
        let (mut near, mut far) = duplex(1 << 20);
        let endpoint = endpoint("http://a");
        let settings = settings(pattern, 1 << 20);
        let mut conversation = begin_http(request(&endpoint), settings, Arc::default());
        let started = Instant::now();
        let mut wire = Wire::new(&mut near, Vec::new(), started + TIMEOUT);
        let serving = async {
            far.read_u8().await.unwrap();
            far.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes())
                .await
                .unwrap();
            for (pause, piece) in pieces {
                sleep(Duration::from_millis(*pause)).await;
                far.write_all(piece).await.unwrap();
            }
            pending::<()>().await;
        };
        tokio::select! {
            ended = conversation.exchange(&mut wire) => (summary(ended), started.elapsed().as_millis()),
            () = serving => unreachable!("it never ends"),
        }
    }

    fn answer(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_to_its_limit() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nstatus: \r\n5\r\ngreen\r\n0\r\n\r\n";
        for (limit, script, expected) in [
            (100, answer("a\nstatus: green\nb"), "ok"),
            (100, chunked.to_owned(), "ok"),
            (
                100,
                answer("status: red"),
                "unexpected: expected a body that matches `^status: (green|yellow)$`, received \"status: red\"",
            ),
            (
                100,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
                "unexpected: expected a response to the request, received \"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n\": it is not HTTP (error reading a body from connection)",
            ),
            (
                4,
                chunked.to_owned(),
                "unexpected: expected a body that matches `^status: (green|yellow)$` within body_limit, received \"stat\"",
            ),
        ] {
            let (ended, _) = talk_with(
                "http://a",
                &settings("^status: (green|yellow)$", limit),
                &Script::listens().responds(script),
            )
            .await;
            assert_eq!(summary(ended), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_body_that_matches_succeeds() {
        for (pattern, pieces, took) in [
            // At once, if more data cannot change the match.
            ("data: ok", &[(0, &b"data: no\n\n"[..]), (70, b"data: ok")][..], 70),
            ("^data: ok$", &[(50, b"data: ok\n\n")], 50),
            ("data: .k", &[(50, "data: ö".as_bytes()), (50, b"k")], 100),
            // Otherwise after a pause.
            ("^data: ok$", &[(0, b"data: ok")], 100),
            (r"\bok\b", &[(0, b"data: "), (250, b"ok")], 350),
        ] {
            let ended = stream(pattern, "", pieces).await;
            assert_eq!(ended, ("ok".to_owned(), took), "{pattern}");
            let announced = stream(pattern, "Content-Length: 100\r\n", pieces).await;
            assert_eq!(announced, ("ok".to_owned(), took), "{pattern}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_match_does_not_end_inside_a_word() {
        let pieces: &[(u64, &[u8])] = &[(0, b"data: ok"), (90, b"ay"), (90, b"\n")];
        let (ended, took) = stream("ok$", "", pieces).await;
        let expected = "unexpected: expected a body that matches `ok$`, received \"data: okay\\n\", and the body did not end before the timeout";
        assert_eq!((&*ended, took), (expected, TIMEOUT.as_millis()));
        let (ended, _) = stream("ok$", "Transfer-Encoding: chunked\r\n", &[]).await;
        assert_eq!(ended, "silent: a body");
    }

    #[test]
    fn a_long_body_is_searched_seldom() {
        let pattern = Pattern::try_new("x").unwrap();
        let mut search = BodySearch::new(&pattern, usize::MAX);
        for _ in 0..1000 {
            search.take(&[b'a'; 1024]);
            if search.is_due() {
                search.search(Pattern::is_certain_match);
            }
        }
        assert!(search.spent < 3 * search.received.len(), "{}", search.spent);
    }
}
