//! Converts the configuration of blackbox_exporter, and the scrape configurations of Prometheus that use it.
//!
//! ```text
//! blackbox.yml ----module, tcp, http, dns, grpc, tls--> modules --.
//!                                                                  >-- document --> portprobe.yaml
//! prometheus.yml --scrape--> jobs --probed, relabel--> probed targets --targets--'
//! ```
//!
//! The result is text, because a setting without an equivalent becomes a comment in its place. It is compiled before it
//! is returned: what portprobe does not accept becomes a comment, too.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use self::document::{Block, Step, count_omitted, shown};
use self::module::{Kind, Module};
use self::probed::ProbedTarget;
use self::scrape::{Job, ScrapeConfigs};
use self::targets::{EXPORTED_JOB, Pace, Targets};
use crate::config::{self, ForeignFile, LoadError};
use crate::duration;

mod address;
mod dns;
mod document;
mod expression;
mod grpc;
mod http;
mod module;
mod probed;
mod recipe;
mod relabel;
mod scrape;
mod targets;
mod tcp;
mod tls;

/// A converted configuration.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The configuration of portprobe.
    pub text: String,
    /// The number of comments in place of settings and items without an equivalent.
    pub omitted: usize,
    /// The number of targets and discovery sources.
    pub sources: usize,
    /// The number of problems that `portprobe check` finds, apart from missing targets.
    pub problems: usize,
    /// The probes of blackbox_exporter that portprobe makes, too.
    pub pairs: Vec<ProbePair>,
    /// Those that only one of them makes.
    pub missing: Vec<MissingProbe>,
}

/// A target that both programs probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbePair {
    /// The name of portprobe's target.
    pub name: String,
    /// The parameter `target`.
    pub target: String,
    /// The parameter `module`.
    pub module: String,
    /// The parameter `hostname`.
    pub hostname: Option<String>,
    /// The timeout of Prometheus' scrape.
    pub scrape_timeout: Duration,
}

/// A target, or a file with targets, that only one program probes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingProbe {
    /// The target or the file.
    pub target: String,
    /// Its module; empty for a file.
    pub module: String,
    /// Why it is not imported.
    pub reason: String,
    /// Whether portprobe is the only one.
    pub is_of_portprobe: bool,
}

impl MissingProbe {
    fn of_exporter(target: &str, module: &str, reason: &str) -> Self {
        Self { target: target.to_owned(), module: module.to_owned(), reason: reason.to_owned(), is_of_portprobe: false }
    }
}

/// The treatment of targets in files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetFiles {
    /// portprobe reads the files, too.
    Discovered,
    /// Their current targets are listed.
    Listed,
}

/// Converts the two files.
pub fn import(
    blackbox: &ForeignFile,
    prometheus: Option<&ForeignFile>,
    files: TargetFiles,
) -> Result<Imported, LoadError> {
    let ScrapeConfigs { mut jobs, unmatched } = prometheus.map(scrape::read).transpose()?.unwrap_or_default();
    find_exporters(&mut jobs, blackbox)?;
    let probing: Vec<_> = jobs.iter().filter(|job| job.probes().next().is_some()).collect();
    let defaults = Pace::most_common(&probing);
    let mut modules = read_modules(blackbox, defaults)?;
    let probed: Vec<_> = probing.iter().flat_map(|job| job.probes()).collect();
    for module in &mut modules {
        module.take_interval_of(&probed, defaults);
    }
    let common_job = common_job(&probing, &probed);
    let mut targets = Targets::new(&modules, defaults, common_job.is_some(), files);
    for job in &jobs {
        targets.add(job);
    }
    for pattern in &unmatched {
        targets.add_unmatched(pattern);
    }
    let Targets { listed, discovery, copies, pairs, missing, .. } = targets;
    let mut document = Block::default();
    document.comment(title(blackbox, prometheus));
    if modules.iter().any(|module| module.tls.has_relative_files) {
        document.comment(
            "Relative paths of certificates: to the folder of this file; in blackbox_exporter, to its working directory.",
        );
    }
    if prometheus.is_some() {
        document.block("defaults", default_settings(defaults, &modules, common_job.as_deref()));
    }
    document.block("modules", all_modules(modules, copies));
    for (key, list) in [("targets", listed), ("discovery", discovery)] {
        if list.has_items() {
            document.list(key, list);
        } else {
            document.append(list.into_comments());
        }
    }
    let Settled { refused, problems } = settle(&mut document);
    let (pairs, refused): (Vec<_>, Vec<_>) =
        pairs.into_iter().enumerate().partition(|(index, _)| !refused.contains(index));
    let pairs = pairs.into_iter().map(|(_, pair)| pair).collect();
    let reason = "portprobe does not accept it; the comment in its place has the reason";
    let refused = refused
        .into_iter()
        .map(|(_, ProbePair { target, module, .. })| MissingProbe::of_exporter(&target, &module, reason));
    let text = document.to_text();
    Ok(Imported {
        omitted: count_omitted(&text),
        problems,
        sources: document.count("targets") + document.count("discovery"),
        text,
        pairs,
        missing: missing.into_iter().chain(refused).collect(),
    })
}

