//! Badges, the feed and the calendar, read by the parsers of other programs.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use roxmltree::{Document, Node};
use serde_json::Value;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::http::{self, Response, encoded};
use crate::support::{python_packages, wait};

/// Starts the demo below this prefix, and waits until all states are known.
async fn demo(prefix: &str, flags: &[&str]) -> Daemon {
    let mut command = portprobe();
    command
        .args(["demo", "--web.listen-address=127.0.0.1:0", "--log.level=info"])
        .args(flags);
    let daemon = Daemon::listening(command, tempfile::tempdir().unwrap()).await;
    let summary = format!("{prefix}/api/v1/summary");
    wait::until_patiently("all states are known", async || {
        let summary = daemon.get(&summary).await;
        // One target has only local faults.
        summary.status == 200 && json(&summary)["unknown"] == 1
    })
    .await;
    daemon
}

fn json(response: &Response) -> Value {
    serde_json::from_str(&response.body).unwrap()
}

/// The content of a document according to an independent parser; `None` if the packages are missing.
fn parsed(arguments: &[&str], document: &str) -> Option<Value> {
    let packages = python_packages()?;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    fs::write(&input, document).unwrap();
    let output = Command::new("python3")
        .env("PYTHONPATH", packages)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/readers/read.py"))
        .args(arguments)
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn a_badge_shows_the_state_in_words() {
    let daemon = demo("", &[]).await;
    for (name, state) in [("open", "up"), ("db-primary", "down"), ("local-fault", "unknown"), ("database", "up")] {
        let path = format!("/badge/{name}.svg");
        let badge = daemon.get(&path).await;
        assert_eq!((badge.status, badge.header("content-type")), (200, Some("image/svg+xml")), "{name}");
        assert_eq!(badge.header("cache-control"), Some("max-age=10"));
        let document = Document::parse(&badge.body).unwrap();
        assert_eq!(document.root_element().attribute("role"), Some("img"));
        let title = document.descendants().find(|node| node.tag_name().name() == "title").unwrap();
        assert_eq!(title.text(), Some(&*format!("{name}: {state}")));
        let tag = badge.header("etag").unwrap();
        let again = http::request_with(daemon.address, "GET", &path, &[("If-None-Match", tag)]).await;
        assert_eq!(again.status, 304);
    }
}

#[tokio::test]
async fn a_hostile_name_stays_text_in_a_badge() {
    let names = [r#"</title><script>alert("1")</script>"#, "a/b.svg", "..", "ä\u{202e}'&", &"x".repeat(512)];
    let target = |name: &&str| format!("{{ url: 'tcp://127.0.0.1:1', name: {} }}", Value::from(*name));
    let targets: Vec<_> = names.iter().map(target).collect();
    let daemon = Daemon::start(&format!("targets: [{}]", targets.join(", "))).await;
    for name in names {
        let badge = daemon.get(&format!("/badge/{}.svg", encoded(name))).await;
        assert_eq!(badge.status, 200, "{name}: {}", badge.body);
        let document = Document::parse(&badge.body).unwrap();
        let elements = document
            .descendants()
            .filter(Node::is_element)
            .map(|node| node.tag_name().name());
        let elements: Vec<_> = elements.collect();
        assert_eq!(elements, ["svg", "title", "path", "path", "path", "g", "text", "text"], "{name}");
        assert!(!badge.body.contains('\u{202e}'), "{}", badge.body);
    }
    for (method, path, status) in [
        ("GET", "/badge/gone.svg", 404),
        ("GET", "/badge/.svg", 404),
        ("GET", "/badge/gone", 404),
        ("GET", "/badge/%ff.svg", 404),
        ("GET", "/badge/%00.svg", 404),
        ("HEAD", "/badge/a/b.svg.svg", 200),
        ("POST", "/badge/a/b.svg.svg", 405),
        ("POST", "/feed.atom", 405),
        ("POST", "/certificates.ics", 405),
    ] {
        assert_eq!(http::request(daemon.address, method, path).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing() {
    let daemon = Daemon::start("targets: [{ url: 'tcp://127.0.0.1:1', name: a }]").await;
    for path in ["/badge/a.svg", "/feed.atom", "/certificates.ics"] {
        let rebound = format!("GET {path} HTTP/1.0\r\nHost: evil.attacker.com\r\nAccept-Language: en\r\n\r\n");
        assert_eq!(http::parse(&http::exchange(daemon.address, rebound.as_bytes()).await).status, 403, "{path}");
    }
}

/// Waits until the target of the demo that comes and goes has gone and come back.
async fn feed(daemon: &Daemon, path: &str) -> Response {
    wait::until_patiently("an incident that has ended", async || {
        daemon.get(path).await.body.contains("comes-and-goes is up again")
    })
    .await;
    daemon.get(path).await
}

#[tokio::test]
async fn a_feed_has_the_latest_changes_first() {
    let daemon = demo("", &[]).await;
    let response = feed(&daemon, "/feed.atom").await;
    assert_eq!(response.header("content-type"), Some("application/atom+xml; charset=utf-8"));
    let document = Document::parse(&response.body).unwrap();
    let feed = document.root_element();
    assert_eq!((feed.tag_name().name(), feed.tag_name().namespace()), ("feed", Some(ATOM)));
    // RFC 4287 sections 4.1.1 and 4.1.2: each exactly once.
    let text = |node: Node<'_, '_>, name: &str| -> String {
        let found: Vec<_> = node.children().filter(|child| child.has_tag_name((ATOM, name))).collect();
        assert_eq!(found.len(), 1, "{name}: {}", response.body);
        found[0].text().unwrap().to_owned()
    };
    let (id, updated) = (text(feed, "id"), text(feed, "updated"));
    let links = |node: Node<'_, '_>| -> BTreeMap<String, String> {
        let links = node.children().filter(|child| child.has_tag_name((ATOM, "link")));
        links
            .map(|link| (link.attribute("rel").unwrap().to_owned(), link.attribute("href").unwrap().to_owned()))
            .collect()
    };
    assert_eq!((&*links(feed)["self"], &*links(feed)["alternate"]), ("feed.atom", "./"));
    assert!(feed.children().any(|child| child.has_tag_name((ATOM, "author"))));
    let entries: Vec<_> = feed.children().filter(|child| child.has_tag_name((ATOM, "entry"))).collect();
    let moments: Vec<_> = entries.iter().map(|entry| text(*entry, "updated")).collect();
    assert!(moments.is_sorted_by(|a, b| a >= b), "{moments:?}");
    assert_eq!(moments[0], updated);
    let ids: HashSet<_> = entries.iter().map(|entry| text(*entry, "id")).chain([id]).collect();
    assert_eq!(ids.len(), entries.len() + 1, "unique");
    assert!(ids.iter().all(|id| id.starts_with("urn:uuid:")), "{ids:?}");
    let down = entries
        .iter()
        .find(|entry| text(**entry, "title") == "comes-and-goes is down")
        .unwrap();
    assert!(text(*down, "content").starts_with("refused in connect: "));
    assert_eq!(links(*down)["alternate"], "targets/comes-and-goes");
    let again = daemon.get("/feed.atom").await;
    for id in ids {
        assert!(again.body.contains(&id), "the same incident has the same id");
    }
    let Some(read) = parsed(&["feed", "http://probe.example/feed.atom"], &response.body) else { return };
    assert_eq!((&read["error"], &read["version"]), (&Value::Null, &Value::from("atom10")), "{read}");
    assert_eq!(read["entries"].as_array().unwrap().len(), entries.len());
    assert!(read["entries"].as_array().unwrap().iter().any(|entry| {
        entry["link"] == "http://probe.example/targets/comes-and-goes" && entry["title"] == "comes-and-goes is down"
    }));
}

#[tokio::test]
async fn links_have_the_external_url() {
    let daemon = demo("/pp", &["--web.external-url=https://probe.example/pp/"]).await;
    let response = feed(&daemon, "/pp/feed.atom").await;
    let hrefs: HashSet<_> = response
        .body
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for expected in ["pp/feed.atom", "pp/", "pp/targets/comes-and-goes"] {
        assert!(hrefs.contains(&*format!("https://probe.example/{expected}")), "{hrefs:?}");
    }
    assert!(hrefs.iter().all(|href| href.starts_with("https://probe.example/pp/")), "{hrefs:?}");
    let calendar = daemon.get("/pp/certificates.ics").await.body.replace("\r\n ", "");
    assert!(calendar.contains("\r\nURL:https://probe.example/pp/targets/tls-expired\r\n"), "{calendar}");
}

#[tokio::test]
async fn an_unchanged_feed_has_no_body() {
    let daemon = Daemon::start("targets: [{ url: 'tcp://127.0.0.1:1', interval: 1d }]").await;
    for path in ["/feed.atom", "/certificates.ics"] {
        let first = daemon.get(path).await;
        let tag = first.header("etag").unwrap();
        let again = http::request_with(daemon.address, "GET", path, &[("If-None-Match", tag)]).await;
        assert_eq!((again.status, &*again.body), (304, ""), "{path}");
        assert!(!first.body.contains("<entry>") && !first.body.contains("VEVENT"), "{}", first.body);
    }
    if let Some(read) = parsed(&["feed", "http://probe.example/feed.atom"], &daemon.get("/feed.atom").await.body) {
        assert_eq!(read["error"], Value::Null, "an empty feed is valid, too");
    }
}

#[tokio::test]
async fn a_calendar_has_each_certificate_once() {
    let daemon = demo("", &[]).await;
    let list = json(&daemon.get("/api/v1/targets?limit=1000").await);
    let mut expected = BTreeMap::new();
    for target in list["targets"].as_array().unwrap() {
        let name = target["name"].as_str().unwrap();
        let target = json(&daemon.get(&format!("/api/v1/targets/{}", encoded(name))).await);
        let leaf = &target["certificates"]["chain"][0];
        if let (Some(fingerprint), Some(not_after)) = (leaf["fingerprint_sha256"].as_str(), leaf["not_after"].as_str())
        {
            expected.insert(format!("{fingerprint}@portprobe"), not_after.to_owned());
        }
    }
    assert!(expected.len() > 3, "{expected:?}");
    let response = daemon.get("/certificates.ics").await;
    assert_eq!(response.header("content-type"), Some("text/calendar; charset=utf-8"));
    let text = &response.body;
    assert!(
        text.ends_with("END:VCALENDAR\r\n") && text.split("\r\n").all(|line| line.len() <= 75 && !line.contains('\n'))
    );
    let unfolded = text.replace("\r\n ", "");
    let of = |name: &str| -> Vec<&str> {
        let prefix = format!("{name}:");
        unfolded.split("\r\n").filter_map(|line| line.strip_prefix(&*prefix)).collect()
    };
    let uids: HashSet<_> = of("UID").into_iter().map(str::to_owned).collect();
    assert_eq!((uids.len(), of("UID").len()), (of("DTSTAMP").len(), of("DTSTART").len()), "unique");
    assert!(expected.keys().all(|uid| uids.contains(uid)), "{uids:?}");
    assert!(of("DTSTART").is_sorted());
    assert!(unfolded.contains("SUMMARY:Certificate of tls-expired expires\r\n"), "{unfolded}");
    let Some(read) = parsed(&["calendar"], text) else { return };
    assert_eq!((&read["errors"], &read["name"]), (&Value::Array(Vec::new()), &Value::from("Certificates")));
    let events = read["events"].as_array().unwrap();
    let read: BTreeMap<_, _> = events
        .iter()
        .map(|event| (event["uid"].as_str().unwrap(), event["start"].as_str().unwrap().replace("+00:00", "Z")))
        .collect();
    for (uid, not_after) in &expected {
        assert_eq!(read.get(&**uid), Some(not_after), "{uid}");
    }
}

const ATOM: &str = "http://www.w3.org/2005/Atom";
