//! Changes of the web configuration and of its certificates while the daemon runs.

use std::collections::VecDeque;
use std::fs;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::clients::REQUIRED;
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
    // It is logged just after that.
    let logged = || daemon.logged(&["Reloaded files", "server.crt", "server.key"]).len();
    wait::until("it is logged", async || logged() > 0).await;
    assert_eq!(logged(), 1);
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

/// A file may be emptied, lose its last lines, or disappear.
#[tokio::test]
async fn a_change_removes_no_protection() {
    let root = Authority::root("web root");
    let file = format!("{REQUIRED}  client_allowed_sans: [a.example]\n{USERS}auth_excluded_paths: [/-/healthy]\n");
    let daemon = daemon(folder(&root, &file)).await;
    let named = Client::with_certificate(&root, &root.issue(leaf(&["a.example"]).for_clients()));
    let other = Client::with_certificate(&root, &root.issue(leaf(&["b.example"]).for_clients()));
    let optional = file
        .replace("RequireAndVerify", "Request")
        .replace("  client_allowed_sans: [a.example]\n", "");
    let optional = optional.replace("  client_ca_file: ca.crt\n", "");
    for (change, removed) in [
        ("", "removes TLS and all users and the required client certificate and `client_allowed_sans`, which needs"),
        (&optional, "removes the required client certificate and `client_allowed_sans`, which needs"),
    ] {
        fs::write(daemon.folder().join("web.yml"), change).unwrap();
        wait::until_patiently("the change is refused", async || {
            !daemon
                .logged(&["level=error", "Cannot reload the web configuration", removed])
                .is_empty()
        })
        .await;
        assert_eq!(named.status(daemon.address, "/metrics").await, Some(401), "{change}");
        assert_eq!(other.status(daemon.address, "/metrics").await, None, "{change}");
    }
    fs::remove_file(daemon.folder().join("web.yml")).unwrap();
    wait::until_patiently("a missing file is reported", async || {
        !daemon.logged(&["Cannot reload files", "web.yml: does not exist"]).is_empty()
    })
    .await;
    let scrape = named.clone().with_password("alice", "test").scrape(daemon.address).await;
    assert!(scrape.value("portprobe_file_reload_failures_total", &[]) >= Some(2.0));
    assert_eq!(named.status(daemon.address, "/metrics").await, Some(401), "it changes nothing");
}

/// A client that is no longer accepted keeps its connection busy.
#[tokio::test]
async fn a_new_client_authority_ends_connections() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, REQUIRED)).await;
    let client = Client::with_certificate(&root, &root.issue(leaf(&["prometheus.example"]).for_clients()));
    let stream = client.open(daemon.address).await.unwrap();
    let requests = tokio::spawn(requests_until_closed(stream));
    fs::write(daemon.folder().join("ca.crt"), Authority::root("another root").pem()).unwrap();
    assert!(timeout(PATIENCE, requests).await.expect("the connection is closed").unwrap() > 0);
    assert_eq!(daemon.logged(&["Reloaded files", "ca.crt"]).len(), 1);
    assert_eq!(client.status(daemon.address, "/metrics").await, None);
}

#[tokio::test]
async fn enabled_tls_ends_plain_connections() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, "")).await;
    let stream = TcpStream::connect(daemon.address).await.unwrap();
    let requests = tokio::spawn(requests_until_closed(stream));
    fs::write(daemon.folder().join("web.yml"), TLS).unwrap();
    assert!(timeout(PATIENCE, requests).await.expect("the connection is closed").unwrap() > 0);
    assert_eq!(daemon.logged(&["Reloaded files", "web.yml"]).len(), 1);
}

/// A client sends the first half of a request before TLS is enabled, and the second half afterwards.
#[tokio::test]
async fn a_late_request_without_tls_is_refused() {
    let daemon = daemon(folder(&Authority::root("web root"), "")).await;
    fs::write(daemon.folder().join("web.yml"), TLS).unwrap();
    let mut streams = VecDeque::new();
    wait::until_patiently("TLS is enabled", async || {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\n").await.unwrap();
        streams.push_back(stream);
        // Older ones reach the time limit for headers.
        if streams.len() > 20 {
            streams.pop_front();
        }
        !daemon.logged(&["Reloaded files", "web.yml"]).is_empty()
    })
    .await;
    for mut stream in streams {
        let _ = stream.write_all(b"Host: localhost\r\n\r\n").await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        assert!(!response.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&response));
    }
}

/// Returns the number of responses on a connection until it is closed.
async fn requests_until_closed(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> usize {
    let mut buffer = [0; 4096];
    let mut responses = 0;
    while stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .is_ok()
        && stream.flush().await.is_ok()
        && stream.read(&mut buffer).await.is_ok_and(|count| count > 0)
    {
        assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        responses += 1;
        // Below the idle time after which the connection ends in any case.
        sleep(Duration::from_millis(20)).await;
    }
    responses
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

/// More than two checks of the files and the time in which a change must be stable.
const PATIENCE: Duration = Duration::from_mins(1);
