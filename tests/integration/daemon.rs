//! The daemon as a process: start, scrape, signals, invalid flags.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::daemon::{Daemon, finished, portprobe};
use crate::support::{http, wait};

/// Returns an address without a listener, which a bound socket reserves during a test.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn an_open_port_differs_from_a_refused_one() {
    let ((_open, open), (_refused, refused)) = (listening(), refusing());
    let config = format!(
        "defaults: {{ interval: 200ms, confirm: {{ delay: 20ms }} }}\ntargets: [ 'tcp://{open}', 'tcp://{refused}' ]\n"
    );
    let daemon = Daemon::start(&config).await;
    let (open, refused) = (format!("tcp://{open}"), format!("tcp://{refused}"));
    let scrape = daemon
        .scrape_until("both states are known", |scrape| {
            scrape.of(&open, "portprobe_up").is_some() && scrape.of(&refused, "portprobe_up").is_some()
        })
        .await;
    assert_eq!(scrape.of(&open, "portprobe_up"), Some(1.0));
    assert_eq!(scrape.of(&refused, "portprobe_up"), Some(0.0));
    let reason = [("target", refused.as_str()), ("phase", "connect"), ("class", "refused")];
    assert_eq!(scrape.value("portprobe_failure", &reason), Some(1.0));
    assert!(scrape.of(&open, "portprobe_failure").is_none());
    let connect = [("target", open.as_str()), ("phase", "connect")];
    assert!(scrape.value("portprobe_handshake_duration_seconds_count", &connect) >= Some(1.0));
    assert!(scrape.value("portprobe_phase_duration_seconds", &connect) < Some(1.0));
}

#[tokio::test]
async fn an_outage_is_logged_twice() {
    let (listener, address) = listening();
    let config = format!(
        "defaults: {{ interval: 200ms, confirm: {{ delay: 20ms }} }}\ntargets: [ {{ url: 'tcp://{address}', name: it }} ]\n"
    );
    let daemon = Daemon::start_with(&config, &["--log.format=json"]).await;
    daemon
        .scrape_until("it is up", |scrape| scrape.of("it", "portprobe_up") == Some(1.0))
        .await;
    drop(listener);
    let scrape = daemon
        .scrape_until("it is down", |scrape| scrape.of("it", "portprobe_up") == Some(0.0))
        .await;
    assert_eq!(scrape.of("it", "portprobe_outages_total"), Some(1.0));
    let _again = TcpListener::bind(address).unwrap();
    let scrape = daemon
        .scrape_until("it is up again", |scrape| scrape.of("it", "portprobe_up") == Some(1.0))
        .await;
    assert!(scrape.of("it", "portprobe_down_seconds_total") > Some(0.0));
    assert!(scrape.value("portprobe_failure", &[("target", "it")]).is_none());
    wait::until("the log has it", async || daemon.logged(&["Target is up", "\"target\":\"it\""]).len() == 1).await;
    let down = daemon.logged(&["Target is down", "\"target\":\"it\""]);
    assert_eq!(down.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&down[0]).unwrap();
    for (key, value) in [
        ("level", "info"),
        ("msg", "Target is down"),
        ("state", "down"),
        ("before", "up"),
        ("class", "refused"),
        ("phase", "connect"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(
        daemon.logged(&[]).len(),
        5,
        "listening, probing, start completed, two changes: {:?}",
        daemon.logged(&[])
    );
}

/// One target is refused twice before it is down, so its state is the last one that is known.
#[tokio::test]
async fn a_start_is_logged_in_three_lines() {
    let (_listener, open) = listening();
    let urls: Vec<_> = (1..500)
        .map(|n| format!("'tcp://127.1.{}.{}:{}'", n / 250, n % 250, open.port()))
        .collect();
    let config = format!(
        "defaults: {{ confirm: {{ delay: 100ms }} }}\ntargets: [ {{ url: 'tcp://{open}', name: it }}, {} ]\n",
        urls.join(", ")
    );
    let daemon = Daemon::start(&config).await;
    wait::until("the start is over", async || !daemon.logged(&["Completed the start"]).is_empty()).await;
    let lines = daemon.logged(&[]);
    assert_eq!(lines.len(), 3, "listening, probing, start completed: {lines:?}");
    assert!(lines[2].contains("msg=\"Completed the start\" up=1 down=499 unknown=0 took="), "{lines:?}");
    assert!(lines[2].contains("level=info "), "{lines:?}");
}

#[tokio::test]
async fn routes_respond_as_prometheus_users_expect() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    for (path, status, media_type, part) in [
        ("/", 200, "text/html; charset=utf-8", "href=\"metrics\""),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "# TYPE portprobe_probes_total counter"),
        ("/metrics?name[]=x", 200, "text/plain; version=0.0.4; charset=utf-8", "portprobe_build_info"),
        ("/-/healthy", 200, "text/plain; charset=utf-8", "Healthy"),
        ("/-/ready", 200, "text/plain; charset=utf-8", "Ready"),
        ("/nowhere", 404, "text/plain; charset=utf-8", "Not found"),
        ("/metrics/", 404, "text/plain; charset=utf-8", "Not found"),
    ] {
        let answer = daemon.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some(media_type)), "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = http::request(daemon.address, method, "/metrics").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = http::request(daemon.address, "HEAD", "/metrics").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let scrape = daemon.scrape().await;
    for (path, code, count) in [("/metrics", "405", 5.0), ("other", "404", 2.0), ("/", "200", 1.0)] {
        let labels = [("path", path), ("code", code)];
        assert_eq!(scrape.value("portprobe_http_requests_total", &labels), Some(count), "{path} {code}");
    }
}

