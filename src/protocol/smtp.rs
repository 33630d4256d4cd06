//! SMTP (RFC 5321), STARTTLS (RFC 3207).
//!
//! Reads the greeting, sends EHLO and QUIT. Servers log a connection without mail.

use async_trait::async_trait;

use super::lines::{Reply, product, reply};
use super::{Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

/// SMTP.
#[derive(Debug)]
pub(super) struct Smtp;

pub(super) static SERVICE: Service = Service {
    name: "smtp",
    other_names: &[OtherName::with_port("submission", 587)],
    port: 25,
    tls_name: "smtps",
    tls_port: 465,
    starttls_name: Some("smtp+starttls"),
    openssl_starttls: Some("smtp"),
    ..Service::DEFAULT
};

impl Protocol for Smtp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&EHLO))
    }
}

/// A session of SMTP or LMTP.
#[derive(Debug)]
pub(super) struct Session {
    hello: &'static Hello,
    version: Option<String>,
    /// Whether the greeting was read. It is sent once, before an upgrade to TLS.
    greeted: bool,
}

/// The hello command: EHLO, or LHLO of LMTP.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) word: &'static str,
    pub(super) response: &'static str,
}

static EHLO: Hello = Hello { word: "EHLO", response: "the response to EHLO (250)" };

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offered = self.hello(wire).await?;
        if !offered
            .lines
            .iter()
            .any(|line| line.trim_end().eq_ignore_ascii_case("STARTTLS"))
        {
            wire.leave(b"QUIT\r\n").await;
            return Err(ConversationError::Refused(format!(
                "the response to {} does not offer STARTTLS",
                self.hello.word
            )));
        }
        wire.send(b"STARTTLS\r\n").await?;
        let granted = wire.receive("the response to STARTTLS (220)", MAX_REPLY, reply).await?;
        if granted.code == 220 {
            Ok(())
        } else {
            Err(ConversationError::Refused(format!("STARTTLS: {}", granted.text())))
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        self.hello(wire).await?;
        wire.leave(b"QUIT\r\n").await;
        Ok(ServiceReply { version: self.version.take(), role: None })
    }
}

impl Session {
    /// Creates a session.
    pub(super) const fn new(hello: &'static Hello) -> Self {
        Self { hello, version: None, greeted: false }
    }

    /// Reads the greeting, unless it was read before, and sends the hello.
    async fn hello(&mut self, wire: &mut Wire<'_>) -> Result<Reply, ConversationError> {
        if !self.greeted {
            let greeting = wire.receive("a greeting (220)", MAX_REPLY, reply).await?;
            verify(&greeting, 220, "greeting")?;
            self.version = greeting.lines.first().and_then(|line| product(line, &PRODUCTS));
            self.greeted = true;
        }
        wire.send(format!("{} {NAME}\r\n", self.hello.word).as_bytes()).await?;
        let response = wire.receive(self.hello.response, MAX_REPLY, reply).await?;
        verify(&response, 250, self.hello.word)?;
        Ok(response)
    }
}

/// Verifies the code of a reply. 421 and 554 mean that no client is served (RFC 5321 sections 3.1, 3.8).
fn verify(reply: &Reply, expected: u16, to: &str) -> Result<(), ConversationError> {
    match reply.code {
        code if code == expected => Ok(()),
        421 | 554 => Err(ConversationError::Rejected(format!("{to}: {}", reply.text()))),
        _ => Err(ConversationError::Unexpected(format!("{to}: expected {expected}, received \"{}\"", reply.text()))),
    }
}

/// The name of the client. Since servers reject a name without a domain (Postfix: `reject_non_fqdn_helo_hostname`), it
/// has a reserved one (RFC 2606 section 2).
const NAME: &str = "portprobe.invalid";

/// The products that name themselves in their greeting. The rest of it can differ with each connection.
const PRODUCTS: [&str; 7] = ["Postfix", "Exim", "Sendmail", "OpenSMTPD", "Dovecot", "Haraka", "MailEnable"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    const GREETING: &str = "220 mx.example ESMTP Postfix (Debian/GNU)\r\n";
    const HELLO: &str = "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 CHUNKING\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_greeting_and_a_response_mean_success() {
        let script = Script::greets(GREETING).responds(HELLO).responds("221 2.0.0 Bye\r\n");
        let (found, sent) = talk(&Smtp, "smtp://a", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("Postfix"));
        assert_eq!(sent, b"EHLO portprobe.invalid\r\nQUIT\r\n");
        assert_survives(&Smtp, "smtp://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets("421 4.3.2 shutting down\r\n"), "rejected: greeting: 421 4.3.2 shutting down"),
            (Script::greets("554 no service for you\r\n"), "rejected: greeting: 554 no service for you"),
            (Script::greets("220-a\r\n220 b\r\n").responds("421 busy\r\n"), "rejected: EHLO: 421 busy"),
            (Script::greets("230 logged in\r\n"), "unexpected: greeting: expected 220, received \"230 logged in\""),
            (
                Script::greets("* OK IMAP4rev1\r\n"),
                "unexpected: expected a greeting (220), received \"* OK IMAP4rev1\\r\\n\": it does not start with a code of three digits",
            ),
            (Script::greets(""), "closed: a greeting (220)"),
            (Script::greets("220 a\r\n").responds(""), "closed: the response to EHLO (250)"),
            (Script::greets("22").stays_silent(), "silent: a greeting (220)"),
        ] {
            assert_eq!(summary(talk(&Smtp, "smtp://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_offered_tls_is_requested() {
        let script = Script::greets(GREETING).responds(HELLO).responds("220 go ahead\r\n");
        let (upgraded, sent) = upgrade(&Smtp, "smtp+starttls://a", &script).await;
        assert!(upgraded.is_ok() && sent.ends_with(b"STARTTLS\r\n"), "{upgraded:?} {sent:?}");
        for (script, expected) in [
            (Script::greets(GREETING).responds("250 mx\r\n"), "refused: the response to EHLO does not offer STARTTLS"),
            (Script::greets(GREETING).responds(HELLO).responds("454 not now\r\n"), "refused: STARTTLS: 454 not now"),
            (Script::greets("421 busy\r\n"), "rejected: greeting: 421 busy"),
        ] {
            assert_eq!(summary(upgrade(&Smtp, "smtp+starttls://a", &script).await.0), expected);
        }
    }
}
