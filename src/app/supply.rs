//! The supply: every target that there is to be, the configuration's and those that sources tell of.
//!
//! Pure bookkeeping: what a source says comes in, targets and what was left out of them go out. Making targets may take
//! seconds and read files, so all of it is called beside the thread that probes.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::{Blueprint, Config, Discovered, Made, Source, SourceKind};
use crate::metrics::SourceStatus;
use crate::probe::Trust;
use crate::target::{Target, TargetName, TlsProfile};

/// Every target, by where it comes from.
#[derive(Debug, Default)]
pub(super) struct Supply {
    file: Vec<Arc<Target>>,
    limit: Option<NonZeroU32>,
    blueprint: Option<Arc<Blueprint>>,
    /// In the order of the configuration.
    stocks: Vec<Stock>,
}

/// What one source has said.
#[derive(Debug)]
struct Stock {
    source: Source,
    entries: Arc<[Discovered]>,
    made: Made,
    failures: u64,
}

/// All targets together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Each name once: the file's first, then the sources' in their order.
    pub(super) targets: Vec<Arc<Target>>,
    /// What there is to tell of each source.
    pub(super) statuses: Vec<SourceStatus>,
}

impl Supply {
    /// Takes over another configuration. What sources have said stays, and is made targets of anew.
    pub(super) fn configure(&mut self, config: &Config, trust: &Trust) {
        self.file.clone_from(&config.targets);
        self.limit = config.limits.targets;
        self.blueprint = Some(config.blueprint.clone());
        let mut before = std::mem::take(&mut self.stocks);
        for source in &config.discovery {
            // By name: a source that is asked at other times or in another way is still the one that said so.
            let known = before.iter().position(|stock| stock.source.name == source.name);
            let mut stock = match known.map(|place| before.swap_remove(place)) {
                Some(known) => Stock { source: source.clone(), ..known },
                None => Stock::new(source.clone()),
            };
            stock.make(&config.blueprint, trust);
            self.stocks.push(stock);
        }
    }

    /// Takes what a source says now, and gives back what of it is no target, each with its reason.
    pub(super) fn take(&mut self, source: &Source, entries: Arc<[Discovered]>, trust: &Trust) -> &[String] {
        let stock = self.stocks.iter_mut().find(|stock| stock.source == *source);
        let (Some(stock), Some(blueprint)) = (stock, &self.blueprint) else { return &[] };
        stock.entries = entries;
        stock.make(blueprint, trust);
        &stock.made.invalid
    }

    /// Counts that a source could not be learnt from, as a whole or in part; tells how often that was.
    pub(super) fn count_failure(&mut self, source: &Source) -> u64 {
        let stock = self.stocks.iter_mut().find(|stock| stock.source == *source);
        stock.map_or(0, |stock| {
            stock.failures += 1;
            stock.failures
        })
    }

    /// All targets together, no name twice and no more than the limit allows.
    pub(super) fn merged(&self) -> Merged {
        let mut names: HashSet<&TargetName> = self.file.iter().map(|target| &target.name).collect();
        let mut merged = Merged { targets: self.file.clone(), statuses: Vec::with_capacity(self.stocks.len()) };
        let most = self.limit.and_then(|limit| usize::try_from(limit.get()).ok()).unwrap_or(usize::MAX);
        for stock in &self.stocks {
            let before = merged.targets.len();
            for target in &stock.made.targets {
                if merged.targets.len() < most && names.insert(&target.name) {
                    merged.targets.push(target.clone());
                }
            }
            let targets = merged.targets.len() - before;
            let invalid = stock.made.invalid.len() + (stock.made.targets.len() - targets);
            let name = stock.source.name.clone();
            merged.statuses.push(SourceStatus { name, targets, invalid, failures: stock.failures });
        }
        merged
    }

