//! `ManageSieve` (RFC 5804).
//!
//! Reads the capabilities, sends LOGOUT. Servers log the end of a session without a login at INFO.

use async_trait::async_trait;

use super::lines::{block, product};
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
        let answer = wire
            .answer("the answer to STARTTLS", MAX_REPLY, |buffered| block(buffered, &[], &STATUSES))
            .await?;
        let answer = answer.join("");
        match answer.get(..2) {
            Some("OK") => Ok(()),
            Some("NO") => Err(ConversationError::Refused(format!("STARTTLS: {answer}"))),
            _ => Err(ConversationError::Rejected(answer)),
        }
    }

    /// After the upgrade the server sends its capabilities again (RFC 5804 section 2.2).
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let told = capabilities(wire).await?;
        wire.leave(LOGOUT).await;
        let version = value(&told, "IMPLEMENTATION").and_then(|named| product(&named.replace('"', " "), &PRODUCTS));
        Ok(ServiceReply { version, role: None })
    }
}

/// The capabilities, one per line.
async fn capabilities(wire: &mut Wire<'_>) -> Result<Vec<String>, ConversationError> {
    let told = wire
        .answer("the capabilities", MAX_REPLY, |buffered| block(buffered, &["\""], &STATUSES))
        .await?;
    match told.last() {
        Some(last) if last.starts_with("BYE") => Err(ConversationError::Rejected(last.clone())),
        Some(last) if last.starts_with("NO") => {
            Err(ConversationError::Unexpected(format!("expected OK behind the capabilities, but \"{last}\" came")))
        }
        _ => Ok(told),
    }
}

/// The quoted value of a capability: `"IMPLEMENTATION" "Dovecot Pigeonhole"`.
fn value<'a>(told: &'a [String], name: &str) -> Option<&'a str> {
    told.iter().find_map(|line| {
        let (named, value) = line.strip_prefix('"')?.split_once('"')?;
        named.eq_ignore_ascii_case(name).then_some(value)
    })
}

const STATUSES: [&str; 3] = ["OK", "NO", "BYE"];

const LOGOUT: &[u8] = b"LOGOUT\r\n";

/// Products that name themselves in IMPLEMENTATION (RFC 5804 section 1.7).
const PRODUCTS: [&str; 4] = ["Dovecot", "timsieved", "Stalwart", "Pysieved"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// From Dovecot 2.3, shortened.
    const CAPABILITIES: &str = "\"IMPLEMENTATION\" \"Dovecot (Debian) Pigeonhole\"\r\n\"SIEVE\" \"fileinto reject\"\r\n\
        \"SASL\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK \"Dovecot (Debian) ready.\"\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_server_with_capabilities_serves() {
        for (told, version) in [
            (CAPABILITIES, Some("Dovecot")),
            ("\"IMPLEMENTATION\" \"Cyrus timsieved 3.6.1\"\r\nOK\r\n", Some("timsieved 3.6.1")),
            ("OK\r\n", None),
        ] {
            let script = Script::greets(told).answers("OK \"Logout completed.\"\r\n");
            let (found, said) = talk(&Sieve, "sieve://a", &script).await;
            assert_eq!((found.unwrap().version.as_deref(), &*said), (version, &b"LOGOUT\r\n"[..]));
            assert_survives(&Sieve, "sieve://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (told, expected) in [
            ("BYE \"Too many connections\"\r\n", "rejected: BYE \"Too many connections\""),
            ("NO \"what\"\r\n", "unexpected: expected OK behind the capabilities, but \"NO \"what\"\" came"),
            (
                "* OK IMAP\r\n",
                "unexpected: expected the capabilities, but \"* OK IMAP\\r\\n\" came: it begins otherwise",
            ),
            ("", "closed: the capabilities"),
            ("\"SIEVE\" \"a\"\r\n", "closed: the capabilities"),
        ] {
            assert_eq!(summary(talk(&Sieve, "sieve://a", &Script::greets(told)).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_is_asked_for_where_it_is_offered() {
        let offers = Script::greets(CAPABILITIES);
        for (script, expected) in [
            (offers.clone().answers("OK \"Begin TLS negotiation now.\"\r\n"), "ok"),
            (offers.clone().answers("NO \"later\"\r\n"), "refused: STARTTLS: NO \"later\""),
            (offers.answers("BYE \"down\"\r\n"), "rejected: BYE \"down\""),
            (Script::greets("\"SIEVE\" \"a\"\r\nOK\r\n"), "refused: the capabilities do not offer STARTTLS"),
        ] {
            assert_eq!(summary(upgrade(&Sieve, "sieve+starttls://a", &script).await.0), expected);
        }
    }
}
