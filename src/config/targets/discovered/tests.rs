//! Targets of discovered entries.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{Config, discovered, parse};
use crate::target::{Application, ProbeKind, Roots, Step, Target, TlsVersion};

const CONFIG: &str = "\
labels: { region: eu, site: a }
defaults: { interval: 40s, labels: { tier: '1' } }
modules:
  fast: { interval: 5s, timeout: 1s, labels: { tier: '2', by: module } }
  slow: { interval: 2m }
groups: { db: { min_up: 7 }, web: {} }
limits: { targets: 9 }
discovery:
  - { file: sd/*.json, module: fast, labels: { by: source, from: files } }
  - { file: other.json, scheme: tls }
";

fn config(text: &str) -> Config {
    parse(text, Path::new("/etc/portprobe/a.yaml"), &|_| None)
        .and_then(|draft| draft.finish(&[]))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The targets of entries, and the errors of what is skipped.
#[derive(Debug)]
struct Built {
    targets: Vec<Arc<Target>>,
    invalid: Vec<String>,
}

/// Builds targets whose files are all readable.
fn built(context: &DiscoveryContext, source: &Source, entries: &[Discovered]) -> Built {
    let mut targets = context.targets();
    for candidate in context.candidates(source, entries) {
        match candidate {
            Ok(candidate) if targets.add(&candidate) == Capacity::Exhausted => break,
            Ok(_) => {}
            Err(error) => targets.skip(error),
        }
    }
    let (targets, invalid) = targets.finish();
    Built { targets, invalid: invalid.iter().map(ToString::to_string).collect() }
}

/// Builds targets of a source by its index.
fn build(config: &Config, source: usize, entries: &[Discovered]) -> Built {
    built(&config.discovery_context, &config.discovery[source], entries)
}

/// The targets of a text from the first source.
fn made(text: &str) -> Built {
    let config = config(CONFIG);
    build(&config, 0, &discovered(text).unwrap())
}

fn names(made: &Built) -> Vec<&str> {
    made.targets.iter().map(|target| target.name.as_str()).collect()
}

/// The target of a group with these labels.
fn labelled(labels: &str) -> Arc<Target> {
    let made = made(&format!("[{{targets: ['a:1'], labels: {{{labels}}}}}]"));
    let [target] = &*made.targets else { panic!("{labels}: {made:?}") };
    target.clone()
}

/// Returns the reason why a group with these labels is skipped.
fn refused(labels: &str) -> String {
    let made = made(&format!("[{{targets: ['a:1'], labels: {{{labels}}}}}, 'b:1']"));
    assert_eq!(names(&made), ["tcp://b:1"], "{labels}");
    let [reason] = &*made.invalid else { panic!("{labels}: {made:?}") };
    reason
        .strip_prefix("entry 1, `a:1`: ")
        .unwrap_or_else(|| panic!("{reason}"))
        .to_owned()
}

fn labels(target: &Target) -> Vec<(&str, &str)> {
    target.labels.iter().collect()
}

fn seconds(target: &Target) -> (u64, u64) {
    let cadence = target.settings.cadence;
    (cadence.interval().as_secs(), cadence.timeout().as_secs())
}

#[test]
fn both_formats_mix_in_one_list() {
    let made = made(
        r#"["a:1", {"targets": ["b:1", "tls://c:1-2"], "labels": {"team": "x"}}, {"url": "d:1", "name": "d"}, {"urls": ["e:1", "f:1"]}]"#,
    );
    assert_eq!(names(&made), ["tcp://a:1", "tcp://b:1", "tls://c:1", "tls://c:2", "d", "tcp://e:1", "tcp://f:1"]);
    assert!(made.invalid.is_empty(), "{made:?}");
    assert!(Arc::ptr_eq(&made.targets[1].labels, &made.targets[3].labels));
}

#[test]
fn an_address_of_dns_is_a_target() {
    let config = config(CONFIG);
    let entries = [Discovered::address("[2001:db8::1]:443".to_owned())];
    let made = build(&config, 1, &entries);
    assert_eq!(names(&made), ["tls://[2001:db8::1]:443"]);
}

#[test]
fn entry_source_module_and_defaults_are_levels() {
    let target = labelled("by: entry");
    let global = [("by", "entry"), ("from", "files"), ("region", "eu"), ("site", "a"), ("tier", "2")];
    assert_eq!((labels(&target), seconds(&target)), (global.to_vec(), (5, 1)));

    let target = labelled("__param_module: slow");
    assert_eq!(seconds(&target), (120, 10));
    let slow = [("by", "source"), ("from", "files"), ("region", "eu"), ("site", "a"), ("tier", "1")];
    assert_eq!(labels(&target), slow);

    let config = config(CONFIG);
    let plain = build(&config, 1, &discovered("['a:1']").unwrap());
    assert_eq!((plain.targets[0].name.as_str(), seconds(&plain.targets[0])), ("tls://a:1", (40, 10)));
}

#[test]
fn labels_with_two_underscores_are_not_exported() {
    let target = labelled("__scrape_interval__: 30s, __scrape_timeout__: 3s, __address__: x, __meta_a-b: y, __x: z");
    assert_eq!(seconds(&target), (30, 3));
    assert!(labels(&target).iter().all(|(name, _)| !name.starts_with('_')));

    let target = labelled(
        "__portprobe_interval: 20s, __scrape_interval__: 30s, __portprobe_name: n, __portprobe_group: db, \
         __portprobe_confirm_failures: '5', __portprobe_dns_servers: '192.0.2.1, 192.0.2.2:54', \
         __portprobe_expect: refused, __portprobe_ip: '', __portprobe_module: slow, __param_module: ''",
    );
    assert_eq!((target.name.as_str(), seconds(&target)), ("n", (20, 10)));
    assert_eq!(target.group.as_ref().map(|group| group.name.as_str()), Some("db"));
    assert_eq!(target.settings.confirm.failures.get(), 5);
    assert_eq!(target.settings.addressing.dns_servers.len(), 2);
    assert_eq!(target.settings.probe_kind.expect().as_str(), "refused");
}

#[test]
fn labels_can_set_tls_and_dialogues() {
    let target = labelled(
        r#"__portprobe_scheme: tls, __portprobe_tls_server_name: b.example, __portprobe_tls_ca_file: ca.pem,
           __portprobe_tls_alpn: "h2,http/1.1", __portprobe_tls_min_version: "1.3",
           __portprobe_dialogue: '[{send: "x\r\n"}, {expect: ^220}]'"#,
    );
    assert_eq!(target.name.as_str(), "tls://a:1");
    let ProbeKind::Tls(tls) = &target.settings.probe_kind else { panic!("{target:?}") };
    assert_eq!(tls.settings.server_name, "b.example".parse().ok());
    assert_eq!(tls.settings.profile.roots, Roots::File("/etc/portprobe/ca.pem".into()));
    assert_eq!(tls.settings.profile.alpn.len(), 2);
    assert_eq!(tls.settings.profile.versions.iter().collect::<Vec<_>>(), [TlsVersion::V1_3]);
    assert!(
        matches!(&tls.application, Application::Dialogue(steps) if matches!(&*steps.0, [Step::Send(_), Step::Expect(_)]))
    );
}

#[test]
fn every_setting_has_a_unique_label() {
    let keys: Vec<_> = setting_keys()
        .into_iter()
        .map(|setting| setting.key.replace('.', "_"))
        .collect();
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn a_reserved_label_is_exported() {
    let target = labelled("job: a, instance: b, exported_instance: c, target: d, url: e, from: ''");
    let expected = [
        ("by", "source"),
        ("exported_exported_instance", "b"),
        ("exported_instance", "c"),
        ("exported_job", "a"),
        ("exported_target", "d"),
        ("exported_url", "e"),
        ("region", "eu"),
        ("site", "a"),
        ("tier", "2"),
    ];
    assert_eq!(labels(&target), expected);
}

#[test]
fn an_invalid_group_is_skipped_with_its_reason() {
    for (labels, reason) in [
        (
            "a-b: x",
            "labels.a-b: is not a valid label name; must be letters, digits and underscores, not starting with a digit",
        ),
        ("team: [x]", "labels.team: is a list; must be a string"),
        ("team: x, team: y", "labels.team: duplicate key; remove one"),
        (
            "__portprobe_intervall: 5s",
            "labels.__portprobe_intervall: unknown setting `intervall`; did you mean `__portprobe_interval`?",
        ),
        ("__portprobe_every: 5s", "labels.__portprobe_every: unknown setting `every`"),
        ("__portprobe_labels: '{a: b}'", "labels.__portprobe_labels: unknown setting `labels`"),
        (
            "__portprobe_interval: '5'",
            "`__portprobe_interval`: `5` has no unit; must end in ms, s, m, h, d, w or y, like 5s",
        ),
        ("__scrape_interval__: 1ms", "`__scrape_interval__`: 1ms is out of range; must be between 100ms and 1d"),
        (
            "__scrape_interval__: 5s, __scrape_timeout__: 6s",
            "`__scrape_timeout__`: 6s is longer than the interval (5s); lower it or raise the interval",
        ),
        (
            "__portprobe_confirm_failures: x",
            "`__portprobe_confirm_failures`: `x` is not a valid number; must be a whole number of at least 1",
        ),
        (
            "__portprobe_dns_servers: '192.0.2.1,x'",
            "`__portprobe_dns_servers`[1]: `x` is not a valid DNS server; must be an IP address with an optional port, like 192.0.2.53 or [2001:db8::53]:5353",
        ),
        ("__portprobe_group: dbs", "`__portprobe_group`: unknown group `dbs`; did you mean `db`?"),
        ("__param_module: fats", "`__param_module`: unknown module `fats`; did you mean `fast`?"),
        ("__portprobe_name: \"a\\nb\"", "`__portprobe_name`: has a control character (`\\n`); remove it"),
        ("__portprobe_dialogue: '[{send: x, send: y}]'", "`__portprobe_dialogue`[0].send: duplicate key; remove one"),
        (
            "__portprobe_ip: ipv5",
            "`__portprobe_ip`: unknown value `ipv5`; must be one of `any`, `ipv4`, `ipv6`; did you mean `ipv4`?",
        ),
        (
            "__portprobe_dialogue: '['",
            "`__portprobe_dialogue`: is not valid YAML: did not find expected node content while parsing a flow node",
        ),
        (
            "__portprobe_ip: ipv5, a-b: x",
            "labels.a-b: is not a valid label name; must be letters, digits and underscores, not starting with a digit (and 1 more)",
        ),
        (
            "__portprobe_tls_verify: report",
            "`__portprobe_tls_verify`: only for targets with TLS; change the scheme, add a `dialogue` with `starttls: true`, or remove it",
        ),
    ] {
        assert_eq!(refused(labels), reason, "{labels}");
    }
}

#[test]
fn an_entry_with_unbounded_labels_is_skipped() {
    let long = "x".repeat(1 << 20);
    // The configuration has five more.
    let labels =
        |count: usize| -> BTreeMap<String, &str> { (0..count).map(|index| (format!("l{index}"), "x")).collect() };
    let entries = json!([
        { "targets": ["a:1"], "labels": { "note": long } },
        { "targets": ["b:1"], "labels": labels(60) },
        { "targets": ["c:1"], "labels": labels(59) },
        { "targets": ["d:1"], "labels": { "__meta_note": long } },
        { "url": "e:1", "labels": { "note": long } },
        { "targets": ["f:1"], "labels": { long.as_str(): "x" } },
    ]);
    let text = entries.to_string();
    let Built { targets, invalid } = made(&text);
    assert_eq!(targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["tcp://c:1", "tcp://d:1"]);
    assert_eq!(
        invalid,
        [
            "entry 1, `a:1`: labels.note: has 1048576 bytes; must have at most 512",
            "entry 2, `b:1`: labels: results in 65 labels; must be at most 64, including inherited ones",
            "entry 5, `e:1`: labels.note: has 1048576 bytes; must have at most 512",
            "entry 6, `f:1`: labels: has a label name of 1048576 bytes; must have at most 512",
        ]
    );
}

#[test]
fn an_invalid_url_is_skipped_without_the_others() {
    let made = made(
        "[{targets: ['a:1', 'b:0', 7, 'u:hunter2@c:1', 'd:1']}, {urls: ['e', 'f:1']}, 'g', {url: 'h:x'}, 5, {url: 'i:1', intervall: 5s}, null, {targets: [], label: {}}]",
    );
    assert_eq!(names(&made), ["tcp://a:1", "tcp://d:1", "tcp://f:1"]);
    assert_eq!(
        made.invalid,
        [
            "entry 1, `b:0`: port 0 is out of range; must be between 1 and 65535",
            "entry 1: is the number 7; must be a URL like tcp://host:443",
            "entry 1, `...` (hidden, may contain a password): has a user or password before `@`; probes do not log in; remove it",
            "entry 2, `e`: has no port, and tcp has no default port; add one, like host:443",
            "entry 3, `g`: has no port, and tcp has no default port; add one, like host:443",
            "entry 4, `h:x`: url: `x` is not a valid port; must be a number between 1 and 65535, or a list like 22,8000-8010",
            "entry 5: is the number 5; must be a URL like tcp://host:443, or a mapping with `url`",
            "entry 6, `i:1`: intervall: unknown key; did you mean `interval`?",
            "entry 7: is empty; must be a URL like tcp://host:443, or a mapping with `url`",
            "entry 8: label: unknown key; did you mean `labels`?",
        ]
    );
}

#[test]
fn the_first_target_keeps_a_repeated_name() {
    let made = made(
        "['a:1', {targets: ['b:1', 'A:1', 'b:1-2'], labels: {team: x}}, {url: 'c:1', name: n}, {targets: ['d:1'], labels: {__portprobe_name: n}}]",
    );
    assert_eq!(names(&made), ["tcp://a:1", "tcp://b:1", "tcp://b:2", "n"]);
    let twice = |number: usize, url: &str, name: &str, first: usize| {
        format!(
            "entry {number}, `{url}`: duplicate target name `{name}`, also used by entry {first}; remove one, or set another name"
        )
    };
    let expected = [twice(2, "A:1", "tcp://a:1", 1), twice(2, "b:1-2", "tcp://b:1", 2), twice(4, "d:1", "n", 3)];
    assert_eq!(made.invalid, expected);
}

#[test]
fn the_limit_of_targets_applies_to_a_source() {
    let made = made("['a:1-8', {targets: ['b:1-65535', 'c:1']}, 'd:1']");
    assert_eq!(made.targets.len(), 9);
    let message = "entry 2, `b:1-65535`: skipped, like all later entries: `limits.targets` is 9; raise it, or set it to 0 for no limit";
    assert_eq!(made.invalid, [message]);
}

#[test]
fn candidates_know_their_files_and_urls() {
    let config = config(CONFIG);
    let text =
        "[{urls: ['tls://a:1-2', 'http://b', 'tcp://c:1'], tls: {ca_file: ca.pem}, http: {headers_files: {x-a: a}}}]";
    let entries = discovered(text).unwrap();
    let candidates = config.discovery_context.candidates(&config.discovery[0], &entries);
    let candidates: Vec<_> = candidates
        .map(|candidate| candidate.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    let required: Vec<_> = candidates.iter().map(Candidate::required).collect();
    let [tls, http, tcp] = &*required else { panic!("{required:?}") };
    assert!(matches!(&**tls, [Required::Tls(profile)] if profile.roots == Roots::File("/etc/portprobe/ca.pem".into())));
    assert!(matches!(&**http, [Required::Header(file)] if file.path() == Path::new("/etc/portprobe/a")));
    assert!(tcp.is_empty());
    assert_eq!(candidates[0].error("is bad").to_string(), "entry 1, `tls://a:1-2`: is bad");
}

/// Otherwise the source could send any one-line file to any host.
#[test]
fn a_remote_entry_cannot_name_header_files() {
    let config = config(
        "{modules: {m: {http: {headers_files: {x-a: token}}}}, discovery: [{http: 'https://a.example'}, {file: a.json}]}",
    );
    let text = "[{url: 'http://a', http: {headers_files: {x-a: /run/secret}}}, {url: 'http://b', module: m}]";
    let entries = discovered(text).unwrap();
    let made = build(&config, 0, &entries);
    assert_eq!(names(&made), ["http://b:80"]);
    let message = "entry 1, `http://a`: http.headers_files: not allowed in an entry of an HTTP source, because it names a local file; set it in a module, and refer to that";
    assert_eq!(made.invalid, [message]);
    assert_eq!(names(&build(&config, 1, &entries)).len(), 2);
}

#[test]
fn an_unknown_source_has_no_targets() {
    let (one, other) = (config(CONFIG), config("discovery: [{file: x.json}]"));
    let made = built(&one.discovery_context, &other.discovery[0], &discovered("['a:1']").unwrap());
    assert_eq!((names(&made), made.invalid.len()), (vec![], 0));
}

#[test]
fn targets_can_be_built_on_any_thread() {
    let config = config(CONFIG);
    let (context, source) = (config.discovery_context.clone(), config.discovery[0].clone());
    let made = thread::spawn(move || built(&context, &source, &discovered("['a:1']").unwrap()));
    assert_eq!(made.join().unwrap().targets.len(), 1);
}

/// The labels of a group are read once, not per target.
#[test]
fn a_large_group_takes_linear_time() {
    let config = config(&CONFIG.replace("targets: 9", "targets: 0"));
    let targets: Vec<_> = (0..100_000).map(|index| format!("\"a{index}:1\"")).collect();
    let labels: Vec<_> = (0..10_000).map(|index| format!("\"__meta_l{index}\": \"v\"")).collect();
    let text = format!("[{{\"targets\": [{}], \"labels\": {{{}}}}}]", targets.join(","), labels.join(","));
    let started = tokio::time::Instant::now();
    let made = build(&config, 0, &discovered(&text).unwrap());
    assert_eq!((made.targets.len(), made.invalid.len()), (100_000, 0));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_group_causes_a_panic(
        label in r"(__portprobe_|__scrape_|__)?[a-z_]{0,12}(__)?",
        key in prop::sample::select(setting_keys()),
        value in r#"(~|\[\]|[0-9.-]{1,9}|"[^"\\]{0,9}"|'[^']{0,12}'|[a-z/]{1,9})"#,
        url in r"\PC{0,12}",
    ) {
        let url = url.replace('\'', "''");
        let own = key.key.replace('.', "_");
        let text = format!(
            "- targets: ['{url}', 'a:1']\n  labels: {{{label}: {value}, __portprobe_{own}: {value}}}\n- b:1\n"
        );
        if let Ok(entries) = discovered(&text) {
            let config = config(CONFIG);
            let made = build(&config, 0, &entries);
            prop_assert_eq!(made.targets.last().map(|target| target.name.as_str()), Some("tcp://b:1"));
            prop_assert!(made.invalid.iter().all(|line| line.starts_with("entry 1") && !line.contains('\n')));
        }
    }
}
