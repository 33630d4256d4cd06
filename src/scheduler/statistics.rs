//! Counters of the scheduler.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scheduled_target::Tick;
use crate::histogram::{Buckets, Histogram};
use crate::locks::lock;

/// The start delays, the probes in flight and the skipped ticks.
#[derive(Debug)]
pub struct Statistics {
    in_flight: AtomicU64,
    skipped_by_limit: AtomicU64,
    skipped_by_overlap: AtomicU64,
    skipped_by_pause: AtomicU64,
    lag: Mutex<Histogram>,
    lag_buckets: Buckets,
}

impl Statistics {
    /// Returns the number of probes in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns the number of ticks skipped because the previous probe was waiting for a limit.
    pub fn skipped_by_limit(&self) -> u64 {
        self.skipped_by_limit.load(Ordering::Relaxed)
    }

    /// Returns the number of ticks skipped because the previous probe was still running.
    pub fn skipped_by_overlap(&self) -> u64 {
        self.skipped_by_overlap.load(Ordering::Relaxed)
    }

    /// Returns the number of ticks skipped because this process did not run.
    pub fn skipped_by_pause(&self) -> u64 {
        self.skipped_by_pause.load(Ordering::Relaxed)
    }

    /// Returns the delays between due time and start, with the bounds of the classic buckets.
    pub fn lag(&self) -> (Histogram, &Buckets) {
        (lock(&self.lag).clone(), &self.lag_buckets)
    }

    pub(super) fn set_in_flight(&self, probes: u32) {
        self.in_flight.store(probes.into(), Ordering::Relaxed);
    }

    pub(super) fn observe_lag(&self, lag: Duration) {
        lock(&self.lag).observe(&self.lag_buckets, lag);
    }

    /// Counts a tick if it is skipped, and the ticks missed after it because this process did not run.
    pub(super) fn count_skipped(&self, tick: Tick, missed: u64) {
        match tick {
            Tick::Due(_) | Tick::Taken => {}
            Tick::Overlap => increase(&self.skipped_by_overlap, 1),
            Tick::StillWaiting => increase(&self.skipped_by_limit, 1),
        }
        increase(&self.skipped_by_pause, missed);
    }
}

impl Default for Statistics {
    fn default() -> Self {
        let lag_buckets = Buckets::of(LAG_BUCKETS);
        Self {
            in_flight: AtomicU64::default(),
            skipped_by_limit: AtomicU64::default(),
            skipped_by_overlap: AtomicU64::default(),
            skipped_by_pause: AtomicU64::default(),
            lag: Mutex::new(Histogram::classic_and_native(&lag_buckets)),
            lag_buckets,
        }
    }
}

fn increase(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// These bounds show whether probes start within a batch and a wake-up (12 ms), lack CPU time, or wait for a limit.
const LAG_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.012, 0.02, 0.05, 0.1, 0.5, 1.0, 10.0];
