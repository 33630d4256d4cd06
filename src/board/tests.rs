//! Tests of the board as a whole.

use std::num::NonZeroU32;

use super::*;
use crate::histogram::Buckets;
use crate::outcome::{
    Attempt, Class, Facts, Fault, LocalFault, Outcome, Phase, Resolution, Timings, TlsFacts, example_facts,
};
use crate::target::{
    AddressMode, Addressing, Application, Cadence, Confirm, Dialogue, Identity, LabelName, ProbeKind, Settings, Step,
    TlsExchange, TlsProfile, TlsSettings, example,
};

const SECOND: Duration = Duration::from_secs(1);

fn target(url: &str, settings: Settings) -> Arc<Target> {
    Arc::new(example(url, settings))
}

fn board(targets: &[Arc<Target>]) -> Board {
    let options =
        HistogramOptions { buckets: Buckets::default(), native: true, phases: vec![Phase::Resolve, Phase::Connect] };
    let board = Board::new(options);
    board.replace(targets);
    board
}

fn attempt(address: &str, milliseconds: u64) -> Attempt {
    Attempt {
        address: address.parse().unwrap(),
        result: Ok(()),
        timings: Timings::default().with(Phase::Connect, Duration::from_millis(milliseconds)),
        duration: Duration::from_millis(milliseconds),
        syn_retransmits: 0,
        facts: Facts::default(),
        transcript: None,
    }
}

fn success() -> Outcome {
    let attempts = vec![attempt("127.0.0.1", 2)];
    Outcome {
        result: Ok(()),
        duration: SECOND,
        timings: attempts[0].timings,
        resolution: None,
        attempts,
        facts: Facts::default(),
        client_certificate_not_after: None,
    }
}

fn failed(class: Class) -> Outcome {
    let failure = Failure { phase: Phase::Connect, class, detail: "nothing listens".into() };
    Outcome {
        result: Err(Fault::Failure(failure)),
        duration: SECOND,
        timings: Timings::default(),
        resolution: None,
        attempts: Vec::new(),
        facts: Facts::default(),
        client_certificate_not_after: None,
    }
}

/// Reports outcomes of one target, a second apart.
struct Reporter {
    target: Arc<Target>,
    ended: Instant,
    ended_at: Timestamp,
}

impl Reporter {
    fn new(target: &Arc<Target>) -> Self {
        let ended_at = Timestamp::since_epoch(Duration::from_secs(1_000_000));
        Self { target: target.clone(), ended: Instant::now(), ended_at }
    }

    fn report(&mut self, outcome: Outcome) -> Report {
        self.ended += SECOND;
        self.ended_at = Timestamp::since_epoch(self.ended_at.as_duration() + SECOND);
        Report { target: self.target.clone(), outcome, ended: self.ended, ended_at: self.ended_at }
    }
}

fn read<T>(board: &Board, target: &Target, read: impl FnOnce(&Row) -> T) -> T {
    board.rows().find(&target.name, read).unwrap()
}

#[test]
fn an_outage_is_counted_and_timed() {
    let target = target("tcp://127.0.0.1:22", Settings::default());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let up = board.record(&reporter.report(success())).transition.unwrap();
    assert_eq!((up.from, up.to), (State::Unknown, State::Up));
    let first = board.record(&reporter.report(failed(Class::Refused)));
    assert_eq!(first, Recorded { next: Next::Retry(SECOND), transition: None });
    assert!(read(&board, &target, |row| row.failure().is_some() && row.state() == State::Up));
    let second = board.record(&reporter.report(failed(Class::Timeout)));
    assert_eq!(second.next, Next::OnSchedule, "a confirmed failure is not retried");
    let down = second.transition.unwrap();
    assert_eq!((down.from, down.to, down.lasted), (State::Up, State::Down, 2 * SECOND));
    assert_eq!(down.failure.unwrap().class, Class::Timeout);
    let still_down = board.record(&reporter.report(failed(Class::Timeout)));
    assert_eq!(still_down, Recorded { next: Next::OnSchedule, transition: None });
    read(&board, &target, |row| {
        assert_eq!((row.probes(), row.failed_probes(), row.outages()), (4, 3, 1));
        assert_eq!(row.down_time(reporter.ended), SECOND);
        assert_eq!(row.down_time(reporter.ended + SECOND), 2 * SECOND);
        let failures: Vec<_> = row.failures().collect();
        assert_eq!(failures, [(Phase::Connect, Class::Refused, 1), (Phase::Connect, Class::Timeout, 2)]);
    });
    let back = board.record(&reporter.report(success())).transition.unwrap();
    assert_eq!((back.from, back.to, back.lasted, back.failure), (State::Down, State::Up, 2 * SECOND, None));
    read(&board, &target, |row| {
        assert_eq!(row.down_time(reporter.ended + SECOND), 2 * SECOND);
        assert!(row.failure().is_none());
        assert_eq!(row.state_since(), Some(reporter.ended_at));
        assert_eq!(row.history().iter().filter(|recent| recent.failure.is_some()).count(), 3);
    });
}

