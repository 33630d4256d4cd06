//! Tests of the timeline with constructed outcomes.

use std::sync::Arc;

use super::*;
use crate::config::{ProbeRequest, TargetLookup};
use crate::outcome::{
    Certificate, Class, Facts, Fault, LocalFault, LocalFaultReason, PeerCertificates, Resolution, ServiceFacts,
    Timings, TlsFacts, example_facts,
};
use crate::target::{Application, Dialogue, LabelName, ProbeKind, Settings, Step, TlsExchange, TlsSettings, example};

const MILLISECOND: Duration = Duration::from_millis(1);

fn printed(url: &str, flags: &[(&str, &str)], outcome: &Outcome) -> String {
    let flags: Vec<_> = flags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let request = ProbeRequest { target: url, flags: &flags, config_file: None, module: None };
    let lookup = TargetLookup::new(request, &|_| None).unwrap();
    let target = lookup.by_url().finish(&[]).unwrap().target;
    lines(&target, outcome)
}

fn lines(target: &Target, outcome: &Outcome) -> String {
    let now = Timestamp::since_epoch(Duration::from_secs(1_795_000_000));
    Timeline { target, outcome, now, styles: Styles::PLAIN }.to_string()
}

fn failed(class: Class, detail: &str) -> Result<(), Fault> {
    Err(Fault::failure(Phase::Connect, class, detail))
}

fn attempt(last: u8, result: Result<(), Fault>) -> Attempt {
    let timings =
        if result.is_ok() { Timings::default().with(Phase::Connect, MILLISECOND) } else { Timings::default() };
    Attempt {
        address: [192, 0, 2, last].into(),
        result,
        duration: 8 * MILLISECOND,
        timings,
        syn_retransmits: 0,
        facts: Facts::default(),
        transcript: None,
    }
}

/// Ten milliseconds in total, two of them for the name.
fn outcome(result: Result<(), Fault>, attempts: Vec<Attempt>) -> Outcome {
    let addresses = attempts.iter().map(|attempt| attempt.address).collect();
    Outcome {
        result,
        duration: 10 * MILLISECOND,
        timings: Timings::default().with(Phase::Resolve, 2 * MILLISECOND),
        resolution: Some(Resolution { addresses }),
        attempts,
        facts: Facts::default(),
        client_certificate_not_after: None,
    }
}

#[track_caller]
fn assert_lines(printed: &str, expected: &[&str]) {
    for line in expected {
        assert!(printed.lines().any(|printed| printed == *line), "{line:?} is not in\n{printed}");
    }
}

#[test]
fn a_failed_step_shows_its_details_once() {
    let result = failed(Class::Refused, "because");
    let outcome = outcome(result.clone(), vec![attempt(1, result)]);
    let printed = printed("a.test:1", &[], &outcome);
    let expected = [
        "  resolve      2.000 ms  192.0.2.1",
        "  connect      8.000 ms  192.0.2.1  refused",
        "refused in connect after 10.000 ms: because",
    ];
    assert_lines(&printed, &expected);
    assert_eq!(printed.matches("because").count(), 1, "{printed}");
}

#[test]
fn each_address_shows_why_it_failed() {
    let first = attempt(1, failed(Class::Timeout, "silence"));
    let good = outcome(Ok(()), vec![first.clone(), attempt(20, Ok(()))]);
    let expected = [
        "  connect      8.000 ms  192.0.2.1   timeout: silence",
        "  connect      1.000 ms  192.0.2.20  open",
        "succeeded in 10.000 ms",
    ];
    assert_lines(&printed("a.test:1", &[], &good), &expected);
    let last = failed(Class::Refused, "no");
    let bad = outcome(last.clone(), vec![first, attempt(20, last)]);
    let expected = [
        "  connect      8.000 ms  192.0.2.1   timeout: silence",
        "  connect      8.000 ms  192.0.2.20  refused",
        "refused in connect after 10.000 ms: no",
    ];
    assert_lines(&printed("a.test:1", &[], &bad), &expected);
}

