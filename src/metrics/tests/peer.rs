//! Tests of the metrics of TLS sessions, certificates and dialogues, including hostile ones.

use super::*;
use crate::outcome::{Certificate, PeerCertificates, TlsFacts, example_facts};

fn facts(tls: TlsFacts) -> Facts {
    Facts { tls: Some(tls), ..Facts::default() }
}

/// Returns the facts of a handshake with a changed leaf certificate.
fn with_leaf(change: impl FnOnce(&mut Certificate)) -> Facts {
    let mut shown = example_facts(1, &[]);
    let peer = PeerCertificates::clone(shown.peer.as_ref().unwrap());
    let mut leaf = Certificate::clone(&peer.leaf);
    change(&mut leaf);
    shown.peer = Some(Arc::new(PeerCertificates { leaf: Arc::new(leaf), ..peer }));
    facts(shown)
}

/// Returns the series of a family, given without `portprobe_`, and without the label `target`.
fn of(exposed: &Exposed, family: &str) -> Vec<String> {
    let head = format!("portprobe_{family}{{target=\"{}\"", exposed.targets[0].name);
    exposed
        .series_of(0)
        .iter()
        .filter_map(|line| Some(line.strip_prefix(&head)?.to_owned()))
        .collect()
}

#[test]
fn a_handshake_has_session_and_certificate_series() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    exposed.report_showing(0, Ok(()), facts(example_facts(0xab, &[])));
    for (family, series) in [
        (
            "tls_info",
            r#",version="TLS 1.3",cipher="TLS_AES_256_GCM_SHA384",key_exchange="X25519MLKEM768",alpn="h2"} 1"#
                .to_owned(),
        ),
        ("cert_not_after_timestamp_seconds", "} 1800000000.0".to_owned()),
        ("cert_not_before_timestamp_seconds", "} 1700000000.0".to_owned()),
        ("cert_chain_not_after_timestamp_seconds", "} 1790000000.0".to_owned()),
        ("cert_verified", "} 1".to_owned()),
        (
            "cert_info",
            format!(
                r#",subject="CN=shop.example",issuer="CN=Test CA",serial="a1b2",fingerprint_sha256="{}",key="ECDSA P-256",signature="ecdsa-with-SHA256"}} 1"#,
                "ab".repeat(32)
            ),
        ),
        ("cert_changes_total", "} 0".to_owned()),
        ("client_cert_not_after_timestamp_seconds", "} 1900000000.0".to_owned()),
    ] {
        assert_eq!(of(&exposed, family), [series], "{family}");
    }
    assert!(of(&exposed, "cert_fault").is_empty() && of(&exposed, "dialogue_info").is_empty());
    assert!(!exposed.text().contains("www.shop.example"), "names in certificates are not label values");
}

#[test]
fn certificate_changes_start_at_zero() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    assert_eq!(of(&exposed, "cert_changes_total"), ["} 0"]);
}