#[tokio::test]
async fn sigterm_and_sigint_stop_the_daemon() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
        daemon.signal(signal);
        assert_eq!(daemon.ended().await.code(), Some(0));
        wait::until("the log is complete", async || daemon.logged(&["Stopped"]).len() == 1).await;
        assert_eq!(daemon.logged(&["Stopping", signal.as_str()]).len(), 1);
    }
}

/// Starts a daemon and sends the first signal after half a request; also returns the connection of that request.
async fn stopping_amid_a_request() -> (Daemon, TcpStream) {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    let mut half = TcpStream::connect(daemon.address).await.unwrap();
    half.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    wait::until("the request has arrived", async || daemon.get("/-/healthy").await.status == 200).await;
    daemon.signal(Signal::SIGTERM);
    wait::until("it is stopping", async || daemon.logged(&["Stopping"]).len() == 1).await;
    (daemon, half)
}

#[tokio::test]
async fn a_response_in_flight_survives_the_first_signal() {
    let (mut daemon, mut half) = stopping_amid_a_request().await;
    half.write_all(b"\r\n").await.unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(daemon.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_kills_the_daemon() {
    let (mut daemon, _half) = stopping_amid_a_request().await;
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await.code(), Some(1));
}

#[tokio::test]
async fn every_listen_address_responds() {
    let daemon = Daemon::start_with("targets: [ '127.0.0.1:1' ]\n", &["--web.listen-address=[::1]:0"]).await;
    wait::until("both are logged", async || daemon.logged(&["Listening"]).len() == 2).await;
    let second = daemon.logged(&["Listening", "[::1]"]);
    let address = second[0]
        .split("address=")
        .nth(1)
        .unwrap()
        .split([' ', '"'])
        .find(|part| !part.is_empty())
        .unwrap();
    assert_eq!(http::request(address.parse().unwrap(), "GET", "/-/healthy").await.status, 200);
}

#[test]
fn a_port_in_use_prevents_the_start() {
    let (_listener, address) = listening();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: [ '127.0.0.1:1' ]\n").unwrap();
    let listen = format!("--web.listen-address={address}");
    let finished = finished(&[&listen], folder.path());
    assert_eq!(finished.status, 1);
    assert!(finished.stderr.contains(&format!("cannot listen on {address}; ")), "{}", finished.stderr);
}

#[test]
fn an_invalid_configuration_prevents_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: [ '127.0.0.1:0' ]\nintervall: 5s\n").unwrap();
    for arguments in [&[] as &[_], &["serve"], &["--config.check"], &["check"]] {
        let finished = finished(arguments, folder.path());
        assert_eq!(finished.status, 1, "{arguments:?}");
        for part in ["portprobe.yaml:1:12: targets[0]: ", "portprobe.yaml:2:1: intervall: "] {
            assert!(finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
        }
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--no-such-flag"] as &[_], &["probe"], &["--log.level=loud"], &["--web.listen-address=10115"]] {
        assert_eq!(finished(arguments, folder.path()).status, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn flags_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.yaml");
    fs::write(&file, "targets: [ '127.0.0.1:1' ]\n").unwrap();
    let mut command = portprobe();
    command
        .env("PORTPROBE_CONFIG_FILE", &file)
        .env("PORTPROBE_WEB_LISTEN_ADDRESS", "127.0.0.1:0")
        .env("PORTPROBE_LOG_FORMAT", "json");
    let daemon = Daemon::run(command, folder).await;
    assert!(daemon.logged(&["Listening"])[0].starts_with('{'));
}

/// In a mount namespace with a hosts file in which `localhost` has two addresses.
#[tokio::test]
async fn localhost_listens_on_each_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("hosts"), "127.0.0.1 localhost\n127.0.0.2 localhost\n").unwrap();
    fs::write(path("portprobe.yaml"), "targets: ['127.0.0.1:1']\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]);
    command.arg(path("hosts")).arg(portprobe().get_program());
    command
        .arg("--config.file")
        .arg(path("portprobe.yaml"))
        .arg("--web.listen-address=localhost:0");
    let daemon = Daemon::run(command, folder).await;
    let port = daemon.address.port();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let address = format!("address={host}:{port}");
        assert_eq!(daemon.logged(&["Listening", &address]).len(), 1, "{address}");
    }
}

#[tokio::test]
async fn healthcheck_detects_a_running_daemon() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    let (_refused, refused) = refusing();
    let folder = tempfile::tempdir().unwrap();
    for (url, status) in [
        (format!("http://{}/-/healthy", daemon.address), 0),
        (format!("http://{}/nowhere", daemon.address), 1),
        (format!("http://{refused}/-/healthy"), 1),
        (format!("https://{}/-/healthy", daemon.address), 1),
    ] {
        let finished = finished(&["healthcheck", &url], folder.path());
        assert_eq!(finished.status, status, "{url}: {}", finished.stderr);
        assert_eq!(finished.stderr.is_empty(), status == 0);
    }
}

