//! Discovery of targets from files, HTTP and DNS.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::daemon::Daemon;
use crate::support::peers::peer;
use crate::support::scrape::Scrape;
use crate::support::services::prometheus_with;
use crate::support::{http, wait};

/// Creates a folder with a configuration and its discovery files.
fn folder(config: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    write(folder.path(), "portprobe.yaml", config);
    folder
}

/// Replaces a file atomically, as programs that write such files do.
fn write(folder: &Path, name: &str, content: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let half = folder.join("half");
    fs::write(&half, content).unwrap();
    fs::rename(half, file).unwrap();
}

fn of_source(scrape: &Scrape, name: &str, source: &str) -> Option<f64> {
    scrape.value(&format!("portprobe_discovery_{name}"), &[("source", source)])
}

const CONFIG: &str = "\
defaults: { interval: 300ms }
modules: { slow: { interval: 1h } }
targets: [ { url: 127.0.0.1:1, name: fixed } ]
discovery: [ { file: 'sd/*.json', refresh: 1s, labels: { from: sd } } ]
";

#[tokio::test]
async fn an_invalid_file_does_not_affect_other_files() {
    let first = r#"[{ "targets": ["127.0.0.1:2", "127.0.0.1:3"], "labels": { "team": "a", "job": "x", "__meta_x": "y" } },
        { "targets": ["127.0.0.1:4"], "labels": { "__param_module": "slow", "__portprobe_name": "four" } },
        { "targets": ["127.0.0.1:0", "127.0.0.1:9"], "labels": { "__portprobe_name": "fixed" } }]"#;
    let folder = folder(CONFIG, &[("sd/a.json", first)]);
    let root = folder.path().to_owned();
    let daemon = Daemon::start_in(folder, &["--web.enable-lifecycle"]).await;
    let source = "file:sd/*.json";
    let scrape = daemon
        .scrape_until("all are there", |scrape| scrape.value("portprobe_targets", &[]) == Some(4.0))
        .await;
    let labels = [("target", "tcp://127.0.0.1:2"), ("team", "a"), ("exported_job", "x"), ("from", "sd")];
    assert_eq!(scrape.value("portprobe_target_info", &labels), Some(1.0));
    assert_eq!(scrape.of("four", "portprobe_interval_seconds"), Some(3600.0));
    assert_eq!(of_source(&scrape, "targets", source), Some(3.0), "{:?}", daemon.logged(&["source"]));
    assert!(of_source(&scrape, "invalid_targets", source) >= Some(1.0), "a duplicate name, and port 0");
    assert!(
        !daemon
            .logged(&["Skipped an entry of a discovery source", "127.0.0.1:0"])
            .is_empty()
    );
    // A file is incomplete, then missing, then exists again with another target.
    let before = daemon
        .scrape_until("it has a past", |s| s.of("tcp://127.0.0.1:2", "portprobe_probes_total") > Some(2.0))
        .await;
    write(&root, "sd/a.json", &first[..40]);
    let failed = |scrape: &Scrape| of_source(scrape, "failures_total", source) >= Some(1.0);
    let after = daemon.scrape_until("the failure is counted", failed).await;
    assert_eq!(after.value("portprobe_targets", &[]), Some(4.0), "the last targets stay");
    assert!(
        after.of("tcp://127.0.0.1:2", "portprobe_probes_total")
            >= before.of("tcp://127.0.0.1:2", "portprobe_probes_total")
    );
    write(&root, "sd/a.json", r#"[{ "targets": ["127.0.0.1:3", "127.0.0.1:5"] }]"#);
    let changed = |scrape: &Scrape| scrape.of("tcp://127.0.0.1:5", "portprobe_interval_seconds").is_some();
    let scrape = daemon.scrape_until("the change is taken over", changed).await;
    assert_eq!(scrape.of("tcp://127.0.0.1:2", "portprobe_probes_total"), None);
    assert_eq!(scrape.value("portprobe_targets", &[]), Some(3.0));
    write(&root, "sd/a.json", "[]");
    wait::until_patiently("the second empty response removes the targets", async || {
        daemon.scrape().await.value("portprobe_targets", &[]) == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_failed_http_source_keeps_its_targets() {
    let answer = |status: &'static str, kind: &'static str, body: &'static str| {
        peer(move |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        })
    };
    let good = answer("200 OK", "application/json", r#"[{"targets":["127.0.0.1:2"],"labels":{"team":"b"}}]"#).await;
    let broken = answer("500 Internal Server Error", "application/json", "[]").await;
    let page = answer("200 OK", "text/html", "<html>").await;
    let config = format!(
        "defaults: {{ interval: 1h }}\ntargets: [127.0.0.1:1]\ndiscovery:\n- {{ http: 'http://{good}/sd', refresh: 1s }}\n\
         - {{ http: 'http://{broken}/sd', refresh: 1s }}\n- {{ http: 'http://{page}/sd', refresh: 1s }}\n"
    );
    let daemon = Daemon::start_in(folder(&config, &[]), &[]).await;
    let scrape = daemon
        .scrape_until("failures are counted", |scrape| {
            [broken, page]
                .iter()
                .all(|address| of_source(scrape, "failures_total", &format!("http:http://{address}/sd")) >= Some(1.0))
                && scrape.value("portprobe_targets", &[]) == Some(2.0)
        })
        .await;
    let labels = [("target", "tcp://127.0.0.1:2"), ("team", "b")];
    assert_eq!(scrape.value("portprobe_target_info", &labels), Some(1.0));
    assert_eq!(of_source(&scrape, "failures_total", &format!("http:http://{good}/sd")), Some(0.0));
    assert_eq!(
        daemon
            .logged(&["Cannot refresh a discovery source, which has no targets"])
            .len(),
        2
    );
    assert_eq!(daemon.logged(&["keeping its last targets"]), [""; 0], "no source has worked before");
}

#[tokio::test]
async fn a_reload_keeps_discovered_targets() {
    let folder = folder(CONFIG, &[("sd/a.json", r#"[{ "targets": ["127.0.0.1:2"] }]"#)]);
    let root = folder.path().to_owned();
    let daemon = Daemon::start_in(folder, &["--web.enable-lifecycle"]).await;
    let found = "tcp://127.0.0.1:2";
    let before = daemon
        .scrape_until("it has a past", |s| s.of(found, "portprobe_probes_total") > Some(2.0))
        .await;
    write(&root, "portprobe.yaml", &CONFIG.replace("from: sd", "from: here"));
    daemon.signal(Signal::SIGHUP);
    let relabelled = |scrape: &Scrape| {
        scrape.value("portprobe_probes_total", &[("target", found), ("from", "here")])
            >= before.of(found, "portprobe_probes_total")
    };
    daemon.scrape_until("counters go on under the new label", relabelled).await;
    write(&root, "portprobe.yaml", "targets: [127.0.0.1:1]\n");
    assert_eq!(http::request(daemon.address, "POST", "/-/reload").await.status, 200);
    let scrape = daemon.scrape().await;
    assert_eq!(
        (scrape.value("portprobe_targets", &[]), of_source(&scrape, "targets", "file:sd/*.json")),
        (Some(1.0), None)
    );
}

#[tokio::test]
async fn prometheus_finds_the_same_targets() {
    let listed =
        r#"[{ "targets": ["127.0.0.1:2", "127.0.0.1:3"], "labels": { "team": "a" } }, { "targets": ["127.0.0.1:4"] }]"#;
    let folder = folder(CONFIG, &[("sd/a.json", listed)]);
    let file = folder.path().join("sd/a.json");
    let daemon = Daemon::start_in(folder, &["--web.enable-lifecycle"]).await;
    let scrape_config = format!("- {{ job_name: sd, file_sd_configs: [ {{ files: [ '{}' ] }} ] }}\n", file.display());
    let Some(prometheus) = prometheus_with(&scrape_config).await else { return };
    daemon
        .scrape_until("all are there", |scrape| scrape.value("portprobe_targets", &[]) == Some(4.0))
        .await;
    let mut theirs = Vec::new();
    wait::until("Prometheus has read the file", async || {
        let answer = prometheus.get("/api/v1/targets").await;
        let Ok(answer) = serde_json::from_str::<Value>(&answer.body) else { return false };
        theirs = answer["data"]["activeTargets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|target| {
                (
                    target["labels"]["instance"].as_str().unwrap().to_owned(),
                    target["labels"]["team"].as_str().map(str::to_owned),
                )
            })
            .collect();
        !theirs.is_empty()
    })
    .await;
    let scrape = daemon.scrape().await;
    assert_eq!(theirs.len(), 3);
    for (address, team) in theirs {
        let target = format!("tcp://{address}");
        let labels: Vec<_> = [("target", &*target), ("from", "sd")]
            .into_iter()
            .chain(team.as_deref().map(|team| ("team", team)))
            .collect();
        assert_eq!(scrape.value("portprobe_target_info", &labels), Some(1.0), "{labels:?}");
    }
}
