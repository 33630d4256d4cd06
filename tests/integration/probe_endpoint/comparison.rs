//! Compares `/probe` with real versions of blackbox_exporter: the same targets and modules, metric by metric.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::Socket;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_rustls::TlsAcceptor;

use crate::support::daemon::Daemon;
use crate::support::http::{encoded, request};
use crate::support::peers::{self, peer};
use crate::support::pki::{Authority, Identity, leaf};
use crate::support::ports;
use crate::support::scrape::Scrape;
use crate::support::services::text::Tls;
use crate::support::services::{Service, blackbox_exporters, web};

/// The modules of blackbox_exporter.
const THEIRS: &str = "\
modules:
  http_2xx: { prober: http, timeout: 5s, http: { preferred_ip_protocol: ip4, follow_redirects: false, tls_config: { ca_file: ca.pem } } }
  http_insecure: { prober: http, timeout: 5s, http: { preferred_ip_protocol: ip4, tls_config: { insecure_skip_verify: true } } }
  http_body: { prober: http, timeout: 5s, http: { preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: [healthy] } }
  tcp: { prober: tcp, timeout: 5s, tcp: { preferred_ip_protocol: ip4 } }
  banner: { prober: tcp, timeout: 5s, tcp: { preferred_ip_protocol: ip4, query_response: [ { expect: '^SSH-2.0-' } ] } }
  tls: { prober: tcp, timeout: 5s, tcp: { preferred_ip_protocol: ip4, tls: true, tls_config: { ca_file: ca.pem } } }
  tls_insecure: { prober: tcp, timeout: 5s, tcp: { preferred_ip_protocol: ip4, tls: true, tls_config: { insecure_skip_verify: true } } }
  smtp:
    prober: tcp
    timeout: 5s
    tcp:
      preferred_ip_protocol: ip4
      tls_config: { ca_file: ca.pem }
      query_response:
        - { expect: '^220 ' }
        - { send: \"EHLO prober\\r\" }
        - { expect: '^250 STARTTLS' }
        - { send: \"STARTTLS\\r\" }
        - { expect: '^220' }
        - { starttls: true }
        - { send: \"EHLO prober\\r\" }
        - { expect: '^250 ' }
        - { send: \"QUIT\\r\" }
  grpc: { prober: grpc, timeout: 5s, grpc: { preferred_ip_protocol: ip4 } }
  grpc_tls: { prober: grpc, timeout: 5s, grpc: { preferred_ip_protocol: ip4, tls: true, tls_config: { ca_file: ca.pem } } }
";

/// The same modules of portprobe.
const OURS: &str = "\
probe_endpoint: { enabled: true, allow: [127.0.0.0/8, invalid] }
defaults: { timeout: 5s, ip: ipv4, tls: { ca_file: ca.pem } }
modules:
  http_2xx: { scheme: http }
  http_insecure: { scheme: http, tls: { verify: report } }
  http_body: { scheme: http, http: { body: healthy } }
  tcp: { scheme: tcp }
  banner: { scheme: tcp, dialogue: [ { expect: '^SSH-2.0-' } ] }
  tls: { scheme: tls }
  tls_insecure: { scheme: tls, tls: { verify: report } }
  smtp: { scheme: smtp+starttls }
  grpc: { scheme: grpc }
  grpc_tls: { scheme: grpc+tls }
";

/// Metrics that no version of blackbox_exporter has, or that a version has only for some results.
const OURS_ONLY: [&str; 3] = ["probe_failure_info", "probe_failed_due_to_bytes", "probe_failed_due_to_regex"];

/// The expiry of a chain that blackbox_exporter has not verified; portprobe verifies it in any case.
const UNVERIFIED: f64 = -62_135_596_800.0;

/// Metrics of TLS, which blackbox_exporter does not have after a failed handshake.
const OF_TLS: [&str; 3] = ["probe_ssl_", "probe_tls_version_info", "probe_tls_cipher_info"];

type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

#[tokio::test]
async fn every_metric_is_that_of_blackbox_exporter() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::start().await;
    fs::write(folder.path().join("ca.pem"), servers.root.pem()).unwrap();
    fs::write(folder.path().join("blackbox.yml"), THEIRS).unwrap();
    fs::write(folder.path().join("portprobe.yaml"), OURS).unwrap();
    let exporters = blackbox_exporters(folder.path()).await;
    let daemon = Daemon::start_in(folder, &[]).await;
    let mut differences = Vec::new();
    for (module, target, success) in servers.probes() {
        let path = format!("/probe?module={module}&target={}", encoded(&target));
        let ours = probed(daemon.address, &path).await;
        assert_eq!(ours.get(&("probe_success".to_owned(), BTreeMap::new())), Some(&f64::from(success)), "{path}");
        for exporter in &exporters {
            let theirs = probed(exporter.address, &path).await;
            let found = compare(&theirs, &ours).into_iter();
            differences.extend(found.map(|difference| format!("{module} {target}: {difference}")));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The values of all series of a probe. Those of durations, which vary, are 0.
async fn probed(exporter: SocketAddr, path: &str) -> Samples {
    let response = request(exporter, "GET", path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    let samples = Scrape::parse(&response.body).into_samples();
    let varies = |name: &str| name.contains("duration") || name.contains("lookup_time");
    samples
        .map(|(name, mut labels, value)| {
            // Since version 0.25; and the choice of each TLS library.
            labels.retain(|label, _| !matches!(&**label, "serialnumber" | "cipher"));
            let value = if varies(&name) { 0.0 } else { value };
            ((name, labels), value)
        })
        .collect()
}

/// The differences between the two.
fn compare(theirs: &Samples, ours: &Samples) -> Vec<String> {
    let has_tls = |samples: &Samples| samples.keys().any(|(name, _)| name == "probe_tls_version_info");
    let failed_in_tls = has_tls(ours) && !has_tls(theirs);
    let has_cipher = theirs.keys().any(|(name, _)| name == "probe_tls_cipher_info");
    // Version 0.23 has an expiry of 0 for gRPC without TLS.
    let is_without_tls = |name: &str, value: f64| name == "probe_ssl_earliest_cert_expiry" && value < 1.0;
    let missing = theirs
        .iter()
        .filter(|(key, value)| !ours.contains_key(key) && !is_without_tls(&key.0, **value))
        .map(|(key, value)| format!("missing {key:?} {value}"));
    let differing = theirs.iter().filter_map(|(key, value)| {
        let found = ours.get(key).filter(|found| (**found - value).abs() > f64::EPSILON)?;
        let is_verified = key.0 == "probe_ssl_last_chain_expiry_timestamp_seconds" && (value - UNVERIFIED).abs() < 1.0;
        let is_shown = is_verified || failed_in_tls && OF_TLS.iter().any(|prefix| key.0.starts_with(prefix));
        (!is_shown).then(|| format!("{key:?} is {found}, not {value}"))
    });
    let additional = ours.keys().filter(|key| !theirs.contains_key(key)).filter(|(name, _)| {
        let is_allowed = OURS_ONLY.contains(&&**name)
            || (name == "probe_tls_cipher_info" && !has_cipher)
            || (failed_in_tls && OF_TLS.iter().any(|prefix| name.starts_with(prefix)));
        !is_allowed
    });
    let additional = additional.map(|key| format!("additional {key:?}"));
    missing.chain(differing).chain(additional).collect()
}

/// The servers that both probe.
struct Servers {
    root: Authority,
    open: SocketAddr,
    closed: SocketAddr,
    ssh: SocketAddr,
    smtp: SocketAddr,
    tls: [SocketAddr; 4],
    http: SocketAddr,
    https: SocketAddr,
    grpc: [Option<Service>; 2],
    _listener: TcpListener,
    _socket: Socket,
}

impl Servers {
    async fn start() -> Self {
        let root = Authority::root("root");
        let good = root.issue(leaf(&["localhost", "127.0.0.1"]));
        let expired = root.issue(leaf(&["localhost"]).days(-90..-1));
        let misnamed = root.issue(leaf(&["shop.example", "www.shop.example"]));
        let own = leaf(&["localhost"]).self_signed();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ((listener, open), (socket, closed)) = (ports::open(), ports::closed());
        let mut tls = Vec::new();
        for identity in [&good, &expired, &misnamed, &own] {
            tls.push(peers::tls(identity.server()).await);
        }
        let grpc = [web::grpc(Tls::Off, "health").await, web::grpc(Tls::With(&good), "health").await];
        Self {
            open: at(open),
            closed: at(closed),
            ssh: peer(async |mut stream| {
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
                peers::listen_to_the_end(&mut stream).await;
            })
            .await,
            smtp: smtp(&good).await,
            tls: tls.try_into().unwrap(),
            http: peer(async |stream| respond(stream).await).await,
            https: peers::tls_talking(good.server(), async |stream| respond(stream).await).await,
            grpc,
            root,
            _listener: listener,
            _socket: socket,
        }
    }

    /// Each module and target, and whether the probe succeeds.
    fn probes(&self) -> Vec<(&'static str, String, bool)> {
        let local = |address: SocketAddr| format!("localhost:{}", address.port());
        let [good, expired, misnamed, own] = self.tls.map(local);
        let (http, https) = (self.http, local(self.https));
        let mut probes = vec![
            ("tcp", self.open.to_string(), true),
            ("tcp", local(self.open), true),
            ("tcp", self.closed.to_string(), false),
            ("tcp", "missing.invalid:1".to_owned(), false),
            ("banner", self.ssh.to_string(), true),
            ("tls", good, true),
            ("tls", self.tls[0].to_string(), true),
            ("tls", expired.clone(), false),
            ("tls", misnamed.clone(), false),
            ("tls", own.clone(), false),
            ("tls", self.closed.to_string(), false),
            ("tls_insecure", expired, true),
            ("tls_insecure", misnamed, true),
            ("tls_insecure", own.clone(), true),
            ("http_2xx", format!("http://{http}/200"), true),
            ("http_2xx", http.to_string(), true),
            ("http_2xx", format!("http://{http}/404"), false),
            ("http_2xx", format!("http://{http}/500"), false),
            ("http_2xx", format!("http://{http}/503"), false),
            ("http_2xx", format!("http://{}/", self.closed), false),
            ("http_2xx", format!("https://{https}/200"), true),
            ("http_2xx", format!("https://{https}/500"), false),
            ("http_2xx", format!("https://{own}/200"), false),
            ("http_insecure", format!("https://{https}/200"), true),
            ("http_body", format!("http://{http}/200"), true),
            ("http_body", format!("http://{http}/sick"), false),
            ("smtp", local(self.smtp), true),
            ("grpc", self.closed.to_string(), false),
        ];
        let [plain, secured] = &self.grpc;
        probes.extend(plain.iter().map(|server| ("grpc", server.address.to_string(), true)));
        probes.extend(secured.iter().map(|server| ("grpc_tls", local(server.address), true)));
        probes
    }
}

/// Responds to one HTTP request.
async fn respond(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let status = path.parse::<u16>().unwrap_or(200);
    let body = if path == "sick" { "sick" } else { "healthy" };
    let response = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.get_mut().write_all(response.as_bytes()).await;
    peers::listen_to_the_end(&mut stream).await;
}

/// An SMTP server with STARTTLS.
async fn smtp(identity: &Identity) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(identity.server()));
    peer(move |stream| async move {
        let mut stream = BufReader::new(stream);
        let greeted = stream.get_mut().write_all(b"220 mx.example.com ready\r\n").await.is_ok();
        if greeted
            && converse(&mut stream).await
            && let Ok(stream) = acceptor.accept(stream.into_inner()).await
        {
            converse(&mut BufReader::new(stream)).await;
        }
    })
    .await
}

/// Returns whether the client has requested TLS.
async fn converse(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> bool {
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or_default() > 0 {
        let response = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => "250-mx.example.com\r\n250 STARTTLS\r\n",
            "STARTTLS" => "220 go ahead\r\n",
            _ => "221 bye\r\n",
        };
        if stream.get_mut().write_all(response.as_bytes()).await.is_err() {
            return false;
        }
        if line.starts_with("STARTTLS") {
            return true;
        }
        line.clear();
    }
    false
}
