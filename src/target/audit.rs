//! Port audits: which ports of which hosts must be open, and no others.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use ipnet::{IpNet, Ipv4AddrRange, Ipv6AddrRange};

use super::{Host, Ports, TargetName};
use crate::duration;

/// A port audit that can be made within its interval.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit(AuditSettings);

/// The settings of a port audit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditSettings {
    /// Unique among all audits, with the rules of a target's name.
    pub name: TargetName,
    /// At least one.
    pub hosts: Vec<AuditedHosts>,
    /// The ports to connect to.
    pub ports: Ports,
    /// The ports that must be open; `None` if none may be.
    pub open: Option<Ports>,
    /// Time between the starts of two runs.
    pub interval: Duration,
    /// Timeout of a connection.
    pub timeout: Duration,
    /// Maximum number of connections started per second.
    pub per_second: NonZeroU32,
}

/// An entry of the hosts of an audit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuditedHosts {
    /// A host that must exist. A name stands for all its addresses.
    Host(Host),
    /// The addresses of a network, some of which may be unused.
    Network(IpNet),
}

/// Reason why an audit cannot be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuditError {
    /// A port must be open but is not audited.
    #[error("port {0} is not one of `ports`; add it there")]
    NotAudited(NonZeroU16),
    /// A run takes longer than the interval.
    #[error(
        "{} cannot start within the interval ({}) at {per_second} per second, but in {}; raise per_second or the \
         interval, or audit less",
        counted(*.probes, "probe"), duration::display(*.interval), duration::display(*.needed)
    )]
    TooSlow {
        /// The number of connections.
        probes: u128,
        /// Their rate.
        per_second: NonZeroU32,
        /// The time that they take, in whole seconds.
        needed: Duration,
        /// The interval.
        interval: Duration,
    },
    /// Too many connections.
    #[error(
        "{} and {} are {}; must be at most {}; audit smaller networks or fewer ports",
        counted(*.hosts, "host"), counted((*.ports).into(), "port"),
        counted(.hosts.saturating_mul((*.ports).into()), "probe"), Audit::MAX_PROBES
    )]
    TooMany {
        /// The number of hosts, where a name counts as one.
        hosts: u128,
        /// The number of ports of each.
        ports: u32,
    },
}

fn counted(count: u128, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Audit {
    /// Maximum number of probes of a run: all ports of 152 hosts, or a port of each address of a /9.
    pub const MAX_PROBES: u128 = 10_000_000;
    /// The default time between two runs.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_hours(1);
    /// The default timeout of a connection.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
    /// The default rate.
    pub const DEFAULT_PER_SECOND: NonZeroU32 = NonZeroU32::new(500).expect("500 must not be zero");

    /// Checks that the audit is of a reasonable size and can be made within its interval, if every probe takes no time.
    pub fn try_new(settings: AuditSettings) -> Result<Self, AuditError> {
        let AuditSettings { hosts, ports, open, interval, per_second, .. } = &settings;
        if let Some(missing) = open.iter().flat_map(Ports::iter).find(|open| !ports.contains(*open)) {
            return Err(AuditError::NotAudited(missing));
        }
        let hosts = hosts.iter().fold(0_u128, |count, hosts| count.saturating_add(hosts.count()));
        let ports = u32::try_from(ports.count()).unwrap_or(u32::MAX);
        let probes = hosts.saturating_mul(ports.into());
        if probes > Self::MAX_PROBES {
            return Err(AuditError::TooMany { hosts, ports });
        }
        let seconds = probes.div_ceil(per_second.get().into());
        let needed = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        // Less than a second is a batch.
        if needed > (*interval).max(Duration::from_secs(1)) {
            let (per_second, interval) = (*per_second, *interval);
            return Err(AuditError::TooSlow { probes, per_second, needed, interval });
        }
        Ok(Self(settings))
    }

    /// The settings.
    pub const fn settings(&self) -> &AuditSettings {
        &self.0
    }

    /// Whether a port must be open.
    pub fn expects(&self, port: NonZeroU16) -> bool {
        self.0.open.as_ref().is_some_and(|open| open.contains(port))
    }
}

impl AuditedHosts {
    /// The number of addresses, where a name counts as one.
    fn count(&self) -> u128 {
        match self {
            Self::Host(_) => 1,
            Self::Network(network) => {
                let bits = u32::from(network.max_prefix_len() - network.prefix_len());
                1_u128.checked_shl(bits).unwrap_or(u128::MAX)
            }
        }
    }
}

impl fmt::Display for AuditedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

/// Returns every address of a network, also its first and last.
pub(crate) fn addresses(network: IpNet) -> Box<dyn Iterator<Item = IpAddr> + Send> {
    match network {
        IpNet::V4(network) => Box::new(Ipv4AddrRange::new(network.network(), network.broadcast()).map(IpAddr::V4)),
        IpNet::V6(network) => Box::new(Ipv6AddrRange::new(network.network(), network.broadcast()).map(IpAddr::V6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(hosts: &[&str], ports: &str) -> AuditSettings {
        let hosts = hosts.iter().map(|host| match host.parse() {
            Ok(network) => AuditedHosts::Network(network),
            Err(_) => AuditedHosts::Host(host.parse().unwrap()),
        });
        AuditSettings {
            name: TargetName::try_new("dmz").unwrap(),
            hosts: hosts.collect(),
            ports: ports.parse().unwrap(),
            open: None,
            interval: Audit::DEFAULT_INTERVAL,
            timeout: Audit::DEFAULT_TIMEOUT,
            per_second: Audit::DEFAULT_PER_SECOND,
        }
    }

    fn refusal(settings: AuditSettings) -> String {
        Audit::try_new(settings).unwrap_err().to_string()
    }

    #[test]
    fn a_network_by_mistake_is_counted() {
        assert_eq!(
            refusal(settings(&["10.0.0.0/16", "db.example"], "1-65535")),
            "65537 hosts and 65535 ports are 4294967295 probes; must be at most 10000000; audit smaller networks or \
             fewer ports"
        );
        assert!(refusal(settings(&["2001:db8::/32"], "443")).contains("79228162514264337593543950336 probes"));
        assert!(refusal(settings(&["::/0"], "443")).contains("are 340282366920938463463374607431768211455 probes"));
    }

    #[test]
    fn an_audit_fits_its_interval() {
        assert!(Audit::try_new(settings(&["203.0.113.0/28"], "1-65535")).is_ok(), "the example of the documentation");
        assert_eq!(
            refusal(settings(&["203.0.113.0/27"], "1-65535")),
            "2097120 probes cannot start within the interval (1h) at 500 per second, but in 1h9m55s; raise per_second or \
             the interval, or audit less"
        );
    }

    #[test]
    fn an_open_port_must_be_audited() {
        let open = AuditSettings { open: Some("22,8443".parse().unwrap()), ..settings(&["10.0.0.1"], "1-1024") };
        assert_eq!(refusal(open), "port 8443 is not one of `ports`; add it there");
    }

    #[test]
    fn a_network_has_its_first_and_last_address() {
        for (network, first, last, count) in [
            ("192.0.2.0/30", "192.0.2.0", "192.0.2.3", 4),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", 1),
            ("2001:db8::/126", "2001:db8::", "2001:db8::3", 4),
        ] {
            let all: Vec<_> = addresses(network.parse().unwrap()).map(|address| address.to_string()).collect();
            assert_eq!((&*all[0], &**all.last().unwrap(), all.len()), (first, last, count));
        }
    }
}
