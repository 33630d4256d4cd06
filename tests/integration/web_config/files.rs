//! Good and bad files: their messages, and what promtool says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::daemon::{Finished, finished};
use crate::support::pki::{Authority, leaf};
use crate::support::services;

/// A folder with every file that the web configurations name.
fn folder() -> TempDir {
    let folder = super::folder(&Authority::root("web root"), "");
    let expired = leaf(&["localhost"]).days(-90..-1).self_signed();
    fs::write(folder.path().join("expired.crt"), expired.pem()).unwrap();
    fs::write(folder.path().join("expired.key"), expired.key_pem()).unwrap();
    fs::write(folder.path().join("other.key"), leaf(&["localhost"]).self_signed().key_pem()).unwrap();
    folder
}

/// The web configurations of a kind, copied to a folder.
fn files(kind: &str, folder: &Path) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/resources/web_config")
        .join(kind);
    let paths = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    paths.sort();
    for path in &paths {
        fs::copy(path, folder.join(path.file_name().unwrap())).unwrap();
    }
    paths
}

fn check(path: &Path, folder: &Path) -> Finished {
    fs::remove_file(folder.join("portprobe.yaml")).ok();
    finished(&["check", "--web.config.file", path.file_name().unwrap().to_str().unwrap()], folder)
}

/// The exact messages for each file are next to it.
#[test]
fn bad_files_are_refused_with_their_messages() {
    let folder = folder();
    let paths = [files("bad", folder.path()), files("unsupported", folder.path())].concat();
    assert!(paths.len() > 30, "only {} files were found", paths.len());
    for path in paths {
        let checked = check(&path, folder.path());
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!((checked.status, &*checked.stderr), (1, &*expected), "{}", path.display());
        assert!(!expected.contains("hunter2"), "{}", path.display());
    }
}

#[test]
fn good_files_are_accepted() {
    let folder = folder();
    for path in files("good", folder.path()) {
        let checked = check(&path, folder.path());
        assert_eq!((checked.status, &*checked.stderr), (0, ""), "{}: {checked:?}", path.display());
        let expected = WARNINGS.iter().find(|(name, _)| path.ends_with(name));
        assert_eq!(checked.stdout.contains("warning: "), expected.is_some(), "{}", checked.stdout);
        assert!(expected.is_none_or(|(_, text)| checked.stdout.contains(text)), "{}", checked.stdout);
    }
}

const WARNINGS: [(&str, &str); 6] = [
    ("expired.yml", "has a certificate that has expired"),
    ("not_enabled.yml", "does not enable TLS"),
    ("pattern.yml", "auth_excluded_paths[1]: warning: `/*` excludes only the path with this asterisk"),
    ("suites_of_rsa.yml", "needs ECDSA, but `cipher_suites` has only RSA, so no client with TLS 1.2 can connect"),
    ("user_with_colon.yml", "can never log in, because HTTP ends the name at the colon"),
    ("user_without_name.yml", "is a user without a name"),
];

/// The files under `unsupported` are accepted by promtool and refused by portprobe.
#[test]
fn promtool_and_check_agree() {
    for promtool in services::promtool_programs() {
        let folder = folder();
        let mut compared = 0;
        for (kind, accepted) in [("good", true), ("bad", false), ("unsupported", true)] {
            for path in files(kind, folder.path()) {
                let output = Command::new(&promtool)
                    .args(["check", "web-config"])
                    .arg(path.file_name().unwrap())
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                let printed = String::from_utf8_lossy(&output.stderr).into_owned();
                // A key that is newer than this promtool.
                if accepted && printed.contains("not found in type") {
                    continue;
                }
                if VARYING.iter().any(|varying| path.ends_with(varying)) {
                    continue;
                }
                assert_eq!(output.status.success(), accepted, "{}: {printed}", path.display());
                compared += 1;
            }
        }
        assert!(compared > 30, "only {compared} files were compared");
    }
}

/// Only newer versions of promtool refuse these.
const VARYING: [&str; 2] = ["client_names_without_auth.yml", "empty_client_ca.yml"];

#[test]
fn both_configurations_are_checked_together() {
    let folder = folder();
    let run = |arguments: &[&str]| finished(&[&["check"], arguments].concat(), folder.path());
    fs::write(folder.path().join("web.yml"), "users: 1\n").unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: 1\n").unwrap();
    let both = run(&["portprobe.yaml", "--web.config.file=web.yml"]);
    assert_eq!(both.status, 1);
    assert!(both.stderr.contains("portprobe.yaml:1:10: targets: ") && both.stderr.contains("\nweb.yml:1:1: users: "));
    let by_default = run(&["--web.config.file=web.yml"]);
    assert_eq!(by_default.stderr, both.stderr);
    fs::write(folder.path().join("portprobe.yaml"), super::CONFIG).unwrap();
    fs::write(folder.path().join("web.yml"), "tls_server_config: { cert_file: none.crt, key_file: none.key }\n")
        .unwrap();
    let syntax = run(&["--syntax-only", "--web.config.file=web.yml"]);
    assert_eq!((syntax.status, syntax.stdout.lines().count()), (0, 2), "{syntax:?}");
    let daemon = finished(&["--config.check", "--web.config.file=web.yml"], folder.path());
    assert!(daemon.status == 1 && daemon.stderr.starts_with("web.yml:1:"), "{daemon:?}");
    let daemon = finished(&["--web.listen-address=127.0.0.1:0", "--web.config.file=web.yml"], folder.path());
    assert!(daemon.status == 1 && daemon.stderr.contains("web.yml:1:"), "the daemon does not start: {daemon:?}");
}
