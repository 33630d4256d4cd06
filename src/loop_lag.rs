//! The lag of the event loop: how long this process did not run although it should have.
//!
//! A timer that fires late shows that the process was stopped, had no CPU or was busy. A deadline that passes meanwhile
//! reveals nothing about a peer: its answer may have been late only because this process asked or listened late.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The total lag of the event loop, measured by a timer on it.
///
/// Without [`LoopLag::measure`] the lag is zero.
#[derive(Debug)]
pub struct LoopLag {
    origin: Instant,
    /// The next beat in nanoseconds since the origin; 0 while nothing is measured.
    next_beat: AtomicU64,
    /// Completed lag in nanoseconds.
    total: AtomicU64,
}

impl Default for LoopLag {
    fn default() -> Self {
        Self { origin: Instant::now(), next_beat: AtomicU64::new(0), total: AtomicU64::new(0) }
    }
}

impl LoopLag {
    /// Measures the lag of the event loop that polls this future. Never ends.
    pub async fn measure(&self) {
        loop {
            let beat = Instant::now() + BEAT;
            self.next_beat.store(self.nanos(beat), Ordering::Relaxed);
            sleep_until(beat).await;
            self.total.fetch_add(nanos(late(beat, Instant::now())), Ordering::Relaxed);
        }
    }

    /// The lag since the origin, including the present one. Only differences are of interest.
    pub fn total(&self) -> Duration {
        let completed = Duration::from_nanos(self.total.load(Ordering::Relaxed));
        match self.next_beat.load(Ordering::Relaxed) {
            0 => completed,
            next => completed + late(self.origin + Duration::from_nanos(next), Instant::now()),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.origin)).max(1)
    }
}

/// Measures during one step whether this process runs on time. Small, because thousands of probes may wait.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    started: Instant,
    lag_before: Duration,
}

impl Watch {
    /// Starts to measure.
    pub fn start(lag: &LoopLag) -> Self {
        Self { started: Instant::now(), lag_before: lag.total() }
    }

    /// When the step started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Returns the pauses of this process, if it did not run for a considerable part of the step.
    pub fn pauses(&self, lag: &LoopLag) -> Option<Pauses> {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        let missed = lag.total().saturating_sub(self.lag_before);
        (!missed.is_zero() && missed * LEAST_SHARE >= elapsed).then_some(Pauses { missed, elapsed })
    }
}

/// A considerable time in which this process did not run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pauses {
    missed: Duration,
    elapsed: Duration,
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missed, elapsed) = (self.missed.as_millis(), self.elapsed.as_millis());
        write!(f, "portprobe did not run for {missed} ms of {elapsed} ms")
    }
}

/// Delay of a timer, beyond the usual one.
fn late(due: Instant, now: Instant) -> Duration {
    let late = now.saturating_duration_since(due);
    if late > TOLERANCE { late } else { Duration::ZERO }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Shorter than the period in which the kernel limits the CPU time of a group (100 ms), so that no pause lies between two
/// beats. Forty wake-ups per second cost less than a thousandth of a CPU.
const BEAT: Duration = Duration::from_millis(25);

/// A quarter of the time: thousands of deadlines that pass together keep the loop busy for less.
const LEAST_SHARE: u32 = 4;

/// Timers have a resolution of a millisecond, and probes start in batches.
const TOLERANCE: Duration = Duration::from_millis(15);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_punctual_loop_has_no_lag() {
        let lag = LoopLag::default();
        tokio::select! {
            () = lag.measure() => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
        assert_eq!(lag.total(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_loop_lags() {
        let lag = LoopLag::default();
        let mut measurement = pin!(lag.measure());
        let mut context = Context::from_waker(Waker::noop());
        assert!(measurement.as_mut().poll(&mut context).is_pending());
        advance(BEAT + Duration::from_millis(300)).await;
        assert_eq!(lag.total(), Duration::from_millis(300), "the present lag counts");
        assert!(measurement.as_mut().poll(&mut context).is_pending());
        assert_eq!(lag.total(), Duration::from_millis(300), "it counts once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unmeasured_loop_has_no_lag() {
        let lag = LoopLag::default();
        advance(TOLERANCE * 2).await;
        assert_eq!(lag.total(), Duration::ZERO);
    }
}
