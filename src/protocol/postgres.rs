//! The frontend/backend protocol 3.0 of PostgreSQL and `CockroachDB`
//! (<https://www.postgresql.org/docs/current/protocol-flow.html>).
//!
//! Sends a startup packet like `pg_isready`. Any authentication request means that the server accepts clients. A close
//! at that point leaves nothing in the log. A Terminate would cause a FATAL in the log, so it is sent only to a server
//! that requires no password. Without a matching line in `pg_hba.conf` the server logs a FATAL for each probe.

use async_trait::async_trait;
use bytes::Buf as _;

use self::error::ErrorResponse;
use super::frame::{frame, length};
use super::{Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

mod error;

/// PostgreSQL.
#[derive(Debug)]
pub(super) struct Postgres;

pub(super) static SERVICE: Service = Service {
    name: "postgres",
    other_names: &[OtherName::new("postgresql"), OtherName::with_port("cockroachdb", 26257)],
    port: 5432,
    tls_name: "postgres+tls",
    tls_port: 5432,
    starttls_name: Some("postgres+starttls"),
    openssl_starttls: Some("postgres"),
    alpn: Some("postgresql"),
    client: Some("pg_isready -h {host} -p {port}"),
    ..Service::DEFAULT
};

impl Protocol for Postgres {
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
        wire.send(SSL_REQUEST).await?;
        match wire
            .receive("the response to SSLRequest (S or N)", 1, |buffered| one_of(buffered, b"SNE"))
            .await?
        {
            b'S' => Ok(()),
            b'N' => Err(ConversationError::Refused("the server responded to SSLRequest with N: ssl is off".to_owned())),
            // An error, for example at the limit of connections. Its first letter is already consumed.
            _ => {
                let body = wire.receive("the rest of the error", MAX_REPLY, body).await?;
                let error = ErrorResponse::read(&body);
                error.verify()?;
                Err(ConversationError::Refused(format!(
                    "received an error instead of a response to SSLRequest: {error}"
                )))
            }
        }
    }

    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        wire.send(STARTUP).await?;
        let (kind, body) = wire.receive("the response to the startup packet", MAX_REPLY, message).await?;
        if kind == b'E' {
            return ErrorResponse::read(&body).verify().map(|()| ServiceReply::default());
        }
        if body.get(..4) != Some(&[0, 0, 0, 0]) {
            return Ok(ServiceReply::default());
        }
        // AuthenticationOk: no password is required. The next messages show whether a connection is available.
        let welcome = wire
            .receive("the messages after a login without a password", MAX_REPLY, welcome)
            .await?;
        match welcome.error {
            Some(error) => error.verify()?,
            None => wire.leave(TERMINATE).await,
        }
        Ok(ServiceReply { version: welcome.version, role: None })
    }
}

/// Parses one of these bytes.
fn one_of(buffered: &[u8], expected: &[u8]) -> Parsed<u8> {
    match buffered.first() {
        None => Parsed::Incomplete,
        Some(byte) if expected.contains(byte) => Parsed::Complete(*byte, 1),
        Some(_) => Parsed::Invalid(format!("it is not one of {}", expected.escape_ascii())),
    }
}

/// Parses the first message of a server that is not a notice: an authentication request, a negotiation of the version,
/// or an error.
fn message(buffered: &[u8]) -> Parsed<(u8, Vec<u8>)> {
    let rest = buffered.strip_prefix(EMPTY_ERROR).filter(|rest| rest.starts_with(b"E"));
    let mut used = buffered.len() - rest.unwrap_or(buffered).len();
    loop {
        let rest = buffered.get(used..).unwrap_or_default();
        let kind = match one_of(rest, b"RENv") {
            Parsed::Complete(kind, _) => kind,
            Parsed::Incomplete => return Parsed::Incomplete,
            Parsed::Invalid(why) => return Parsed::Invalid(why),
        };
        match body(rest.get(1..).unwrap_or_default()) {
            Parsed::Complete(_, length) if kind == NOTICE => used += length + 1,
            Parsed::Complete(bytes, length) => return Parsed::Complete((kind, bytes), used + length + 1),
            Parsed::Incomplete => return Parsed::Incomplete,
            Parsed::Invalid(why) => return Parsed::Invalid(why),
        }
    }
}