#[test]
fn the_first_known_state_is_not_an_outage() {
    let target = target("tcp://127.0.0.1:22", Settings::default());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    board.record(&reporter.report(failed(Class::Refused)));
    let down = board.record(&reporter.report(failed(Class::Refused))).transition.unwrap();
    assert_eq!((down.from, down.to), (State::Unknown, State::Down));
    assert_eq!(read(&board, &target, Row::outages), 0);
}

#[test]
fn a_failure_stays_while_the_target_is_down() {
    let confirm = Confirm { failures: NonZeroU32::MIN, successes: NonZeroU32::new(2).unwrap(), ..Confirm::default() };
    let target = target("tcp://127.0.0.1:22", Settings { confirm, ..Settings::default() });
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    board.record(&reporter.report(failed(Class::Refused)));
    board.record(&reporter.report(success()));
    assert!(read(&board, &target, |row| row.state() == State::Down && row.failure().is_some()));
    board.record(&reporter.report(success()));
    assert!(read(&board, &target, |row| row.state() == State::Up && row.failure().is_none()));
}

#[test]
fn a_local_fault_is_only_counted() {
    let target = target("tcp://127.0.0.1:22", Settings::default());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    board.record(&reporter.report(success()));
    let before = read(&board, &target, |row| format!("{row:?}"));
    let fault = LocalFault { reason: LocalFaultReason::NoDescriptor, detail: "too many open files".into() };
    let outcome = Outcome { result: Err(Fault::LocalFault(fault)), ..failed(Class::Timeout) };
    assert_eq!(board.record(&reporter.report(outcome)), Recorded::NOTHING);
    assert_eq!(read(&board, &target, |row| format!("{row:?}")), before);
    let counted: Vec<_> = board.local_faults().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(LocalFaultReason::NoDescriptor, 1)]);
}

#[test]
fn a_report_of_a_replaced_target_is_discarded() {
    let old = target("tcp://127.0.0.1:22", Settings::default());
    let board = board(std::slice::from_ref(&old));
    let mut reporter = Reporter::new(&old);
    board.record(&reporter.report(success()));
    let new =
        target("tcp://127.0.0.1:22", Settings { source_address: Some([127, 0, 0, 9].into()), ..Settings::default() });
    board.replace(std::slice::from_ref(&new));
    let repeated = Recorded { next: Next::Repeat, transition: None };
    assert_eq!(board.record(&reporter.report(failed(Class::Refused))), repeated);
    read(&board, &new, |row| {
        assert_eq!((row.probes(), row.failed_probes(), row.state()), (1, 0, State::Up), "earlier results stay");
    });
    board.replace(&[Arc::new(Target {
        endpoint: example("tcp://127.0.0.1:23", Settings::default()).endpoint,
        ..Target::clone(&old)
    })]);
    assert_eq!(board.record(&reporter.report(success())), Recorded::NOTHING, "the endpoint is another");
    board.replace(&[]);
    assert_eq!(board.record(&reporter.report(success())), Recorded::NOTHING);
    assert!(board.rows().is_empty());
}

/// Otherwise a discovery source whose labels change with each refresh would hide slow results such as timeouts.
#[test]
fn changed_labels_do_not_discard_a_report() {
    let old = target("tcp://127.0.0.1:22", Settings::default());
    let board = board(std::slice::from_ref(&old));
    let labels = [(LabelName::try_new("team").unwrap(), "orders".into())].into_iter().collect();
    let cadence = Cadence::try_new(SECOND * 90, Cadence::DEFAULT_TIMEOUT).unwrap();
    let settings = Settings { cadence, slow_after: Some(SECOND), ..Settings::default() };
    let (labels, settings) = (Arc::new(labels), Arc::new(settings));
    let new = Arc::new(Target { labels, settings, ..Target::clone(&old) });
    board.replace(std::slice::from_ref(&new));
    let mut reporter = Reporter::new(&old);
    for _ in 0..Settings::default().confirm.failures.get() {
        board.record(&reporter.report(failed(Class::Timeout)));
    }
    read(&board, &new, |row| assert_eq!((row.failed_probes(), row.state()), (2, State::Down)));
}

