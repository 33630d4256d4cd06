//! What is probed: targets, their settings and groups, as types that are valid once they exist.
//!
//! `config` and `discovery` make them; everything downstream only reads. A [`Target`] never changes: a changed
//! configuration makes a new one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::cadence::{Cadence, CadenceError};
pub use self::dialogue::{Dialogue, Expectation, Part, Pattern, Step, Template};
pub use self::header_file::HeaderFile;
pub use self::http::{HttpSettings, StatusRange, StatusRangeError};
pub use self::labels::{LabelName, LabelNameError, Labels};
pub use self::ports::{Ports, PortsError};
pub use self::probe_kind::{Application, Expect, ProbeKind, TlsExchange};
pub use self::protocol::{OtherName, PathRule, PathUse, Protocol, Scheme, SchemeError, Schemes, Security, Service};
pub use self::shard::{Shard, ShardError};
#[cfg(test)]
pub(crate) use self::testing::example;
pub use self::tls::{
    AlpnProtocol, DigestError, FileProblem, Identity, Roots, ServerName, ServerNameError, Sha256Digest, TlsFile,
    TlsProfile, TlsSettings, TlsVersion, TlsVersions, Verify,
};
pub use self::url::{Endpoint, Host, HostName, Ipv6Zone, TargetUrl, UrlError};

mod cadence;
mod dialogue;
mod header_file;
mod http;
mod labels;
mod ports;
mod probe_kind;
mod protocol;
mod shard;
#[cfg(test)]
mod testing;
mod tls;
mod url;

/// One endpoint to probe.
///
/// Settings and labels are shared between the targets that have the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Unique among all targets.
    pub name: TargetName,
    /// Where to connect, and in which protocol.
    pub endpoint: Endpoint,
    /// Global labels, overlaid with those of defaults, module and target; without `target` itself.
    pub labels: Arc<Labels>,
    /// The targets that stand in for this one.
    pub group: Option<Arc<Group>>,
    /// How it is probed.
    pub settings: Arc<Settings>,
}

/// A target's unique name: not empty, at most 512 bytes, without control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TargetName(Arc<str>);

impl TargetName {
    /// Takes a name as written in a configuration.
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

/// Why a text cannot name a target or a group.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// It has a control character, such as a line break.
    #[error("has a control character ({0:?}); a name is one line of text")]
    ControlCharacter(char),
    /// Nothing is there.
    #[error("is empty; leave the key out for the default name")]
    Empty,
    /// More than 512 bytes.
    #[error("has {0} bytes; at most 512, for it becomes a label value")]
    TooLong(usize),
}

/// Targets that stand in for each other: a primary and its standby, the nodes of a cluster.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Group {
    /// Unique among all groups.
    pub name: GroupName,
    /// How many members it takes.
    pub quorum: Quorum,
    /// On the group's own series, global labels included; without `group` itself.
    pub labels: Labels,
}

/// A group's unique name, with the rules of a [`TargetName`].
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Takes a name as written in a configuration.
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

/// How many of a group's members must be confirmed up for the group to be up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Quorum {
    /// All but so many; for groups whose size changes.
    MaxDown(u32),
    /// At least so many.
    MinUp(u32),
}

impl Quorum {
    /// The members needed of `members`.
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

/// How a target is probed: every key of the configuration that stands at three levels, the nearest taken.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Settings {
    /// How often, and for how long at most.
    pub cadence: Cadence,
    /// When a result becomes a state.
    pub confirm: Confirm,
    /// Which addresses a name stands for.
    pub addressing: Addressing,
    /// Local address to connect from.
    pub source_address: Option<IpAddr>,
    /// Total time from which on a good probe counts as slow.
    pub slow_after: Option<Duration>,
    /// What is to happen once an address is known.
    pub probe_kind: ProbeKind,
}

impl Settings {
    /// Whether a probe by these could have been one by the others: they differ at most in when it is made and in what its
    /// outcome means.
    pub fn probes_like(&self, other: &Self) -> bool {
        let Self { cadence, confirm: _, addressing, source_address, slow_after: _, probe_kind } = self;
        cadence.timeout() == other.cadence.timeout()
            && *addressing == other.addressing
            && *source_address == other.source_address
            && *probe_kind == other.probe_kind
    }
}

/// When results become a confirmed state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Confirm {
    /// Consecutive failed probes that turn a target down.
    pub failures: NonZeroU32,
    /// How long after its end a failed probe of a target that is not yet down is repeated; zero: never.
    pub delay: Duration,
    /// Consecutive good probes that turn a down target up.
    pub successes: NonZeroU32,
}

impl Default for Confirm {
    fn default() -> Self {
        Self { failures: NonZeroU32::MIN.saturating_add(1), delay: Duration::from_secs(1), successes: NonZeroU32::MIN }
    }
}

/// Which addresses a name stands for, and how they are used.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Addressing {
    /// Which addresses may be used.
    pub family: IpFamily,
    /// One of them, or each.
    pub mode: AddressMode,
    /// Where addresses must lie; empty: anywhere.
    pub expect: Vec<IpNet>,
    /// Name servers to ask; empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
}

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum IpFamily {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl IpFamily {
    /// Whether an address of this family may be used.
    pub const fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

/// How the addresses of one name are used.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum AddressMode {
    /// Every address at once; good only if all are.
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
    fn a_quorum_never_needs_less_than_none() {
        assert_eq!(Quorum::MinUp(2).needed(5), 2);
        assert_eq!(Quorum::MaxDown(1).needed(5), 4);
        assert_eq!(Quorum::MaxDown(7).needed(5), 0);
    }
}
