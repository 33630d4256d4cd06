//! SSH identification exchange (RFC 4253 section 4.2).
//!
//! Reads the identification of the server, which other lines may precede, sends ours and closes. sshd logs that at
//! INFO. Since OpenSSH 9.8 it blocks an address that does this about once a second (`PerSourcePenalties`).

use std::time::Duration;

use async_trait::async_trait;

use super::lines::is_version;
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

    /// sshd counts a second against an address for each connection without a login, and refuses it from 15 on (`noauth`
    /// and `min` of `sshd_config(5)`). Others at the same address add to that.
    fn caution(&self) -> Option<Caution> {
        Some(Caution {
            interval: Duration::from_secs(5),
            why: "sshd from OpenSSH 9.8 on counts connections without a login against this machine (PerSourcePenalties) and may refuse it, so that the target looks down",
            instead: "name this machine in PerSourcePenaltyExemptList of the server's sshd_config",
        })
    }
}

#[derive(Debug)]
struct Session;

#[async_trait]
impl Conversation for Session {
    async fn exchange(&mut self, wire: &mut Wire<'_>) -> Result<ServiceReply, ConversationError> {
        let said = match wire.answer(AWAITED, MAX_REPLY, identification).await {
            Ok(said) => said,
            Err(ended) => without_identification(ended, wire.unread())?,
        };
        wire.leave(b"SSH-2.0-portprobe\r\n").await;
        Ok(ServiceReply { version: software(&said), role: None })
    }
}

/// If other lines came and then nothing more, the message shows those lines.
fn without_identification(ended: ConversationError, buffered: &[u8]) -> Result<String, ConversationError> {
    match ended {
        ConversationError::Closed(_) | ConversationError::Silent(_) if buffered.starts_with(FULL) => {
            Err(ConversationError::Rejected(FULL_TEXT.to_owned()))
        }
        ConversationError::Closed(_) | ConversationError::Silent(_) if buffered.starts_with(HELD_OFF) => {
            Ok(String::new())
        }
        ConversationError::Closed(_) | ConversationError::Silent(_)
            if buffered.contains(&b'\n') && !buffered.starts_with(b"SSH-") =>
        {
            Err(ConversationError::unexpected(AWAITED, "no line of it is one", buffered))
        }
        other => Err(other),
    }
}

/// The text after `SSH-2.0-` in the first such line.
fn identification(buffered: &[u8]) -> Parsed<String> {
    let mut used = 0;
    loop {
        let rest = buffered.get(used..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if line.starts_with(b"SSH-") && line.len() > MAX_LINE {
            return Parsed::Invalid(format!("its line is longer than {MAX_LINE} bytes"));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line
            .iter()
            .any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | 0x1b))
        {
            return Parsed::Invalid("it is not text".to_owned());
        }
        let Some(end) = end else { return Parsed::Incomplete };
        used += end + 1;
        if line.starts_with(b"SSH-") {
            let software = VERSIONS.iter().find_map(|version| line.strip_prefix(*version));
            return match software {
                Some(software) => Parsed::Complete(String::from_utf8_lossy(software).into_owned(), used),
                None => Parsed::Invalid("it speaks neither version 2.0 nor 1.99".to_owned()),
            };
        }
    }
}

/// The software, if it is a name and a version, without the comment after it: `OpenSSH_9.2p1`.
fn software(said: &str) -> Option<String> {
    let token = said.split(' ').next()?;
    let (name, version) = token.split_at_checked(token.find(|c: char| c.is_ascii_digit())?)?;
    let words = name.strip_suffix(['_', '-', '/'])?;
    let is_name = words.len() <= MAX_NAME && words.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'));
    (is_name && !words.is_empty() && is_version(version)).then(|| token.to_owned())
}

const AWAITED: &str = "an identification (SSH-2.0-)";

/// sshd has as many connections without a login as `MaxStartups` allows.
const FULL_TEXT: &str = "Exceeded MaxStartups";

const FULL: &[u8] = FULL_TEXT.as_bytes();

/// sshd blocks this address (`PerSourcePenalties`), but serves others.
const HELD_OFF: &[u8] = b"Not allowed at this time";

/// 1.99 is 2.0 of a server that speaks 1 as well (RFC 4253 section 5.1).
const VERSIONS: [&[u8]; 2] = [b"SSH-2.0-", b"SSH-1.99-"];

/// Length of an identification with its line end (RFC 4253 section 4.2). Other lines may have any length.
const MAX_LINE: usize = 255;

/// A longer word is not a name.
const MAX_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, assert_survives, summary, talk};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_identifies_itself_serves() {
        for said in ["SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "Welcome,\r\nfriend\nSSH-1.99-OpenSSH_9.2p1\n"] {
            let script = Script::greets(said);
            let (found, received) = talk(&Ssh, "ssh://a", &script).await;
            assert_eq!(found.unwrap().version.as_deref(), Some("OpenSSH_9.2p1"));
            assert_eq!(received, b"SSH-2.0-portprobe\r\n");
            assert_survives(&Ssh, "ssh://a", &script).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_identification_is_held_to_its_length() {
        let notice = "authorised users only ".repeat(50);
        let (found, _) = talk(&Ssh, "ssh://a", &Script::greets(format!("{notice}\r\nSSH-2.0-OpenSSH_9.2p1\r\n"))).await;
        assert_eq!(found.unwrap().version.as_deref(), Some("OpenSSH_9.2p1"));
        let told = summary(talk(&Ssh, "ssh://a", &Script::greets(format!("SSH-2.0-{notice}"))).await.0);
        assert!(told.ends_with("its line is longer than 255 bytes"), "{told}");
    }

    #[test]
    fn software_is_a_name_and_a_version() {
        for (said, expected) in [
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
            assert_eq!(software(said).as_deref(), expected, "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_class() {
        for (script, expected) in [
            (Script::greets(""), "closed: an identification (SSH-2.0-)"),
            (Script::greets("SSH-2.0-Open"), "closed: an identification (SSH-2.0-)"),
            (
                Script::greets("SSH-1.5-1.2.27\n"),
                "unexpected: expected an identification (SSH-2.0-), but \"SSH-1.5-1.2.27\\n\" came: it speaks neither version 2.0 nor 1.99",
            ),
            (
                Script::greets("220 mx ESMTP\r\n").stays_silent(),
                "unexpected: expected an identification (SSH-2.0-), but \"220 mx ESMTP\\r\\n\" came: no line of it is one",
            ),
            (Script::greets("Exceeded MaxStartups\r\n"), "rejected: Exceeded MaxStartups"),
            (Script::greets("Not allowed at this time\r\n"), "ok"),
            (
                Script::greets("\x15\x03\x01"),
                "unexpected: expected an identification (SSH-2.0-), but \"\\u{15}\\u{3}\\u{1}\" came: it is not text",
            ),
        ] {
            assert_eq!(summary(talk(&Ssh, "ssh://a", &script).await.0), expected);
        }
    }
}
