//! The scrape configurations of Prometheus that probe through blackbox_exporter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::relabel::{Labels, Rule, relabeled};
use crate::config::{ForeignFile, ForeignValue, LoadError};
use crate::duration;

/// A job whose targets are parameters of an exporter.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    /// The first value of each parameter.
    params: Vec<(String, String)>,
    groups: Vec<StaticGroup>,
    pub(super) files: Vec<FileSource>,
    /// Other kinds of service discovery.
    pub(super) others: Vec<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) relabels_metrics: bool,
}

/// Targets with their labels.
#[derive(Clone, Debug)]
struct StaticGroup {
    targets: Vec<String>,
    labels: Labels,
}

/// An entry of `file_sd_configs`.
#[derive(Clone, Debug)]
pub(super) struct FileSource {
    pub(super) files: Vec<String>,
    pub(super) refresh: Duration,
    /// `None` if discovery reads the files.
    pub(super) current: Option<CurrentTargets>,
}

/// The targets of files at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentTargets {
    /// Addresses and their labels.
    pub(super) targets: Vec<(String, Labels)>,
    /// Files that cannot be read, and the reasons.
    pub(super) unreadable: Vec<(String, String)>,
}

/// A target as the exporter is asked for it.
#[derive(Clone, Debug)]
pub(super) struct ProbedTarget {
    pub(super) target: String,
    pub(super) module: String,
    pub(super) hostname: Option<String>,
    pub(super) instance: String,
    pub(super) job: String,
    /// The labels of its series, without `job` and `instance`.
    pub(super) labels: Labels,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// Reads the jobs that use an exporter with `/probe`, in the order of the file.
pub(super) fn read(file: &ForeignFile) -> Result<Vec<Job>, LoadError> {
    let root = file.root();
    root.entries()?;
    let global = root.child("global");
    let interval = global
        .get("scrape_interval")
        .map_or(Ok(DEFAULT_INTERVAL), |value| value.duration())?;
    let timeout = global.get("scrape_timeout").map(|value| value.duration()).transpose()?;
    let folder = file.path().parent().unwrap_or_else(|| Path::new(""));
    let mut jobs = jobs_of(&root, interval, timeout, folder)?;
    for pattern in root.child("scrape_config_files").texts()? {
        for path in matching(&folder.join(pattern).display().to_string()) {
            let more = ForeignFile::load(&path, FLAG)?;
            jobs.extend(jobs_of(&more.root(), interval, timeout, path.parent().unwrap_or(folder))?);
        }
    }
    Ok(jobs)
}

fn jobs_of(
    root: &ForeignValue<'_>,
    interval: Duration,
    timeout: Option<Duration>,
    folder: &Path,
) -> Result<Vec<Job>, LoadError> {
    let mut jobs = Vec::new();
    for value in root.child("scrape_configs").items()? {
        let has_path = value.child("metrics_path").text()?.trim_end_matches('/').ends_with("/probe");
        // Rules that cannot be read are a problem only of jobs that probe.
        let leads_to_probe = |rule: &ForeignValue<'_>| Rule::read(rule).is_ok_and(|rule| rule.leads_to_probe());
        if has_path || value.child("relabel_configs").items()?.iter().any(leads_to_probe) {
            jobs.extend(Some(Job::read(&value, interval, timeout, folder)?).filter(Job::passes_targets));
        }
    }
    Ok(jobs)
}

/// The files that a pattern matches now.
fn matching(pattern: &str) -> impl Iterator<Item = PathBuf> + use<> {
    glob::glob(pattern).into_iter().flatten().flatten()
}

impl Job {
    fn read(
        value: &ForeignValue<'_>,
        interval: Duration,
        timeout: Option<Duration>,
        folder: &Path,
    ) -> Result<Self, LoadError> {
        let interval = value.get("scrape_interval").map_or(Ok(interval), |value| value.duration())?;
        let own_timeout = value.get("scrape_timeout").map(|value| value.duration()).transpose()?;
        // Prometheus reduces a timeout that is not the job's own to the interval.
        let timeout = own_timeout.unwrap_or_else(|| timeout.unwrap_or(DEFAULT_TIMEOUT).min(interval));
        let mut job = Self {
            name: value.child("job_name").text()?,
            interval,
            timeout,
            params: Vec::new(),
            groups: Vec::new(),
            files: Vec::new(),
            others: Vec::new(),
            rules: Vec::new(),
            relabels_metrics: value.get("metric_relabel_configs").is_some(),
        };
        for (key, value) in value.entries()? {
            match key {
                "params" => job.params = params(&value)?,
                "static_configs" => {
                    job.groups = value.items()?.iter().map(StaticGroup::read).collect::<Result<_, _>>()?;
                }
                "file_sd_configs" => {
                    job.files = value
                        .items()?
                        .iter()
                        .map(|value| FileSource::read(value, folder))
                        .collect::<Result<_, _>>()?;
                }
                "relabel_configs" => job.rules = value.items()?.iter().map(Rule::read).collect::<Result<_, _>>()?,
                other if other.ends_with("_sd_configs") => job.others.push(other.to_owned()),
                _ => {}
            }
        }
        Ok(job)
    }

