//! The durations of a run, and the load of both programs.

use std::time::Duration;

/// The durations of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The number of rounds of baseline and daemon.
    pub(crate) rounds: usize,
    /// The same for sections whose rounds take minutes.
    pub(crate) long_rounds: usize,
    /// The duration of the baseline in a round.
    pub(crate) baseline: Duration,
    /// The duration of the daemon in a round, once it is warm.
    pub(crate) daemon: Duration,
    /// Time from the start of a daemon until its memory is measured; by then every target has been probed.
    pub(crate) settle: Duration,
    /// The number of scrapes in each format and encoding.
    pub(crate) scrapes: u32,
    /// The duration of scraping without a pause.
    pub(crate) scraping: Duration,
    /// The observation time of Prometheus and prober.
    pub(crate) with_prometheus: Duration,
    /// The time in which all probes are counted.
    pub(crate) counting: Duration,
    /// The observation time of a daemon with very many targets.
    pub(crate) watching: Duration,
    /// How many times the last measurement of each target is compared with the actual value.
    pub(crate) readings: u32,
}

impl Plan {
    /// The plan of the figures in `docs/performance.md`.
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        long_rounds: 3,
        baseline: Duration::from_secs(4),
        daemon: Duration::from_secs(6),
        settle: Duration::from_mins(1),
        scrapes: 21,
        scraping: Duration::from_secs(15),
        with_prometheus: Duration::from_mins(1),
        counting: Duration::from_mins(10),
        watching: Duration::from_mins(2),
        readings: 6,
    };

    /// A short run.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        long_rounds: 1,
        baseline: Duration::from_secs(2),
        daemon: Duration::from_secs(4),
        settle: Duration::from_secs(12),
        scrapes: 3,
        scraping: Duration::from_secs(4),
        with_prometheus: Duration::from_secs(15),
        counting: Duration::from_secs(20),
        watching: Duration::from_secs(20),
        readings: 1,
    };

    /// Whether memory is measured at the time that its aim assumes.
    pub(crate) fn settles_in_full(&self) -> bool {
        self.settle >= Self::FULL.settle
    }
}

/// The concurrent probes of either program at maximum throughput.
pub(crate) const IN_FLIGHT: usize = 256;
