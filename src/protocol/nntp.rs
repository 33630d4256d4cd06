//! NNTP (RFC 3977), STARTTLS (RFC 4642).
//!
//! Reads the greeting, sends QUIT. Servers log each connection and its end.

use super::greeting::{GreetingRules, Session};
use super::{Conversation, Protocol, Request};
use crate::target::Service;

/// NNTP.
#[derive(Debug)]
pub(super) struct Nntp;

pub(super) static SERVICE: Service = Service {
    name: "nntp",
    port: 119,
    tls_name: "nntps",
    tls_port: 563,
    starttls_name: Some("nntp+starttls"),
    openssl_starttls: Some("nntp"),
    ..Service::DEFAULT
};

impl Protocol for Nntp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&RULES))
    }
}

/// The rules of RFC 3977 section 5.1: 200 and 201 are with and without posting.
static RULES: GreetingRules = GreetingRules {
    serving: &[200, 201],
    delayed: None,
    closing: 400,
    upgrade: ("STARTTLS", 382),
    products: &["INN", "Leafnode", "Cyrus", "Diablo"],
};

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From the reader of INN.
    const GREETING: &str = "200 news.example InterNetNews NNRP server INN 2.7.1 ready (posting ok)\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_greeting_means_success() {
        for (greeting, version) in [(GREETING, Some("INN 2.7.1")), ("201 no posting, ticket 7\r\n", None)] {
            let script = Script::greets(greeting).responds("205 Bye!\r\n");
            let (found, sent) = talk(&Nntp, "nntp://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (version, &b"QUIT\r\n"[..]));
            assert_survives(&Nntp, "nntp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_greeting_has_a_class() {
        for (greeting, expected) in [
            ("400 too many users\r\n", "rejected: greeting: 400 too many users"),
            ("502 no permission\r\n", "rejected: greeting: 502 no permission"),
            ("200 ready\r\n400 too many users\r\n", "rejected: after the greeting: 400 too many users"),
            ("503 no such program\r\n", "rejected: greeting: 503 no such program"),
            ("220 mx ESMTP\r\n", "unexpected: greeting: expected 200 or 201, received \"220 mx ESMTP\""),
        ] {
            assert_eq!(summary(talk(&Nntp, "nntp://a", &Script::greets(greeting)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_requests_tls() {
        for (response, expected) in [
            ("382 Continue with TLS negotiation\r\n", "ok"),
            ("502 STARTTLS not available\r\n", "refused: STARTTLS: 502 STARTTLS not available"),
            ("400 going down\r\n", "rejected: STARTTLS: 400 going down"),
        ] {
            let script = Script::greets(GREETING).responds(response);
            assert_eq!(summary(upgrade(&Nntp, "nntp+starttls://a", &script).await.0), expected);
        }
    }
}
