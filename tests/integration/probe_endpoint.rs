//! Tests of `/probe`: its parameters and status codes, its allow list, its metrics, and the limits on its probes.

use std::fs;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::daemon::Daemon;
use crate::support::dns::NameServer;
use crate::support::http::{Response, encoded, exchange, request_with};
use crate::support::peers::{self, peer};
use crate::support::pki::leaf;
use crate::support::ports;
use crate::support::scrape::Scrape;
use crate::support::services::{prometheus_on, prometheus_programs};

mod comparison;
#[cfg(target_os = "linux")]
mod names;

/// A configuration whose only target is closed, with these settings of the endpoint and modules.
fn config(endpoint: &str, modules: &str) -> String {
    format!(
        "probe_endpoint: {endpoint}\nmodules: {{ tcp: {{ scheme: tcp }}, {modules} }}\ntargets: [ 'tcp://127.0.0.1:1' ]\n"
    )
}

const LOOPBACK: &str = "{ enabled: true, allow: [127.0.0.0/8] }";

async fn probe(daemon: &Daemon, target: &str, more: &str) -> Response {
    daemon.get(&format!("/probe?target={}{more}", encoded(target))).await
}

fn scrape(response: &Response) -> Scrape {
    assert_eq!(response.status, 200, "{}", response.body);
    Scrape::parse(&response.body)
}

#[tokio::test]
async fn the_endpoint_is_off_by_default() {
    for text in ["{}", "{ enabled: false, allow: [127.0.0.0/8] }"] {
        let daemon = Daemon::start(&config(text, "")).await;
        let (_listener, port) = ports::open();
        let response = probe(&daemon, &format!("127.0.0.1:{port}"), "&module=tcp").await;
        assert_eq!(response.status, 403);
        assert!(response.body.starts_with("/probe is disabled; to enable it, set `enabled`"), "{}", response.body);
    }
}

