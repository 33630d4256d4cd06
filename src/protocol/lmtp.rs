//! LMTP (RFC 2033): SMTP with LHLO instead of EHLO; STARTTLS (RFC 3207).
//!
//! Reads the greeting, sends LHLO and QUIT. Servers log a connection without mail and its end.

use super::smtp::{Hello, Session};
use super::{Conversation, Protocol, Request};
use crate::target::Service;

/// LMTP.
#[derive(Debug)]
pub(super) struct Lmtp;

pub(super) static SERVICE: Service = Service {
    name: "lmtp",
    port: 24,
    tls_name: "lmtp+tls",
    tls_port: 24,
    starttls_name: Some("lmtp+starttls"),
    openssl_starttls: Some("lmtp"),
    ..Service::DEFAULT
};

impl Protocol for Lmtp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&LHLO))
    }
}

static LHLO: Hello = Hello { word: "LHLO", answer: "the answer to LHLO (250)" };

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3.
    const GREETING: &str = "220 mx.example Dovecot (Debian) ready.\r\n";
    const HELLO: &str = "250-mx.example\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 PIPELINING\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_server_that_greets_and_answers_serves() {
        let script = Script::greets(GREETING).answers(HELLO).answers("221 2.0.0 Bye\r\n");
        let (found, said) = talk(&Lmtp, "lmtp://a", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("Dovecot"));
        assert_eq!(said, b"LHLO portprobe.invalid\r\nQUIT\r\n");
        assert_survives(&Lmtp, "lmtp://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (script, expected) in [
            (Script::greets("421 4.3.2 shutting down\r\n"), "rejected: greeting: 421 4.3.2 shutting down"),
            (Script::greets(GREETING).answers("421 busy\r\n"), "rejected: LHLO: 421 busy"),
            (
                Script::greets(GREETING).answers("500 what\r\n"),
                "unexpected: expected 250 to the LHLO, but \"500 what\" came",
            ),
            (Script::greets(GREETING).answers(""), "closed: the answer to LHLO (250)"),
        ] {
            assert_eq!(summary(talk(&Lmtp, "lmtp://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_asked_for_where_it_is_offered() {
        let script = Script::greets(GREETING).answers(HELLO).answers("220 go ahead\r\n");
        let (asked, said) = upgrade(&Lmtp, "lmtp+starttls://a", &script).await;
        assert!(asked.is_ok() && said.ends_with(b"STARTTLS\r\n"), "{asked:?} {said:?}");
        let script = Script::greets(GREETING).answers("250 mx\r\n");
        let (asked, _) = upgrade(&Lmtp, "lmtp+starttls://a", &script).await;
        assert_eq!(summary(asked), "refused: the answer to LHLO does not offer STARTTLS");
    }
}
