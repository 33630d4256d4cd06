//! Distinguishes failures of a target from those that this process may have caused by not running.

use tokio::time::Instant;

use super::tcp::errno::ConnectError;
use crate::loop_lag::{LoopLag, Watch};
use crate::outcome::{Class, Fault, LocalFaultReason};
use crate::target::Expect;

impl Watch {
    /// Returns the local fault `overloaded` instead of a failure that depends on time, if this process did not run on
    /// time. Other failures are certain no matter how late they were seen, except one about a response at the `deadline`:
    /// the rest of the response may not have been read.
    pub(super) fn judge(&self, lag: &LoopLag, deadline: Instant, fault: Fault) -> Fault {
        let is_incomplete =
            |class| matches!(class, Class::UnexpectedResponse | Class::Rejected) && Instant::now() >= deadline;
        match (fault, self.pauses(lag)) {
            (Fault::Failure(failure), Some(pauses))
                if depends_on_time(failure.class) || is_incomplete(failure.class) =>
            {
                let detail = format!("{pauses}, so this may not be the target's fault: {}", failure.detail);
                Fault::local(LocalFaultReason::Overloaded, detail)
            }
            (certain, _) => certain,
        }
    }

    /// Returns the expectation that the result of a connect may satisfy. Silence does not satisfy any if this process did
    /// not run on time; a port that it found closed is closed.
    pub(super) fn expectation(&self, lag: &LoopLag, expect: Expect, result: ConnectError) -> Expect {
        match result {
            ConnectError::Answered(class) if depends_on_time(class) && self.pauses(lag).is_some() => Expect::Open,
            _ => expect,
        }
    }
}

/// Whether a failure of this class can result from a process that asks or listens too late: the deadline passes, or the
/// peer gives up first.
pub(super) const fn depends_on_time(class: Class) -> bool {
    matches!(class, Class::DnsTimeout | Class::Timeout | Class::Stalled | Class::Disconnected | Class::Reset)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Phase;

    /// Judges a failure that was seen well before the deadline.
    fn judged(watch: &Watch, lag: &LoopLag, class: Class) -> Fault {
        let deadline = Instant::now() + Duration::from_secs(1);
        watch.judge(lag, deadline, Fault::failure(Phase::Connect, class, "no answer"))
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
    async fn a_late_process_still_finds_closed_ports() {
        measured(async |lag| {
            let watch = Watch::start(lag);
            let expectation = |class| watch.expectation(lag, Expect::Closed, ConnectError::Answered(class));
            assert_eq!(expectation(Class::Timeout), Expect::Closed);
            tokio::time::advance(Duration::from_millis(200)).await;
            assert_eq!(expectation(Class::Timeout), Expect::Open);
            for class in [Class::Refused, Class::Unreachable] {
                assert_eq!(expectation(class), Expect::Closed);
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_incomplete_response_depends_on_time() {
        let incomplete = || Fault::failure(Phase::Protocol, Class::UnexpectedResponse, "no match");
        let announced = || Fault::failure(Phase::Protocol, Class::Rejected, "ready in 3 minutes");
        measured(async |lag| {
            let watch = Watch::start(lag);
            tokio::time::advance(Duration::from_millis(200)).await;
            assert!(matches!(watch.judge(lag, Instant::now(), incomplete()), Fault::LocalFault(_)));
            assert!(matches!(watch.judge(lag, Instant::now(), announced()), Fault::LocalFault(_)));
            let refused = Fault::failure(Phase::Connect, Class::Refused, "RST");
            assert_eq!(watch.judge(lag, Instant::now(), refused.clone()), refused);
        })
        .await;
        measured(async |lag| {
            let watch = Watch::start(lag);
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(watch.judge(lag, Instant::now(), incomplete()), incomplete());
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