#[test]
fn histograms_count_addresses_and_facts_keep_last_values() {
    let addressing = Addressing { mode: AddressMode::All, ..Addressing::default() };
    let target = target("tcp://db.example:22", Settings { addressing, ..Settings::default() });
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let attempts = vec![attempt("127.0.0.1", 2), attempt("::1", 3)];
    let outcome = Outcome {
        timings: attempts[1].timings.with(Phase::Resolve, SECOND),
        resolution: Some(Resolution { addresses: attempts.iter().map(|attempt| attempt.address).collect() }),
        attempts,
        ..success()
    };
    board.record(&reporter.report(outcome));
    board.record(&reporter.report(failed(Class::DnsTimeout)));
    read(&board, &target, |row| {
        let counts: Vec<_> = row.histograms().map(|(phase, histogram)| (phase, histogram.count())).collect();
        assert_eq!(counts, [(Phase::Resolve, 1), (Phase::Connect, 2)]);
        assert_eq!(row.resolved_addresses(), Some(2));
        assert_eq!(row.address(), Some("::1".parse().unwrap()));
        assert_eq!(row.addresses().len(), 2);
        assert_eq!(row.last().unwrap().timings, Timings::default(), "timings are those of the last probe");
    });
}

#[test]
fn an_address_keeps_its_result_after_local_faults() {
    let addressing = Addressing { mode: AddressMode::All, ..Addressing::default() };
    let target = target("tcp://db.example:22", Settings { addressing, ..Settings::default() });
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let (one, two, three) = (attempt("127.0.0.1", 2), attempt("127.0.0.2", 2), attempt("127.0.0.3", 2));
    board.record(&reporter.report(Outcome { attempts: vec![one.clone(), two.clone()], ..success() }));
    let fault = LocalFault { reason: LocalFaultReason::NoDescriptor, detail: "too many open files".into() };
    let untried = |attempt| Attempt { result: Err(Fault::LocalFault(fault.clone())), ..attempt };
    let refused = Attempt { result: failed(Class::Refused).result, ..one };
    let attempts = vec![refused, untried(two), untried(three)];
    board.record(&reporter.report(Outcome { attempts, ..failed(Class::Refused) }));
    let results = read(&board, &target, |row| row.addresses().to_vec());
    let result = |address: &str, success| AddressResult { address: address.parse().unwrap(), success };
    assert_eq!(results, [result("127.0.0.1", false), result("127.0.0.2", true)], "the third has no result yet");
}

#[test]
fn a_retry_waits_at_most_an_interval() {
    for (delay, next) in [
        (Duration::ZERO, Next::OnSchedule),
        (SECOND, Next::Retry(SECOND)),
        (Duration::from_hours(1), Next::Retry(Duration::from_mins(1))),
    ] {
        let confirm = Confirm { delay, ..Confirm::default() };
        let target = target("tcp://127.0.0.1:22", Settings { confirm, ..Settings::default() });
        let board = board(std::slice::from_ref(&target));
        let recorded = board.record(&Reporter::new(&target).report(failed(Class::Refused)));
        assert_eq!(recorded.next, next, "{delay:?}");
    }
}

#[test]
fn new_settings_drop_state_that_does_not_apply() {
    let addressing = Addressing { mode: AddressMode::All, ..Addressing::default() };
    let settings = Settings { addressing, slow_after: Some(SECOND * 2), ..Settings::default() };
    let before = target("tcp://db.example:22", settings);
    let board = board(std::slice::from_ref(&before));
    board.record(&Reporter::new(&before).report(success()));
    read(&board, &before, |row| assert_eq!((row.addresses().len(), row.slow()), (1, Some(false))));
    let after = target("tcp://db.example:22", Settings { slow_after: Some(SECOND / 2), ..Settings::default() });
    board.replace(std::slice::from_ref(&after));
    read(&board, &after, |row| {
        assert_eq!((row.addresses().len(), row.slow()), (0, Some(true)), "the new limit applies to the last probe");
    });
    let without = target("tcp://db.example:22", Settings::default());
    board.replace(std::slice::from_ref(&without));
    read(&board, &without, |row| assert_eq!(row.slow(), None));
}

