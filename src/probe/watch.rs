//! Distinguishes failures of a target from those that this process may have caused by not running.

use std::time::Duration;

use tokio::time::Instant;

use crate::loop_lag::LoopLag;
use crate::outcome::{Class, Failure, Fault, LocalFaultReason};

/// Watches whether this process runs on time during a step of a probe. Small, because thousands of probes may wait.
#[derive(Debug)]
pub(super) struct Watch {
    started: Instant,
    lag_before: Duration,
}

impl Watch {
    /// Starts to watch.
    pub(super) fn start(lag: &LoopLag) -> Self {
        Self { started: Instant::now(), lag_before: lag.total() }
    }

    /// When the step started.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Returns the local fault `overloaded` instead of a failure that depends on time, if this process did not run on
    /// time. Other failures are certain no matter how late they were seen.
    pub(super) fn judge(&self, lag: &LoopLag, fault: Fault) -> Fault {
        match fault {
            Fault::Failure(failure) if depends_on_time(failure.class) => {
                self.overload(lag, &failure).unwrap_or(Fault::Failure(failure))
            }
            certain => certain,
        }
    }

    /// Whether this process did not run for a considerable part of the time.
    pub(super) fn is_late(&self, lag: &LoopLag) -> bool {
        let (lag, elapsed) = self.measured(lag);
        !lag.is_zero() && lag * LEAST_SHARE >= elapsed
    }

    fn overload(&self, lag: &LoopLag, failure: &Failure) -> Option<Fault> {
        self.is_late(lag).then(|| {
            let (missed, elapsed) = self.measured(lag);
            let detail = format!(
                "portprobe did not run for {} ms of {} ms, so this may not be the target's fault: {}",
                missed.as_millis(),
                elapsed.as_millis(),
                failure.detail
            );
            Fault::local(LocalFaultReason::Overloaded, detail)
        })
    }

    fn measured(&self, lag: &LoopLag) -> (Duration, Duration) {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        (lag.total().saturating_sub(self.lag_before), elapsed)
    }
}

/// Whether a failure of this class can result from a process that asks or listens too late: the deadline passes, or the
/// peer gives up first.
const fn depends_on_time(class: Class) -> bool {
    matches!(class, Class::DnsTimeout | Class::Timeout | Class::Stalled | Class::Disconnected | Class::Reset)
}

/// A quarter of the time: thousands of deadlines that pass together keep the loop busy for less.
const LEAST_SHARE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Phase;

    fn judged(watch: &Watch, lag: &LoopLag, class: Class) -> Fault {
        watch.judge(lag, Fault::failure(Phase::Connect, class, "no answer"))
    }

    /// Runs a step on a loop whose lag is measured.
    async fn measured<T>(step: impl AsyncFnOnce(&LoopLag) -> T) -> T {
        let lag = LoopLag::default();
        tokio::select! {
            biased;
            () = lag.measure() => unreachable!("the measurement never ends"),
            result = step(&lag) => result,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_process_blames_itself() {
        measured(async |lag| {
            let watch = Watch::start(lag);
            tokio::time::advance(Duration::from_millis(200)).await;
            for class in Class::ALL {
                let blames_itself = matches!(
                    judged(&watch, lag, class),
                    Fault::LocalFault(fault) if fault.reason == LocalFaultReason::Overloaded
                );
                assert_eq!(blames_itself, depends_on_time(class), "{class:?}");
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_punctual_process_blames_the_target() {
        measured(async |lag| {
            let watch = Watch::start(lag);
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(matches!(judged(&watch, lag, Class::Timeout), Fault::Failure(_)));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_does_not_excuse_a_failure() {
        measured(async |lag| {
            let watch = Watch::start(lag);
            tokio::time::sleep(Duration::from_secs(10)).await;
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(lag.total() >= Duration::from_millis(900), "{lag:?}");
            assert!(matches!(judged(&watch, lag, Class::Stalled), Fault::Failure(_)));
        })
        .await;
    }
}
