//! The targets of Prometheus' jobs as targets and discovery sources of portprobe.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::document::{Block, List, shown};
use super::http::{SchemeRule, host_name};
use super::module::{Kind, Module};
use super::relabel::Rule;
use super::scrape::{ADDRESS, FileSource, Job, PARAM_TARGET, PLACEHOLDER, ProbedTarget};
use super::{MissingProbe, ProbePair};
use crate::duration;
use crate::target::{LabelName, LabelNameError};

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
            self.add_target(target);
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
            self.missing
                .push(MissingProbe { target, module: String::new(), reason: reason.to_owned() });
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

    fn add_target(&mut self, target: ProbedTarget) {
        match self.item(&target) {
            Ok((item, name)) => {
                self.listed.push(item);
                self.pairs.push(ProbePair {
                    name,
                    target: target.target,
                    module: target.module,
                    hostname: target.hostname,
                    scrape_timeout: target.timeout,
                });
            }
            Err(reason) => {
                self.listed
                    .omit(&format!("{} (module {})", shown(&target.instance), target.module), &reason);
                self.missing
                    .push(MissingProbe { target: target.target, module: target.module, reason });
            }
        }
    }

    /// The item of a target, and its name.
    fn item(&mut self, target: &ProbedTarget) -> Result<(Block, String), String> {
        let module = self.module(&target.module)?;
        let url = url(&module.kind, &target.target)?;
        let mut item = Block::default();
        item.text("url", &url);
        let mut labels = Block::default();
        let name = self.unique_name(target, &mut labels);
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

    /// The instance as a name. If another job has it, the job is added, and a label keeps the instance.
    fn unique_name(&mut self, target: &ProbedTarget, labels: &mut Block) -> String {
        let instance = &target.instance;
        let with_job = format!("{instance} ({})", target.job);
        let numbered = (2..).map(|number| format!("{instance} ({} {number})", target.job));
        let names = [instance.clone(), with_job].into_iter().chain(numbered);
        let name = names.into_iter().find(|name| !self.names.contains(name)).unwrap_or_default();
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
                self.missing
                    .push(MissingProbe { target: file.clone(), module: String::new(), reason: reason.clone() });
            }
            return;
        };
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
            let reason = if rule.sets("__param_module") {
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

/// The URL of a target.
fn url(kind: &Kind, target: &str) -> Result<String, String> {
    if target.is_empty() {
        return Err("the relabelling sets no target".to_owned());
    }
    let without_scheme = || {
        target
            .strip_prefix("http://")
            .or_else(|| target.strip_prefix("https://"))
            .unwrap_or(target)
    };
    match kind {
        Kind::None(reason) => Err(reason.clone()),
        Kind::Tcp(scheme) if has_port(target) => Ok(format!("{scheme}://{target}")),
        Kind::Tcp(_) => Err("has no port, so every probe of blackbox_exporter fails".to_owned()),
        Kind::Http(http) => {
            let is_url = target.starts_with("http://") || target.starts_with("https://");
            let url = if is_url { target.to_owned() } else { format!("http://{target}") };
            match (http.scheme, url.starts_with("https://")) {
                (SchemeRule::WithTls, false) => Err("fail_if_not_ssl: use the URL with https://".to_owned()),
                (SchemeRule::WithoutTls, true) => Err("fail_if_ssl: use the URL with http://".to_owned()),
                _ => Ok(url),
            }
        }
        Kind::Dns { scheme, name } => {
            let port = if *scheme == "dns" { "53" } else { "853" };
            Ok(format!("{scheme}://{}/{name}", with_port(target, port)))
        }
        Kind::Grpc { scheme, service } => {
            let port = if *scheme == "grpc" { "80" } else { "443" };
            let authority = without_scheme().split('/').next().unwrap_or_default();
            let slash = if service.is_empty() { "" } else { "/" };
            Ok(format!("{scheme}://{}{slash}{service}", with_port(authority, port)))
        }
    }
}

fn has_port(target: &str) -> bool {
    let after = target.rsplit_once(']').map_or(target, |(_, after)| after);
    after.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}

fn with_port(target: &str, port: &str) -> String {
    let is_bare_ipv6 = !target.starts_with('[') && target.matches(':').count() > 1;
    match (is_bare_ipv6, has_port(target)) {
        (true, _) => format!("[{target}]:{port}"),
        (false, true) => target.to_owned(),
        (false, false) => format!("{target}:{port}"),
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
    use crate::blackbox::import::http::HttpModule;

    #[test]
    fn targets_become_urls_with_their_ports() {
        let tcp = Kind::Tcp("smtp+starttls".to_owned());
        let http = |scheme| Kind::Http(HttpModule { scheme, ..HttpModule::default() });
        let dns = Kind::Dns { scheme: "dns", name: "example.com".to_owned() };
        let grpc = Kind::Grpc { scheme: "grpc+tls", service: "a.B".to_owned() };
        for (kind, target, expected) in [
            (&tcp, "mx:25", Ok("smtp+starttls://mx:25")),
            (&tcp, "[::1]:25", Ok("smtp+starttls://[::1]:25")),
            (&tcp, "mx", Err("has no port, so every probe of blackbox_exporter fails")),
            (&tcp, "", Err("the relabelling sets no target")),
            (&http(SchemeRule::Any), "a/b", Ok("http://a/b")),
            (&http(SchemeRule::Any), "https://a", Ok("https://a")),
            (&http(SchemeRule::WithTls), "a", Err("fail_if_not_ssl: use the URL with https://")),
            (&dns, "192.0.2.1", Ok("dns://192.0.2.1:53/example.com")),
            (&dns, "2001:db8::1", Ok("dns://[2001:db8::1]:53/example.com")),
            (&grpc, "http://a:1/x", Ok("grpc+tls://a:1/a.B")),
            (&grpc, "a", Ok("grpc+tls://a:443/a.B")),
            (&Kind::None("why".to_owned()), "a", Err("why")),
        ] {
            assert_eq!(url(kind, target), expected.map(ToOwned::to_owned).map_err(ToOwned::to_owned), "{target}");
        }
    }

    #[test]
    fn a_probe_ends_half_a_second_before_the_scrape() {
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!(Pace::of_scrape(seconds(30), seconds(10)).timeout, Duration::from_millis(9500));
        assert_eq!(Pace::of_scrape(seconds(1), Duration::from_millis(300)).timeout, Duration::from_millis(300));
    }
}