#[test]
fn every_certificate_fault_is_a_series() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    let faulty = facts(example_facts(1, &[Class::CertExpired, Class::CertNameMismatch]));
    exposed.report_showing(0, refused(), faulty);
    assert_eq!(of(&exposed, "cert_fault"), [r#",class="cert_expired"} 1"#, r#",class="cert_name_mismatch"} 1"#]);
    assert_eq!(of(&exposed, "cert_verified"), ["} 0"]);
}

#[test]
fn a_refused_connection_keeps_the_last_certificate() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    exposed.report_showing(0, refused(), facts(example_facts(1, &[Class::CertExpired])));
    exposed.report(0, refused());
    assert_eq!(of(&exposed, "cert_fault"), [r#",class="cert_expired"} 1"#]);
    assert_eq!(of(&exposed, "cert_not_after_timestamp_seconds"), ["} 1800000000.0"]);
}

#[test]
fn an_unreadable_certificate_has_only_its_fingerprint() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    exposed.report_showing(0, refused(), with_leaf(|leaf| leaf.content = None));
    let fingerprint = "01".repeat(32);
    assert_eq!(of(&exposed, "cert_info"), [format!(r#",fingerprint_sha256="{fingerprint}"}} 1"#)]);
    assert_eq!(of(&exposed, "cert_verified"), ["} 1"]);
    assert!(of(&exposed, "cert_not_after_timestamp_seconds").is_empty());
}

#[test]
fn validity_before_1970_is_a_negative_timestamp() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    let old = with_leaf(|leaf| leaf.content.as_mut().unwrap().not_before = -631_152_000);
    exposed.report_showing(0, Ok(()), old);
    assert_eq!(of(&exposed, "cert_not_before_timestamp_seconds"), ["} -631152000.0"]);
}

/// Texts that a hostile peer may put into a certificate.
const HOSTILE: [&str; 6] = [
    "CN=a\nportprobe_up{target=\"x\"} 1\n",
    "CN=\0\u{1b}[2J\u{9b}\r\n",
    "CN=\"quoted\", back\\slash\\",
    "CN=\u{fffd}\u{202e}moc.live\u{2028}",
    "}",
    "",
];

/// Returns the labels of the one series of `cert_info`, read by an independent parser.
fn certificate_labels(exposed: &Exposed) -> BTreeMap<String, String> {
    let written = String::from_utf8(whole(exposed.metrics.exposition(Format::OpenMetrics))).unwrap();
    let parsed = openmetrics_parser::openmetrics::parse_openmetrics(&written);
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}\n{written}"));
    let family = &parsed.families["portprobe_cert_info"];
    let names = family.get_label_names().to_vec();
    let [sample] = family.iter_samples().collect::<Vec<_>>()[..] else { panic!("{written}") };
    let values = sample.get_labelset().unwrap();
    names
        .into_iter()
        .map(|name| (name.clone(), values.get_label_value(&name).unwrap().to_owned()))
        .collect()
}

#[test]
fn no_certificate_breaks_a_format() {
    let long = "CN=\u{20ac}".to_owned() + &"\u{20ac}x".repeat(5000);
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
        let shown = with_leaf(|leaf| {
            let content = leaf.content.as_mut().unwrap();
            for field in [
                &mut content.subject,
                &mut content.issuer,
                &mut content.serial,
                &mut content.key,
                &mut content.signature,
            ] {
                *field = text.to_owned();
            }
        });
        exposed.report_showing(0, Ok(()), shown);
        let text_lines = exposed.text();
        assert_eq!(text_lines.matches("\nportprobe_cert_info{").count(), 1, "{text:?}");
        assert_eq!(text_lines.matches("\nportprobe_up{").count(), 1, "{text:?}");
        assert!(!text_lines.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        let parsed = openmetrics_parser::prometheus::parse_prometheus(&text_lines);
        assert!(parsed.is_ok(), "{}\n{text_lines}", parsed.unwrap_err());
        let labels = certificate_labels(&exposed);
        for name in ["subject", "issuer", "serial", "key", "signature"] {
            let value = labels.get(name).cloned().unwrap_or_default();
            assert_eq!(value, crate::peer_text::label_value(text), "{name}");
            assert!(value.len() <= 128);
        }
        let protobuf = whole(exposed.metrics.exposition(Format::Protobuf));
        let subject = crate::peer_text::label_value(text);
        let found = protobuf
            .windows(subject.len().max(1))
            .any(|window| window == subject.as_bytes());
        assert!(found || subject.is_empty(), "{text:?}");
    }
}

#[test]
fn a_dialogue_has_each_label_only_once() {
    let exposed = Exposed::new(&["127.0.0.1:22"], &[("team", "shop")]);
    let label = |name, value: &str| (LabelName::try_new(name).unwrap(), value.to_owned());
    let given =
        [label("software", "OpenSSH\r\n"), label("team", "theirs"), label("software", "again"), label("os", "")];
    let facts = Facts { tls: None, dialogue: Some(given.into()), ..Facts::default() };
    exposed.report_showing(0, Ok(()), facts);
    assert_eq!(of(&exposed, "dialogue_info"), [r#",team="shop",software="OpenSSH"} 1"#]);
}
