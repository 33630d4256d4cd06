//! Limits on concurrent probes, in total and per host, on their descriptors, and on the rate of starts.
//!
//! Probes that run into their timeout take their places longest. A quarter of the places of each limit is kept for targets
//! whose last probe did not, because thousands of silent targets would otherwise delay the probes of all others. A target
//! that was never probed counts as silent: most targets of a start can be.
//!
//! Probes on demand, which clients of `/probe` request, take at most a quarter of each limit, and count as silent ones.
//! However many clients there are, at least half of the places are left for silent targets.
//!
//! Probes of audits take at most an eighth, only while no probe on demand waits, and also count as silent ones. The limit
//! per host is not for them: they rarely connect, and an audit has a rate of its own.
//!
//! A probe starts only if all descriptors that it may need are free, so that a running probe never waits for one.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::scheduled_target::LastProbe;
use crate::options::Limits;
use crate::target::Host;

/// The limit that delays a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Blocked {
    /// The limit per host.
    Host,
    /// The rate limit, which allows the next start at this instant.
    Until(Instant),
}

/// The part of the limits that a probe takes while it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Claim {
    /// The share of the limits from which it takes its places.
    pub(super) share: Share,
    /// The maximum number of descriptors that it has open.
    pub(super) descriptors: u32,
}

/// A share of each limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Share {
    /// All places.
    InTime,
    /// All but the places kept for targets whose last probe was in time.
    NotInTime,
    /// A quarter of the places.
    OnDemand,
    /// An eighth of the places, without the limit per host.
    Audit,
}

impl From<LastProbe> for Share {
    fn from(last_probe: LastProbe) -> Self {
        match last_probe {
            LastProbe::InTime => Self::InTime,
            LastProbe::NotInTime => Self::NotInTime,
        }
    }
}

/// The counts of running probes and their limits.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    /// The number of descriptors for all probes together; `None` means unlimited.
    max_descriptors: Option<NonZeroU32>,
    in_flight: Count,
    descriptors: Count,
    /// The running probes of each host that has any.
    per_host: HashMap<Host, Count>,
    /// When `per_second` allows the next start; can be in the past.
    next_start: Instant,
}

impl Gate {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            max_descriptors: None,
            in_flight: Count::default(),
            descriptors: Count::default(),
            per_host: HashMap::new(),
            next_start: now,
        }
    }

    /// Limits the descriptors of all probes together. No claim may exceed half of them.
    pub(super) fn limit_descriptors(&mut self, descriptors: NonZeroU32) {
        self.max_descriptors = Some(descriptors);
    }

    /// Replaces the limits. Running probes count against the new ones.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns whether the limits that concern all probes have a place for this one.
    pub(super) fn has_place(&self, claim: Claim) -> bool {
        let Claim { share, descriptors } = claim;
        self.in_flight.has_room(self.limits.in_flight, 1, share)
            && self.descriptors.has_room(self.max_descriptors, descriptors, share)
    }

    /// Counts a probe of `host` that starts now, or returns the limit that delays it. There must be a place for it.
    ///
    /// The limit per host is checked first, because it delays only that host; the rate limit delays every probe.
    pub(super) fn admit(&mut self, host: &Host, claim: Claim, now: Instant) -> Result<(), Blocked> {
        let Claim { share, descriptors } = claim;
        let of_host = self.per_host.get(host).copied().unwrap_or_default();
        if share != Share::Audit && !of_host.has_room(self.limits.per_host, 1, share) {
            return Err(Blocked::Host);
        }
        if let Some(rate) = self.limits.per_second {
            if self.next_start > now + RATE_TOLERANCE {
                return Err(Blocked::Until(self.next_start));
            }
            self.next_start = self.next_start.max(now) + Duration::from_secs(1) / rate.get();
        }
        self.in_flight.add(1, share);
        self.descriptors.add(descriptors, share);
        if share != Share::Audit {
            // Counted even without a limit, because one may be set before the probe ends.
            self.per_host.entry(host.clone()).or_default().add(1, share);
        }
        Ok(())
    }

    /// Removes a finished probe from the counts, with the claim with which it was admitted.
    pub(super) fn release(&mut self, host: &Host, claim: Claim) {
        let Claim { share, descriptors } = claim;
        self.in_flight.remove(1, share);
        self.descriptors.remove(descriptors, share);
        if let Some(count) = self.per_host.get_mut(host).filter(|_| share != Share::Audit) {
            count.remove(1, share);
            if count.all == 0 {
                self.per_host.remove(host);
            }
        }
    }

    /// Returns the number of running probes.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.all
    }
}

