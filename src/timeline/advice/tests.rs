//! Tests of the advice: its statements and its commands.

use std::sync::Arc;

use super::*;
use crate::config::{ProbeRequest, TargetLookup};
use crate::target::{
    Application, Dialogue, Identity, ProbeKind, Roots, Settings, Step, TlsExchange, TlsProfile, TlsSettings, example,
};

fn one(url: &str, flags: &[(&str, &str)]) -> Arc<Target> {
    let flags: Vec<_> = flags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let wanted = ProbeRequest { target: url, flags: &flags, config_file: None, module: None };
    let lookup = TargetLookup::new(wanted, &|_| None).unwrap();
    lookup.by_url().finish(&[]).unwrap().target
}

fn on(url: &str, flags: &[(&str, &str)], class: Class) -> Advice {
    let target = one(url, flags);
    let failure = Failure { phase: Phase::Connect, class, detail: String::new() };
    on_failure(&failure, &target, Some([192, 0, 2, 7].into()))
}

#[test]
fn the_expectation_changes_the_meaning_of_a_failure() {
    for (class, expect, meaning, remedy) in [
        (Class::Refused, "open", "the host responds", "on 192.0.2.7: is the service running"),
        (Class::Refused, "filtered", "a firewall should drop", "expect: closed"),
        (Class::Timeout, "open", "a firewall drops the packets", "ping 192.0.2.7"),
        (Class::Timeout, "refused", "no response instead of a refusal", "expect: filtered"),
        (Class::Timeout, "filtered", "before a packet was sent", "raise the timeout"),
        (Class::Timeout, "closed", "before a packet was sent", "raise the timeout"),
        (Class::Unreachable, "open", "reports no route", "ip route get 192.0.2.7"),
        (Class::Unreachable, "refused", "no refusal: ", "expect: filtered"),
        (Class::Unreachable, "filtered", "this machine has no route", "ip route get 192.0.2.7"),
        (Class::Unreachable, "closed", "this machine has no route", "ip route get 192.0.2.7"),
        (Class::UnexpectedOpen, "closed", "something listens on port 22", "on 192.0.2.7: ss -ltnp"),
    ] {
        let advice = on("db.example:22", &[("expect", expect)], class);
        assert!(advice.meaning.contains(meaning), "{class:?} {expect}: {advice:?}");
        assert!(advice.remedy.contains(remedy), "{class:?} {expect}: {advice:?}");
    }
}

#[test]
fn the_advice_names_the_queried_dns_server() {
    for class in [Class::AddressMismatch, Class::DnsError, Class::DnsNotFound, Class::DnsTimeout] {
        assert!(on("db.example:22", &[], class).remedy.contains("dig db.example"), "{class:?}");
        let asked = on("db.example:22", &[("dns_servers", "192.0.2.53:5353")], class);
        assert!(asked.remedy.contains("dig @192.0.2.53 -p 5353 db.example"), "{asked:?}");
        assert!(!asked.remedy.contains("resolv.conf"), "{asked:?}");
    }
}

#[test]
fn a_missing_dns_server_leads_to_resolv_conf() {
    let advice = on("db.example:22", &[], Class::DnsError);
    assert!(advice.meaning.contains("none is configured"), "{advice:?}");
    assert!(advice.remedy.contains("/etc/resolv.conf"), "{advice:?}");
}

#[test]
fn a_literal_address_has_no_dns_advice() {
    let advice = on("192.0.2.7:22", &[], Class::AddressMismatch);
    assert!(advice.meaning.starts_with("the address in the URL"), "{advice:?}");
    assert!(!advice.remedy.contains("dig"), "{advice:?}");
}

/// Returns a target that `upgrade` upgrades to TLS.
fn with_tls(url: &str, upgrade: Dialogue, settings: TlsSettings) -> Target {
    let upgrade = Application::Dialogue(upgrade);
    let probe_kind = ProbeKind::of_tls(TlsExchange { upgrade, settings, ..TlsExchange::default() });
    example(url, Settings { probe_kind, ..Settings::default() })
}

fn of(target: &Target, phase: Phase, class: Class) -> Advice {
    let failure = Failure { phase, class, detail: String::new() };
    on_failure(&failure, target, Some([192, 0, 2, 7].into()))
}

