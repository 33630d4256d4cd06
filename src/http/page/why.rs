//! The reason of a failure in words, with what it usually means and what to do.

use std::net::IpAddr;

use crate::outcome::{Class, Failure};
use crate::peer_text::escaped;
use crate::target::{Target, TargetName};
use crate::timeline::{Advice, on_failure};

/// A failure for somebody who has never seen its class.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Why {
    /// The class in words.
    pub(super) title: &'static str,
    pub(super) class: &'static str,
    pub(super) phase: &'static str,
    pub(super) detail: String,
    /// The usual meaning.
    pub(super) meaning: String,
    /// The next step.
    pub(super) remedy: String,
}

impl Why {
    pub(super) fn of(failure: &Failure, target: &Target, address: Option<IpAddr>) -> Self {
        let Advice { meaning, remedy } = on_failure(failure, target, address);
        Self {
            title: title(failure.class),
            class: failure.class.as_str(),
            phase: failure.phase.as_str(),
            detail: capitalised(&escaped(&failure.detail)),
            meaning: capitalised(&meaning),
            remedy: capitalised(&remedy),
        }
    }
}

/// Returns the command that probes a target again and explains the result.
pub(super) fn probe_command(name: &TargetName) -> String {
    let name = escaped(name.as_str());
    let separator = if name.starts_with('-') { "-- " } else { "" };
    let quoted = shlex::try_quote(&name).map_or_else(|_| name.escape_debug().to_string(), Into::into);
    format!("portprobe probe {separator}{quoted}")
}

/// Returns a class in words.
pub(super) const fn title(class: Class) -> &'static str {
    match class {
        Class::AddressMismatch => "Unexpected address",
        Class::CertExpired => "Certificate expired",
        Class::CertInvalid => "Certificate invalid",
        Class::CertNameMismatch => "Certificate for another name",
        Class::CertNotYetValid => "Certificate not valid yet",
        Class::CertPinMismatch => "Certificate not pinned",
        Class::CertRevoked => "Certificate revoked",
        Class::CertUntrusted => "Certificate not trusted",
        Class::Disconnected => "Connection closed early",
        Class::DnsError => "DNS servers fail",
        Class::DnsNotFound => "Name not found",
        Class::DnsTimeout => "DNS servers silent",
        Class::Refused => "Connection refused",
        Class::Rejected => "Service rejects clients",
        Class::Reset => "Connection reset",
        Class::Stalled => "No complete response",
        Class::StarttlsRefused => "TLS refused by the service",
        Class::Timeout => "No response to the connection",
        Class::TlsAlert => "TLS ended by the peer",
        Class::TlsProtocol => "No TLS in common",
        Class::UnexpectedOpen => "Open, but should not be",
        Class::UnexpectedResponse => "Unexpected response",
        Class::Unreachable => "Host unreachable",
    }
}

/// Begins a text with a capital letter, unless its first word is a command or a name of code.
fn capitalised(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let is_code = COMMANDS.contains(&first_word) || first_word.contains(|c: char| !c.is_ascii_lowercase());
    let mut characters = text.chars();
    match characters.next() {
        Some(first) if !is_code => first.to_uppercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

/// Programs that advice begins with.
const COMMANDS: [&str; 10] = ["curl", "dig", "ip", "nc", "openssl", "ping", "portprobe", "psql", "redis-cli", "mysql"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_for_the_shell() {
        for (name, command) in [
            ("db-1", "portprobe probe db-1"),
            ("-x", "portprobe probe -- -x"),
            ("a'; rm -rf /", "portprobe probe \"a'; rm -rf /\""),
            ("$(id) b", "portprobe probe '$(id) b'"),
        ] {
            assert_eq!(probe_command(&TargetName::try_new(name).unwrap()), command);
        }
    }

    #[test]
    fn a_sentence_begins_with_a_capital_letter() {
        for (text, expected) in [
            ("the host responds", "The host responds"),
            ("dig example.org", "dig example.org"),
            ("expect_addresses is wrong", "expect_addresses is wrong"),
            ("", ""),
        ] {
            assert_eq!(capitalised(text), expected);
        }
    }
}