/// Parses a message after its first byte: the length, which includes itself, and the body.
fn body(buffered: &[u8]) -> Parsed<Vec<u8>> {
    // A server that cannot start a process for the connection reports that with the protocol before version 3.
    if let Some(text) = buffered.strip_prefix(CANNOT_FORK) {
        let Some(end) = text.iter().position(|byte| *byte == 0) else { return Parsed::Incomplete };
        let text = buffered.get(..CANNOT_FORK.len() + end).unwrap_or_default().trim_ascii_end();
        let fields = [b"C", INSUFFICIENT_RESOURCES, b"\0M", text, b"\0\0"].concat();
        return Parsed::Complete(fields, CANNOT_FORK.len() + end + 1);
    }
    if CANNOT_FORK.starts_with(buffered) {
        return Parsed::Incomplete;
    }
    frame(buffered, LENGTH_BYTES, |mut head| Ok(length(head.try_get_u32()?)))
        .and_then(|message| Ok(message.get(LENGTH_BYTES..).unwrap_or_default().to_vec()))
}

/// The relevant fields of the messages after a login.
#[derive(Debug, Default)]
struct Welcome {
    /// `server_version`.
    version: Option<String>,
    /// The error that ends the connection anyway: the last slots are reserved, or the database does not exist.
    error: Option<ErrorResponse>,
}

/// Parses the messages after a login, until the server is ready or reports an error.
fn welcome(buffered: &[u8]) -> Parsed<Welcome> {
    let mut used = 0;
    let mut welcome = Welcome::default();
    loop {
        let rest = buffered.get(used..).unwrap_or_default();
        let Some(kind) = rest.first() else { return Parsed::Incomplete };
        let body = match body(rest.get(1..).unwrap_or_default()) {
            Parsed::Complete(body, length) => {
                used += length + 1;
                body
            }
            Parsed::Incomplete => return Parsed::Incomplete,
            Parsed::Invalid(why) => return Parsed::Invalid(why),
        };
        match kind {
            b'E' => {
                welcome.error = Some(ErrorResponse::read(&body));
                return Parsed::Complete(welcome, used);
            }
            // ReadyForQuery.
            b'Z' => return Parsed::Complete(welcome, used),
            b'S' => welcome.version = welcome.version.or_else(|| parameter(&body, "server_version")),
            _ => {}
        }
    }
}

/// Returns the value of a `ParameterStatus` up to its first blank.
fn parameter(body: &[u8], wanted: &str) -> Option<String> {
    let mut parts = body.split(|byte| *byte == 0);
    let (name, value) = (parts.next()?, parts.next()?);
    let token = str::from_utf8(value).ok()?.split(' ').next()?;
    (name == wanted.as_bytes() && !token.is_empty()).then(|| token.to_owned())
}

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// The user in the startup packet.
const USER: &str = "portprobe";

/// A startup packet: version 3.0, the user [`USER`] and the fields of `pg_isready`.
const STARTUP: &[u8] = b"\0\0\0\x45\0\x03\0\0user\0portprobe\0database\0postgres\0application_name\0portprobe\0\0";

const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// The text that follows the letter of an error (`report_fork_failure_to_client` in the source of PostgreSQL).
const CANNOT_FORK: &[u8] = b"could not fork";

/// An error of protocol 2 without a text, which Pgpool-II sends before its own error if its server responds with one.
const EMPTY_ERROR: &[u8] = b"E\0";

/// A message that can precede any other.
const NOTICE: u8 = b'N';

/// Size of the length of a message, which includes itself.
const LENGTH_BYTES: usize = 4;

