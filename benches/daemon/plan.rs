//! How long each part takes, and what both programs are asked to do.

use std::time::Duration;

/// The lengths of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How often bare loop and daemon take turns.
    pub(crate) rounds: usize,
    /// The same where a turn takes minutes with what goes before it.
    pub(crate) long_rounds: usize,
    /// One turn of the bare loop.
    pub(crate) baseline: Duration,
    /// One turn of the daemon, once it is warm.
    pub(crate) daemon: Duration,
    /// From a daemon's start until its memory is read; then every target has been probed.
    pub(crate) settle: Duration,
    /// Scrapes of each format and encoding.
    pub(crate) scrapes: u32,
    /// How long the daemon is scraped without a pause.
    pub(crate) scraping: Duration,
    /// How long Prometheus and prober are looked at.
    pub(crate) with_prometheus: Duration,
    /// How long every probe of every target is counted.
    pub(crate) counting: Duration,
    /// How long a daemon with very many targets is watched.
    pub(crate) watching: Duration,
    /// How often what was measured last is read of each target, and held against what was true.
    pub(crate) readings: u32,
}

impl Plan {
    /// What the figures in the README come from.
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

    /// A first look.
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

    /// Whether memory is read when its aim says.
    pub(crate) fn settles_in_full(&self) -> bool {
        self.settle >= Self::FULL.settle
    }
}

/// Probes under way at any time, of either program, where it runs flat out.
pub(crate) const IN_FLIGHT: usize = 256;
