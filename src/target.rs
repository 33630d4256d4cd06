//! Targets, their settings and groups, as types whose values are always valid.
//!
//! `config` builds them, for the file and for discovery; all other modules only read them. A [`Target`] is immutable: a
//! changed configuration builds a new one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::allow_list::{AllowList, AllowedHosts, HostSuffix};
pub(crate) use self::audit::addresses;
pub use self::audit::{Audit, AuditError, AuditSettings, AuditedHosts};
pub use self::cadence::{Cadence, CadenceError};
pub use self::dialogue::{Dialogue, Expectation, Part, Step, Template};
pub use self::header_file::HeaderFile;
pub use self::http::{HttpSettings, StatusRange, StatusRangeError};
pub use self::labels::{LabelName, LabelNameError, Labels};
pub use self::pattern::{Pattern, PatternError};
pub use self::ports::{Ports, PortsError};
pub use self::probe_kind::{Application, Expect, ProbeKind, TlsExchange};
pub use self::protocol::{OtherName, PathRule, PathUse, Protocol, Scheme, SchemeError, Schemes, Security, Service};
pub use self::query::{hide_query_values, secret_query_key};
pub use self::shard::{Shard, ShardError};
#[cfg(test)]
pub(crate) use self::testing::example;
pub use self::tls::{
    AlpnProtocol, DigestError, FileProblem, Identity, KeyExchange, KeyExchangeError, KeyExchangeGroup, Roots,
    ServerName, ServerNameError, Sha256Digest, TlsFile, TlsProfile, TlsSettings, TlsVersion, TlsVersions, Verify,
};
pub use self::url::{Endpoint, Host, HostName, Ipv6Zone, TargetUrl, UrlError};

mod allow_list;
mod audit;
mod cadence;
mod dialogue;
mod header_file;
mod http;
mod labels;
mod pattern;
mod ports;
mod probe_kind;
mod protocol;
mod query;
mod shard;
#[cfg(test)]
mod testing;
mod tls;
mod url;

/// One endpoint to probe.
///
/// Targets with equal settings or labels share them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Unique among all targets.
    pub name: TargetName,
    /// Host, port and protocol.
    pub endpoint: Endpoint,
    /// Global labels, overlaid with those of defaults, module and target. Does not contain `target` itself.
    pub labels: Arc<Labels>,
    /// The group of targets that can replace each other.
    pub group: Option<Arc<Group>>,
    /// The settings of its probes.
    pub settings: Arc<Settings>,
}

/// A target's unique name: not empty, at most 512 bytes, without control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TargetName(Arc<str>);

impl TargetName {
    /// Checks a name as written in a configuration.
    pub fn try_new(name: &str) -> Result<Self, NameError> {
        valid_name(name).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reason why a text is not a valid name of a target or group.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// It has a control character, such as a line break.
    #[error("has a control character (`{}`); remove it", .0.escape_debug())]
    ControlCharacter(char),
    /// It has no characters.
    #[error("is empty; must have at least one character")]
    Empty,
    /// It has more than 512 bytes.
    #[error("has {0} bytes; must have at most 512")]
    TooLong(usize),
}

/// Targets that can replace each other: a primary and its standby, or the nodes of a cluster.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Group {
    /// Unique among all groups.
    pub name: GroupName,
    /// Number of members that must be up.
    pub quorum: Quorum,
    /// Labels of the group's series, including the global ones. Does not contain `group` itself.
    pub labels: Labels,
}

/// A group's unique name, with the rules of a [`TargetName`].
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Checks a name as written in a configuration.
    pub fn try_new(name: &str) -> Result<Self, NameError> {
        valid_name(name).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of members that must be confirmed up for the group to be up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Quorum {
    /// All but this many; for groups whose size changes.
    MaxDown(u32),
    /// At least this many.
    MinUp(u32),
}

impl Quorum {
    /// Returns how many of `members` must be up.
    pub const fn needed(self, members: u32) -> u32 {
        match self {
            Self::MaxDown(down) => members.saturating_sub(down),
            Self::MinUp(up) => up,
        }
    }
}

impl Default for Quorum {
    /// One member is enough.
    fn default() -> Self {
        Self::MinUp(1)
    }
}

/// The settings of a target: of each key, the value from the nearest level.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Settings {
    /// Interval and timeout.
    pub cadence: Cadence,
    /// Results that confirm a change of state.
    pub confirm: Confirm,
    /// Resolution of the host's name.
    pub addressing: Addressing,
    /// Local address to connect from.
    pub source_address: Option<IpAddr>,
    /// Duration from which a successful probe is slow.
    pub slow_after: Option<Duration>,
    /// The steps after resolution.
    pub probe_kind: ProbeKind,
}

