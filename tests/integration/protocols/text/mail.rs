//! Tests of mail, file and messaging servers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, logged, occupy};
use crate::support::pki::Kind;
use crate::support::services::text::Tls;
use crate::support::services::text::mail::{DOVECOT, dovecot, postfix, postscreen, prosody, vsftpd};
use crate::support::wait;

#[tokio::test]
async fn dovecot_serves_every_protocol_and_tls_form() {
    let client = Client::new();
    let Some(server) = dovecot(client.tls(), "").await else { return };
    for (scheme, port) in DOVECOT.into_iter().zip(server.ports) {
        let protocol = scheme.trim_end_matches('s').trim_end_matches("+tl");
        assert_eq!(client.probe(scheme, port).await, format!("good {protocol} Dovecot"), "{scheme}");
    }
    for (scheme, port) in DOVECOT.into_iter().zip(server.ports).take(4) {
        let result = client.probe(&format!("{scheme}+starttls"), port).await;
        assert_eq!(result, format!("good {scheme} Dovecot"), "{scheme}");
    }
    let log = logged(&server.service, "lmtp").await;
    assert!(log.contains("imap-login: Info: Disconnected: Aborted login by logging out"), "{log}");
    assert!(["Warning", "Error", "Fatal"].iter().all(|level| !log.contains(level)), "{log}");
}

/// At its limit, Dovecot accepts new connections and closes the oldest one.
#[tokio::test]
async fn a_full_dovecot_rejects_its_oldest_connection() {
    let client = Client::new();
    let limited = "service imap-login {\n service_count = 0\n process_limit = 1\n client_limit = 1\n}\n";
    let Some(server) = dovecot(Tls::Off, limited).await else { return };
    let imap = server.ports[0];
    let _other = occupy(&server.service, "* OK ").await;
    assert_eq!(client.probe("imap", imap).await, "good imap Dovecot");
    // A relay that forwards nothing until the server has accepted further connections keeps the probe waiting.
    let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = line.local_addr().unwrap().port();
    let relay = async {
        let (mut probe, _) = line.accept().await.unwrap();
        let mut oldest = TcpStream::connect(server.service.address).await.unwrap();
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains("full\r\n") {
            let _newer = occupy(&server.service, "* OK ").await;
            oldest.read_buf(&mut received).await.unwrap();
        }
        probe.write_all(&received).await.unwrap();
    };
    let (result, ()) = tokio::join!(client.probe("imap", port), relay);
    assert_eq!(result, "rejected in protocol: * BYE Connection queue full");
    logged(&server.service, "imap-login: Info: Disconnected: Connection queue full").await;
}

#[tokio::test]
async fn dovecot_without_authentication_fails() {
    let client = Client::new();
    let Some(server) = dovecot(Tls::Off, "service auth {\n executable = /bin/false\n}\n").await else { return };
    let [imap, pop3, sieve, ..] = server.ports;
    // Concurrently, because Dovecot waits longer before each retry.
    tokio::join!(
        client.probe_until("imap", imap, "rejected in protocol: * BYE Auth process broken"),
        client.probe_until("pop3", pop3, "rejected in protocol: -ERR Auth process broken"),
        client.probe_until("sieve", sieve, "rejected in protocol: BYE (TRYLATER) \"Auth process broken\""),
    );
}

#[tokio::test]
async fn dovecot_without_tls_refuses_it() {
    let client = Client::new();
    let Some(server) = dovecot(Tls::Off, "").await else { return };
    for (scheme, port, expected) in [
        ("imap", server.ports[0], "the response to CAPABILITY does not offer STARTTLS"),
        ("pop3", server.ports[1], "the response to CAPA does not offer STLS"),
        ("sieve", server.ports[2], "the capabilities do not offer STARTTLS"),
        ("lmtp", server.ports[3], "the response to LHLO does not offer STARTTLS"),
    ] {
        let result = client.probe(&format!("{scheme}+starttls"), port).await;
        assert_eq!(result, format!("starttls_refused in starttls: {expected}"), "{scheme}");
    }
}

#[tokio::test]
async fn postfix_rejects_clients_above_its_limit() {
    let client = Client::new();
    let Some(server) = postfix(client.tls(), "").await else { return };
    let [smtp, smtps] = server.ports;
    for (scheme, port) in [("smtp", smtp), ("smtp+starttls", smtp), ("smtps", smtps)] {
        assert_eq!(client.probe(scheme, port).await, "good smtp Postfix", "{scheme}");
    }
    let log = logged(&server.service, "disconnect from localhost[127.0.0.1] ehlo=1 quit=1 commands=2").await;
    let mut of_smtpd = log.lines().filter(|line| line.contains("/smtpd["));
    assert!(of_smtpd.all(|line| !line.contains("warning: ") && !line.contains("error: ")), "{log}");
    let limit = "smtpd_client_connection_count_limit = 1\n";
    let Some(limited) = postfix(Tls::Off, limit).await else { return };
    let _other = occupy(&limited.service, "220 ").await;
    let result = client.probe("smtp", limited.ports[0]).await;
    assert!(result.starts_with("rejected in protocol: greeting: 421 4.7.0 "), "{result}");
    let Some(bare) = postfix(Tls::Off, "").await else { return };
    let result = client.probe("smtp+starttls", bare.ports[0]).await;
    assert_eq!(result, "starttls_refused in starttls: the response to EHLO does not offer STARTTLS");
}

