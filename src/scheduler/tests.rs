//! Tests of the scheduler with a paused clock and a scripted prober.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::changes::{MAX_ITEMS_IN_ADDITION, MAX_ITEMS_PER_TARGET};
use super::handle::{Command, MAX_CHANGES};
use super::schedule::FirstDue;
use super::*;
use crate::outcome::{Facts, Outcome, Timings};
use crate::target::{Cadence, Host, Settings, example};

mod loans;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The next probe of a target.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It ends after this duration.
    Take(Duration),
    /// It ends at its deadline.
    TimeOut,
    Panic,
}

/// The starts of probes by target, as time since the start of the scheduler.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Vec<(String, Duration)>>>);

impl Journal {
    fn starts(&self, target: &Target) -> Vec<Duration> {
        let journal = self.0.lock().unwrap();
        journal
            .iter()
            .filter(|(name, _)| name == target.name.as_str())
            .map(|(_, at)| *at)
            .collect()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A prober that follows a script for each target. The last step is repeated.
#[derive(Debug)]
struct ScriptedProber {
    origin: Instant,
    journal: Journal,
    scripts: Mutex<HashMap<String, VecDeque<Step>>>,
}

impl Prober for ScriptedProber {
    async fn probe(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let name = target.name.as_str().to_owned();
        let step = {
            let mut scripts = self.scripts.lock().unwrap();
            let script = scripts.get_mut(&name).unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().copied() }.unwrap()
        };
        self.journal.0.lock().unwrap().push((name, Instant::now() - self.origin));
        match step {
            Step::Take(duration) => tokio::time::sleep(duration).await,
            Step::TimeOut => sleep_until(deadline).await,
            Step::Panic => panic!("scripted panic"),
        }
        Outcome {
            facts: Facts::default(),
            client_certificate_not_after: None,
            result: Ok(()),
            duration: SECOND,
            timings: Timings::default(),
            resolution: None,
            attempts: Vec::new(),
        }
    }

    fn descriptors(&self, target: &Target) -> u32 {
        match target.endpoint.host {
            Host::Name(_) => 2,
            Host::Ipv4(_) | Host::Ipv6(..) => 1,
        }
    }
}

/// A running scheduler with its journal and the number of reports that it recorded.
struct Running {
    handle: Handle,
    journal: Journal,
    reports: Arc<AtomicU64>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a scheduler in which `next` follows every report.
    async fn start(script: &[(&Arc<Target>, &[Step])], limits: Limits, next: Next) -> Self {
        Self::start_with(Spread::default(), script, limits, u32::MAX, next).await
    }

    /// As [`Self::start`], with this spread of the first probes.
    async fn start_within(spread: Spread, script: &[(&Arc<Target>, &[Step])], limits: Limits, next: Next) -> Self {
        Self::start_with(spread, script, limits, u32::MAX, next).await
    }

