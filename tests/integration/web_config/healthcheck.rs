//! `portprobe healthcheck` of a daemon with TLS and passwords.

use std::fs;
use std::path::Path;

use super::clients::REQUIRED;
use super::passwords::USERS;
use super::{TLS, daemon, folder};
use crate::support::daemon::{Daemon, Finished, portprobe};
use crate::support::pki::Authority;

/// Runs the command like a container of the daemon, whose settings are in the environment.
fn healthcheck(daemon: &Daemon, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let output = portprobe()
        .arg("healthcheck")
        .args(arguments)
        .env("PORTPROBE_WEB_LISTEN_ADDRESS", daemon.address.to_string())
        .envs(environment.iter().copied())
        .current_dir(daemon.folder())
        .output()
        .unwrap();
    Finished {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn a_refusing_daemon_is_alive() {
    let only_tls12 = format!("{REQUIRED}  max_version: TLS12\n");
    for web_config in
        ["", TLS, USERS, &format!("{TLS}{USERS}"), REQUIRED, &only_tls12, "rate_limit: { interval: 1h, burst: 1 }"]
    {
        let daemon = daemon(folder(&Authority::root("web root"), web_config)).await;
        for _ in 0..2 {
            let checked = healthcheck(&daemon, &["--web.config.file=web.yml"], &[]);
            assert_eq!((checked.status, &*checked.stderr), (0, ""), "{web_config}");
        }
        let checked = healthcheck(&daemon, &[], &[("PORTPROBE_WEB_CONFIG_FILE", "web.yml")]);
        assert_eq!(checked.status, 0, "{web_config}: {checked:?}");
    }
}

/// A changed file may be invalid, or not used yet.
#[tokio::test]
async fn an_edited_file_does_not_kill_the_daemon() {
    let daemon = daemon(folder(&Authority::root("web root"), TLS)).await;
    for text in ["", "users: 1", "tls_server_config: ["] {
        write(daemon.folder(), "other.yml", text);
        assert_eq!(healthcheck(&daemon, &["--web.config.file=other.yml"], &[]).status, 0, "{text}");
    }
    assert_eq!(healthcheck(&daemon, &["--web.config.file=none.yml"], &[]).status, 0);
    let plain = super::daemon(folder(&Authority::root("web root"), "")).await;
    write(plain.folder(), "other.yml", TLS);
    assert_eq!(healthcheck(&plain, &["--web.config.file=other.yml"], &[]).status, 0);
}

#[tokio::test]
async fn roots_verify_the_daemon() {
    let daemon = daemon(folder(&Authority::root("web root"), TLS)).await;
    write(daemon.folder(), "other.crt", &Authority::root("another root").pem());
    let url = format!("https://localhost:{}/-/healthy", daemon.address.port());
    let by_address = format!("https://{}/-/healthy", daemon.address);
    for (arguments, status, expected) in [
        (&["--tls.ca-file=ca.crt", url.as_str()][..], 0, ""),
        (&["--tls.ca-file=ca.crt", &by_address], 1, "not valid for name"),
        (&["--tls.ca-file=other.crt", &url], 1, "UnknownIssuer; --tls.ca-file sets the roots"),
        (&[&url], 1, "UnknownIssuer; --tls.ca-file sets the roots to trust, --web.config.file accepts any"),
        (&["--tls.ca-file=none.crt", &url], 1, "the file none.crt cannot be read"),
        (&["--tls.ca-file=server.key", &url], 1, "the file server.key has no certificate"),
        (&[&url.replace("https", "http")], 1, "responded with 400 Bad Request: This port needs TLS; use https://."),
        (&["localhost"], 1, "`localhost` is not a URL; must begin with http:// or https://"),
        (&[&url.replace("https", "ftp")], 1, "must be http:// or https://"),
    ] {
        let checked = healthcheck(&daemon, arguments, &[]);
        assert_eq!(checked.status, status, "{arguments:?}: {checked:?}");
        assert!(checked.stderr.contains(expected), "{arguments:?}: {checked:?}");
    }
}

#[tokio::test]
async fn a_dead_daemon_is_not_healthy() {
    let mut daemon = daemon(folder(&Authority::root("web root"), REQUIRED)).await;
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.ended().await;
    let checked = healthcheck(&daemon, &["--web.config.file=web.yml"], &[]);
    assert!(checked.status == 1 && checked.stderr.starts_with("portprobe: cannot request https://"), "{checked:?}");
    let checked = healthcheck(&daemon, &["--web.config.file=none.yml"], &[]);
    assert!(checked.status == 1 && checked.stderr.contains("cannot use --web.config.file: none.yml"), "{checked:?}");
}

#[tokio::test]
async fn the_path_of_the_external_url_is_used() {
    let daemon = Daemon::start_with_prefix("/portprobe").await;
    let url = ("PORTPROBE_WEB_EXTERNAL_URL", "https://prometheus.example/portprobe/");
    assert_eq!(healthcheck(&daemon, &[], &[url]).status, 0);
    assert_eq!(healthcheck(&daemon, &[], &[]).status, 1);
}