/// A number of running probes, or of their descriptors.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    /// Those of targets whose last probe was not in time, those on demand, and those of audits.
    not_in_time: u32,
    on_demand: u32,
    audit: u32,
}

impl Count {
    fn add(&mut self, number: u32, share: Share) {
        for count in self.counts(share).into_iter().flatten() {
            *count = count.saturating_add(number);
        }
    }

    fn remove(&mut self, number: u32, share: Share) {
        for count in self.counts(share).into_iter().flatten() {
            *count = count.saturating_sub(number);
        }
    }

    /// Returns the counts that a probe with this share belongs to.
    fn counts(&mut self, share: Share) -> [Option<&mut u32>; 4] {
        [
            Some(&mut self.all),
            (share != Share::InTime).then_some(&mut self.not_in_time),
            (share == Share::OnDemand).then_some(&mut self.on_demand),
            (share == Share::Audit).then_some(&mut self.audit),
        ]
    }

    /// Returns whether a limit allows this number in addition. One probe on demand and one of audits are always allowed
    /// their shares.
    fn has_room(self, limit: Option<NonZeroU32>, number: u32, share: Share) -> bool {
        let Some(limit) = limit.map(NonZeroU32::get) else { return true };
        let within = |count: u32, max| count.saturating_add(number) <= max;
        let is_within_share = match share {
            Share::InTime | Share::NotInTime => true,
            Share::OnDemand => self.on_demand == 0 || within(self.on_demand, limit / ON_DEMAND_SHARE),
            Share::Audit => self.audit == 0 || within(self.audit, limit / AUDIT_SHARE),
        };
        let leaves_kept = share == Share::InTime || within(self.not_in_time, limit - limit / KEPT_SHARE);
        is_within_share && leaves_kept && within(self.all, limit)
    }
}

/// One of this many places is kept for targets whose last probe was in time. A limit below this keeps none.
const KEPT_SHARE: u32 = 4;

/// Probes on demand take one of this many places.
const ON_DEMAND_SHARE: u32 = 4;

/// Probes of audits take one of this many places.
const AUDIT_SHARE: u32 = 8;

