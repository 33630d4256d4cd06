//! The external URL, and names in requests of other sites' pages.

use std::path::Path;

use crate::support::daemon::{Daemon, finished};
use crate::support::http::{self, Response};

#[tokio::test]
async fn every_path_is_below_the_prefix() {
    let daemon = Daemon::start_with_prefix("/a/portprobe").await;
    for (path, status) in [
        ("/a/portprobe/", 200),
        ("/a/portprobe/metrics", 200),
        ("/a/portprobe/config", 200),
        ("/a/portprobe/-/healthy", 200),
        ("/metrics", 404),
        ("/-/healthy", 404),
        ("/a/portprobe-other/", 404),
        ("/a/portprobemetrics", 404),
        ("/a/", 404),
    ] {
        assert_eq!(daemon.get(path).await.status, status, "{path}");
    }
    for path in ["/", "/a/portprobe"] {
        let response = daemon.get(path).await;
        assert_eq!((response.status, response.header("location")), (302, Some("/a/portprobe/")), "{path}");
    }
    let page = daemon.get("/a/portprobe/").await.body;
    assert!(page.contains("href=\"metrics\"") && !page.contains("href=\"/"), "{page}");
    let metrics = daemon.get("/a/portprobe/metrics").await.body;
    assert!(metrics.contains("portprobe_http_requests_total{path=\"/-/healthy\",code=\"200\"}"), "{metrics}");
}

#[test]
fn a_url_that_cannot_be_used_is_refused() {
    for (url, expected) in [
        ("prometheus.example", "must be http:// or https://"),
        ("ftp://prometheus.example", "must be http:// or https://"),
        ("http://user:secret@prometheus.example", "has a user"),
    ] {
        let ended = finished(&["--web.external-url", url], Path::new("/"));
        assert!(ended.status == 2 && ended.stderr.contains(expected), "{ended:?}");
    }
}

async fn request(daemon: &Daemon, method: &str, path: &str, host: &str, headers: &str) -> u16 {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    let Response { status, body, .. } = http::parse(&http::exchange(daemon.address, head.as_bytes()).await);
    let body = String::from_utf8_lossy(&body);
    assert_eq!(body.contains("--web.external-url"), status == 403, "{body}");
    status
}

/// A page of evil.com makes its name resolve to the address of portprobe.
#[tokio::test]
async fn a_rebound_page_reads_no_configuration() {
    let flags = ["--web.enable-lifecycle", "--web.external-url=https://prometheus.example.com"];
    let daemon = Daemon::start_with("targets: ['127.0.0.1:1']\n", &flags).await;
    let port = daemon.address.port();
    for (host, status) in [
        (format!("evil.com:{port}"), 403),
        ("evil.com".to_owned(), 403),
        (daemon.address.to_string(), 200),
        (format!("localhost:{port}"), 200),
        ("portprobe".to_owned(), 200),
        ("portprobe.monitoring.svc".to_owned(), 200),
        ("prometheus.example.com".to_owned(), 200),
    ] {
        assert_eq!(request(&daemon, "GET", "/config", &host, "").await, status, "{host}");
        for path in ["/", "/targets/tcp:%2F%2F127.0.0.1:1"] {
            assert_eq!(request(&daemon, "GET", path, &host, "Accept-Language: de\r\n").await, status, "{host}{path}");
            assert_eq!(request(&daemon, "GET", path, &host, "").await, 200, "curl sends no language");
        }
        let origin = format!("Origin: http://{host}\r\n");
        assert_eq!(request(&daemon, "POST", "/-/reload", &host, &origin).await, status, "{host}");
        assert_eq!(request(&daemon, "POST", "/-/reload", &host, "").await, 200, "curl sends no origin");
        assert_eq!(request(&daemon, "GET", "/metrics", &host, "").await, 200, "{host}");
    }
}

/// Such a page has no password, and a browser refuses the certificate for its name.
#[tokio::test]
async fn passwords_make_names_irrelevant() {
    let root = crate::support::pki::Authority::root("web root");
    let daemon = super::daemon(super::folder(&root, super::passwords::USERS)).await;
    let authorization = "Authorization: Basic YWxpY2U6dGVzdA==\r\n";
    assert_eq!(request(&daemon, "GET", "/config", "portprobe.example.com", authorization).await, 200);
    assert_eq!(request(&daemon, "GET", "/config", "portprobe.example.com", "").await, 401);
}

#[tokio::test]
async fn names_matter_on_excluded_paths() {
    let root = crate::support::pki::Authority::root("web root");
    let file = format!("{}auth_excluded_paths: [/config]\n", super::passwords::USERS);
    let daemon = super::daemon(super::folder(&root, &file)).await;
    assert_eq!(request(&daemon, "GET", "/config", "evil.com", "").await, 403);
    assert_eq!(request(&daemon, "GET", "/config", "localhost", "").await, 200);
}

#[tokio::test]
async fn readable_pages_are_logged() {
    let message = "Without a password, anyone who reaches the port can read it";
    let start = async |address: &'static str, web_config: &'static str| {
        let root = crate::support::pki::Authority::root("web root");
        let folder = super::folder(&root, web_config);
        let mut command = crate::support::daemon::portprobe();
        command.arg("--config.file").arg(folder.path().join("portprobe.yaml"));
        command.arg("--web.config.file").arg(folder.path().join("web.yml"));
        command.arg(format!("--web.listen-address={address}"));
        Daemon::listening(command, folder).await
    };
    for (address, web_config, lines) in [
        ("127.0.0.1:0", "", 0),
        (":0", "", 1),
        (":0", super::TLS, 1),
        (":0", super::passwords::USERS, 0),
        (":0", super::clients::REQUIRED, 0),
    ] {
        let mut daemon = start(address, web_config).await;
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        daemon.ended().await;
        crate::support::wait::until("the log is read", async || !daemon.logged(&["msg=Stopped"]).is_empty()).await;
        assert_eq!(daemon.logged(&[message, "/api/v1", "/metrics", "/config"]).len(), lines, "{address} {web_config}");
    }
}
