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
        if response == "+PONG" || SERVES.iter().any(|code| response.starts_with(code)) {
            wire.leave(b"*1\r\n$4\r\nQUIT\r\n").await;
            return Ok(ServiceReply::default());
        }
        if NOT_SERVING.iter().any(|code| response.starts_with(code)) {
            return Err(ConversationError::Rejected(response));
        }
        Err(ConversationError::Unexpected(format!("expected +PONG, received \"{response}\"")))
    }
}

/// The errors of a server that requires a login or has another name for PING (`rename-command`).
const SERVES: [&str; 3] = ["-NOAUTH ", "-NOPERM ", "-ERR unknown command"];

/// The errors of a server that loads its data, has lost its master, runs a script, denies this address, cannot save, or
/// is full.
const NOT_SERVING: [&str; 6] =
    ["-LOADING ", "-MASTERDOWN ", "-BUSY ", "-DENIED ", "-MISCONF ", "-ERR max number of clients "];

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
            ("-ERR syntax error\r\n", "unexpected: expected +PONG, received \"-ERR syntax error\""),
            ("+PONGS\r\n", "unexpected: expected +PONG, received \"+PONGS\""),
            ("", "closed: the response to PING"),
        ] {
            assert_eq!(summary(talk(&Redis, "redis://a", &Script::listens().responds(response)).await.0), expected);
        }
    }
}
