//! Limits on concurrent probes, in total and per host, and on the rate of starts.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::options::Limits;
use crate::target::Host;

/// The limit that delays a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Blocked {
    /// The limit per host.
    Host,
    /// The limit on concurrent probes.
    InFlight,
    /// The rate limit, which allows the next start at this instant.
    Until(Instant),
}

/// The counts of running probes and their limits.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    in_flight: u32,
    /// Number of running probes of each host that has any.
    per_host: HashMap<Host, u32>,
    /// When `per_second` allows the next start; can be in the past.
    next_start: Instant,
}

impl Gate {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, in_flight: 0, per_host: HashMap::new(), next_start: now }
    }

    /// Replaces the limits. Running probes count against the new ones.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Counts a probe of `host` that starts now, or returns the limit that delays it.
    ///
    /// The limit per host is checked first, because it delays only that host; the others delay every probe.
    pub(super) fn admit(&mut self, host: &Host, now: Instant) -> Result<(), Blocked> {
        let reached = |limit: Option<NonZeroU32>, count: u32| limit.is_some_and(|limit| count >= limit.get());
        if reached(self.limits.per_host, self.per_host.get(host).copied().unwrap_or(0)) {
            return Err(Blocked::Host);
        }
        if reached(self.limits.in_flight, self.in_flight) {
            return Err(Blocked::InFlight);
        }
        if let Some(rate) = self.limits.per_second {
            if self.next_start > now + RATE_TOLERANCE {
                return Err(Blocked::Until(self.next_start));
            }
            self.next_start = self.next_start.max(now) + Duration::from_secs(1) / rate.get();
        }
        self.in_flight += 1;
        // Counted even without a limit, because one may be set before the probe ends.
        *self.per_host.entry(host.clone()).or_default() += 1;
        Ok(())
    }

    /// Removes a finished probe from the counts.
    pub(super) fn release(&mut self, host: &Host) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(count) = self.per_host.get_mut(host) {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(host);
            }
        }
    }

    /// Returns the number of running probes.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

/// Allows the probes of one batch to start together. Otherwise the rate holds over any second.
const RATE_TOLERANCE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> Host {
        Host::Ipv4([127, 0, 0, n].into())
    }

    fn limits(in_flight: u32, per_host: u32, per_second: u32) -> Limits {
        Limits {
            targets: None,
            in_flight: NonZeroU32::new(in_flight),
            per_host: NonZeroU32::new(per_host),
            per_second: NonZeroU32::new(per_second),
        }
    }

    #[test]
    fn each_limit_holds_until_a_release() {
        let now = Instant::now();
        let mut gate = Gate::new(limits(3, 2, 0), now);
        assert_eq!(gate.admit(&host(1), now), Ok(()));
        assert_eq!(gate.admit(&host(1), now), Ok(()));
        assert_eq!(gate.admit(&host(1), now), Err(Blocked::Host));
        assert_eq!(gate.admit(&host(2), now), Ok(()));
        assert_eq!(gate.admit(&host(2), now), Err(Blocked::InFlight));
        gate.release(&host(1));
        assert_eq!(gate.admit(&host(1), now), Ok(()));
        for n in [1, 1, 2] {
            gate.release(&host(n));
        }
        assert_eq!((gate.in_flight(), gate.per_host.len()), (0, 0));
    }

    #[test]
    fn a_limit_of_zero_is_no_limit() {
        let now = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 0), now);
        assert!((0..10_000).all(|_| gate.admit(&host(1), now).is_ok()));
    }

    #[test]
    fn the_rate_holds_over_a_second() {
        let start = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 50), start);
        let mut started = 0;
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(millisecond);
            while gate.admit(&host(1), now).is_ok() {
                started += 1;
            }
        }
        assert!((50..=51).contains(&started), "{started}");
        assert!(matches!(gate.admit(&host(1), start), Err(Blocked::Until(_))));
    }

    #[test]
    fn an_idle_second_gives_no_credit() {
        let start = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 10), start);
        let later = start + Duration::from_mins(1);
        assert!(gate.admit(&host(1), later).is_ok());
        assert!(gate.admit(&host(1), later).is_err());
    }
}
