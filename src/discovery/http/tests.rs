use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Discovered;
use crate::options::ResolverOptions;
use crate::target::{Identity, Roots, ServerName, TlsProfile, TlsSettings, Verify};

const BODY: &str = r#"[{"targets": ["a:1", "b:2"]}]"#;
const JSON: &str = "Content-Type: application/json\r\n";

/// Behaviour of a server after its response.
enum Then {
    /// Closes the connection.
    Ends,
    /// Sends these bytes repeatedly, with a pause after each time.
    Repeats(&'static [u8], Duration),
}

/// Reads a request, sends the response, continues as `then` defines, and returns the request.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: String, then: Then) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    let mut is_heard = stream.write_all(answer.as_bytes()).await.is_ok();
    if let Then::Repeats(bytes, pause) = then {
        while is_heard {
            is_heard = stream.write_all(bytes).await.is_ok();
            sleep(pause).await;
        }
    }
    let _ = stream.shutdown().await;
    String::from_utf8(request).unwrap()
}

/// Starts a server for one connection; returns its URL.
async fn server(answer: impl Into<String>, then: Then) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/sd?of=all", listener.local_addr().unwrap());
    let answer = answer.into();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer, then).await
    });
    (url, served)
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn source(url: &str) -> HttpSource {
    HttpSource { url: url.parse().unwrap(), headers_files: Vec::new(), tls: TlsSettings::default() }
}

async fn refresh_with(source: &HttpSource, bounds: Bounds) -> Result<Snapshot, String> {
    let connector = Connector::new(ResolverOptions::default(), Arc::default());
    refresh(source, Duration::from_secs(90), bounds, &Reads::default(), &connector)
        .await
        .map_err(|error| error.to_string())
}

async fn answered(answer: impl Into<String>) -> Result<Snapshot, String> {
    let (url, _server) = server(answer, Then::Ends).await;
    refresh_with(&source(&url), Bounds::default()).await
}

fn entries() -> Vec<Discovered> {
    discovered_json(BODY).unwrap()
}

#[track_caller]
fn assert_found(found: &Result<Snapshot, String>) {
    let found = found.as_ref().unwrap();
    assert_eq!(*found.entries, entries());
    assert_eq!(found.problems, [""; 0]);
}

#[tokio::test]
async fn responses_of_http_sd_are_accepted() {
    let chunked =
        format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let until_closed = format!("HTTP/1.0 200 OK\r\n{JSON}\r\n{BODY}");
    for answer in [
        response("200 OK", JSON, BODY),
        response("200 OK", "content-type: Application/JSON ; charset=utf-8\r\n", BODY),
        chunked,
        until_closed,
    ] {
        assert_found(&answered(answer).await);
    }
}