fn steps() -> Dialogue {
    Dialogue([Step::ExpectBytes(b"220"[..].into())].into())
}

#[test]
fn every_class_in_every_phase_has_advice() {
    let targets = [
        example("a.example:25", Settings::default()),
        with_tls("tls://a.example:443", Dialogue::default(), TlsSettings::default()),
        with_tls("tcp://a.example:25", steps(), TlsSettings::default()),
    ];
    for target in &targets {
        for class in Class::ALL {
            for phase in Phase::ALL {
                let advice = of(target, phase, class);
                assert!(advice.meaning.len() > 20 && advice.remedy.len() > 20, "{class:?} {phase:?}: {advice:?}");
                assert!(!advice.meaning.contains('\n') && !advice.remedy.contains('\n'), "{advice:?}");
            }
        }
    }
}

#[test]
fn openssl_gets_the_same_address_and_name() {
    let named = TlsSettings { server_name: Some("db.internal".parse().unwrap()), ..TlsSettings::default() };
    let by_address = TlsSettings { server_name: Some("192.0.2.9".parse().unwrap()), ..TlsSettings::default() };
    for (url, settings, arguments) in [
        ("tls://a.example:443", TlsSettings::default(), "-connect 192.0.2.7:443 -servername a.example </dev/null"),
        ("tls://a.example.:443", TlsSettings::default(), "-connect 192.0.2.7:443 -servername a.example </dev/null"),
        ("tls://a.example:443", named.clone(), "-connect 192.0.2.7:443 -servername db.internal </dev/null"),
        ("tls://a.example:443", by_address, "-connect 192.0.2.7:443 </dev/null"),
        ("tls://192.0.2.1:8443", TlsSettings::default(), "-connect 192.0.2.1:8443 </dev/null"),
        ("tls://[2001:db8::1]:443", TlsSettings::default(), "-connect '[2001:db8::1]:443' </dev/null"),
        ("tls://[fe80::1%25eth0]:443", named, "-connect '[fe80::1%eth0]:443' -servername db.internal </dev/null"),
    ] {
        let target = with_tls(url, Dialogue::default(), settings);
        let remedy = of(&target, Phase::Tls, Class::Stalled).remedy;
        assert!(remedy.starts_with(&format!("openssl s_client {arguments};")), "{url}: {remedy}");
    }
    let address = Some("2001:db8::7".parse().unwrap());
    let failure = Failure { phase: Phase::Tls, class: Class::TlsProtocol, detail: String::new() };
    let target = with_tls("tls://a.example:443", Dialogue::default(), TlsSettings::default());
    let remedy = on_failure(&failure, &target, address).remedy;
    assert!(remedy.contains("-connect '[2001:db8::7]:443' -servername a.example"), "{remedy}");
    assert!(remedy.contains("nc -v 2001:db8::7 443"), "{remedy}");
}

#[test]
fn openssl_gets_certificate_version_and_alpn() {
    let flags = [
        ("tls.cert_file", "/etc/it's own.pem"),
        ("tls.key_file", "/etc/own.key"),
        ("tls.max_version", "1.2"),
        ("tls.alpn", "h2,http/1.1"),
    ];
    let remedy = on("tls://192.0.2.7:443", &flags, Class::TlsAlert).remedy;
    let command = r#"openssl s_client -connect 192.0.2.7:443 -cert "/etc/it's own.pem" -key /etc/own.key -tls1_2 -alpn 'h2,http/1.1' </dev/null"#;
    assert!(remedy.ends_with(command), "{remedy}");
}

#[test]
fn openssl_gets_the_same_form_of_starttls() {
    let target = with_tls("tcp://mx.example:25", steps(), TlsSettings::default());
    let remedy = of(&target, Phase::Tls, Class::CertExpired).remedy;
    assert!(
        remedy.contains("-starttls PROTOCOL -connect 192.0.2.7:25") && remedy.contains("PROTOCOL is smtp"),
        "{remedy}"
    );
    assert!(
        of(&target, Phase::Starttls, Class::Stalled)
            .remedy
            .starts_with("nc -v 192.0.2.7 25;")
    );
    let within = of(&target, Phase::Protocol, Class::UnexpectedResponse).remedy;
    assert!(within.starts_with("openssl s_client -quiet -starttls PROTOCOL -connect 192.0.2.7:25"), "{within}");
}

