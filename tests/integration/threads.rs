//! A machine that allows no further thread does not stop the daemon.

use std::fs;
use std::process::Command;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::{http, requires_program, wait};

/// The binary, which can start this many threads.
fn with_threads(count: usize) -> Command {
    let mut command = Command::new("strace");
    let inject = format!("inject=clone,clone3:error=EAGAIN:when={}+", count + 1);
    // The tracer is the grandchild, so that signals reach the daemon.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
    command.arg(portprobe().get_program());
    command
}

#[test]
fn a_start_without_threads_is_an_error() {
    if !requires_program("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: [127.0.0.1:1]\n").unwrap();
    for (threads, expected) in
        [(0, "portprobe: cannot start the thread that writes the log: "), (1, "portprobe: cannot start the runtime: ")]
    {
        let output = with_threads(threads).current_dir(folder.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with(expected) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[tokio::test]
async fn a_daemon_without_new_threads_continues() {
    if !requires_program("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (config, source) = (folder.path().join("portprobe.yaml"), folder.path().join("sd.yaml"));
    // By default, threads of the runtime end after ten seconds without work.
    let discovery = "discovery: [{ file: sd.yaml, refresh: 11s }]\n";
    fs::write(&config, format!("defaults: {{ interval: 1s }}\n{discovery}targets: [127.0.0.1:1]\n")).unwrap();
    fs::write(&source, "- targets: [127.0.0.1:2]\n").unwrap();
    // The log, a trial, two threads for blocking work, and the store.
    let mut command = with_threads(5);
    command.arg("--config.file").arg(&config).args([
        "--web.listen-address=127.0.0.1:0",
        "--web.enable-lifecycle",
        "--no-config.auto-reload",
    ]);
    let daemon = Daemon::run(command, folder).await;
    wait::until("the source is read", async || !daemon.logged(&["Discovery changed the targets"]).is_empty()).await;
    fs::write(&source, "- targets: [127.0.0.1:3, 127.0.0.1:4]\n").unwrap();
    wait::until_patiently("it is read again", async || daemon.logged(&["Discovery changed the targets"]).len() == 2)
        .await;
    fs::write(&config, "defaults: { interval: 1s }\ntargets: ['127.0.0.1:1-5']\n").unwrap();
    let (reloaded, scraped, shown) =
        tokio::join!(http::request(daemon.address, "POST", "/-/reload"), daemon.get("/metrics"), daemon.get("/config"));
    assert_eq!([reloaded.status, scraped.status, shown.status], [200; 3]);
    daemon
        .scrape_until("all are probed", |scrape| scrape.sum("portprobe_probes_total") >= 5.0)
        .await;
}
