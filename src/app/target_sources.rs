//! The supply: every target that there is to be, the configuration's and those that sources tell of.
//!
//! Pure bookkeeping: what a source says comes in, targets and what was left out of them go out. Making targets may take
//! seconds and read files, so all of it is called beside the thread that probes.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::loaded_files::Files;
use crate::config::{Blueprint, Config, Discovered, Made, Needed, Source, SourceKind};
use crate::metrics::SourceStatus;
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
    /// Whether what is invalid is otherwise than when it was told last.
    has_news: bool,
    failures: u64,
    /// Why it could not be learnt from when last looked at, as a whole or in part.
    trouble: Vec<String>,
}

/// All targets together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Each name once: the file's first, then the sources' in their order.
    pub(super) targets: Vec<Arc<Target>>,
    /// What there is to tell of each source.
    pub(super) statuses: Vec<SourceStatus>,
}

/// What has become of a source that could not be learnt from.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Trouble<'a> {
    /// It cannot be, for these reasons, which are others than before.
    New(&'a [String]),
    /// It can be again.
    Over,
    /// All is as it was.
    Same,
}

impl Supply {
    /// Takes over another configuration. What sources have said stays, and is made targets of anew.
    pub(super) fn configure(&mut self, config: &Config, files: &Files) {
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
            stock.make(&config.blueprint, files);
            self.stocks.push(stock);
        }
    }

    /// Takes what a source says now.
    pub(super) fn take(&mut self, source: &Source, entries: Arc<[Discovered]>, files: &Files) {
        let Some(blueprint) = self.blueprint.clone() else { return };
        let Some(stock) = self.stock(source) else { return };
        stock.entries = entries;
        stock.make(&blueprint, files);
    }

    /// What of each source's words is no target, each with its reason, where that has not been told before.
    pub(super) fn news(&mut self) -> impl Iterator<Item = (&str, &[String])> {
        let news = self.stocks.iter_mut().filter_map(|stock| std::mem::take(&mut stock.has_news).then_some(&*stock));
        news.map(|stock| (&*stock.source.name, &*stock.made.invalid))
    }

    /// Notes why a source cannot be learnt from, as a whole or in part, and counts that; nothing where it can be. Tells
    /// what has become of that, for whoever looks every second would else say the same every second.
    pub(super) fn note_trouble(&mut self, source: &Source, trouble: Vec<String>) -> Trouble<'_> {
        let Some(stock) = self.stock(source) else { return Trouble::Same };
        stock.failures += u64::from(!trouble.is_empty());
        let before = std::mem::replace(&mut stock.trouble, trouble);
        match &stock.trouble {
            now if *now == before => Trouble::Same,
            now if now.is_empty() => Trouble::Over,
            now => Trouble::New(now),
        }
    }

    /// How often a source could not be learnt from.
    pub(super) fn failures(&self, source: &Source) -> u64 {
        self.stocks.iter().find(|stock| stock.source == *source).map_or(0, |stock| stock.failures)
    }

    /// Makes targets anew of what was left out for the sake of files, where these can be read by now; tells whether any can.
    pub(super) fn retry(&mut self, files: &Files) -> bool {
        let Some(blueprint) = &self.blueprint else { return false };
        let mut is_changed = false;
        for stock in &mut self.stocks {
            if stock.lacking().any(|needed| files.read(needed).is_ok()) {
                stock.make(blueprint, files);
                is_changed = true;
            }
        }
        is_changed
    }

    /// Whether something was left out for the sake of files.
    pub(super) fn lacks_files(&self) -> bool {
        self.stocks.iter().any(|stock| stock.lacking().next().is_some())
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

    fn stock(&mut self, source: &Source) -> Option<&mut Stock> {
        self.stocks.iter_mut().find(|stock| stock.source == *source)
    }

    /// The profiles of TLS that targets and sources need.
    pub(super) fn profiles(&self) -> HashSet<Arc<TlsProfile>> {
        let discovered = self.stocks.iter().flat_map(|stock| &stock.made.targets);
        let of_targets = self.file.iter().chain(discovered).filter_map(|target| target.settings.probe_kind.tls());
        let of_sources = self.stocks.iter().filter_map(|stock| match &stock.source.kind {
            SourceKind::Http(address) => Some(&address.tls),
            SourceKind::Dns { .. } | SourceKind::File { .. } => None,
        });
        of_targets.map(|tls| &tls.settings).chain(of_sources).map(|settings| settings.profile.clone()).collect()
    }
}

impl Stock {
    fn new(source: Source) -> Self {
        let (entries, made) = (Arc::default(), Made::default());
        Self { source, entries, made, has_news: false, failures: 0, trouble: Vec::new() }
    }