#[tokio::test]
async fn other_responses_are_errors() {
    for (answer, expected) in [
        (response("500 Internal Server Error", JSON, BODY), "responded with 500 Internal Server Error"),
        (response("204 No Content", "", ""), "responded with 204 No Content"),
        (
            response("200 OK", "Content-Type: text/html\r\n", "<html>"),
            "response has the Content-Type text/html; must be application/json",
        ),
        (response("200 OK", "", BODY), "response has no Content-Type; must be application/json"),
        (
            response("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", BODY),
            "response has the content encoding gzip, which was not requested",
        ),
        (
            response("302 Found", "Location: http://169.254.169.254/latest/meta-data\r\n", ""),
            "responded with 302 Found to 169.254.169.254; redirects are not followed",
        ),
        (
            response("308 Permanent Redirect", "Location: /sd/\r\n", ""),
            "responded with 308 Permanent Redirect; redirects are not followed",
        ),
    ] {
        assert_eq!(answered(answer).await, Err(expected.to_owned()));
    }
    for (answer, start) in [
        (response("200 OK", JSON, r#"[{"targets": ["a"#), "response cannot be used: "),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "request failed: "),
        (String::new(), "request failed: "),
        (format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100\r\n\r\n{BODY}"), "response is incomplete: "),
        (response("200 OK", &format!("{JSON}X: {}\r\n", "x".repeat(1_000_000)), BODY), "request failed: "),
    ] {
        let answered = answered(answer).await;
        assert!(answered.as_ref().is_err_and(|why| why.starts_with(start)), "{start} {answered:?}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = listener.local_addr().unwrap();
    let moved = answered(response("301 Moved Permanently", &format!("Location: http://{to}/\r\n"), "")).await;
    assert_eq!(moved, Err("responded with 301 Moved Permanently to 127.0.0.1; redirects are not followed".to_owned()));
    // A connection would be waiting here already.
    listener.into_std().unwrap().accept().unwrap_err();
}

#[tokio::test]
async fn a_slow_response_ends_at_the_timeout() {
    let short = Bounds { timeout: Duration::from_millis(300), ..Bounds::default() };
    let head = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 1000\r\n\r\n");
    for start in ["HTTP/1.1 200 OK\r\nX: ", &head] {
        let (url, _server) = server(start, Then::Repeats(b" ", Duration::from_secs(1))).await;
        let why = refresh_with(&source(&url), short).await.unwrap_err();
        assert_eq!(why, "no complete response within 300ms");
    }
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    assert_eq!(refresh_with(&source(&url), short).await.unwrap_err(), "no complete response within 300ms");
}

#[tokio::test]
async fn an_endless_response_ends_at_the_limit() {
    static PIECE: [u8; 65_536] = [b' '; 65_536];
    let (url, server) = server(format!("HTTP/1.1 200 OK\r\n{JSON}\r\n"), Then::Repeats(&PIECE, Duration::ZERO)).await;
    let bounds = Bounds { bytes: 1 << 20, timeout: Duration::from_mins(1) };
    assert_eq!(refresh_with(&source(&url), bounds).await.unwrap_err(), "response is larger than 1048576 bytes");
    // The server notices that the client has closed.
    server.await.unwrap();
}

#[tokio::test]
async fn an_announced_gigabyte_is_not_read() {
    let head = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 1073741824\r\n\r\n");
    assert_eq!(answered(head).await.unwrap_err(), "response is larger than 67108864 bytes");
}

#[tokio::test]
async fn a_missing_server_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/sd", listener.local_addr().unwrap());
    drop(listener);
    let why = refresh_with(&source(&url), Bounds::default()).await.unwrap_err();
    assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn requests_have_the_headers_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for token in ["Bearer first", "Bearer second"] {
        fs::write(&path, format!("{token}\r\n")).unwrap();
        let (url, server) = server(response("200 OK", JSON, BODY), Then::Ends).await;
        let headers_files = vec![("authorization".to_owned(), path.clone())];
        assert_found(&refresh_with(&HttpSource { headers_files, ..source(&url) }, Bounds::default()).await);
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /sd?of=all HTTP/1.1\r\n"), "{request}");
        let authority = url.trim_start_matches("http://").split('/').next().unwrap();
        for line in [
            &format!("host: {authority}"),
            "accept: application/json",
            concat!("user-agent: portprobe/", env!("CARGO_PKG_VERSION")),
            "x-prometheus-refresh-interval-seconds: 90",
            &format!("authorization: {token}"),
        ] {
            assert!(request.lines().any(|present| present == line), "{line}: {request}");
        }
        assert!(!request.contains("encoding"), "{request}");
    }
}

#[tokio::test]
async fn an_invalid_secret_is_not_logged() {
    let folder = tempfile::tempdir().unwrap();
    let [broken, missing] = ["broken", "missing"].map(|name| folder.path().join(name));
    fs::write(&broken, "hunter2\nhunter3").unwrap();
    for (path, expected) in [(broken, "has a byte that is not allowed in headers"), (missing, "cannot be read: ")] {
        let headers_files = vec![("authorization".to_owned(), path)];
        let source = HttpSource { headers_files, ..source("http://127.0.0.1:1/") };
        let why = refresh_with(&source, Bounds::default()).await.unwrap_err();
        assert!(why.contains("of the header authorization") && why.contains(expected), "{why}");
        assert!(!why.contains("hunter"), "{why}");
    }
}

/// A certificate authority, and a client certificate issued by it.
struct Pki {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { folder: tempfile::tempdir().unwrap(), authority };
        fs::write(pki.path("ca.pem"), pki.authority.pem()).unwrap();
        let (certificate, key) = pki.issue("client.test");
        fs::write(pki.path("client.pem"), certificate.pem()).unwrap();
        fs::write(pki.path("client.key"), key.serialize_pem()).unwrap();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let (mut params, key) = (CertificateParams::new(vec![name.to_owned()]).unwrap(), KeyPair::generate().unwrap());
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    /// Starts a server with a certificate for 127.0.0.1 that requires a client certificate of the same authority.
    async fn server(&self) -> (String, JoinHandle<Option<String>>) {
        let (certificate, key) = self.issue("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_client_cert_verifier(clients);
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://{}/sd", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
            Some(serve(stream, response("200 OK", JSON, BODY), Then::Ends).await)
        });
        (url, served)
    }

    fn source(&self, url: &str) -> HttpSource {
        let identity = Identity { cert_file: self.path("client.pem"), key_file: self.path("client.key") };
        let profile =
            TlsProfile { roots: Roots::File(self.path("ca.pem")), identity: Some(identity), ..TlsProfile::default() };
        HttpSource { tls: TlsSettings { profile: profile.into(), ..TlsSettings::default() }, ..source(url) }
    }
}

#[tokio::test]
async fn https_uses_roots_and_certificate_of_the_source() {
    let pki = Pki::new();
    let (url, server) = pki.server().await;
    assert_found(&refresh_with(&pki.source(&url), Bounds::default()).await);
    assert!(server.await.unwrap().unwrap().starts_with("GET /sd HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_faulty_certificate_prevents_the_request() {
    let pki = Pki::new();
    let other_name = |source: &mut HttpSource| {
        source.tls.server_name = Some("other.test".parse::<ServerName>().unwrap());
    };
    let other_roots = |source: &mut HttpSource| {
        let profile = TlsProfile { roots: Roots::Mozilla, ..(*source.tls.profile).clone() };
        source.tls.profile = profile.into();
    };
    for (change, class) in
        [(&other_name as &dyn Fn(&mut HttpSource), "cert_name_mismatch: "), (&other_roots, "cert_untrusted: ")]
    {
        let (url, server) = pki.server().await;
        let mut source = pki.source(&url);
        change(&mut source);
        let why = refresh_with(&source, Bounds::default()).await.unwrap_err();
        assert!(why.starts_with(class), "{why}");
        assert_eq!(server.await.unwrap().as_deref().unwrap_or_default(), "", "no request, no secret");
    }
}

#[tokio::test]
async fn a_reported_fault_is_a_problem() {
    let pki = Pki::new();
    let (url, _server) = pki.server().await;
    let mut source = pki.source(&url);
    source.tls.verify = Verify::Report;
    source.tls.server_name = Some("other.test".parse().unwrap());
    let found = refresh_with(&source, Bounds::default()).await.unwrap();
    assert_eq!(*found.entries, entries());
    assert_eq!(found.problems.len(), 1);
    assert!(found.problems[0].starts_with("cert_name_mismatch: "), "{:?}", found.problems);
}

#[tokio::test]
async fn a_missing_client_certificate_is_an_error() {
    let pki = Pki::new();
    let (url, _server) = pki.server().await;
    let mut source = pki.source(&url);
    source.tls.profile = TlsProfile { identity: None, ..(*source.tls.profile).clone() }.into();
    let why = refresh_with(&source, Bounds::default()).await.unwrap_err();
    assert!(why.contains("CertificateRequired"), "{why}");
}

#[tokio::test]
async fn unusable_tls_files_are_named() {
    let pki = Pki::new();
    let (url, _server) = pki.server().await;
    fs::remove_file(pki.path("client.key")).unwrap();
    let why = refresh_with(&pki.source(&url), Bounds::default()).await.unwrap_err();
    assert!(why.contains("client.key"), "{why}");
}
