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
    /// Whether the greeting was read. It comes once, before an upgrade to TLS.
    greeted: bool,
}

/// The hello of a client: EHLO, or LHLO of LMTP.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) word: &'static str,
    pub(super) answer: &'static str,
}

static EHLO: Hello = Hello { word: "EHLO", answer: "the answer to EHLO (250)" };

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
                "the answer to {} does not offer STARTTLS",
                self.hello.word
            )));
        }
        wire.send(b"STARTTLS\r\n").await?;
        let granted = wire.answer("the answer to STARTTLS (220)", MAX_REPLY, reply).await?;
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
    /// A session that begins with the greeting.
    pub(super) const fn new(hello: &'static Hello) -> Self {
        Self { hello, version: None, greeted: false }
    }

    /// Reads the greeting, unless it was read before, and sends the hello.
    async fn hello(&mut self, wire: &mut Wire<'_>) -> Result<Reply, ConversationError> {
        if !self.greeted {
            let greeting = wire.answer("a greeting (220)", MAX_REPLY, reply).await?;
            verify(&greeting, 220, "greeting")?;
            self.version = greeting.lines.first().and_then(|line| product(line, &PRODUCTS));
            self.greeted = true;
        }
        wire.send(format!("{} {NAME}\r\n", self.hello.word).as_bytes()).await?;
        let answer = wire.answer(self.hello.answer, MAX_REPLY, reply).await?;
        verify(&answer, 250, self.hello.word)?;
        Ok(answer)
    }
}

/// 421 and 554 mean that no client is served (RFC 5321 sections 3.1, 3.8); other codes are unexpected.
fn verify(reply: &Reply, good: u16, to: &str) -> Result<(), ConversationError> {
    match reply.code {
        code if code == good => Ok(()),
        421 | 554 => Err(ConversationError::Rejected(format!("{to}: {}", reply.text()))),
        _ => Err(ConversationError::Unexpected(format!("expected {good} to the {to}, but \"{}\" came", reply.text()))),
    }
}

/// Our name. Servers refuse a name without a domain (Postfix: `reject_non_fqdn_helo_hostname`), so it is in a reserved
/// one (RFC 2606 section 2).
const NAME: &str = "portprobe.invalid";

/// Products that name themselves in their greeting. The rest of it may differ with each connection.
const PRODUCTS: [&str; 7] = ["Postfix", "Exim", "Sendmail", "OpenSMTPD", "Dovecot", "Haraka", "MailEnable"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    const GREETING: &str = "220 mx.example ESMTP Postfix (Debian/GNU)\r\n";
    const HELLO: &str = "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 CHUNKING\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_server_that_greets_and_answers_serves() {
        let script = Script::greets(GREETING).answers(HELLO).answers("221 2.0.0 Bye\r\n");
        let (found, said) = talk(&Smtp, "smtp://a", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("Postfix"));
        assert_eq!(said, b"EHLO portprobe.invalid\r\nQUIT\r\n");
        assert_survives(&Smtp, "smtp://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (script, expected) in [
            (Script::greets("421 4.3.2 shutting down\r\n"), "rejected: greeting: 421 4.3.2 shutting down"),
            (Script::greets("554 no service for you\r\n"), "rejected: greeting: 554 no service for you"),
            (Script::greets("220-a\r\n220 b\r\n").answers("421 busy\r\n"), "rejected: EHLO: 421 busy"),
            (
                Script::greets("230 logged in\r\n"),
                "unexpected: expected 220 to the greeting, but \"230 logged in\" came",
            ),
            (
                Script::greets("* OK IMAP4rev1\r\n"),
                "unexpected: expected a greeting (220), but \"* OK IMAP4rev1\\r\\n\" came: it does not begin with a code of three digits",
            ),
            (Script::greets(""), "closed: a greeting (220)"),
            (Script::greets("220 a\r\n").answers(""), "closed: the answer to EHLO (250)"),
            (Script::greets("22").stays_silent(), "silent: a greeting (220)"),
        ] {
            assert_eq!(summary(talk(&Smtp, "smtp://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_asked_for_where_it_is_offered() {
        let script = Script::greets(GREETING).answers(HELLO).answers("220 go ahead\r\n");
        let (asked, said) = upgrade(&Smtp, "smtp+starttls://a", &script).await;
        assert!(asked.is_ok() && said.ends_with(b"STARTTLS\r\n"), "{asked:?} {said:?}");
        for (script, expected) in [
            (Script::greets(GREETING).answers("250 mx\r\n"), "refused: the answer to EHLO does not offer STARTTLS"),
            (Script::greets(GREETING).answers(HELLO).answers("454 not now\r\n"), "refused: STARTTLS: 454 not now"),
            (Script::greets("421 busy\r\n"), "rejected: greeting: 421 busy"),
        ] {
            assert_eq!(summary(upgrade(&Smtp, "smtp+starttls://a", &script).await.0), expected);
        }
    }
}