    /// What could not be had of files when targets were made.
    fn lacking(&self) -> impl Iterator<Item = Needed<'_>> {
        let headers = self.made.unreadable_headers.iter().map(|file| Needed::Header(file));
        self.made.unreadable.iter().map(Needed::Tls).chain(headers)
    }

    fn make(&mut self, blueprint: &Blueprint, files: &Files) {
        let made = blueprint.make(&self.source, &self.entries, |needed| files.read(needed));
        self.has_news |= made.invalid != self.made.invalid;
        self.made = made;
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
        let (mut supply, files) = (Supply::default(), Files::default());
        let config = config(CONFIG);
        supply.configure(&config, &files);
        assert_eq!(names(&supply.merged()), ["tcp://a:1"]);
        supply.take(&config.discovery[1], entries("[b:1, c:1, 'bad:0']"), &files);
        assert!(supply.news().next().is_some_and(|(_, invalid)| invalid[0].contains("port 0")));
        supply.take(&config.discovery[1], entries("[c:1, b:1, 'bad:0']"), &files);
        supply.take(&config.discovery[1], entries("[b:1, c:1, 'bad:0']"), &files);
        assert_eq!(supply.news().next(), None, "the same is told once");
        supply.take(&config.discovery[0], entries("[c:1, 'a:1']"), &files);
        supply.note_trouble(&config.discovery[1], vec!["gone".to_owned()]);
        let merged = supply.merged();
        assert_eq!(names(&merged), ["tcp://a:1", "tcp://c:1", "tcp://b:1"]);
        let counts: Vec<_> =
            merged.statuses.iter().map(|status| (status.targets, status.invalid, status.failures)).collect();
        assert_eq!(counts, [(1, 1, 0), (1, 2, 1)], "{merged:?}");
    }

    #[test]
    fn trouble_is_told_when_it_begins_changes_and_ends() {
        let mut supply = Supply::default();
        let config = config(CONFIG);
        supply.configure(&config, &Files::default());
        let source = &config.discovery[0];
        let why = |why: &str| vec![why.to_owned()];
        assert_eq!(supply.note_trouble(source, Vec::new()), Trouble::Same);
        assert_eq!(supply.note_trouble(source, why("refused")), Trouble::New(&why("refused")));
        assert_eq!(supply.note_trouble(source, why("refused")), Trouble::Same);
        assert_eq!(supply.note_trouble(source, why("HTML")), Trouble::New(&why("HTML")));
        assert_eq!(supply.note_trouble(source, Vec::new()), Trouble::Over);
        assert_eq!(supply.failures(source), 3);
    }

    #[test]
    fn a_target_whose_file_comes_later_is_taken_then() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let (mut supply, files) = (Supply::default(), Files::default());
        let config = config(CONFIG);
        supply.configure(&config, &files);
        let entry = format!("[{{ url: 'tls://b:1', tls: {{ ca_file: '{}' }} }}]", file.display());
        supply.take(&config.discovery[0], entries(&entry), &files);
        assert!(supply.lacks_files() && !supply.retry(&files));
        assert_eq!(names(&supply.merged()), ["tcp://a:1"]);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(&file, authority.pem()).unwrap();
        assert!(supply.retry(&files) && !supply.lacks_files());
        assert_eq!(names(&supply.merged()), ["tcp://a:1", "tls://b:1"]);
    }

    #[test]
    fn a_target_whose_secret_comes_later_is_taken_then() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let (mut supply, files) = (Supply::default(), Files::default());
        let config = config(CONFIG);
        supply.configure(&config, &files);
        let entry = format!("[{{ url: 'http://b', http: {{ headers_files: {{ x-a: '{}' }} }} }}]", token.display());
        supply.take(&config.discovery[0], entries(&entry), &files);
        assert!(supply.lacks_files() && !supply.retry(&files));
        std::fs::write(&token, "one").unwrap();
        assert!(supply.retry(&files) && !supply.lacks_files());
        let merged = supply.merged();
        assert_eq!(names(&merged), ["tcp://a:1", "http://b:80"]);
        let http = merged.targets[1].settings.probe_kind.http().unwrap();
        assert_eq!(http.headers_files[0].1.value().unwrap(), "one");
    }

    #[test]
    fn the_limit_holds_for_all_together() {
        let (mut supply, files) = (Supply::default(), Files::default());
        let config = config(CONFIG);
        supply.configure(&config, &files);
        supply.take(&config.discovery[0], entries("['b:1-3']"), &files);
        supply.take(&config.discovery[1], entries("['c:1-3']"), &files);
        let merged = supply.merged();
        assert_eq!(merged.targets.len(), 5);
        assert_eq!((merged.statuses[1].targets, merged.statuses[1].invalid), (1, 2));
    }

    #[test]
    fn another_configuration_makes_other_targets_of_the_same_words() {
        let (mut supply, files) = (Supply::default(), Files::default());
        let before = config(CONFIG);
        supply.configure(&before, &files);
        supply.take(&before.discovery[0], entries("['b:1']"), &files);
        supply.take(&before.discovery[1], entries("['c:1']"), &files);
        let after = config("defaults: { interval: 5s }\ndiscovery: [{ file: two.json }]\n");
        supply.configure(&after, &files);
        let merged = supply.merged();
        assert_eq!(names(&merged), ["tcp://c:1"]);
        assert_eq!(merged.targets[0].settings.cadence.interval().as_secs(), 5);
    }

    #[test]
    fn a_source_that_is_asked_at_other_times_keeps_its_targets() {
        let (mut supply, files) = (Supply::default(), Files::default());
        let before = config("discovery: [{ file: one.json }]\n");
        supply.configure(&before, &files);
        supply.take(&before.discovery[0], entries("['b:1']"), &files);
        supply.configure(&config("discovery: [{ file: one.json, refresh: 5s }]\n"), &files);
        assert_eq!(names(&supply.merged()), ["tcp://b:1"]);
    }
}
