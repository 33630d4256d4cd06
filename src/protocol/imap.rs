//! IMAP (RFC 3501, RFC 9051), STARTTLS (RFC 3501 section 6.2.1).
//!
//! Keywords are case-insensitive. Reads the greeting, sends CAPABILITY and LOGOUT. Servers log the end of a session without a login at INFO.

use async_trait::async_trait;

use super::lines::{begins_with, block, product, strip_keyword, text};
use super::{Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// IMAP.
#[derive(Debug)]
pub(super) struct Imap;

pub(super) static SERVICE: Service = Service {
    name: "imap",
    port: 143,
    tls_name: "imaps",
    tls_port: 993,
    starttls_name: Some("imap+starttls"),
    openssl_starttls: Some("imap"),
    ..Service::DEFAULT
};

impl Protocol for Imap {
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
    /// Number of commands sent; each has a different tag.
    commands: u32,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offered = self.capabilities(wire).await?;
        if !offered.iter().any(|capability| capability.eq_ignore_ascii_case("STARTTLS")) {
            self.log_out(wire).await;
            return Err(ConversationError::Refused("the response to CAPABILITY does not offer STARTTLS".to_owned()));
        }
        let response = self.ask(wire, "STARTTLS", "the response to STARTTLS").await?;
        match response.last() {
            Some(last) if is_ok(last) => Ok(()),
            last => Err(ConversationError::Refused(format!("STARTTLS: {}", last.map_or("", |last| last)))),
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        self.capabilities(wire).await?;
        self.log_out(wire).await;
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// Reads the greeting, unless it was read before, and the capabilities.
    async fn capabilities(&mut self, wire: &mut Wire<'_>) -> Result<Vec<String>, ConversationError> {
        if !self.greeted {
            let greeting = wire
                .receive("a greeting", MAX_REPLY, |buffered| text(buffered, &GREETINGS))
                .await?;
            if !SERVING.iter().any(|status| begins_with(&greeting, status)) {
                return Err(ConversationError::Rejected(greeting));
            }
            self.version = product(&greeting, &PRODUCTS);
            self.greeted = true;
        }
        let response = self.ask(wire, "CAPABILITY", "the response to CAPABILITY").await?;
        match response.split_last() {
            Some((last, others)) if is_ok(last) => Ok(words(others)),
            // NO or BAD, such as that of a proxy without a server: `NO [UNAVAILABLE]` (RFC 5530 section 3).
            _ => Err(ConversationError::Rejected(format!("CAPABILITY: {}", response.join(" / ")))),
        }
    }

    /// Sends a command and reads the response, whose last line has the tag of the command.
    async fn ask(
        &mut self,
        wire: &mut Wire<'_>,
        command: &str,
        awaited: &'static str,
    ) -> Result<Vec<String>, ConversationError> {
        let tag = self.tag();
        wire.send(format!("{tag}{command}\r\n").as_bytes()).await?;
        let response = wire
            .receive(awaited, MAX_REPLY, |buffered| block(buffered, &["* "], &[BYE, &tag]))
            .await?;
        response.iter().try_for_each(|line| reject(line))?;
        Ok(response)
    }

    async fn log_out(&mut self, wire: &mut Wire<'_>) {
        let tag = self.tag();
        wire.leave(format!("{tag}LOGOUT\r\n").as_bytes()).await;
    }

    fn tag(&mut self) -> String {
        self.commands += 1;
        format!("p{} ", self.commands)
    }
}

/// Fails if a line is BYE, which means that the server ends the session (RFC 3501 section 7.1.5).
fn reject(line: &str) -> Result<(), ConversationError> {
    if begins_with(line, BYE) { Err(ConversationError::Rejected(line.to_owned())) } else { Ok(()) }
}

/// Returns whether the status after a tag is OK.
fn is_ok(line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|status| status.eq_ignore_ascii_case("OK"))
}

/// Returns the capabilities in `* CAPABILITY` lines.
fn words(lines: &[String]) -> Vec<String> {
    let listed = lines.iter().filter_map(|line| strip_keyword(line, "* CAPABILITY "));
    listed.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
}

/// The statuses of a greeting. NO and BAD are not allowed as such, but are well-formed.
const GREETINGS: [&str; 5] = ["* OK", "* PREAUTH", BYE, "* NO", "* BAD"];

/// The greetings of a server that accepts clients.
const SERVING: [&str; 2] = ["* OK", "* PREAUTH"];

const BYE: &str = "* BYE";

/// The products that name themselves in their greeting. The rest of it can differ with each connection.
const PRODUCTS: [&str; 7] = ["Dovecot", "Cyrus", "Courier-IMAP", "Zimbra", "Gimap", "Stalwart", "hMailServer"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3.
    const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Dovecot (Debian) ready.\r\n";
    const CAPABILITY: &str =
        "* CAPABILITY IMAP4rev1 SASL-IR STARTTLS LOGINDISABLED\r\np1 OK Pre-login capabilities listed.\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_greeting_and_a_response_mean_success() {
        for (greeting, version) in [
            (GREETING, Some("Dovecot")),
            ("* PREAUTH session 4711\r\n", None),
            ("* ok ready\r\n", None),
            ("* Preauth\r\n", None),
        ] {
            let script = Script::greets(greeting).responds(CAPABILITY).responds("* BYE\r\np2 OK\r\n");
            let (found, sent) = talk(&Imap, "imap://a", &script).await;
            assert_eq!(found.unwrap().version.as_deref(), version);
            assert_eq!(sent, b"p1 CAPABILITY\r\np2 LOGOUT\r\n");
            assert_survives(&Imap, "imap://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets("* BYE Maximum connections\r\n"), "rejected: * BYE Maximum connections"),
            (Script::greets(GREETING).responds("* BYE going down\r\n"), "rejected: * BYE going down"),
            (Script::greets("* bye later\r\n"), "rejected: * bye later"),
            (Script::greets(GREETING).responds("* Bye\r\n"), "rejected: * Bye"),
            (Script::greets(GREETING).responds("p1 no later\r\n"), "rejected: CAPABILITY: p1 no later"),
            (Script::greets("* NO [UNAVAILABLE] later\r\n"), "rejected: * NO [UNAVAILABLE] later"),
            (
                Script::greets(GREETING).responds("p1 NO [UNAVAILABLE] no server\r\n"),
                "rejected: CAPABILITY: p1 NO [UNAVAILABLE] no server",
            ),
            (Script::greets(GREETING).responds("p1 BAD what\r\n"), "rejected: CAPABILITY: p1 BAD what"),
            (
                Script::greets(GREETING).responds("p2 OK\r\n"),
                "unexpected: expected the response to CAPABILITY, received \"p2 OK\\r\\n\": it does not start as expected",
            ),
            (
                Script::greets("+OK ready\r\n"),
                "unexpected: expected a greeting, received \"+OK ready\\r\\n\": it does not start as expected",
            ),
            (Script::greets(GREETING).responds(""), "closed: the response to CAPABILITY"),
        ] {
            assert_eq!(summary(talk(&Imap, "imap://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_offered_tls_is_requested() {
        let script = Script::greets(GREETING)
            .responds(CAPABILITY)
            .responds("p2 OK Begin TLS negotiation now.\r\n");
        let (upgraded, sent) = upgrade(&Imap, "imap+starttls://a", &script).await;
        assert!(upgraded.is_ok() && sent.ends_with(b"p2 STARTTLS\r\n"), "{upgraded:?} {sent:?}");
        let script = Script::greets("* ok\r\n")
            .responds("* Capability imap4rev1 starttls\r\np1 ok\r\n")
            .responds("p2 ok\r\n");
        assert!(upgrade(&Imap, "imap+starttls://a", &script).await.0.is_ok());
        let bare = "* CAPABILITY IMAP4rev1\r\np1 OK done\r\n";
        for (script, expected) in [
            (Script::greets(GREETING).responds(bare), "refused: the response to CAPABILITY does not offer STARTTLS"),
            (Script::greets(GREETING).responds(CAPABILITY).responds("p2 BAD no\r\n"), "refused: STARTTLS: p2 BAD no"),
            (Script::greets("* BYE\r\n"), "rejected: * BYE"),
        ] {
            assert_eq!(summary(upgrade(&Imap, "imap+starttls://a", &script).await.0), expected);
        }
    }
}
