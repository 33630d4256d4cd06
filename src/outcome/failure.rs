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
    pub fn detail(&self) -> &str {
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

/// A failure of the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The phase that failed.
    pub phase: Phase,
    /// The class, from the closed list.
    pub class: Class,
    /// Details for the log, the page and `portprobe probe`; never a label.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.class.as_str(), self.phase.as_str(), self.detail)
    }
}

/// The classes of failures.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// A resolved address is outside `expect_addresses`.
    AddressMismatch,
    /// A certificate that the chain needs is no longer valid.
    CertExpired,
    /// A certificate has another fault.
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
    /// The peer ended the connection in an orderly way when an answer was due.
    Disconnected,
    /// The name servers failed or refused, or there is none.
    DnsError,
    /// The name does not exist, or has no usable address.
    DnsNotFound,
    /// No name server answered in time.
    DnsTimeout,
    /// A RST or an ICMP port unreachable answered the SYN.
    Refused,
    /// The service reported that it does not accept clients now.
    Rejected,
    /// A RST ended the connection after the handshake.
    Reset,
    /// The peer fell silent after the handshake: a hung service.
    Stalled,
    /// TLS was requested on an open connection, and not offered or refused.
    StarttlsRefused,
    /// Nothing answered the SYN.
    Timeout,
    /// The peer ended TLS with a fatal alert other than 70 and 71.
    TlsAlert,
    /// The peer does not speak TLS, or there is no common version or parameter.
    TlsProtocol,
    /// A port that should be closed is open.
    UnexpectedOpen,
    /// The response is not the expected one.
    UnexpectedResponse,
    /// ICMP reported it, the neighbour is missing, or there is no route.
    Unreachable,
}

impl Class {
    /// All classes, in the order of their labels.
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

    /// The weight of a fault of a certificate. Of several faults the weightiest becomes the class of the probe. Zero
    /// for other classes.
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

/// A fault of this machine; says nothing about the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalFault {
    /// The reason, from the closed list.
    pub reason: LocalFaultReason,
    /// Details for people.
    pub detail: String,
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// The reasons of local faults.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum LocalFaultReason {
    /// An argument that this kernel does not accept, such as a zone without an interface.
    Invalid,
    /// No file descriptor is left, for this process or the machine.
    NoDescriptor,
    /// No memory or buffer is left.
    NoMemory,
    /// No local port is left, or the local address does not belong to this machine.
    NoPort,
    /// A firewall or policy of this machine forbids it.
    NotPermitted,
}

impl LocalFaultReason {
    /// All reasons.
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
