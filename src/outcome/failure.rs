//! Why a probe did not succeed: a failure of the target or a fault of this machine, each with a reason from a closed list.

use std::fmt;

use super::Phase;

/// Why a probe, or a step of it, did not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The target is not as expected.
    Failure(Failure),
    /// This machine could not probe; nothing is known about the target.
    LocalFault(LocalFault),
}

impl Fault {
    /// A failure of the target.
    pub fn failure(phase: Phase, class: Class, detail: impl Into<String>) -> Self {
        Self::Failure(Failure { phase, class, detail: detail.into() })
    }

    /// A fault of this machine.
    pub fn local(reason: LocalFaultReason, detail: impl Into<String>) -> Self {
        Self::LocalFault(LocalFault { reason, detail: detail.into() })
    }

    /// The peer closed the connection in an orderly way when it should have sent `expected`, such as "its greeting".
    pub fn disconnected(phase: Phase, expected: &str) -> Self {
        Self::failure(phase, Class::Disconnected, format!("the peer ended the connection instead of {expected}"))
    }

    /// The peer sent nothing until the deadline when it should have sent `expected`.
    pub fn stalled(phase: Phase, expected: &str) -> Self {
        let detail = format!("the peer is connected but silent: {expected} never came");
        Self::failure(phase, Class::Stalled, detail)
    }

    /// The details as a sentence for people, without phase, class and reason.
    pub fn into_detail(self) -> String {
        match self {
            Self::Failure(Failure { detail, .. }) | Self::LocalFault(LocalFault { detail, .. }) => detail,
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<LocalFault> for Fault {
    fn from(fault: LocalFault) -> Self {
        Self::LocalFault(fault)
    }
}

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
    /// A certificate that the chain needs is no longer valid.
    CertExpired,
    /// A certificate is wrong in some other way.
    CertInvalid,
    /// The certificate is for other names.
    CertNameMismatch,
    /// A certificate that the chain needs is not valid yet.
    CertNotYetValid,
    /// Neither the certificate nor its public key is one of `tls.pins`.
    CertPinMismatch,
    /// One of `tls.crl_files` revokes the certificate or one that the chain needs.
    CertRevoked,
    /// No chain leads from the certificate to a trusted root.
    CertUntrusted,
    /// The peer ended the connection in an orderly way where an answer was due.
    Disconnected,
    /// The name servers failed, refused, or there is none.
    DnsError,
    /// The name does not exist, or has no address that may be used.
    DnsNotFound,
    /// No name server answered in time.
    DnsTimeout,
    /// A RST or an ICMP port unreachable answered the SYN.
    Refused,
    /// The service said that it serves nobody now.
    Rejected,
    /// A RST ended the connection after the handshake.
    Reset,
    /// The peer fell silent after the handshake: a hung service.
    Stalled,
    /// TLS was asked for on an open connection, and not offered or not granted.
    StarttlsRefused,
    /// Nothing answered the SYN.
    Timeout,
    /// The peer ended TLS by a fatal alert other than 70 and 71.
    TlsAlert,
    /// The peer does not speak TLS, or no version or parameters are common.
    TlsProtocol,
    /// A port that should be closed is open.
    UnexpectedOpen,
    /// Something else came than the text that was expected.
    UnexpectedResponse,
    /// ICMP said so, the neighbour is missing, or there is no route.
    Unreachable,
}

impl Class {
    /// Every class, in the order of its label.
    pub const ALL: [Self; 23] = [
        Self::AddressMismatch,
        Self::CertExpired,
        Self::CertInvalid,
        Self::CertNameMismatch,
        Self::CertNotYetValid,
        Self::CertPinMismatch,
        Self::CertRevoked,
        Self::CertUntrusted,
        Self::Disconnected,
        Self::DnsError,
        Self::DnsNotFound,
        Self::DnsTimeout,
        Self::Refused,
        Self::Rejected,
        Self::Reset,
        Self::Stalled,
        Self::StarttlsRefused,
        Self::Timeout,
        Self::TlsAlert,
        Self::TlsProtocol,
        Self::UnexpectedOpen,
        Self::UnexpectedResponse,
        Self::Unreachable,
    ];

    /// How much a fault of a certificate weighs beside another: of several the weightiest is the probe's class. Zero for
    /// what is no fault of a certificate.
    pub const fn weight(self) -> u8 {
        match self {
            Self::CertExpired => 7,
            Self::CertNotYetValid => 6,
            Self::CertRevoked => 5,
            Self::CertUntrusted => 4,
            Self::CertNameMismatch => 3,
            Self::CertPinMismatch => 2,
            Self::CertInvalid => 1,
            _ => 0,
        }
    }

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressMismatch => "address_mismatch",
            Self::CertExpired => "cert_expired",
            Self::CertInvalid => "cert_invalid",
            Self::CertNameMismatch => "cert_name_mismatch",
            Self::CertNotYetValid => "cert_not_yet_valid",
            Self::CertPinMismatch => "cert_pin_mismatch",
            Self::CertRevoked => "cert_revoked",
            Self::CertUntrusted => "cert_untrusted",
            Self::Disconnected => "disconnected",
            Self::DnsError => "dns_error",
            Self::DnsNotFound => "dns_not_found",
            Self::DnsTimeout => "dns_timeout",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Reset => "reset",
            Self::Stalled => "stalled",
            Self::StarttlsRefused => "starttls_refused",
            Self::Timeout => "timeout",
            Self::TlsAlert => "tls_alert",
            Self::TlsProtocol => "tls_protocol",
            Self::UnexpectedOpen => "unexpected_open",
            Self::UnexpectedResponse => "unexpected_response",
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
