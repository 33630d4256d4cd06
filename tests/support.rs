//! Shared parts of the tests: the daemon, servers from packages, namespaces.

use std::env;
use std::fmt;
use std::path::PathBuf;

pub(crate) mod daemon;
pub(crate) mod dashboards;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod https;
#[cfg(target_os = "linux")]
pub(crate) mod netns;
pub(crate) mod peers;
pub(crate) mod pki;
pub(crate) mod ports;
pub(crate) mod probed;
pub(crate) mod probing;
pub(crate) mod process;
pub(crate) mod promql;
pub(crate) mod relay;
pub(crate) mod scrape;
pub(crate) mod services;
pub(crate) mod wait;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this process runs as root; the test is skipped if not.
pub(crate) fn requires_root() -> bool {
    is_root() || skip("not root")
}

/// Whether a program is available; the test is skipped if not.
pub(crate) fn requires_program(name: &str) -> bool {
    program(name).is_some() || skip(format_args!("{name} is not installed"))
}

/// The folder of Grafana's types and a compiler for them; the test is skipped without.
pub(crate) fn grafana_schema() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_GRAFANA_SCHEMA").map(PathBuf::from);
    (folder.is_some() || skip("Grafana's types are missing; tests/run installs them")).then_some(folder)?
}

/// The folder of the script that drives a browser, with its packages; the test is skipped without.
pub(crate) fn browser_packages() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_BROWSER").map(PathBuf::from);
    (folder.is_some() || skip("the packages that drive a browser are missing; tests/run installs them"))
        .then_some(folder)?
}

/// Whether the packages that draw dashboards are installed; the test is skipped if not.
pub(crate) fn drawing_packages() -> bool {
    env::var_os("PORTPROBE_TESTS_DRAW").is_some()
        || skip("the packages that draw dashboards are missing; tests/run installs them")
}

/// The folder of packages for the servers written in Python; the test is skipped without.
pub(crate) fn python_packages() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_PYTHON").map(PathBuf::from);
    (folder.is_some() || skip("the Python packages are missing; tests/run installs them")).then_some(folder)?
}

/// The folder of the tools for Helm and Kubernetes; the test is skipped without.
pub(crate) fn kubernetes_tools() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_KUBERNETES").map(PathBuf::from);
    (folder.is_some() || skip("Helm and the schemas of Kubernetes are missing; tests/run installs them"))
        .then_some(folder)?
}

/// The folder of INN's programs and libraries; the test is skipped without.
pub(crate) fn inn() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_INN").map(PathBuf::from);
    (folder.is_some() || skip("INN is missing; tests/run installs it")).then_some(folder)?
}

/// The root of the image that `tests/image` built; the test is skipped without.
pub(crate) fn image() -> Option<PathBuf> {
    let root = env::var_os("PORTPROBE_TESTS_IMAGE").map(PathBuf::from);
    (root.is_some() || skip("the image is missing; tests/run builds it")).then_some(root)?
}

/// The folder of the schema of compose files and a validator; the test is skipped without.
pub(crate) fn compose_schema() -> Option<PathBuf> {
    let folder = env::var_os("PORTPROBE_TESTS_COMPOSE_SCHEMA").map(PathBuf::from);
    (folder.is_some() || skip("the schema of compose files is missing; tests/run installs it")).then_some(folder)?
}

/// The path of `cargo deb`; the test is skipped without.
pub(crate) fn cargo_deb() -> Option<PathBuf> {
    let found = program("cargo-deb");
    if found.is_none() {
        println!("skipped: cargo-deb is not installed");
    }
    found
}

/// The path of a program, from PATH or Debian's folders for servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let postgresql = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let postgresql = postgresql.map(|version| version.path().join("bin"));
    let folders = env::split_paths(&path).chain(DEBIAN.map(PathBuf::from)).chain(postgresql);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Folders of servers in Debian that are not in PATH.
const DEBIAN: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/share/zookeeper/bin"];

/// Reports that a test is skipped, or fails if no test may be skipped.
fn skip(reason: impl fmt::Display) -> bool {
    assert!(env::var_os("PORTPROBE_TESTS_REQUIRE_ALL").is_none(), "must not be skipped: {reason}");
    println!("skipped: {reason}");
    false
}
