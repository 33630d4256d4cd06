//! SMTP (RFC 5321), STARTTLS (RFC 3207).
//!
//! Reads the greeting, sends EHLO and QUIT. A response to EHLO shows that the server works even if it refuses the client,
//! because that concerns only its name or address. Servers log a connection without mail.

use std::net::IpAddr;

use async_trait::async_trait;

use super::lines::{Reply, mail_reply, product};
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

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&EHLO, request))
    }
}

/// A session of SMTP or LMTP.
#[derive(Debug)]
pub(super) struct Session {
    hello: &'static Hello,
    /// The name of the client: the address of its connection, which it need not be able to resolve.
    client: String,
    version: Option<String>,
    /// Whether the greeting was read. It is sent once, before an upgrade to TLS.
    greeted: bool,
}

/// The hello command: EHLO, or LHLO of LMTP.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) word: &'static str,
    pub(super) awaited: &'static str,
    /// What to do if the server does not know the command.
    pub(super) unknown: Unknown,
}

/// What to do if the server does not know the hello command.
#[derive(Debug)]
pub(super) enum Unknown {
    /// Fail: it speaks this protocol instead.
    Fail(&'static str),
    /// Try HELO, the command of servers before RFC 1869.
    TryHelo,
}

static EHLO: Hello = Hello { word: "EHLO", awaited: "the response to EHLO (250)", unknown: Unknown::TryHelo };

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offers = self.hello(wire).await?;
        // A server that refuses the hello may support STARTTLS.
        if offers.is_some_and(|offers| !offers.lines.iter().any(|line| is_starttls(line))) {
            wire.leave(b"QUIT\r\n").await;
            return Err(ConversationError::Refused(format!(
                "the response to {} does not offer STARTTLS",
                self.hello.word
            )));
        }
        wire.send(b"STARTTLS\r\n").await?;
        let granted = wire.receive("the response to STARTTLS (220)", MAX_REPLY, mail_reply).await?;
        match granted.code {
            READY => Ok(()),
            CLOSING => Err(ConversationError::Rejected(format!("STARTTLS: {}", granted.text()))),
            _ => Err(ConversationError::Refused(format!("STARTTLS: {}", granted.text()))),
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
    pub(super) fn new(hello: &'static Hello, request: Request<'_>) -> Self {
        Self { hello, client: literal(request.local_address), version: None, greeted: false }
    }

    /// Reads the greeting, unless it was read before, and sends the hello. Returns the extensions that the server
    /// offers; `None` if it refuses the name or address of the client, or does not know EHLO.
    async fn hello(&mut self, wire: &mut Wire<'_>) -> Result<Option<Reply>, ConversationError> {
        if !self.greeted {
            let greeting = wire.receive("a greeting (220)", MAX_REPLY, mail_reply).await?;
            verify_greeting(&greeting)?;
            self.version = greeting.lines.first().and_then(|line| product(line, &PRODUCTS));
            self.greeted = true;
        }
        let Hello { word, awaited, unknown } = self.hello;
        let response = self.say(word, awaited, wire).await?;
        match (response.code, unknown) {
            (DONE, _) => Ok(Some(response)),
            (500 | 502, Unknown::TryHelo) => {
                let response = self.say("HELO", "the response to HELO (250)", wire).await?;
                // SMTP requires HELO (RFC 5321 section 4.5.1).
                if matches!(response.code, 500 | 502) { Err(unexpected("HELO", &response)) } else { Ok(None) }
            }
            (500 | 502, Unknown::Fail(other)) => {
                Err(ConversationError::Unexpected(format!("{word}: received \"{}\"; this is {other}", response.text())))
            }
            _ => Ok(None),
        }
    }

    /// Sends a hello and reads the response.
    async fn say(&self, word: &str, awaited: &'static str, wire: &mut Wire<'_>) -> Result<Reply, ConversationError> {
        wire.send(format!("{word} {}\r\n", self.client).as_bytes()).await?;
        let response = wire.receive(awaited, MAX_REPLY, mail_reply).await?;
        match response.code {
            CLOSING => Err(ConversationError::Rejected(format!("{word}: {}", response.text()))),
            LOGIN_REQUIRED => Err(unexpected(word, &response)),
            DONE | 400..600 => Ok(response),
            _ => Err(unexpected(word, &response)),
        }
    }
}

fn unexpected(word: &str, response: &Reply) -> ConversationError {
    ConversationError::Unexpected(format!("{word}: expected {DONE}, received \"{}\"", response.text()))
}

/// Verifies the code of a greeting. Any error means that no client is served (RFC 5321 section 3.1, RFC 7504).
fn verify_greeting(greeting: &Reply) -> Result<(), ConversationError> {
    let text = greeting.text();
    match greeting.code {
        READY => Ok(()),
        400..600 => Err(ConversationError::Rejected(format!("greeting: {text}"))),
        _ => Err(ConversationError::Unexpected(format!("greeting: expected {READY}, received \"{text}\""))),
    }
}

fn is_starttls(line: &str) -> bool {
    line.trim_end().eq_ignore_ascii_case("STARTTLS")
}

/// Returns an address as the name of a client (RFC 5321 section 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// The codes of a greeting and of a success (RFC 5321 section 4.2.3).
const READY: u16 = 220;
const DONE: u16 = 250;

/// The response to any command while the service stops (RFC 5321 section 3.8).
const CLOSING: u16 = 421;

/// No response to a hello (RFC 3207 section 4), but that of FTP servers to unknown commands.
const LOGIN_REQUIRED: u16 = 530;

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
        assert_eq!(sent, b"EHLO [192.0.2.7]\r\nQUIT\r\n");
        assert_survives(&Smtp, "smtp://a", &script).await;
    }

    #[test]
    fn the_client_is_an_address_literal() {
        assert_eq!(literal([192, 0, 2, 7].into()), "[192.0.2.7]");
        assert_eq!(literal("2001:db8::7".parse().unwrap()), "[IPv6:2001:db8::7]");
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets("421 4.3.2 shutting down\r\n"), "rejected: greeting: 421 4.3.2 shutting down"),
            (Script::greets("450 4.3.2 try later\r\n"), "rejected: greeting: 450 4.3.2 try later"),
            (Script::greets("521 no mail\r\n"), "rejected: greeting: 521 no mail"),
            (Script::greets("554 no service for you\r\n"), "rejected: greeting: 554 no service for you"),
            (Script::greets("220-a\r\n521 b\r\n"), "rejected: greeting: 521 a / b"),
            (Script::greets("220-a\r\n220 b\r\n").responds("421 busy\r\n"), "rejected: EHLO: 421 busy"),
            (
                Script::greets("220 ftp\r\n")
                    .responds("500 EHLO?\r\n")
                    .responds("500 HELO?\r\n"),
                "unexpected: HELO: expected 250, received \"500 HELO?\"",
            ),
            (
                Script::greets("220 (vsFTPd 3.0.3)\r\n").responds("530 Please login with USER and PASS.\r\n"),
                "unexpected: EHLO: expected 250, received \"530 Please login with USER and PASS.\"",
            ),
            (Script::greets("230 logged in\r\n"), "unexpected: greeting: expected 220, received \"230 logged in\""),
            (
                Script::greets("* OK IMAP4rev1\r\n"),
                "unexpected: expected a greeting (220), received \"* OK IMAP4rev1\\r\\n\": it does not start with a code of three digits",
            ),
            (
                Script::greets("220 a\r\n").responds("221 bye\r\n"),
                "unexpected: EHLO: expected 250, received \"221 bye\"",
            ),
            (
                Script::greets("220 a\r\n").responds("what\r\n"),
                "unexpected: expected the response to EHLO (250), received \"what\\r\\n\": it does not start with a code of three digits",
            ),
            (Script::greets(""), "closed: a greeting (220)"),
            (Script::greets("220 a\r\n").responds(""), "closed: the response to EHLO (250)"),
            (Script::greets("22").stays_silent(), "silent: a greeting (220)"),
        ] {
            assert_eq!(summary(talk(&Smtp, "smtp://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_proves_that_the_server_works() {
        let refusals = [
            "450 4.7.1 <[192.0.2.7]>: Helo command rejected: Host not found\r\n",
            "504 5.5.2 <[192.0.2.7]>: Helo command rejected: need fully-qualified hostname\r\n",
            "550 5.7.1 access denied\r\n",
            "501 Syntactically invalid EHLO argument(s)\r\n",
        ];
        for refusal in refusals {
            let script = Script::greets(GREETING).responds(refusal);
            let (ended, sent) = talk(&Smtp, "smtp://a", &script).await;
            assert_eq!((summary(ended), &*sent), ("ok".to_owned(), &b"EHLO [192.0.2.7]\r\nQUIT\r\n"[..]), "{refusal}");
            let (upgraded, sent) = upgrade(&Smtp, "smtp+starttls://a", &script.responds("220 go ahead\r\n")).await;
            assert_eq!(summary(upgraded), "ok", "{refusal}");
            assert!(sent.ends_with(b"\r\nSTARTTLS\r\n"), "{refusal}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_server_is_greeted_with_helo() {
        for unknown in ["500 what\r\n", "502 5.5.1 not implemented\r\n"] {
            let script = Script::greets(GREETING).responds(unknown);
            for (response, expected) in [
                ("250 mx.example\r\n", "ok"),
                ("550 5.7.1 access denied\r\n", "ok"),
                ("421 busy\r\n", "rejected: HELO: 421 busy"),
                ("", "closed: the response to HELO (250)"),
            ] {
                let (ended, sent) = talk(&Smtp, "smtp://a", &script.clone().responds(response)).await;
                assert_eq!(summary(ended), expected);
                assert!(sent.starts_with(b"EHLO [192.0.2.7]\r\nHELO [192.0.2.7]\r\n"));
            }
            let script = script.responds("250 mx.example\r\n").responds("502 what\r\n");
            let (upgraded, _) = upgrade(&Smtp, "smtp+starttls://a", &script).await;
            assert_eq!(summary(upgraded), "refused: STARTTLS: 502 what");
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
            (Script::greets(GREETING).responds(HELLO).responds("421 busy\r\n"), "rejected: STARTTLS: 421 busy"),
            (Script::greets("421 busy\r\n"), "rejected: greeting: 421 busy"),
        ] {
            assert_eq!(summary(upgrade(&Smtp, "smtp+starttls://a", &script).await.0), expected);
        }
    }
}
