//! Options of the daemon that several modules share. The configuration sets them; each has its only default here.
//!
//! `config` reads them from the file; `scheduler`, `board` and `probe` apply them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::histogram::Buckets;
use crate::outcome::Phase;
use crate::target::Labels;

/// The histograms that are kept for each target.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramOptions {
    /// Upper bounds of the classic buckets.
    pub buckets: Buckets,
    /// Whether native buckets are kept in addition to the classic ones.
    pub native: bool,
    /// The phases that have a histogram.
    pub phases: Vec<Phase>,
}

impl Default for HistogramOptions {
    fn default() -> Self {
        Self { buckets: Buckets::default(), native: true, phases: vec![Phase::Connect, Phase::Tls] }
    }
}

/// Upper bounds on probing; `None` means unlimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Maximum number of targets, those of discovery sources included.
    pub targets: Option<NonZeroU32>,
    /// Maximum number of concurrent probes.
    pub in_flight: Option<NonZeroU32>,
    /// Maximum number of concurrent probes of one host, as written in the target.
    pub per_host: Option<NonZeroU32>,
    /// Maximum number of probes started per second, evenly spread.
    pub per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    /// Limits that a correct configuration hardly reaches, but one with a mistake does.
    fn default() -> Self {
        Self {
            targets: NonZeroU32::new(200_000),
            in_flight: NonZeroU32::new(4096),
            per_host: NonZeroU32::new(32),
            per_second: None,
        }
    }
}

/// The public page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicOptions {
    /// Labels of the targets that are public; not empty.
    pub labels: BTreeMap<String, String>,
    /// The title of the page.
    pub title: Box<str>,
}

impl PublicOptions {
    /// The default title.
    pub const DEFAULT_TITLE: &str = "Status";

    /// Returns whether all labels are among these.
    pub fn choose(&self, labels: &Labels) -> bool {
        let mut chosen = self.labels.iter();
        chosen.all(|(name, value)| labels.get(name).is_some_and(|found| found == value))
    }
}

/// Timeout and retries of DNS queries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResolverOptions {
    /// Timeout of one query.
    pub timeout: Duration,
    /// Maximum number of queries to a server that does not respond.
    pub tries: NonZeroU32,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), tries: NonZeroU32::MIN.saturating_add(1) }
    }
}
