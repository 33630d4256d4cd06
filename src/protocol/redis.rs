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
        let answer = wire
            .answer("the answer to PING", MAX_LINE, |buffered| line(buffered, &[b"+PONG", b"-"]))
            .await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer == "+PONG" || SERVES.iter().any(|code| answer.starts_with(code)) {
            wire.leave(b"*1\r\n$4\r\nQUIT\r\n").await;
            return Ok(ServiceReply::default());
        }
        if SERVES_NOBODY.iter().any(|code| answer.starts_with(code)) {
            return Err(ConversationError::Rejected(answer));
        }
        Err(ConversationError::Unexpected(format!("expected +PONG, but \"{answer}\" came")))
    }
}

/// The server wants a login, or has another name for PING (`rename-command`).
const SERVES: [&str; 3] = ["-NOAUTH ", "-NOPERM ", "-ERR unknown command"];

/// The server loads its data, has lost its master, runs a script, refuses this address, cannot save, or is full.
const SERVES_NOBODY: [&str; 6] =
    ["-LOADING ", "-MASTERDOWN ", "-BUSY ", "-DENIED ", "-MISCONF ", "-ERR max number of clients "];

/// Far more than the longest error.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_a_ping_serves() {
        for pong in [
            "+PONG\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-NOPERM no permissions\r\n",
            "-ERR unknown command 'PING', with args beginning with: \r\n",
        ] {
            let script = Script::hears().answers(pong).answers("+OK\r\n");
            let (found, said) = talk(&Redis, "redis://a", &script).await;
            assert_eq!(
                (found.unwrap(), &*said),
                (ServiceReply::default(), &b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n"[..])
            );
            assert_survives(&Redis, "redis://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (answer, expected) in [
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
            ("-ERR syntax error\r\n", "unexpected: expected +PONG, but \"-ERR syntax error\" came"),
            ("+PONGS\r\n", "unexpected: expected +PONG, but \"+PONGS\" came"),
            ("", "closed: the answer to PING"),
        ] {
            assert_eq!(summary(talk(&Redis, "redis://a", &Script::hears().answers(answer)).await.0), expected);
        }
    }
}
