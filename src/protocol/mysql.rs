//! The client/server protocol of MySQL and MariaDB
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>,
//! <https://mariadb.com/kb/en/connection/>).
//!
//! Reads the greeting and logs in as `portprobe` without a password. A client that disconnects before its login counts
//! towards `max_connect_errors` and would be blocked. A refused login counts in `Aborted_connects` and is logged as a
//! warning; a user `portprobe` without password and privileges avoids that. A server without users for the address of
//! the prober sends an error instead of a greeting, which is a success because it serves other clients.

use async_trait::async_trait;

use self::packets::{Greeting, Method, Refusal, Reply, framed, greeting, login, reply, ssl_request};
use super::{Conversation, ConversationError, MAX_REPLY, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

mod packets;

/// MySQL and MariaDB.
#[derive(Debug)]
pub(super) struct Mysql;

pub(super) static SERVICE: Service = Service {
    name: "mysql",
    other_names: &[OtherName::new("mariadb")],
    port: 3306,
    tls_name: "mysql+tls",
    tls_port: 3306,
    starttls_name: Some("mysql+starttls"),
    openssl_starttls: Some("mysql"),
    client: Some("mysqladmin -h {host} -P {port} ping"),
    ..Service::DEFAULT
};

impl Protocol for Mysql {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session { before_tls: None })
    }
}

#[derive(Debug)]
struct Session {
    /// The greeting, if TLS followed it.
    before_tls: Option<Greeting>,
}

#[async_trait]
impl Conversation for Session {
    async fn upgrade(&mut self, wire: &mut Wire<'_>) -> Result<(), ConversationError> {
        match wire.receive("a greeting", MAX_REPLY, greeting).await? {
            Ok(greeting) if greeting.offers_tls() => {
                wire.send(&ssl_request()).await?;
                self.before_tls = Some(greeting);
                Ok(())
            }
            Ok(greeting) => {
                // A disconnect would count as an error.
                log_in(wire, &greeting, AFTER_GREETING).await?;
                Err(ConversationError::Refused("the greeting does not offer TLS".to_owned()))
            }
            Err(refusal) => {
                refusal.verify()?;
                Err(ConversationError::Refused(format!("received an error instead of a greeting: {refusal}")))
            }
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let (greeting, number) = match self.before_tls.take() {
            Some(greeting) => (greeting, AFTER_GREETING + 1),
            None => match wire.receive("a greeting", MAX_REPLY, greeting).await? {
                Ok(greeting) => (greeting, AFTER_GREETING),
                Err(refusal) => return refusal.verify().map(|()| ServiceReply::default()),
            },
        };
        log_in(wire, &greeting, number).await?;
        Ok(ServiceReply { version: greeting.version, role: None })
    }
}

/// Completes a login, successful or not. `number` is that of the next packet to send.
async fn log_in(wire: &mut Wire<'_>, greeting: &Greeting, number: u8) -> Result<(), ConversationError> {
    let mut packet = login(greeting, number);
    let mut method = Method::default();
    for _ in 0..MAX_ROUNDS {
        wire.send(&packet).await?;
        match wire.receive("the response to a login", MAX_REPLY, reply).await? {
            (_, Reply::Ok) => {
                wire.leave(&framed(0, COM_QUIT)).await;
                return Ok(());
            }
            (_, Reply::Refused(refusal)) => return refusal.verify(),
            (number, Reply::Other(other)) => {
                method = other;
                packet = framed(number.wrapping_add(1), method.without_password());
            }
            (number, Reply::Question) => packet = framed(number.wrapping_add(1), method.without_more()),
        }
    }
    // Too many rounds, but the server accepts clients.
    Ok(())
}

impl Refusal {
    /// Fails if the error means that no client is served.
    fn verify(&self) -> Result<(), ConversationError> {
        let concerns_login = self
            .state
            .as_deref()
            .is_some_and(|state| state.starts_with(INVALID_AUTHORIZATION));
        if concerns_login || LOGIN_ERRORS.contains(&self.code) {
            Ok(())
        } else {
            Err(ConversationError::Rejected(self.to_string()))
        }
    }
}

/// The number of the packet that follows the greeting.
const AFTER_GREETING: u8 = 1;

const COM_QUIT: &[u8] = b"\x01";

/// The errors about a login, its database, the address of the client or TLS
/// (<https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>). Any other error means that no client is served, because
/// proxies without a server use codes of their own: 1105 (mysql-proxy), 2003 and 2013 (MySQL Router), 9001 (`ProxySQL`).
const LOGIN_ERRORS: [u16; 17] = [
    // Access denied: to the database, to the user, without a password; a missing privilege.
    1044, 1045, 1698, 1227, // No database selected, unknown database.
    1046, 1049, // The address is not allowed.
    1130, // The method of the login: too old, insecure, not loaded.
    1251, 1275, 1524, // The password expired.
    1820, 1862,
    // The account is locked: in MySQL, after failed logins, after failed logins in MariaDB, in MariaDB.
    3118, 3955, 4150, 4151, // TLS or another secure transport is required.
    3159,
];

/// The class of SQLSTATE for logins. Gateways use it with other codes, such as 1105 for a user without a prefix.
const INVALID_AUTHORIZATION: &str = "28";

/// Maximum number of packets in a login: a method, another method, and two of its requests.
const MAX_ROUNDS: usize = 4;

#[cfg(test)]
mod tests;
