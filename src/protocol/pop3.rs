//! POP3 (RFC 1939), CAPA (RFC 2449), STLS (RFC 2595).
//!
//! Reads the greeting, sends CAPA and QUIT. Servers log the end of a session without a login at INFO.

use async_trait::async_trait;

use super::lines::{block, product, text};
use super::{Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// POP3.
#[derive(Debug)]
pub(super) struct Pop3;

pub(super) static SERVICE: Service = Service {
    name: "pop3",
    port: 110,
    tls_name: "pop3s",
    tls_port: 995,
    starttls_name: Some("pop3+starttls"),
    openssl_starttls: Some("pop3"),
    ..Service::DEFAULT
};

impl Protocol for Pop3 {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::default())
    }
}

#[derive(Debug, Default)]
struct Session {
    version: Option<String>,
    /// Whether the greeting was read. It comes once, before an upgrade to TLS.
    greeted: bool,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offered = self.capabilities(wire).await?;
        // A server without CAPA may still know STLS.
        if offered.is_some_and(|offered| !offered.iter().any(|line| line.eq_ignore_ascii_case("STLS"))) {
            wire.leave(QUIT).await;
            return Err(ConversationError::Refused("the answer to CAPA does not offer STLS".to_owned()));
        }
        wire.send(b"STLS\r\n").await?;
        let answer = wire
            .answer("the answer to STLS", MAX_REPLY, |buffered| text(buffered, &STATUSES))
            .await?;
        if answer.starts_with(OK) { Ok(()) } else { Err(ConversationError::Refused(format!("STLS: {answer}"))) }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        self.capabilities(wire).await?;
        wire.leave(QUIT).await;
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// Reads the greeting, unless it was read before, and the capabilities; `None` if the server does not know CAPA.
    async fn capabilities(&mut self, wire: &mut Wire<'_>) -> Result<Option<Vec<String>>, ConversationError> {
        if !self.greeted {
            let greeting = wire
                .answer("a greeting", MAX_REPLY, |buffered| text(buffered, &STATUSES))
                .await?;
            if !greeting.starts_with(OK) {
                return Err(ConversationError::Rejected(greeting));
            }
            self.version = product(&greeting, &PRODUCTS);
            self.greeted = true;
        }
        wire.send(b"CAPA\r\n").await?;
        let status = wire
            .answer("the answer to CAPA", MAX_REPLY, |buffered| text(buffered, &STATUSES))
            .await?;
        if !status.starts_with(OK) {
            return Ok(None);
        }
        let lines = wire
            .answer("the end of the answer to CAPA", MAX_REPLY, |buffered| block(buffered, &[""], &["."]))
            .await?;
        let named = lines
            .iter()
            .find_map(|line| product(line.strip_prefix("IMPLEMENTATION ")?, &PRODUCTS));
        self.version = named.or_else(|| self.version.take());
        Ok(Some(lines))
    }
}

const OK: &str = "+OK";

const STATUSES: [&str; 2] = [OK, "-ERR"];

const QUIT: &[u8] = b"QUIT\r\n";

/// Products that name themselves in IMPLEMENTATION (RFC 2449 section 6.9) or in their greeting.
const PRODUCTS: [&str; 7] = ["Dovecot", "Cyrus", "Courier", "Qpopper", "Stalwart", "hMailServer", "Popa3d"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3.
    const GREETING: &str = "+OK Dovecot (Debian) ready.\r\n";
    const CAPA: &str = "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\nSASL\r\n.\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_server_that_greets_and_answers_serves() {
        for (greeting, capa, version) in [
            (GREETING, CAPA, Some("Dovecot")),
            ("+OK <1896.697170952@a>\r\n", "+OK\r\nIMPLEMENTATION Cyrus 3.6.1 x\r\n.\r\n", Some("Cyrus 3.6.1")),
            ("+OK <1896.697170952@a>\r\n", "-ERR unknown command\r\n", None),
        ] {
            let script = Script::greets(greeting).answers(capa).answers("+OK Logging out\r\n");
            let (found, said) = talk(&Pop3, "pop3://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*said), (version, &b"CAPA\r\nQUIT\r\n"[..]));
            assert_survives(&Pop3, "pop3://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (script, expected) in [
            (Script::greets("-ERR [SYS/TEMP] busy\r\n"), "rejected: -ERR [SYS/TEMP] busy"),
            (
                Script::greets("220 mx\r\n"),
                "unexpected: expected a greeting, but \"220 mx\\r\\n\" came: it begins otherwise",
            ),
            (Script::greets(GREETING).answers(""), "closed: the answer to CAPA"),
            (Script::greets(GREETING).answers("+OK\r\nTOP\r\n"), "closed: the end of the answer to CAPA"),
        ] {
            assert_eq!(summary(talk(&Pop3, "pop3://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_requested_if_it_may_exist() {
        let (offers, old) = (Script::greets(GREETING).answers(CAPA), Script::greets(GREETING).answers("-ERR\r\n"));
        for (script, expected) in [
            (offers.clone().answers("+OK Begin TLS negotiation now.\r\n"), "ok"),
            (old.clone().answers("+OK\r\n"), "ok"),
            (offers.answers("-ERR no\r\n"), "refused: STLS: -ERR no"),
            (
                Script::greets(GREETING).answers("+OK\r\nTOP\r\n.\r\n"),
                "refused: the answer to CAPA does not offer STLS",
            ),
            (Script::greets("-ERR full\r\n"), "rejected: -ERR full"),
        ] {
            assert_eq!(summary(upgrade(&Pop3, "pop3+starttls://a", &script).await.0), expected);
        }
    }
}