#[test]
fn mode_all_counts_the_successful_addresses() {
    let worst = failed(Class::Refused, "no");
    let outcome = outcome(worst.clone(), vec![attempt(1, Ok(())), attempt(2, worst)]);
    let expected = [
        "  connect      1.000 ms  192.0.2.1  open",
        "  connect      8.000 ms  192.0.2.2  refused",
        "  all      1 of 2 addresses succeeded; all must",
    ];
    assert_lines(&printed("a.test:1", &[("addresses", "all")], &outcome), &expected);
}

#[test]
fn a_successful_probe_reports_lost_syns_and_slowness() {
    let attempt = Attempt { syn_retransmits: 2, ..attempt(1, Ok(())) };
    let outcome = outcome(Ok(()), vec![attempt]);
    let expected = [
        "  connect      1.000 ms  192.0.2.1  open; 2 SYNs were retransmitted",
        "succeeded in 10.000 ms, but slow: slow_after is 10ms",
    ];
    let printed = printed("a.test:1", &[("slow_after", "10ms")], &outcome);
    assert_lines(&printed, &expected);
    assert!(printed.contains("  meaning  packets are lost on the way"), "{printed}");
}

#[test]
fn a_name_that_fails_takes_the_whole_time() {
    let result = Err(Fault::failure(Phase::Resolve, Class::DnsError, "no"));
    let failed = Outcome { resolution: None, timings: Timings::default(), ..outcome(result, Vec::new()) };
    assert_lines(&printed("a.test:1", &[], &failed), &["  resolve     10.000 ms  dns_error"]);
}

#[test]
fn a_closed_port_can_be_expected() {
    let closed = Attempt { timings: Timings::default(), ..attempt(1, Ok(())) };
    let outcome = outcome(Ok(()), vec![closed]);
    let expected = ["  connect      8.000 ms  192.0.2.1  refused, as expected"];
    assert_lines(&printed("a.test:1", &[("expect", "refused")], &outcome), &expected);
}

/// Returns a target with STARTTLS, TLS and a dialogue.
fn secured(verify: Verify) -> Target {
    let said = || Application::Dialogue(Dialogue([Step::ExpectBytes(b"220"[..].into())].into()));
    let settings = TlsSettings { verify, ..TlsSettings::default() };
    let probe_kind = ProbeKind::of_tls(TlsExchange { upgrade: said(), settings, application: said() });
    example("tcp://a.test:25", Settings { probe_kind, ..Settings::default() })
}

/// Returns an attempt that completed these phases in a millisecond each.
fn went_through(last: u8, phases: &[Phase], result: Result<(), Fault>, tls: TlsFacts) -> Attempt {
    let timings = phases
        .iter()
        .fold(Timings::default(), |timings, phase| timings.with(*phase, MILLISECOND));
    Attempt { timings, facts: Facts { tls: Some(tls), ..Facts::default() }, ..attempt(last, result) }
}

/// Returns the facts of a handshake with a changed leaf.
fn with_content(change: impl FnOnce(&mut Certificate)) -> TlsFacts {
    let mut tls = example_facts(1, &[]);
    let peer = PeerCertificates::clone(tls.peer.as_ref().unwrap());
    let mut leaf = Certificate::clone(&peer.leaf);
    change(&mut leaf);
    tls.peer = Some(Arc::new(PeerCertificates { leaf: Arc::new(leaf), ..peer }));
    tls
}

fn expired(detail: &str) -> Result<(), Fault> {
    Err(Fault::failure(Phase::Tls, Class::CertExpired, detail))
}

