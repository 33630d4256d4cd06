//! Changes of the web configuration and of its certificates while the daemon runs.

use std::fs;

use super::passwords::USERS;
use super::{TLS, daemon, folder, write_identity};
use crate::support::http;
use crate::support::https::Client;
use crate::support::pki::{Authority, leaf};
use crate::support::wait;

#[tokio::test]
async fn a_renewed_certificate_is_used() {
    let (old, new) = (Authority::root("old root"), Authority::root("new root"));
    let daemon = daemon(folder(&old, TLS)).await;
    assert_eq!(Client::trusting(&old).status(daemon.address, "/-/healthy").await, Some(200));
    write_identity(daemon.folder(), &new.issue(leaf(&["localhost"])));
    let client = Client::trusting(&new);
    wait::until_patiently("the new certificate is used", async || {
        client.status(daemon.address, "/-/ready").await == Some(200)
    })
    .await;
    assert_eq!(daemon.logged(&["Reloaded files", "server.crt", "server.key"]).len(), 1);
}

/// The certificate is written before its key, and the file loses its last lines for a moment.
#[tokio::test]
async fn an_invalid_change_keeps_the_configuration() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, TLS)).await;
    let client = Client::trusting(&root);
    let renewed = root.issue(leaf(&["localhost"]));
    fs::write(daemon.folder().join("server.crt"), renewed.pem()).unwrap();
    wait::until_patiently("the mismatch is counted", async || {
        client
            .scrape(daemon.address)
            .await
            .value("portprobe_file_reload_failures_total", &[])
            >= Some(1.0)
    })
    .await;
    assert_eq!(
        daemon
            .logged(&["Cannot reload files", "has the key of another certificate"])
            .len(),
        1
    );
    fs::write(daemon.folder().join("server.key"), renewed.key_pem()).unwrap();
    wait::until_patiently("the pair is used", async || !daemon.logged(&["Reloaded files", "server.key"]).is_empty())
        .await;
    assert_eq!(client.status(daemon.address, "/metrics").await, Some(200));
}

/// An empty file enables nothing, as in the exporter-toolkit.
#[tokio::test]
async fn disabled_passwords_are_logged() {
    let daemon = daemon(folder(&Authority::root("web root"), USERS)).await;
    assert_eq!(http::request(daemon.address, "GET", "/metrics").await.status, 401);
    fs::write(daemon.folder().join("web.yml"), "").unwrap();
    wait::until_patiently("passwords are disabled", async || {
        http::request(daemon.address, "GET", "/metrics").await.status == 200
    })
    .await;
    assert_eq!(daemon.logged(&["level=warn", "no longer requires a password"]).len(), 1);
    fs::remove_file(daemon.folder().join("web.yml")).unwrap();
    wait::until_patiently("a missing file is reported", async || {
        !daemon.logged(&["Cannot reload files", "web.yml: does not exist"]).is_empty()
    })
    .await;
    assert_eq!(http::request(daemon.address, "GET", "/metrics").await.status, 200, "it changes nothing");
}

#[tokio::test]
async fn tls_can_be_enabled_while_running() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, "")).await;
    assert_eq!(http::request(daemon.address, "GET", "/metrics").await.status, 200);
    fs::write(daemon.folder().join("web.yml"), TLS).unwrap();
    let client = Client::trusting(&root);
    wait::until_patiently("TLS is enabled", async || client.status(daemon.address, "/metrics").await == Some(200))
        .await;
    assert_eq!(http::request(daemon.address, "GET", "/metrics").await.status, 400);
}
