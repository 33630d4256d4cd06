//! Tests of certificates with every fault, single and in pairs.

use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, GeneralSubtree, IsCa, NameConstraints, SerialNumber};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};

use super::assert_rows;
use super::rows::Row;
use crate::support::pki::{Authority, Kind, Versions, leaf, valid};

const HERE: &[&str] = &["127.0.0.1"];
const ELSEWHERE: &[&str] = &["other.example"];

fn pin(der: &[u8]) -> String {
    let digits: Vec<_> = digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[tokio::test]
async fn keys_and_versions_do_not_matter() {
    let root = Authority::root("keys root");
    let mut rows = Vec::new();
    let identities =
        [["p256-1.2", "p256-1.3"], ["p384-1.2", "p384-1.3"], ["ed25519-1.2", "ed25519-1.3"], ["rsa-1.2", "rsa-1.3"]];
    let kinds = [None, Some(Kind::EcdsaP384), Some(Kind::Ed25519), Some(Kind::Rsa)];
    for ([name_12, name_13], kind) in identities.into_iter().zip(kinds) {
        let new = leaf(HERE);
        let identity = root.issue(match kind {
            None => new,
            Some(kind) => new.key(kind),
        });
        let server = |versions| identity.server_for(versions, Arc::new(NoClientAuth));
        rows.push(
            Row::with_server(name_12, &identity, server(Versions::Only12))
                .await
                .version("TLS 1.2"),
        );
        rows.push(
            Row::with_server(name_13, &identity, server(Versions::Only13))
                .await
                .version("TLS 1.3"),
        );
    }
    let (_daemon, scrape) = assert_rows(&rows, &[("root.pem", root.pem())]).await;
    let session = [("target", "p256-1.3"), ("cipher", "TLS_AES_256_GCM_SHA384"), ("key_exchange", "X25519MLKEM768")];
    assert_eq!(scrape.value("portprobe_tls_info", &session), Some(1.0));
    let certificate = [("target", "rsa-1.2"), ("key", "RSA 2048"), ("issuer", "CN=keys root")];
    assert_eq!(scrape.value("portprobe_cert_info", &certificate), Some(1.0));
    let handshakes = [("target", "ed25519-1.3"), ("phase", "tls")];
    assert!(scrape.value("portprobe_handshake_duration_seconds_count", &handshakes) >= Some(1.0));
    assert!(scrape.value("portprobe_phase_duration_seconds", &handshakes) > Some(0.0));
    assert_eq!(scrape.of("rsa-1.3", "portprobe_cert_changes_total"), Some(0.0));
}

#[tokio::test]
async fn each_single_fault_has_its_class() {
    let root = Authority::root("faults root");
    let intermediate = root.intermediate("faults intermediate");
    let other = Authority::root("unknown root");
    let expired = root.issue(leaf(HERE).days(-100..-3));
    let early = root.issue(leaf(HERE).days(3..100));
    let wrong = root.issue(leaf(ELSEWHERE));
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let old = root.intermediate_with("old intermediate", |params| valid(params, -100..-3));
    let twin = Authority::root("faults root");
    let good = root.issue(leaf(HERE));
    let server_12 = expired.server_for(Versions::Only12, Arc::new(NoClientAuth));
    let rows = [
        Row::of("expired", &expired).await.faulty(&["cert_expired"]).version("TLS 1.3"),
        Row::with_server("expired-1.2", &expired, server_12)
            .await
            .faulty(&["cert_expired"])
            .version("TLS 1.2"),
        Row::of("not-yet-valid", &early).await.faulty(&["cert_not_yet_valid"]),
        Row::of("wrong-address", &wrong).await.faulty(&["cert_name_mismatch"]),
        Row::of("wrong-name", &wrong)
            .await
            .tls("server_name: www.example")
            .faulty(&["cert_name_mismatch"]),
        Row::of("self-signed", &leaf(HERE).self_signed())
            .await
            .faulty(&["cert_untrusted"]),
        Row::of("self-signed-ca", &leaf(HERE).with(ca).self_signed())
            .await
            .faulty(&["cert_untrusted"]),
        Row::of("unknown-root", &other.issue(leaf(HERE)))
            .await
            .faulty(&["cert_untrusted"]),
        Row::of("rotated-root", &twin.issue(leaf(HERE)))
            .await
            .faulty(&["cert_untrusted"]),
        Row::of("no-intermediate", &intermediate.issue(leaf(HERE)))
            .await
            .faulty(&["cert_untrusted"]),
        Row::of("old-intermediate", &old.issue(leaf(HERE)).behind(old.der()))
            .await
            .faulty(&["cert_expired"]),
        Row::of("for-clients", &root.issue(leaf(HERE).for_clients()))
            .await
            .faulty(&["cert_invalid"]),
        Row::of("a-ca", &root.issue(leaf(HERE).with(ca)))
            .await
            .faulty(&["cert_invalid"]),
        Row::of("pin", &good)
            .await
            .tls(format!("pins: ['{}']", "00".repeat(32)))
            .faulty(&["cert_pin_mismatch"]),
    ];
    assert_rows(&rows, &[("root.pem", root.pem())]).await;
}

#[tokio::test]
async fn both_faults_of_a_pair_are_exposed() {
    let root = Authority::root("pairs root");
    let other = Authority::root("pairs unknown root");
    let pin = || format!("pins: ['{}']", "00".repeat(32));
    let (past, future) = (-100..-3, 3..100);
    let expired_untrusted = other.issue(leaf(HERE).days(past.clone()));
    let revoked = |names| leaf(names).with(|params| params.serial_number = Some(SerialNumber::from_slice(&[7])));
    let revoked_expired = root.issue(revoked(HERE).days(past.clone()));
    let crl = || "crl_files: [revoked.pem]";
    let rows = [
        Row::of("expired-untrusted", &expired_untrusted)
            .await
            .faulty(&["cert_expired", "cert_untrusted"]),
        Row::of("expired-name", &root.issue(leaf(ELSEWHERE).days(past.clone())))
            .await
            .faulty(&["cert_expired", "cert_name_mismatch"]),
        Row::of("expired-pin", &root.issue(leaf(HERE).days(past.clone())))
            .await
            .tls(pin())
            .faulty(&["cert_expired", "cert_pin_mismatch"]),
        Row::of("early-untrusted", &other.issue(leaf(HERE).days(future.clone())))
            .await
            .faulty(&["cert_not_yet_valid", "cert_untrusted"]),
        Row::of("early-name", &root.issue(leaf(ELSEWHERE).days(future)))
            .await
            .faulty(&["cert_not_yet_valid", "cert_name_mismatch"]),
        Row::of("untrusted-name", &other.issue(leaf(ELSEWHERE)))
            .await
            .faulty(&["cert_untrusted", "cert_name_mismatch"]),
        Row::of("untrusted-pin", &other.issue(leaf(HERE)))
            .await
            .tls(pin())
            .faulty(&["cert_untrusted", "cert_pin_mismatch"]),
        Row::of("name-pin", &root.issue(leaf(ELSEWHERE)))
            .await
            .tls(pin())
            .faulty(&["cert_name_mismatch", "cert_pin_mismatch"]),
        Row::of("revoked-expired", &revoked_expired)
            .await
            .tls(crl())
            .faulty(&["cert_expired", "cert_revoked"]),
        Row::of("revoked-name", &root.issue(revoked(ELSEWHERE)))
            .await
            .tls(crl())
            .faulty(&["cert_revoked", "cert_name_mismatch"]),
        Row::of("revoked-pin", &root.issue(revoked(HERE)))
            .await
            .tls(crl())
            .tls(pin())
            .faulty(&["cert_revoked", "cert_pin_mismatch"]),
        Row::of("everything", &other.issue(leaf(ELSEWHERE).days(past.clone())))
            .await
            .tls(pin())
            .faulty(&["cert_expired", "cert_untrusted", "cert_name_mismatch", "cert_pin_mismatch"]),
        Row::of("reported", &other.issue(leaf(ELSEWHERE).days(past))).await.reported(&[
            "cert_expired",
            "cert_untrusted",
            "cert_name_mismatch",
        ]),
    ];
    assert_rows(&rows, &[("root.pem", root.pem()), ("revoked.pem", root.revoke(&[&[7]]))]).await;
}

#[tokio::test]
async fn certificates_are_verified_like_in_a_browser() {
    let root = Authority::root("good root");
    let intermediate = root.intermediate("good intermediate");
    let constrained = root.intermediate_with("constrained intermediate", |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("good.example".into())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    });
    let old_root = Authority::root("old root");
    let cross = root.cross_signed_by(&old_root, "good root", -100..-3);
    let names = ["*.good.example", "xn--mnchen-3ya.example", "a_b.example"];
    let named = intermediate.issue(leaf(&names)).behind(intermediate.der());
    let bound = constrained.issue(leaf(&["a.good.example"])).behind(constrained.der());
    let escaped = constrained.issue(leaf(&["bad.example"])).behind(constrained.der());
    let crossed = intermediate.issue(leaf(HERE)).behind(intermediate.der()).behind(cross);
    let own = leaf(HERE).self_signed();
    let own_ca = leaf(HERE)
        .with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
        .self_signed();
    let old_own = leaf(ELSEWHERE).days(-100..-3).self_signed();
    let revoked = |params: &mut CertificateParams| params.serial_number = Some(SerialNumber::from_slice(&[9]));
    let revoked_intermediate = root.intermediate_with("revoked intermediate", revoked);
    let under_revoked = revoked_intermediate.issue(leaf(HERE)).behind(revoked_intermediate.der());
    let good = root.issue(leaf(HERE));
    let base64 = BASE64.encode(digest(&SHA256, &good.public_key).as_ref());
    let rows = [
        Row::of("wildcard", &named).await.tls("server_name: www.good.example"),
        Row::of("idn", &named).await.tls("server_name: münchen.example"),
        Row::of("underscore", &named).await.tls("server_name: a_b.example"),
        Row::of("two-labels", &named)
            .await
            .tls("server_name: a.www.good.example")
            .faulty(&["cert_name_mismatch"]),
        Row::of("constrained", &bound).await.tls("server_name: a.good.example"),
        Row::of("escaped", &escaped)
            .await
            .tls("server_name: bad.example")
            .faulty(&["cert_invalid"]),
        Row::of("cross-signed", &crossed).await,
        Row::of("own", &own).await.tls("ca_file: own.pem"),
        Row::of("own-ca", &own_ca).await.tls("ca_file: own-ca.pem"),
        Row::of("own-old", &old_own)
            .await
            .tls("ca_file: own-old.pem")
            .faulty(&["cert_expired", "cert_name_mismatch"]),
        Row::of("pinned", &good).await.tls(format!("pins: ['{}']", pin(good.leaf()))),
        Row::of("pinned-key", &good)
            .await
            .tls(format!("pins: ['{}', '{base64}']", "00".repeat(32))),
        Row::of("not-revoked", &good).await.tls("crl_files: [revoked.pem]"),
        Row::of("revoked-above", &under_revoked)
            .await
            .tls("crl_files: [revoked.pem]")
            .faulty(&["cert_revoked"]),
        Row::of("no-root", &good)
            .await
            .tls("ca_file: own.pem")
            .faulty(&["cert_untrusted"]),
    ];
    let files = [
        ("root.pem", root.pem()),
        ("own.pem", own.pem()),
        ("own-ca.pem", own_ca.pem()),
        ("own-old.pem", old_own.pem()),
        ("revoked.pem", root.revoke(&[&[9]])),
    ];
    let (_daemon, scrape) = assert_rows(&rows, &files).await;
    let chain = scrape.of("cross-signed", "portprobe_cert_chain_not_after_timestamp_seconds");
    assert_eq!(
        chain,
        scrape.of("cross-signed", "portprobe_cert_not_after_timestamp_seconds"),
        "the expired cross-signed certificate is not on the path"
    );
}

