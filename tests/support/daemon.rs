//! The binary, started as by a user.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::http::{self, Response};
use super::scrape::Scrape;
use super::wait;

/// The binary under test.
pub(crate) fn portprobe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portprobe"));
    command.env_remove("PORTPROBE_CONFIG_FILE").env("NO_COLOR", "");
    command.stdin(Stdio::null());
    command
}

/// A running daemon; it is killed with this value.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    process: Child,
    log: Lines,
    printed: Lines,
    folder: TempDir,
}

impl Daemon {
    /// Starts the daemon on this configuration and a free port, and waits until it is ready.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// As [`Self::start`], with more flags.
    pub(crate) async fn start_with(config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
        Self::start_in(folder, flags).await
    }

    /// As [`Self::start_with`], on the `portprobe.yaml` of a folder, which may hold other files, too.
    pub(crate) async fn start_in(folder: TempDir, flags: &[&str]) -> Self {
        let mut command = portprobe();
        command.arg("--config.file").arg(folder.path().join("portprobe.yaml"));
        command.arg("--web.listen-address=127.0.0.1:0").args(flags);
        Self::run(command, folder).await
    }

    /// Starts the daemon with every path below a prefix, and waits until it is ready.
    pub(crate) async fn start_with_prefix(prefix: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portprobe.yaml");
        fs::write(&file, "targets: ['127.0.0.1:1']\n").unwrap();
        let mut command = portprobe();
        command.arg("--config.file").arg(file).arg("--web.listen-address=127.0.0.1:0");
        command.arg(format!("--web.external-url=https://prometheus.example{prefix}/"));
        let daemon = Self::listening(command, folder).await;
        let ready = format!("{prefix}/-/ready");
        wait::until("the daemon is ready", async || daemon.get(&ready).await.status == 200).await;
        daemon
    }

    /// Waits until a command that starts the daemon has made it ready.
    pub(crate) async fn run(command: Command, folder: TempDir) -> Self {
        let daemon = Self::listening(command, folder).await;
        wait::until("the daemon is ready", async || daemon.get("/-/ready").await.status == 200).await;
        daemon
    }

    /// Waits until a command that starts the daemon has made it listen: with TLS or passwords, others cannot ask it.
    pub(crate) async fn listening(mut command: Command, folder: TempDir) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = collect(process.stdout.take().unwrap());
        let log = collect(process.stderr.take().unwrap());
        // Created at once, so that a daemon that never listens is killed, too.
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self { address: nowhere, process, log, printed, folder };
        wait::until("the daemon listens", async || {
            let ended = daemon.process.try_wait().unwrap().is_some();
            assert!(!ended, "the daemon ended: {:?}", daemon.log.lock().unwrap());
            let address = daemon.log.lock().unwrap().iter().find_map(|line| listening(line));
            daemon.address = address.unwrap_or(nowhere);
            address.is_some()
        })
        .await;
        daemon
    }

    /// The folder of its configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        http::request(self.address, "GET", path).await
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        let response = self.get("/metrics").await;
        assert_eq!(response.status, 200);
        Scrape::parse(&response.body)
    }

    /// Waits until a scrape satisfies the condition, and returns that scrape.
    pub(crate) async fn scrape_until(&self, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut last = self.scrape().await;
        wait::until(what, async || self.scraped(&mut last, &condition).await).await;
        last
    }

    /// As [`Self::scrape_until`], for conditions that take longer by design: up to a minute.
    pub(crate) async fn scrape_until_patiently(&self, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut last = self.scrape().await;
        wait::until_patiently(what, async || self.scraped(&mut last, &condition).await).await;
        last
    }

    async fn scraped(&self, last: &mut Scrape, condition: impl Fn(&Scrape) -> bool) -> bool {
        *last = self.scrape().await;
        condition(last)
    }

    /// The lines logged so far that contain all of these.
    pub(crate) fn logged(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .cloned()
            .collect()
    }

    /// The lines printed to standard output so far.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    /// Its process ID.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until the daemon has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait::until("the daemon ends", async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

/// Lines that another thread appends.
type Lines = Arc<Mutex<Vec<String>>>;

/// The lines of a stream, read on a separate thread until it ends.
fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let written = lines.clone();
    let read = BufReader::new(stream).lines().map_while(Result::ok);
    thread::spawn(move || read.for_each(|line| written.lock().unwrap().push(line)));
    lines
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The output and exit status of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary with these arguments in this folder until it exits.
pub(crate) fn finished(arguments: &[&str], folder: &Path) -> Finished {
    let output = portprobe()
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Finished {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The address in a log line about listening, in either log format.
fn listening(line: &str) -> Option<SocketAddr> {
    let after = line.contains("Listening").then(|| line.split("address").nth(1))??;
    after
        .trim_start_matches(['=', '"', ':'])
        .split([' ', '"', ','])
        .next()?
        .parse()
        .ok()
}
