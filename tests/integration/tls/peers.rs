//! Tests of peers that are hostile, broken, old or speak another protocol, and of steps before and within TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::NoClientAuth;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::assert_rows;
use super::rows::Row;
use crate::support::peers::{answer, listen_to_the_end, peer, reset, tls_talking};
use crate::support::pki::{Authority, Identity, Versions, leaf, named};

const HERE: &[&str] = &["127.0.0.1"];

/// Returns the record of a fatal alert of TLS 1.2.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// Starts a peer that responds to the first message of a client with these bytes.
async fn answering(name: &'static str, bytes: &'static [u8]) -> Row {
    Row::at(name, peer(move |stream| answer(stream, bytes)).await)
}

async fn alerting(name: &'static str, description: u8) -> Row {
    Row::at(name, peer(move |stream| async move { answer(stream, &alert(description)).await }).await)
}

#[tokio::test]
async fn each_failed_handshake_has_a_class() {
    let root = Authority::root("peers root");
    let endless = async |mut stream: TcpStream| while stream.write_all(&[22, 3, 3, 0, 1, 0]).await.is_ok() {};
    let warnings = async |mut stream: TcpStream| while stream.write_all(&[21, 3, 3, 0, 2, 1, 90]).await.is_ok() {};
    let half = &[22, 3, 3, 1, 0, 2, 0, 0];
    let half_then_end = move |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(half).await;
        let _ = stream.shutdown().await;
        listen_to_the_end(&mut stream).await;
    };
    let close = async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4096]).await;
    };
    let rows = [
        answering("plain-smtp", b"220 mail.example ESMTP\r\n")
            .await
            .failed("tls", "tls_protocol"),
        answering("plain-http", b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .failed("tls", "tls_protocol"),
        answering("plain-ssh", b"SSH-2.0-OpenSSH_9.2\r\n")
            .await
            .failed("tls", "tls_protocol"),
        answering("garbage", &[0xff; 512]).await.failed("tls", "tls_protocol"),
        answering("zeroes", &[0; 512]).await.failed("tls", "tls_protocol"),
        answering("half-record", half).await.failed("tls", "stalled"),
        Row::at("half-and-end", peer(half_then_end).await).failed("tls", "disconnected"),
        Row::at("silent", peer(async |mut stream| listen_to_the_end(&mut stream).await).await).failed("tls", "stalled"),
        Row::at("ends", peer(close).await).failed("tls", "disconnected"),
        Row::at("resets", peer(reset).await).failed("tls", "reset"),
        Row::at("endless", peer(endless).await).failed("tls", "tls_protocol"),
        Row::at("warnings", peer(warnings).await).failed("tls", "tls_protocol"),
        alerting("handshake-failure", 40).await.failed("tls", "tls_alert"),
        alerting("protocol-version", 70).await.failed("tls", "tls_protocol"),
        alerting("insufficient-security", 71).await.failed("tls", "tls_protocol"),
        alerting("internal-error", 80).await.failed("tls", "tls_alert"),
        alerting("unrecognized-name", 112).await.failed("tls", "tls_alert"),
        alerting("unknown-alert", 199).await.failed("tls", "tls_alert"),
    ];
    assert_rows(&rows, &[("root.pem", root.pem())]).await;
}

#[tokio::test]
async fn missing_common_versions_or_protocols_fail() {
    let root = Authority::root("versions root");
    let identity = root.issue(leaf(HERE));
    let server = |versions| identity.server_for(versions, Arc::new(NoClientAuth));
    let speaking = |protocol: &[u8]| {
        let mut config = identity.server();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    };
    let rows = [
        Row::with_server("only-old", &identity, server(Versions::Only12))
            .await
            .tls("min_version: 1.3"),
        Row::with_server("only-new", &identity, server(Versions::Only13))
            .await
            .tls("max_version: 1.2"),
    ]
    .map(|row| row.failed("tls", "tls_protocol").shows_nothing());
    let agreed = [
        Row::with_server("at-most-1.2", &identity, server(Versions::Both))
            .await
            .tls("max_version: '1.2'")
            .version("TLS 1.2"),
        Row::with_server("alpn", &identity, speaking(b"h2"))
            .await
            .tls("alpn: [h2, http/1.1]"),
        Row::with_server("other-alpn", &identity, speaking(b"h2"))
            .await
            .tls("alpn: [imap]")
            .failed("tls", "tls_alert")
            .shows_nothing(),
        Row::with_server("no-alpn", &identity, identity.server())
            .await
            .tls("alpn: [h2]"),
    ];
    let rows: Vec<_> = rows.into_iter().chain(agreed).collect();
    let (_daemon, scrape) = assert_rows(&rows, &[("root.pem", root.pem())]).await;
    assert_eq!(scrape.value("portprobe_tls_info", &[("target", "alpn"), ("alpn", "h2")]), Some(1.0));
}