#[tokio::test]
async fn a_client_certificate_request_hides_no_certificate() {
    let root = Authority::root("mutual root");
    let strangers = Authority::root("strangers root");
    let server = root.issue(leaf(HERE));
    let expired = root.issue(leaf(HERE).days(-100..-3));
    let mut roots = RootCertStore::empty();
    roots.add(root.der()).unwrap();
    let clients = || {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::new(aws_lc_rs::default_provider()))
    };
    let demanding = || clients().build().unwrap();
    let asking = clients().allow_unauthenticated().build().unwrap();
    let client = root.issue(leaf(&["client"]).for_clients());
    let stranger = strangers.issue(leaf(&["client"]).for_clients());
    let own = || ["cert_file: client.pem", "key_file: client.key"].join(", ");
    let mut rows = Vec::new();
    for (versions, [none, given, strange]) in [
        (Versions::Only12, ["none-1.2", "given-1.2", "strange-1.2"]),
        (Versions::Only13, ["none-1.3", "given-1.3", "strange-1.3"]),
    ] {
        let demanding = || server.server_for(versions, demanding());
        rows.push(Row::with_server(none, &server, demanding()).await.failed("tls", "tls_alert"));
        rows.push(Row::with_server(given, &server, demanding()).await.tls(own()));
        let strangers = "cert_file: stranger.pem, key_file: stranger.key";
        rows.push(
            Row::with_server(strange, &server, demanding())
                .await
                .tls(strangers)
                .failed("tls", "tls_alert"),
        );
    }
    let asks = server.server_for(Versions::Both, asking);
    rows.push(Row::with_server("asks", &server, asks).await);
    let expired_server = expired.server_for(Versions::Both, demanding());
    rows.push(
        Row::with_server("expired-and-none", &expired, expired_server)
            .await
            .faulty(&["cert_expired"]),
    );
    let files = [
        ("root.pem", root.pem()),
        ("client.pem", client.pem()),
        ("client.key", client.key_pem().to_owned()),
        ("stranger.pem", stranger.pem()),
        ("stranger.key", stranger.key_pem().to_owned()),
    ];
    let (_daemon, scrape) = assert_rows(&rows, &files).await;
    #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
    let expires = Some(client.not_after as f64);
    assert_eq!(scrape.of("given-1.3", "portprobe_client_cert_not_after_timestamp_seconds"), expires);
    assert_eq!(scrape.of("asks", "portprobe_client_cert_not_after_timestamp_seconds"), None);
}
