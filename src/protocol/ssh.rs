//! SSH identification exchange (RFC 4253 section 4.2).
//!
//! Reads the identification of the server, which other lines may precede, sends an identification and closes. sshd logs
//! that at INFO. Since OpenSSH 9.8 it blocks an address that does this about once a second (`PerSourcePenalties`).

use std::time::Duration;

use async_trait::async_trait;

use super::lines::{agree, is_version};
use super::{Caution, Conversation, ConversationError, MAX_REPLY, Parsed, Protocol, Request, ServiceReply, Wire};
use crate::target::{OtherName, Service};

/// SSH.
#[derive(Debug)]
pub(super) struct Ssh;

pub(super) static SERVICE: Service = Service {
    name: "ssh",
    other_names: &[OtherName::new("sftp")],
    port: 22,
    tls_name: "ssh+tls",
    tls_port: 22,
    client: Some("ssh -v -p {port} {host}"),
    ..Service::DEFAULT
};

impl Protocol for Ssh {
    fn service(&self) -> &'static Service {
        &SERVICE
    }

    fn begin(&self, _: Request<'_>) -> Box<dyn Conversation> {
        Box::new(Session)
    }

    /// sshd adds a penalty of one second to an address for each connection without a login, and refuses it from 15 s on
    /// (`noauth` and `min` in `sshd_config(5)`). Other clients at the same address add to that.
    fn caution(&self) -> Option<Caution> {
        Some(Caution {
            interval: Duration::from_secs(5),
            why: "sshd since OpenSSH 9.8 penalises addresses that connect without a login (PerSourcePenalties) and may refuse this machine, so that the target appears down",
            instead: "add this machine to PerSourcePenaltyExemptList in the sshd_config of the server",
        })
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let identification = match wire.receive(AWAITED, MAX_REPLY, parse).await {
            Ok(software) => software,
            Err(ended) => without_identification(ended, wire.unread())?,
        };
        wire.leave(b"SSH-2.0-portprobe\r\n").await;
        Ok(ServiceReply { version: software(&identification), role: None })
    }
}

/// Converts the error of a missing identification. Other lines that were received become part of the message.
fn without_identification(ended: ConversationError, buffered: &[u8]) -> Result<String, ConversationError> {
    match ended {
        ConversationError::Closed(_) | ConversationError::Silent(_) if buffered.starts_with(FULL) => {
            Err(ConversationError::Rejected(FULL_TEXT.to_owned()))
        }
        ConversationError::Closed(_) | ConversationError::Silent(_) if buffered.starts_with(PENALISED) => {
            Ok(String::new())
        }
        ConversationError::Closed(_) | ConversationError::Silent(_) if !agree(buffered, b"SSH-") => {
            Err(ConversationError::unexpected(AWAITED, "none of its lines is an identification", buffered))
        }
        other => Err(other),
    }
}

