//! This process and its machine: host name, environment, file descriptors.

use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::gethostname;
use tracing::warn;

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

/// Raises the soft limit on open files to the hard limit, and logs a warning if probes could still exceed it.
pub fn raise_descriptor_limit(in_flight: Option<NonZeroU32>) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let limit = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let needed = descriptors_needed(in_flight);
    if needed.is_none_or(|needed| needed > limit) {
        let in_flight = in_flight.map_or(0, NonZeroU32::get);
        warn!(
            open_files = limit,
            needed,
            limits.in_flight = in_flight,
            "Probes may run out of file descriptors, which causes local faults; raise the limit on open files \
             (LimitNOFILE, ulimit -n) or lower limits.in_flight"
        );
    }
}

/// Returns the file descriptors that this many concurrent probes need; `None` if their number is unlimited.
fn descriptors_needed(in_flight: Option<NonZeroU32>) -> Option<u64> {
    in_flight.map(|probes| u64::from(probes.get()) * DESCRIPTORS_PER_PROBE + OTHER_DESCRIPTORS)
}

/// One for the connection, and two to resolve a name.
const DESCRIPTORS_PER_PROBE: u64 = 3;

/// Listeners, HTTP clients, log, runtime.
const OTHER_DESCRIPTORS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_needs_three_descriptors() {
        assert_eq!(descriptors_needed(NonZeroU32::new(4096)), Some(12_416));
        assert_eq!(descriptors_needed(None), None);
    }
}
