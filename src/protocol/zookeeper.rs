//! The four-letter words of ZooKeeper (<https://zookeeper.apache.org/doc/current/zookeeperAdmin.html#sc_4lw>).
//!
//! Sends `srvr`, the only word that servers allow by default. The server closes after its response and logs a line at
//! INFO. Compatible servers, such as `ClickHouse` Keeper, name themselves in the first line
//! (<https://clickhouse.com/docs/guides/sre/keeper/clickhouse-keeper#four-letter-word-commands>).

use async_trait::async_trait;

use super::lines::is_version;
use super::{Conversation, ConversationError, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// ZooKeeper.
#[derive(Debug)]
pub(super) struct Zookeeper;

pub(super) static SERVICE: Service = Service {
    name: "zookeeper",
    port: 2181,
    tls_name: "zookeeper+tls",
    tls_port: 2181,
    client: Some("echo srvr | nc {host} {port}"),
    ..Service::DEFAULT
};

impl Protocol for Zookeeper {
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
        wire.send(b"srvr").await?;
        match wire.receive(AWAITED, MAX_RESPONSE, response).await {
            Ok(Response::NotAllowed) => Ok(ServiceReply::default()),
            Ok(Response::NotServing(text)) => Err(ConversationError::Rejected(text)),
            Ok(Response::Serving(reply)) => Ok(reply),
            Err(ConversationError::Closed(_) | ConversationError::Silent(_)) if is_foreign(wire.unread()) => {
                Err(ConversationError::unexpected(AWAITED, "none of its lines is a mode", wire.unread()))
            }
            Err(other) => Err(other),
        }
    }
}

/// A response to `srvr`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Response {
    NotAllowed,
    NotServing(String),
    Serving(ServiceReply),
}

/// Parses the mode, or an error. `ClickHouse` Keeper does not end the line of its error.
fn response(buffered: &[u8]) -> Parsed<Response> {
    if buffered
        .iter()
        .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
    {
        return Parsed::Invalid("it is not text".to_owned());
    }
    let text = String::from_utf8_lossy(buffered);
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let mode = complete.lines().find_map(|line| line.strip_prefix(MODE));
    let response = if let Some(error) = text.lines().find(|line| line.contains(NOT_SERVING)) {
        Response::NotServing(error.to_owned())
    } else if complete.lines().any(|line| line.starts_with(NOT_ALLOWED)) {
        Response::NotAllowed
    } else if let Some(mode) = mode {
        let version = complete.lines().find_map(|line| number(line.split_once(VERSION)?.1));
        Response::Serving(ServiceReply { version, role: role(mode) })
    } else {
        return Parsed::Incomplete;
    };
    Parsed::Complete(response, buffered.len())
}

/// Returns whether bytes were received, but no line with a version.
fn is_foreign(buffered: &[u8]) -> bool {
    !buffered.is_empty() && !String::from_utf8_lossy(buffered).contains(VERSION)
}

/// Returns the number at the start of a version: `3.8.0` of `3.8.0-5a02a05, built on 2022-02-25`.
fn number(version: &str) -> Option<String> {
    let number = version.trim_start_matches('v').split(['-', ',', ' ']).next()?;
    is_version(number).then(|| number.to_owned())
}

fn role(mode: &str) -> Option<String> {
    let mode = mode.trim();
    MODES.contains(&mode).then(|| mode.to_owned())
}

const AWAITED: &str = "the response to srvr";

/// The words before a version, after the name of a product.
const VERSION: &str = " version: ";

const NOT_ALLOWED: &str = "srvr is not executed because it is not in the whitelist";

/// The response of a server without a quorum or that is starting.
const NOT_SERVING: &str = "not currently serving requests";

const MODE: &str = "Mode: ";

/// The modes of servers (`ServerStats.getServerState`).
const MODES: [&str; 5] = ["leader", "follower", "observer", "standalone", "read-only"];

/// Maximum size of a response, far more than its dozen lines.
const MAX_RESPONSE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    /// From ZooKeeper 3.8.0.
    const ANSWER: &str = "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2023-02-18 13:46 UTC\n\
        Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x0\n\
        Mode: standalone\nNode count: 5\n";

    #[tokio::test(start_paused = true)]
    async fn a_response_has_version_and_mode() {
        for mode in MODES {
            let script = Script::listens().responds(ANSWER.replace("standalone", mode));
            let (found, sent) = talk(&Zookeeper, "zookeeper://a", &script).await;
            let expected = ServiceReply { version: Some("3.8.0".to_owned()), role: Some(mode.to_owned()) };
            assert_eq!((found.unwrap(), &*sent), (expected, &b"srvr"[..]));
        }
        assert_survives(&Zookeeper, "zookeeper://a", &Script::listens().responds(ANSWER)).await;
        for (first, version) in [
            (
                "ClickHouse Keeper version: v21.11.1.1-prestable-7a4a0b0edef0ad6e0aa662cd3b90c3f4acf796e7",
                Some("21.11.1.1"),
            ),
            ("RaftKeeper", None),
        ] {
            let script = Script::listens().responds(format!("{first}\nLatency min/avg/max: 0/0/0\nMode: leader\n"));
            let expected = ServiceReply { version: version.map(str::to_owned), role: Some("leader".to_owned()) };
            assert_eq!(talk(&Zookeeper, "zookeeper://a", &script).await.0.unwrap(), expected);
        }
        let strange = Script::listens().responds("Zookeeper version: today, built\nMode: 0x17\n");
        assert_eq!(talk(&Zookeeper, "zookeeper://a", &strange).await.0.unwrap(), ServiceReply::default());
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            ("srvr is not executed because it is not in the whitelist.\n", "ok"),
            (
                "This ZooKeeper instance is not currently serving requests\n",
                "rejected: This ZooKeeper instance is not currently serving requests",
            ),
            // ClickHouse Keeper.
            (
                "This instance is not currently serving requests",
                "rejected: This instance is not currently serving requests",
            ),
            ("", "closed: the response to srvr"),
            ("Zookeeper version: 3.8.0\n", "closed: the response to srvr"),
            ("-ERR\n", "unexpected: expected the response to srvr, received \"-ERR\\n\": none of its lines is a mode"),
            (
                "\u{15}\u{3}\u{3}\n",
                "unexpected: expected the response to srvr, received \"\\u{15}\\u{3}\\u{3}\\n\": it is not text",
            ),
        ] {
            assert_eq!(
                summary(talk(&Zookeeper, "zookeeper://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }
}
