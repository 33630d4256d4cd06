//! Tests of the exposition: the list of families, the number of series per target, escaping.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::board::{Environment, LastReload, SourceStatus};
use crate::clock::Timestamp;
use crate::options::HistogramOptions;
use crate::outcome::{Attempt, Class, Facts, Fault, Outcome, Phase, Report, Resolution, Timings, example_facts};
use crate::target::{
    Group, GroupName, LabelName, LabelNameError, Labels, ProbeKind, Quorum, Settings, Shard, Target, TlsExchange,
    example,
};

mod peer;

/// A board and its metrics.
struct Exposed {
    board: Arc<Board>,
    metrics: Metrics,
    targets: Vec<Arc<Target>>,
}

impl Exposed {
    /// Creates targets that all have these labels.
    fn new(urls: &[&str], labels: &[(&str, &str)]) -> Self {
        let labels = labels_of(labels);
        let group = Arc::new(Group {
            name: GroupName::try_new("all").unwrap(),
            quorum: Quorum::default(),
            labels: labels.clone(),
        });
        let targets: Vec<_> = urls
            .iter()
            .map(|url| {
                let target = example(url, Settings { probe_kind: probe_kind(url), ..Settings::default() });
                Arc::new(Target { labels: Arc::new(labels.clone()), group: Some(group.clone()), ..target })
            })
            .collect();
        let board = Arc::new(Board::new(HistogramOptions::default()));
        board.replace_with(&targets, HashMap::new(), |environment| environment.labels = Arc::new(labels));
        let metrics = Metrics::new(board.clone(), Arc::default(), None, Arc::default(), Shard::default());
        Self { board, metrics, targets }
    }

    fn report(&self, target: usize, result: Result<(), Fault>) {
        self.report_showing(target, result, Facts::default());
    }

    fn report_showing(&self, target: usize, result: Result<(), Fault>, facts: Facts) {
        let address: IpAddr = [127, 0, 0, 1].into();
        let connected = Timings::default().with(Phase::Connect, Duration::from_millis(2));
        let secured = facts.tls.as_ref().is_some_and(|tls| tls.session.is_some());
        let timings = if secured { connected.with(Phase::Tls, Duration::from_millis(5)) } else { connected };
        let name = self.targets[target].endpoint.host.literal().is_none();
        let outcome = Outcome {
            duration: Duration::from_millis(3),
            timings: if name { timings.with(Phase::Resolve, Duration::from_millis(1)) } else { timings },
            resolution: name.then(|| Resolution { addresses: vec![address] }),
            attempts: vec![Attempt {
                address,
                result: result.clone(),
                duration: Duration::from_millis(2),
                timings,
                syn_retransmits: 0,
                facts: Facts::default(),
                transcript: None,
            }],
            result,
            client_certificate_not_after: facts.tls.is_some().then_some(1_900_000_000),
            facts,
        };
        let ended_at = Timestamp::since_epoch(Duration::from_secs(1_000_000));
        let target = self.targets[target].clone();
        self.board.record(&Report { target, outcome, ended: Instant::now(), ended_at });
    }

    fn text(&self) -> String {
        String::from_utf8(whole(self.metrics.exposition(Format::Text))).unwrap()
    }

    /// Returns every series line of this target.
    fn series_of(&self, target: usize) -> Vec<String> {
        let wanted = format!("target=\"{}\"", self.targets[target].name);
        self.text()
            .lines()
            .filter(|line| line.contains(&wanted))
            .map(str::to_owned)
            .collect()
    }
}

