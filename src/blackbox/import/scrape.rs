//! The scrape configurations of Prometheus that probe through blackbox_exporter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::relabel::{Labels, Rule};
use crate::config::{ForeignFile, ForeignValue, LoadError};

/// The scrape configurations of Prometheus.
#[derive(Debug, Default)]
pub(super) struct ScrapeConfigs {
    /// The jobs that may use an exporter with `/probe`, in the order of the files.
    pub(super) jobs: Vec<Job>,
    /// Patterns of `scrape_config_files` that match no file.
    pub(super) unmatched: Vec<String>,
}

/// A job of Prometheus.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) path: String,
    pub(super) scheme: String,
    /// The first value of each parameter, as the label that Prometheus makes of it.
    pub(super) params: Labels,
    groups: Vec<StaticGroup>,
    pub(super) files: Vec<FileSource>,
    /// Other kinds of service discovery.
    pub(super) others: Vec<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) relabels_metrics: bool,
    /// The addresses that are surely those of blackbox_exporter.
    pub(super) exporters: Rc<BTreeSet<String>>,
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
}

/// The targets of files at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct CurrentTargets {
    /// Addresses and their labels.
    pub(super) targets: Vec<(String, Labels)>,
    /// Files that cannot be read, and the reasons.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Reads the jobs that may use an exporter with `/probe`.
pub(super) fn read(file: &ForeignFile) -> Result<ScrapeConfigs, LoadError> {
    let root = file.root();
    root.entries()?;
    let global = root.child("global");
    let interval = global
        .get("scrape_interval")
        .map_or(Ok(DEFAULT_INTERVAL), |value| value.duration())?;
    let timeout = global.get("scrape_timeout").map(|value| value.duration()).transpose()?;
    let folder = file.path().parent().unwrap_or_else(|| Path::new(""));
    let mut configs = ScrapeConfigs { jobs: jobs_of(&root, interval, timeout, folder)?, unmatched: Vec::new() };
    for pattern in root.child("scrape_config_files").texts()? {
        let paths = matching(&folder.join(&pattern).display().to_string());
        if paths.is_empty() {
            configs.unmatched.push(pattern);
        }
        for path in paths {
            let more = ForeignFile::load(&path, FLAG)?;
            let jobs = jobs_of(&more.root(), interval, timeout, path.parent().unwrap_or(folder))?;
            configs.jobs.extend(jobs);
        }
    }
    Ok(configs)
}

fn jobs_of(
    root: &ForeignValue<'_>,
    interval: Duration,
    timeout: Option<Duration>,
    folder: &Path,
) -> Result<Vec<Job>, LoadError> {
    let mut jobs = Vec::new();
    for value in root.child("scrape_configs").items()? {
        match Job::read(&value, interval, timeout, folder) {
            Ok(job) => jobs.push(job),
            Err(error) if mentions_probes(&value) => return Err(error),
            // A problem of another job.
            Err(_) => {}
        }
    }
    Ok(jobs)
}

/// Whether a job whose rules cannot be read may probe.
fn mentions_probes(job: &ForeignValue<'_>) -> bool {
    let is_path = |value: &ForeignValue<'_>| value.text().is_ok_and(|text| is_probe_path(&text));
    let sets_probe = |rule: &ForeignValue<'_>| {
        let has_param = |key| rule.child(key).text().is_ok_and(|text| text.starts_with(PARAM));
        has_param("target_label") || has_param("replacement") || is_path(&rule.child("replacement"))
    };
    let rules = job.child("relabel_configs").items().unwrap_or_default();
    job.get("params").is_some() || is_path(&job.child("metrics_path")) || rules.iter().any(sets_probe)
}

/// Whether blackbox_exporter probes at this path, possibly below that of a proxy.
pub(super) fn is_probe_path(path: &str) -> bool {
    path.trim_matches('/').rsplit('/').next() == Some("probe")
}

/// The files that a pattern matches now.
fn matching(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).into_iter().flatten().flatten().collect()
}

fn text_or(value: &ForeignValue<'_>, key: &str, default: &str) -> Result<String, LoadError> {
    value.get(key).map_or_else(|| Ok(default.to_owned()), |value| value.text())
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
            path: text_or(value, "metrics_path", DEFAULT_PATH)?,
            scheme: text_or(value, "scheme", DEFAULT_SCHEME)?,
            params: Labels::new(),
            groups: Vec::new(),
            files: Vec::new(),
            others: Vec::new(),
            rules: Vec::new(),
            relabels_metrics: !value.child("metric_relabel_configs").items()?.is_empty(),
            exporters: Rc::default(),
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
                other if other.ends_with("_sd_configs") && !value.items()?.is_empty() => {
                    job.others.push(other.to_owned());
                }
                _ => {}
            }
        }
        Ok(job)
    }

    /// The targets of `static_configs` before relabelling.
    pub(super) fn static_targets(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.groups
            .iter()
            .flat_map(|group| group.targets.iter().map(|target| (&**target, &group.labels)))
    }
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
        })
    }

    /// Reads its current targets. A file that cannot be read does not hide the others.
    pub(super) fn current(&self) -> CurrentTargets {
        let mut current = CurrentTargets::default();
        for pattern in &self.files {
            let paths = matching(pattern);
            if paths.is_empty() {
                current.unreadable.push((pattern.clone(), "no file matches".to_owned()));
            }
            for path in paths {
                match targets_of(&path) {
                    Ok(targets) => current.targets.extend(targets),
                    Err(error) => current.unreadable.push((path.display().to_string(), error.to_string())),
                }
            }
        }
        current
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

/// The first value of each parameter as a label; the exporter ignores the others.
fn params(value: &ForeignValue<'_>) -> Result<Labels, LoadError> {
    let mut params = Labels::new();
    for (name, value) in value.entries()? {
        let first = if value.is_list() { value.items()?.first().map(ForeignValue::text) } else { Some(value.text()) };
        if let Some(first) = first.transpose()? {
            params.insert(format!("{PARAM}{name}"), first);
        }
    }
    Ok(params)
}

/// The labels of parameters begin with this.
pub(super) const PARAM: &str = "__param_";

/// The flag that leads to the files which this file names.
const FLAG: &str = "--prometheus";

/// Defaults of Prometheus.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_REFRESH: Duration = Duration::from_mins(5);
const DEFAULT_PATH: &str = "/metrics";
const DEFAULT_SCHEME: &str = "http";
