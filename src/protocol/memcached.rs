//! The text protocol of memcached (<https://github.com/memcached/memcached/blob/master/doc/protocol.txt>).
//!
//! Sends `version` and `quit`. Leaves nothing in the log.

use async_trait::async_trait;

use super::lines::{begins_with, is_version, strip_keyword, text};
use super::{Conversation, ConversationError, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// memcached.
#[derive(Debug)]
pub(super) struct Memcached;

pub(super) static SERVICE: Service =
    Service { name: "memcached", port: 11211, tls_name: "memcached+tls", tls_port: 11211, ..Service::DEFAULT };

impl Protocol for Memcached {
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
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        wire.send(b"version\r\n").await?;
        let response = wire
            .receive("the response to version", MAX_LINE, |buffered| text(buffered, &ANSWERS))
            .await?;
        let version = strip_keyword(&response, "VERSION ");
        if version.is_some() || begins_with(&response, WANTS_LOGIN) {
            wire.leave(b"quit\r\n").await;
            let version = version.filter(|version| is_version(version)).map(str::to_owned);
            return Ok(ServiceReply { version, role: None });
        }
        Err(ConversationError::Rejected(response))
    }
}

const ANSWERS: [&str; 4] = ["VERSION ", "ERROR", "CLIENT_ERROR ", "SERVER_ERROR "];

/// The error of a server that requires a login (`-Y`, `doc/protocol.txt`, "Authentication"). Any other error means that
/// no client is served: no free memory or connections, or a proxy without a server.
const WANTS_LOGIN: &str = "CLIENT_ERROR unauthenticated";

/// Maximum length of a response, longer than any error.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_version_or_login_means_success() {
        for (response, version) in [
            ("VERSION 1.6.18\r\n", Some("1.6.18")),
            ("VERSION 1.6.18 12:00:31\r\n", None),
            ("CLIENT_ERROR unauthenticated\r\n", None),
        ] {
            let script = Script::listens().responds(response);
            let (found, sent) = talk(&Memcached, "memcached://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (version, &b"version\r\nquit\r\n"[..]));
            assert_survives(&Memcached, "memcached://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            ("ERROR Too many open connections\r\n", "rejected: ERROR Too many open connections"),
            ("SERVER_ERROR out of memory\r\n", "rejected: SERVER_ERROR out of memory"),
            ("ERROR\r\n", "rejected: ERROR"),
            ("CLIENT_ERROR bad\r\n", "rejected: CLIENT_ERROR bad"),
            (
                "HTTP/1.1 400\r\n",
                "unexpected: expected the response to version, received \"HTTP/1.1 400\\r\\n\": it does not start as expected",
            ),
            ("", "closed: the response to version"),
        ] {
            assert_eq!(
                summary(talk(&Memcached, "memcached://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }
}
