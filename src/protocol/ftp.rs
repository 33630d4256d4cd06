//! FTP (RFC 959), AUTH TLS (RFC 4217).
//!
//! Reads the greeting, sends QUIT. Servers that log connections log this one.

use super::greeting::{GreetingRules, Session};
use super::{Conversation, Protocol, Request};
use crate::target::Service;

/// FTP.
#[derive(Debug)]
pub(super) struct Ftp;

pub(super) static SERVICE: Service = Service {
    name: "ftp",
    port: 21,
    tls_name: "ftps",
    tls_port: 990,
    starttls_name: Some("ftp+starttls"),
    openssl_starttls: Some("ftp"),
    ..Service::DEFAULT
};

impl Protocol for Ftp {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session::new(&RULES))
    }
}

/// The rules of RFC 959 section 5.4: 120 is "ready in nnn minutes", which 220 follows, 421 "not available, closing".
static RULES: GreetingRules = GreetingRules {
    serving: &[220],
    delayed: Some(120),
    closing: 421,
    upgrade: ("AUTH TLS", 234),
    products: &["vsFTPd", "ProFTPD", "Pure-FTPd", "FileZilla", "pyftpdlib", "Serv-U", "CrushFTP"],
};

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::time::{Duration, Instant};

    use super::super::Wire;
    use super::super::testing::{Script, assert_survives, endpoint, request, summary, talk, upgrade};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_greeting_means_success() {
        for (greeting, version) in [
            ("220 (vsFTPd 3.0.3)\r\n", Some("vsFTPd 3.0.3")),
            ("220 ProFTPD Server (Debian) [::ffff:127.0.0.1]\r\n", Some("ProFTPD")),
            (
                "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n220-Local time is now 03:00.\r\n220 bye\r\n",
                Some("Pure-FTPd"),
            ),
            ("220-FileZilla Server 1.7.3\r\n220 Please visit\r\n", Some("FileZilla")),
            ("220 Welcome, session 8817\r\n", None),
        ] {
            let script = Script::greets(greeting).responds("221 Goodbye.\r\n");
            let (found, sent) = talk(&Ftp, "ftp://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (version, &b"QUIT\r\n"[..]));
            assert_survives(&Ftp, "ftp://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_greeting_has_a_class() {
        for (greeting, expected) in [
            (
                "421 There are too many connected users\r\n",
                "rejected: greeting: 421 There are too many connected users",
            ),
            (
                "530 Sorry, the maximum number of clients\r\n",
                "rejected: greeting: 530 Sorry, the maximum number of clients",
            ),
            ("120 ready in 3 minutes\r\n220 ready\r\n", "ok"),
            ("120 ready in 3 minutes\r\n421 full\r\n", "rejected: greeting: 421 full"),
            (
                "120 ready in 3 minutes\r\n",
                "rejected: greeting: 120 ready in 3 minutes; then the peer closed the connection",
            ),
            ("120 a\r\n120 b\r\n", "unexpected: greeting: expected 220, received \"120 b\""),
            ("220 ready\r\n421 full\r\n", "rejected: after the greeting: 421 full"),
            ("220 ready\r\n421 fu", "ok"),
            ("220 files.example SMTP archive ready\r\n", "ok"),
            ("220 Archive of ESMTP logs\r\n", "ok"),
            (
                "220 mx.example ESMTP Postfix\r\n",
                "unexpected: received \"220 mx.example ESMTP Postfix\", which is the greeting of a mail server",
            ),
            ("500 OOPS: vsftpd\r\n", "rejected: greeting: 500 OOPS: vsftpd"),
            ("550 Permission denied.\r\n", "rejected: greeting: 550 Permission denied."),
            ("450 Busy.\r\n", "rejected: greeting: 450 Busy."),
            ("230 Logged in.\r\n", "unexpected: greeting: expected 220, received \"230 Logged in.\""),
            (
                "SSH-2.0-a\r\n",
                "unexpected: expected a greeting, received \"SSH-2.0-a\\r\\n\": it does not start with a code of three digits",
            ),
            ("", "closed: a greeting"),
        ] {
            assert_eq!(summary(talk(&Ftp, "ftp://a", &Script::greets(greeting)).await.0), expected);
        }
        let delayed = Script::greets("120 ready in 3 minutes\r\n").stays_silent();
        let expected = "rejected: greeting: 120 ready in 3 minutes; then no greeting until the timeout";
        assert_eq!(summary(talk(&Ftp, "ftp://a", &delayed).await.0), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn any_response_within_tls_means_success() {
        for (response, expected) in [
            ("221 Goodbye.", "ok"),
            ("530 Please login with USER and PASS.", "ok"),
            ("421 Timeout.", "rejected: QUIT: 421 Timeout."),
            (
                "Goodbye",
                "unexpected: expected the response to QUIT, received \"Goodbye\\r\\n\": it does not start with a code of three digits",
            ),
        ] {
            let (mut near, mut far) = duplex(1024);
            far.write_all(format!("220 a\r\n234 b\r\n{response}\r\n").as_bytes())
                .await
                .unwrap();
            let endpoint = endpoint("ftp+starttls://a");
            let mut conversation = Ftp.begin(request(&endpoint));
            let mut wire = Wire::new(&mut near, Vec::new(), Instant::now() + Duration::from_secs(1));
            conversation.upgrade(&mut wire).await.unwrap();
            assert_eq!(summary(conversation.exchange(&mut wire).await), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_requests_tls() {
        for (response, expected) in [
            ("234 Proceed with negotiation.\r\n", "ok"),
            ("530 Please login with USER and PASS.\r\n", "refused: AUTH TLS: 530 Please login with USER and PASS."),
            ("421 Timeout.\r\n", "rejected: AUTH TLS: 421 Timeout."),
        ] {
            let script = Script::greets("220 (vsFTPd 3.0.3)\r\n").responds(response);
            let (upgraded, sent) = upgrade(&Ftp, "ftp+starttls://a", &script).await;
            assert_eq!((summary(upgraded), &*sent), (expected.to_owned(), &b"AUTH TLS\r\n"[..]));
        }
    }
}
