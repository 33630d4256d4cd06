//! Advice: the usual meaning of a failure and the next step.

use std::net::IpAddr;

use crate::outcome::{Class, Failure, LocalFaultReason, Phase};
use crate::target::{Expect, Host, Target};

mod commands;
mod conversation;
mod tls;

/// Advice on one outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Advice {
    /// The usual meaning of the outcome.
    pub(crate) meaning: String,
    /// The next step.
    pub(crate) remedy: String,
}

impl Advice {
    fn new(meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { meaning: meaning.into(), remedy: remedy.into() }
    }
}

/// Advice on a failure of this target. `address` is the one that failed, if any was tried.
pub(crate) fn on_failure(failure: &Failure, target: &Target, address: Option<IpAddr>) -> Advice {
    let host = &target.endpoint.host;
    // An address in the URL may have a zone, which is needed to reach it.
    let address = address.filter(|_| host.literal().is_none());
    let address = address.map_or_else(|| host.to_string(), |address| address.to_string());
    let probe = FailedProbe { target, phase: failure.phase, address };
    match failure.class {
        Class::AddressMismatch => probe.address_mismatch(),
        Class::CertExpired => probe.cert_expired(),
        Class::CertInvalid => probe.cert_invalid(),
        Class::CertNameMismatch => probe.cert_name_mismatch(),
        Class::CertNotYetValid => probe.cert_not_yet_valid(),
        Class::CertPinMismatch => probe.cert_pin_mismatch(),
        Class::CertRevoked => probe.cert_revoked(),
        Class::CertUntrusted => probe.cert_untrusted(),
        Class::Disconnected => probe.disconnected(),
        Class::DnsError => probe.dns_error(),
        Class::DnsNotFound => probe.dns_not_found(),
        Class::DnsTimeout => probe.dns_timeout(),
        Class::Refused => probe.refused(),
        Class::Rejected => probe.rejected(),
        Class::Reset => probe.reset(),
        Class::Stalled => probe.stalled(),
        Class::StarttlsRefused => probe.starttls_refused(),
        Class::Timeout => probe.timeout(),
        Class::TlsAlert => probe.tls_alert(),
        Class::TlsProtocol => probe.tls_protocol(),
        Class::UnexpectedOpen => probe.unexpected_open(),
        Class::UnexpectedResponse => probe.unexpected_response(),
        Class::Unreachable => probe.unreachable(),
    }
}

/// Advice on a local fault.
pub(super) fn on_local_fault(reason: LocalFaultReason, target: &Target) -> Advice {
    let source = target.settings.source_address;
    let remedy = match (reason, source) {
        (LocalFaultReason::Invalid, Some(source)) => {
            format!("is {source} a valid source_address, of the same IP version as the target's address?")
        }
        (LocalFaultReason::Invalid, None) => {
            "check the address and its zone; this machine's addresses: ip address".to_owned()
        }
        (LocalFaultReason::NoDescriptor, _) => {
            "raise the limit on open files: ulimit -n, LimitNOFILE, fs.file-max".to_owned()
        }
        (LocalFaultReason::NoMemory, _) => "check free memory and net.ipv4.tcp_mem".to_owned(),
        (LocalFaultReason::NoPort, Some(source)) => {
            format!("does this machine have the address {source}? ip address; are its ports used up? ss -s")
        }
        (LocalFaultReason::NoPort, None) => {
            "check net.ipv4.ip_local_port_range and the number of open connections: ss -s".to_owned()
        }
        (LocalFaultReason::NotPermitted, _) => {
            "check this machine's firewall (nft list ruleset) and its security policies".to_owned()
        }
        (LocalFaultReason::Overloaded, _) => {
            "give portprobe more CPU: uptime; systemd-cgtop; kubectl top pod; remove its CPU limit".to_owned()
        }
    };
    Advice::new("this machine could not probe; nothing is known about the target", remedy)
}

/// Advice on a connection that took more than one SYN.
pub(super) fn on_lost_syns(target: &Target) -> Advice {
    let (host, port) = (&target.endpoint.host, target.endpoint.port);
    Advice::new(
        "packets are lost on the way, or the service accepts too slowly; the delay is due to retransmitted SYNs",
        format!("probe again; on {host}: is the accept queue full? ss -ltn 'sport = :{port}' (Recv-Q above Send-Q)"),
    )
}

/// A failed probe, with a method for each class.
struct FailedProbe<'a> {
    target: &'a Target,
    /// The phase that failed.
    phase: Phase,
    /// The address that failed; the host if none was tried.
    address: String,
}

