//! The public page: only names, states and times of chosen groups and targets.

use std::net::TcpListener;

use roxmltree::Document;

use crate::support::daemon::Daemon;
use crate::support::http::{self, Response, encoded};
use crate::support::wait;

/// A daemon with public and other targets, each with its own address on loopback, and all facts that must stay secret.
struct Site {
    daemon: Daemon,
    secrets: Vec<String>,
    /// Holds its port open.
    _open: TcpListener,
}

impl Site {
    async fn start(flags: &[&str]) -> Self {
        let open = TcpListener::bind("127.77.1.1:0").unwrap();
        let port = open.local_addr().unwrap().port();
        let config = format!(
            "public: {{ match: {{ audience: everyone }}, title: '<b>Shop & \"Co\"' }}
defaults: {{ interval: 200ms, timeout: 200ms }}
groups: {{ Orders: {{ min_up: 1 }}, Mail: {{ min_up: 2 }}, Hidden group: {{}} }}
targets:
- {{ url: 'tcp://127.77.1.1:{port}', group: Orders, labels: {{ audience: everyone, owner: secret-owner }} }}
- {{ url: 'tcp://127.77.2.1:1', name: secret-member, group: Orders }}
- {{ url: 'tcp://127.77.1.1:{port}', name: secret-mail, group: Mail, labels: {{ audience: everyone }} }}
- {{ url: 'tcp://127.77.2.2:2', group: Mail, labels: {{ audience: everyone }} }}
- {{ url: 'postgres://127.77.2.3:3', name: 'Pay</title><script>alert(1)</script>', labels: {{ audience: everyone }} }}
- {{ url: 'tcp://127.77.1.1:{port}', name: Search, labels: {{ audience: everyone, tier: secret-tier }} }}
- {{ url: 'tcp://127.77.2.4:4', name: secret-target, labels: {{ audience: staff }} }}
- {{ url: 'tcp://127.77.2.5:5', group: Hidden group }}
"
        );
        let daemon = Daemon::start_with(&config, flags).await;
        let mut secrets: Vec<_> = [
            "127.77",
            "secret",
            "owner",
            "tier",
            "audience",
            "everyone",
            "staff",
            "Hidden",
            "postgres",
            "tcp",
            "refused",
            "connect",
            "listens",
            "localhost",
        ]
        .map(str::to_owned)
        .into();
        secrets.push(format!(":{port}"));
        Self { daemon, secrets, _open: open }
    }

    /// Waits until all states are known, and the public page has them.
    async fn known(&self) {
        wait::until_patiently("all states are public", async || {
            let page = self.daemon.get("/public").await;
            page.body.contains("2 of 4 down") && page.body.matches("class=\"state up\"").count() == 2
        })
        .await;
    }

    /// Asserts that a response has no fact about a target, also in its headers.
    fn assert_harmless(&self, response: &Response) {
        // A policy names what browsers may connect to; a tag is a digest.
        let constant = ["content-security-policy", "etag"];
        let headers = response.headers.iter().filter(|(name, _)| !constant.contains(&&**name));
        let all = format!("{:?}\n{}", headers.collect::<Vec<_>>(), response.body).to_lowercase();
        for secret in &self.secrets {
            assert!(!all.contains(&secret.to_lowercase()), "{secret}: {all}");
        }
    }
}

#[tokio::test]
async fn nothing_but_names_states_and_times_is_public() {
    let site = Site::start(&[]).await;
    site.known().await;
    let page = site.daemon.get("/public").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for shown in ["&lt;b&gt;Shop &amp; &quot;Co&quot;", "<h2>Orders</h2>", "<h2>Mail</h2>", "<h2>Search</h2>"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let names: Vec<_> = page
        .body
        .split("<h2>")
        .skip(1)
        .map(|rest| rest.split("</h2>").next().unwrap())
        .collect();
    let pay = "Pay&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;";
    assert_eq!(names, ["Orders", "Mail", pay, "Search", "Incidents"], "in the order of the configuration");
    assert_eq!(page.body.matches("<rect class=").count(), 4 * 90 + page.body.matches("class=\"d\"").count());
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !page.body.contains("<script"), "{policy}");
    site.assert_harmless(&page);
    let feed = site.daemon.get("/public/feed.atom").await;
    assert_eq!((feed.status, feed.header("content-type")), (200, Some("application/atom+xml; charset=utf-8")));
    assert!(Document::parse(&feed.body).is_ok(), "{}", feed.body);
    site.assert_harmless(&feed);
    for (name, state) in
        [("Orders", "up"), ("Mail", "down"), ("Search", "up"), ("Pay</title><script>alert(1)</script>", "down")]
    {
        let badge = site.daemon.get(&format!("/public/badge/{}.svg", encoded(name))).await;
        assert_eq!((badge.status, badge.header("content-type")), (200, Some("image/svg+xml")), "{name}");
        let document = Document::parse(&badge.body).unwrap();
        let title = document.descendants().find(|node| node.tag_name().name() == "title").unwrap();
        assert_eq!(title.text(), Some(&*format!("{name}: {state}")));
        site.assert_harmless(&badge);
    }
}

