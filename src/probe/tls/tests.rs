use std::net::Ipv4Addr;

use rcgen::{CertificateParams, CustomExtension};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::outcome::{Class, Session};
use crate::probe::testing::{Authority, DAY, Issued, Trusting, trusting, valid};
use crate::protocol::Wrapping;
use crate::target::TlsProfile;

static ONLY_1_2: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// A TLS server for tests.
struct Server {
    issued: Issued,
    versions: &'static [&'static SupportedProtocolVersion],
    /// The authority whose client certificates are required.
    clients: Option<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
    tickets: usize,
    /// The first data that it sends.
    greeting: &'static [u8],
    /// The wrapping of its handshake.
    wrapping: Wrapping,
}

impl Server {
    fn of(issued: Issued) -> Self {
        let versions = rustls::ALL_VERSIONS;
        let wrapping = Wrapping::None;
        Self { issued, versions, clients: None, alpn: Vec::new(), tickets: 2, greeting: b"", wrapping }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.versions)
            .unwrap();
        let clients: Arc<dyn ClientCertVerifier> = match &self.clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).unwrap();
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .unwrap()
            }
        };
        let resolver = Arc::new(Always(self.issued.certified()));
        let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&self.alpn);
        config.send_tls13_tickets = self.tickets;
        config
    }

    /// Serves one connection on a new port, then waits for its end.
    async fn start(self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(self.config()));
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // If the handshake fails, the alert is already sent.
            let Ok(mut stream) = acceptor.accept(TlsTransport::new(stream, self.wrapping)).await else { return };
            stream.get_mut().0.unwrap_records();
            if !self.greeting.is_empty() {
                stream.write_all(self.greeting).await.unwrap();
                stream.flush().await.unwrap();
            }
            let _ = stream.read(&mut [0; 64]).await;
        });
        port
    }
}

/// A resolver that presents the same certificate to every client.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Serves one connection: waits for the first bytes of the client, sends `bytes`, then acts as in `after`.
async fn raw(bytes: &'static [u8], after: After) -> u16 {
    raw_with(bytes, after, None).await
}

/// The same with a maximum length of the client's segments.
async fn raw_with(bytes: &'static [u8], after: After, segment: Option<u32>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    if let Some(segment) = segment {
        socket2::SockRef::from(&listener).set_tcp_mss(segment).unwrap();
    }
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
        let _ = stream.write_all(bytes).await;
        match after {
            After::End => stream.shutdown().await.unwrap(),
            After::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            After::Silence => while stream.read(&mut hello).await.is_ok_and(|length| length > 0) {},
            After::Repetition => while stream.write_all(bytes).await.is_ok() {},
        }
        if !matches!(after, After::Reset) {
            let _ = stream.read(&mut hello).await;
        }
    });
    port
}

#[derive(Clone, Copy)]
enum After {
    End,
    Repetition,
    Reset,
    Silence,
}

async fn handshake_with(port: u16, trusting: Trusting) -> Handshake {
    handshake_within(port, trusting, TlsSettings::default(), Duration::from_secs(20)).await
}

async fn handshake_within(port: u16, trusting: Trusting, settings: TlsSettings, time: Duration) -> Handshake {
    handshake_on(connect(port, Wrapping::None).await, trusting, settings, time).await
}

async fn handshake_on(transport: TlsTransport, trusting: Trusting, settings: TlsSettings, time: Duration) -> Handshake {
    let client = Client { context: Arc::new(trusting.context()), verifier: Arc::default() };
    let host = Host::Name("host.example".parse().unwrap());
    handshake(transport, &settings, &host, &client, Instant::now() + time).await
}

async fn connect(port: u16, wrapping: Wrapping) -> TlsTransport {
    TlsTransport::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap(), wrapping)
}

fn failure(handshake: &Handshake) -> (Class, &str) {
    match &handshake.result {
        Ok(_) => panic!("the handshake was completed"),
        Err((fault, _)) => failure_of(fault),
    }
}

