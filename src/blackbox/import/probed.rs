//! The scrapes that Prometheus makes of a job's targets, and which of them are probes of blackbox_exporter.
//!
//! The rules are applied to each target before it is judged, because labels can set the path and the parameters. Targets
//! that only discovery knows are judged by a placeholder and by what the rules could do.

use std::collections::BTreeSet;
use std::iter;
use std::time::Duration;

use super::relabel::{Labels, Rule, relabeled};
use super::scrape::{Job, PARAM, is_probe_path};
use crate::duration;

/// A target as the exporter is asked for it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ProbedTarget {
    pub(super) target: String,
    /// The parameter `module`, if it is set.
    pub(super) named_module: Option<String>,
    pub(super) hostname: Option<String>,
    /// The address of the exporter.
    pub(super) exporter: String,
    pub(super) instance: String,
    pub(super) job: String,
    /// The labels of its series, without `job` and `instance`.
    pub(super) labels: Labels,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl ProbedTarget {
    /// The module that the exporter uses.
    pub(super) fn module(&self) -> &str {
        self.named_module.as_deref().unwrap_or(DEFAULT_MODULE)
    }
}

/// The scrape of a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Scrape {
    /// It names no module, but this parameter, which blackbox_exporter does not have.
    Doubtful { parameter: String },
    /// None: a rule drops the target.
    Dropped,
    /// It has parameters of blackbox_exporter, but this path.
    Elsewhere { path: String, probe: ProbedTarget },
    /// It has neither the path nor the parameters of blackbox_exporter.
    Other,
    /// A probe of blackbox_exporter.
    Probe(ProbedTarget),
    /// It would be a probe, but Prometheus does not make it, or not every version, for this reason.
    Refused { reason: String, probe: ProbedTarget },
}

/// The scrapes of targets that only discovery knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Prospect {
    /// Labels decide whether they are probes.
    Depends { reason: String, certainty: Certainty },
    /// They name no module, but this parameter, which blackbox_exporter does not have.
    Doubtful { parameter: String },
    /// They have parameters of blackbox_exporter, but this path.
    Elsewhere { path: String, probe: ProbedTarget },
    /// None is a probe.
    None,
    /// All are probes like that of the placeholder.
    Probes(ProbedTarget),
}

/// How sure it is that a job uses blackbox_exporter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Certainty {
    /// Rules that copy any labels to parameters could do so.
    Possible,
    /// It names a parameter of blackbox_exporter or its path.
    Likely,
}

impl Job {
    /// The scrape of a target with these labels.
    pub(super) fn scrape(&self, address: &str, labels: &Labels) -> Scrape {
        let newer = self.relabel(address, [&self.params, labels]);
        let is_contested = self
            .params
            .iter()
            .any(|(name, value)| labels.get(name).is_some_and(|label| !label.is_empty() && label != value));
        if !is_contested {
            return newer;
        }
        match (newer, self.relabel(address, [labels, &self.params])) {
            (newer, older) if newer == older => newer,
            (Scrape::Probe(probe), _) | (_, Scrape::Probe(probe)) => Scrape::Refused {
                reason:
                    "a label `__param_..` differs from the `params` of the job, and which one counts depends on the \
                         version of Prometheus; remove one"
                        .to_owned(),
                probe,
            },
            (newer, _) => newer,
        }
    }

    /// The scrape of a target with the labels in these layers, of which the later one counts.
    fn relabel(&self, address: &str, layers: [&Labels; 2]) -> Scrape {
        let defaults = [
            ("job", self.name.clone()),
            (INTERVAL, duration::display(self.interval).to_string()),
            (TIMEOUT, duration::display(self.timeout).to_string()),
            (PATH, self.path.clone()),
            ("__scheme__", self.scheme.clone()),
        ];
        let mut all: Labels = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        let given = layers.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        all.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        all.insert(ADDRESS.to_owned(), address.to_owned());
        relabeled(&self.rules, all).map_or(Scrape::Dropped, |labels| self.judge(labels))
    }