/// The health check of an image must follow the port in its environment.
#[tokio::test]
async fn healthcheck_uses_the_listen_address_from_the_environment() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    let port = daemon.address.port();
    let (_refused, refused) = refusing();
    for (listen, status) in [
        (daemon.address.to_string(), 0),
        (format!(":{port}"), 0),
        (format!("0.0.0.0:{port},{refused}"), 0),
        (format!("{refused},:{port}"), 1),
        (format!("[::]:{port}"), 0),
        (format!("[::]:{}", refused.port()), 1),
        ("nonsense".to_owned(), 2),
    ] {
        let mut command = portprobe();
        command.arg("healthcheck").env("PORTPROBE_WEB_LISTEN_ADDRESS", &listen);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{listen}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn too_few_descriptors_cause_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    fs::write(&file, "limits: { in_flight: 1000 }\ntargets: [ '127.0.0.1:1' ]\n").unwrap();
    let binary = portprobe().get_program().to_owned();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 512 && exec \"$0\" --config.file \"$1\" --web.listen-address=127.0.0.1:0"])
        .arg(binary)
        .arg(&file);
    let daemon = Daemon::run(command, folder).await;
    let warned = daemon.logged(&["limits.in_flight=1000", "open_files=512", "for_probes=256", "needed=2000"]);
    assert_eq!(warned.len(), 1, "{:?}", daemon.logged(&[]));
}

#[tokio::test]
async fn an_unread_log_stops_no_probe() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    // The log lines of all changes exceed a pipe many times.
    fs::write(
        &file,
        "defaults: { interval: 1s, confirm: { failures: 1 } }\nlimits: { per_host: 0 }\ntargets: [ '127.0.0.1:1-2000' ]\n",
    )
    .unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = portprobe();
    command
        .arg("--config.file")
        .arg(&file)
        .arg(format!("--web.listen-address={address}"));
    let mut process = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let probed = async || {
        let Ok(mut stream) = TcpStream::connect(address).await else { return false };
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        // Most are down; other processes on this machine do not matter.
        page.lines().filter(|line| line.starts_with("portprobe_up{")).count() == 2000
    };
    wait::until_patiently("every target is up or down", probed).await;
    process.kill().unwrap();
    process.wait().unwrap();
}