impl FailedProbe<'_> {
    fn address_mismatch(&self) -> Advice {
        if !matches!(self.target.endpoint.host, Host::Name(_)) {
            return Advice::new(
                "the address in the URL is not in expect_addresses",
                "correct the URL or expect_addresses",
            );
        }
        Advice::new(
            "the name resolves to an unexpected address",
            format!("{}; the DNS record or expect_addresses is out of date, or DNS was tampered with", self.dig()),
        )
    }

    fn dns_error(&self) -> Advice {
        let dig = self.dig();
        if self.target.settings.addressing.dns_servers.is_empty() {
            return Advice::new(
                "the DNS servers fail, or none is configured on this machine; the name itself may be correct",
                format!("{dig}; check /etc/resolv.conf; try another server: --dns-servers=ADDRESS"),
            );
        }
        Advice::new(
            "the servers in dns_servers fail; the name itself may be correct",
            format!("query them directly: {dig}; try another server: --dns-servers=ADDRESS"),
        )
    }

    fn dns_not_found(&self) -> Advice {
        let (host, dig) = (&self.target.endpoint.host, self.dig());
        // Search domains apply only with the DNS servers of the system.
        let searched = self.target.settings.addressing.dns_servers.is_empty();
        let dot = if searched { "; a trailing dot disables search domains" } else { "" };
        Advice::new(
            format!("{host} is misspelt, removed or blocked, or has no address of the requested IP version"),
            format!("{dig} A; {dig} AAAA{dot}"),
        )
    }

    fn dns_timeout(&self) -> Advice {
        let dig = self.dig();
        if self.target.settings.addressing.dns_servers.is_empty() {
            return Advice::new(
                "the DNS servers cannot be reached from here",
                format!("{dig}; check /etc/resolv.conf, and firewalls for port 53"),
            );
        }
        Advice::new(
            "the servers in dns_servers cannot be reached from here, or hang",
            format!("{dig}; check dns_servers, and firewalls for their ports"),
        )
    }

    fn refused(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        match self.expect() {
            Expect::Filtered => Advice::new(
                format!("nothing listens on port {port}, but packets that a firewall should drop reach the host"),
                format!("check the firewall in front of {address}; to accept a refusal: expect: closed"),
            ),
            Expect::Closed | Expect::Open | Expect::Refused => Advice::new(
                format!("the host responds, but nothing listens on port {port}, or a firewall rejects with a reset"),
                format!(
                    "on {address}: is the service running and listening on this address? ss -ltn 'sport = :{port}'"
                ),
            ),
        }
    }

    fn timeout(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        match self.expect() {
            Expect::Open => Advice::new(
                "a firewall drops the packets, the host is off, or the service is too busy to accept connections",
                format!(
                    "ping {address}; on it: is the accept queue full? ss -ltn 'sport = :{port}' (Recv-Q above Send-Q)"
                ),
            ),
            Expect::Refused => Advice::new(
                "no response instead of a refusal: a firewall drops the packets, or the host is off",
                format!("ping {address}; if the firewall should drop them: expect: filtered or closed"),
            ),
            // Silence is expected here, so the probe fails only if there was no time to send anything.
            Expect::Closed | Expect::Filtered => Advice::new(
                "the timeout expired before a packet was sent; nothing is known about the port",
                "raise the timeout; most of it was spent on resolving the name",
            ),
        }
    }

    fn unexpected_open(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        Advice::new(
            format!("something listens on port {port} that should not, or a firewall rule is missing"),
            format!("on {address}: ss -ltnp 'sport = :{port}' shows the program"),
        )
    }

    fn unreachable(&self) -> Advice {
        let address = &self.address;
        match self.expect() {
            Expect::Open => Advice::new(
                "a router, a firewall or this machine's routing table reports no route to the host",
                format!("ip route get {address}; is the host up, and in the expected network?"),
            ),
            Expect::Refused => Advice::new(
                "no refusal: a router, a firewall or this machine's routing table reports no route to the host",
                format!(
                    "ip route get {address}; if the firewall should reject the packets: expect: filtered or closed"
                ),
            ),
            // An ICMP error is expected here, so the probe fails only if this machine has no route.
            Expect::Closed | Expect::Filtered => Advice::new(
                "this machine has no route and sent no packet; nothing is known about the port",
                format!("ip route get {address}; is this machine in the expected network?"),
            ),
        }
    }

    fn expect(&self) -> Expect {
        self.target.settings.probe_kind.expect()
    }

    /// Returns the command that queries the same DNS server for the same name.
    fn dig(&self) -> String {
        let host = &self.target.endpoint.host;
        match self.target.settings.addressing.dns_servers.first() {
            None => format!("dig {host}"),
            Some(server) => format!("dig @{} -p {} {host}", server.ip(), server.port()),
        }
    }
}

#[cfg(test)]
mod tests;