    /// The scrape of a target with these labels after relabelling.
    fn judge(&self, mut labels: Labels) -> Scrape {
        // A parameter without a label has the value of the job.
        let mut param = |name: &str| {
            let name = format!("{PARAM}{name}");
            let value = labels.remove(&name).or_else(|| self.params.get(&name).cloned());
            value.filter(|value| !value.is_empty())
        };
        let (target, named_module, hostname) = (param("target"), param("module"), param("hostname"));
        let path = labels.remove(PATH).unwrap_or_default();
        let is_probe = is_probe_path(&path);
        if !is_probe && target.is_none() && named_module.is_none() {
            return Scrape::Other;
        }
        let exporter = labels.remove(ADDRESS).unwrap_or_default();
        if named_module.is_none()
            && let Some(parameter) = self.unknown_parameter(&labels)
            && !self.exporters.contains(&exporter)
        {
            return Scrape::Doubtful { parameter };
        }
        let mut time = |name| labels.remove(name).map(|text| duration::parse(&text));
        let (interval, timeout) = (time(INTERVAL), time(TIMEOUT));
        let is_time = |time: &Option<Result<Duration, _>>| matches!(time, Some(Ok(time)) if !time.is_zero());
        let fault = if exporter.is_empty() {
            Some("no address".to_owned())
        } else if exporter.contains('/') {
            Some("its address has a slash; a rule must set `__address__` to that of blackbox_exporter".to_owned())
        } else if !is_time(&interval) || !is_time(&timeout) {
            Some("its interval or timeout is not a valid duration".to_owned())
        } else {
            None
        };
        let probe = ProbedTarget {
            target: target.unwrap_or_default(),
            named_module,
            hostname,
            interval: interval.and_then(Result::ok).unwrap_or(self.interval),
            timeout: timeout.and_then(Result::ok).unwrap_or(self.timeout),
            instance: labels.remove("instance").unwrap_or_else(|| exporter.clone()),
            exporter,
            job: labels.remove("job").unwrap_or_default(),
            labels: labels.into_iter().filter(|(name, _)| !name.starts_with("__")).collect(),
        };
        match fault {
            _ if !is_probe => Scrape::Elsewhere { path, probe },
            Some(fault) => Scrape::Refused { reason: format!("Prometheus does not scrape it: {fault}"), probe },
            None if probe.timeout > probe.interval => Scrape::Refused {
                reason: "Prometheus does not scrape it: its timeout is longer than its interval".to_owned(),
                probe,
            },
            None => Scrape::Probe(probe),
        }
    }

    /// A parameter that blackbox_exporter does not have.
    fn unknown_parameter(&self, labels: &Labels) -> Option<String> {
        let names = self.params.keys().chain(labels.keys());
        let mut parameters = names.filter_map(|name| name.strip_prefix(PARAM));
        parameters.find(|name| !PARAMETERS.contains(name)).map(ToOwned::to_owned)
    }

    /// The addresses of its targets that name one of these modules of blackbox_exporter.
    pub(super) fn sure_exporters(&self, modules: &BTreeSet<&str>) -> impl Iterator<Item = String> {
        let scrapes = self.static_targets().map(|(address, labels)| self.scrape(address, labels));
        let unknown = iter::once_with(|| self.scrape(PLACEHOLDER, &Labels::new()));
        scrapes.chain(unknown).filter_map(|scrape| match scrape {
            Scrape::Probe(ProbedTarget { named_module: Some(module), exporter, .. })
                if modules.contains(&*module) && exporter != PLACEHOLDER =>
            {
                Some(exporter)
            }
            _ => None,
        })
    }