fn failure_of(fault: &Fault) -> (Class, &str) {
    match fault {
        Fault::Failure(Failure { phase: Phase::Tls, class, detail }) => (*class, detail),
        other => panic!("{other:?}"),
    }
}

fn fault_classes(facts: &TlsFacts) -> Vec<Class> {
    facts.peer.as_ref().unwrap().faults.iter().map(|fault| fault.class).collect()
}

fn nothing(_: &mut CertificateParams) {}

fn good(root: &Authority) -> Issued {
    root.leaf(&["host.example"], nothing)
}

#[tokio::test]
async fn a_session_has_the_names_of_the_registry() {
    let root = Authority::root("Root");
    for (versions, expected) in [
        (ONLY_1_2, ("TLS 1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "X25519")),
        (ONLY_1_3, ("TLS 1.3", "TLS_AES_256_GCM_SHA384", "X25519MLKEM768")),
    ] {
        let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server = Server { versions, alpn: vec![b"http/1.1".to_vec()], ..Server::of(good(&root)) };
        let mut handshake = handshake_with(server.start().await, Trusting { alpn, ..trusting(&[&root.der]) }).await;
        let (version, cipher, key_exchange) = expected;
        let session = Session { version, cipher, key_exchange, alpn: Some("http/1.1".into()) };
        assert_eq!(handshake.facts.session, Some(session));
        assert_eq!(fault_classes(&handshake.facts), []);
        assert!(handshake.duration > Duration::ZERO);
        // The server requested no client certificate, so nothing is expected.
        let settled = handshake
            .result
            .as_mut()
            .unwrap()
            .settle(Instant::now() + Duration::from_hours(1))
            .await;
        assert_eq!(settled, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_faulty_certificate_keeps_its_session() {
    let root = Authority::root("Root");
    for versions in [ONLY_1_2, ONLY_1_3] {
        let expired = root.leaf(&["other.example"], |params| valid(params, -9 * DAY, -DAY));
        let server = Server { versions, ..Server::of(expired) };
        let handshake = handshake_with(server.start().await, trusting(&[])).await;
        assert!(handshake.result.is_ok() && handshake.facts.session.is_some());
        let expected = [Class::CertExpired, Class::CertUntrusted, Class::CertNameMismatch];
        assert_eq!(fault_classes(&handshake.facts), expected);
    }
}

#[tokio::test]
async fn a_missing_client_certificate_is_an_alert() {
    let root = Authority::root("Root");
    let server = |versions| Server { versions, clients: Some(root.der.clone()), ..Server::of(good(&root)) };

    let handshake = handshake_with(server(ONLY_1_2).start().await, trusting(&[&root.der])).await;
    let (class, detail) = failure(&handshake);
    assert_eq!(class, Class::TlsAlert);
    assert!(detail.ends_with("it requires a client certificate, but none is configured; set tls.cert_file"));
    assert_eq!(fault_classes(&handshake.facts), []);

    let handshake = handshake_with(server(ONLY_1_3).start().await, trusting(&[&root.der])).await;
    assert_eq!(fault_classes(&handshake.facts), []);
    assert!(handshake.facts.session.is_some());
    let refused = handshake
        .result
        .unwrap()
        .settle(Instant::now() + Duration::from_secs(20))
        .await
        .unwrap_err();
    let expected = "the server sent the alert certificate_required: it requires a client certificate, but none is \
                    configured; set tls.cert_file";
    assert_eq!(failure_of(&refused), (Class::TlsAlert, expected));
}

#[tokio::test]
async fn a_client_certificate_is_accepted_or_rejected() {
    let root = Authority::root("Root");
    let stranger = Authority::root("Stranger");
    for versions in [ONLY_1_2, ONLY_1_3] {
        for (tickets, greeting) in [(2, &b""[..]), (0, b"hello"), (1, b"hello"), (300, b"hello")] {
            let clients = Some(root.der.clone());
            let server = Server { versions, clients, tickets, greeting, ..Server::of(good(&root)) };
            let identity = Some(root.leaf(&["me"], nothing).certified());
            let port = server.start().await;
            let mut handshake = handshake_with(port, Trusting { identity, ..trusting(&[&root.der]) }).await;
            let secured = handshake.result.as_mut().unwrap();
            let received = secured.settle(Instant::now() + Duration::from_secs(20)).await.unwrap();
            // Data that was read while waiting is not lost.
            let mut rest = vec![0; greeting.len() - received.len()];
            secured.stream.read_exact(&mut rest).await.unwrap();
            assert_eq!([received, rest].concat(), greeting);
        }
        let server = Server { versions, clients: Some(root.der.clone()), ..Server::of(good(&root)) };
        let identity = Some(stranger.leaf(&["me"], nothing).certified());
        let port = server.start().await;
        let handshake = handshake_with(port, Trusting { identity, ..trusting(&[&root.der]) }).await;
        let refused = match handshake.result {
            Err((refused, _)) => refused,
            Ok(mut secured) => secured.settle(Instant::now() + Duration::from_secs(20)).await.unwrap_err(),
        };
        let (class, detail) = failure_of(&refused);
        assert_eq!(class, Class::TlsAlert);
        assert!(detail.ends_with("it does not accept the client certificate in tls.cert_file"), "{detail}");
    }
}

#[tokio::test]
async fn a_silent_server_accepts_the_client_certificate() {
    let root = Authority::root("Root");
    let server = Server { versions: ONLY_1_3, clients: Some(root.der.clone()), tickets: 0, ..Server::of(good(&root)) };
    let identity = Some(root.leaf(&["me"], nothing).certified());
    let port = server.start().await;
    let handshake = handshake_with(port, Trusting { identity, ..trusting(&[&root.der]) }).await;
    assert_eq!(handshake.result.unwrap().settle(Instant::now()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn waiting_leaves_time_for_the_application() {
    let root = Authority::root("Root");
    let server = Server { versions: ONLY_1_3, clients: Some(root.der.clone()), tickets: 0, ..Server::of(good(&root)) };
    let identity = Some(root.leaf(&["me"], nothing).certified());
    let port = server.start().await;
    let handshake = handshake_with(port, Trusting { identity, ..trusting(&[&root.der]) }).await;
    tokio::time::pause();
    let deadline = Instant::now() + Duration::from_millis(400);
    assert_eq!(handshake.result.unwrap().settle(deadline).await, Ok(Vec::new()));
    assert!(Instant::now() < deadline);
}

#[tokio::test]
async fn a_server_that_disconnects_rejects_the_client_certificate() {
    let root = Authority::root("Root");
    for (after, class) in [(After::End, Class::Disconnected), (After::Reset, Class::Reset)] {
        let clients = Some(root.der.clone());
        let server = Server { versions: ONLY_1_3, clients, tickets: 0, ..Server::of(good(&root)) };
        let acceptor = TlsAcceptor::from(Arc::new(server.config()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            match after {
                After::Reset => {
                    let stream = stream.into_inner().0;
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
                _ => stream.shutdown().await.unwrap(),
            }
        });
        let identity = Some(root.leaf(&["me"], nothing).certified());
        let handshake = handshake_with(port, Trusting { identity, ..trusting(&[&root.der]) }).await;
        let hung_up = handshake
            .result
            .unwrap()
            .settle(Instant::now() + Duration::from_secs(20))
            .await
            .unwrap_err();
        assert_eq!(failure_of(&hung_up).0, class, "{hung_up:?}");
    }
}

#[tokio::test]
async fn every_early_end_has_a_class() {
    const ALERT: [&[u8]; 6] = [
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x15\x03\x03\x00\x02\x02\x47",
        b"\x15\x03\x03\x00\x02\x02\x70",
        b"\x15\x03\x03\x00\x02\x02\xc8",
        b"\x15\x03\x03\x00\x02\x02\x00",
    ];
    let old = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\xc0\x13\x00";
    for (bytes, after, class, part) in [
        (ALERT[0], After::End, Class::TlsAlert, "alert handshake_failure: there is no common cipher"),
        (ALERT[1], After::End, Class::TlsProtocol, "alert protocol_version: it supports no TLS version"),
        (ALERT[2], After::End, Class::TlsProtocol, "alert insufficient_security"),
        (ALERT[3], After::End, Class::TlsAlert, "alert unrecognized_name: it has no certificate"),
        (ALERT[4], After::End, Class::TlsAlert, "alert number 200"),
        (ALERT[5], After::End, Class::Disconnected, "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", After::Silence, Class::TlsProtocol, "the response is not TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", After::End, Class::TlsProtocol, "the response is not TLS"),
        (b"220 mail ESMTP\r\n", After::Silence, Class::TlsProtocol, "the response is not TLS"),
        (&old[..], After::Silence, Class::TlsProtocol, "supports only TLS 1.1 or older"),
        (b"", After::End, Class::Disconnected, "closed the connection"),
        (b"", After::Reset, Class::Reset, "a RST ended the connection"),
        (b"\x16\x03\x03\x00", After::End, Class::Disconnected, "closed the connection"),
        (b"\x16\x03\x03\x00\x05\x02\x01\x00\x00\x00", After::End, Class::CertInvalid, "longer than 64 KiB"),
    ] {
        let handshake = handshake_with(raw(bytes, after).await, trusting(&[])).await;
        let (failed, detail) = failure(&handshake);
        assert_eq!(failed, class, "{bytes:?}: {detail}");
        assert!(detail.contains(part), "{bytes:?}: {detail}");
        assert_eq!(handshake.facts, TlsFacts { session: None, peer: None });
    }
}

#[tokio::test]
async fn an_unanswered_large_hello_is_mentioned() {
    let root = Authority::root("Root");
    let small = TlsProfile {
        key_exchange: KeyExchange::try_new(vec![KeyExchangeGroup::X25519]).unwrap(),
        ..TlsProfile::default()
    };
    for (bytes, after, class) in [
        (&b""[..], After::End, Class::Disconnected),
        (b"", After::Reset, Class::Reset),
        (b"", After::Silence, Class::Stalled),
        (b"\x16\x03\x03\x00", After::End, Class::Disconnected),
    ] {
        let settings = |profile| TlsSettings { profile: Arc::new(profile), ..TlsSettings::default() };
        let attempt = async |segment, settings| {
            let time =
                if matches!(after, After::Silence) { Duration::from_millis(50) } else { Duration::from_secs(20) };
            let port = raw_with(bytes, after, segment).await;
            let handshake = handshake_within(port, trusting(&[&root.der]), settings, time).await;
            let (failed, detail) = failure(&handshake);
            assert_eq!(failed, class, "{detail}");
            detail.to_owned()
        };
        let detail = attempt(Some(600), settings(TlsProfile::default())).await;
        let is_mentioned = detail.contains(" bytes) does not fit one segment (")
            && detail.ends_with("to rule that out, set tls.key_exchange: [x25519, secp256r1, secp384r1]");
        assert_eq!(is_mentioned, bytes.is_empty(), "{detail}");
        for detail in
            [attempt(None, settings(TlsProfile::default())).await, attempt(Some(600), settings(small.clone())).await]
        {
            assert!(!detail.contains("tls.key_exchange"), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_handshake_ends_at_the_deadline() {
    // Silence, incomplete records, and a warning.
    for (bytes, after) in [
        (&b""[..], After::Silence),
        (b"\x16\x03\x03\x40\x00\x02", After::Silence),
        (b"\x16", After::Silence),
        (b"\x15\x03\x03\x00\x02\x01\x5a", After::Silence),
    ] {
        let port = raw(bytes, after).await;
        let time = Duration::from_millis(50);
        let handshake = handshake_within(port, trusting(&[]), TlsSettings::default(), time).await;
        let (class, detail) = failure(&handshake);
        assert_eq!(class, Class::Stalled, "{bytes:?}: {detail}");
        let begins = match bytes.len() {
            0 => "the peer is connected but silent; expected the end of the TLS handshake".to_owned(),
            length => format!("received {length} bytes until the timeout; expected the end of the TLS handshake"),
        };
        assert!(detail.starts_with(&begins), "{detail}");
    }
    for bytes in [
        &b"\x15\x03\x03\x00\x02\x01\x5a"[..],
        b"\x14\x03\x03\x00\x01\x01",
        b"\x16\x03\x03\x00\x00",
        b"\x17\x03\x03\x00\x00",
        b"\x16\x03\x03\x40\x00\x02\x00\xff\xff",
    ] {
        let port = raw(bytes, After::Repetition).await;
        let handshake = handshake_with(port, trusting(&[])).await;
        let (class, detail) = failure(&handshake);
        assert!([Class::TlsProtocol, Class::CertInvalid].contains(&class), "{bytes:?}: {class:?} {detail}");
    }
}

#[tokio::test]
async fn a_hung_peer_reads_an_orderly_close() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"\x16\x03\x03\x40\x00\x02").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.is_ok()
    });
    let handshake = handshake_within(port, trusting(&[]), TlsSettings::default(), Duration::from_millis(50)).await;
    let (_, stream) = handshake.result.unwrap_err();
    drop(stream);
    assert!(peer.await.unwrap());
}

#[tokio::test]
async fn too_large_certificates_are_invalid() {
    let root = Authority::root("Root");
    let huge = root.leaf(&["host.example"], |params| {
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 2, 3], vec![0; 100_000]));
    });
    for versions in [ONLY_1_2, ONLY_1_3] {
        let key = rcgen::KeyPair::try_from(huge.key.serialized_der()).unwrap();
        let issued = Issued { chain: huge.chain.clone(), key };
        let handshake =
            handshake_with(Server { versions, ..Server::of(issued) }.start().await, trusting(&[&root.der])).await;
        let (class, detail) = failure(&handshake);
        assert_eq!(class, Class::CertInvalid, "{detail}");
    }
}

#[tokio::test]
async fn a_server_without_the_key_is_invalid() {
    let root = Authority::root("Root");
    for versions in [ONLY_1_2, ONLY_1_3] {
        let stolen = Issued { chain: good(&root).chain, key: rcgen::KeyPair::generate().unwrap() };
        let server = Server { versions, ..Server::of(stolen) };
        let handshake = handshake_with(server.start().await, trusting(&[&root.der])).await;
        let (class, detail) = failure(&handshake);
        assert_eq!(class, Class::CertInvalid, "{detail}");
        assert!(
            detail.starts_with("the server's signature does not match its certificate: it has another key"),
            "{detail}"
        );
        assert_eq!(fault_classes(&handshake.facts), [Class::CertInvalid]);
    }
}

#[tokio::test]
async fn an_unusable_certificate_does_not_end_the_handshake() {
    let root = Authority::root("Root");
    for versions in [ONLY_1_2, ONLY_1_3] {
        let odd = |params: &mut CertificateParams| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        };
        let issued = root.leaf(&["host.example"], odd);
        let stolen = Issued { chain: issued.chain.clone(), key: rcgen::KeyPair::generate().unwrap() };
        let handshake =
            handshake_with(Server { versions, ..Server::of(issued) }.start().await, trusting(&[&root.der])).await;
        assert!(handshake.facts.session.is_some());
        assert_eq!(fault_classes(&handshake.facts), [Class::CertInvalid]);

        let handshake =
            handshake_with(Server { versions, ..Server::of(stolen) }.start().await, trusting(&[&root.der])).await;
        assert_eq!(failure(&handshake).0, Class::CertInvalid);
        assert_eq!(fault_classes(&handshake.facts), [Class::CertInvalid]);
    }
}

#[tokio::test]
async fn missing_common_protocols_or_versions_are_reported() {
    let root = Authority::root("Root");
    let server = Server { alpn: vec![b"h2".to_vec()], ..Server::of(good(&root)) };
    let alpn = vec![b"http/1.1".to_vec()];
    let handshake = handshake_with(server.start().await, Trusting { alpn, ..trusting(&[&root.der]) }).await;
    let (refused, detail) = failure(&handshake);
    assert_eq!(refused, Class::TlsAlert);
    assert!(detail.contains("no_application_protocol"), "{detail}");

    for (server, client) in [(ONLY_1_2, ONLY_1_3), (ONLY_1_3, ONLY_1_2)] {
        let server = Server { versions: server, ..Server::of(good(&root)) };
        let handshake =
            handshake_with(server.start().await, Trusting { versions: client, ..trusting(&[&root.der]) }).await;
        let (class, detail) = failure(&handshake);
        assert_eq!(class, Class::TlsProtocol, "{detail}");
    }
}

#[tokio::test]
async fn a_configured_name_is_verified() {
    let root = Authority::root("Root");
    let port = Server::of(root.leaf(&["other.example"], nothing)).start().await;
    let settings = TlsSettings { server_name: "other.example".parse().ok(), ..TlsSettings::default() };
    let handshake = handshake_within(port, trusting(&[&root.der]), settings, Duration::from_secs(20)).await;
    assert_eq!(fault_classes(&handshake.facts), []);
}

#[tokio::test]
async fn an_invalid_host_name_is_a_local_fault() {
    let port = raw(b"", After::Silence).await;
    let stream = connect(port, Wrapping::None).await;
    let client = Client { context: Arc::new(trusting(&[]).context()), verifier: Arc::default() };
    let host = Host::Name("-a.example".parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let handshake = handshake(stream, &TlsSettings::default(), &host, &client, deadline).await;
    let expected =
        Fault::local(LocalFaultReason::Invalid, "no certificate can be valid for `-a.example`; set tls.server_name");
    assert_eq!(handshake.result.unwrap_err().0, expected);
}

#[tokio::test]
async fn a_handshake_can_be_wrapped_in_tds() {
    let root = Authority::root("Root");
    let time = Duration::from_secs(20);
    for versions in [ONLY_1_2, ONLY_1_3] {
        let server = Server { versions, wrapping: Wrapping::Tds, greeting: b"bare", ..Server::of(good(&root)) };
        let transport = connect(server.start().await, Wrapping::Tds).await;
        let handshake = handshake_on(transport, trusting(&[&root.der]), TlsSettings::default(), time).await;
        assert_eq!(fault_classes(&handshake.facts), []);
        let mut received = [0; 4];
        handshake.result.unwrap().stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"bare");
    }
}

#[tokio::test]
async fn a_wrapped_handshake_fails_like_others() {
    let root = Authority::root("Root");
    for (said, after, expected) in [
        (&b""[..], After::Silence, Class::Stalled),
        (b"\x12\x01\x00", After::Silence, Class::Stalled),
        (b"", After::End, Class::Disconnected),
        (b"\x12\x01\x00\x02\0\0\0\0", After::Silence, Class::TlsProtocol),
        (b"\x12\x01\x00\x0e\0\0\0\0SSH-2.", After::Silence, Class::TlsProtocol),
        (b"HTTP/1.1 400", After::Silence, Class::TlsProtocol),
    ] {
        let transport = connect(raw(said, after).await, Wrapping::Tds).await;
        let time = Duration::from_millis(300);
        let handshake = handshake_on(transport, trusting(&[&root.der]), TlsSettings::default(), time).await;
        assert_eq!(failure(&handshake).0, expected, "{}", said.escape_ascii());
    }
}