#[tokio::test]
async fn a_probe_has_the_metrics_of_blackbox_exporter() {
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let (_listener, open) = ports::open();
    let (_socket, closed) = ports::closed();
    for (port, success, reason) in [(open, 1.0, None), (closed, 0.0, Some(1.0))] {
        let response = probe(&daemon, &format!("127.0.0.1:{port}"), "&module=tcp").await;
        assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let scrape = scrape(&response);
        assert_eq!(scrape.value("probe_success", &[]), Some(success), "{}", response.body);
        assert_eq!(scrape.value("probe_ip_protocol", &[]), Some(4.0));
        let labels = [("class", "refused"), ("phase", "connect")];
        assert_eq!(scrape.value("probe_failure_info", &labels), reason);
    }
    let openmetrics = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let path = format!("/probe?target=127.0.0.1:{open}&module=tcp");
    let response = request_with(daemon.address, "GET", &path, &openmetrics).await;
    assert_eq!(response.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(response.body.ends_with("probe_success 1\n# EOF\n"), "{}", response.body);
    let counted = daemon.scrape().await;
    assert_eq!(counted.value("portprobe_http_requests_total", &[("path", "/probe"), ("code", "200")]), Some(3.0));
    assert!(counted.of("127.0.0.1", "portprobe_up").is_none(), "it is not a target");
}

#[tokio::test]
async fn a_bad_request_is_refused() {
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let (_listener, port) = ports::open();
    for (query, status, text) in [
        (String::new(), 400, "Target parameter is missing\n"),
        ("target=".into(), 400, "Target parameter is missing\n"),
        ("module=tcp".into(), 400, "Target parameter is missing\n"),
        (format!("target=127.0.0.1:{port}&module=nope"), 400, "Unknown module \"nope\"\n"),
        (format!("target=127.0.0.1:{port}&module=a%0Ab"), 400, "Unknown module \"a\\nb\"\n"),
        ("target=127.0.0.1&module=tcp".into(), 400, "target: has no port, and tcp has no default port"),
        ("target=127.0.0.1:1-65535&module=tcp".into(), 400, "target: has 65535 ports; must have one"),
        ("target=postgress://127.0.0.1&module=tcp".into(), 400, "target: unknown scheme `postgress`"),
        ("target=http://u:p@127.0.0.1/".into(), 400, "target: has a user or password"),
        ("target=%00:1&module=tcp".into(), 400, "target: "),
        ("target=%FF:1&module=tcp".into(), 400, "target: "),
        (format!("target={}:1&module=tcp", "a".repeat(8000)), 400, "target: "),
        // Other spellings of 127.0.0.1, which a system resolver accepts.
        ("target=2130706433:1&module=tcp".into(), 400, "target: `2130706433` is not a valid host"),
        ("target=0177.0.0.1:1&module=tcp".into(), 400, "target: `0177.0.0.1` is not a valid host"),
        ("target=127.1:1&module=tcp".into(), 400, "target: `127.1` is not a valid host"),
        ("target=0x7f.1:1&module=tcp".into(), 400, "target: `0x7f.1` is not a valid host"),
        ("target=0.0.0.0:1&module=tcp".into(), 400, "target: `0.0.0.0` is not the address of a host"),
        ("target=%5B::%5D:1&module=tcp".into(), 400, "target: `::` is not the address of a host"),
        // Not allowed.
        ("target=169.254.169.254:80&module=tcp".into(), 403, "the host or an address of it is not allowed"),
        ("target=http://169.254.169.254/latest/meta-data/".into(), 403, "the host or an address"),
        ("target=%5B::1%5D:1&module=tcp".into(), 403, "the host or an address"),
        ("target=%5B::ffff:169.254.169.254%5D:80&module=tcp".into(), 403, "the host or an address"),
        ("target=%5B::169.254.169.254%5D:80&module=tcp".into(), 403, "the host or an address"),
        ("target=%5B64:ff9b::a9fe:a9fe%5D:80&module=tcp".into(), 403, "the host or an address"),
        ("target=%5Bfe80::1%25lo%5D:80&module=tcp".into(), 403, "the host or an address"),
    ] {
        let response = daemon.get(&format!("/probe?{query}")).await;
        assert_eq!(response.status, status, "{query}: {}", response.body);
        assert!(response.body.starts_with(text), "{query}: {}", response.body);
        assert!(!response.body.contains("p@127"), "no password: {}", response.body);
    }
    let hex = probe(&daemon, "0x7f000001:1", "&module=tcp").await;
    assert_eq!(scrape(&hex).value("probe_success", &[]), Some(0.0), "a name that no name server knows");
}

#[tokio::test]
async fn this_machine_has_no_name_that_is_always_allowed() {
    let daemon = Daemon::start(&config("{ enabled: true, allow: [10.0.0.0/8, .example.com] }", "")).await;
    let (_listener, port) = ports::open();
    for host in
        ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
    {
        let response = probe(&daemon, &format!("{host}:{port}"), "&module=tcp").await;
        assert_eq!(response.status, 403, "{host}: {}", response.body);
    }
}

#[tokio::test]
async fn an_odd_timeout_harms_nothing() {
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let (_listener, port) = ports::open();
    let path = format!("/probe?target=127.0.0.1:{port}&module=tcp");
    for (timeout, status) in [
        ("0", 200),
        ("-1", 200),
        ("1e300", 200),
        ("-1e300", 200),
        ("inf", 200),
        ("0.4", 200),
        ("", 200),
        ("10", 200),
        ("NaN", 500),
        ("ten", 500),
        ("10s", 500),
    ] {
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", timeout)];
        let response = request_with(daemon.address, "GET", &path, &headers).await;
        assert_eq!(response.status, status, "{timeout}: {}", response.body);
        let begins = if status == 200 { "# HELP" } else { "Failed to parse timeout from Prometheus header: " };
        assert!(response.body.starts_with(begins), "{timeout}: {}", response.body);
        assert!(status != 200 || response.body.ends_with("probe_success 1\n"), "{timeout}: {}", response.body);
    }
}

#[tokio::test]
async fn other_methods_and_sites_are_refused() {
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let (_listener, port) = ports::open();
    let path = format!("/probe?target=127.0.0.1:{port}&module=tcp");
    let post = request_with(daemon.address, "POST", &path, &[]).await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    let head = request_with(daemon.address, "HEAD", &path, &[]).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    for header in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        assert_eq!(request_with(daemon.address, "GET", &path, &[header]).await.status, 403);
    }
    // A page whose name resolves to this address, and a scrape by such a name.
    for (more, status) in [("", 200), ("Accept-Language: en\r\n", 403)] {
        let request = format!("GET {path} HTTP/1.0\r\nHost: evil.org\r\n{more}\r\n");
        let answer = exchange(daemon.address, request.as_bytes()).await;
        assert!(answer.starts_with(format!("HTTP/1.0 {status}").as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn the_addresses_of_a_name_must_be_allowed() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open();
    let module = |more: &str| format!("m: {{ scheme: tcp, dns_servers: ['{}']{more} }}", server.address);
    let daemon = Daemon::start(&config(LOOPBACK, &module(""))).await;
    for (name, status, success) in [
        ("one.test", 200, Some(1.0)),
        ("two.test", 200, Some(1.0)),
        ("mapped.test", 200, Some(1.0)),
        ("missing.test", 200, Some(0.0)),
        ("refused.test", 200, Some(0.0)),
        ("metadata.test", 403, None),
        ("halfmetadata.test", 403, None),
        ("mappedmetadata.test", 403, None),
        ("nat64metadata.test", 403, None),
        ("metadata.test.", 403, None),
        ("METADATA.TEST", 403, None),
        ("v6.test", 403, None),
        ("unspecified.test", 200, Some(0.0)),
    ] {
        let response = probe(&daemon, &format!("{name}:{port}"), "&module=m").await;
        assert_eq!(response.status, status, "{name}: {}", response.body);
        if success.is_some() {
            assert_eq!(scrape(&response).value("probe_success", &[]), success, "{name}: {}", response.body);
        } else {
            assert!(!response.body.contains("169.254"), "{}", response.body);
        }
    }
    // A suffix allows any address of its names, except link-local ones.
    let daemon = Daemon::start(&config("{ enabled: true, allow: [.test] }", &module(", ip: ipv4"))).await;
    for (target, status) in [
        ("one.test", 200),
        ("metadata.test", 403),
        ("one.testing", 200),
        ("127.0.0.1", 403),
        ("halfmetadata.test", 403),
    ] {
        let response = probe(&daemon, &format!("{target}:{port}"), "&module=m").await;
        assert_eq!(response.status, status, "{target}: {}", response.body);
    }
    let named = "{ enabled: true, allow: [169.254.169.254, 127.0.0.0/8] }";
    let daemon = Daemon::start(&config(named, &module(", timeout: 100ms"))).await;
    assert_eq!(probe(&daemon, &format!("metadata.test:{port}"), "&module=m").await.status, 200);
}

#[tokio::test]
async fn a_module_sets_the_probe() {
    let identity = leaf(&["shop.example"]).self_signed();
    let address = peers::tls(identity.server()).await;
    let folder = tempfile::tempdir().unwrap();
    let modules = "tls: { scheme: tls, tls: { ca_file: ca.pem } }, lost: { scheme: tls, tls: { ca_file: lost.pem } }";
    fs::write(folder.path().join("ca.pem"), identity.pem()).unwrap();
    fs::write(folder.path().join("portprobe.yaml"), config(LOOPBACK, modules)).unwrap();
    let path = folder.path().join("portprobe.yaml");
    let daemon = Daemon::start_in(folder, &["--web.enable-lifecycle"]).await;
    let target = address.to_string();
    let wrong = scrape(&probe(&daemon, &target, "&module=tls").await);
    let class = [("class", "cert_name_mismatch"), ("phase", "tls")];
    assert_eq!(wrong.value("probe_failure_info", &class), Some(1.0));
    let expiry = wrong.value("probe_ssl_earliest_cert_expiry", &[]);
    assert_eq!(expiry, Some(identity.not_after as f64), "a failed handshake shows its certificate");
    let named = scrape(&probe(&daemon, &target, "&module=tls&hostname=shop.example").await);
    assert_eq!(named.value("probe_success", &[]), Some(1.0));
    let lost = probe(&daemon, &target, "&module=lost").await;
    assert_eq!(lost.status, 503, "{}", lost.body);
    assert!(lost.body.contains("lost.pem"), "{}", lost.body);
    // A reload replaces modules and allow list.
    fs::write(&path, config(LOOPBACK, "other: { scheme: tls }")).unwrap();
    assert_eq!(request_with(daemon.address, "POST", "/-/reload", &[]).await.status, 200);
    assert_eq!(probe(&daemon, &target, "&module=tls").await.body, "Unknown module \"tls\"\n");
    let other = scrape(&probe(&daemon, &target, "&module=other&hostname=shop.example").await);
    assert_eq!(other.value("probe_failure_info", &[("class", "cert_untrusted"), ("phase", "tls")]), Some(1.0));
    fs::write(&path, config("{}", "")).unwrap();
    assert_eq!(request_with(daemon.address, "POST", "/-/reload", &[]).await.status, 200);
    assert_eq!(probe(&daemon, &target, "&module=tcp").await.status, 403);
}

#[tokio::test]
async fn a_request_without_module_takes_http_2xx() {
    let server = peer(async |mut stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 500 no\r\nContent-Length: 2\r\n\r\nno").await;
    })
    .await;
    let daemon = Daemon::start(&config(LOOPBACK, "http_2xx: { scheme: http, http: { status: 500 } }")).await;
    let found = scrape(&probe(&daemon, &server.to_string(), "").await);
    assert_eq!(found.value("probe_success", &[]), Some(1.0));
    assert_eq!(found.value("probe_http_status_code", &[]), Some(500.0));
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let found = scrape(&probe(&daemon, &format!("http://{server}/"), "").await);
    assert_eq!(found.value("probe_success", &[]), Some(0.0));
    assert_eq!(found.value("probe_http_status_code", &[]), Some(500.0), "also of a failed probe");
    assert_eq!(found.value("probe_http_content_length", &[]), Some(2.0));
}

/// The path of a probe that waits for a silent peer until its timeout.
fn silent_probe(peer: SocketAddr) -> String {
    format!("/probe?target={peer}&module=silent")
}

const SILENT: &str = "silent: { scheme: ssh, interval: 1h, timeout: 1h }";

#[tokio::test]
async fn a_probe_ends_with_its_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let daemon = Daemon::start(&config(LOOPBACK, SILENT)).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", silent_probe(listener.local_addr().unwrap()));
    for extra in ["", "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut client = TcpStream::connect(daemon.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        client.write_all(extra.as_bytes()).await.unwrap();
        drop(client);
        let mut received = Vec::new();
        let _ = peer.read_to_end(&mut received).await;
        let free = |scrape: &Scrape| scrape.value("portprobe_probes_in_flight", &[]) == Some(0.0);
        daemon.scrape_until("the permit is returned", free).await;
    }
}

#[tokio::test]
async fn a_flood_of_probes_delays_no_target() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let (_listener, port) = ports::open();
    let text = format!(
        "probe_endpoint: {LOOPBACK}\nlimits: {{ in_flight: 8, per_host: 0 }}\nmodules: {{ {SILENT} }}\n\
         targets: [ {{ url: 'tcp://127.0.0.1:{port}', interval: 100ms }} ]\n"
    );
    let daemon = Daemon::start(&text).await;
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", silent_probe(peer));
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(daemon.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    // A quarter of the places.
    let peers = [listener.accept().await.unwrap(), listener.accept().await.unwrap()];
    let probes = |scrape: &Scrape| scrape.sum("portprobe_probes_total");
    let before = probes(&daemon.scrape().await);
    let after = daemon
        .scrape_until("the target is probed on", |scrape| probes(scrape) >= before + 10.0)
        .await;
    assert_eq!(after.value("portprobe_skipped_probes_total", &[("reason", "limit")]), Some(0.0));
    assert!(after.sum("portprobe_probe_failures_total") < 1.0);
    assert!(after.value("portprobe_probes_in_flight", &[]).unwrap() <= 3.0);
    drop((clients, peers));
}

#[tokio::test]
async fn a_probe_without_a_place_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let daemon = Daemon::start(&format!("limits: {{ in_flight: 1 }}\n{}", config(LOOPBACK, SILENT))).await;
    let path = silent_probe(listener.local_addr().unwrap());
    let mut client = TcpStream::connect(daemon.address).await.unwrap();
    client
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let _peer = listener.accept().await.unwrap();
    let timeout = [("X-Prometheus-Scrape-Timeout-Seconds", "0.6")];
    let response = request_with(daemon.address, "GET", &path, &timeout).await;
    assert_eq!(response.status, 503);
    assert!(
        response
            .body
            .starts_with("the limits or the scrape timeout allowed no probe in time"),
        "{}",
        response.body
    );
}

