//! Scheduler and board together, with a paused clock: the time until a failing target is confirmed down.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::board::{State, Transition};
use crate::clock::Timestamp;
use crate::histogram::Buckets;
use crate::options::{HistogramOptions, Limits};
use crate::outcome::{Class, Facts, Failure, Fault, Outcome, Phase, Prober, Timings};
use crate::scheduler::Change;
use crate::target::{Cadence, Confirm, Settings, Target, example};

/// A target that is up until a point in time, and then refuses or is silent.
#[derive(Clone, Copy, Debug)]
struct GoesDown {
    at: Instant,
    silent: bool,
}

impl Prober for GoesDown {
    async fn probe(&self, _: &Arc<Target>, deadline: Instant) -> Outcome {
        let down = Instant::now() >= self.at;
        if down && self.silent {
            sleep_until(deadline).await;
        }
        let failure = || Failure { phase: Phase::Connect, class: Class::Timeout, detail: "gone".into() };
        Outcome {
            facts: Facts::default(),
            client_certificate_not_after: None,
            result: if down { Err(Fault::Failure(failure())) } else { Ok(()) },
            duration: Duration::from_millis(1),
            timings: Timings::default(),
            resolution: None,
            attempts: Vec::new(),
        }
    }

    fn descriptors(&self, _: &Target) -> u32 {
        1
    }
}

/// Returns the time from the start of the failure to the confirmed state.
async fn detection(settings: Settings, lasts: Duration, silent: bool) -> Duration {
    let goes = Instant::now() + lasts;
    let target = Arc::new(example("127.0.0.1:1", settings));
    let options = HistogramOptions { buckets: Buckets::default(), native: false, phases: Vec::new() };
    let board = Board::new(options);
    board.replace(std::slice::from_ref(&target));
    let (noted, mut detected) = mpsc::unbounded_channel();
    let record = move |report: &Report| {
        let recorded = board.record(report);
        if let Some(Transition { to: State::Down, .. }) = &recorded.transition {
            noted.send(report.ended).unwrap();
        }
        recorded.next
    };
    let prober = GoesDown { at: goes, silent };
    let (scheduler, handle) = Scheduler::new(prober, record, Limits::default(), "machine", Timestamp::default());
    let stop = CancellationToken::new();
    let run = tokio::spawn(scheduler.run(stop.clone()));
    handle
        .change(Change { upserted: vec![target], ..Change::default() })
        .await
        .unwrap();
    let detected = detected.recv().await.unwrap();
    stop.cancel();
    run.await.unwrap();
    detected - goes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The documented bounds, plus for each probe the batch in which it may start late.
    #[test]
    fn detection_takes_no_longer_than_documented(
        interval in 100_u64..5_000,
        timeout_share in 1_u64..=100,
        failures in 1_u32..5,
        delay in prop_oneof![Just(0_u64), 1_u64..6_000],
        lasts in 0_u64..20_000,
        silent: bool,
    ) {
        let interval = Duration::from_millis(interval);
        let timeout = (interval * u32::try_from(timeout_share).unwrap() / 100).max(Duration::from_millis(1));
        let delay = Duration::from_millis(delay);
        let settings = Settings {
            cadence: Cadence::try_new(interval, timeout).unwrap(),
            confirm: Confirm { failures: NonZeroU32::new(failures).unwrap(), delay, ..Confirm::default() },
            ..Settings::default()
        };
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let took = runtime.block_on(detection(settings, Duration::from_millis(lasts), silent));
        let batches = Duration::from_millis(12) * failures;
        let bound = match (delay.is_zero(), silent) {
            (true, _) => failures * interval + timeout,
            (false, true) => interval + failures * timeout + (failures - 1) * delay,
            (false, false) => interval + (failures - 1) * delay,
        };
        prop_assert!(took <= bound + batches, "took {took:?}, documented {bound:?}");
    }
}