fn labels_of(labels: &[(&str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(name, value)| (LabelName::try_new(name).unwrap(), (*value).into()))
        .collect()
}

/// Returns the kind of probe for the scheme of this URL.
fn probe_kind(url: &str) -> ProbeKind {
    if url.starts_with("tls:") { ProbeKind::of_tls(TlsExchange::default()) } else { ProbeKind::default() }
}

fn whole(mut exposition: Exposition) -> Vec<u8> {
    std::iter::from_fn(|| exposition.next_piece().unwrap()).flatten().collect()
}

#[test]
fn a_scrape_counts_the_targets_it_contains() {
    let exposed = Exposed::new(&["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"], &[]);
    let exposition = exposed.metrics.exposition(Format::Text);
    exposed.board.replace(&exposed.targets[..1]);
    let text = String::from_utf8(whole(exposition)).unwrap();
    assert_eq!(text.matches("\nportprobe_target_info{").count(), 2);
    assert!(text.contains("\nportprobe_targets 2\n"), "{text}");
}

#[test]
fn a_scrape_shows_one_configuration() {
    let exposed = Exposed::new(&["tcp://127.0.0.1:1"], &[("round", "old")]);
    exposed.board.update(|environment| environment.reload.successful = false);
    let before = exposed.metrics.exposition(Format::Text);
    let labels = Arc::new(labels_of(&[("round", "new")]));
    let group = Group { labels: Labels::clone(&labels), ..Group::clone(exposed.targets[0].group.as_ref().unwrap()) };
    let target = Target { labels: labels.clone(), group: Some(Arc::new(group)), ..Target::clone(&exposed.targets[0]) };
    exposed.board.replace_with(&[Arc::new(target)], HashMap::new(), |environment| {
        let sources = vec![SourceStatus { name: "file:a".into(), targets: 1, invalid: 0, failures: 0 }];
        *environment = Environment { labels, reload: LastReload::success(Timestamp::default()), public: None, sources };
    });
    for (exposition, round, successful, sources) in
        [(before, "old", 0, 0), (exposed.metrics.exposition(Format::Text), "new", 1, 3)]
    {
        let text = String::from_utf8(whole(exposition)).unwrap();
        let label = format!("round=\"{round}\"");
        let series: Vec<_> = text.lines().filter(|line| line.starts_with("portprobe_")).collect();
        assert!(series.len() > 20 && series.iter().all(|line| line.contains(&label)), "{text}");
        let result = format!("\nportprobe_config_last_reload_successful{{{label}}} {successful}\n");
        assert!(text.contains(&result), "{text}");
        assert_eq!(text.matches("source=\"file:a\"").count(), sources, "{text}");
    }
}

fn refused() -> Result<(), Fault> {
    Err(Fault::failure(Phase::Connect, Class::Refused, "nothing listens"))
}

#[test]
fn families_match_the_golden_list() {
    let mut listed = String::new();
    for Family { name, kind, labels, help } in families() {
        writeln!(listed, "{name} {} {{{}}} {help}", kind.as_str(), labels.join(",")).unwrap();
    }
    let golden = include_str!("../../tests/resources/metrics/families.txt");
    assert_eq!(listed, golden, "dashboards and alerts use these names; change them only with the contract");
}

#[test]
fn every_family_label_is_reserved() {
    for label in families().flat_map(|family| family.labels) {
        assert_eq!(LabelName::try_new(label), Err(LabelNameError::Reserved), "{label}");
    }
}

#[test]
fn exposed_and_listed_families_are_the_same() {
    let exposed = Exposed::new(&["127.0.0.1:1", "db.example:1", "tls://127.0.0.1:443"], &[]);
    exposed.report(0, Ok(()));
    exposed.report(1, refused());
    let dialogue = Some([(LabelName::try_new("software").unwrap(), "OpenSSH".to_owned())].into());
    let facts = Facts { tls: Some(example_facts(1, &[Class::CertExpired])), dialogue, ..Facts::default() };
    exposed.report_showing(2, refused(), facts);
    exposed.metrics.http_requests().count("/metrics", 200);
    let text = exposed.text();
    let families: BTreeMap<_, _> = families().map(|family| (family.name, family)).collect();
    let mut series = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let family = families
            .get(name)
            .or_else(|| families.get(base))
            .unwrap_or_else(|| panic!("{name} is not listed"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest);
        for label in family.labels {
            // Empty for a target without a group or a build without a repository.
            let may_be_empty = matches!(*label, "group" | "revision");
            assert!(labels.contains(&format!("{label}=\"")) || may_be_empty, "{label} is missing in {line}");
        }
        series += 1;
    }
    assert!(series > 60, "{series}");
    for name in families.keys().filter(|name| name.starts_with("portprobe_")) {
        let exposed = |name: &str| {
            text.lines()
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        };
        let declared = text.matches(&format!("# TYPE {name} ")).count();
        assert_eq!(declared, usize::from(exposed(name) || exposed(&format!("{name}_count"))), "{name}");
    }
}

#[test]
fn a_healthy_plain_target_has_26_series() {
    let exposed = Exposed::new(&["127.0.0.1:1"], &[]);
    exposed.report(0, Ok(()));
    let series = exposed.series_of(0);
    assert_eq!(series.len(), 26, "{series:#?}");
}

#[test]
fn a_host_name_adds_3_series() {
    let exposed = Exposed::new(&["db.example:1"], &[]);
    exposed.report(0, Ok(()));
    let series = exposed.series_of(0);
    assert_eq!(series.len(), 26 + 3, "{series:#?}");
}

#[test]
fn tls_adds_21_series() {
    let exposed = Exposed::new(&["tls://127.0.0.1:443"], &[]);
    exposed.report_showing(0, Ok(()), Facts { tls: Some(example_facts(1, &[])), ..Facts::default() });
    let series = exposed.series_of(0);
    let own_certificate = series.iter().filter(|line| line.starts_with("portprobe_client_cert_")).count();
    assert_eq!((series.len() - own_certificate, own_certificate), (26 + 21, 1), "{series:#?}");
}

#[test]
fn an_unknown_target_has_only_counters() {
    let exposed = Exposed::new(&["127.0.0.1:1"], &[]);
    let text = exposed.text();
    for (line, present) in [
        ("portprobe_probes_total{target=\"tcp://127.0.0.1:1\"} 0", true),
        ("portprobe_outages_total{target=\"tcp://127.0.0.1:1\"} 0", true),
        ("portprobe_tcp_syn_retransmits_total{target=\"tcp://127.0.0.1:1\"} 0", true),
        ("portprobe_up{", false),
        ("portprobe_state_since_timestamp_seconds{", false),
        ("portprobe_probe_success{", false),
        ("portprobe_group_up{", false),
        ("portprobe_group_targets{group=\"all\"} 1", true),
    ] {
        assert_eq!(text.contains(line), present, "{line}\n{text}");
    }
}

/// There are more targets than fit into one block.
#[test]
fn text_formats_declare_a_family_once() {
    let urls: Vec<_> = (0..1100).map(|number| format!("tcp://a{number}:1")).collect();
    let exposed = Exposed::new(&urls.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    for format in [Format::Text, Format::OpenMetrics] {
        let text = String::from_utf8(whole(exposed.metrics.exposition(format))).unwrap();
        assert_eq!(text.matches("\n# TYPE portprobe_handshake_duration_seconds ").count(), 1);
        assert_eq!(text.matches("\nportprobe_handshake_duration_seconds_count{").count(), urls.len());
        assert_eq!(text.matches("# HELP portprobe_probes").count(), text.matches("# TYPE portprobe_probes").count());
        assert_eq!(text.matches("\nportprobe_probes_total{").count(), urls.len());
        assert!(
            text.lines()
                .all(|line| line.starts_with("# ") || line.starts_with("portprobe_") || line.starts_with("process_"))
        );
    }
}

#[test]
fn a_failure_series_ends_with_the_failure() {
    let exposed = Exposed::new(&["127.0.0.1:1"], &[]);
    exposed.report(0, Ok(()));
    exposed.report(0, refused());
    let failure = "portprobe_failure{target=\"tcp://127.0.0.1:1\",phase=\"connect\",class=\"refused\"} 1";
    assert!(exposed.series_of(0).contains(&failure.to_owned()));
    assert!(
        exposed
            .series_of(0)
            .contains(&"portprobe_up{target=\"tcp://127.0.0.1:1\"} 1".to_owned())
    );
    exposed.report(0, Ok(()));
    assert!(!exposed.series_of(0).contains(&failure.to_owned()));
    let counted = "portprobe_failures_total{target=\"tcp://127.0.0.1:1\",phase=\"connect\",class=\"refused\"} 1";
    assert!(exposed.series_of(0).contains(&counted.to_owned()));
}

#[test]
fn label_values_are_escaped() {
    let exposed = Exposed::new(&["127.0.0.1:1"], &[("note", "a \"quote\", a \\ and a\nline {x=\"1\"} ä")]);
    let text = exposed.text();
    let escaped = r#"note="a \"quote\", a \\ and a\nline {x=\"1\"} ä""#;
    let series: Vec<_> = text.lines().filter(|line| line.starts_with("portprobe_")).collect();
    assert!(!series.is_empty() && series.iter().all(|line| line.contains(escaped)), "{text}");
}

/// Parses the value of the label `note` in the text format: `\\`, `\"` and `\n` are escapes, everything else up to the
/// closing quote is literal.
fn note(line: &str) -> Option<String> {
    let mut characters = line.split_once("note=\"")?.1.chars();
    let mut value = String::new();
    loop {
        value.push(match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => '\n',
                character @ ('\\' | '"') => character,
                _ => return None,
            },
            character => character,
        });
    }
}

proptest! {
    #[test]
    fn any_label_value_survives_escaping(value in r#"[\\"\n\rn{}=, aä\x00-\x1f]{1,12}|\PC{1,12}"#) {
        let exposed = Exposed::new(&["127.0.0.1:1"], &[("note", &value)]);
        let text = exposed.text();
        let notes: Vec<_> = text.split('\n').filter(|line| line.starts_with("portprobe_")).map(note).collect();
        prop_assert!(!notes.is_empty() && notes.iter().all(|note| note.as_ref() == Some(&value)), "{}", text);
    }
}

#[test]
fn help_needs_no_escaping() {
    for family in families() {
        assert!(!family.help.contains(['\n', '\\']) && !family.help.ends_with('.'), "{}", family.name);
    }
}