#[tokio::test]
async fn a_stopping_daemon_does_not_wait_for_a_probe() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut daemon = Daemon::start(&config(LOOPBACK, SILENT)).await;
    let (address, path) = (daemon.address, silent_probe(listener.local_addr().unwrap()));
    let probed = tokio::spawn(async move { request_with(address, "GET", &path, &[]).await });
    let _peer = listener.accept().await.unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    let response = probed.await.unwrap();
    assert_eq!((response.status, &*response.body), (503, "the daemon is stopping\n"));
    assert!(daemon.ended().await.success());
}

/// A fault of this machine is no statement about the target.
#[tokio::test]
async fn a_local_fault_is_no_failure() {
    let daemon = Daemon::start(&config(LOOPBACK, "far: { scheme: tcp, source_address: 192.0.2.1 }")).await;
    let response = probe(&daemon, "127.0.0.1:1", "&module=far").await;
    assert_eq!(response.status, 503, "{}", response.body);
    assert!(response.body.starts_with("cannot probe from this machine: "), "{}", response.body);
}

#[tokio::test]
async fn debug_prints_timeline_metrics_and_module() {
    let modules = "http_2xx: { scheme: http, http: { headers: { x-token: secret } } }";
    let daemon = Daemon::start(&config(LOOPBACK, modules)).await;
    let (_socket, port) = ports::closed();
    let response = probe(&daemon, &format!("127.0.0.1:{port}"), "&debug=true").await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    for part in [
        format!("Logs for the probe:\nhttp://127.0.0.1:{port}\n"),
        "refused in connect after ".to_owned(),
        "\n\n\nMetrics that would have been returned:\n# HELP probe_".to_owned(),
        "\nprobe_success 0\n".to_owned(),
        "\n\n\nModule configuration:\nscheme: http\n".to_owned(),
        "x-token: <hidden>".to_owned(),
    ] {
        assert!(response.body.contains(&part), "{part}: {}", response.body);
    }
    assert!(!response.body.contains("secret"), "{}", response.body);
    let without = probe(&daemon, &format!("127.0.0.1:{port}"), "&module=tcp&debug=false").await;
    assert!(without.body.starts_with("# HELP"), "{}", without.body);
}