    /// Whether the targets are passed as a parameter, as for blackbox_exporter.
    fn passes_targets(&self) -> bool {
        self.rules.iter().any(Rule::passes_target) || self.param("target").is_some()
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The static targets that Prometheus keeps.
    pub(super) fn static_targets(&self) -> Vec<ProbedTarget> {
        let targets = self
            .groups
            .iter()
            .flat_map(|group| group.targets.iter().map(|target| (target, &group.labels)));
        targets.filter_map(|(target, labels)| self.relabel(target, labels)).collect()
    }

    /// The target as it is after relabelling; `None` if it is dropped.
    pub(super) fn relabel(&self, address: &str, labels: &Labels) -> Option<ProbedTarget> {
        let defaults = [
            ("job", self.name.clone()),
            ("__scrape_interval__", duration::display(self.interval).to_string()),
            ("__scrape_timeout__", duration::display(self.timeout).to_string()),
        ];
        let mut all: Labels = defaults.map(|(name, value)| (name.to_owned(), value)).into();
        all.extend(labels.clone());
        all.insert(ADDRESS.to_owned(), address.to_owned());
        all.extend(
            self.params
                .iter()
                .map(|(name, value)| (format!("__param_{name}"), value.clone())),
        );
        let mut labels = relabeled(&self.rules, all)?;
        let address = labels.get(ADDRESS).cloned().unwrap_or_default();
        let time =
            |label: Option<String>, default| label.and_then(|text| duration::parse(&text).ok()).unwrap_or(default);
        Some(ProbedTarget {
            target: labels.remove(PARAM_TARGET).unwrap_or_default(),
            module: labels.remove(PARAM_MODULE).unwrap_or_else(|| DEFAULT_MODULE.to_owned()),
            hostname: labels.remove("__param_hostname"),
            interval: time(labels.remove("__scrape_interval__"), self.interval),
            timeout: time(labels.remove("__scrape_timeout__"), self.timeout),
            instance: labels.remove("instance").unwrap_or(address),
            job: labels.remove("job").unwrap_or_default(),
            labels: labels.into_iter().filter(|(name, _)| !name.starts_with("__")).collect(),
        })
    }

    /// A target of its files, whose address stands for all of them.
    pub(super) fn placeholder(&self) -> Option<ProbedTarget> {
        self.relabel(PLACEHOLDER, &Labels::new())
    }

    /// Reads the current targets of its files. A file that cannot be read does not hide the others.
    pub(super) fn read_files(&mut self) {
        for source in &mut self.files {
            let mut current = CurrentTargets::default();
            for path in source.files.iter().flat_map(|pattern| matching(pattern)) {
                match targets_of(&path) {
                    Ok(targets) => current.targets.extend(targets),
                    Err(error) => current.unreadable.push((path.display().to_string(), error.to_string())),
                }
            }
            source.current = Some(current);
        }
    }
}

fn targets_of(path: &Path) -> Result<Vec<(String, Labels)>, LoadError> {
    let file = ForeignFile::load(path, FLAG)?;
    let mut targets = Vec::new();
    for group in file.root().items()? {
        let StaticGroup { targets: addresses, labels } = StaticGroup::read(&group)?;
        targets.extend(addresses.into_iter().map(|address| (address, labels.clone())));
    }
    Ok(targets)
}

impl StaticGroup {
    fn read(value: &ForeignValue<'_>) -> Result<Self, LoadError> {
        let labels = value.child("labels").entries()?;
        Ok(Self {
            targets: value.child("targets").texts()?,
            labels: labels
                .into_iter()
                .map(|(name, value)| Ok((name.to_owned(), value.text()?)))
                .collect::<Result<_, LoadError>>()?,
        })
    }
}

impl FileSource {
    /// Reads an entry. Its paths are relative to the folder of the file.
    fn read(value: &ForeignValue<'_>, folder: &Path) -> Result<Self, LoadError> {
        let files = value.child("files").texts()?;
        let path = |file: String| -> PathBuf { folder.join(file) };
        Ok(Self {
            files: files.into_iter().map(|file| path(file).display().to_string()).collect(),
            refresh: value
                .get("refresh_interval")
                .map_or(Ok(DEFAULT_REFRESH), |value| value.duration())?,
            current: None,
        })
    }
}

/// The first value of each parameter; the exporter ignores the others.
fn params(value: &ForeignValue<'_>) -> Result<Vec<(String, String)>, LoadError> {
    let mut params = Vec::new();
    for (name, value) in value.entries()? {
        let first = if value.is_list() { value.items()?.first().map(ForeignValue::text) } else { Some(value.text()) };
        if let Some(first) = first.transpose()? {
            params.push((name.to_owned(), first));
        }
    }
    Ok(params)
}

pub(super) const ADDRESS: &str = "__address__";
pub(super) const PARAM_TARGET: &str = "__param_target";
pub(super) const PARAM_MODULE: &str = "__param_module";

/// An address that no relabelling rule expects.
pub(super) const PLACEHOLDER: &str = "placeholder.invalid:1";

/// The flag that leads to the files which this file names.
const FLAG: &str = "--prometheus";

/// The module that blackbox_exporter uses if none is named.
const DEFAULT_MODULE: &str = "http_2xx";

/// Defaults of Prometheus.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_REFRESH: Duration = Duration::from_mins(5);
