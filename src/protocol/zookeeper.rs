//! The four-letter words of ZooKeeper (<https://zookeeper.apache.org/doc/current/zookeeperAdmin.html#sc_4lw>).
//!
//! Sends `srvr`, the only word that servers allow by default. The server closes after its response and logs a line at
//! INFO.

use async_trait::async_trait;

use super::lines::{block, is_version, text};
use super::{Conversation, ConversationError, Protocol, Request, ServiceReply, Wire};
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
        let starts = [VERSION, NOT_ALLOWED, NOT_SERVING];
        let response = wire
            .receive("the response to srvr", MAX_RESPONSE, |buffered| text(buffered, &starts))
            .await?;
        if response.starts_with(NOT_SERVING) {
            return Err(ConversationError::Rejected(response));
        }
        let Some(version) = response.strip_prefix(VERSION) else { return Ok(ServiceReply::default()) };
        let rest = wire
            .receive("the server's mode", MAX_RESPONSE, |buffered| block(buffered, &[""], &[MODE]))
            .await?;
        Ok(ServiceReply { version: number(version), role: rest.last().and_then(|line| role(line)) })
    }
}

/// Returns the number at the start of a version: `3.8.0` of `3.8.0-5a02a05, built on 2022-02-25`.
fn number(version: &str) -> Option<String> {
    let number = version.split(['-', ',', ' ']).next()?;
    is_version(number).then(|| number.to_owned())
}

fn role(line: &str) -> Option<String> {
    let mode = line.strip_prefix(MODE)?.trim();
    MODES.contains(&mode).then(|| mode.to_owned())
}

const VERSION: &str = "Zookeeper version: ";

const NOT_ALLOWED: &str = "srvr is not executed because it is not in the whitelist";

/// The response of a server without a quorum or that is starting.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

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
            ("", "closed: the response to srvr"),
            ("Zookeeper version: 3.8.0\n", "closed: the server's mode"),
            (
                "-ERR\n",
                "unexpected: expected the response to srvr, received \"-ERR\\n\": it does not start as expected",
            ),
        ] {
            assert_eq!(
                summary(talk(&Zookeeper, "zookeeper://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }
}
