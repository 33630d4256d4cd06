//! POP3 (RFC 1939), CAPA (RFC 2449), STLS (RFC 2595).
//!
//! Reads the greeting, sends CAPA and QUIT. Servers log the end of a session without a login at INFO.

use async_trait::async_trait;

use super::lines::{begins_with, block, product, strip_keyword, text};
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
    /// Whether the greeting was read. It is sent once, before an upgrade to TLS.
    greeted: bool,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offered = self.capabilities(wire).await?;
        // A server without CAPA may support STLS.
        if offered.is_some_and(|offered| !offered.iter().any(|line| line.eq_ignore_ascii_case("STLS"))) {
            wire.leave(QUIT).await;
            return Err(ConversationError::Refused("the response to CAPA does not offer STLS".to_owned()));
        }
        wire.send(b"STLS\r\n").await?;
        let response = wire
            .receive("the response to STLS", MAX_REPLY, |buffered| text(buffered, &STATUSES))
            .await?;
        if begins_with(&response, OK) { Ok(()) } else { Err(ConversationError::Refused(format!("STLS: {response}"))) }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        self.capabilities(wire).await?;
        wire.leave(QUIT).await;
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// Reads the greeting, unless it was read before, and the capabilities; `None` if the server does not support CAPA.
    async fn capabilities(&mut self, wire: &mut Wire<'_>) -> Result<Option<Vec<String>>, ConversationError> {
        if !self.greeted {
            let greeting = wire
                .receive("a greeting", MAX_REPLY, |buffered| text(buffered, &STATUSES))
                .await?;
            if !begins_with(&greeting, OK) {
                return Err(ConversationError::Rejected(greeting));
            }
            self.version = product(&greeting, &PRODUCTS);
            self.greeted = true;
        }
        wire.send(b"CAPA\r\n").await?;
        let status = wire
            .receive("the response to CAPA", MAX_REPLY, |buffered| text(buffered, &STATUSES))
            .await?;
        if !begins_with(&status, OK) {
            return if is_of_system(&status) { Err(ConversationError::Rejected(status)) } else { Ok(None) };
        }
        let lines = wire
            .receive("the end of the response to CAPA", MAX_REPLY, |buffered| block(buffered, &[""], &["."]))
            .await?;
        let named = lines
            .iter()
            .find_map(|line| product(strip_keyword(line, "IMPLEMENTATION ")?, &PRODUCTS));
        self.version = named.or_else(|| self.version.take());
        Ok(Some(lines))
    }
}

/// Returns whether an error is about the system of the server, not about the command (RFC 3206 section 4).
fn is_of_system(error: &str) -> bool {
    begins_with(error, "-ERR [SYS/")
}

const OK: &str = "+OK";

const STATUSES: [&str; 2] = [OK, "-ERR"];

const QUIT: &[u8] = b"QUIT\r\n";

/// The products that name themselves in IMPLEMENTATION (RFC 2449 section 6.9) or in their greeting.
const PRODUCTS: [&str; 7] = ["Dovecot", "Cyrus", "Courier", "Qpopper", "Stalwart", "hMailServer", "Popa3d"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3.
    const GREETING: &str = "+OK Dovecot (Debian) ready.\r\n";
    const CAPA: &str = "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\nSASL\r\n.\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_greeting_and_a_response_mean_success() {
        for (greeting, capa, version) in [
            (GREETING, CAPA, Some("Dovecot")),
            ("+OK <1896.697170952@a>\r\n", "+OK\r\nIMPLEMENTATION Cyrus 3.6.1 x\r\n.\r\n", Some("Cyrus 3.6.1")),
            ("+OK <1896.697170952@a>\r\n", "-ERR unknown command\r\n", None),
            ("+ok ready\r\n", "+Ok\r\nimplementation Dovecot\r\n.\r\n", Some("Dovecot")),
        ] {
            let script = Script::greets(greeting).responds(capa).responds("+OK Logging out\r\n");
            let (found, sent) = talk(&Pop3, "pop3://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (version, &b"CAPA\r\nQUIT\r\n"[..]));
            assert_survives(&Pop3, "pop3://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets("-ERR [SYS/TEMP] busy\r\n"), "rejected: -ERR [SYS/TEMP] busy"),
            (
                Script::greets("220 mx\r\n"),
                "unexpected: expected a greeting, received \"220 mx\\r\\n\": it does not start as expected",
            ),
            (
                Script::greets(GREETING).responds("-ERR [SYS/TEMP] backend down\r\n"),
                "rejected: -ERR [SYS/TEMP] backend down",
            ),
            (Script::greets(GREETING).responds(""), "closed: the response to CAPA"),
            (Script::greets(GREETING).responds("+OK\r\nTOP\r\n"), "closed: the end of the response to CAPA"),
        ] {
            assert_eq!(summary(talk(&Pop3, "pop3://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_requested_if_it_may_exist() {
        let (offers, old) = (Script::greets(GREETING).responds(CAPA), Script::greets(GREETING).responds("-ERR\r\n"));
        for (script, expected) in [
            (offers.clone().responds("+OK Begin TLS negotiation now.\r\n"), "ok"),
            (old.clone().responds("+OK\r\n"), "ok"),
            (offers.responds("-ERR no\r\n"), "refused: STLS: -ERR no"),
            (
                Script::greets(GREETING).responds("+OK\r\nTOP\r\n.\r\n"),
                "refused: the response to CAPA does not offer STLS",
            ),
            (Script::greets("-ERR full\r\n"), "rejected: -ERR full"),
        ] {
            assert_eq!(summary(upgrade(&Pop3, "pop3+starttls://a", &script).await.0), expected);
        }
    }
}