#[test]
fn every_phase_and_fact_has_its_lines() {
    let phases = [Phase::Connect, Phase::Starttls, Phase::Tls, Phase::Protocol];
    let attempt = went_through(1, &phases, Ok(()), example_facts(1, &[]));
    let labels = [(LabelName::try_new("software").unwrap(), "Post\u{1b}[2Jfix".to_owned())];
    let facts = Facts { dialogue: Some(labels.into()), ..attempt.facts.clone() };
    let client_certificate_not_after = Some(1_794_999_000);
    let outcome = Outcome { facts, client_certificate_not_after, ..outcome(Ok(()), vec![attempt]) };
    let expected = format!(
        "\
tcp://a.test:25
  resolve      2.000 ms  192.0.2.1
  connect      1.000 ms  192.0.2.1  open
  starttls     1.000 ms  192.0.2.1  ready for TLS
  tls          1.000 ms  192.0.2.1  TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, ALPN h2
  protocol     1.000 ms  192.0.2.1  as expected

certificate
  subject  CN=shop.example
  issuer   CN=Test CA
  names    shop.example, www.shop.example
  valid    2023-11-14 22:13:20 to 2027-01-15 08:00:00 UTC, expires in 57 days
  key      ECDSA P-256, signed with ecdsa-with-SHA256
  serial   a1b2
  sha256   {}
intermediate 1
  subject  CN=Test CA
  issuer   CN=Test Root
  valid    2023-11-14 22:13:20 to 2027-01-15 08:00:00 UTC, expires in 57 days
  key      ECDSA P-256, signed with ecdsa-with-SHA256
  serial   a1b2
no faults

client certificate
  valid    to 2026-11-18 10:50:00 UTC, expired 16 minutes ago

labels
  software Post\\u{{1b}}[2Jfix

succeeded in 10.000 ms
",
        "01".repeat(32)
    );
    assert_eq!(lines(&secured(Verify::Strict), &outcome), expected);
}

#[test]
fn the_result_counts_further_faults() {
    let result = || expired("so cert_expired it is");
    for (faults, expected) in [
        (&[Class::CertExpired][..], "cert_expired in tls after 10.000 ms"),
        (&[Class::CertExpired, Class::CertNameMismatch], "cert_expired in tls after 10.000 ms, with 1 more fault"),
    ] {
        let attempt = went_through(1, &[Phase::Connect], result(), example_facts(1, faults));
        let outcome = Outcome { facts: attempt.facts.clone(), ..outcome(result(), vec![attempt]) };
        assert_lines(&lines(&secured(Verify::Strict), &outcome), &[expected]);
    }
}

#[test]
fn verify_decides_how_faults_are_shown() {
    let shown = example_facts(1, &[Class::CertExpired, Class::CertNameMismatch]);
    let strict = went_through(1, &[Phase::Connect, Phase::Starttls], expired("so it is"), shown.clone());
    let strict = Outcome { facts: strict.facts.clone(), ..outcome(expired("so it is"), vec![strict]) };
    let expected = [
        "  tls          6.000 ms  192.0.2.1  TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, ALPN h2; cert_expired",
        "faults",
        "  cert_expired: so cert_expired it is",
        "  cert_name_mismatch: so cert_name_mismatch it is",
        "cert_expired in tls after 10.000 ms: so it is",
    ];
    assert_lines(&lines(&secured(Verify::Strict), &strict), &expected);
    let report = went_through(1, &[Phase::Connect, Phase::Starttls, Phase::Tls], Ok(()), shown);
    let report = Outcome { facts: report.facts.clone(), ..outcome(Ok(()), vec![report]) };
    let expected = [
        "  tls          1.000 ms  192.0.2.1  TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, ALPN h2; \
         cert_expired, cert_name_mismatch, reported only",
        "  cert_expired, reported only: so cert_expired it is",
        "  cert_name_mismatch, reported only: so cert_name_mismatch it is",
        "succeeded in 10.000 ms",
    ];
    assert_lines(&lines(&secured(Verify::Report), &report), &expected);
}

#[test]
fn the_worst_address_shows_its_certificate() {
    let nothing = TlsFacts { session: None, peer: None };
    let silent = Err(Fault::failure(Phase::Tls, Class::Stalled, "silence"));
    let fault = LocalFault { reason: LocalFaultReason::NoMemory, detail: "no room".into() };
    let connected = [Phase::Connect, Phase::Starttls];
    let worst = went_through(3, &connected, expired("so it is"), example_facts(3, &[Class::CertExpired]));
    let facts = worst.facts.clone();
    let attempts = vec![
        went_through(1, &connected, silent, nothing.clone()),
        went_through(2, &[Phase::Connect], Err(Fault::LocalFault(fault)), nothing),
        worst,
    ];
    let outcome = Outcome { facts, ..outcome(expired("so it is"), attempts) };
    let expected = [
        "  connect      1.000 ms  192.0.2.1  open",
        "  tls          6.000 ms  192.0.2.1  stalled: silence",
        "  starttls     7.000 ms  192.0.2.2  no_memory: no room",
        "  tls          6.000 ms  192.0.2.3  TLS 1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, ALPN h2; cert_expired",
        "certificate of 192.0.2.3",
    ];
    assert_lines(&lines(&secured(Verify::Strict), &outcome), &expected);
}

/// Returns the lines of a verified connection whose peer showed this certificate.
fn certificate_lines(tls: TlsFacts) -> String {
    let attempt = went_through(1, &[Phase::Connect], Ok(()), tls);
    let outcome = Outcome { facts: attempt.facts.clone(), ..outcome(Ok(()), vec![attempt]) };
    lines(&secured(Verify::Strict), &outcome)
}

#[test]
fn only_the_first_names_are_listed() {
    let many = with_content(|leaf| {
        let content = leaf.content.as_mut().unwrap();
        content.names = (0..100).map(|number| format!("{number}.example")).collect();
        content.name_count = 145;
    });
    let expected = ["  names    0.example, 1.example, 2.example, 3.example, 4.example, and 140 more"];
    assert_lines(&certificate_lines(many), &expected);
}

#[test]
fn an_unreadable_certificate_has_its_fingerprint() {
    let unreadable = with_content(|leaf| leaf.content = None);
    let fingerprint = format!("  sha256   {}", "01".repeat(32));
    assert_lines(&certificate_lines(unreadable), &["  subject  cannot be read", &fingerprint]);
}

#[test]
fn no_text_of_a_peer_controls_the_terminal() {
    let hostile = "\u{1b}[2J\r\n\u{9b}0m\u{202e}\0";
    let tls = with_content(|leaf| {
        let content = leaf.content.as_mut().unwrap();
        for field in
            [&mut content.subject, &mut content.issuer, &mut content.serial, &mut content.key, &mut content.signature]
        {
            *field = hostile.to_owned();
        }
        content.names = vec![hostile.to_owned()];
    });
    let result = |detail: &str| {
        let detail = format!("{hostile} {detail}");
        Err(Fault::failure(Phase::Protocol, Class::UnexpectedResponse, detail))
    };
    let phases = [Phase::Connect, Phase::Starttls, Phase::Tls];
    let attempts = vec![
        went_through(1, &phases, result("first"), tls.clone()),
        went_through(2, &phases, result("second"), tls.clone()),
    ];
    let labels = [(LabelName::try_new("software").unwrap(), hostile.to_owned())];
    let facts = Facts { tls: Some(tls), dialogue: Some(labels.into()), ..Facts::default() };
    let outcome = Outcome { facts, ..outcome(result("second"), attempts) };
    let printed = lines(&secured(Verify::Strict), &outcome);
    assert!(!printed.contains(|c| crate::peer_text::is_invisible(c) && c != '\n'), "{printed:?}");
    assert!(printed.contains(r"\u{1b}[2J\r\n\u{9b}0m\u{202e}\u{0} first"), "{printed}");
}

#[test]
fn a_service_is_shown_with_its_facts() {
    for (version, role, expected) in [
        ("15.14", "", "as expected, postgres, 15.14"),
        ("", "primary\u{1b}", r"as expected, postgres, primary\u{1b}"),
        ("", "", "as expected, postgres"),
    ] {
        let service = ServiceFacts { protocol: "postgres", version: version.into(), role: role.into() };
        let facts = Facts { service: Some(service.into()), ..Facts::default() };
        let timings = [Phase::Connect, Phase::Protocol];
        let timings = timings
            .iter()
            .fold(Timings::default(), |timings, phase| timings.with(*phase, MILLISECOND));
        let attempt = Attempt { timings, facts, ..attempt(1, Ok(())) };
        let printed = lines(&secured(Verify::Strict), &outcome(Ok(()), vec![attempt]));
        assert!(printed.lines().any(|line| line.ends_with(&format!("192.0.2.1  {expected}"))), "{printed}");
    }
}