    /// Its probes of static targets, and one in place of those in its files.
    pub(super) fn probes(&self) -> impl Iterator<Item = ProbedTarget> {
        let of_files = Some(PLACEHOLDER).filter(|_| !self.files.is_empty());
        let of_files = of_files.map(|placeholder| self.scrape(placeholder, &Labels::new()));
        let scrapes = self.static_targets().map(|(address, labels)| self.scrape(address, labels));
        scrapes.chain(of_files).filter_map(|scrape| match scrape {
            Scrape::Probe(probe) => Some(probe),
            _ => None,
        })
    }

    /// The scrapes of targets that only discovery knows.
    pub(super) fn prospect(&self) -> Prospect {
        let certainty = if self.names_probes() { Certainty::Likely } else { Certainty::Possible };
        let depends = |reason: &str| Prospect::Depends { reason: reason.to_owned(), certainty };
        match self.scrape(PLACEHOLDER, &Labels::new()) {
            Scrape::Probe(probe) if probe.target == PLACEHOLDER => Prospect::Probes(probe),
            Scrape::Probe(_) => depends(CHANGED),
            Scrape::Refused { reason, .. } => Prospect::Depends { reason, certainty },
            Scrape::Doubtful { .. } if self.rules.iter().any(|rule| rule.may_set(PARAM_MODULE)) => depends(
                "labels decide which module probes the targets, and portprobe has no relabelling; list the targets, or \
                 write them to a file as they are probed",
            ),
            Scrape::Doubtful { parameter } => Prospect::Doubtful { parameter },
            Scrape::Dropped | Scrape::Elsewhere { .. } | Scrape::Other
                if self.may_ask() && self.may_lead_to_probe() =>
            {
                depends(
                    "labels decide whether the targets are probed, and portprobe has no relabelling; list the targets, or \
                     write them to a file as they are probed",
                )
            }
            Scrape::Elsewhere { path, probe } => Prospect::Elsewhere { path, probe },
            Scrape::Dropped | Scrape::Other => Prospect::None,
        }
    }

    /// Whether the path, a parameter or a rule of the job is one of blackbox_exporter.
    fn names_probes(&self) -> bool {
        let sets = |rule: &Rule| {
            rule.sets(PARAM_TARGET) || rule.sets(PARAM_MODULE) || (rule.sets(PATH) && is_probe_path(&rule.replacement))
        };
        is_probe_path(&self.path) || self.has_params() || self.rules.iter().any(sets)
    }

    fn has_params(&self) -> bool {
        [PARAM_TARGET, PARAM_MODULE].iter().any(|name| self.params.contains_key(*name))
    }

    /// Whether a target could have parameters of blackbox_exporter.
    fn may_ask(&self) -> bool {
        let may_set = |rule: &Rule| rule.may_set(PARAM_TARGET) || rule.may_set(PARAM_MODULE);
        self.has_params() || self.rules.iter().any(may_set)
    }

    /// Whether the path of a target could be that of probes.
    fn may_lead_to_probe(&self) -> bool {
        let may_lead = |rule: &Rule| {
            let is_fixed = rule.sets(PATH) && !rule.replacement.contains('$');
            rule.may_set(PATH) && (!is_fixed || is_probe_path(&rule.replacement))
        };
        is_probe_path(&self.path) || self.rules.iter().any(may_lead)
    }
}

pub(super) const ADDRESS: &str = "__address__";
pub(super) const PARAM_TARGET: &str = "__param_target";
pub(super) const PARAM_MODULE: &str = "__param_module";
const INTERVAL: &str = "__scrape_interval__";
const PATH: &str = "__metrics_path__";
const TIMEOUT: &str = "__scrape_timeout__";

/// An address that no relabelling rule expects.
pub(super) const PLACEHOLDER: &str = "placeholder.invalid:1";

/// The parameters of blackbox_exporter.
const PARAMETERS: [&str; 4] = ["debug", "hostname", "module", "target"];

/// The module that blackbox_exporter uses if none is named.
const DEFAULT_MODULE: &str = "http_2xx";

const CHANGED: &str = "the relabelling changes the targets; write them to a file as they are probed";
