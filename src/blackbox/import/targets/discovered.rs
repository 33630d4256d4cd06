//! Targets that Prometheus discovers: files as discovery sources of portprobe, or their current targets.
//!
//! Discovery of portprobe does not relabel. A rule that changes more becomes a comment.

use std::time::Duration;

use super::super::document::{Block, shown};
use super::super::module::{Kind, Module};
use super::super::probed::{ADDRESS, Certainty, PARAM_MODULE, PARAM_TARGET, ProbedTarget, Prospect, Scrape};
use super::super::relabel::Labels;
use super::super::scrape::{CurrentTargets, FileSource, Job};
use super::super::{MissingProbe, TargetFiles};
use super::{EXPORTED_JOB, Elsewhere, Targets, add_label, doubt, missing, module_pace};
use crate::duration;

impl Targets<'_> {
    /// Adds the files of a job, and comments for its other kinds of discovery.
    pub(super) fn add_discovered_targets(&mut self, job: &Job) {
        if job.files.is_empty() && job.others.is_empty() {
            return;
        }
        match job.prospect() {
            Prospect::Probes(probe) => {
                match self.module(probe.module()).and_then(|module| importable(module, &probe)) {
                    Ok(module) => job.files.iter().for_each(|source| self.add_files(job, &probe, module, source)),
                    Err(reason) => self.omit_files(job, &reason, Certainty::Likely),
                }
                let reason =
                    "portprobe has file, http and dns; write the targets to a file, or list them under targets";
                self.omit_others(job, reason, Certainty::Likely);
            }
            Prospect::Depends { reason, certainty } => {
                self.omit_files(job, &reason, certainty);
                self.omit_others(job, &reason, certainty);
            }
            Prospect::Elsewhere { path, probe } => {
                self.omit_elsewhere(job, elsewhere(job, path, probe));
                self.omit_probes_in_files(job);
            }
            Prospect::Doubtful { parameter } => self.omit_doubtful(job, &doubt(&parameter)),
            Prospect::None => self.omit_probes_in_files(job),
        }
    }

    fn add_files(&mut self, job: &Job, probe: &ProbedTarget, module: &Module, source: &FileSource) {
        if self.files == TargetFiles::Listed {
            self.add_current(job, probe, source.current());
            return;
        }
        self.explain_rules(job);
        let name = self.module_with_pace(job, probe, module);
        for file in &source.files {
            let mut item = Block::default();
            item.text("file", file);
            item.text("module", &name);
            // Prometheus also watches the files, so a longer interval does not delay it.
            if source.refresh < DEFAULT_REFRESH {
                item.yaml("refresh", duration::display(source.refresh.max(MIN_REFRESH)).to_string());
            }
            let mut labels = Block::default();
            if !self.has_common_job && !probe.job.is_empty() {
                labels.text(EXPORTED_JOB, &probe.job);
            }
            for (name, value) in &probe.labels {
                add_label(&mut labels, name, value);
            }
            item.block("labels", labels);
            self.discovery.push(item);
        }
    }

    /// Adds the current targets of files as discovery has them.
    fn add_current(&mut self, job: &Job, placeholder: &ProbedTarget, current: CurrentTargets) {
        self.add_unreadable(current.unreadable);
        for (address, labels) in current.targets {
            let module = labels.get(PARAM_MODULE).map_or_else(|| placeholder.module(), String::as_str);
            let probe = match job.scrape(&address, &labels) {
                Scrape::Probe(probe) => probe,
                Scrape::Refused { reason, probe } => {
                    self.missing.push(missing(&probe, &reason));
                    continue;
                }
                other @ (Scrape::Doubtful { .. } | Scrape::Dropped | Scrape::Elsewhere { .. } | Scrape::Other) => {
                    let reason = match other {
                        Scrape::Doubtful { parameter } => doubt(&parameter),
                        _ => "the relabelling drops it; remove it from the file".to_owned(),
                    };
                    let missing = MissingProbe::of_exporter(&address, module, &reason);
                    self.missing.push(MissingProbe { is_of_portprobe: true, ..missing });
                    continue;
                }
            };
            if let Some(reason) = difference(&probe, &address, module, placeholder) {
                self.missing.push(missing(&probe, &reason));
                continue;
            }
            let target = ProbedTarget {
                target: address,
                named_module: Some(module.to_owned()),
                instance: probe.instance.clone(),
                ..placeholder.clone()
            };
            self.add_target(&target, probe);
        }
    }

    fn add_unreadable(&mut self, files: Vec<(String, String)>) {
        for (file, reason) in files {
            self.missing.push(MissingProbe::of_exporter(&file, "", &reason));
        }
    }

    /// Adds comments for files of which no target is imported. Their current probes are missing.
    fn omit_files(&mut self, job: &Job, reason: &str, certainty: Certainty) {
        for source in &job.files {
            for file in &source.files {
                self.discovery.omit(&format!("file_sd {}", shown(file)), reason);
            }
            let CurrentTargets { targets, unreadable } = source.current();
            for (address, labels) in &targets {
                self.add_missing(job, address, labels, reason);
            }
            if certainty == Certainty::Likely {
                self.add_unreadable(unreadable);
            }
        }
    }

    /// Adds comments for targets that may be of another exporter. Those with a module are probes.
    fn omit_doubtful(&mut self, job: &Job, reason: &str) {
        for file in job.files.iter().flat_map(|source| &source.files) {
            self.discovery.omit(&format!("file_sd {}", shown(file)), reason);
        }
        self.omit_others(job, reason, Certainty::Possible);
        self.omit_probes_in_files(job);
    }

    /// Adds comments for probes that only the labels in files make, in jobs whose settings have nothing of
    /// blackbox_exporter.
    fn omit_probes_in_files(&mut self, job: &Job) {
        for source in &job.files {
            let before = self.missing.len();
            let reason =
                "labels in the file lead to blackbox_exporter, and portprobe has no relabelling; list the targets";
            for (address, labels) in &source.current().targets {
                self.add_missing(job, address, labels, reason);
            }
            let count = self.missing.len() - before;
            if count > 0 {
                let files = shown(&source.files.join(", "));
                self.discovery.omit(&format!("file_sd {files} (targets: {count})"), reason);
            }
        }
    }

    /// Adds a target of a file, if it is a probe of blackbox_exporter.
    fn add_missing(&mut self, job: &Job, address: &str, labels: &Labels, reason: &str) {
        match job.scrape(address, labels) {
            Scrape::Probe(probe) => self.missing.push(missing(&probe, reason)),
            Scrape::Refused { reason, probe } => self.missing.push(missing(&probe, &reason)),
            Scrape::Doubtful { .. } | Scrape::Dropped | Scrape::Elsewhere { .. } | Scrape::Other => {}
        }
    }

    /// Adds comments for kinds of discovery that are not imported.
    fn omit_others(&mut self, job: &Job, reason: &str, certainty: Certainty) {
        for other in &job.others {
            self.discovery.omit(&shown(other), reason);
            if certainty == Certainty::Likely {
                let target = format!("{other} of job {}", job.name);
                self.missing.push(MissingProbe::of_exporter(&target, "", reason));
            }
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

/// The targets of a job at another path: those of files, and one in place of all that are not known.
fn elsewhere(job: &Job, path: String, placeholder: ProbedTarget) -> Elsewhere {
    let mut elsewhere = Elsewhere { has_unknown: !job.others.is_empty(), ..Elsewhere::default() };
    for CurrentTargets { targets, unreadable } in job.files.iter().map(FileSource::current) {
        elsewhere.has_unknown |= !unreadable.is_empty();
        for (address, labels) in &targets {
            if let Scrape::Elsewhere { path, probe } = job.scrape(address, labels) {
                elsewhere.add(path, probe);
            }
        }
    }
    if elsewhere.has_unknown {
        elsewhere.add(path, ProbedTarget { target: format!("targets of job {}", job.name), ..placeholder });
    }
    elsewhere
}

/// Why portprobe does not probe an address of a file as Prometheus has it probed.
fn difference(probe: &ProbedTarget, address: &str, module: &str, placeholder: &ProbedTarget) -> Option<String> {
    if probe.target != address {
        Some("the relabelling changes the target; write it to the file as it is probed".to_owned())
    } else if probe.module() != module {
        Some(format!("portprobe uses module {module}; name the module in the label {PARAM_MODULE}"))
    } else if probe.hostname != placeholder.hostname {
        Some(HOSTNAME.to_owned())
    } else {
        None
    }
}

/// Fails if discovered targets cannot have what the module or the job requires.
fn importable<'a>(module: &'a Module, probe: &ProbedTarget) -> Result<&'a Module, String> {
    match &module.kind {
        Kind::None(reason) => Err(reason.clone()),
        Kind::Dns { scheme, name } => {
            Err(format!("write each target with the name to query, as {scheme}://SERVER:53/{name}"))
        }
        Kind::Grpc { scheme, service } if !service.is_empty() => {
            Err(format!("write each target with the service, as {scheme}://HOST:PORT/{service}"))
        }
        Kind::Http(_) if probe.hostname.is_some() => Err(HOSTNAME.to_owned()),
        Kind::Tcp(_) if probe.hostname.is_some() && module.tls.takes_hostname => Err(HOSTNAME.to_owned()),
        Kind::Grpc { .. } | Kind::Http(_) | Kind::Tcp(_) => Ok(module),
    }
}

const HOSTNAME: &str = "the parameter hostname needs a module with http.headers.host and tls.server_name";

/// The default of portprobe, and its minimum.
const DEFAULT_REFRESH: Duration = Duration::from_mins(1);
const MIN_REFRESH: Duration = Duration::from_secs(1);
