//! Advice: the usual meaning of a failure and the next step, for somebody who was just woken up.

use std::net::IpAddr;

use crate::outcome::{Class, Failure, LocalFaultReason, Phase};
use crate::target::{Expect, Host, Target};

mod commands;
mod conversation;
mod tls;

/// Advice on one outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Advice {
    /// Its usual meaning.
    pub(super) meaning: String,
    /// What to try next.
    pub(super) remedy: String,
}

impl Advice {
    fn new(meaning: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { meaning: meaning.into(), remedy: remedy.into() }
    }
}

/// Advice on a failure of this target. `address` is the one that failed, if any was tried.
pub(super) fn on_failure(failure: &Failure, target: &Target, address: Option<IpAddr>) -> Advice {
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
            format!("is {source} right as source_address, and of the same kind as the target's address?")
        }
        (LocalFaultReason::Invalid, None) => "look at the address and its zone; this machine's: ip address".to_owned(),
        (LocalFaultReason::NoDescriptor, _) => {
            "raise the limit on open files: ulimit -n, LimitNOFILE, fs.file-max".to_owned()
        }
        (LocalFaultReason::NoMemory, _) => "look at free memory and at net.ipv4.tcp_mem".to_owned(),
        (LocalFaultReason::NoPort, Some(source)) => {
            format!("does this machine have the address {source}? ip address; are its ports used up? ss -s")
        }
        (LocalFaultReason::NoPort, None) => {
            "look at net.ipv4.ip_local_port_range, and at how many connections are open: ss -s".to_owned()
        }
        (LocalFaultReason::NotPermitted, _) => {
            "look at this machine's firewall: nft list ruleset; and at its policies".to_owned()
        }
    };
    Advice::new("this machine could not probe; nothing is known about the target", remedy)
}

/// Advice on a connection that took more than one SYN.
pub(super) fn on_lost_syns(target: &Target) -> Advice {
    let (host, port) = (&target.endpoint.host, target.endpoint.port);
    Advice::new(
        "packets are lost on the way, or the service accepts too slowly: the waiting is for SYNs sent again",
        format!("probe again; on {host}: is the queue full? ss -ltn 'sport = :{port}' (Recv-Q above Send-Q)"),
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
                "the address in the URL is none of those expected",
                "correct the URL, or expect_addresses",
            );
        }
        Advice::new(
            "the name leads somewhere else than it should",
            format!("{}; either the record or expect_addresses is out of date, or somebody changed DNS", self.dig()),
        )
    }

    fn dns_error(&self) -> Advice {
        let dig = self.dig();
        if self.target.settings.addressing.dns_servers.is_empty() {
            return Advice::new(
                "the name servers are at fault, or none is configured on this machine; not the name",
                format!("{dig}; look at /etc/resolv.conf; another server: --dns-servers=ADDRESS"),
            );
        }
        Advice::new(
            "the name servers in dns_servers are at fault, not the name",
            format!("ask them yourself: {dig}; another server: --dns-servers=ADDRESS"),
        )
    }

    fn dns_not_found(&self) -> Advice {
        let (host, dig) = (&self.target.endpoint.host, self.dig());
        // Search domains apply only with the name servers of the system.
        let searched = self.target.settings.addressing.dns_servers.is_empty();
        let dot = if searched { "; a trailing dot rules search domains out" } else { "" };
        Advice::new(
            format!("{host} is misspelt, was removed, or has no address of the kind asked for"),
            format!("{dig} A; {dig} AAAA{dot}"),
        )
    }

    fn dns_timeout(&self) -> Advice {
        let dig = self.dig();
        if self.target.settings.addressing.dns_servers.is_empty() {
            return Advice::new(
                "the name servers cannot be reached from here",
                format!("{dig}; look at /etc/resolv.conf, and at firewalls on port 53"),
            );
        }
        Advice::new(
            "the name servers in dns_servers cannot be reached from here, or hang",
            format!("{dig}; are they the right ones, and does a firewall let them through?"),
        )
    }

    fn refused(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        match self.expect() {
            Expect::Filtered => Advice::new(
                format!("nothing listens on port {port}, but packets that a firewall should drop reach the machine"),
                format!("look at the firewall in front of {address}; if a refusal is good enough: expect: closed"),
            ),
            Expect::Closed | Expect::Open | Expect::Refused => Advice::new(
                format!("the machine answers, but nothing listens on port {port}, or a firewall rejects with a reset"),
                format!("on {address}: is the service running, and on this address? ss -ltn 'sport = :{port}'"),
            ),
        }
    }

    fn timeout(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        match self.expect() {
            Expect::Open => Advice::new(
                "a firewall drops the packets, the machine is off, or its service is too busy to accept",
                format!("ping {address}; on it: is the queue full? ss -ltn 'sport = :{port}' (Recv-Q above Send-Q)"),
            ),
            Expect::Refused => Advice::new(
                "nothing came back where a refusal should: a firewall drops the packets, or the machine is off",
                format!("ping {address}; if a firewall is right to drop them: expect: filtered, or closed"),
            ),
            // Silence is the expectation here; the probe fails only if it had no time to send anything.
            Expect::Closed | Expect::Filtered => Advice::new(
                "the time was up before a packet was sent: nothing is known about the port",
                "raise the timeout; resolving the name took too much of it",
            ),
        }
    }

    fn unexpected_open(&self) -> Advice {
        let (address, port) = (&self.address, self.target.endpoint.port);
        Advice::new(
            format!("something listens on port {port} that should not, or a firewall rule is gone"),
            format!("on {address}: ss -ltnp 'sport = :{port}' names the program"),
        )
    }

    fn unreachable(&self) -> Advice {
        let address = &self.address;
        match self.expect() {
            Expect::Open => Advice::new(
                "a router, a firewall or this machine's own routing table says that there is no way",
                format!("ip route get {address}; is the machine up, and in the network that you think it is in?"),
            ),
            Expect::Refused => Advice::new(
                "the refusal never came: a router, a firewall or this machine's routing table says that there is no way",
                format!("ip route get {address}; if a firewall is right to reject: expect: filtered, or closed"),
            ),
            // An ICMP error is the expectation here; the probe fails only if this machine has no route.
            Expect::Closed | Expect::Filtered => Advice::new(
                "this machine has no route and sent no packet: nothing is known about the port",
                format!("ip route get {address}; is this machine in the network that you think it is in?"),
            ),
        }
    }

    fn expect(&self) -> Expect {
        self.target.settings.probe_kind.expect()
    }

    /// The command that queries the same name server for the same name.
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
