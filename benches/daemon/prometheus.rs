//! Prometheus as a separate process.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::running::Running;
use super::scrape::{self, Encoding, Format};

/// A running Prometheus with separate storage; it is killed with this value.
#[derive(Debug)]
pub(crate) struct Prometheus {
    process: Running,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it with one scrape job.
    pub(crate) fn start(program: &Path, job: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, format!("global: {{ scrape_interval: 15s }}\nscrape_configs:\n{job}")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--config.file")
            .arg(&file)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"));
        command.arg("--web.listen-address=127.0.0.1:0").args(flags);
        Self { process: Running::start(&mut command), _folder: folder }
    }

    /// The value of a query with a single result; 0 if it has none.
    pub(crate) fn value(&self, query: &str) -> f64 {
        let path = format!("/api/v1/query?query={query}");
        let response = scrape::get(self.address(), &path, Format::Text, Encoding::Plain).unwrap();
        let response: serde_json::Value = serde_json::from_slice(&response).unwrap();
        let value = response.pointer("/data/result/0/value/1").and_then(serde_json::Value::as_str);
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The number of series in memory.
    pub(crate) fn series(&self) -> f64 {
        let text = scrape::get(self.address(), "/metrics", Format::Text, Encoding::Plain).unwrap();
        let mut lines = str::from_utf8(&text).unwrap().lines();
        lines
            .find_map(|line| line.strip_prefix("prometheus_tsdb_head_series "))
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Deref for Prometheus {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.process
    }
}
