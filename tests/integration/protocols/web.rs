//! Tests of HTTP and of protocols on top of it.

use std::fs;

use tempfile::TempDir;

use crate::support::pki::{Authority, Identity, Leaf, leaf};
use crate::support::probed::Probed;
use crate::support::services::text::Tls;
use crate::support::services::web::nginx;
use crate::support::wait;

mod bodies;
mod grpc;
mod recipes;
mod websocket;

/// A client and the authority that it trusts.
struct Client {
    folder: TempDir,
    root: Authority,
}

impl Client {
    fn new() -> Self {
        let (root, folder) = (Authority::root("web root"), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { folder, root }
    }

    /// Issues a trusted certificate.
    fn identity(&self) -> Identity {
        self.issue(leaf(&["127.0.0.1"]))
    }

    fn issue(&self, leaf: Leaf) -> Identity {
        self.root.issue(leaf)
    }

    /// Probes a URL. Returns `good PROTOCOL VERSION ROLE`, or class, phase and detail of the failure.
    async fn probe(&self, url: &str) -> String {
        self.probe_with(url, "labels: {}").await
    }

    /// Like [`Self::probe`], with further keys of the target.
    async fn probe_with(&self, url: &str, keys: &str) -> String {
        self.probed(url, keys).await.told()
    }

    async fn probed(&self, url: &str, keys: &str) -> Probed {
        self.probed_as(&format!("{{ name: probed, url: '{url}', {keys} }}")).await
    }

    /// Probes the target `probed`, given as in a configuration.
    async fn probed_as(&self, target: &str) -> Probed {
        let file = self.folder.path().join("portprobe.yaml");
        fs::write(&file, format!("defaults: {{ tls: {{ ca_file: root.pem }} }}\ntargets:\n- {target}\n")).unwrap();
        Probed::by(&["probed", "--config.file", &file.display().to_string()]).await
    }
}

#[track_caller]
fn assert_begins(result: &str, expected: &str) {
    assert!(result.starts_with(expected), "expected {expected}: {result}");
}

#[tokio::test]
async fn nginx_logs_each_probe_once() {
    let client = Client::new();
    let identity = client.identity();
    let Some(server) = nginx(Tls::With(&identity)).await else { return };
    for (scheme, port) in ["http", "https"].into_iter().zip(server.ports) {
        let at = |path: &str| format!("{scheme}://127.0.0.1:{port}{path}");
        let version = client.probe(&at("/health?a=1")).await;
        assert_begins(&version, "good http nginx 1.");
        let moved = format!(
            "unexpected_response in protocol: expected the status 2xx, received 301 Moved Permanently, a redirect to {}; \
             probe that URL, or add 301 to http.status",
            at("/health")
        );
        for (path, keys, expected) in [
            ("/busy", "labels: {}", "rejected in protocol: 503 Service Unavailable"),
            ("/busy", "http: { status: [200, 503] }", &version),
            ("/moved", "labels: {}", &moved),
            ("/moved", "http: { status: 3xx }", &version),
            (
                "",
                "labels: {}",
                "unexpected_response in protocol: expected the status 2xx, received 404 Not Found: the service responds, but refuses the request; to accept that, add 404 to http.status",
            ),
            ("/login", "http: { status: [200, 401] }", &version),
            (
                "/named",
                "labels: {}",
                "unexpected_response in protocol: expected the status 2xx, received 403 Forbidden: the service responds, but refuses the request; to accept that, add 403 to http.status",
            ),
            (
                "/named",
                &format!("http: {{ headers: {{ x-probe: 'yes', host: 'shop.example:{port}' }}, method: HEAD }}"),
                &version,
            ),
            ("/health", "http: { body: '^status: (green|yellow)$' }", &version),
            (
                "/health",
                "http: { body: '^status: red$', body_limit: 7 }",
                "unexpected_response in protocol: expected a body that matches `^status: red$` within body_limit, received \"cluster\"",
            ),
        ] {
            assert_eq!(client.probe_with(&at(path), keys).await, expected, "{scheme} {path} {keys}");
        }
        let agent = concat!("portprobe/", env!("CARGO_PKG_VERSION"));
        let asked = [
            ("GET /health?a=1", "127.0.0.1", "-|200"),
            ("GET /busy", "127.0.0.1", "-|503"),
            ("GET /busy", "127.0.0.1", "-|503"),
            ("GET /moved", "127.0.0.1", "-|301"),
            ("GET /moved", "127.0.0.1", "-|301"),
            ("GET /", "127.0.0.1", "-|404"),
            ("GET /login", "127.0.0.1", "-|401"),
            ("GET /named", "127.0.0.1", "-|403"),
            ("HEAD /named", "shop.example", "yes|204"),
            ("GET /health", "127.0.0.1", "-|200"),
            ("GET /health", "127.0.0.1", "-|200"),
        ];
        let asked = asked.map(|(what, whom, rest)| format!("{what} HTTP/1.1|{whom}:{port}|{agent}|{rest}"));
        let mut logged = Vec::new();
        wait::until("every request is logged", async || {
            let log = server.service.read("asked");
            logged = log
                .lines()
                .filter(|line| line.contains(&format!(":{port}|")))
                .map(str::to_owned)
                .collect();
            logged.len() >= asked.len()
        })
        .await;
        assert_eq!(logged, asked, "{scheme}");
    }
    assert_eq!(server.service.read("log"), "");
}

#[tokio::test]
async fn a_websocket_that_requires_a_login_serves() {
    let client = Client::new();
    let identity = client.identity();
    let Some(server) = nginx(Tls::With(&identity)).await else { return };
    let at = |path: &str| format!("ws://127.0.0.1:{}{path}", server.ports[0]);
    for path in ["/login", "/named"] {
        assert_begins(&client.probe(&at(path)).await, "good ws nginx 1.");
    }
    assert_eq!(client.probe(&at("/busy")).await, "rejected in protocol: 503 Service Unavailable");
    let moved = client.probe(&at("/moved")).await;
    assert!(moved.ends_with("/health; probe that URL"), "{moved}");
}

#[tokio::test]
async fn a_tls_port_differs_from_a_plain_one() {
    let client = Client::new();
    let identity = client.identity();
    let Some(server) = nginx(Tls::With(&identity)).await else { return };
    let [plain, secured] = server.ports;
    assert_begins(
        &client.probe(&format!("https://127.0.0.1:{plain}/health")).await,
        "tls_protocol in tls: the response is not TLS",
    );
    let plaintext = client.probe(&format!("http://127.0.0.1:{secured}/health")).await;
    assert_begins(&plaintext, "unexpected_response in protocol: expected the status 2xx, received 400 Bad Request");
}

#[tokio::test]
async fn each_step_of_https_has_its_failure() {
    let client = Client::new();
    let expired = client.issue(leaf(&["127.0.0.1"]).days(-30..-1));
    let Some(faulty) = nginx(Tls::With(&expired)).await else { return };
    let identity = client.identity();
    let good = nginx(Tls::With(&identity)).await.unwrap();
    for (port, keys, class, shaken) in [
        (good.ports[1], "labels: {}", "rejected in protocol", true),
        (faulty.ports[1], "labels: {}", "cert_expired in tls", false),
        (faulty.ports[1], "tls: { verify: report }", "rejected in protocol", true),
    ] {
        let probed = client.probed(&format!("https://127.0.0.1:{port}/busy"), keys).await;
        assert_begins(&probed.told(), class);
        let document = probed.document();
        let done = ["connect", "tls", "protocol"].map(|phase| document["phase_duration_seconds"][phase].is_f64());
        assert_eq!(done, [true, shaken, false], "{document}");
        let faults = document["tls"]["faults"].as_array().unwrap();
        assert_eq!(faults.len(), usize::from(port == faulty.ports[1]), "{document}");
    }
    let url = format!("https://127.0.0.1:{}/health", faulty.ports[1]);
    let shown = client.probed(&url, "tls: { verify: report }").await;
    assert_begins(&shown.told(), "good http nginx 1.");
    assert_eq!(shown.document()["tls"]["session"]["alpn"], "http/1.1");
}