#[tokio::test]
async fn postfix_that_refuses_the_name_of_a_client_serves() {
    let client = Client::new();
    let refuses = "smtpd_delay_reject = no\nsmtpd_helo_restrictions = reject\n";
    let Some(server) = postfix(client.tls(), refuses).await else { return };
    let [smtp, smtps] = server.ports;
    for (scheme, port) in [("smtp", smtp), ("smtp+starttls", smtp), ("smtps", smtps)] {
        assert_eq!(client.probe(scheme, port).await, "good smtp Postfix", "{scheme}");
    }
    logged(&server.service, "554 5.7.1 <[127.0.0.1]>: Helo command rejected: Access denied").await;
    let picky = "smtpd_delay_reject = no\nsmtpd_helo_restrictions = reject_invalid_helo_hostname, \
                 reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname\n";
    let Some(server) = postfix(Tls::Off, picky).await else { return };
    assert_eq!(client.probe("smtp", server.ports[0]).await, "good smtp Postfix");
    let log = logged(&server.service, "disconnect from localhost[127.0.0.1] ehlo=1 quit=1 commands=2").await;
    assert!(!log.contains("rejected"), "{log}");
}

/// postscreen sends the first line of a greeting, waits whether the client speaks too early, and then sends the rest.
#[tokio::test]
async fn postscreen_is_awaited() {
    let client = Client::new();
    let enforces = "postscreen_greet_action = enforce\npostscreen_greet_wait = 2s\n";
    let Some(server) = postscreen(enforces).await else { return };
    assert_eq!(client.probe("smtp", server.ports[0]).await, "good smtp Postfix");
    let log = logged(&server.service, "ehlo=1 quit=1 commands=2").await;
    assert!(log.contains("PASS NEW [127.0.0.1]") && !log.contains("PREGREET"), "{log}");
    let drops = "postscreen_access_list = static:reject\npostscreen_blacklist_action = drop\n";
    let Some(server) = postscreen(drops).await else { return };
    let result = client.probe("smtp", server.ports[0]).await;
    assert_eq!(result, "rejected in protocol: greeting: 521 5.3.2 Service currently unavailable");
}

#[tokio::test]
async fn vsftpd_rejects_clients_above_its_limit() {
    let client = Client::of(Kind::Rsa);
    let Some(server) = vsftpd(client.tls(), "").await else { return };
    let port = server.address.port();
    for scheme in ["ftp", "ftp+starttls"] {
        assert_eq!(client.probe(scheme, port).await, "good ftp vsFTPd 3.0.3", "{scheme}");
    }
    logged(&server, "CONNECT: Client \"127.0.0.1\"").await;
    let Some(limited) = vsftpd(Tls::Off, "max_clients=1\n").await else { return };
    let _other = occupy(&limited, "220 ").await;
    let result = client.probe("ftp", limited.address.port()).await;
    assert_eq!(result, "rejected in protocol: greeting: 421 There are too many connected users, please try later.");
    let Some(wrapped) = vsftpd(client.tls(), "implicit_ssl=YES\n").await else { return };
    assert_eq!(client.probe("ftps", wrapped.address.port()).await, "good ftp vsFTPd 3.0.3");
    let Some(bare) = vsftpd(Tls::Off, "").await else { return };
    let result = client.probe("ftp+starttls", bare.address.port()).await;
    assert!(result.starts_with("starttls_refused in starttls: AUTH TLS: "), "{result}");
}

#[tokio::test]
async fn prosody_serves_known_and_unknown_domains() {
    let client = Client::new();
    let Some(server) = prosody(client.tls()).await else { return };
    let [plain, secured] = server.ports;
    for (scheme, port) in [("xmpp", plain), ("xmpp+starttls", plain), ("xmpp+tls", secured)] {
        assert_eq!(client.probe_path(scheme, port, "/localhost").await, "good xmpp", "{scheme}");
    }
    assert_eq!(client.probe("xmpp", plain).await, "good xmpp");
    let result = client.probe("xmpp+starttls", plain).await;
    assert!(result.starts_with("starttls_refused in starttls: "), "{result}");
    // Prosody may delay its log until it has more to write.
    wait::until_patiently("the end of a probe is logged", async || {
        client.probe_path("xmpp", plain, "/localhost").await;
        server.service.read("log").contains("Client disconnected: closed")
    })
    .await;
    let log = server.service.read("log");
    assert!([" warn\t", " error\t"].iter().all(|level| !log.contains(level)), "{log}");
    let Some(bare) = prosody(Tls::Off).await else { return };
    let result = client.probe_path("xmpp+starttls", bare.ports[0], "/localhost").await;
    assert_eq!(result, "starttls_refused in starttls: the features do not offer starttls");
}