#[tokio::test]
async fn no_certificate_breaks_a_scrape() {
    let root = Authority::root("shapes root");
    let many: Vec<_> = (0..150).map(|number| format!("host-{number}.example")).collect();
    let many: Vec<_> = HERE.iter().copied().chain(many.iter().map(String::as_str)).collect();
    let strange = |name: &str| leaf(HERE).with(|params| params.distinguished_name = named(name));
    let long = "x".repeat(3000);
    let mut deep = root.issue(leaf(HERE));
    for number in 0..49 {
        deep = deep.behind(Authority::root(&format!("stray {number}")).der());
    }
    let huge_names: Vec<_> = (0..4500).map(|number| format!("host-{number:05}.example")).collect();
    let huge_names: Vec<_> = HERE.iter().copied().chain(huge_names.iter().map(String::as_str)).collect();
    let huge = root.issue(leaf(&huge_names));
    assert!(huge.leaf().len() > 90_000);
    let rows = [
        Row::of("many-names", &root.issue(leaf(&many))).await,
        Row::of("strange-names", &root.issue(strange("a\0b\nc\"d\\e\u{202e}f"))).await,
        Row::of("long-name", &root.issue(strange(&long))).await,
        Row::of("chain-of-50", &deep).await,
        Row::of("huge", &huge).await.failed("tls", "cert_invalid").shows_nothing(),
    ];
    let (daemon, _) = assert_rows(&rows, &[("root.pem", root.pem())]).await;
    let metrics = daemon.get("/metrics").await.body;
    assert!(metrics.lines().all(|line| line.starts_with('#') || line.len() < 1500), "long values are cut");
    assert!(!metrics.contains("host-7.example"), "names in certificates are not label values");
    let subjects = metrics.lines().filter(|line| line.starts_with("portprobe_cert_info"));
    let subject = subjects
        .filter_map(|line| line.split_once("subject=\"")?.1.split_once("\","))
        .map(|(value, _)| value);
    assert!(subject.clone().count() >= 4 && subject.clone().all(|value| value.chars().count() <= 140), "{metrics}");
}

#[tokio::test]
async fn the_peer_reads_an_orderly_close() {
    let root = Authority::root("leaving root");
    let identity = root.issue(leaf(HERE));
    let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
    let talk = move |mut stream: tokio_rustls::server::TlsStream<TcpStream>| async move {
        // Zero is close_notify. A close without it is an error of rustls, a RST one of the kernel.
        let _ = sender.send(stream.read(&mut [0; 64]).await.map_err(|error| error.kind()));
    };
    let row = Row::at("leaving", tls_talking(identity.server(), talk).await).shows(&identity);
    assert_rows(&[row], &[("root.pem", root.pem())]).await;
    assert_eq!(read.recv().await, Some(Ok(0)));
}

#[tokio::test]
async fn steps_run_before_and_within_tls() {
    let root = Authority::root("steps root");
    let identity = root.issue(leaf(HERE));
    let expired = root.issue(leaf(HERE).days(-100..-3));
    let upgrading = |identity: &Identity, granted: &'static str| {
        let acceptor = TlsAcceptor::from(Arc::new(identity.server()));
        move |mut stream: TcpStream| async move {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
            let mut command = [0; 10];
            let _ = stream.read_exact(&mut command).await;
            let _ = stream.write_all(granted.as_bytes()).await;
            if granted.starts_with("220 ")
                && let Ok(mut stream) = acceptor.accept(stream).await
            {
                let _ = stream.write_all(b"250 within\r\n").await;
                let _ = stream.flush().await;
                listen_to_the_end(&mut stream).await;
            }
        }
    };
    let steps = r"dialogue: [{ expect: '^220 (\S+)', labels: { greeting: $1 } }, { send: 'STARTTLS\r\n' }, { expect: '^220 ' }, { starttls: true }, { expect: '^250 within$' }]";
    let upgraded = |name, address| Row::at(name, address).setting(steps);
    let silent = tls_talking(identity.server(), async |mut stream| listen_to_the_end(&mut stream).await).await;
    let speaks = |sent: &'static [u8]| {
        tls_talking(identity.server(), move |mut stream| async move {
            let _ = stream.write_all(sent).await;
            let _ = stream.flush().await;
            tokio::time::timeout(Duration::from_secs(3), listen_to_the_end(&mut stream))
                .await
                .ok();
        })
    };
    let within = "dialogue: [{ expect: '^hello$' }]";
    let rows = [
        upgraded("upgraded", peer(upgrading(&identity, "220 go\r\n")).await)
            .shows(&identity)
            .version("TLS 1.3"),
        upgraded("upgraded-expired", peer(upgrading(&expired, "220 go\r\n")).await)
            .shows(&expired)
            .faulty(&["cert_expired"]),
        upgraded("not-granted", peer(upgrading(&identity, "454 no\r\n")).await)
            .failed("starttls", "unexpected_response"),
        upgraded("injected", peer(upgrading(&identity, "220 go\r\n250 within\r\n")).await)
            .failed("starttls", "unexpected_response"),
        upgraded("mute", peer(async |mut stream| listen_to_the_end(&mut stream).await).await)
            .failed("starttls", "stalled"),
        Row::at("within", speaks(b"hello\r\n").await).setting(within).shows(&identity),
        Row::at("within-prompt", speaks(b"hello").await)
            .setting(within)
            .shows(&identity),
        Row::at("within-other", speaks(b"goodbye\r\n").await)
            .setting(within)
            .shows(&identity)
            .failed("protocol", "unexpected_response"),
        Row::at("within-silent", silent)
            .setting(within)
            .shows(&identity)
            .failed("protocol", "stalled"),
    ];
    let (_daemon, scrape) = assert_rows(&rows, &[("root.pem", root.pem())]).await;
    let greeting = [("target", "upgraded"), ("greeting", "mail.example")];
    assert_eq!(scrape.value("portprobe_dialogue_info", &greeting), Some(1.0));
    for phase in ["connect", "starttls", "tls", "protocol"] {
        let duration = [("target", "upgraded"), ("phase", phase)];
        assert!(scrape.value("portprobe_phase_duration_seconds", &duration) > Some(0.0), "{phase}");
    }
}