#[test]
fn only_a_target_with_slow_after_is_slow() {
    for (limit, slow) in [(None, None), (Some(SECOND), Some(true)), (Some(2 * SECOND), Some(false))] {
        let target = target("tcp://127.0.0.1:22", Settings { slow_after: limit, ..Settings::default() });
        let board = board(std::slice::from_ref(&target));
        board.record(&Reporter::new(&target).report(success()));
        assert_eq!(read(&board, &target, Row::slow), slow, "{limit:?}");
    }
}

fn tls() -> Settings {
    Settings { probe_kind: ProbeKind::of_tls(TlsExchange::default()), ..Settings::default() }
}

fn showing(tls: TlsFacts) -> Facts {
    Facts { tls: Some(tls), ..Facts::default() }
}

#[test]
fn tls_facts_outlive_failures_and_local_faults() {
    let target = target("tls://127.0.0.1:443", tls());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let shown = example_facts(1, &[]);
    let expiry = Some(1_800_000_000);
    let facts = showing(shown.clone());
    board.record(&reporter.report(Outcome { facts, client_certificate_not_after: expiry, ..success() }));
    let fault = LocalFault { reason: LocalFaultReason::NoPort, detail: "no port".into() };
    let local = Outcome {
        result: Err(Fault::LocalFault(fault)),
        facts: showing(example_facts(2, &[Class::CertExpired])),
        ..success()
    };
    for outcome in [failed(Class::Refused), local, failed(Class::DnsTimeout)] {
        board.record(&reporter.report(outcome));
        read(&board, &target, |row| {
            assert_eq!(row.session(), shown.session.as_ref());
            assert_eq!(row.peer_certificates(), shown.peer.as_ref());
            assert_eq!(row.client_certificate_not_after(), expiry);
            assert_eq!(row.certificate_changes(), Some(0));
        });
    }
}

#[test]
fn a_faulty_certificate_replaces_only_the_certificate() {
    let target = target("tls://127.0.0.1:443", tls());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let before = example_facts(1, &[]);
    board.record(&reporter.report(Outcome { facts: showing(before.clone()), ..success() }));
    let faulty = TlsFacts { session: None, ..example_facts(2, &[Class::CertExpired, Class::CertNameMismatch]) };
    let facts = showing(faulty.clone());
    board.record(&reporter.report(Outcome { facts, ..failed(Class::CertExpired) }));
    read(&board, &target, |row| {
        assert_eq!(row.session(), before.session.as_ref());
        assert_eq!(row.peer_certificates(), faulty.peer.as_ref());
        assert_eq!(row.certificate_changes(), Some(1));
    });
    let facts = showing(TlsFacts { peer: None, ..before });
    board.record(&reporter.report(Outcome { facts, ..failed(Class::TlsAlert) }));
    assert_eq!(
        read(&board, &target, |row| row.peer_certificates().cloned()),
        faulty.peer,
        "a handshake without certificates keeps the last ones"
    );
}

#[test]
fn a_known_certificate_takes_no_memory() {
    let target = target("tls://127.0.0.1:443", tls());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let facts = example_facts(1, &[]);
    let shown = || Outcome { facts: showing(facts.clone()), ..success() };
    board.record(&reporter.report(shown()));
    let held = |row: &Row| row.peer_certificates().cloned().unwrap();
    let first = read(&board, &target, held);
    board.record(&reporter.report(shown()));
    assert!(Arc::ptr_eq(&first, &read(&board, &target, held)));
    // An equal result in another `Arc` replaces it, because the cache of the verifier holds the newer one.
    let equal = example_facts(1, &[]);
    board.record(&reporter.report(Outcome { facts: showing(equal.clone()), ..success() }));
    assert!(Arc::ptr_eq(&equal.peer.unwrap(), &read(&board, &target, held)));
}

#[test]
fn only_tls_targets_count_certificate_changes() {
    for (settings, changes) in [(Settings::default(), None), (tls(), Some(0))] {
        let target = target("tcp://127.0.0.1:443", settings);
        let board = board(std::slice::from_ref(&target));
        assert_eq!(read(&board, &target, Row::certificate_changes), changes);
        let facts = showing(example_facts(1, &[]));
        board.record(&Reporter::new(&target).report(Outcome { facts, ..success() }));
        assert_eq!(read(&board, &target, Row::certificate_changes), changes, "the first certificate is not a change");
    }
}

