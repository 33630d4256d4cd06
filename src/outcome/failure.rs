//! Faults: failures of the target and faults of this machine, each with a reason from a closed list.

use std::fmt;

use super::Phase;

/// The reason why a probe, or a step of it, did not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The target is not as expected.
    Failure(Failure),
    /// This machine could not probe; nothing is known about the target.
    LocalFault(LocalFault),
}

impl Fault {
    /// Creates a failure of the target.
    pub fn failure(phase: Phase, class: Class, detail: impl Into<String>) -> Self {
        Self::Failure(Failure { phase, class, detail: detail.into() })
    }

    /// Creates a fault of this machine.
    pub fn local(reason: LocalFaultReason, detail: impl Into<String>) -> Self {
        Self::LocalFault(LocalFault { reason, detail: detail.into() })
    }

    /// Creates the failure of a peer that closed the connection when `expected`, such as "its greeting", was due.
    pub fn disconnected(phase: Phase, expected: &str) -> Self {
        Self::failure(phase, Class::Disconnected, format!("the peer closed the connection; expected {expected}"))
    }

    /// Creates the failure of a peer that did not send all of `expected` before the deadline, but `received` bytes.
    pub fn stalled(phase: Phase, expected: &str, received: usize) -> Self {
        let detail = match received {
            0 => format!("the peer is connected but silent; expected {expected}"),
            received => format!("received {received} bytes until the timeout; expected {expected}"),
        };
        Self::failure(phase, Class::Stalled, detail)
    }

    /// Returns the details as a sentence, without phase, class and reason.
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
    /// Details for the log, the page and `portprobe probe`; never a label value.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.class.as_str(), self.phase.as_str(), self.detail)
    }
}

/// The classes of failures, in the order of the phases in which they occur.
///
/// If a certificate has several faults, the first one in this order is the class of the failure.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// The name does not exist, is blocked by the resolver, or has no usable address.
    DnsNotFound,
    /// No name server answered in time.
    DnsTimeout,
    /// The name servers failed or refused the query, or none is configured.
    DnsError,
    /// A resolved address is outside `expect_addresses`.
    AddressMismatch,
    /// A RST or an ICMP port unreachable answered the SYN.
    Refused,
    /// Nothing answered the SYN.
    Timeout,
    /// An ICMP error answered the SYN, the neighbour did not answer, or there is no route.
    Unreachable,
    /// The port is open although `expect` forbids it.
    UnexpectedOpen,
    /// The service does not offer TLS or refused to start it.
    StarttlsRefused,
    /// The peer does not speak TLS, or there is no common version or parameter.
    TlsProtocol,
    /// The peer ended TLS with a fatal alert other than 70 and 71.
    TlsAlert,
    /// A certificate that the chain needs has expired.
    CertExpired,
    /// A certificate that the chain needs is not valid yet.
    CertNotYetValid,
    /// One of `tls.crl_files` revokes the certificate or one that the chain needs.
    CertRevoked,
    /// No chain leads from the certificate to a trusted root.
    CertUntrusted,
    /// The certificate is not valid for the expected name.
    CertNameMismatch,
    /// Neither the certificate nor its public key matches `tls.pins`.
    CertPinMismatch,
    /// A certificate has another fault.
    CertInvalid,
    /// The response is not the expected one.
    UnexpectedResponse,
    /// The service reports that it currently serves no clients.
    Rejected,
    /// A RST ended the open connection.
    Reset,
    /// The peer closed the connection although a response was due.
    Disconnected,
    /// The peer did not send a complete response until the timeout.
    Stalled,
}

impl Class {
    /// All classes, in order.
    pub const ALL: [Self; 23] = [
        Self::DnsNotFound,
        Self::DnsTimeout,
        Self::DnsError,
        Self::AddressMismatch,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::UnexpectedOpen,
        Self::StarttlsRefused,
        Self::TlsProtocol,
        Self::TlsAlert,
        Self::CertExpired,
        Self::CertNotYetValid,
        Self::CertRevoked,
        Self::CertUntrusted,
        Self::CertNameMismatch,
        Self::CertPinMismatch,
        Self::CertInvalid,
        Self::UnexpectedResponse,
        Self::Rejected,
        Self::Reset,
        Self::Disconnected,
        Self::Stalled,
    ];