/// Parses the text after `SSH-2.0-` in the first such line.
fn parse(buffered: &[u8]) -> Parsed<String> {
    let mut used = 0;
    loop {
        let rest = buffered.get(used..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if line.starts_with(b"SSH-") && line.len() > MAX_LINE {
            return Parsed::Invalid(format!("its line is longer than {MAX_LINE} bytes"));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Lines before the identification may contain any other control character, such as a terminal's.
        if line.contains(&0) {
            return Parsed::Invalid("it is not text".to_owned());
        }
        let Some(end) = end else { return Parsed::Incomplete };
        used += end + 1;
        if line.starts_with(b"SSH-") {
            let software = VERSIONS.iter().find_map(|version| line.strip_prefix(*version));
            return match software {
                Some(software) => Parsed::Complete(String::from_utf8_lossy(software).into_owned(), used),
                None => Parsed::Invalid("its version is neither 2.0 nor 1.99".to_owned()),
            };
        }
    }
}

/// Returns the software, such as `OpenSSH_9.2p1`, without a comment; `None` if it is not a name and a version.
fn software(identification: &str) -> Option<String> {
    let token = identification.split(' ').next()?;
    let (name, version) = token.split_at_checked(token.find(|c: char| c.is_ascii_digit())?)?;
    let words = name.strip_suffix(['_', '-', '/'])?;
    let is_name = words.len() <= MAX_NAME && words.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'));
    (is_name && !words.is_empty() && is_version(version)).then(|| token.to_owned())
}

const AWAITED: &str = "an identification (SSH-2.0-)";

/// The response of sshd with as many connections without a login as `MaxStartups` allows.
const FULL_TEXT: &str = "Exceeded MaxStartups";

const FULL: &[u8] = FULL_TEXT.as_bytes();

/// The response of sshd to an address that it blocks (`PerSourcePenalties`). It serves others.
const PENALISED: &[u8] = b"Not allowed at this time";

/// The supported versions. 1.99 is 2.0 of a server that also supports 1 (RFC 4253 section 5.1).
const VERSIONS: [&[u8]; 2] = [b"SSH-2.0-", b"SSH-1.99-"];

/// Maximum length of an identification with its line end (RFC 4253 section 4.2). Other lines can have any length.
const MAX_LINE: usize = 255;

/// Maximum length of a name.
const MAX_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_identification_means_success() {
        for sent in ["SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "Welcome,\r\nfriend\nSSH-1.99-OpenSSH_9.2p1\n"] {
            let script = Script::greets(sent);
            let (found, received) = talk(&Ssh, "ssh://a", &script).await;
            assert_eq!(found.unwrap().version.as_deref(), Some("OpenSSH_9.2p1"));
            assert_eq!(received, b"SSH-2.0-portprobe\r\n");
            assert_survives(&Ssh, "ssh://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_identification_has_a_maximum_length() {
        let notice = "authorised users only ".repeat(50);
        let (found, _) = talk(&Ssh, "ssh://a", &Script::greets(format!("{notice}\r\nSSH-2.0-OpenSSH_9.2p1\r\n"))).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("OpenSSH_9.2p1"));
        let text = summary(talk(&Ssh, "ssh://a", &Script::greets(format!("SSH-2.0-{notice}"))).await.0);
        assert!(text.ends_with("its line is longer than 255 bytes"), "{text}");
    }

    #[test]
    fn software_is_a_name_and_a_version() {
        for (sent, expected) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u3", Some("OpenSSH_9.2p1")),
            ("OpenSSH_for_Windows_8.1", Some("OpenSSH_for_Windows_8.1")),
            ("dropbear_2022.83", Some("dropbear_2022.83")),
            ("mod_sftp/1.3.8", Some("mod_sftp/1.3.8")),
            ("Cisco-1.25", Some("Cisco-1.25")),
            ("babeld-8405f9f3", None),
            ("Go", None),
            ("_1.2", None),
            ("12:30:11", None),
            ("", None),
        ] {
            assert_eq!(software(sent).as_deref(), expected, "{sent}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_a_class() {
        for (script, expected) in [
            (Script::greets(""), "closed: an identification (SSH-2.0-)"),
            (Script::greets("SSH-2.0-Open"), "closed: an identification (SSH-2.0-)"),
            (
                Script::greets("SSH-1.5-1.2.27\n"),
                "unexpected: expected an identification (SSH-2.0-), received \"SSH-1.5-1.2.27\\n\": its version is neither 2.0 nor 1.99",
            ),
            (
                Script::greets("220 mx ESMTP\r\n").stays_silent(),
                "unexpected: expected an identification (SSH-2.0-), received \"220 mx ESMTP\\r\\n\": none of its lines is an identification",
            ),
            (Script::greets("Exceeded MaxStartups\r\n"), "rejected: Exceeded MaxStartups"),
            (Script::greets("Not allowed at this time\r\n"), "ok"),
            (
                Script::greets("\x15\x03\x01"),
                "unexpected: expected an identification (SSH-2.0-), received \"\\u{15}\\u{3}\\u{1}\": none of its lines is an identification",
            ),
            (
                Script::greets("\x15\x03\x01\0").stays_silent(),
                "unexpected: expected an identification (SSH-2.0-), received \"\\u{15}\\u{3}\\u{1}\\0\": it is not text",
            ),
            (Script::greets("\x07\x0c\x1b[1mKeep out\x1b[0m\x08\r\nSSH-2.0-OpenSSH_9.2p1\r\n").stays_silent(), "ok"),
        ] {
            assert_eq!(summary(talk(&Ssh, "ssh://a", &script).await.0), expected);
        }
    }
}
