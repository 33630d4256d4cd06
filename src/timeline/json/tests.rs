//! Tests of the document with constructed outcomes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::outcome::{Certificate, Class, Facts, Failure, Fault, PeerCertificates, Phase, ServiceFacts, example_facts};
use crate::target::{LabelName, ProbeKind, Settings, TlsExchange, TlsSettings, Verify, example};

fn outcome(facts: Facts) -> Outcome {
    let failure = Failure { phase: Phase::Tls, class: Class::CertExpired, detail: "so it is".into() };
    let result = Err(Fault::Failure(failure));
    let duration = Duration::from_millis(8);
    let timings = Timings::default().with(Phase::Connect, Duration::from_millis(2));
    let address = [192, 0, 2, 1].into();
    let attempt = Attempt {
        address,
        result: result.clone(),
        duration,
        timings,
        syn_retransmits: 0,
        facts: facts.clone(),
        transcript: None,
    };
    let client_certificate_not_after = Some(-631_152_000);
    let attempts = vec![attempt];
    Outcome { result, duration, timings, resolution: None, attempts, facts, client_certificate_not_after }
}

fn printed(facts: Facts) -> String {
    let settings = TlsSettings { verify: Verify::Report, ..TlsSettings::default() };
    let probe_kind = ProbeKind::of_tls(TlsExchange { settings, ..TlsExchange::default() });
    let target = example("tls://shop.example:443", Settings { probe_kind, ..Settings::default() });
    Document::new(&target, &outcome(facts)).to_text().unwrap()
}

#[test]
fn the_document_has_every_fact() {
    let labels = [(LabelName::try_new("software").unwrap(), "OpenSSH".to_owned())];
    let tls = example_facts(1, &[Class::CertExpired, Class::CertNameMismatch]);
    let document: Value =
        serde_json::from_str(&printed(Facts { tls: Some(tls), dialogue: Some(labels.into()), ..Facts::default() }))
            .unwrap();
    let certificate = |subject: &str, issuer: &str, digest: &str, names: Value| {
        json!({
            "fingerprint_sha256": digest.repeat(32),
            "subject": subject,
            "issuer": issuer,
            "serial": "a1b2",
            "not_before": "2023-11-14T22:13:20Z",
            "not_before_timestamp_seconds": 1_700_000_000,
            "not_after": "2027-01-15T08:00:00Z",
            "not_after_timestamp_seconds": 1_800_000_000,
            "key": "ECDSA P-256",
            "signature": "ecdsa-with-SHA256",
            "names": names,
            "name_count": names.as_array().unwrap().len(),
            "public_key_sha256": digest.repeat(32),
            "self_issued": false,
        })
    };
    let tls = json!({
        "session": {
            "version": "TLS 1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "key_exchange": "X25519MLKEM768",
            "alpn": "h2",
        },
        "verify": "report",
        "verified": false,
        "faults": [
            { "class": "cert_expired", "detail": "so cert_expired it is" },
            { "class": "cert_name_mismatch", "detail": "so cert_name_mismatch it is" },
        ],
        "chain_not_after": "2026-09-21T14:13:20Z",
        "chain_not_after_timestamp_seconds": 1_790_000_000,
        "certificates": [
            certificate("CN=shop.example", "CN=Test CA", "01", json!(["shop.example", "www.shop.example"])),
            certificate("CN=Test CA", "CN=Test Root", "ca", json!([])),
        ],
    });
    for shown in [&document, &document["attempts"][0]] {
        assert_eq!(shown["tls"], tls);
        assert_eq!(shown["dialogue"], json!({ "software": "OpenSSH" }));
    }
    let client = json!({ "not_after": "1950-01-01T00:00:00Z", "not_after_timestamp_seconds": -631_152_000 });
    assert_eq!(document["client_certificate"], client);
    assert_eq!(document["class"], "cert_expired");
}

#[test]
fn the_document_omits_unknown_facts() {
    let document: Value = serde_json::from_str(&printed(Facts::default())).unwrap();
    assert!(document.get("tls").is_none() && document.get("dialogue").is_none(), "{document}");
}

#[test]
fn control_characters_are_escaped_and_preserved() {
    let hostile = "CN=\u{1b}[2J\u{9b}0m\u{202e}\u{7f}\n\u{e0041} \"\\ \u{fc}";
    let mut tls = example_facts(1, &[]);
    let peer = PeerCertificates::clone(tls.peer.as_ref().unwrap());
    let mut leaf = Certificate::clone(&peer.leaf);
    hostile.clone_into(&mut leaf.content.as_mut().unwrap().subject);
    tls.peer = Some(Arc::new(PeerCertificates { leaf: Arc::new(leaf), ..peer }));
    let text = printed(Facts { tls: Some(tls), ..Facts::default() });
    assert!(!text.contains(|c| is_invisible(c) && c != '\n'), "{text:?}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["tls"]["certificates"][0]["subject"], hostile);
}

#[test]
fn unknown_facts_of_a_service_are_null() {
    let service = ServiceFacts { protocol: "postgres", version: "15.14".into(), role: String::new() };
    let text = printed(Facts { service: Some(service.into()), ..Facts::default() });
    let document: Value = serde_json::from_str(&text).unwrap();
    let services: Vec<_> = find(&document, "service");
    let expected = json!({ "protocol": "postgres", "version": "15.14", "role": null });
    assert!(!services.is_empty() && services.iter().all(|service| **service == expected), "{services:?}");
}

/// Returns every value of this key, at any depth.
fn find<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| find(item, key)).collect(),
        Value::Object(entries) => {
            let here = entries.get(key).into_iter();
            here.chain(entries.values().flat_map(|value| find(value, key))).collect()
        }
        _ => Vec::new(),
    }
}
