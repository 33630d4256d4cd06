//! Why a probe failed, from a closed list; and why this machine could not probe.

use std::fmt;

use super::Phase;

/// A failed probe: where, why, and the details for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The step that failed.
    pub phase: Phase,
    /// Why, from the closed list.
    pub class: Class,
    /// What was seen, for the log, the page and `portprobe probe`; never a label.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.class.as_str(), self.phase.as_str(), self.detail)
    }
}

/// The reasons for which probes fail.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// A resolved address lies outside `expect_addresses`.
    AddressMismatch,
    /// The name servers failed, refused, or there is none.
    DnsError,
    /// The name does not exist, or has no address that may be used.
    DnsNotFound,
    /// No name server answered in time.
    DnsTimeout,
    /// A RST or an ICMP port unreachable answered the SYN.
    Refused,
    /// Nothing answered the SYN.
    Timeout,
    /// A port that should be closed is open.
    UnexpectedOpen,
    /// ICMP said so, the neighbour is missing, or there is no route.
    Unreachable,
}

impl Class {
    /// Every class, in the order of its label.
    pub const ALL: [Self; 8] = [
        Self::AddressMismatch,
        Self::DnsError,
        Self::DnsNotFound,
        Self::DnsTimeout,
        Self::Refused,
        Self::Timeout,
        Self::UnexpectedOpen,
        Self::Unreachable,
    ];

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressMismatch => "address_mismatch",
            Self::DnsError => "dns_error",
            Self::DnsNotFound => "dns_not_found",
            Self::DnsTimeout => "dns_timeout",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::UnexpectedOpen => "unexpected_open",
            Self::Unreachable => "unreachable",
        }
    }
}

/// This machine could not probe; says nothing about the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalFault {
    /// Why, from the closed list.
    pub reason: LocalFaultReason,
    /// What failed, for people.
    pub detail: String,
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// The reasons for which this machine cannot probe.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum LocalFaultReason {
    /// An argument that this kernel does not take, such as a zone without an interface.
    Invalid,
    /// No file descriptor is left, for this process or the machine.
    NoDescriptor,
    /// No memory or buffer is left.
    NoMemory,
    /// No local port is left, or the local address is not this machine's.
    NoPort,
    /// A firewall or policy of this machine forbids it.
    NotPermitted,
}

impl LocalFaultReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Invalid, Self::NoDescriptor, Self::NoMemory, Self::NoPort, Self::NotPermitted];

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NoDescriptor => "no_descriptor",
            Self::NoMemory => "no_memory",
            Self::NoPort => "no_port",
            Self::NotPermitted => "not_permitted",
        }
    }
}
