//! Servers from packages of the distribution, each in a separate folder on a free port.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{http, is_root, program, python_packages, requires_program, wait};

use self::text::Tls;

pub(crate) mod alerting;
pub(crate) mod binary;
pub(crate) mod text;
pub(crate) mod tls;
pub(crate) mod web;

/// A running server; it is killed with this value.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    command: Command,
    process: Child,
    folder: TempDir,
}

impl Service {
    /// Waits until a server accepts connections; `None` if it ended because another process took its port.
    async fn listening(mut command: Command, address: SocketAddr, folder: TempDir) -> Option<Self> {
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut running = true;
        // Some start slowly, especially on a busy machine.
        wait::until_patiently(&format!("{command:?} listens"), async || {
            running = process.try_wait().unwrap().is_none();
            !running || TcpStream::connect(address).await.is_ok()
        })
        .await;
        running.then_some(Self { address, command, process, folder })
    }

    /// The present content of a file in its folder.
    pub(crate) fn read(&self, file: &str) -> String {
        let bytes = fs::read(self.folder.path().join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills it like a crash; its folder stays.
    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again after [`Self::stop`], at the same address and on the same folder, and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        self.process = self.command.spawn().unwrap();
        wait::until("it listens again", async || TcpStream::connect(self.address).await.is_ok()).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// PostgreSQL with a fresh cluster; `None` if it is not installed.
pub(crate) async fn postgresql() -> Option<Service> {
    requires_program("postgres").then_some(())?;
    start(async |address, folder| {
        let data = folder.path().join("data");
        // PostgreSQL refuses to run as root.
        let run = |name: &str| {
            let binary = program(name).unwrap();
            if !is_root() {
                return Command::new(binary);
            }
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(binary);
            command
        };
        if is_root() {
            let chown = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(chown.success());
        }
        let mut initdb = run("initdb");
        initdb
            .args(["--no-sync", "--auth=trust", "--username=postgres", "-D"])
            .arg(&data)
            .current_dir(folder.path());
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = run("postgres");
        server
            .arg("-D")
            .arg(&data)
            .args(["-F", "-c", "listen_addresses=127.0.0.1", "-k", ""]);
        server.args(["-p", &address.port().to_string()]);
        Service::listening(server, address, folder).await
    })
    .await
}

/// Redis; `None` if it is not installed.
pub(crate) async fn redis() -> Option<Service> {
    requires_program("redis-server").then_some(())?;
    start(async |address, folder| {
        let mut server = Command::new(program("redis-server").unwrap());
        server.args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string()]);
        Service::listening(server, address, folder).await
    })
    .await
}

/// OpenSSH; `None` if it is not installed.
pub(crate) async fn openssh() -> Option<Service> {
    requires_program("sshd").then_some(())?;
    if is_root() {
        // Normally created by the service of the package.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    start(async |address, folder| {
        let key = folder.path().join("key");
        let mut keygen = Command::new("ssh-keygen");
        let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let mut server = Command::new(program("sshd").unwrap());
        server.args(["-D", "-f", "/dev/null", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1", "-p"]);
        server.arg(address.port().to_string()).arg("-h").arg(&key);
        Service::listening(server, address, folder).await
    })
    .await
}

/// blackbox_exporter with a copy of the files in a folder, among them `blackbox.yml` and possibly `web.yml`, its web
/// configuration; `None` if it is not installed.
pub(crate) async fn blackbox_exporter(files: &Path) -> Option<Service> {
    requires_program("prometheus-blackbox-exporter").then_some(())?;
    blackbox_exporter_of(&program("prometheus-blackbox-exporter").unwrap(), files).await
}

/// As [`blackbox_exporter`], of every available version: that of the distribution, and a newer one if `tests/run` has
/// fetched it.
pub(crate) async fn blackbox_exporters(files: &Path) -> Vec<Service> {
    let mut exporters: Vec<_> = blackbox_exporter(files).await.into_iter().collect();
    let newer = newer().map(|folder| folder.join("prometheus-blackbox-exporter"));
    if let Some(newer) = newer.filter(|program| program.is_file()) {
        exporters.extend(blackbox_exporter_of(&newer, files).await);
    }
    exporters
}

async fn blackbox_exporter_of(binary: &Path, files: &Path) -> Option<Service> {
    start(async |address, folder| {
        let entries = fs::read_dir(files).unwrap().map(|entry| entry.unwrap().path());
        for file in entries.filter(|path| path.is_file()) {
            fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let mut server = Command::new(binary);
        server.args(["--config.file=blackbox.yml", &format!("--web.listen-address={address}")]);
        if folder.path().join("web.yml").is_file() {
            server.arg("--web.config.file=web.yml");
        }
        Service::listening(server, address, folder).await
    })
    .await
}

/// The distribution's Prometheus, scraping one exporter every 200 ms; `None` if it is not installed.
pub(crate) async fn prometheus(exporter: SocketAddr) -> Option<Prometheus> {
    requires_program("prometheus").then_some(())?;
    Some(prometheus_at(&program("prometheus").unwrap(), &[("portprobe", exporter)]).await)
}

/// Enables native histograms before Prometheus 3.8.
pub(crate) const NATIVE_HISTOGRAMS: &str = "--enable-feature=native-histograms";

/// Every available Prometheus: that of the distribution, and a 3.x one if `tests/run` has fetched it.
pub(crate) fn prometheus_programs() -> Vec<PathBuf> {
    requires_program("prometheus");
    program("prometheus")
        .into_iter()
        .chain(newer().map(|folder| folder.join("prometheus")))
        .collect()
}

/// Every available promtool, likewise.
pub(crate) fn promtool_programs() -> Vec<PathBuf> {
    requires_program("promtool");
    program("promtool")
        .into_iter()
        .chain(newer().map(|folder| folder.join("promtool")))
        .collect()
}

/// The folder of newer programs, if `tests/run` has fetched them.
fn newer() -> Option<PathBuf> {
    std::env::var_os("PORTPROBE_TESTS_NEWER").map(PathBuf::from)
}

/// The distribution's Prometheus with this scrape configuration; `None` if it is not installed.
pub(crate) async fn prometheus_with(scrape_config: &str) -> Option<Prometheus> {
    requires_program("prometheus").then_some(())?;
    let config = format!("global: {{ scrape_interval: 1m }}\nscrape_configs:\n{scrape_config}");
    Some(prometheus_on(&program("prometheus").unwrap(), &config).await)
}

/// This Prometheus, scraping these jobs every 200 ms, with native histograms.
pub(crate) async fn prometheus_at(binary: &Path, jobs: &[(&str, SocketAddr)]) -> Prometheus {
    prometheus_on(binary, &prometheus_config(jobs)).await
}

/// This Prometheus with this configuration and native histograms.
pub(crate) async fn prometheus_on(binary: &Path, configuration: &str) -> Prometheus {
    prometheus_prepared(binary, configuration, &[NATIVE_HISTOGRAMS], |_| {}).await
}

/// This Prometheus with these flags and a prepared folder, which contains its configuration and `data`.
pub(crate) async fn prometheus_prepared(
    binary: &Path,
    configuration: &str,
    flags: &[&str],
    prepare: impl Fn(&Path),
) -> Prometheus {
    let service = start(async |address, folder| {
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, configuration).unwrap();
        prepare(folder.path());
        let mut server = Command::new(binary);
        server
            .arg("--config.file")
            .arg(&config)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"));
        server.arg(format!("--web.listen-address={address}")).args(flags);
        Service::listening(server, address, folder).await
    });
    Prometheus(service.await.unwrap())
}

/// This Prometheus as an agent, with this configuration, a prepared folder and native histograms.
pub(crate) async fn prometheus_agent(binary: &Path, configuration: &str, prepare: impl Fn(&Path)) -> Prometheus {
    let help = Command::new(binary).arg("--help").output().unwrap();
    let help = [help.stdout, help.stderr].concat();
    let agent =
        if String::from_utf8_lossy(&help).contains("--[no-]agent") { "--agent" } else { "--enable-feature=agent" };
    let service = start(async |address, folder| {
        let config = folder.path().join("prometheus.yaml");
        fs::write(&config, configuration).unwrap();
        prepare(folder.path());
        let mut server = Command::new(binary);
        server.arg(agent).arg(NATIVE_HISTOGRAMS).arg("--config.file").arg(&config);
        server.arg("--storage.agent.path").arg(folder.path().join("data"));
        server.arg(format!("--web.listen-address={address}"));
        Service::listening(server, address, folder).await
    });
    Prometheus(service.await.unwrap())
}

/// A running Prometheus.
pub(crate) struct Prometheus(Service);

impl Prometheus {
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Kills it like a crash.
    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }

    /// Starts it again after [`Self::stop`], with its data.
    pub(crate) async fn start_again(&mut self) {
        self.0.start_again().await;
    }

    /// The response of a path of its API.
    pub(crate) async fn get(&self, path: &str) -> http::Response {
        http::request(self.0.address, "GET", path).await
    }

    /// The result vector of an instant query.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let response = self.get(&format!("/api/v1/query?query={}", http::encoded(expression))).await;
        let Ok(mut body) = serde_json::from_str::<Value>(&response.body) else { return Vec::new() };
        match body["data"]["result"].take() {
            Value::Array(result) => result,
            _ => Vec::new(),
        }
    }

