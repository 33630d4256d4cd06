//! Four-letter words of ZooKeeper (<https://zookeeper.apache.org/doc/current/zookeeperAdmin.html#sc_4lw>).
//!
//! Sends `srvr`, the only word that servers allow by default. The server closes after its reply, and logs a line at
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
        let answers = [VERSION, NOT_ALLOWED, NOT_SERVING];
        let answer = wire
            .answer("the answer to srvr", MAX_ANSWER, |buffered| text(buffered, &answers))
            .await?;
        if answer.starts_with(NOT_SERVING) {
            return Err(ConversationError::Rejected(answer));
        }
        let Some(version) = answer.strip_prefix(VERSION) else { return Ok(ServiceReply::default()) };
        let rest = wire
            .answer("the server's mode", MAX_ANSWER, |buffered| block(buffered, &[""], &[MODE]))
            .await?;
        Ok(ServiceReply { version: number(version), role: rest.last().and_then(|line| role(line)) })
    }
}

/// The number at the start of a version: `3.8.0` of `3.8.0-5a02a05, built on 2022-02-25`.
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

/// The server has no quorum, or starts.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

const MODE: &str = "Mode: ";

/// `ServerStats.getServerState` of each kind of server.
const MODES: [&str; 5] = ["leader", "follower", "observer", "standalone", "read-only"];

/// Far more than the dozen lines of a reply.
const MAX_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    /// From ZooKeeper 3.8.0.
    const ANSWER: &str = "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2023-02-18 13:46 UTC\n\
        Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x0\n\
        Mode: standalone\nNode count: 5\n";

    #[tokio::test(start_paused = true)]
    async fn a_server_tells_its_version_and_mode() {
        for mode in MODES {
            let script = Script::hears().answers(ANSWER.replace("standalone", mode));
            let (found, said) = talk(&Zookeeper, "zookeeper://a", &script).await;
            let expected = ServiceReply { version: Some("3.8.0".to_owned()), role: Some(mode.to_owned()) };
            assert_eq!((found.unwrap(), &*said), (expected, &b"srvr"[..]));
        }
        assert_survives(&Zookeeper, "zookeeper://a", &Script::hears().answers(ANSWER)).await;
        let strange = Script::hears().answers("Zookeeper version: today, built\nMode: 0x17\n");
        assert_eq!(talk(&Zookeeper, "zookeeper://a", &strange).await.0.unwrap(), ServiceReply::default());
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (answer, expected) in [
            ("srvr is not executed because it is not in the whitelist.\n", "ok"),
            (
                "This ZooKeeper instance is not currently serving requests\n",
                "rejected: This ZooKeeper instance is not currently serving requests",
            ),
            ("", "closed: the answer to srvr"),
            ("Zookeeper version: 3.8.0\n", "closed: the server's mode"),
            ("-ERR\n", "unexpected: expected the answer to srvr, but \"-ERR\\n\" came: it begins otherwise"),
        ] {
            assert_eq!(summary(talk(&Zookeeper, "zookeeper://a", &Script::hears().answers(answer)).await.0), expected);
        }
    }
}
