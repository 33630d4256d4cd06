//! This process and its machine: host name, environment, shares of file descriptors.

use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::gethostname;
use tracing::warn;

use crate::http::MAX_CONNECTIONS;

/// Returns the host name; empty if the kernel does not return it.
pub fn host_name() -> String {
    gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Returns the value of an environment variable; `None` if it is unset or not UTF-8.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The descriptors that this process may open, in shares, so that none of its parts takes those of another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Descriptors {
    /// The limit on open files.
    limit: u32,
    /// The share of all probes together.
    pub probes: NonZeroU32,
    /// The share of HTTP connections.
    pub http_connections: usize,
}

impl Descriptors {
    /// Raises the soft limit on open files to the hard limit, and divides it.
    pub fn raised() -> Self {
        // Without a limit, the shares are as large as they can be.
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Self::of(u64::MAX) };
        let is_raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        Self::of(if is_raised { hard } else { soft })
    }

    fn of(limit: u64) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let quarter = limit / 4;
        let http_connections = usize::try_from(quarter).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS);
        let others = quarter.clamp(MIN_OTHERS, MAX_OTHERS);
        let probes = limit
            .saturating_sub(others)
            .saturating_sub(http_connections.try_into().unwrap_or(u32::MAX));
        Self { limit, probes: NonZeroU32::new(probes).unwrap_or(NonZeroU32::MIN).max(MIN_PROBES), http_connections }
    }

    /// Logs a warning if fewer probes than `in_flight` can run at the same time.
    pub(super) fn warn_if_too_few(self, in_flight: Option<NonZeroU32>) {
        let Some(in_flight) = in_flight.map(NonZeroU32::get) else { return };
        let needed = u64::from(in_flight) * DESCRIPTORS_PER_PROBE;
        if needed > u64::from(self.probes.get()) {
            warn!(
                open_files = self.limit,
                for_probes = self.probes,
                needed,
                limits.in_flight = in_flight,
                "Probes may wait for file descriptors; raise the limit on open files (LimitNOFILE, ulimit -n) or lower \
                 limits.in_flight"
            );
        }
    }
}

/// Two to resolve a name. The connection is opened after that.
const DESCRIPTORS_PER_PROBE: u64 = 2;

/// Probes of names need two, and no probe may need more than half of the share.
const MIN_PROBES: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

/// Eleven are open while nothing happens: standard streams, runtime, signals, a listener. The others are for files and
/// discovery sources.
const MIN_OTHERS: u32 = 24;

/// A discovery source needs up to two, while it is refreshed.
const MAX_OTHERS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_do_not_exceed_the_limit() {
        let shares = |limit| {
            let Descriptors { probes, http_connections, .. } = Descriptors::of(limit);
            (probes.get(), http_connections)
        };
        for (limit, expected) in [
            (64, (24, 16)),
            (256, (128, 64)),
            (1024, (512, 256)),
            (4096, (2816, 1024)),
            (524_288, (523_008, 1024)),
            (u64::MAX, (u32::MAX - 1280, 1024)),
        ] {
            assert_eq!(shares(limit), expected, "{limit}");
        }
        for limit in 40..5000 {
            let (probes, http_connections) = shares(limit);
            let others = limit - u64::from(probes) - u64::try_from(http_connections).unwrap();
            assert!(others >= u64::from(MIN_OTHERS), "{limit}");
        }
        assert_eq!(shares(0), (4, 1), "a probe of a name can still start");
    }
}
