//! TLS handshakes and certificates of clients.

use std::fs;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{TLS, daemon, folder};
use crate::support::daemon::portprobe;
use crate::support::https::Client;
use crate::support::pki::{Authority, leaf};
use crate::support::{http, wait};

pub(super) const REQUIRED: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
                        client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";

#[tokio::test]
async fn tls_serves_every_path() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, TLS)).await;
    let client = Client::trusting(&root);
    for path in ["/metrics", "/-/healthy", "/", "/config"] {
        assert_eq!(client.status(daemon.address, path).await, Some(200), "{path}");
    }
    let other = Client::trusting(&Authority::root("another root"));
    assert_eq!(other.status(daemon.address, "/metrics").await, None);
}

#[tokio::test]
async fn plain_http_gets_an_explanation() {
    let daemon = daemon(folder(&Authority::root("web root"), TLS)).await;
    let response = http::request(daemon.address, "GET", "/metrics").await;
    assert_eq!((response.status, &*response.body), (400, "This port needs TLS; use https://.\n"));
}

#[tokio::test]
async fn unfinished_handshakes_delay_no_scrape() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, TLS)).await;
    let client = Client::trusting(&root);
    let before = client
        .scrape(daemon.address)
        .await
        .of("tcp://127.0.0.1:1", "portprobe_probes_total");
    // The beginning of a ClientHello, or nothing.
    let mut unfinished = Vec::new();
    for number in 0..1500 {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00").await.unwrap();
        }
        unfinished.push(stream);
        if number % 100 == 0 {
            assert_eq!(client.status(daemon.address, "/metrics").await, Some(200));
        }
    }
    let few = |open: f64| open < 40.0;
    wait::until_patiently("they are closed, and probes go on", async || {
        let scrape = client.scrape(daemon.address).await;
        scrape.value("process_open_fds", &[]).is_some_and(few)
            && scrape.of("tcp://127.0.0.1:1", "portprobe_probes_total") > before
    })
    .await;
    for mut stream in unfinished {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn only_verified_clients_get_a_response() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, REQUIRED)).await;
    let verified = Client::with_certificate(&root, &root.issue(leaf(&["prometheus.example"]).for_clients()));
    assert_eq!(verified.status(daemon.address, "/metrics").await, Some(200));
    let of_another = Authority::root("another root").issue(leaf(&["prometheus.example"]).for_clients());
    let expired = root.issue(leaf(&["prometheus.example"]).for_clients().days(-90..-1));
    let of_server = root.issue(leaf(&["prometheus.example"]));
    for identity in [of_another, expired, of_server] {
        let client = Client::with_certificate(&root, &identity);
        assert_eq!(client.status(daemon.address, "/metrics").await, None);
    }
    assert_eq!(Client::trusting(&root).status(daemon.address, "/metrics").await, None);
}

/// openssl makes self-signed certificates that are authorities, too.
#[tokio::test]
async fn a_self_signed_client_can_be_its_own_authority() {
    let root = Authority::root("web root");
    let folder = folder(&root, REQUIRED);
    let identity = leaf(&["prometheus.example"])
        .with(|params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
        .self_signed();
    fs::write(folder.path().join("ca.crt"), identity.pem()).unwrap();
    let daemon = daemon(folder).await;
    assert_eq!(
        Client::with_certificate(&root, &identity)
            .status(daemon.address, "/metrics")
            .await,
        Some(200)
    );
}

#[tokio::test]
async fn clients_are_selected_by_name() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, &format!("{REQUIRED}  client_allowed_sans: [a.example, 192.0.2.1]\n"))).await;
    for (name, status) in [("a.example", Some(200)), ("192.0.2.1", Some(200)), ("b.a.example", None)] {
        let client = Client::with_certificate(&root, &root.issue(leaf(&[name]).for_clients()));
        assert_eq!(client.status(daemon.address, "/metrics").await, status, "{name}");
    }
}

#[tokio::test]
async fn excluded_paths_need_no_certificate() {
    let root = Authority::root("web root");
    let daemon = daemon(folder(&root, &format!("{REQUIRED}auth_excluded_paths: [/-/healthy]\n"))).await;
    let nobody = Client::trusting(&root);
    for (path, status) in [("/-/healthy", 200), ("/metrics", 401), ("/-/ready", 401), ("/-/healthy/", 401)] {
        assert_eq!(nobody.status(daemon.address, path).await, Some(status), "{path}");
    }
    let somebody = Client::with_certificate(&root, &root.issue(leaf(&["prometheus.example"]).for_clients()));
    assert_eq!(somebody.status(daemon.address, "/metrics").await, Some(200));
    let of_another = Authority::root("another root").issue(leaf(&["prometheus.example"]).for_clients());
    let other = Client::with_certificate(&root, &of_another);
    assert_eq!(other.status(daemon.address, "/-/healthy").await, None, "a wrong certificate is refused");
}

#[tokio::test]
async fn versions_suites_and_groups_are_honoured() {
    let root = Authority::root("web root");
    let settings = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  max_version: TLS12\n  \
                    cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n  curve_preferences: [CurveP384]\n";
    let daemon = daemon(folder(&root, settings)).await;
    let client = Client::trusting(&root);
    let session = client.session(daemon.address).await.unwrap();
    assert_eq!(session, ["TLSv1_2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "secp384r1"]);
    fs::write(daemon.folder().join("web.yml"), format!("{TLS_BLOCK}  min_version: TLS13\n")).unwrap();
    wait::until_patiently("TLS 1.3 is used", async || {
        client
            .session(daemon.address)
            .await
            .is_some_and(|[version, ..]| version == "TLSv1_3")
    })
    .await;
    let [_, _, group] = client.session(daemon.address).await.unwrap();
    assert_eq!(group, "X25519MLKEM768");
}

const TLS_BLOCK: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

#[tokio::test]
async fn the_demo_has_tls_too() {
    let root = Authority::root("web root");
    let folder = folder(&root, TLS);
    let mut command = portprobe();
    command.args(["demo", "--log.level=info", "--web.listen-address=127.0.0.1:0", "--web.config.file"]);
    command.arg(folder.path().join("web.yml"));
    let daemon = crate::support::daemon::Daemon::listening(command, folder).await;
    assert_eq!(Client::trusting(&root).status(daemon.address, "/metrics").await, Some(200));
}
