//! Users and passwords, headers, and the rate limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{TLS, daemon, folder};
use crate::support::http;
use crate::support::https::Client;
use crate::support::pki::Authority;

/// The passwords are `test` and `other`.
pub(in crate::integration) const USERS: &str = "basic_auth_users:\n  alice: $2b$10$bbbbbbbbbbbbbbbbbbbbbOJv2iOdEt/p4L1ZkszHFSrGWWzJxePem\n  bob: $2b$10$cccccccccccccccccccccORMlfGPX7NvwFDWyrILtAbZkx9rFlcLO\n";

#[tokio::test]
async fn only_right_passwords_are_accepted() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, &format!("{TLS}{USERS}"))).await;
    let client = Client::trusting(&root);
    for (user, password, status) in [
        ("alice", "test", 200),
        ("bob", "other", 200),
        ("alice", "other", 401),
        ("alice", "", 401),
        ("carol", "test", 401),
        ("", "", 401),
        ("alice", "test", 200),
    ] {
        let client = client.clone().with_password(user, password);
        assert_eq!(client.status(daemon.address, "/metrics").await, Some(status), "{user}:{password}");
    }
    for path in ["/metrics", "/", "/config", "/-/healthy", "/-/ready", "/nowhere"] {
        let response = client.get(daemon.address, path).await.unwrap();
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Basic")), "{path}");
        assert_eq!(response.body, "Unauthorized\n");
    }
}

#[tokio::test]
async fn passwords_work_without_tls() {
    let daemon = daemon(folder(&Authority::root("web root"), USERS)).await;
    let status = async |authorization: &'static str| {
        let headers = [("Authorization", authorization)];
        http::request_with(daemon.address, "GET", "/metrics", &headers).await.status
    };
    assert_eq!(status("Basic YWxpY2U6dGVzdA==").await, 200);
    for malformed in ["Basic", "Basic YWxpY2U", "Basic !", "Bearer YWxpY2U6dGVzdA==", "Basic YWxpY2U=", ""] {
        assert_eq!(status(malformed).await, 401, "{malformed}");
    }
}

/// Three clients send wrong passwords, or none, as fast as they can.
#[tokio::test]
async fn wrong_and_missing_passwords_delay_no_scrape() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, &format!("{TLS}{USERS}"))).await;
    let right = Client::trusting(&root).with_password("alice", "test");
    let before = right
        .scrape(daemon.address)
        .await
        .of("tcp://127.0.0.1:1", "portprobe_probes_total");
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new([0; 3].map(AtomicUsize::new)));
    let mut guessers = Vec::new();
    for number in 0..32 {
        let (stop, counts, address) = (stop.clone(), counts.clone(), daemon.address);
        let client = Client::trusting(&root).from(1 + number % 3);
        let guess = format!("guess {number}");
        let (kind, guesser) = match number % 3 {
            0 => (0, client.with_password("alice", &guess)),
            1 => (0, client.with_password("nobody", &guess)),
            _ => (1, client),
        };
        guessers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match guesser.status(address, "/metrics").await.unwrap() {
                    401 => counts[kind].fetch_add(1, Ordering::Relaxed),
                    429 => counts[2].fetch_add(1, Ordering::Relaxed),
                    other => panic!("{other}"),
                };
            }
        }));
    }
    for _ in 0..20 {
        assert_eq!(right.status(daemon.address, "/metrics").await, Some(200));
    }
    let first = Client::trusting(&root).from(9).with_password("bob", "other");
    assert_eq!(first.status(daemon.address, "/metrics").await, Some(200), "a right password that is not known yet");
    let scrape = right.scrape(daemon.address).await;
    assert!(scrape.of("tcp://127.0.0.1:1", "portprobe_probes_total") > before, "probes go on");
    stop.store(true, Ordering::Relaxed);
    for guesser in guessers {
        guesser.await.unwrap();
    }
    let [wrong, missing, too_many] = [0, 1, 2].map(|index: usize| counts[index].load(Ordering::Relaxed));
    assert!(wrong > 0 && missing > 0 && too_many > 0, "{wrong} {missing} {too_many}");
}

#[tokio::test]
async fn excluded_paths_need_no_password() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, &format!("{TLS}{USERS}auth_excluded_paths: [/-/healthy, /-/ready]\n"))).await;
    let client = Client::trusting(&root);
    for (path, status) in [("/-/healthy", 200), ("/-/healthy?x=1", 200), ("/metrics", 401), ("/-/healthy/x", 401)] {
        assert_eq!(client.status(daemon.address, path).await, Some(status), "{path}");
    }
}

#[tokio::test]
async fn headers_replace_those_of_portprobe() {
    let headers =
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: default-src 'self'\n";
    let daemon = daemon(folder(&Authority::root("web root"), &format!("{headers}{USERS}"))).await;
    let response = http::request(daemon.address, "GET", "/metrics").await;
    assert_eq!(response.status, 401);
    for (name, value) in [
        ("x-frame-options", "deny"),
        ("content-security-policy", "default-src 'self'"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), Some(value));
        assert_eq!(response.headers.iter().filter(|(found, _)| found == name).count(), 1);
    }
}

#[tokio::test]
async fn requests_are_limited() {
    let daemon = daemon(folder(&Authority::root("web root"), "rate_limit: { interval: 1h, burst: 3 }\n")).await;
    for status in [200, 200, 200, 429, 429] {
        let response = http::request(daemon.address, "GET", "/-/healthy").await;
        assert_eq!((response.status, response.header("retry-after").is_some()), (status, status == 429));
    }
}