    /// Waits until an instant query returns this single value.
    pub(crate) async fn query_until(&self, expression: &str, value: &str) -> Value {
        let mut result = Vec::new();
        wait::until(&format!("{expression} is {value}"), async || {
            result = self.query(expression).await;
            matches!(&result[..], [one] if one["value"][1] == value)
        })
        .await;
        result.remove(0)
    }
}

/// A server of `tests/resources/servers`, with its output in the file `log` of its folder; `None` if packages are missing.
async fn python(script: &str, tls: Tls<'_>, arguments: &[&str]) -> Option<Service> {
    let packages = python_packages()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/resources/servers")
        .join(script);
    text::one("python3", tls, |_, port| {
        let mut server = text::logging("python3");
        server
            .env("PYTHONPATH", &packages)
            .arg(&script)
            .arg(port.to_string())
            .args(arguments);
        server
    })
    .await
}

/// Runs a program with this input; returns its exit status and its output of both streams.
pub(crate) fn fed(program: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    fs::write(&file, input).unwrap();
    let output = Command::new(program)
        .args(arguments)
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

/// Starts a server on a free port; on another one if another process takes it first.
async fn start(mut server: impl AsyncFnMut(SocketAddr, TempDir) -> Option<Service>) -> Option<Service> {
    for _ in 0..10 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if let Some(service) = server(address, tempfile::tempdir().unwrap()).await {
            return Some(service);
        }
    }
    panic!("no port was free for a server");
}

fn prometheus_config(jobs: &[(&str, SocketAddr)]) -> String {
    let mut config = "global: { scrape_interval: 200ms, scrape_timeout: 200ms }\nscrape_configs:\n".to_owned();
    for (name, address) in jobs {
        writeln!(config, "- {{ job_name: {name}, static_configs: [ {{ targets: [ '{address}' ] }} ] }}").unwrap();
    }
    config
}
