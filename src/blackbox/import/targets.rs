//! The targets of Prometheus' jobs as targets and discovery sources of portprobe.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem;
use std::time::Duration;

use super::address;
use super::document::{Block, List, shown};
use super::http::host_name;
use super::module::{Kind, Module};
use super::probed::{ProbedTarget, Scrape};
use super::relabel::Rule;
use super::scrape::Job;
use super::{MissingProbe, ProbePair, TargetFiles};
use crate::duration;
use crate::target::{LabelName, LabelNameError, TargetName, hide_query_values};

mod discovered;

/// Interval and timeout.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl Pace {
    /// Those of portprobe for a scrape of blackbox_exporter, which ends a probe half a second before the scrape's timeout.
    pub(super) fn of_scrape(interval: Duration, timeout: Duration) -> Self {
        let timeout = timeout
            .checked_sub(OFFSET)
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(timeout);
        Self { interval, timeout: timeout.min(interval) }
    }

    /// The pace that most jobs have, the first one of equals.
    pub(super) fn most_common(jobs: &[&Job]) -> Self {
        let mut counts: BTreeMap<Self, usize> = BTreeMap::new();
        let paces: Vec<_> = jobs.iter().map(|job| Self::of_scrape(job.interval, job.timeout)).collect();
        for pace in &paces {
            *counts.entry(*pace).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let first = paces.into_iter().find(|pace| counts.get(pace).copied() == most);
        first.unwrap_or(Self { interval: Duration::from_mins(1), timeout: Duration::from_secs(10) })
    }
}