#[test]
fn a_new_leaf_of_many_addresses_counts_once() {
    let target = target("tls://db.example:443", tls());
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    for (leaf, changes) in [(1, 0), (1, 0), (2, 1), (1, 1), (3, 2)] {
        let with = |leaf| Attempt { facts: showing(example_facts(leaf, &[])), ..attempt("127.0.0.1", 2) };
        let attempts = vec![with(leaf), with(leaf), with(9)];
        board.record(&reporter.report(Outcome { facts: attempts[0].facts.clone(), attempts, ..success() }));
        assert_eq!(read(&board, &target, Row::certificate_changes), Some(changes), "{leaf}");
    }
}

#[test]
fn a_new_dialogue_drops_its_labels() {
    let steps =
        |bytes: &[u8]| ProbeKind::Plain(Application::Dialogue(Dialogue([Step::ExpectBytes(bytes.into())].into())));
    let with = |probe_kind| target("tcp://127.0.0.1:22", Settings { probe_kind, ..Settings::default() });
    let target = with(steps(b"SSH"));
    let board = board(std::slice::from_ref(&target));
    let mut reporter = Reporter::new(&target);
    let labels: Arc<[_]> = [(LabelName::try_new("software").unwrap(), "OpenSSH".to_owned())].into();
    let facts = Facts { dialogue: Some(labels.clone()), ..Facts::default() };
    board.record(&reporter.report(Outcome { facts, ..success() }));
    board.record(&reporter.report(failed(Class::Refused)));
    assert_eq!(read(&board, &target, |row| row.dialogue().to_vec()), *labels);
    for (probe_kind, kept) in [(steps(b"SSH"), 1), (steps(b"HTTP"), 0)] {
        let target = with(probe_kind);
        board.replace(std::slice::from_ref(&target));
        assert_eq!(read(&board, &target, |row| row.dialogue().len()), kept);
    }
}

#[test]
fn new_settings_keep_state_that_still_applies() {
    let identity = Identity { cert_file: "a.pem".into(), key_file: "a.key".into() };
    let profile = Arc::new(TlsProfile { identity: Some(identity), ..TlsProfile::default() });
    let settings = TlsSettings { profile, ..TlsSettings::default() };
    let probe_kind = |settings| ProbeKind::of_tls(TlsExchange { settings, ..TlsExchange::default() });
    let with = |probe_kind| target("tcp://127.0.0.1:443", Settings { probe_kind, ..Settings::default() });
    let target = with(probe_kind(settings));
    let board = board(std::slice::from_ref(&target));
    let facts = showing(example_facts(1, &[]));
    let outcome = Outcome { facts, client_certificate_not_after: Some(1), ..success() };
    board.record(&Reporter::new(&target).report(outcome));
    for (probe_kind, session, client) in [
        (probe_kind(TlsSettings::default()), true, None),
        (ProbeKind::default(), false, None),
        (probe_kind(TlsSettings::default()), false, None),
    ] {
        let target = with(probe_kind);
        board.replace(std::slice::from_ref(&target));
        read(&board, &target, |row| {
            assert_eq!((row.session().is_some(), row.client_certificate_not_after()), (session, client));
            let counts: Vec<_> = row.histograms().map(|(phase, histogram)| (phase, histogram.count())).collect();
            assert_eq!(counts, [(Phase::Connect, 1)], "histograms stay");
        });
    }
}

#[test]
fn only_completable_phases_have_histograms() {
    let dialogue = || Application::Dialogue(Dialogue([Step::ExpectBytes(b"x"[..].into())].into()));
    let of_tls =
        |upgrade, application| ProbeKind::of_tls(TlsExchange { upgrade, application, ..TlsExchange::default() });
    for (probe_kind, phases) in [
        (ProbeKind::default(), vec!["connect"]),
        (ProbeKind::Plain(dialogue()), vec!["connect", "protocol"]),
        (of_tls(Application::default(), Application::default()), vec!["connect", "tls"]),
        (of_tls(dialogue(), Application::default()), vec!["connect", "starttls", "tls"]),
        (of_tls(Application::default(), dialogue()), vec!["connect", "tls", "protocol"]),
    ] {
        let target = target("tcp://127.0.0.1:443", Settings { probe_kind, ..Settings::default() });
        let options = HistogramOptions { buckets: Buckets::default(), native: true, phases: Phase::ALL.to_vec() };
        let board = Board::new(options);
        board.replace(std::slice::from_ref(&target));
        let kept = read(&board, &target, |row| row.histograms().map(|(phase, _)| phase.as_str()).collect::<Vec<_>>());
        assert_eq!(kept, phases);
    }
}
