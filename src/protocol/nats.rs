//! NATS (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
//!
//! Reads INFO, sends CONNECT and PING. A server that requires a login or TLS logs an error for a CONNECT without it, so
//! it is sent none. Leaves nothing in the log, except that a server that requires TLS logs an error if the connection
//! ends without a handshake; `nats+starttls` avoids that.

use async_trait::async_trait;
use serde::Deserialize;

use super::lines::{begins_with, block, is_version, strip_keyword, text};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{Security, Service};

/// NATS.
#[derive(Debug)]
pub(super) struct Nats;

pub(super) static SERVICE: Service = Service {
    name: "nats",
    port: 4222,
    tls_name: "nats+tls",
    tls_port: 4222,
    starttls_name: Some("nats+starttls"),
    ..Service::DEFAULT
};

impl Protocol for Nats {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { security: request.security(), info: None })
    }
}

#[derive(Debug)]
struct Session {
    security: Security,
    /// INFO, which is sent once, before an upgrade to TLS.
    info: Option<Info>,
}

/// The relevant fields of INFO.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    version: String,
    auth_required: bool,
    tls_available: bool,
    tls_required: bool,
}

#[async_trait]
impl Conversation for Session {
    /// TLS follows INFO directly.
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let info = read_info(wire).await?;
        if !info.tls_required && !info.tls_available {
            return Err(ConversationError::Refused("INFO does not offer TLS".to_owned()));
        }
        self.info = Some(info);
        Ok(())
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let info = match self.info.take() {
            Some(info) => info,
            None => read_info(wire).await?,
        };
        let wants_tls = info.tls_required && self.security == Security::Plain;
        if !wants_tls && !info.auth_required {
            ping(wire).await?;
        }
        let version = Some(info.version).filter(|version| is_version(version));
        Ok(ServiceReply { version, role: None })
    }
}

async fn read_info(wire: &mut Wire<'_>) -> Result<Info, ConversationError> {
    let (text, info) = wire.receive("INFO", MAX_REPLY, info).await?;
    match info {
        Some(info) => Ok(info),
        None => Err(ConversationError::Rejected(text)),
    }
}

/// Parses INFO or an error, with its text.
fn info(buffered: &[u8]) -> Parsed<(String, Option<Info>)> {
    let (line, length) = match text(buffered, &["INFO ", ERROR]) {
        Parsed::Complete(line, length) => (line, length),
        Parsed::Incomplete => return Parsed::Incomplete,
        Parsed::Invalid(why) => return Parsed::Invalid(why),
    };
    let info = strip_keyword(&line, "INFO ").map(serde_json::from_str).transpose();
    match info {
        Ok(info) => Parsed::Complete((line, info), length),
        Err(error) => Parsed::Invalid(format!("its JSON is invalid: {error}")),
    }
}

/// Sends CONNECT and PING and waits for PONG. The server may send PING and INFO before it.
async fn ping(wire: &mut Wire<'_>) -> Result<(), ConversationError> {
    wire.send(CONNECT).await?;
    let lines = wire
        .receive("PONG", MAX_REPLY, |buffered| block(buffered, &["INFO ", "PING", "+OK"], &["PONG", ERROR]))
        .await?;
    match lines.last() {
        Some(error) if begins_with(error, ERROR) && !concerns_login(error) => {
            Err(ConversationError::Rejected(error.clone()))
        }
        _ => Ok(()),
    }
}

fn concerns_login(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    LOGIN_ERRORS.iter().any(|text| error.contains(text))
}

const ERROR: &str = "-ERR";

/// The errors about a login or TLS (<https://docs.nats.io/reference/system/errors>). Any other error means that no
/// client is served: limits of connections, shutdown.
const LOGIN_ERRORS: [&str; 4] = ["authorization", "authentication", "revoked", "tls required"];

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"name\":\"portprobe\",\
    \"lang\":\"rust\",\"version\":\"1.0.0\",\"protocol\":0}\r\nPING\r\n";

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From nats-server 2.9, shortened.
    const INFO: &str = "INFO {\"server_id\":\"NAXF\",\"server_name\":\"NAXF\",\"version\":\"2.9.10\",\"proto\":1,\
        \"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576} \r\n";

    fn info(more: &str) -> String {
        INFO.replace("\"proto\"", &format!("{more},\"proto\""))
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_means_success() {
        let script = Script::greets(INFO).responds("PING\r\nPONG\r\n");
        let (found, sent) = talk(&Nats, "nats://a", &script).await;
        assert_eq!((found.unwrap().version.as_deref(), &*sent), (Some("2.9.10"), CONNECT));
        assert_survives(&Nats, "nats://a", &script).await;
        let script = Script::greets(INFO.replace("INFO", "info")).responds("pong\r\n");
        assert_eq!(summary(talk(&Nats, "nats://a", &script).await.0), "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_if_login_is_required() {
        for more in ["\"auth_required\":true", "\"tls_required\":true"] {
            let script = Script::greets(info(more));
            let (found, sent) = talk(&Nats, "nats://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (Some("2.9.10"), &b""[..]));
            assert_survives(&Nats, "nats://a", &script).await;
        }
        let within = Script::greets(info("\"tls_required\":true")).responds("PONG\r\n");
        assert_eq!(talk(&Nats, "nats+tls://a", &within).await.1, CONNECT);
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (
                Script::greets(INFO).responds("-ERR 'maximum connections exceeded'\r\n"),
                "rejected: -ERR 'maximum connections exceeded'",
            ),
            (Script::greets("-ERR 'Server Shutdown'\r\n"), "rejected: -ERR 'Server Shutdown'"),
            (Script::greets(INFO).responds("-ERR 'Authorization Violation'\r\n"), "ok"),
            (Script::greets(INFO).responds("-ERR 'Account Authentication Expired'\r\n"), "ok"),
            (Script::greets(INFO).responds("-ERR 'Secure Connection - TLS Required'\r\n"), "ok"),
            (Script::greets(INFO).responds("-ERR 'Parser Error'\r\n"), "rejected: -ERR 'Parser Error'"),
            (
                Script::greets(INFO).responds("MSG\r\n"),
                "unexpected: expected PONG, received \"MSG\\r\\n\": it does not start as expected",
            ),
            (Script::greets(INFO).responds(""), "closed: PONG"),
            (
                Script::greets("INFO {\r\n"),
                "unexpected: expected INFO, received \"INFO {\\r\\n\": its JSON is invalid: EOF while parsing an object at line 1 column 1",
            ),
        ] {
            assert_eq!(summary(talk(&Nats, "nats://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_follows_an_info_that_offers_it() {
        for (greeting, expected) in [
            (info("\"tls_required\":true"), "ok"),
            (info("\"tls_available\":true"), "ok"),
            (INFO.to_owned(), "refused: INFO does not offer TLS"),
            ("-ERR 'maximum connections exceeded'\r\n".to_owned(), "rejected: -ERR 'maximum connections exceeded'"),
        ] {
            let (upgraded, sent) = upgrade(&Nats, "nats+starttls://a", &Script::greets(greeting)).await;
            assert_eq!((summary(upgraded), &*sent), (expected.to_owned(), &b""[..]));
        }
    }
}