    /// As [`Self::start`], with this spread of the first probes and at most this many descriptors.
    async fn start_with(
        spread: Spread,
        script: &[(&Arc<Target>, &[Step])],
        limits: Limits,
        descriptors: u32,
        next: Next,
    ) -> Self {
        let journal = Journal::default();
        let reports = Arc::new(AtomicU64::default());
        let counted = reports.clone();
        let prober = ScriptedProber {
            origin: Instant::now(),
            journal: journal.clone(),
            scripts: Mutex::new(
                script
                    .iter()
                    .map(|(t, steps)| (t.name.to_string(), steps.iter().copied().collect()))
                    .collect(),
            ),
        };
        let record = move |_: &Report| {
            counted.fetch_add(1, Ordering::Relaxed);
            next
        };
        let (scheduler, handle) = Scheduler::new(prober, record, limits, "machine", Timestamp::default());
        let scheduler = scheduler.with_descriptors(NonZeroU32::new(descriptors).unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(scheduler.run(stop.clone()));
        let upserted = script.iter().map(|(target, _)| Arc::clone(target)).collect();
        handle.change(Change { upserted, spread, ..Change::default() }).await.unwrap();
        Self { handle, journal, reports, stop, task }
    }

    /// Returns the number of ticks skipped by an overlap and by a limit.
    fn skipped(&self) -> (u64, u64) {
        let statistics = self.handle.statistics();
        (statistics.skipped_by_overlap(), statistics.skipped_by_limit())
    }
}

fn target(url: &str, interval: Duration, timeout: Duration) -> Arc<Target> {
    let cadence = Cadence::try_new(interval, timeout).unwrap();
    Arc::new(example(url, Settings { cadence, ..Settings::default() }))
}

/// Returns `count` targets on different hosts.
fn targets(count: u8, interval: Duration) -> Vec<Arc<Target>> {
    (0..count)
        .map(|n| target(&format!("127.0.1.{n}:1"), interval, interval))
        .collect()
}

/// Returns the same script for each target.
fn same<'a>(targets: &'a [Arc<Target>], steps: &'a [Step]) -> Vec<(&'a Arc<Target>, &'a [Step])> {
    targets.iter().map(|target| (target, steps)).collect()
}

/// Returns the time from the start to the first tick.
fn first_tick(target: &Target) -> Duration {
    let interval = target.settings.cadence.interval();
    FirstDue::at(Timestamp::default(), interval, schedule::seed(&target.name, "machine"), Spread::default()).tick
}

fn limits(in_flight: u32, per_host: u32, per_second: u32) -> Limits {
    Limits {
        targets: None,
        in_flight: NonZeroU32::new(in_flight),
        per_host: NonZeroU32::new(per_host),
        per_second: NonZeroU32::new(per_second),
    }
}

/// Runs everything that is due within `elapsed` of the start.
async fn until(origin: Instant, elapsed: Duration) {
    sleep_until(origin + elapsed).await;
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// Asserts that starts lie on the grid of the first tick, each late by at most a batch.
fn assert_on_grid(starts: &[Duration], first: Duration, interval: Duration) {
    for (n, start) in starts.iter().enumerate() {
        let due = first + interval * u32::try_from(n).unwrap();
        assert!(*start >= due && *start < due + 12 * MILLISECOND, "probe {n} was due at {due:?}, came at {start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_start_on_the_grid_never_early() {
    let target = target("127.0.0.1:1", 10 * SECOND, SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::Take(SECOND)])], Limits::default(), Next::OnSchedule).await;
    until(origin, first.saturating_sub(MILLISECOND)).await;
    assert_eq!(running.journal.len(), 0);
    until(origin, first + 12 * MILLISECOND).await;
    assert_eq!(running.journal.len(), 1);
    until(origin, first + 95 * SECOND).await;
    let starts = running.journal.starts(&target);
    assert_eq!(starts.len(), 10);
    assert_on_grid(&starts, first, 10 * SECOND);
    assert_eq!(running.skipped(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_interval_starts_within_a_minute() {
    let target = target("127.0.0.1:1", Duration::from_hours(24), SECOND);
    let (origin, tick) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::Take(SECOND)])], Limits::default(), Next::OnSchedule).await;
    until(origin, Duration::from_mins(1)).await;
    assert_eq!(running.journal.len(), 1);
    until(origin, tick.saturating_sub(SECOND)).await;
    assert_eq!(running.journal.len(), 1);
    until(origin, tick + SECOND).await;
    assert_on_grid(&running.journal.starts(&target)[1..], tick, Duration::from_hours(24));
    assert_eq!((running.journal.len(), running.skipped()), (2, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_long_probe_skips_ticks() {
    let target = target("127.0.0.1:1", 10 * SECOND, SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let steps = [Step::Take(25 * SECOND), Step::Take(SECOND)];
    let running = Running::start(&[(&target, &steps)], Limits::default(), Next::OnSchedule).await;
    until(origin, first + 35 * SECOND).await;
    let starts = running.journal.starts(&target);
    assert_eq!(starts.len(), 2);
    assert_on_grid(&starts[1..], first + 30 * SECOND, 10 * SECOND);
    assert_eq!(running.skipped(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_skips_no_tick() {
    let target = target("127.0.0.1:1", SECOND, SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::TimeOut])], Limits::default(), Next::Retry(SECOND)).await;
    until(origin, first + 1000 * SECOND + 500 * MILLISECOND).await;
    let starts = running.journal.starts(&target);
    assert_eq!(starts.len(), 1001);
    assert_on_grid(&starts, first, SECOND);
    assert_eq!(running.skipped(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_move_the_grid() {
    let target = target("127.0.0.1:1", 10 * SECOND, SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::Take(SECOND)])], Limits::default(), Next::Retry(2 * SECOND)).await;
    until(origin, first + 10 * SECOND + 500 * MILLISECOND).await;
    // Each takes 1 s and is retried 2 s after its end: at 0, 3, 6, 9. The one at 9 covers the tick at 10.
    let starts = running.journal.starts(&target);
    assert_eq!(starts.len(), 4, "{starts:?}");
    for (start, after) in starts.iter().zip([0, 3, 6, 9]) {
        let late = start.saturating_sub(first + after * SECOND);
        assert!(*start >= first + after * SECOND && late < 50 * MILLISECOND, "{starts:?}");
    }
    assert_eq!(running.skipped(), (0, 0), "a retry covers a tick that occurs during it");
    until(origin, first + 20 * SECOND + 20 * MILLISECOND).await;
    let last = running.journal.starts(&target).last().copied().unwrap();
    assert_on_grid(&[last], first + 20 * SECOND, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_next_tick_is_skipped() {
    let target = target("127.0.0.1:1", 10 * SECOND, SECOND);
    let (origin, first) = (Instant::now(), first_tick(&target));
    let running = Running::start(&[(&target, &[Step::Take(SECOND)])], Limits::default(), Next::Retry(9 * SECOND)).await;
    until(origin, first + 35 * SECOND).await;
    assert_on_grid(&running.journal.starts(&target), first, 10 * SECOND);
    assert_eq!((running.journal.len(), running.skipped()), (4, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_limit_starves_no_target() {
    let targets = targets(20, 10 * SECOND);
    let steps = [Step::Take(5 * SECOND)];
    let script = same(&targets, &steps);
    let origin = Instant::now();
    // Two at a time, 5 s each: four probes in 10 s for twenty targets.
    let running = Running::start(&script, limits(2, 0, 0), Next::OnSchedule).await;
    until(origin, 1000 * SECOND).await;
    let counts: Vec<_> = targets.iter().map(|target| running.journal.starts(target).len()).collect();
    assert!(counts.iter().all(|count| (18..=21).contains(count)), "{counts:?}");
    let (overlap, limit) = running.skipped();
    let made: usize = counts.iter().sum();
    assert!(limit > 1000, "{limit}");
    assert!((2000 - overlap - limit).abs_diff(made as u64) <= 20, "every tick is probed or counted as skipped");
}

#[tokio::test(start_paused = true)]
async fn a_limit_delays_probes_but_skips_none() {
    let targets = targets(20, 10 * SECOND);
    let steps = [Step::Take(SECOND)];
    let script = same(&targets, &steps);
    let origin = Instant::now();
    let running = Running::start(&script, limits(3, 0, 0), Next::OnSchedule).await;
    until(origin, 1005 * SECOND).await;
    let expected = targets.iter().filter(|target| first_tick(target) <= 5 * SECOND).count() + 20 * 100;
    assert!(running.journal.len().abs_diff(expected) <= 3, "{} of {expected}", running.journal.len());
    assert_eq!(running.skipped(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_busy_host_does_not_delay_others() {
    let busy: Vec<_> = (1..=10)
        .map(|port| target(&format!("127.0.0.1:{port}"), 10 * SECOND, SECOND))
        .collect();
    let other = target("127.0.0.2:1", SECOND, SECOND);
    let steps = [Step::Take(8 * SECOND)];
    let mut script = same(&busy, &steps);
    script.push((&other, &[Step::Take(MILLISECOND)]));
    let origin = Instant::now();
    let running = Running::start(&script, limits(0, 1, 0), Next::OnSchedule).await;
    until(origin, first_tick(&other) + 400 * SECOND + 500 * MILLISECOND).await;
    let starts = running.journal.starts(&other);
    assert_eq!(starts.len(), 401);
    assert_on_grid(&starts, first_tick(&other), SECOND);
    let counts: Vec<_> = busy.iter().map(|target| running.journal.starts(target).len()).collect();
    assert!(counts.iter().all(|count| (4..=6).contains(count)), "first due, first served: {counts:?}");
}

/// The silent targets want four times the places or descriptors that there are, in total or for their host.
#[tokio::test(start_paused = true)]
async fn silent_targets_cost_answering_ones_no_probe() {
    let silent: Vec<_> = (1..=32)
        .map(|port| target(&format!("127.0.0.1:{port}"), 10 * SECOND, 10 * SECOND))
        .collect();
    let answering: Vec<_> = (101..=102)
        .map(|port| target(&format!("127.0.0.1:{port}"), SECOND, SECOND))
        .collect();
    let steps = [Step::Take(100 * MILLISECOND)];
    let places = [limits(8, 0, 0), limits(0, 8, 0), limits(8, 8, 0)].map(|limits| (limits, 1000));
    for (limits, descriptors) in places.into_iter().chain([(limits(0, 0, 0), 8)]) {
        let script = [same(&silent, &[Step::TimeOut]), same(&answering, &steps)].concat();
        let origin = Instant::now();
        let running = Running::start_with(Spread::default(), &script, limits, descriptors, Next::OnSchedule).await;
        // Until its first probe, an answering target waits in line with the silent ones.
        let warm = 10 * SECOND;
        until(origin, warm + 1000 * SECOND).await;
        for target in &answering {
            let starts = running.journal.starts(target).into_iter().filter(|start| *start > warm);
            let starts: Vec<_> = starts.collect();
            assert_eq!(starts.len(), 1000, "{limits:?}");
            assert_on_grid(&starts, warm + first_tick(target), SECOND);
        }
        let of_silent: usize = silent.iter().map(|target| running.journal.starts(target).len()).sum();
        assert!(of_silent >= 6 * 100, "three quarters of the places are theirs: {of_silent} with {limits:?}");
        running.stop.cancel();
        running.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn probes_wait_for_all_their_descriptors() {
    let names: Vec<_> = (1..=9)
        .map(|n| target(&format!("host-{n}.example:1"), 10 * SECOND, 10 * SECOND))
        .collect();
    let address = target("127.0.0.1:1", SECOND, SECOND);
    let (in_time, steps) = ([Step::Take(MILLISECOND)], [Step::TimeOut]);
    let mut script = same(&names, &steps);
    script.push((&address, &in_time));
    let origin = Instant::now();
    let running = Running::start_with(Spread::default(), &script, limits(0, 0, 0), 12, Next::OnSchedule).await;
    until(origin, 15 * SECOND).await;
    assert_eq!(running.handle.statistics().in_flight(), 4, "nine of twelve, two for each name");
    assert!(running.journal.starts(&address).len() >= 4, "an address needs only one");
    until(origin, 100 * SECOND).await;
    assert!(names.iter().all(|name| running.journal.starts(name).len() >= 3), "no name is left out");
}

#[tokio::test(start_paused = true)]
async fn the_rate_spreads_starts() {
    let targets = targets(100, 10 * SECOND);
    let steps = [Step::Take(MILLISECOND)];
    let script = same(&targets, &steps);
    let origin = Instant::now();
    let running = Running::start(&script, limits(0, 0, 4), Next::OnSchedule).await;
    until(origin, 100 * SECOND).await;
    assert!((395..=402).contains(&running.journal.len()), "{}", running.journal.len());
    let counts: Vec<_> = targets.iter().map(|target| running.journal.starts(target).len()).collect();
    assert!(counts.iter().all(|count| (3..=5).contains(count)), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_target_keeps_its_grid() {
    let stays = target("127.0.0.1:1", 10 * SECOND, SECOND);
    let goes = target("127.0.0.2:1", 10 * SECOND, SECOND);
    let changes = target("127.0.0.3:1", 10 * SECOND, SECOND);
    let faster = target("127.0.0.3:1", 2 * SECOND, SECOND);
    let step: &[Step] = &[Step::Take(MILLISECOND)];
    let origin = Instant::now();
    let script = [(&stays, step), (&goes, step), (&changes, step)];
    let running = Running::start(&script, Limits::default(), Next::OnSchedule).await;
    until(origin, 50 * SECOND).await;
    assert_eq!(running.journal.len(), 15);
    let change = Change { upserted: vec![faster.clone()], removed: vec![goes.name.clone()], ..Change::default() };
    running.handle.change(change).await.unwrap();
    until(origin, 100 * SECOND).await;
    assert_on_grid(&running.journal.starts(&stays), first_tick(&stays), 10 * SECOND);
    assert_eq!(running.journal.starts(&stays).len(), 10);
    assert_eq!(running.journal.starts(&goes).len(), 5);
    let starts = running.journal.starts(&faster);
    assert_eq!(starts.len(), 5 + 25, "a changed interval takes effect without a burst");
    assert_on_grid(&starts[5..], 50 * SECOND + first_tick(&faster), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_removed_waiting_target_unblocks_its_host() {
    let ports: Vec<_> = (1..=3)
        .map(|port| target(&format!("127.0.0.1:{port}"), 100 * MILLISECOND, MILLISECOND))
        .collect();
    let steps = [Step::Take(SECOND)];
    let script = same(&ports, &steps);
    let origin = Instant::now();
    let running = Running::start(&script, limits(0, 1, 0), Next::OnSchedule).await;
    until(origin, 500 * MILLISECOND).await;
    assert_eq!(running.journal.len(), 1);
    let probed = ports
        .iter()
        .position(|target| !running.journal.starts(target).is_empty())
        .unwrap();
    let waiting = |place: usize| &ports[(probed + place) % 3];
    // Either of the two waiting ones can be the first.
    let (goes, stays) = (waiting(1), waiting(2));
    running
        .handle
        .change(Change { removed: vec![goes.name.clone()], ..Change::default() })
        .await
        .unwrap();
    until(origin, 2 * SECOND).await;
    assert_eq!(running.journal.starts(stays).len(), 1);
    // Removing the running one frees its slot at once.
    let removed = vec![ports[probed].name.clone()];
    running.handle.change(Change { removed, ..Change::default() }).await.unwrap();
    until(origin, 10 * SECOND).await;
    assert!(running.journal.starts(stays).len() >= 8, "{:?}", running.journal.starts(stays));
    assert!(running.journal.starts(goes).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_affects_only_its_probe() {
    let (bad, well) = (target("127.0.0.1:1", SECOND, SECOND), target("127.0.0.1:2", SECOND, SECOND));
    let script: [(_, &[Step]); 2] = [(&bad, &[Step::Panic]), (&well, &[Step::Take(MILLISECOND)])];
    let origin = Instant::now();
    let running = Running::start(&script, limits(1, 1, 0), Next::OnSchedule).await;
    until(origin, 100 * SECOND).await;
    assert!(running.journal.starts(&bad).len() >= 99 && running.journal.starts(&well).len() >= 99);
    assert_eq!(running.handle.statistics().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn ticks_during_a_pause_count_as_paused() {
    let target = target("127.0.0.1:1", SECOND, SECOND);
    let steps = [(Step::Take(MILLISECOND), 4), (Step::Take(800 * MILLISECOND), 3), (Step::TimeOut, 3)];
    for (step, probes) in steps {
        let origin = Instant::now();
        let running = Running::start(&[(&target, &[step])], Limits::default(), Next::OnSchedule).await;
        let first = first_tick(&target);
        until(origin, first + 500 * MILLISECOND).await;
        assert_eq!(running.journal.len(), 1);
        tokio::time::advance(10 * SECOND).await;
        until(origin, first + 10 * SECOND + 600 * MILLISECOND).await;
        assert_eq!((running.journal.len(), running.skipped()), (2, (0, 0)), "{step:?}");
        assert_eq!(running.handle.statistics().skipped_by_pause(), 9, "{step:?}");
        until(origin, first + 12 * SECOND + 500 * MILLISECOND).await;
        assert_eq!(running.journal.len(), probes, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_probes_start_within_their_spread() {
    for (count, within) in [(3_u16, 6 * MILLISECOND), (1000, 2 * SECOND)] {
        let targets: Vec<_> = (1..=count)
            .map(|port| target(&format!("127.0.0.1:{port}"), Duration::from_mins(1), SECOND))
            .collect();
        let origin = Instant::now();
        let script = same(&targets, &[Step::Take(MILLISECOND)]);
        let spread = Spread::of(targets.len());
        let running = Running::start_within(spread, &script, limits(0, 0, 0), Next::OnSchedule).await;
        until(origin, within + 12 * MILLISECOND).await;
        let firsts: Vec<_> = targets.iter().map(|target| running.journal.starts(target)[0]).collect();
        assert!(firsts.iter().max().unwrap() > &(within / 2), "they are spread: {firsts:?}");
        until(origin, Duration::from_mins(1) + 12 * MILLISECOND).await;
        for target in &targets {
            let last = running.journal.starts(target).last().copied().unwrap();
            assert_on_grid(&[last], first_tick(target), Duration::from_mins(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_aborts_probes_in_flight() {
    let target = target("127.0.0.1:1", SECOND, SECOND);
    let origin = Instant::now();
    let running = Running::start(&[(&target, &[Step::TimeOut])], Limits::default(), Next::OnSchedule).await;
    until(origin, first_tick(&target) + 500 * MILLISECOND).await;
    assert_eq!(running.handle.statistics().in_flight(), 1);
    running.stop.cancel();
    running.task.await.unwrap();
    assert_eq!((running.reports.load(Ordering::Relaxed), running.handle.statistics().in_flight()), (0, 0));
    assert!(running.handle.change(Change::default()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn removing_a_target_aborts_its_probe() {
    let target = target("127.0.0.1:1", 10 * SECOND, 10 * SECOND);
    let origin = Instant::now();
    let running = Running::start(&[(&target, &[Step::TimeOut])], limits(1, 1, 0), Next::OnSchedule).await;
    let started = first_tick(&target);
    until(origin, started + SECOND).await;
    assert_eq!(running.handle.statistics().in_flight(), 1);
    let removed = vec![target.name.clone()];
    running.handle.change(Change { removed, ..Change::default() }).await.unwrap();
    until(origin, started + 2 * SECOND).await;
    assert_eq!(running.handle.statistics().in_flight(), 0);
    let upserted = vec![target.clone()];
    running.handle.change(Change { upserted, ..Change::default() }).await.unwrap();
    until(origin, started + 19 * SECOND).await;
    let counts = (running.journal.starts(&target).len(), running.reports.load(Ordering::Relaxed));
    assert_eq!(counts, (2, 0), "the second is running, the first was not reported");
    until(origin, started + 20 * SECOND).await;
    assert_eq!(running.reports.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_probe_is_repeated_with_new_settings() {
    let before = target("127.0.0.1:1", 10 * SECOND, 5 * SECOND);
    let after = target("127.0.0.1:1", 10 * SECOND, 6 * SECOND);
    let origin = Instant::now();
    let take = |duration| [Step::Take(duration)];
    // `record` has the new settings from the start.
    let running = Running::start(&[(&before, &take(SECOND))], Limits::default(), Next::Repeat).await;
    let first = first_tick(&before);
    until(origin, first + 24 * SECOND).await;
    assert_on_grid(&running.journal.starts(&before), first, 10 * SECOND);
    assert_eq!(running.journal.len(), 3, "no burst while the scheduler has the old settings");
    let upserted = vec![after.clone()];
    running.handle.change(Change { upserted, ..Change::default() }).await.unwrap();
    until(origin, first + 25 * SECOND).await;
    assert_eq!(running.journal.len(), 4, "the repeated probe");
    until(origin, first + 29 * SECOND).await;
    assert_eq!(running.journal.len(), 4);
    until(origin, first + 30 * SECOND + 500 * MILLISECOND).await;
    assert_eq!(running.journal.len(), 5, "the grid continues");
    // Settings that arrive during a probe: the next one starts as soon as it has ended.
    let upserted = vec![before.clone()];
    running.handle.change(Change { upserted, ..Change::default() }).await.unwrap();
    until(origin, first + 32 * SECOND).await;
    assert_eq!(running.journal.len(), 6);
}

/// Returns a scheduler that does not run; the test applies each command.
fn at_rest() -> Scheduler<ScriptedProber, impl Fn(&Report) -> Next + Send + Sync> {
    let (origin, journal, scripts) = (Instant::now(), Journal::default(), Mutex::default());
    let prober = ScriptedProber { origin, journal, scripts };
    let record = |_: &Report| Next::OnSchedule;
    Scheduler::new(prober, record, Limits::default(), "machine", Timestamp::default()).0
}

#[tokio::test]
async fn frequent_changes_leave_no_stale_items() {
    let mut scheduler = at_rest();
    for round in 0..1000 {
        let interval = SECOND * if round % 2 == 0 { 60 } else { 3600 + round };
        let upserted = targets(10, interval);
        scheduler.change(Command { change: Change { upserted, ..Change::default() }, done: oneshot::channel().0 });
        let most = MAX_ITEMS_PER_TARGET * 10 + MAX_ITEMS_IN_ADDITION;
        assert!(scheduler.due_queue.len() <= most, "{} items in round {round}", scheduler.due_queue.len());
    }
    let (index, next) = (&scheduler.index, Instant::now() + 5000 * SECOND);
    let mut kept = Vec::new();
    while let Some(batch) = scheduler.due_queue.pop_started(next) {
        kept.extend(
            batch
                .filter(|(due, id)| index.get(*id).unwrap().tick() == *due)
                .map(|(_, id)| id),
        );
    }
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len(), 10, "each target keeps its next tick");
}

#[tokio::test(start_paused = true)]
async fn a_large_change_is_applied_completely() {
    let many: Vec<_> = (1..=u16::try_from(MAX_CHANGES * 5 / 2).unwrap())
        .map(|port| target(&format!("127.0.0.1:{port}"), SECOND, SECOND))
        .collect();
    let origin = Instant::now();
    let script = same(&many, &[Step::Take(Duration::ZERO)]);
    let running = Running::start(&script, limits(4096, 4096, 0), Next::OnSchedule).await;
    until(origin, 3 * SECOND).await;
    assert!(many.iter().all(|target| !running.journal.starts(target).is_empty()));
    let removed = many.iter().map(|target| target.name.clone()).collect();
    running.handle.change(Change { removed, ..Change::default() }).await.unwrap();
    let made = running.journal.len();
    until(origin, 10 * SECOND).await;
    assert_eq!(running.journal.len(), made);
}

/// Requests permits and collects those that are granted.
#[derive(Clone)]
struct Clients {
    handle: Handle,
    granted: Arc<Mutex<Vec<Permit>>>,
}

impl Clients {
    fn of(running: &Running) -> Self {
        Self { handle: running.handle.clone(), granted: Arc::default() }
    }

    fn request(&self, target: &Arc<Target>) -> tokio::task::JoinHandle<()> {
        self.request_for(Purpose::Demand, target)
    }

    fn request_for(&self, purpose: Purpose, target: &Arc<Target>) -> tokio::task::JoinHandle<()> {
        let (clients, target) = (self.clone(), target.clone());
        tokio::spawn(async move {
            let permit = clients.handle.acquire(target, purpose).await.unwrap();
            clients.granted.lock().unwrap().push(permit);
        })
    }

    fn granted(&self) -> usize {
        self.granted.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn permits_on_demand_delay_no_due_probe() {
    let targets = targets(20, 10 * SECOND);
    let steps = [Step::Take(MILLISECOND)];
    let origin = Instant::now();
    let running = Running::start(&same(&targets, &steps), limits(4, 0, 0), Next::OnSchedule).await;
    let clients = Clients::of(&running);
    let on_demand = target("127.0.0.9:1", SECOND, SECOND);
    let requests: Vec<_> = (0..100).map(|_| clients.request(&on_demand)).collect();
    until(origin, 95 * SECOND).await;
    assert_eq!(clients.granted(), 1, "a quarter of the places");
    for target in &targets {
        assert_on_grid(&running.journal.starts(target), first_tick(target), 10 * SECOND);
    }
    assert_eq!(running.skipped(), (0, 0));
    requests.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_permit_serves_the_next_client() {
    let running = Running::start(&[], limits(8, 0, 0), Next::OnSchedule).await;
    let clients = Clients::of(&running);
    let on_demand = target("127.0.0.9:1", SECOND, SECOND);
    let origin = Instant::now();
    let mut requests: Vec<_> = (0..5).map(|_| clients.request(&on_demand)).collect();
    until(origin, SECOND).await;
    assert_eq!((clients.granted(), running.handle.statistics().in_flight()), (2, 2));
    // Clients that disconnect leave no trace.
    requests.drain(2..4).for_each(|request| request.abort());
    clients.granted.lock().unwrap().clear();
    until(origin, 2 * SECOND).await;
    assert_eq!((clients.granted(), running.handle.statistics().in_flight()), (1, 1));
    clients.granted.lock().unwrap().clear();
    until(origin, 3 * SECOND).await;
    assert_eq!(running.handle.statistics().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_at_its_limit_delays_no_other_client() {
    let running = Running::start(&[], limits(0, 4, 0), Next::OnSchedule).await;
    let clients = Clients::of(&running);
    let [busy, other] = ["127.0.0.8:1", "127.0.0.9:1"].map(|url| target(url, SECOND, SECOND));
    let origin = Instant::now();
    let _requests: Vec<_> = [&busy, &busy, &busy, &other].map(|target| clients.request(target)).into();
    until(origin, SECOND).await;
    assert_eq!(clients.granted(), 2);
    for left in [2, 1, 0] {
        clients.granted.lock().unwrap().remove(0);
        until(origin, Duration::from_secs(5 - left)).await;
    }
    assert_eq!(clients.granted(), 1, "each waiting client had its turn");
}

#[tokio::test(start_paused = true)]
async fn audits_come_after_clients() {
    let running = Running::start(&[], limits(16, 0, 0), Next::OnSchedule).await;
    let (clients, audits) = (Clients::of(&running), Clients::of(&running));
    let host = target("127.0.0.9:1", SECOND, SECOND);
    let origin = Instant::now();
    let requests: Vec<_> = (0..5).map(|_| clients.request(&host)).collect();
    until(origin, SECOND).await;
    let _audits: Vec<_> = (0..5).map(|_| audits.request_for(Purpose::Audit, &host)).collect();
    until(origin, 2 * SECOND).await;
    assert_eq!((clients.granted(), audits.granted()), (4, 0), "the fifth client waits");
    clients.granted.lock().unwrap().pop();
    until(origin, 3 * SECOND).await;
    assert_eq!((clients.granted(), audits.granted()), (4, 2), "an eighth of the places");
    requests.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn audits_delay_no_due_probe() {
    let targets = targets(20, 10 * SECOND);
    let origin = Instant::now();
    let running = Running::start(&same(&targets, &[Step::Take(MILLISECOND)]), limits(16, 1, 0), Next::OnSchedule).await;
    let audits = Clients::of(&running);
    let _audits: Vec<_> = (0..100).map(|_| audits.request_for(Purpose::Audit, &targets[0])).collect();
    until(origin, 95 * SECOND).await;
    assert_eq!(audits.granted(), 2);
    for target in &targets {
        assert_on_grid(&running.journal.starts(target), first_tick(target), 10 * SECOND);
    }
    assert_eq!(running.skipped(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn permits_obey_the_rate() {
    let running = Running::start(&[], limits(0, 0, 10), Next::OnSchedule).await;
    let clients = Clients::of(&running);
    let on_demand = target("127.0.0.9:1", SECOND, SECOND);
    let origin = Instant::now();
    let _requests: Vec<_> = (0..100).map(|_| clients.request(&on_demand)).collect();
    until(origin, 2 * SECOND + 50 * MILLISECOND).await;
    assert!((20..=22).contains(&clients.granted()), "{}", clients.granted());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_scheduler_grants_nothing() {
    let running = Running::start(&[], limits(4, 0, 0), Next::OnSchedule).await;
    let on_demand = target("127.0.0.9:1", SECOND, SECOND);
    let _permit = running.handle.acquire(on_demand.clone(), Purpose::Demand).await.unwrap();
    let waiting = tokio::spawn({
        let (handle, on_demand) = (running.handle.clone(), on_demand.clone());
        async move { handle.acquire(on_demand, Purpose::Demand).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    running.stop.cancel();
    running.task.await.unwrap();
    assert_eq!(waiting.await.unwrap(), Err(AcquireError::Stopped));
    assert_eq!(running.handle.acquire(on_demand, Purpose::Demand).await.map(|_| ()), Err(AcquireError::Stopped));
    running.handle.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_waiting_clients_are_refused() {
    let running = Running::start(&[], limits(4, 0, 0), Next::OnSchedule).await;
    let on_demand = target("127.0.0.9:1", SECOND, SECOND);
    let clients = Clients::of(&running);
    let requests: Vec<_> = (0..1025).map(|_| clients.request(&on_demand)).collect();
    until(Instant::now(), SECOND).await;
    assert_eq!(
        running.handle.acquire(on_demand.clone(), Purpose::Demand).await.map(|_| ()),
        Err(AcquireError::TooMany)
    );
    // Clients that have disconnected do not count.
    requests.iter().skip(1).for_each(tokio::task::JoinHandle::abort);
    until(Instant::now(), SECOND).await;
    clients.granted.lock().unwrap().clear();
    assert!(running.handle.acquire(on_demand, Purpose::Demand).await.is_ok());
}
