//! The targets of Prometheus' jobs as targets and discovery sources of portprobe.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::address;
use super::document::{Block, List, shown};
use super::http::host_name;
use super::module::{Kind, Module};
use super::relabel::Rule;
use super::scrape::{ADDRESS, CurrentTargets, FileSource, Job, PARAM_MODULE, PARAM_TARGET, PLACEHOLDER, ProbedTarget};
use super::{MissingProbe, ProbePair};
use crate::duration;
use crate::target::{LabelName, LabelNameError, TargetName, hide_query_values};

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
    pub(super) fn most_common(jobs: &[Job]) -> Self {
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
    names: HashSet<String>,
    pub(super) listed: List,
    pub(super) discovery: List,
    /// Copies of modules with another pace, for discovery sources.
    pub(super) copies: Vec<(String, Block)>,
    pub(super) pairs: Vec<ProbePair>,
    pub(super) missing: Vec<MissingProbe>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(modules: &'a [Module], defaults: Pace, has_common_job: bool) -> Self {
        Self {
            modules,
            defaults,
            has_common_job,
            names: HashSet::new(),
            listed: List::default(),
            discovery: List::default(),
            copies: Vec::new(),
            pairs: Vec::new(),
            missing: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, job: &Job) {
        let targets = job.static_targets();
        if !targets.is_empty() {
            self.listed.comment(format!("job {}", job.name));
        }
        for target in targets {
            self.add_target(&target.clone(), target);
        }
        if !job.files.is_empty() || !job.others.is_empty() {
            self.discovery.comment(format!("job {}", job.name));
        }
        for source in &job.files {
            self.add_files(job, source);
        }
        for other in &job.others {
            let reason = "portprobe has file, http and dns; write the targets to a file, or list them under targets";
            self.discovery.omit(other, reason);
            let target = format!("{other} of job {}", job.name);
            self.missing.push(MissingProbe::of_exporter(&target, "", reason));
        }
        if job.rules.iter().any(Rule::is_hash) {
            let reason = "all shares are imported; run several portprobes with --shard to divide the targets";
            self.listed.omit(&format!("relabel rule hashmod of job {}", job.name), reason);
        }
        if job.relabels_metrics {
            let list = if job.files.is_empty() { &mut self.listed } else { &mut self.discovery };
            list.omit("metric_relabel_configs", "they remain part of the scrape configuration, now of portprobe's job");
        }
    }

    /// Adds a target of portprobe, and the probe of blackbox_exporter that it replaces.
    fn add_target(&mut self, target: &ProbedTarget, probe: ProbedTarget) {
        match self.item(target) {
            Ok((item, name)) => {
                self.listed.push(item);
                self.pairs.push(ProbePair {
                    name,
                    target: probe.target,
                    module: probe.module,
                    hostname: probe.hostname,
                    scrape_timeout: probe.timeout,
                });
            }
            Err(reason) => {
                let instance = shown(&hide_query_values(&target.instance));
                self.listed
                    .omit(&format!("{instance} (module {})", shown(&target.module)), &reason);
                self.missing
                    .push(MissingProbe::of_exporter(&probe.target, &probe.module, &reason));
            }
        }
    }

    /// Adds the current targets of files as discovery has them, which does not relabel.
    fn add_current(&mut self, job: &Job, placeholder: &ProbedTarget, current: &CurrentTargets) {
        for (file, reason) in &current.unreadable {
            self.missing.push(MissingProbe::of_exporter(file, "", reason));
        }
        for (address, labels) in &current.targets {
            let module = labels.get(PARAM_MODULE).unwrap_or(&placeholder.module);
            let Some(probe) = job.relabel(address, labels) else {
                self.missing.push(MissingProbe {
                    is_of_portprobe: true,
                    ..MissingProbe::of_exporter(address, module, "the relabelling drops it; remove it from the file")
                });
                continue;
            };
            let reason = if probe.target != *address {
                Some("the relabelling changes the target; write it to the file as it is probed".to_owned())
            } else if probe.module != *module {
                Some(format!("portprobe uses module {module}; name the module in the label {PARAM_MODULE}"))
            } else {
                None
            };
            if let Some(reason) = reason {
                self.missing
                    .push(MissingProbe::of_exporter(&probe.target, &probe.module, &reason));
                continue;
            }
            let target = ProbedTarget {
                target: address.clone(),
                module: module.clone(),
                hostname: None,
                instance: probe.instance.clone(),
                ..placeholder.clone()
            };
            self.add_target(&target, probe);
        }
    }

    /// The item of a target, and its name.
    fn item(&mut self, target: &ProbedTarget) -> Result<(Block, String), String> {
        let module = self.module(&target.module)?;
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
            if url.starts_with("https://") {
                let mut tls = Block::default();
                tls.text("server_name", host_name(hostname));
                item.block("tls", tls);
            }
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

    fn add_files(&mut self, job: &Job, source: &FileSource) {
        let placeholder = job.placeholder();
        let module = match &placeholder {
            Some(target) if target.target == PLACEHOLDER => self.module(&target.module).and_then(importable),
            _ => {
                Err("the relabelling changes or drops the targets; write them to a file as they are probed".to_owned())
            }
        };
        let (Some(target), Ok(module)) = (&placeholder, &module) else {
            let reason = module.err().unwrap_or_default();
            for file in &source.files {
                self.discovery.omit(&format!("file_sd {}", shown(file)), &reason);
                self.missing.push(MissingProbe::of_exporter(file, "", &reason));
            }
            return;
        };
        if let Some(current) = &source.current {
            self.add_current(job, target, current);
            return;
        }
        self.explain_rules(job);
        let name = self.module_with_pace(job, target, module);
        for file in &source.files {
            let mut item = Block::default();
            item.text("file", file);
            item.text("module", &name);
            // Prometheus also watches the files, so a longer interval does not delay it.
            if source.refresh < DEFAULT_REFRESH {
                item.yaml("refresh", duration::display(source.refresh.max(MIN_REFRESH)).to_string());
            }
            let mut labels = Block::default();
            if !self.has_common_job && !target.job.is_empty() {
                labels.text(EXPORTED_JOB, &target.job);
            }
            for (name, value) in &target.labels {
                add_label(&mut labels, name, value);
            }
            item.block("labels", labels);
            self.discovery.push(item);
        }
    }

    /// Adds a comment for each rule that depends on labels of the files.
    fn explain_rules(&mut self, job: &Job) {
        for rule in job
            .rules
            .iter()
            .filter(|rule| !rule.is_uniform(&[ADDRESS, PARAM_TARGET, "instance"]))
        {
            let from = rule.source_labels.join(", ");
            let reason = if rule.sets(PARAM_MODULE) {
                "name the label of the module __param_module in the files, which portprobe and Prometheus understand"
            } else {
                "portprobe has no relabelling; write the labels to the files as they must be"
            };
            let from = if from.is_empty() { String::new() } else { format!(" from {}", shown(&from)) };
            self.discovery.omit(&format!("relabel rule {}{from}", rule.action), reason);
        }
    }

    /// The name of the module, or of a copy with the pace of the job.
    fn module_with_pace(&mut self, job: &Job, target: &ProbedTarget, module: &Module) -> String {
        let pace = module_pace(target.interval, target.timeout, module);
        let base = self.base(module);
        if pace == base {
            return module.name.clone();
        }
        let name = format!("{}_{}", module.name, job.name);
        if !self.copies.iter().any(|(known, _)| *known == name) {
            let mut settings = module.settings.clone();
            settings.replace("interval", &duration::display(pace.interval).to_string());
            settings.replace("timeout", &duration::display(pace.timeout).to_string());
            self.copies.push((name.clone(), settings));
        }
        name
    }
}

/// The pace of a target: the module may have a shorter timeout.
pub(super) fn module_pace(interval: Duration, timeout: Duration, module: &Module) -> Pace {
    let pace = Pace::of_scrape(interval, timeout);
    Pace { timeout: module.own_timeout.map_or(pace.timeout, |own| own.min(pace.timeout)), ..pace }
}

/// Fails if discovered targets cannot have what the module requires.
fn importable(module: &Module) -> Result<&Module, String> {
    match &module.kind {
        Kind::None(reason) => Err(reason.clone()),
        Kind::Dns { scheme, name } => {
            Err(format!("write each target with the name to query, as {scheme}://SERVER:53/{name}"))
        }
        Kind::Grpc { scheme, service } if !service.is_empty() => {
            Err(format!("write each target with the service, as {scheme}://HOST:PORT/{service}"))
        }
        Kind::Grpc { .. } | Kind::Http(_) | Kind::Tcp(_) => Ok(module),
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

/// The default of portprobe, and its minimum.
const DEFAULT_REFRESH: Duration = Duration::from_mins(1);
const MIN_REFRESH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_replaced() {
        let mut targets = Targets::new(&[], Pace::most_common(&[]), true);
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
            module: "m".to_owned(),
            hostname: None,
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