/// Finds the addresses of blackbox_exporter for the jobs: those where a job names one of its modules.
fn find_exporters(jobs: &mut [Job], blackbox: &ForeignFile) -> Result<(), LoadError> {
    let modules = blackbox.root().child("modules").entries()?;
    let modules = modules.into_iter().map(|(name, _)| name).collect();
    let exporters: Rc<BTreeSet<_>> = Rc::new(jobs.iter().flat_map(|job| job.sure_exporters(&modules)).collect());
    for job in jobs {
        job.exporters = exporters.clone();
    }
    Ok(())
}

fn read_modules(file: &ForeignFile, defaults: Pace) -> Result<Vec<Module>, LoadError> {
    let root = file.root();
    root.entries()?;
    let Some(modules) = root.get("modules") else {
        return Err(root.refuse("has no `modules`; must be the configuration of blackbox_exporter"));
    };
    modules
        .entries()?
        .iter()
        .map(|(name, value)| Module::read(name, value, defaults.interval))
        .collect()
}

/// The job of all targets, if it is one.
fn common_job(jobs: &[&Job], probes: &[ProbedTarget]) -> Option<String> {
    let [job] = jobs else { return None };
    let is_changed = job.rules.iter().any(|rule| rule.sets("job")) || probes.iter().any(|probe| probe.job != job.name);
    (!is_changed && !job.name.is_empty()).then(|| job.name.clone())
}

fn default_settings(defaults: Pace, modules: &[Module], job: Option<&str>) -> Block {
    let mut settings = Block::default();
    settings.yaml("interval", duration::display(defaults.interval).to_string());
    settings.yaml("timeout", duration::display(defaults.timeout).to_string());
    if modules.iter().any(|module| module.tls.trusts_system) {
        settings.comment(
            "blackbox_exporter trusts the roots of the system; without `tls`, portprobe trusts those of Mozilla",
        );
        let mut tls = Block::default();
        tls.yaml("roots", "system");
        settings.block("tls", tls);
    }
    if let Some(job) = job {
        let mut labels = Block::default();
        labels.text(EXPORTED_JOB, job);
        settings.block("labels", labels);
    }
    settings
}

fn all_modules(modules: Vec<Module>, copies: Vec<(String, Block)>) -> Block {
    let mut all = Block::default();
    for module in modules {
        match module.kind {
            Kind::None(reason) => all.omit(&format!("module {}", shown(&module.name)), &reason),
            Kind::Dns { .. } | Kind::Grpc { .. } | Kind::Http(_) | Kind::Tcp(_) => {
                all.block(module.name, module.settings);
            }
        }
    }
    for (name, settings) in copies {
        all.block(name, settings);
    }
    all
}

/// The configuration after its problems have become comments.
struct Settled {
    /// The numbers of the targets that were replaced, counted from 0 before the first replacement.
    refused: BTreeSet<usize>,
    /// The number of problems that could not be replaced.
    problems: usize,
}

/// Compiles the document, and replaces what portprobe refuses by comments, until nothing is refused.
fn settle(document: &mut Block) -> Settled {
    let mut left: Vec<usize> = (0..document.count("targets")).collect();
    let mut settled = Settled { refused: BTreeSet::new(), problems: 0 };
    for _ in 0..MAX_ROUNDS {
        let text = document.to_text();
        let compiled = config::parse(&*text, Path::new("portprobe.yaml"), &|_| None);
        let problems = compiled.and_then(|draft| draft.finish(&[])).err();
        let problems = problems.iter().flat_map(|error| error.diagnostics().to_vec());
        // A configuration of modules has no targets yet.
        let problems: Vec<_> = problems.filter(|diagnostic| diagnostic.key != "targets").collect();
        settled.problems = problems.len();
        let mut is_changed = false;
        let mut last = Vec::new();
        // From the last one on, because the indexes of later items change, and one problem of each item.
        for diagnostic in problems.iter().rev() {
            let path = Step::of(&diagnostic.key);
            let place: Vec<_> = path.iter().take(2).copied().collect();
            if place == last {
                continue;
            }
            let before = document.count("targets");
            is_changed |= document.refuse(&path, &diagnostic.message);
            if let [Step::Key("targets"), Step::Item(index)] = *place
                && document.count("targets") < before
            {
                settled.refused.insert(left.remove(index));
            }
            last = place;
        }
        if !is_changed {
            break;
        }
    }
    settled
}

fn title(blackbox: &ForeignFile, prometheus: Option<&ForeignFile>) -> String {
    let name = |file: &ForeignFile| file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    match prometheus {
        Some(prometheus) => format!("Imported from {} and {}.", name(blackbox), name(prometheus)),
        None => format!("Imported from {}.", name(blackbox)),
    }
}

/// Each round removes what the one before has uncovered.
const MAX_ROUNDS: usize = 10;

#[cfg(test)]
mod tests;
