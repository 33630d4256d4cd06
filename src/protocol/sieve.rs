//! `ManageSieve` (RFC 5804).
//!
//! Keywords are case-insensitive. Reads the capabilities, sends LOGOUT. Servers log the end of a session without a login at INFO.

use async_trait::async_trait;

use super::lines::{begins_with, block, product};
use super::{Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::target::Service;

/// `ManageSieve`.
#[derive(Debug)]
pub(super) struct Sieve;

pub(super) static SERVICE: Service = Service {
    name: "sieve",
    port: 4190,
    tls_name: "sieve+tls",
    tls_port: 4190,
    starttls_name: Some("sieve+starttls"),
    openssl_starttls: Some("sieve"),
    ..Service::DEFAULT
};

impl Protocol for Sieve {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session)
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        let offered = capabilities(wire).await?;
        if value(&offered, "STARTTLS").is_none() {
            wire.leave(LOGOUT).await;
            return Err(ConversationError::Refused("the capabilities do not offer STARTTLS".to_owned()));
        }
        wire.send(b"STARTTLS\r\n").await?;
        let response = wire
            .receive("the response to STARTTLS", MAX_REPLY, |buffered| block(buffered, &[], &STATUSES))
            .await?;
        let response = response.join("");
        if begins_with(&response, "OK") {
            return Ok(());
        }
        Err(if begins_with(&response, "NO") {
            ConversationError::Refused(format!("STARTTLS: {response}"))
        } else {
            ConversationError::Rejected(response)
        })
    }

    /// After the upgrade the server sends its capabilities again (RFC 5804 section 2.2).
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let offered = capabilities(wire).await?;
        wire.leave(LOGOUT).await;
        let version = value(&offered, "IMPLEMENTATION").and_then(|named| product(&named.replace('"', " "), &PRODUCTS));
        Ok(ServiceReply { version, role: None })
    }
}

/// Reads the capabilities, one per line.
async fn capabilities(wire: &mut Wire<'_>) -> Result<Vec<String>, ConversationError> {
    let lines = wire
        .receive("the capabilities", MAX_REPLY, |buffered| block(buffered, &["\""], &STATUSES))
        .await?;
    match lines.last() {
        Some(last) if !begins_with(last, "OK") => Err(ConversationError::Rejected(last.clone())),
        _ => Ok(lines),
    }
}

/// Returns the quoted value of a capability: `"IMPLEMENTATION" "Dovecot Pigeonhole"`.
fn value<'a>(capabilities: &'a [String], name: &str) -> Option<&'a str> {
    capabilities.iter().find_map(|line| {
        let (named, value) = line.strip_prefix('"')?.split_once('"')?;
        named.eq_ignore_ascii_case(name).then_some(value)
    })
}

const STATUSES: [&str; 3] = ["OK", "NO", "BYE"];

const LOGOUT: &[u8] = b"LOGOUT\r\n";

/// The products that name themselves in IMPLEMENTATION (RFC 5804 section 1.7).
const PRODUCTS: [&str; 4] = ["Dovecot", "timsieved", "Stalwart", "Pysieved"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3, shortened.
    const CAPABILITIES: &str = "\"IMPLEMENTATION\" \"Dovecot (Debian) Pigeonhole\"\r\n\"SIEVE\" \"fileinto reject\"\r\n\
        \"SASL\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK \"Dovecot (Debian) ready.\"\r\n";

    #[tokio::test(start_paused = true)]
    async fn capabilities_mean_success() {
        for (capabilities, version) in [
            (CAPABILITIES, Some("Dovecot")),
            ("\"IMPLEMENTATION\" \"Cyrus timsieved 3.6.1\"\r\nOK\r\n", Some("timsieved 3.6.1")),
            ("OK\r\n", None),
            ("\"implementation\" \"Dovecot\"\r\nok \"ready\"\r\n", Some("Dovecot")),
        ] {
            let script = Script::greets(capabilities).responds("OK \"Logout completed.\"\r\n");
            let (found, sent) = talk(&Sieve, "sieve://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*sent), (version, &b"LOGOUT\r\n"[..]));
            assert_survives(&Sieve, "sieve://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (capabilities, expected) in [
            ("BYE \"Too many connections\"\r\n", "rejected: BYE \"Too many connections\""),
            ("NO \"what\"\r\n", "rejected: NO \"what\""),
            ("bye \"later\"\r\n", "rejected: bye \"later\""),
            (
                "* OK IMAP\r\n",
                "unexpected: expected the capabilities, received \"* OK IMAP\\r\\n\": it does not start as expected",
            ),
            ("", "closed: the capabilities"),
            ("\"SIEVE\" \"a\"\r\n", "closed: the capabilities"),
        ] {
            assert_eq!(summary(talk(&Sieve, "sieve://a", &Script::greets(capabilities)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_offered_tls_is_requested() {
        let offers = Script::greets(CAPABILITIES);
        for (script, expected) in [
            (offers.clone().responds("OK \"Begin TLS negotiation now.\"\r\n"), "ok"),
            (offers.clone().responds("ok\r\n"), "ok"),
            (offers.clone().responds("NO \"later\"\r\n"), "refused: STARTTLS: NO \"later\""),
            (offers.responds("BYE \"down\"\r\n"), "rejected: BYE \"down\""),
            (Script::greets("\"SIEVE\" \"a\"\r\nOK\r\n"), "refused: the capabilities do not offer STARTTLS"),
        ] {
            assert_eq!(summary(upgrade(&Sieve, "sieve+starttls://a", &script).await.0), expected);
        }
    }
}