/// The code for limits that prevent a new process.
const INSUFFICIENT_RESOURCES: &[u8] = b"53000";

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk, upgrade};
    use super::*;

    /// The request of PostgreSQL 15: SCRAM-SHA-256.
    const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";

    fn message(kind: &str, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind.as_bytes(), &length, body].concat()
    }

    /// Returns the messages after a login by `trust`, shortened.
    fn let_in() -> Vec<u8> {
        [
            message("R", &[0; 4]),
            message("S", b"application_name\0portprobe\0"),
            message("S", b"server_version\x0015.14 (Debian 15.14-0+deb12u1)\0"),
            message("K", b"\0\0\x01\0\x12\x34\x56\x78"),
            message("Z", b"I"),
        ]
        .concat()
    }

    fn error(code: &str, text: &str) -> Vec<u8> {
        message("E", format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
    }

    #[test]
    fn the_startup_packet_contains_its_length() {
        assert_eq!(STARTUP.first_chunk().map(|length| u32::from_be_bytes(*length)), u32::try_from(STARTUP.len()).ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_if_login_is_required() {
        let script = Script::listens().responds(SASL);
        let (found, sent) = talk(&Postgres, "postgres://a", &script).await;
        assert_eq!(found.unwrap(), ServiceReply::default());
        assert_eq!(sent, STARTUP);
        assert_survives(&Postgres, "postgres://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn notices_may_precede_any_response() {
        let notice = message("N", b"SNOTICE\0C00000\0Mwelcome\0\0");
        for (response, expected) in [
            (SASL.to_vec(), "ok"),
            (error("57P03", "starting up"), "rejected: 57P03 starting up"),
            (Vec::new(), "closed: the response to the startup packet"),
        ] {
            let script = Script::listens().responds([&*notice, &*notice, &*response].concat());
            assert_eq!(summary(talk(&Postgres, "postgres://a", &script).await.0), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_login_has_a_version() {
        let script = Script::listens().responds(let_in());
        let (found, sent) = talk(&Postgres, "postgres://a", &script).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("15.14"));
        assert!(sent.ends_with(TERMINATE));
        assert_survives(&Postgres, "postgres://a", &script).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (response, expected) in [
            (error("53300", "sorry, too many clients already"), "rejected: 53300 sorry, too many clients already"),
            (
                error("57P03", "the database system is starting up"),
                "rejected: 57P03 the database system is starting up",
            ),
            (
                error("08P01", "no more connections allowed (max_client_conn)"),
                "rejected: 08P01 no more connections allowed (max_client_conn)",
            ),
            (
                error("08P01", "server login has been failing, try again later (server_login_retry)"),
                "rejected: 08P01 server login has been failing, try again later (server_login_retry)",
            ),
            (
                b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0".to_vec(),
                "rejected: 53000 could not fork new process for connection: Resource temporarily unavailable",
            ),
            (
                b"E\0E\0\0\0\x83SERROR\0CXX000\0Mbackend authentication failed\0Dbackend response with kind 'E' when \
                    expecting 'R'\0Hthis issue can be caused\0Fpool_auth.c\0L339\0\0"
                    .to_vec(),
                "rejected: XX000 backend authentication failed: backend response with kind 'E' when expecting 'R'",
            ),
            (error("28000", "no pg_hba.conf entry"), "ok"),
            (
                b"R\xff\xff\xff\xff".to_vec(),
                "unexpected: expected the response to the startup packet, received \"R\\xff\\xff\\xff\\xff\": its length 4294967295 is invalid",
            ),
            (
                b"R\0\0\0\0".to_vec(),
                "unexpected: expected the response to the startup packet, received \"R\\0\\0\\0\\0\": its length 0 is invalid",
            ),
            (Vec::new(), "closed: the response to the startup packet"),
        ] {
            assert_eq!(
                summary(talk(&Postgres, "postgres://a", &Script::listens().responds(response)).await.0),
                expected
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_after_a_login_has_its_class() {
        let reserved = "remaining connection slots are reserved for non-replication superuser connections";
        for (code, text, expected) in [
            ("53300", reserved, format!("rejected: 53300 {reserved}")),
            ("3D000", "database \"postgres\" does not exist", "ok".to_owned()),
        ] {
            let script = Script::listens().responds([message("R", &[0; 4]), error(code, text)].concat());
            let (found, sent) = talk(&Postgres, "postgres://a", &script).await;
            assert_eq!((summary(found), &*sent), (expected, STARTUP));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_sslrequest_requests_tls() {
        for (response, expected) in [
            (b"S".to_vec(), "ok"),
            (b"N".to_vec(), "refused: the server responded to SSLRequest with N: ssl is off"),
            (error("53300", "sorry, too many clients already"), "rejected: 53300 sorry, too many clients already"),
            (
                error("0A000", "unsupported frontend protocol"),
                "refused: received an error instead of a response to SSLRequest: 0A000 unsupported frontend protocol",
            ),
        ] {
            let script = Script::listens().responds(response);
            let (upgraded, sent) = upgrade(&Postgres, "postgres+starttls://a", &script).await;
            assert_eq!((summary(upgraded), &*sent), (expected.to_owned(), SSL_REQUEST));
        }
    }
}
