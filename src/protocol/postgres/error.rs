//! The errors of PostgreSQL, of compatible servers, and of the poolers and proxies in front of them.
//!
//! Only an error about the login, the role, the database, the address of the client or TLS means that other clients are
//! served. Any other error means that none is, because poolers without a server use codes of their own.

use std::fmt;

use super::super::ConversationError;
use super::USER;

/// The relevant fields of an `ErrorResponse`
/// (<https://www.postgresql.org/docs/current/protocol-error-fields.html>).
#[derive(Debug, Default)]
pub(super) struct ErrorResponse {
    /// SQLSTATE.
    code: String,
    text: String,
    detail: String,
}

impl ErrorResponse {
    pub(super) fn read(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { continue };
            let value = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'C' => error.code = value,
                b'M' => error.text = value,
                b'D' => error.detail = value,
                _ => {}
            }
        }
        error
    }

    /// Fails if the error means that no client is served.
    pub(super) fn verify(&self) -> Result<(), ConversationError> {
        let serves = LOGIN_CLASSES.iter().any(|class| self.code.starts_with(class))
            || LOGIN_TEXTS
                .iter()
                .any(|(code, text)| self.code == *code && self.text.contains(text));
        if serves && !self.is_about_pooler() { Ok(()) } else { Err(ConversationError::Rejected(self.to_string())) }
    }

    /// Returns whether the error is about the login of a pooler to its server: it names another user than the one of
    /// the probe, or that login.
    fn is_about_pooler(&self) -> bool {
        let names_user = |user: &str| NAMES_OF_USER.iter().any(|word| self.text.contains(&format!("{word} \"{user}")));
        self.text.contains("server login") || names_user("") && !names_user(&format!("{USER}\""))
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The words before the name of a user in errors.
const NAMES_OF_USER: [&str; 2] = ["user", "role"];

/// The classes of errors about a login (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): feature not
/// supported (a version of the protocol), invalid authorization, invalid catalog name (the database), access rule
/// violation.
const LOGIN_CLASSES: [&str; 4] = ["0A", "28", "3D", "42"];

/// The errors about a login whose codes are not specific: `PgBouncer` uses 08P01 for all errors (`disconnect_client` in
/// its source), `CockroachDB` for missing TLS (`ErrSSLRequired`); Pgpool-II (`src/auth`) and Supavisor use XX000.
const LOGIN_TEXTS: [(&str, &str); 13] = [
    ("08P01", "no such database"),
    ("08P01", "no such user"),
    ("08P01", "auth failed"),
    ("08P01", "authentication failed"),
    ("08P01", "login rejected"),
    ("08P01", "SSL required"),
    ("08P01", "SSL is required"),
    ("08P01", "SSL connection required"),
    ("XX000", "client authentication failed"),
    ("XX000", "md5 authentication failed"),
    ("XX000", "SCRAM authentication failed"),
    // The server of Pgpool-II requires a password, which Pgpool-II does not have.
    ("XX000", "failed to authenticate with backend"),
    ("XX000", "user not found"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the error if it means that no client is served.
    fn rejected(code: &str, text: &str, detail: &str) -> Option<String> {
        let body = format!("SFATAL\0C{code}\0M{text}\0D{detail}\0\0");
        match ErrorResponse::read(body.as_bytes()).verify() {
            Ok(()) => None,
            Err(ConversationError::Rejected(text)) => Some(text),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_about_a_login_means_success() {
        for (code, text) in [
            ("28000", "no pg_hba.conf entry for host \"192.0.2.1\", user \"portprobe\", no encryption"),
            ("28000", "role \"portprobe\" does not exist"),
            ("28P01", "password authentication failed for user \"portprobe\""),
            ("3D000", "database \"postgres\" does not exist"),
            ("42501", "permission denied for database \"postgres\""),
            ("42704", "unrecognized configuration parameter"),
            ("0A000", "unsupported frontend protocol 3.0"),
            // PgBouncer 1.18.
            ("08P01", "no such database: postgres"),
            ("08P01", "no such user"),
            ("08P01", "\"trust\" authentication failed"),
            ("08P01", "certificate authentication failed"),
            ("08P01", "login rejected"),
            ("08P01", "SSL required"),
            // Odyssey, CockroachDB.
            ("08P01", "SSL is required"),
            ("08P01", "node is running secure mode, SSL connection required"),
            // Pgpool-II 4.3.
            ("XX000", "client authentication failed"),
            ("XX000", "md5 authentication failed"),
            ("XX000", "SCRAM authentication failed"),
            ("XX000", "failed to authenticate with backend using SCRAM"),
            // Supavisor.
            ("XX000", "Tenant or user not found"),
        ] {
            assert_eq!(rejected(code, text, ""), None, "{code} {text}");
        }
    }

    #[test]
    fn any_other_error_is_rejected() {
        for (code, text) in [
            ("53300", "sorry, too many clients already"),
            ("57P03", "the database system is starting up"),
            ("58000", "could not open file"),
            ("55000", "database \"postgres\" is not currently accepting connections"),
            ("08006", "connection to the server was lost"),
            ("12345", "of a proxy"),
            // PgBouncer 1.18.
            ("08P01", "query_wait_timeout"),
            ("08P01", "client_login_timeout"),
            ("08P01", "client_login_timeout (server down)"),
            ("08P01", "no more connections allowed (max_client_conn)"),
            ("08P01", "server login has been failing, try again later (server_login_retry)"),
            ("08P01", "pgbouncer cannot connect to server"),
            ("08P01", "database \"postgres\" is disabled"),
            // Pgpool-II 4.3.
            ("XX000", "all backend nodes are down"),
            ("XX000", "failed to create a backend connection"),
            ("XX000", "backend authentication failed"),
            ("XX000", "max client connections reached"),
            // The pooler cannot log in to its server.
            ("08P01", "password authentication failed for user \"app\""),
            ("28P01", "password authentication failed for user \"app\""),
            (
                "28000",
                "no pg_hba.conf entry for host \"192.0.2.1\", user \"app\", database \"postgres\", no encryption",
            ),
            ("28000", "role \"app\" does not exist"),
            (
                "08P01",
                "server login has been failing, cached error: password authentication failed (server_login_retry)",
            ),
        ] {
            assert_eq!(rejected(code, text, ""), Some(format!("{code} {text}")));
        }
        assert_eq!(
            rejected("08S01", "pgpool is not accepting any new connections", "all backend nodes are down").as_deref(),
            Some("08S01 pgpool is not accepting any new connections: all backend nodes are down")
        );
    }
}