#[test]
fn a_service_is_queried_with_its_client() {
    let remedy = |url: &str, phase| {
        let target = one(url, &[]);
        of(&target, phase, Class::Stalled).remedy
    };
    assert!(remedy("postgres://db.example", Phase::Protocol).starts_with("pg_isready -h 192.0.2.7 -p 5432; "));
    assert!(remedy("http://[2001:db8::1]:8080/a?b=c&d", Phase::Protocol).starts_with("curl -iv 'http://"));
    assert!(remedy("kafka://[2001:db8::1]", Phase::Protocol).contains("--bootstrap-server '[2001:db8::1]:9092'; "));
    assert!(remedy("smtp://mx.example", Phase::Protocol).starts_with("nc -v 192.0.2.7 25; "));
    let within = remedy("postgres+starttls://db.example", Phase::Protocol);
    assert!(within.starts_with("openssl s_client -quiet -starttls postgres -connect 192.0.2.7:5432"), "{within}");
    assert!(!within.contains("PROTOCOL") && !within.contains("openssl cannot"), "{within}");
    let beyond = remedy("nats+starttls://n.example", Phase::Tls);
    assert!(beyond.starts_with("portprobe probe --verbose nats+starttls://n.example"), "{beyond}");
    assert!(beyond.ends_with("openssl cannot request TLS in this protocol"), "{beyond}");
    assert!(!beyond.contains("s_client"), "{beyond}");
    assert!(remedy("nats+starttls://n.example", Phase::Starttls).starts_with("nc -v 192.0.2.7 4222; "));
}

#[test]
fn the_phase_changes_the_meaning_of_silence() {
    let target = with_tls("tls://a.example:443", Dialogue::default(), TlsSettings::default());
    let in_tls = of(&target, Phase::Tls, Class::Stalled);
    assert!(
        in_tls
            .meaning
            .starts_with("accepts connections but does not respond in time: hung, overloaded, or not TLS")
    );
    assert!(
        of(&target, Phase::Protocol, Class::Stalled)
            .meaning
            .contains("waiting for a different request")
    );
}

#[test]
fn the_advice_names_helpful_settings() {
    let of_mozilla = with_tls("tls://a.example:443", Dialogue::default(), TlsSettings::default());
    let identity = Identity { cert_file: "/etc/own.pem".into(), key_file: "/etc/own.key".into() };
    let profile =
        TlsProfile { roots: Roots::File("/etc/ca.pem".into()), identity: Some(identity), ..Default::default() };
    let of_file = TlsSettings { profile: profile.into(), ..TlsSettings::default() };
    let of_file = with_tls("tls://a.example:443", Dialogue::default(), of_file);
    for (target, class, parts) in [
        (&of_mozilla, Class::CertUntrusted, ["tls.ca_file", "tls.verify: report", "-showcerts"]),
        (&of_file, Class::CertUntrusted, ["does /etc/ca.pem contain the issuer", "tls.verify: report", "-showcerts"]),
        (&of_mozilla, Class::TlsAlert, ["tls.cert_file and tls.key_file", "tls.server_name", "tls.alpn"]),
        (
            &of_file,
            Class::TlsAlert,
            ["-in /etc/own.pem", "tls.alpn", "-servername a.example -cert /etc/own.pem -key /etc/own.key </dev/null"],
        ),
        (&of_file, Class::CertExpired, ["-cert /etc/own.pem", "-key /etc/own.key </dev/null 2>/dev/null |", "-dates"]),
        (&of_mozilla, Class::CertNameMismatch, ["tls.server_name", "issued for a.example", "-ext subjectAltName"]),
        (&of_mozilla, Class::CertNotYetValid, ["date -u", "chronyc tracking", "-dates"]),
        (&of_mozilla, Class::CertExpired, ["renew it", "reload the service", "-dates"]),
        (&of_mozilla, Class::CertPinMismatch, ["tls.pins", "-fingerprint", "-sha256"]),
    ] {
        let remedy = of(target, Phase::Tls, class).remedy;
        assert!(parts.iter().all(|part| remedy.contains(part)), "{class:?}: {remedy}");
    }
}
