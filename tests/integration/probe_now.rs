//! Probes of targets that clients request.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::api::differences;
use crate::support::daemon::Daemon;
use crate::support::http::{self, Response, encoded};
use crate::support::{peers, wait};

const ENABLED: &[&str] = &["--web.enable-lifecycle", "--no-config.auto-reload"];

async fn probe(daemon: &Daemon, name: &str) -> Response {
    http::request(daemon.address, "POST", &path(name)).await
}

fn path(name: &str) -> String {
    format!("/api/v1/targets/{}/probe", encoded(name))
}

fn json(response: &Response) -> Value {
    serde_json::from_str(&response.body).unwrap()
}

/// Returns the counters and the state of a target.
async fn facts(daemon: &Daemon, name: &str) -> Vec<Option<f64>> {
    let scrape = daemon.scrape().await;
    [
        "portprobe_probes_total",
        "portprobe_probe_failures_total",
        "portprobe_up",
        "portprobe_last_probe_timestamp_seconds",
    ]
    .map(|metric| scrape.of(name, metric))
    .into()
}

/// Waits until a target has been probed once.
async fn probed_once(daemon: &Daemon, name: &str) {
    daemon
        .scrape_until("the first probe", |scrape| scrape.of(name, "portprobe_probes_total") == Some(1.0))
        .await;
}

#[tokio::test]
async fn a_probe_has_its_timeline_and_bytes() {
    let address = peers::peer(async |mut stream| {
        let mut received = [0; 17];
        if stream.read_exact(&mut received).await.is_ok() {
            let _ = stream.write_all(b"hello pass=opensesame\r\n").await;
        }
    })
    .await;
    let config = format!(
        "targets:\n- {{ url: 'tcp://{address}', name: a/b, interval: 1d, dialogue: [{{ send: 'pass=opensesame\\r\\n' }}, \
         {{ expect: '^hello' }}] }}\n- {{ url: 'tcp://127.0.0.1:1', name: refused, interval: 1d }}\n\
         - {{ url: 'tcp://127.0.0.1:1', name: faulty, interval: 1d, source_address: 192.0.2.1 }}"
    );
    let daemon = Daemon::start_with(&config, ENABLED).await;
    let openapi = json(&daemon.get("/api/v1/openapi.json").await);
    let schema = &openapi["paths"]["/api/v1/targets/{name}/probe"]["post"]["responses"]["200"]["content"];
    for (name, result) in [("a/b", "good"), ("refused", "failed")] {
        probed_once(&daemon, name).await;
        let before = facts(&daemon, name).await;
        let response = probe(&daemon, name).await;
        assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")), "{}", response.body);
        let document = json(&response);
        assert_eq!((&document["target"], &document["result"]), (&Value::from(name), &Value::from(result)));
        let found = differences(&document, &schema["application/json"]["schema"], &openapi, name);
        assert!(found.is_empty(), "{found:#?}");
        assert_eq!(facts(&daemon, name).await, before, "it leaves no trace");
    }
    let document = json(&probe(&daemon, "a/b").await);
    let messages = document["attempts"][0]["transcript"]["messages"].as_array().unwrap();
    let hex = |direction: &str| -> String {
        let messages = messages.iter().filter(|message| message["direction"] == direction);
        messages.map(|message| message["hex"].as_str().unwrap()).collect()
    };
    let [received, secret] =
        ["hello pass=opensesame\r\n", "pass=opensesame"].map(|text| encoded(text).replace('%', ""));
    assert_eq!(hex("received"), received.replace(&secret, &"2a".repeat(15)), "what the peer repeats is hidden");
    assert_eq!(hex("sent"), "2a".repeat(17));
    let faulty = probe(&daemon, "faulty").await;
    assert_eq!(faulty.status, 503, "{}", faulty.body);
    assert!(
        json(&faulty)["error"]
            .as_str()
            .unwrap()
            .starts_with("cannot probe from this machine: no_port")
    );
}

#[tokio::test]
async fn only_a_post_of_the_same_site_probes() {
    let daemon = Daemon::start_with("targets: [{ url: 'tcp://127.0.0.1:1', name: a }]", ENABLED).await;
    let own = format!("http://{}", daemon.address);
    for (headers, status) in [
        (&[][..], 200),
        (&[("Origin", &*own), ("Sec-Fetch-Site", "same-origin")], 200),
        (&[("Origin", "http://evil.example"), ("Content-Type", "application/x-www-form-urlencoded")], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
    ] {
        wait::until("a response that is not about a running probe", async || {
            let response = http::request_with(daemon.address, "POST", &path("a"), headers).await;
            assert!([status, 409].contains(&response.status), "{headers:?}: {}", response.body);
            response.status == status
        })
        .await;
    }
    let rebound =
        "POST /api/v1/targets/a/probe HTTP/1.0\r\nHost: evil.attacker.com\r\nOrigin: http://evil.attacker.com\r\n\r\n";
    assert_eq!(http::parse(&http::exchange(daemon.address, rebound.as_bytes()).await).status, 403);
    for method in ["GET", "HEAD", "PUT"] {
        let response = http::request(daemon.address, method, &path("a")).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("POST")), "{method}");
    }
    for name in ["gone", "%", "a/probe"] {
        let response = probe(&daemon, name).await;
        assert_eq!(response.status, 404, "{name}: {}", response.body);
    }
}

