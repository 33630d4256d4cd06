//! The Debian package, built by `cargo deb` and installed, removed and purged by dpkg in an empty root. Stubs record its
//! calls to systemd, so that no service is started on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use portprobe::cli::Cli;
use serde_yaml::Value as Yaml;
use tempfile::TempDir;

use crate::support::daemon::finished;
use crate::support::{cargo_deb, requires_program, requires_root};

/// A root without packages.
struct Root(TempDir);

impl Root {
    fn empty() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "stubs"] {
            fs::create_dir_all(root.path(folder)).unwrap();
        }
        fs::write(root.path("var/lib/dpkg/status"), "").unwrap();
        for name in ["deb-systemd-helper", "deb-systemd-invoke", "systemctl"] {
            let stub = root.path("stubs").join(name);
            let calls = root.path("calls");
            // Success means that nothing is masked and everything is enabled.
            fs::write(&stub, format!("#!/bin/sh\necho {name} \"$@\" >>{}\n", calls.display())).unwrap();
            fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        }
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs dpkg on this root; the scripts of the package run outside of it.
    fn dpkg(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("dpkg");
        command
            .arg("--root")
            .arg(self.0.path())
            .args(["--force-depends", "--force-script-chrootless"])
            .args(arguments);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", self.path("stubs").display()));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    /// Returns the state of the package in dpkg.
    fn state(&self) -> String {
        let status = fs::read_to_string(self.path("var/lib/dpkg/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Status: "));
        line.unwrap_or("unknown").to_owned()
    }

    /// Returns the calls to systemd since the last call of this method.
    fn calls(&self) -> String {
        let file = self.path("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls
    }
}

/// Builds a package with the binary under test.
fn package(folder: &Path) -> Option<PathBuf> {
    let file = folder.join("portprobe.deb");
    let generate = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/debian/generate");
    let generated = Command::new(generate).arg(env!("CARGO_BIN_EXE_portprobe")).status();
    assert!(generated.unwrap().success());
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut command = Command::new(cargo_deb()?);
    command.args(["--no-build", "--no-strip", "--fast", "--locked", "--offline", "--profile", profile, "--output"]);
    let made = command.arg(&file).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(file)
}

/// Builds a later version of a package, with another configuration.
fn later(package: &str, folder: &Path) -> String {
    let content = folder.join("content");
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&content));
    for (file, there, here) in [
        ("DEBIAN/control", "\nVersion: ", "\nVersion: 1:"),
        ("etc/portprobe/portprobe.yaml", "\ntargets:\n", "\n# Of a later version.\ntargets:\n"),
    ] {
        let text = fs::read_to_string(content.join(file)).unwrap();
        assert!(text.contains(there), "{text}");
        fs::write(content.join(file), text.replace(there, here)).unwrap();
    }
    let later = folder.join("later.deb");
    run(Command::new("dpkg-deb")
        .arg("--build")
        .arg(&content)
        .arg(&later)
        .stdout(Stdio::null()));
    later.to_str().unwrap().to_owned()
}

/// The location of a project folder in the package.
const FILES: [(&str, &str); 14] = [
    ("deploy/systemd/portprobe.service", "usr/lib/systemd/system/portprobe.service"),
    ("deploy/debian/portprobe.yaml", "etc/portprobe/portprobe.yaml"),
    ("deploy/debian/portprobe.default", "etc/default/portprobe"),
    ("target/debian-files/bash", "usr/share/bash-completion/completions/portprobe"),
    ("target/debian-files/fish", "usr/share/fish/vendor_completions.d/portprobe.fish"),
    ("target/debian-files/zsh", "usr/share/zsh/vendor-completions/_portprobe"),
    ("README.md", "usr/share/doc/portprobe/README.md"),
    ("docs", "usr/share/doc/portprobe/docs"),
    ("docs/deploy", "usr/share/doc/portprobe/docs/deploy"),
    ("docs/images", "usr/share/doc/portprobe/docs/images"),
    ("config.example.yaml", "usr/share/doc/portprobe/config.example.yaml"),
    ("alerts", "usr/share/portprobe/alerts"),
    ("alerts/rules", "usr/share/portprobe/alerts/rules"),
    ("dashboards", "usr/share/portprobe/dashboards"),
];

