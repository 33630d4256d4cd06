//! The daemon under a service manager.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::{env, fs};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::daemon::{Daemon, portprobe};
use crate::support::requires_program;

#[tokio::test]
async fn start_reload_and_stop_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (folder.path().join("portprobe.yaml"), folder.path().join("notify"));
    fs::write(&file, "targets: ['127.0.0.1:1']\n").unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    let (sender, mut notifications) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        let mut message = [0; 256];
        while let Ok(length) = manager.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    let mut command = portprobe();
    command
        .arg("--config.file")
        .arg(&file)
        .arg("--web.listen-address=127.0.0.1:0")
        .env("NOTIFY_SOCKET", &socket);
    let mut daemon = Daemon::run(command, folder).await;
    let mut next = async || notifications.recv().await.unwrap();
    assert_eq!(next().await.trim(), "READY=1");
    daemon.signal(Signal::SIGHUP);
    let reloading = next().await;
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(next().await.trim(), "READY=1");
    fs::write(&file, "targets: 1").unwrap();
    daemon.signal(Signal::SIGHUP);
    assert!(next().await.contains("RELOADING=1"));
    assert_eq!(next().await.trim(), "READY=1", "a failed reload ends, too");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(next().await.trim(), "STOPPING=1");
    assert_eq!(daemon.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sockets_of_systemd_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    fs::write(&file, "targets: ['127.0.0.1:1']\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A client that comes before the daemon is served, too.
    let early = std::net::TcpStream::connect(address).unwrap();
    let mut command = activated(listener.into());
    command.arg("--config.file").arg(&file).arg("--web.listen-address=127.0.0.1:1");
    let daemon = Daemon::run(command, folder).await;
    assert_eq!(daemon.address, address);
    early.set_nonblocking(true).unwrap();
    let mut early = tokio::net::TcpStream::from_std(early).unwrap();
    early.write_all(b"GET /-/ready HTTP/1.0\r\nHost: x\r\n\r\n").await.unwrap();
    let mut response = String::new();
    early.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
}

#[test]
fn unusable_sockets_refuse_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: ['127.0.0.1:1']\n").unwrap();
    let ended = |command: &mut Command| {
        let output = command.current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, printed) = ended(portprobe().arg("--web.systemd-socket"));
    assert!(status == Some(1) && printed.contains("systemd has handed over no socket"), "{printed}");
    let (status, printed) = ended(portprobe().arg("--web.systemd-socket").env("LISTEN_FDS", "999999999"));
    assert!(status == Some(1) && printed.contains("`LISTEN_FDS` is above 1024"), "{printed}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (status, printed) = ended(&mut activated(connection.into()));
    assert!(status == Some(1) && printed.contains("is not a listener; set `Accept=no`"), "{printed}");
    let (status, printed) = ended(&mut activated(UnixDatagram::unbound().unwrap().into()));
    assert!(status == Some(1) && printed.contains("`ListenStream` must be a TCP port"), "{printed}");
}

/// A command that starts the daemon with this socket as systemd does (`sd_listen_fds(3)`).
fn activated(socket: OwnedFd) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""])
        .args([env!("CARGO_BIN_EXE_portprobe"), "--web.systemd-socket"])
        .stdin(Stdio::from(socket));
    command
}

#[test]
fn systemd_accepts_the_unit() {
    if !requires_program("systemd-analyze") {
        return;
    }
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd/portprobe.service")).unwrap();
    // Only /proc/stat has the start time of a process, and PortprobeRestarting needs it.
    assert!(!unit.contains("ProcSubset"), "{unit}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.service");
    // The binary is not installed on test machines.
    fs::write(&file, unit.replace("/usr/bin/portprobe", env!("CARGO_BIN_EXE_portprobe"))).unwrap();
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .arg(&file)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = complaints.lines().filter(|line| line.contains("portprobe.service")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{complaints}");
    let mut security = Command::new("systemd-analyze");
    security
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&file);
    let output = security.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