    /// The profiles of TLS that targets and sources need.
    pub(super) fn profiles(&self) -> HashSet<Arc<TlsProfile>> {
        let discovered = self.stocks.iter().flat_map(|stock| &stock.made.targets);
        let of_targets = self.file.iter().chain(discovered).filter_map(|target| target.settings.exchange.tls());
        let of_sources = self.stocks.iter().filter_map(|stock| match &stock.source.kind {
            SourceKind::Http(address) => Some(&address.tls),
            SourceKind::Dns { .. } | SourceKind::File { .. } => None,
        });
        of_targets.map(|tls| &tls.settings).chain(of_sources).map(|settings| settings.profile.clone()).collect()
    }
}

impl Stock {
    fn new(source: Source) -> Self {
        Self { source, entries: Arc::default(), made: Made::default(), failures: 0 }
    }

    fn make(&mut self, blueprint: &Blueprint, trust: &Trust) {
        self.made = blueprint.make(&self.source, &self.entries, |profile| trust.read(profile));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const CONFIG: &str = "\
limits: { targets: 5 }
targets: ['a:1']
discovery: [{ file: one.json }, { file: two.json }]
";

    fn config(text: &str) -> Config {
        config::parse(text, Path::new("portprobe.yaml"), &|_| None, |_| Ok(())).unwrap()
    }

    fn entries(text: &str) -> Arc<[Discovered]> {
        config::discovered(text).unwrap().into()
    }

    fn names(merged: &Merged) -> Vec<&str> {
        merged.targets.iter().map(|target| target.name.as_str()).collect()
    }

    #[test]
    fn of_a_name_that_is_given_twice_the_first_counts() {
        let (mut supply, trust) = (Supply::default(), Trust::default());
        let config = config(CONFIG);
        supply.configure(&config, &trust);
        assert_eq!(names(&supply.merged()), ["tcp://a:1"]);
        assert!(supply.take(&config.discovery[1], entries("[b:1, c:1, 'bad:0']"), &trust)[0].contains("port 0"));
        supply.take(&config.discovery[0], entries("[c:1, 'a:1']"), &trust);
        supply.count_failure(&config.discovery[1]);
        let merged = supply.merged();
        assert_eq!(names(&merged), ["tcp://a:1", "tcp://c:1", "tcp://b:1"]);
        let counts: Vec<_> =
            merged.statuses.iter().map(|status| (status.targets, status.invalid, status.failures)).collect();
        assert_eq!(counts, [(1, 1, 0), (1, 2, 1)], "{merged:?}");
    }

    #[test]
    fn the_limit_holds_for_all_together() {
        let (mut supply, trust) = (Supply::default(), Trust::default());
        let config = config(CONFIG);
        supply.configure(&config, &trust);
        supply.take(&config.discovery[0], entries("['b:1-3']"), &trust);
        supply.take(&config.discovery[1], entries("['c:1-3']"), &trust);
        let merged = supply.merged();
        assert_eq!(merged.targets.len(), 5);
        assert_eq!((merged.statuses[1].targets, merged.statuses[1].invalid), (1, 2));
    }

    #[test]
    fn another_configuration_makes_other_targets_of_the_same_words() {
        let (mut supply, trust) = (Supply::default(), Trust::default());
        let before = config(CONFIG);
        supply.configure(&before, &trust);
        supply.take(&before.discovery[0], entries("['b:1']"), &trust);
        supply.take(&before.discovery[1], entries("['c:1']"), &trust);
        let after = config("defaults: { interval: 5s }\ndiscovery: [{ file: two.json }]\n");
        supply.configure(&after, &trust);
        let merged = supply.merged();
        assert_eq!(names(&merged), ["tcp://c:1"]);
        assert_eq!(merged.targets[0].settings.cadence.interval().as_secs(), 5);
    }

    #[test]
    fn a_source_that_is_asked_at_other_times_keeps_its_targets() {
        let (mut supply, trust) = (Supply::default(), Trust::default());
        let before = config("discovery: [{ file: one.json }]\n");
        supply.configure(&before, &trust);
        supply.take(&before.discovery[0], entries("['b:1']"), &trust);
        supply.configure(&config("discovery: [{ file: one.json, refresh: 5s }]\n"), &trust);
        assert_eq!(names(&supply.merged()), ["tcp://b:1"]);
    }
}