/// Converts jobs, one after another.
pub(super) struct Targets<'a> {
    modules: &'a [Module],
    defaults: Pace,
    /// The label `exported_job` is on every target anyway.
    has_common_job: bool,
    files: TargetFiles,
    names: HashSet<String>,
    pub(super) listed: List,
    pub(super) discovery: List,
    /// Copies of modules with another pace, for discovery sources.
    pub(super) copies: Vec<(String, Block)>,
    pub(super) pairs: Vec<ProbePair>,
    pub(super) missing: Vec<MissingProbe>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(modules: &'a [Module], defaults: Pace, has_common_job: bool, files: TargetFiles) -> Self {
        Self {
            modules,
            defaults,
            has_common_job,
            files,
            names: HashSet::new(),
            listed: List::default(),
            discovery: List::default(),
            copies: Vec::new(),
            pairs: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds the targets of a job. Every probe of blackbox_exporter, also a possible one, becomes an item or a comment.
    pub(super) fn add(&mut self, job: &Job) {
        let (listed, discovery) = (mem::take(&mut self.listed), mem::take(&mut self.discovery));
        self.add_static_targets(job);
        self.add_discovered_targets(job);
        let has_targets = !self.listed.is_empty() || !self.discovery.is_empty();
        if has_targets && job.rules.iter().any(Rule::is_hash) {
            let reason = "all shares are imported; run several portprobes with --shard to divide the targets";
            self.listed
                .omit(&format!("relabel rule hashmod of job {}", shown(&job.name)), reason);
        }
        if has_targets && job.relabels_metrics {
            let list = if self.discovery.is_empty() { &mut self.listed } else { &mut self.discovery };
            list.omit("metric_relabel_configs", "they remain part of the scrape configuration, now of portprobe's job");
        }
        for (all, before) in [(&mut self.listed, listed), (&mut self.discovery, discovery)] {
            let of_job = mem::replace(all, before);
            if !of_job.is_empty() {
                all.comment(format!("job {}", job.name));
                all.append(of_job);
            }
        }
    }

    /// Adds a comment in place of files with jobs that do not exist here.
    pub(super) fn add_unmatched(&mut self, pattern: &str) {
        let reason = "no file matches here, so its jobs are not imported";
        self.listed.omit(&format!("scrape_config_files {}", shown(pattern)), reason);
        self.missing.push(MissingProbe::of_exporter(pattern, "", reason));
    }

    fn add_static_targets(&mut self, job: &Job) {
        // Prometheus scrapes equal targets once.
        let mut known = BTreeSet::new();
        let mut elsewhere = Elsewhere::default();
        let mut doubtful: BTreeMap<_, usize> = BTreeMap::new();
        for (address, labels) in job.static_targets() {
            match job.scrape(address, labels) {
                Scrape::Probe(target) if known.contains(&target) => {}
                Scrape::Probe(target) => {
                    self.add_target(&target, target.clone());
                    known.insert(target);
                }
                Scrape::Refused { reason, probe } => self.omit_target(&probe, &probe, &reason),
                Scrape::Elsewhere { path, probe } => elsewhere.add(path, probe),
                Scrape::Doubtful { parameter } => *doubtful.entry(parameter).or_default() += 1,
                Scrape::Dropped | Scrape::Other => {}
            }
        }
        self.omit_elsewhere(job, elsewhere);
        for (parameter, count) in doubtful {
            let targets = format!("{} of job {} (no module)", counted(count), shown(&job.name));
            self.listed.omit(&targets, &doubt(&parameter));
        }
    }

    /// Adds comments for targets that have parameters of blackbox_exporter, but another path. Those with a module that
    /// blackbox_exporter lacks are targets of another exporter, and no difference to it.
    fn omit_elsewhere(&mut self, job: &Job, Elsewhere { paths, has_unknown }: Elsewhere) {
        for ((path, module), probes) in paths {
            let is_others = module.as_deref().is_some_and(|module| self.module(module).is_err());
            let count = if has_unknown { "targets".to_owned() } else { counted(probes.len()) };
            let module = module.map_or_else(|| "no module".to_owned(), |module| format!("module {}", shown(&module)));
            let reason = if is_others {
                format!("another exporter, at {}: blackbox_exporter has no such module", shown(&path))
            } else {
                format!("the path is {}, but that of blackbox_exporter is /probe", shown(&path))
            };
            self.listed
                .omit(&format!("{count} of job {} ({module})", shown(&job.name)), &reason);
            if !is_others {
                let missing = probes.iter().map(|probe| missing(probe, &reason));
                self.missing.extend(missing);
            }
        }
    }

    /// Adds a target of portprobe, and the probe of blackbox_exporter that it replaces.
    fn add_target(&mut self, target: &ProbedTarget, probe: ProbedTarget) {
        match self.item(target) {
            Ok((item, name)) => {
                self.listed.push(item);
                self.pairs.push(ProbePair {
                    name,
                    module: probe.module().to_owned(),
                    target: probe.target,
                    hostname: probe.hostname,
                    scrape_timeout: probe.timeout,
                });
            }
            Err(reason) => self.omit_target(target, &probe, &reason),
        }
    }

    /// Adds a comment in place of a target.
    fn omit_target(&mut self, target: &ProbedTarget, probe: &ProbedTarget, reason: &str) {
        let instance = shown(&hide_query_values(&target.instance));
        self.listed
            .omit(&format!("{instance} (module {})", shown(target.module())), reason);
        self.missing.push(missing(probe, reason));
    }

    /// The item of a target, and its name.
    fn item(&mut self, target: &ProbedTarget) -> Result<(Block, String), String> {
        let module = self.module(target.module())?;
        let url = address::url(&module.kind, &target.target)?;
        let mut item = Block::default();
        item.text("url", &url);
        let mut labels = Block::default();
        let name = self.unique_name(target, &url, &mut labels);
        item.text("name", &name);
        item.text("module", &module.name);
        let pace = module_pace(target.interval, target.timeout, module);
        let base = self.base(module);
        if pace.interval != base.interval {
            item.yaml("interval", duration::display(pace.interval).to_string());
        }
        if pace.timeout != base.timeout.min(pace.interval) {
            item.yaml("timeout", duration::display(pace.timeout).to_string());
        }
        if let (Some(hostname), Kind::Http(http)) = (&target.hostname, &module.kind) {
            let mut headers = Block::default();
            let others = http.headers.iter().filter(|(name, _)| name != "host");
            for (name, value) in others.map(|(name, value)| (&**name, &**value)).chain([("host", &**hostname)]) {
                headers.text(name, value);
            }
            let mut settings = Block::default();
            settings.block("headers", headers);
            item.block("http", settings);
        }
        let has_tls = matches!(module.kind, Kind::Tcp(_)) || url.starts_with("https://");
        if let Some(hostname) = target.hostname.as_ref().filter(|_| has_tls && module.tls.takes_hostname) {
            let mut tls = Block::default();
            tls.text("server_name", host_name(hostname));
            item.block("tls", tls);
        }
        if !self.has_common_job && !target.job.is_empty() {
            labels.text(EXPORTED_JOB, &target.job);
        }
        for (name, value) in &target.labels {
            add_label(&mut labels, name, value);
        }
        item.block("labels", labels);
        Ok((item, name))
    }

    fn module(&self, name: &str) -> Result<&'a Module, String> {
        let known = self.modules.iter().find(|module| module.name == name);
        known.ok_or_else(|| format!("blackbox_exporter has no module {}", shown(name)))
    }

    /// The pace of a target that sets none.
    fn base(&self, module: &Module) -> Pace {
        let interval = module.interval.unwrap_or(self.defaults.interval);
        Pace { interval, timeout: module.timeout.unwrap_or(self.defaults.timeout).min(interval) }
    }

    /// The instance as a name; its URL if it is not a valid one. If another job has it, the job is added. A label keeps
    /// the instance.
    fn unique_name(&mut self, target: &ProbedTarget, url: &str, labels: &mut Block) -> String {
        let is_name = |name: &String| TargetName::try_new(name).is_ok();
        let instance = &target.instance;
        let base = if is_name(instance) { instance } else { url };
        let with_job = format!("{base} ({})", target.job);
        let numbered = (2..).map(|number| format!("{base} ({} {number})", target.job));
        let names = [base.to_owned(), with_job].into_iter().chain(numbered).take_while(is_name);
        let mut names = names.chain((1..).map(|number| format!("target {number}")));
        let name = names.find(|name| !self.names.contains(name)).unwrap_or_default();
        if name != *instance {
            labels.text(EXPORTED_INSTANCE, instance);
        }
        self.names.insert(name.clone());
        name
    }
}

