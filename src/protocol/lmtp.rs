//! LMTP (RFC 2033): SMTP with LHLO instead of EHLO; STARTTLS (RFC 3207).
//!
//! Reads the greeting, sends LHLO and QUIT. Servers log a connection without mail and its end.

use super::smtp::{Hello, Session, Unknown};
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

    fn begin(&self, request: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&LHLO, request))
    }
}

static LHLO: Hello =
    Hello { word: "LHLO", awaited: "the response to LHLO (250)", unknown: Unknown::Fail("SMTP, not LMTP") };

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3.
    const GREETING: &str = "220 mx.example Dovecot (Debian) ready.\r\n";
    const HELLO: &str = "250-mx.example\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 PIPELINING\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_greeting_and_a_response_mean_success() {
        let script = Script::greets(GREETING).responds(HELLO).responds("221 2.0.0 Bye\r\n");
        let (found, sent) = talk(&Lmtp, "lmtp://a", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("Dovecot"));
        assert_eq!(sent, b"LHLO [192.0.2.7]\r\nQUIT\r\n");
        assert_survives(&Lmtp, "lmtp://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets("421 4.3.2 shutting down\r\n"), "rejected: greeting: 421 4.3.2 shutting down"),
            (Script::greets(GREETING).responds("421 busy\r\n"), "rejected: LHLO: 421 busy"),
            (
                Script::greets(GREETING).responds("500 what\r\n"),
                "unexpected: LHLO: received \"500 what\"; this is SMTP, not LMTP",
            ),
            (Script::greets(GREETING).responds("550 access denied\r\n"), "ok"),
            (Script::greets(GREETING).responds(""), "closed: the response to LHLO (250)"),
        ] {
            assert_eq!(summary(talk(&Lmtp, "lmtp://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_offered_tls_is_requested() {
        let script = Script::greets(GREETING).responds(HELLO).responds("220 go ahead\r\n");
        let (upgraded, sent) = upgrade(&Lmtp, "lmtp+starttls://a", &script).await;
        assert!(upgraded.is_ok() && sent.ends_with(b"STARTTLS\r\n"), "{upgraded:?} {sent:?}");
        let script = Script::greets(GREETING).responds("250 mx\r\n");
        let (upgraded, _) = upgrade(&Lmtp, "lmtp+starttls://a", &script).await;
        assert_eq!(summary(upgraded), "refused: the response to LHLO does not offer STARTTLS");
    }
}
