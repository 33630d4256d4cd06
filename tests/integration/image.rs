//! The image without a container engine: its root, which `tests/image` builds from the Dockerfile, and the files that every
//! engine adds. The binary starts as in an engine, with user, environment and entry point of the Dockerfile.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::demo;
use crate::support::daemon::Daemon;
use crate::support::dns::NameServer;
use crate::support::image;
use crate::support::netns;
use crate::support::peers;
use crate::support::pki::{Authority, leaf};

const DOCKERFILE: &str = include_str!("../../Dockerfile");

/// A container: a separate root, made from the image.
struct Container(TempDir);

impl Container {
    /// A container of this image with these files.
    fn with(image: &Path, files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-R")
            .arg(image.join("."))
            .arg(root.path())
            .status()
            .unwrap();
        assert!(copied.success());
        // The files that every engine adds.
        for folder in ["dev", "proc"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        for (name, minor) in [("random", "8"), ("urandom", "9")] {
            let device = root.path().join("dev").join(name);
            let made = Command::new("mknod")
                .arg("--mode=666")
                .arg(device)
                .args(["c", "1", minor])
                .status()
                .unwrap();
            assert!(made.success());
        }
        // A different user enters it.
        let opened = Command::new("chmod").arg("755").arg(root.path()).status().unwrap();
        assert!(opened.success());
        for (path, text) in files {
            let file = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        if let Some(emulator) = emulator() {
            fs::copy(emulator, root.path().join("emulator")).unwrap();
        }
        Self(root)
    }

    /// A command in it, with the user and only the environment of the Dockerfile.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(MOUNT_NAMESPACE).args(["sh", "-c", ENTER, "sh"]).arg(self.0.path());
        command
            .arg("--groups=")
            .arg(format!("--userspec={}", instruction("USER")))
            .arg(self.0.path());
        command.args(emulator().map(|_| "/emulator")).args(words);
        command.env_clear().env("PATH", env::var_os("PATH").unwrap());
        let (name, value) = instruction("ENV").split_once('=').unwrap();
        command.env(name, value);
        command
    }

    /// The entry point with these arguments.
    fn entry_point(&self, arguments: &[&str]) -> Command {
        let entry_point = words(instruction("ENTRYPOINT"));
        let entry_point: Vec<_> = entry_point
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .collect();
        self.command(&entry_point)
    }

    /// The exit status of the health check.
    fn health(&self) -> ExitStatus {
        let check = words(instruction("HEALTHCHECK").split_once("CMD ").unwrap().1);
        let check: Vec<_> = check.iter().map(String::as_str).collect();
        self.command(&check)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
    }
}

/// If mounts of the namespace reach that of the tests, they are removed here.
impl Drop for Container {
    fn drop(&mut self) {
        let unmount = || {
            let mut command = Command::new("umount");
            command.arg(self.0.path().join("proc")).stderr(Stdio::null()).status()
        };
        while unmount().is_ok_and(|status| status.success()) {}
    }
}

/// Without a change of propagation, which fails in a chroot whose root is not a mount point.
const MOUNT_NAMESPACE: [&str; 3] = ["--mount", "--propagation", "unchanged"];

/// Mounts the pseudo file systems of a root, and enters it.
const ENTER: &str = "
    mount --make-rprivate / 2>/dev/null
    mount -t proc proc \"$1/proc\" && shift && exec chroot \"$@\"
";

/// Makes a chroot of the folders of this root, and runs a command in it.
const IN_CHROOT: &str = "
    mount --make-rprivate / 2>/dev/null
    root=$1 && shift
    for path in /*; do
        if [ -h \"$path\" ]; then
            cp -P \"$path\" \"$root$path\"
        elif [ -d \"$path\" ]; then
            mkdir \"$root$path\" && mount --rbind \"$path\" \"$root$path\" || exit
        fi
    done
    exec chroot \"$root\" \"$@\"
";

/// The last value of this instruction in the Dockerfile.
fn instruction(name: &str) -> &'static str {
    let mut lines = DOCKERFILE.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.next_back().unwrap_or_else(|| panic!("no {name}"))
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap()
}

/// The emulator for an image of another architecture.
fn emulator() -> Option<PathBuf> {
    env::var_os("PORTPROBE_TESTS_EMULATOR").map(PathBuf::from)
}

/// The user and groups of a process.
fn identity(daemon: &Daemon) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let is_identity = |line: &&str| ["Uid:", "Gid:", "Groups:"].iter().any(|name| line.starts_with(name));
    status
        .lines()
        .filter(is_identity)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

const CONFIGURATION: &str = "
targets:
  - { url: 'tcp://one.test:10115', name: by-name }
  - { url: 'tcp://here.test:10115', name: by-hosts }
  - { url: 'tls://127.0.0.1:PORT', name: by-bundle, tls: { roots: system } }
  - { url: 'tls://127.0.0.1:PORT', name: by-mozilla }
defaults: { interval: 1s }
";

#[test]
fn the_image_probes_without_other_files() {
    let Some(image) = image() else { return };
    netns::inside(async move || {
        let Some(name_server) = NameServer::start_on(53).await else { return };
        let _name_server = name_server.expect("port 53 of a fresh namespace must be free");
        let authority = Authority::root("a bundle's root");
        let server = peers::tls(authority.issue(leaf(&["127.0.0.1"])).server()).await;
        let configuration = CONFIGURATION.replace("PORT", &server.port().to_string());
        let container = Container::with(
            &image,
            &[
                ("/etc/portprobe/portprobe.yaml", &configuration),
                ("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
                ("/etc/hosts", "127.0.0.1 here.test\n"),
                ("/etc/ssl/certs/ca-certificates.crt", &authority.pem()),
            ],
        );
        let daemon = Daemon::run(container.entry_point(&[]), tempfile::tempdir().unwrap()).await;
        let expected = [("by-name", 1.0), ("by-hosts", 1.0), ("by-bundle", 1.0), ("by-mozilla", 0.0)];
        daemon
            .scrape_until("every target is as it should be", |scrape| {
                expected
                    .iter()
                    .all(|(target, up)| scrape.of(target, "portprobe_up") == Some(*up))
            })
            .await;
        let untrusted = [("target", "by-mozilla"), ("class", "cert_untrusted")];
        assert_eq!(daemon.scrape().await.value("portprobe_failure", &untrusted), Some(1.0));
    });
}

#[test]
fn the_image_works_in_every_runtime() {
    let Some(image) = image() else { return };
    netns::inside(async move || {
        let Some(name_server) = NameServer::start_on(53).await else { return };
        let _name_server = name_server.expect("port 53 of a fresh namespace must be free");
        let configuration = "defaults: { interval: 1s }\ntargets: [ { url: 'tcp://nobody.test:1', name: nobody } ]\n";
        let files = [
            ("/etc/portprobe/portprobe.yaml", configuration),
            ("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
            ("/etc/hosts", "127.0.0.1 localhost\n"),
        ];
        let container = Container::with(&image, &files);
        assert!(!container.health().success(), "nothing runs yet");
        let mut daemon = Daemon::run(container.entry_point(&[]), tempfile::tempdir().unwrap()).await;
        assert_eq!(identity(&daemon), ["Uid: 65532 65532 65532 65532", "Gid: 65532 65532 65532 65532", "Groups:"]);
        assert_eq!(daemon.address.port().to_string(), instruction("EXPOSE"));
        assert!(container.health().success());
        let by_name = container
            .entry_point(&["healthcheck", "http://localhost:10115/-/healthy"])
            .status()
            .unwrap();
        assert!(by_name.success(), "the C library in it takes localhost from /etc/hosts");
        let not_found = [("target", "nobody"), ("class", "dns_not_found")];
        daemon
            .scrape_until("the name is known not to exist", |scrape| {
                scrape.value("portprobe_failure", &not_found) == Some(1.0)
            })
            .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended().await.code(), Some(0));
        assert!(!container.health().success(), "nothing runs any more");
    });
}

/// Builders of packages run tests in such a chroot.
#[test]
fn a_container_starts_in_a_chroot() {
    let Some(image) = image() else { return };
    netns::inside(async move || {
        let container = Container::with(&image, &[]);
        let entry_point = container.entry_point(&["--version"]);
        let root = tempfile::tempdir().unwrap();
        let output = Command::new("unshare")
            .args(MOUNT_NAMESPACE)
            .args(["sh", "-c", IN_CHROOT, "sh"])
            .arg(root.path())
            .arg(entry_point.get_program())
            .args(entry_point.get_args())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"portprobe "), "{output:?}");
    });
}

#[test]
fn the_demo_needs_no_other_files() {
    // qemu's user-mode emulation has no `TCP_INFO`, and so no count of SYNs.
    let Some(image) = image().filter(|_| emulator().is_none()) else { return };
    netns::inside(async move || {
        let container = Container::with(&image, &[]);
        let daemon =
            Daemon::run(container.entry_point(&["demo", "--log.level=info"]), tempfile::tempdir().unwrap()).await;
        daemon
            .scrape_until_patiently("every state is as promised", |scrape| demo::missing(scrape).is_empty())
            .await;
        assert!(container.health().success());
    });
}