/// The pace of a target: the module may have a shorter timeout.
pub(super) fn module_pace(interval: Duration, timeout: Duration, module: &Module) -> Pace {
    let pace = Pace::of_scrape(interval, timeout);
    Pace { timeout: module.own_timeout.map_or(pace.timeout, |own| own.min(pace.timeout)), ..pace }
}

fn counted(targets: usize) -> String {
    if targets == 1 { "1 target".to_owned() } else { format!("{targets} targets") }
}

/// Why a scrape without a module is not imported.
fn doubt(parameter: &str) -> String {
    format!(
        "may be of another exporter: blackbox_exporter has no parameter {}; if it is not, set the parameter module",
        shown(parameter)
    )
}

/// A probe that is not imported.
fn missing(probe: &ProbedTarget, reason: &str) -> MissingProbe {
    MissingProbe::of_exporter(&probe.target, probe.module(), reason)
}

/// Targets by the path and the module that they have in place of those of blackbox_exporter.
#[derive(Debug, Default)]
struct Elsewhere {
    paths: BTreeMap<(String, Option<String>), Vec<ProbedTarget>>,
    /// Some of the targets represent others, which only discovery knows.
    has_unknown: bool,
}

impl Elsewhere {
    fn add(&mut self, path: String, probe: ProbedTarget) {
        self.paths.entry((path, probe.named_module.clone())).or_default().push(probe);
    }
}

/// Adds a label. A reserved name gets the prefix that labels from discovery get, too.
fn add_label(labels: &mut Block, name: &str, value: &str) {
    match LabelName::try_new(name) {
        Ok(_) => labels.text(name, value),
        Err(LabelNameError::Reserved) => labels.text(format!("exported_{name}"), value),
        Err(LabelNameError::Malformed) => {
            labels.omit(&format!("label {}", shown(name)), "label names are letters, digits and underscores");
        }
    }
}

/// The labels that keep the job and the instance of blackbox_exporter's series, as discovery and Prometheus name them.
pub(super) const EXPORTED_JOB: &str = "exported_job";
const EXPORTED_INSTANCE: &str = "exported_instance";

/// `--timeout-offset` of blackbox_exporter.
const OFFSET: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_replaced() {
        let mut targets = Targets::new(&[], Pace::most_common(&[]), true, TargetFiles::Listed);
        let long = "a".repeat(600);
        for (instance, job, url, name) in [
            ("a:1", "j", "tcp://a:1", "a:1"),
            ("a:1", "k", "tcp://a:1", "a:1 (k)"),
            ("a:1", "k", "tcp://a:1", "a:1 (k 2)"),
            (&*long, "j", "tcp://a:1", "tcp://a:1"),
            ("a\nb", "j", "tcp://a:2", "tcp://a:2"),
            (&*long, &*long, "tcp://a:1", "target 1"),
            (&*long, "j", &*long, "target 2"),
        ] {
            let target = ProbedTarget { instance: instance.to_owned(), job: job.to_owned(), ..probed() };
            let mut labels = Block::default();
            assert_eq!(targets.unique_name(&target, url, &mut labels), name);
            assert_eq!(labels.has_entries(), name != instance, "{name}");
        }
    }

    fn probed() -> ProbedTarget {
        ProbedTarget {
            target: "a:1".to_owned(),
            named_module: Some("m".to_owned()),
            hostname: None,
            exporter: String::new(),
            instance: String::new(),
            job: String::new(),
            labels: BTreeMap::new(),
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_probe_ends_half_a_second_before_the_scrape() {
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!(Pace::of_scrape(seconds(30), seconds(10)).timeout, Duration::from_millis(9500));
        assert_eq!(Pace::of_scrape(seconds(1), Duration::from_millis(300)).timeout, Duration::from_millis(300));
    }
}
