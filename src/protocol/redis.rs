//! Redis and Valkey: RESP (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! Sends PING like `redis-cli ping`, and QUIT. Leaves nothing in the log.

use async_trait::async_trait;

use super::lines::line;
use super::{Conversation, ConversationError, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

/// Redis.
#[derive(Debug)]
pub(super) struct Redis;

pub(super) static SERVICE: Service = Service {
    name: "redis",
    other_names: &[OtherName::new("valkey")],
    port: 6379,
    tls_name: "rediss",
    tls_port: 6379,
    client: Some("redis-cli -h {host} -p {port} PING"),
    ..Service::DEFAULT
};

impl Protocol for Redis {
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
        wire.send(b"*1\r\n$4\r\nPING\r\n").await?;
        let response = wire
            .receive("the response to PING", MAX_LINE, |buffered| line(buffered, &[b"+PONG", b"-"]))
            .await?;
        let response = String::from_utf8_lossy(&response).into_owned();
        if response == "+PONG" || SERVES.iter().any(|error| response.starts_with(error)) {
            wire.leave(b"*1\r\n$4\r\nQUIT\r\n").await;
            return Ok(ServiceReply::default());
        }
        if response.starts_with('-') {
            return Err(ConversationError::Rejected(response));
        }
        Err(ConversationError::Unexpected(format!("expected +PONG, received \"{response}\"")))
    }
}

/// The errors of a server that requires a login (the last one before Redis 2.8) or has another name for PING
/// (`rename-command`). Any other error means that no client is served, because proxies without a server use texts of
/// their own. The shared errors in `src/server.c` of Redis are: loading its data, lost its master, runs a script,
/// cannot save, cluster is down; and those of `src/networking.c`: full, denies all other machines (protected mode).
const SERVES: [&str; 4] = ["-NOAUTH ", "-NOPERM ", "-ERR operation not permitted", "-ERR unknown command"];

/// Maximum length of a response, far more than the longest error.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn any_response_to_a_ping_means_success() {
        for pong in [
            "+PONG\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-NOPERM no permissions\r\n",
            "-ERR operation not permitted\r\n",
            "-ERR unknown command 'PING', with args beginning with: \r\n",
        ] {
            let script = Script::listens().responds(pong).responds("+OK\r\n");
            let (found, sent) = talk(&Redis, "redis://a", &script).await;
            assert_eq!(
                (found.unwrap(), &*sent),
                (ServiceReply::default(), &b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n"[..])
            );
            assert_survives(&Redis, "redis://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (
                "-LOADING Redis is loading the dataset in memory\r\n",
                "rejected: -LOADING Redis is loading the dataset in memory",
            ),
            ("-ERR max number of clients reached\r\n", "rejected: -ERR max number of clients reached"),
            (
                "-ERR max number of clients + cluster connections reached\r\n",
                "rejected: -ERR max number of clients + cluster connections reached",
            ),
            ("-DENIED Redis is running in protected mode\r\n", "rejected: -DENIED Redis is running in protected mode"),
            ("-CLUSTERDOWN Hash slot not served\r\n", "rejected: -CLUSTERDOWN Hash slot not served"),
            // Of twemproxy and of Envoy without a server.
            ("-ERR Connection refused\r\n", "rejected: -ERR Connection refused"),
            ("-no upstream host\r\n", "rejected: -no upstream host"),
            ("+PONGS\r\n", "unexpected: expected +PONG, received \"+PONGS\""),
            ("", "closed: the response to PING"),
        ] {
            assert_eq!(summary(talk(&Redis, "redis://a", &Script::listens().responds(response)).await.0), expected);
        }
    }
}