/// Allows the probes of one batch to start together. Otherwise the rate holds over any second.
const RATE_TOLERANCE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::Share::{Audit, InTime, NotInTime, OnDemand};
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

    /// Returns the claim of a probe that needs one descriptor.
    fn one(share: Share) -> Claim {
        Claim { share, descriptors: 1 }
    }

    #[test]
    fn each_limit_holds_until_a_release() {
        let now = Instant::now();
        let mut gate = Gate::new(limits(3, 2, 0), now);
        assert_eq!(gate.admit(&host(1), one(InTime), now), Ok(()));
        assert_eq!(gate.admit(&host(1), one(InTime), now), Ok(()));
        assert_eq!(gate.admit(&host(1), one(InTime), now), Err(Blocked::Host));
        assert!(gate.has_place(one(InTime)));
        assert_eq!(gate.admit(&host(2), one(NotInTime), now), Ok(()));
        assert!(!gate.has_place(one(InTime)) && !gate.has_place(one(NotInTime)));
        gate.release(&host(1), one(InTime));
        assert!(gate.has_place(one(InTime)));
        assert_eq!(gate.admit(&host(1), one(InTime), now), Ok(()));
        for (n, share) in [(1, InTime), (1, InTime), (2, NotInTime)] {
            gate.release(&host(n), one(share));
        }
        assert_eq!((gate.in_flight(), gate.per_host.len()), (0, 0));
    }

    #[test]
    fn a_quarter_is_kept_from_silent_targets() {
        let now = Instant::now();
        for (limit, silent) in [(1, 1), (3, 3), (4, 3), (8, 6), (4096, 3072)] {
            let mut total = Gate::new(limits(limit, 0, 0), now);
            let mut of_host = Gate::new(limits(0, limit, 0), now);
            for started in 0..silent {
                assert!(total.has_place(one(NotInTime)), "{started} of {limit}");
                assert_eq!(total.admit(&host(1), one(NotInTime), now), Ok(()));
                assert_eq!(of_host.admit(&host(1), one(NotInTime), now), Ok(()), "{started} of {limit}");
            }
            assert!(!total.has_place(one(NotInTime)));
            assert_eq!(of_host.admit(&host(1), one(NotInTime), now), Err(Blocked::Host));
            assert_eq!(total.has_place(one(InTime)), silent < limit);
            assert_eq!(of_host.admit(&host(1), one(InTime), now).is_ok(), silent < limit);
        }
    }

    #[test]
    fn probes_on_demand_take_a_quarter() {
        let now = Instant::now();
        for (limit, on_demand, silent) in [(1, 1, 0), (3, 1, 2), (4, 1, 2), (8, 2, 4), (4096, 1024, 2048)] {
            let mut total = Gate::new(limits(limit, 0, 0), now);
            let mut of_host = Gate::new(limits(0, limit, 0), now);
            for (share, places) in [(OnDemand, on_demand), (NotInTime, silent), (InTime, limit - on_demand - silent)] {
                for started in 0..places {
                    assert!(total.has_place(one(share)), "{started} of {limit}");
                    assert_eq!(total.admit(&host(1), one(share), now), Ok(()));
                    assert_eq!(of_host.admit(&host(1), one(share), now), Ok(()), "{started} of {limit}");
                }
                assert!(!total.has_place(one(share)), "{limit}");
                assert_eq!(of_host.admit(&host(1), one(share), now), Err(Blocked::Host));
            }
            for (share, places) in [(OnDemand, on_demand), (NotInTime, silent), (InTime, limit - on_demand - silent)] {
                (0..places).for_each(|_| total.release(&host(1), one(share)));
            }
            let Count { all, not_in_time, on_demand, audit } = total.in_flight;
            assert_eq!([all, not_in_time, on_demand, audit], [0; 4]);
        }
    }

    #[test]
    fn audits_take_an_eighth() {
        let now = Instant::now();
        for (limit, places) in [(1, 1), (7, 1), (16, 2), (4096, 512)] {
            let mut gate = Gate::new(limits(limit, 1, 0), now);
            for started in 0..places {
                assert!(gate.has_place(one(Audit)), "{started} of {limit}");
                assert_eq!(gate.admit(&host(1), one(Audit), now), Ok(()), "the limit per host is not for audits");
            }
            assert!(!gate.has_place(one(Audit)), "{limit}");
            assert_eq!(gate.has_place(one(InTime)), limit > 1);
            assert!(gate.per_host.is_empty());
            (0..places).for_each(|_| gate.release(&host(1), one(Audit)));
            assert_eq!((gate.in_flight.all, gate.in_flight.not_in_time, gate.in_flight.audit), (0, 0, 0));
        }
    }

    #[test]
    fn probes_take_no_more_descriptors_than_allowed() {
        let now = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 0), now);
        gate.limit_descriptors(NonZeroU32::new(16).unwrap());
        let claim = |share, descriptors| Claim { share, descriptors };
        // Of 16 descriptors, four are kept from silent targets.
        for (silent, answering) in [(8, 8), (2, 1), (1, 2)] {
            let (silent, answering) = (claim(NotInTime, silent), claim(InTime, answering));
            let mut admitted = Vec::new();
            for claim in [silent, answering] {
                while gate.has_place(claim) {
                    assert_eq!(gate.admit(&host(1), claim, now), Ok(()));
                    admitted.push(claim);
                }
            }
            let open: u32 = admitted.iter().map(|claim| claim.descriptors).sum();
            let of_silent: u32 = admitted
                .iter()
                .filter(|claim| **claim == silent)
                .map(|claim| claim.descriptors)
                .sum();
            assert!(open == 16 && (8..=12).contains(&of_silent), "{admitted:?}");
            for claim in admitted {
                gate.release(&host(1), claim);
            }
            assert_eq!((gate.descriptors.all, gate.descriptors.not_in_time), (0, 0));
        }
    }

    #[test]
    fn a_limit_of_zero_disables_it() {
        let now = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 0), now);
        assert!((0..10_000).all(|_| gate.admit(&host(1), one(InTime), now).is_ok()));
    }

    #[test]
    fn the_rate_holds_over_a_second() {
        let start = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 50), start);
        let mut started = 0;
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(millisecond);
            while gate.admit(&host(1), one(InTime), now).is_ok() {
                started += 1;
            }
        }
        assert!((50..=51).contains(&started), "{started}");
        assert!(matches!(gate.admit(&host(1), one(InTime), start), Err(Blocked::Until(_))));
    }

    #[test]
    fn an_idle_second_gives_no_credit() {
        let start = Instant::now();
        let mut gate = Gate::new(limits(0, 0, 10), start);
        let later = start + Duration::from_mins(1);
        assert!(gate.admit(&host(1), one(InTime), later).is_ok());
        assert!(gate.admit(&host(1), one(InTime), later).is_err());
    }
}
