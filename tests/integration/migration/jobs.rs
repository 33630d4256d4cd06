//! The scrapes of a real Prometheus: each one of blackbox_exporter is imported, or a comment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use portprobe::blackbox::import::{Imported, TargetFiles, import};
use portprobe::config::{self, ForeignFile};
use serde_json::Value;

use crate::support::services::{self, Prometheus};
use crate::support::wait;

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_of_prometheus_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sd")).unwrap();
    for (file, text) in FILES {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let jobs = JOBS.replace("FOLDER", &folder.path().display().to_string());
    fs::write(folder.path().join("prometheus.yml"), &jobs).unwrap();
    let imported = imported(folder.path());
    for program in services::prometheus_programs() {
        let prometheus = services::prometheus_on(&program, &jobs).await;
        wait::until_patiently("the last file is read", async || {
            probes(&prometheus).await.iter().any(|(target, _)| target == "last:1")
        })
        .await;
        assert_eq!(probes(&prometheus).await, imported.probes, "{}", program.display());
        assert_eq!(labels(&prometheus).await, imported.labels, "{}", program.display());
    }
}

/// The targets and modules of all probes, imported or not, and the labels of the job `1.50`.
struct Probes {
    probes: Vec<(String, String)>,
    labels: Vec<BTreeMap<String, String>>,
}

fn imported(folder: &Path) -> Probes {
    let modules = "modules: { m: { prober: tcp }, n: { prober: icmp }, 1.10: { prober: tcp } }".to_owned();
    let blackbox = ForeignFile::parse(Path::new("blackbox.yml"), modules).unwrap();
    let prometheus = ForeignFile::load(&folder.join("prometheus.yml"), "--prometheus").unwrap();
    let Imported { text, pairs, missing, .. } = import(&blackbox, Some(&prometheus), TargetFiles::Listed).unwrap();
    let is_no_probe =
        |reason: &str| reason.starts_with("Prometheus does not scrape it: ") || reason.starts_with("the path is ");
    let missing = missing
        .into_iter()
        .filter(|missing| !missing.is_of_portprobe && !is_no_probe(&missing.reason));
    let mut probes: Vec<_> = pairs.into_iter().map(|pair| (pair.target, pair.module)).collect();
    assert!(probes.len() > 20, "most are imported: {probes:?}");
    probes.extend(missing.map(|missing| (missing.target, missing.module)));
    probes.sort();
    Probes { probes, labels: imported_labels(&text) }
}

fn imported_labels(text: &str) -> Vec<BTreeMap<String, String>> {
    let config = config::parse(text, Path::new("portprobe.yaml"), &|_| None)
        .unwrap()
        .finish(&[])
        .unwrap();
    let targets = config.targets.iter().map(|target| {
        let labels = target.labels.iter();
        let labels = labels.map(|(name, value)| (name.trim_start_matches("exported_").to_owned(), value.to_owned()));
        let instance = ("instance".to_owned(), target.name.to_string());
        [instance].into_iter().chain(labels).collect()
    });
    sorted_of_job(targets)
}

fn sorted_of_job(labels: impl Iterator<Item = BTreeMap<String, String>>) -> Vec<BTreeMap<String, String>> {
    let mut of_job: Vec<_> = labels
        .filter(|labels| labels.get("job").is_some_and(|job| job == "1.50"))
        .collect();
    of_job.sort();
    of_job
}

/// The labels of the job `1.50` in Prometheus.
async fn labels(prometheus: &Prometheus) -> Vec<BTreeMap<String, String>> {
    let response = prometheus.get("/api/v1/targets?state=active").await;
    let body: Value = serde_json::from_str(&response.body).unwrap();
    let targets = body["data"]["activeTargets"].as_array().unwrap();
    sorted_of_job(
        targets
            .iter()
            .map(|target| serde_json::from_value(target["labels"].clone()).unwrap()),
    )
}