#[tokio::test]
async fn other_names_have_no_public_badge() {
    let site = Site::start(&[]).await;
    site.known().await;
    for name in ["secret-target", "secret-member", "Hidden group", "gone", "tcp://127.77.2.2:2"] {
        let response = site.daemon.get(&format!("/public/badge/{}.svg", encoded(name))).await;
        assert_eq!(response.status, 404, "{name}");
        site.assert_harmless(&response);
    }
    for (method, path, status) in [
        ("POST", "/public", 405),
        ("HEAD", "/public", 200),
        ("GET", "/public/", 404),
        ("GET", "/public/badge/.svg", 404),
        ("GET", "/public/badge/%ff.svg", 404),
        ("GET", "/public/targets", 404),
    ] {
        assert_eq!(http::request(site.daemon.address, method, path).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn an_outage_is_public_with_its_times() {
    let address = TcpListener::bind("127.77.1.2:0").unwrap();
    let port = address.local_addr().unwrap();
    let config = format!(
        "public: {{ match: {{ a: b }} }}\ndefaults: {{ interval: 100ms, timeout: 100ms, confirm: {{ failures: 1 }}, labels: {{ a: b }} }}\n\
         groups: {{ Web: {{ min_up: 1 }} }}\ntargets:\n- {{ url: 'tcp://{port}', name: Shop }}\n- {{ url: 'tcp://{port}', name: one, group: Web }}\n\
         - {{ url: 'tcp://127.77.2.1:1', name: two, group: Web }}"
    );
    let daemon = Daemon::start(&config).await;
    wait::until_patiently("it is up", async || daemon.get("/public").await.body.contains("All 2 are up")).await;
    drop(address);
    wait::until_patiently("the outage is in the feed", async || {
        let feed = daemon.get("/public/feed.atom").await.body;
        feed.contains("<title>Shop is down</title>") && feed.contains("<title>Web is down</title>")
    })
    .await;
    let page = daemon.get("/public").await.body;
    assert!(
        page.contains("<li><strong>Shop</strong><p>since <time") && page.contains("All") == page.contains("All 2"),
        "{page}"
    );
    let _again = TcpListener::bind(port).unwrap();
    wait::until_patiently("the end is in the feed", async || {
        let feed = daemon.get("/public/feed.atom").await.body;
        feed.contains("<title>Shop is up again</title>") && feed.contains("<title>Web is up again</title>")
    })
    .await;
    let feed = daemon.get("/public/feed.atom").await.body;
    let document = Document::parse(&feed).unwrap();
    let links: Vec<_> = document
        .descendants()
        .filter(|node| node.tag_name().name() == "link")
        .filter_map(|node| node.attribute("href"))
        .collect();
    assert!(links.iter().all(|link| ["feed.atom", "../public"].contains(link)), "{links:?}");
    assert!(!feed.contains("two") && !feed.contains("one "), "members are not public: {feed}");
}

#[tokio::test]
async fn without_options_nothing_is_public() {
    let daemon = Daemon::start("targets: [{ url: 'tcp://127.0.0.1:1', name: a }]").await;
    for path in ["/public", "/public/feed.atom", "/public/badge/a.svg"] {
        assert_eq!(daemon.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn excluded_paths_are_public_despite_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let config = "public: { match: { a: b } }\ntargets: [{ url: 'tcp://127.0.0.1:1', name: a, labels: { a: b } }]";
    std::fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let web = folder.path().join("web.yml");
    let users = "basic_auth_users: { a: $2y$04$abcdefghijklmnopqrstuuK3dsSmuKuxrOK0KPRnSZgmJDAKyCXdW }\n";
    std::fs::write(
        &web,
        format!("{users}auth_excluded_paths: [/public, /public/feed.atom, /public/badge/a.svg, /-/ready]\n"),
    )
    .unwrap();
    let daemon = Daemon::start_in(folder, &["--web.config.file", web.to_str().unwrap()]).await;
    for (path, status) in [
        ("/public", 200),
        ("/public/feed.atom", 200),
        ("/public/badge/a.svg", 200),
        ("/public/badge/b.svg", 401),
        ("/badge/a.svg", 401),
        ("/feed.atom", 401),
        ("/certificates.ics", 401),
        ("/api/v1/targets", 401),
    ] {
        assert_eq!(daemon.get(path).await.status, status, "{path}");
    }
}