/// The relabelling recipe for blackbox_exporter, with portprobe in its place.
#[tokio::test]
async fn prometheus_scrapes_it_as_blackbox_exporter() {
    let daemon = Daemon::start(&config(LOOPBACK, "")).await;
    let (_listener, open) = ports::open();
    let (_socket, closed) = ports::closed();
    let configuration = format!(
        "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
         scrape_configs:\n\
         - job_name: blackbox\n  \
           metrics_path: /probe\n  \
           scrape_interval: 1s\n  \
           scrape_timeout: 1s\n  \
           params: {{ module: [tcp] }}\n  \
           static_configs: [ {{ targets: ['127.0.0.1:{open}', '127.0.0.1:{closed}', '169.254.169.254:80'] }} ]\n  \
           relabel_configs:\n  \
           - {{ source_labels: [__address__], target_label: __param_target }}\n  \
           - {{ source_labels: [__param_target], target_label: instance }}\n  \
           - {{ target_label: __address__, replacement: '{}' }}\n",
        daemon.address
    );
    for binary in prometheus_programs() {
        let prometheus = prometheus_on(&binary, &configuration).await;
        for (query, expected) in [
            (format!("probe_success{{instance='127.0.0.1:{open}'}}"), "1"),
            (format!("probe_success{{instance='127.0.0.1:{closed}'}}"), "0"),
            (format!("probe_failure_info{{instance='127.0.0.1:{closed}',class='refused'}}"), "1"),
            ("up{instance='169.254.169.254:80'}".to_owned(), "0"),
            ("count(up == 1)".to_owned(), "2"),
        ] {
            prometheus.query_until(&query, expected).await;
        }
    }
}