/// The targets and modules that Prometheus asks for.
async fn probes(prometheus: &Prometheus) -> Vec<(String, String)> {
    let response = prometheus.get("/api/v1/targets?state=active").await;
    // It is not ready at once.
    let Ok(body) = serde_json::from_str::<Value>(&response.body) else { return Vec::new() };
    let targets = body["data"]["activeTargets"].as_array().unwrap();
    let mut probes: Vec<_> = targets
        .iter()
        .filter_map(|target| probe(target["scrapeUrl"].as_str().unwrap()))
        .collect();
    probes.sort();
    probes
}

fn probe(url: &str) -> Option<(String, String)> {
    let (path, query) = url.split_once('?')?;
    let param = |name: &str| {
        let value = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        value.map(|(_, value)| value.into_owned())
    };
    let module = param("module").unwrap_or_else(|| "http_2xx".to_owned());
    path.trim_end_matches('/')
        .ends_with("/probe")
        .then_some((param("target")?, module))
}

const FILES: [(&str, &str); 4] = [
    (
        "texts.yml",
        "- { targets: ['q2:1', 'q4:1'], labels: { version: 1.10 } }\n- { targets: ['q5:1'], labels: { version: 1.1 } }\n",
    ),
    ("sd/a.yml", "- { targets: ['f1:1', 'f2:1'], labels: { team: x } }\n- { targets: ['f3:1'] }\n"),
    ("sd/b.json", r#"[{ "targets": ["g1:1"], "labels": { "team": "\ud83d\ude00", "path": "/probe" } }]"#),
    (
        "sd/last.yml",
        "- { targets: ['e:9115'], labels: { __metrics_path__: /probe, __param_target: 'last:1', __param_module: m } }\n",
    ),
];

/// Jobs in the ways that people write them. No file matches twice.
const JOBS: &str = r"
global: { scrape_interval: 1m }
scrape_configs:
- { job_name: self, static_configs: [{ targets: ['localhost:1'] }] }
- job_name: recipe
  metrics_path: /probe
  params: { module: [m] }
  static_configs: [{ targets: ['a1:1', 'a2:1', 'a2:1'], labels: { team: x } }, { targets: ['a3:1'] }]
  relabel_configs: &recipe
  - { source_labels: [__address__], target_label: __param_target }
  - { source_labels: [__param_target], target_label: instance }
  - { target_label: __address__, replacement: 'e:9115' }
- job_name: path_from_label
  params: { module: [m] }
  static_configs: [{ targets: ['b1:1'], labels: { path: /probe } }, { targets: ['b2:1'], labels: { path: /metrics } }]
  relabel_configs:
  - { source_labels: [path], target_label: __metrics_path__, replacement: $1 }
  - { source_labels: [__address__], target_label: __param_target }
- job_name: path_in_label
  static_configs:
  - { targets: [e], labels: { __metrics_path__: /probe, __param_target: 'c1:1', __param_module: m } }
  - { targets: ['c2:1'] }
- job_name: path_by_map
  params: { module: [m], target: ['d1:1'] }
  static_configs: [{ targets: [e], labels: { to_metrics: /probe } }]
  relabel_configs: [{ regex: to_(.+), replacement: '__${1}_path__', action: labelmap }]
- { job_name: no_slash, metrics_path: probe, params: { module: [m, n], target: ['e1:1'] }, static_configs: [{ targets: [e] }] }
- { job_name: proxy, metrics_path: /x/probe, params: { module: [m], target: ['e2:1'] }, static_configs: [{ targets: [e] }] }
- job_name: module_from_label
  metrics_path: /probe
  static_configs:
  - { targets: ['h1:1'], labels: { module: m } }
  - { targets: ['h2:1'], labels: { module: n } }
  - { targets: ['h3:1'], labels: { module: missing } }
  - { targets: ['h4:1'] }
  relabel_configs:
  - { source_labels: [module], regex: (.+), target_label: __param_module }
  - { source_labels: [__address__], target_label: __param_target }
- job_name: dropped_params
  metrics_path: /probe
  params: { module: [m], target: ['i1:1'] }
  static_configs: [{ targets: [e] }]
  relabel_configs: [{ regex: '__param_.*', action: labeldrop }]
- job_name: kept_labels
  metrics_path: /probe
  params: { module: [m], target: ['i2:1'] }
  static_configs: [{ targets: [e], labels: { team: x } }]
  relabel_configs: [{ regex: '__(address|metrics_path|scheme|scrape_.*)__', action: labelkeep }]
- job_name: no_address
  metrics_path: /probe
  params: { module: [m], target: ['i3:1'] }
  static_configs: [{ targets: [e] }]
  relabel_configs: [{ regex: '__address__', action: labeldrop }]
- job_name: kept
  metrics_path: /probe
  params: { module: [m] }
  static_configs: [{ targets: ['j1:1', 'j2:1'], labels: { team: x } }, { targets: ['j3:1'], labels: { team: y } }]
  relabel_configs:
  - { source_labels: [team], regex: '\Qx\E', action: keep }
  - { source_labels: [__address__], regex: 'j1:.*', action: drop }
  - { source_labels: [__address__], target_label: __param_target }
- job_name: changed
  metrics_path: /probe
  params: { module: [m] }
  static_configs: [{ targets: ['K1:1'], labels: { port: '22' } }]
  relabel_configs:
  - { source_labels: [__address__], target_label: __param_target, action: lowercase }
  - { source_labels: [__param_target, port], regex: '([a-z0-9]+):\d;(.+)', target_label: __param_target, replacement: '$1:$2' }
- job_name: empty_labels
  metrics_path: /probe
  params: { module: [m] }
  static_configs: [{ targets: ['l1:1'], labels: { __metrics_path__: '', job: '', __param_module: '' } }]
  relabel_configs: *recipe
- job_name: without_target
  metrics_path: /snmp
  params: { module: [if_mib] }
  static_configs: [{ targets: ['n1:1'] }]
  relabel_configs: *recipe
- { <<: { metrics_path: /probe, params: { module: [m] }, relabel_configs: *recipe }, job_name: merged, static_configs: [{ targets: ['o1:1'] }] }
- job_name: two_exporters
  metrics_path: /probe
  params: { module: [m], target: ['p1:1'] }
  static_configs: [{ targets: ['e1:9115', 'e2:9115'] }]
- { job_name: files, metrics_path: /probe, params: { module: [m] }, file_sd_configs: [{ files: ['FOLDER/sd/*.yml'] }], relabel_configs: *recipe }
- job_name: files_with_paths
  params: { module: [m] }
  file_sd_configs: [{ files: ['FOLDER/sd/*.json', 'FOLDER/sd/a.yml'] }]
  relabel_configs:
  - { source_labels: [path], regex: (.+), target_label: __metrics_path__ }
  - { source_labels: [__address__], target_label: __param_target }
- job_name: 1.50
  metrics_path: /probe
  params: { module: [1.10] }
  static_configs:
  - targets: [q1:1]
    labels: { version: 1.10, exact: True, word: FALSE, yes: yes, hex: 0x10, float: 1e3, octal: 010, modern: 0o17,
      large: 18446744073709551616, long: 123456789012345678901234567890, date: 2024-01-02, time: 2024-01-02T03:04:05Z,
      plus: +5, zero: -0, part: .5, digits: 1_000, infinite: .inf, none: .NaN, minutes: 1:30, empty: ~, absent: ,
      text: !!str 1.10, quoted: '1.10', tilde: '~' }
  - { targets: [q3:1], labels: { version: 1.1 } }
  relabel_configs: &texts
  - { source_labels: [__address__], target_label: __param_target }
  - { source_labels: [version], regex: 1.10, action: keep }
  - { source_labels: [version], target_label: one, replacement: 0x10 }
  - { source_labels: [version], regex: 1.1, target_label: two, replacement: '2' }
  - { source_labels: [version, exact], separator: 1.0, target_label: three }
- { job_name: texts_of_files, metrics_path: /probe, params: { module: [1.10] }, file_sd_configs: [{ files: ['FOLDER/texts.yml'] }], relabel_configs: *texts }
- { job_name: only_files, file_sd_configs: [{ files: ['FOLDER/sd/last.yml'] }] }
";