    /// Returns the class with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Returns the name in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsNotFound => "dns_not_found",
            Self::DnsTimeout => "dns_timeout",
            Self::DnsError => "dns_error",
            Self::AddressMismatch => "address_mismatch",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::UnexpectedOpen => "unexpected_open",
            Self::StarttlsRefused => "starttls_refused",
            Self::TlsProtocol => "tls_protocol",
            Self::TlsAlert => "tls_alert",
            Self::CertExpired => "cert_expired",
            Self::CertNotYetValid => "cert_not_yet_valid",
            Self::CertRevoked => "cert_revoked",
            Self::CertUntrusted => "cert_untrusted",
            Self::CertNameMismatch => "cert_name_mismatch",
            Self::CertPinMismatch => "cert_pin_mismatch",
            Self::CertInvalid => "cert_invalid",
            Self::UnexpectedResponse => "unexpected_response",
            Self::Rejected => "rejected",
            Self::Reset => "reset",
            Self::Disconnected => "disconnected",
            Self::Stalled => "stalled",
        }
    }

    /// Returns the phases in which a failure of this class occurs, in order.
    pub const fn phases(self) -> &'static [Phase] {
        match self {
            Self::DnsNotFound | Self::DnsTimeout | Self::DnsError | Self::AddressMismatch => &[Phase::Resolve],
            Self::Refused | Self::Timeout | Self::Unreachable | Self::UnexpectedOpen => &[Phase::Connect],
            Self::StarttlsRefused => &[Phase::Starttls],
            Self::TlsProtocol
            | Self::TlsAlert
            | Self::CertExpired
            | Self::CertNotYetValid
            | Self::CertRevoked
            | Self::CertUntrusted
            | Self::CertNameMismatch
            | Self::CertPinMismatch
            | Self::CertInvalid => &[Phase::Tls],
            Self::UnexpectedResponse | Self::Rejected => &[Phase::Starttls, Phase::Protocol],
            Self::Reset | Self::Disconnected | Self::Stalled => &[Phase::Starttls, Phase::Tls, Phase::Protocol],
        }
    }

    /// Returns the meaning, as an entry of a reference table in Markdown.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::DnsNotFound => "the name does not exist, is blocked by the resolver, or has no usable address",
            Self::DnsTimeout => "no name server answered in time",
            Self::DnsError => "the name servers failed or refused the query, or none is configured",
            Self::AddressMismatch => "a resolved address is outside `expect_addresses`",
            Self::Refused => {
                "a RST or an ICMP port unreachable answered the SYN: the host is up, but nothing listens on the port"
            }
            Self::Timeout => {
                "nothing answered the SYN: a firewall drops it, the host is off, or its accept queue is full"
            }
            Self::Unreachable => "an ICMP error answered the SYN, the neighbour did not answer, or there is no route",
            Self::UnexpectedOpen => "the port is open although `expect` forbids it",
            Self::StarttlsRefused => "the service does not offer TLS or refused to start it",
            Self::TlsProtocol => "the peer does not speak TLS, or both sides have no version or parameters in common",
            Self::TlsAlert => "the peer ended TLS with a fatal alert, which the log and `portprobe probe` name",
            Self::CertExpired => "a certificate that the chain needs has expired",
            Self::CertNotYetValid => "a certificate that the chain needs is not valid yet",
            Self::CertRevoked => "one of `tls.crl_files` revokes the certificate or one that the chain needs",
            Self::CertUntrusted => "no chain leads from the certificate to a trusted root",
            Self::CertNameMismatch => "the certificate is not valid for `tls.server_name`, by default the host",
            Self::CertPinMismatch => "neither the certificate nor its public key matches `tls.pins`",
            Self::CertInvalid => "a certificate that the chain needs has another fault",
            Self::UnexpectedResponse => "the response is not the one that the protocol or the settings expect",
            Self::Rejected => "the service reports that it currently serves no clients",
            Self::Reset => "a RST ended the open connection",
            Self::Disconnected => "the peer closed the connection although a response was due",
            Self::Stalled => "the peer sent no complete response until the timeout; the service may hang",
        }
    }
}

/// A fault of this machine. It reveals nothing about the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalFault {
    /// The reason, from the closed list.
    pub reason: LocalFaultReason,
    /// Details for the log and `portprobe probe`; never a label value.
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
    /// The kernel does not accept an argument, such as a zone without an interface, or a file of this machine cannot be
    /// used any more, such as an emptied resolv.conf.
    Invalid,
    /// No file descriptor is left, for this process or the machine.
    NoDescriptor,
    /// No memory or buffer is left.
    NoMemory,
    /// No local port is left, or the local address does not belong to this machine.
    NoPort,
    /// A firewall or policy of this machine forbids the probe.
    NotPermitted,
    /// This process did not run on time: it had no CPU or was stopped.
    Overloaded,
}

impl LocalFaultReason {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::Invalid, Self::NoDescriptor, Self::NoMemory, Self::NoPort, Self::NotPermitted, Self::Overloaded];

    /// Returns the name in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NoDescriptor => "no_descriptor",
            Self::NoMemory => "no_memory",
            Self::NoPort => "no_port",
            Self::NotPermitted => "not_permitted",
            Self::Overloaded => "overloaded",
        }
    }

    /// Returns the meaning, as an entry of a reference table in Markdown.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Invalid => {
                "the kernel does not accept an argument, such as a zone without an interface, or `/etc/resolv.conf` has \
                 lost its name servers"
            }
            Self::NoDescriptor => "no file descriptor is left, for this process or the machine",
            Self::NoMemory => "no memory or buffer is left",
            Self::NoPort => "no local port is left, or `source_address` does not belong to this machine",
            Self::NotPermitted => "a firewall or policy of this machine forbids the probe",
            Self::Overloaded => "portprobe itself did not run on time: it had no CPU or was stopped",
        }
    }
}