impl Settings {
    /// Returns whether a probe does the same with both settings: they differ at most in the schedule and in the meaning
    /// of an outcome.
    pub fn probes_like(&self, other: &Self) -> bool {
        let Self { cadence, confirm: _, addressing, source_address, slow_after: _, probe_kind } = self;
        cadence.timeout() == other.cadence.timeout()
            && *addressing == other.addressing
            && *source_address == other.source_address
            && *probe_kind == other.probe_kind
    }
}

/// Results that confirm a change of state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Confirm {
    /// Consecutive failed probes that change a target to down.
    pub failures: NonZeroU32,
    /// Delay between the end of a failed probe and its retry, while the target is not yet down. Zero disables the
    /// retry.
    pub delay: Duration,
    /// Consecutive successful probes that change a down target to up.
    pub successes: NonZeroU32,
}

impl Default for Confirm {
    fn default() -> Self {
        Self { failures: NonZeroU32::MIN.saturating_add(1), delay: Duration::from_secs(1), successes: NonZeroU32::MIN }
    }
}

/// Resolution of a name, and the use of its addresses.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Addressing {
    /// Address families that may be used.
    pub family: IpFamily,
    /// Whether one address is probed or all of them.
    pub mode: AddressMode,
    /// Networks that must contain every address. Empty: any address is allowed.
    pub expect: Vec<IpNet>,
    /// DNS servers to query. Empty: those of the system.
    pub dns_servers: Vec<SocketAddr>,
}

/// Address families that may be used.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum IpFamily {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

impl IpFamily {
    /// Returns whether this address may be used.
    pub const fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

/// Use of the addresses of a name.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum AddressMode {
    /// All addresses at once; the probe succeeds only if all of them do.
    All,
    /// One after the other until one connects, in the order of RFC 6724.
    #[default]
    Any,
}

fn valid_name(name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    name.chars()
        .find(|c| c.is_control())
        .map_or_else(|| Ok(name.into()), |c| Err(NameError::ControlCharacter(c)))
}

const MAX_NAME_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_never_exceeds_its_interval() {
        let second = Duration::from_secs(1);
        assert!(Cadence::try_new(second, second).is_ok());
        let error = Cadence::try_new(second, 2 * second).unwrap_err();
        assert_eq!(error.to_string(), "2s is longer than the interval (1s); lower it or raise the interval");
        assert_eq!(Cadence::try_new(second, Duration::ZERO), Err(CadenceError::TimeoutZero));
        for interval in [Duration::from_millis(99), Cadence::MAX_INTERVAL + second] {
            assert_eq!(Cadence::try_new(interval, second), Err(CadenceError::IntervalOutOfRange(interval)));
        }
    }

    #[test]
    fn a_name_is_one_line_of_text() {
        assert!(TargetName::try_new("Büro-Drucker \"2\"").is_ok());
        assert_eq!(TargetName::try_new(""), Err(NameError::Empty));
        assert_eq!(TargetName::try_new("a\nb"), Err(NameError::ControlCharacter('\n')));
        assert_eq!(GroupName::try_new(&"x".repeat(513)), Err(NameError::TooLong(513)));
    }

    #[test]
    fn a_quorum_never_needs_a_negative_number() {
        assert_eq!(Quorum::MinUp(2).needed(5), 2);
        assert_eq!(Quorum::MaxDown(1).needed(5), 4);
        assert_eq!(Quorum::MaxDown(7).needed(5), 0);
    }
}