#[test]
fn removing_the_package_keeps_the_configuration() {
    if !requires_root() || !requires_program("dpkg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(package) = package(folder.path()) else { return };
    let package = package.to_str().unwrap();
    let root = Root::empty();
    root.dpkg(&["--install", package]);
    assert_eq!(root.state(), "install ok installed");
    let calls = root.calls();
    assert!(calls.contains("deb-systemd-helper enable portprobe.service"), "{calls}");
    for (ours, installed) in FILES {
        assert_same(&Path::new(env!("CARGO_MANIFEST_DIR")).join(ours), &root.path(installed));
    }
    let pages = fs::read_dir(root.path("usr/share/man/man1")).unwrap();
    let pages: BTreeSet<_> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let cli = Cli::command();
    let commands = cli
        .get_subcommands()
        .map(|command| format!("portprobe-{}.1.gz", command.get_name()));
    assert_eq!(pages, commands.chain(["portprobe.1.gz".to_owned()]).collect());
    assert!(root.path("usr/share/doc/portprobe/copyright").is_file());
    assert_eq!(fs::metadata(root.path("usr/bin/portprobe")).unwrap().permissions().mode() & 0o777, 0o755);
    let configuration = root.path("etc/portprobe/portprobe.yaml");
    let checked = finished(&["check", configuration.to_str().unwrap()], folder.path());
    assert_eq!(checked.status, 0, "{checked:?}");

    // Changes by the user survive an upgrade and a removal, but not a purge.
    fs::write(&configuration, "targets: [ 'tcp://db.internal:5432' ]\n").unwrap();
    root.dpkg(&["--install", "--force-confold", &later(package, folder.path())]);
    let offered = fs::read_to_string(root.path("etc/portprobe/portprobe.yaml.dpkg-dist")).unwrap();
    assert!(offered.contains("# Of a later version."), "{offered}");
    assert!(fs::read_to_string(&configuration).unwrap().contains("db.internal"));
    root.dpkg(&["--remove", "portprobe"]);
    assert_eq!(root.state(), "deinstall ok config-files");
    assert!(!root.path("usr/bin/portprobe").exists());
    assert!(fs::read_to_string(&configuration).unwrap().contains("db.internal"));
    root.dpkg(&["--purge", "portprobe"]);
    assert!(!configuration.exists() && !root.path("etc/default/portprobe").exists());
    let calls = root.calls();
    assert!(calls.contains("deb-systemd-helper purge portprobe.service"), "{calls}");
}

/// Asserts that an installed file equals that of the project, or every file of a folder.
fn assert_same(ours: &Path, installed: &Path) {
    if ours.is_dir() {
        for entry in fs::read_dir(ours)
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.path().is_file())
        {
            assert_same(&entry.path(), &installed.join(entry.file_name()));
        }
        return;
    }
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(read(ours) == read(installed), "{} differs from {}", installed.display(), ours.display());
}

#[test]
fn the_unit_reads_the_packaged_environment() {
    let unit = include_str!("../../deploy/systemd/portprobe.service");
    let manifest = include_str!("../../Cargo.toml");
    let file = unit.lines().find_map(|line| line.strip_prefix("EnvironmentFile=-")).unwrap();
    assert!(manifest.contains(&format!("\"{file}\"]")), "{file} is a conffile");
    let configuration: Yaml = serde_yaml::from_str(include_str!("../../deploy/debian/portprobe.yaml")).unwrap();
    assert_eq!(configuration["targets"][0], "tcp://localhost:10115");
    assert!(unit.contains("--config.file=/etc/portprobe/portprobe.yaml"));
}