#[tokio::test]
async fn a_form_shows_its_result_as_a_page() {
    let address = peers::peer(async |mut stream| {
        let _ = stream.write_all(b"<script>alert(1)</script>\r\n").await;
    })
    .await;
    let config = format!(
        "targets:\n- {{ url: 'tcp://{address}', name: 'a/<b>', interval: 1d, dialogue: [{{ expect: 'script' }}] }}\n\
         - {{ url: 'tcp://127.0.0.1:1', name: refused, interval: 1d }}"
    );
    let daemon = Daemon::start_with(&config, ENABLED).await;
    let own = format!("http://{}", daemon.address);
    let browser = [
        ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        ("Origin", &*own),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    for (name, outcome) in [("a/<b>", "The probe succeeded"), ("refused", "The probe failed: refused in connect")] {
        probed_once(&daemon, name).await;
        let page = daemon.get(&format!("/targets/{}", encoded(name))).await.body;
        let action = page
            .split("method=\"post\" action=\"../")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let response = http::request_with(daemon.address, "POST", &format!("/{action}"), &browser).await;
        assert_eq!((response.status, response.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(
            response.body.contains(outcome) && response.body.contains("<pre class=\"timeline\""),
            "{}",
            response.body
        );
        assert!(!response.body.contains("<script>") && !response.body.contains("a/<b>"), "{}", response.body);
        let back = format!(
            "href=\"../../../../targets/{}\"",
            name.replace('/', "%2F").replace('<', "%3C").replace('>', "%3E")
        );
        assert!(response.body.contains(&back), "{back}: {}", response.body);
    }
    let gone = http::request_with(daemon.address, "POST", &path("gone"), &browser).await;
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("No probe: unknown target"), "{}", gone.body);
    let mut cross_site = browser;
    cross_site[1].1 = "http://evil.example";
    assert_eq!(
        http::request_with(daemon.address, "POST", &path("refused"), &cross_site)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn without_the_flag_nothing_is_probed() {
    let daemon = Daemon::start("targets: [{ url: 'tcp://127.0.0.1:1', name: a }]").await;
    for name in ["a", "gone"] {
        let response = probe(&daemon, name).await;
        assert_eq!(response.status, 403);
        assert!(json(&response)["error"].as_str().unwrap().contains("--web.enable-lifecycle"));
    }
    let page = daemon.get("/targets/a").await;
    assert!(page.status == 200 && !page.body.contains("Probe now"), "{}", page.body);
}

/// A target that greets its first client and is silent after that.
struct Silent {
    listener: TcpListener,
    address: SocketAddr,
}

impl Silent {
    async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn config(&self) -> String {
        format!(
            "targets: [{{ url: 'tcp://{}', name: a, interval: 1d, timeout: 10m, dialogue: [{{ expect: hello }}] }}, \
             {{ url: 'tcp://127.0.0.1:1', name: b, interval: 1d }}]",
            self.address
        )
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Starts a daemon whose probe of this target runs, on request of the returned client.
    async fn probed(&self) -> (Daemon, std::path::PathBuf, TcpStream, TcpStream) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portprobe.yaml");
        fs::write(&file, self.config()).unwrap();
        let daemon = Daemon::start_in(folder, ENABLED).await;
        self.accept().await.write_all(b"hello\n").await.unwrap();
        probed_once(&daemon, "a").await;
        let mut client = TcpStream::connect(daemon.address).await.unwrap();
        client
            .write_all(b"POST /api/v1/targets/a/probe HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let connection = self.accept().await;
        (daemon, file, client, connection)
    }
}

#[tokio::test]
async fn probes_of_a_target_do_not_overlap() {
    let silent = Silent::bind().await;
    let (daemon, _file, client, mut connection) = silent.probed().await;
    let second = probe(&daemon, "a").await;
    assert_eq!((second.status, second.header("retry-after")), (409, Some("1")), "{}", second.body);
    assert_eq!(probe(&daemon, "b").await.status, 200, "others are not affected");
    drop(client);
    // The end of a connection that is dropped, or a reset.
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest).await;
    wait::until("the target is free", async || {
        let mut client = TcpStream::connect(daemon.address).await.unwrap();
        let request = b"POST /api/v1/targets/a/probe HTTP/1.0\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut response = Vec::new();
        tokio::select! {
            mut connection = silent.accept() => {
                connection.write_all(b"hello\n").await.unwrap();
                client.read_to_end(&mut response).await.unwrap();
                http::parse(&response).status == 200
            }
            _ = client.read_to_end(&mut response) => {
                assert_eq!(http::parse(&response).status, 409);
                false
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_probe_of_a_removed_target_ends() {
    let silent = Silent::bind().await;
    let (daemon, file, mut client, _connection) = silent.probed().await;
    fs::write(&file, "targets: [{ url: 'tcp://127.0.0.1:1', name: b }]").unwrap();
    assert_eq!(http::request(daemon.address, "POST", "/-/reload").await.status, 200);
    let mut response = vec![0; 4096];
    let length = client.read(&mut response).await.unwrap();
    let response = http::parse(&response[..length]);
    assert_eq!(response.status, 404, "{}", String::from_utf8_lossy(&response.body));
    assert!(String::from_utf8_lossy(&response.body).contains("removed"));
}
