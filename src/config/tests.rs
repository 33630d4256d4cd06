//! Configurations as a whole.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::keys::read::Mapping;
use crate::duration;
use crate::target::{
    AddressMode, Application, AuditSettings, Expect, FileProblem, Host, Identity, IpFamily, Part, Pattern, ProbeKind,
    Quorum, Roots, Settings, Step, Template, TlsExchange, TlsFile, TlsProfile, TlsVersion, Verify,
};

fn environment(name: &str) -> Option<String> {
    (name == "POD_NAME").then(|| "web-1".to_owned())
}

/// The configuration of a text whose files are all readable.
fn finished(text: &str) -> Result<Config, LoadError> {
    parse(text, Path::new("a.yaml"), &environment)?.finish(&[])
}

/// The problems of a configuration in `/etc/a.yaml` with these errors of files.
fn refused(text: &str, read: impl FnMut(Required) -> Option<Unreadable>) -> Vec<String> {
    let draft = parse(text, Path::new("/etc/a.yaml"), &environment).unwrap();
    let unreadable: Vec<_> = draft.required().filter_map(read).collect();
    draft
        .finish(&unreadable)
        .unwrap_err()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn compiled(text: &str) -> Config {
    finished(text).unwrap_or_else(|error| panic!("{error}"))
}

fn resource(name: &str) -> Config {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/config/valid");
    load(&directory.join(name), &environment)
        .and_then(|draft| draft.finish(&[]))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn target<'a>(config: &'a Config, name: &str) -> &'a Target {
    config
        .targets
        .iter()
        .find(|target| target.name.as_str() == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn labels(target: &Target) -> Vec<(&str, &str)> {
    target.labels.iter().collect()
}

fn cadence(settings: &Settings) -> (String, String) {
    let cadence = settings.cadence;
    (duration::display(cadence.interval()).to_string(), duration::display(cadence.timeout()).to_string())
}

#[test]
fn a_single_url_is_a_valid_configuration() {
    let config = resource("minimal.yaml");
    let target = target(&config, "tcp://127.0.0.1:22");
    assert_eq!(*target.settings, Settings::default());
    assert_eq!((labels(target), &target.group), (vec![], &None));
    assert_eq!(compiled("targets: ['127.0.0.1:22']").targets, config.targets);
    assert_eq!(
        config,
        Config {
            targets: config.targets.clone(),
            labels: Labels::default(),
            groups: vec![],
            histograms: HistogramOptions::default(),
            limits: Limits::default(),
            dns: ResolverOptions::default(),
            probe_endpoint: None,
            public: None,
            audits: vec![],
            discovery: vec![],
            discovery_context: config.discovery_context.clone(),
            redacted: config.redacted.clone(),
            warnings: Vec::new(),
        }
    );
}

#[test]
fn an_audit_has_defaults() {
    let config =
        compiled("audit: [{ name: dmz, hosts: [203.0.113.0/28, db.example], ports: 1-65535, open: [22, 443] }]");
    assert!(config.targets.is_empty());
    let [audit] = &config.audits[..] else { panic!("{:?}", config.audits) };
    let AuditSettings { name, hosts, ports, open, interval, timeout, per_second } = audit.settings();
    assert_eq!((name.as_str(), hosts.len(), ports.count()), ("dmz", 2, 65535));
    assert_eq!(open.as_ref().map(ToString::to_string).as_deref(), Some("22,443"));
    let defaults = (Audit::DEFAULT_INTERVAL, Audit::DEFAULT_TIMEOUT, Audit::DEFAULT_PER_SECOND);
    assert_eq!((*interval, *timeout, *per_second), defaults);
    assert!(finished("audit: []").is_err(), "without targets");
}

#[test]
fn an_enabled_probe_endpoint_has_an_allow_list() {
    let endpoint = |text: &str| compiled(&format!("probe_endpoint: {text}\ntargets: ['a:1']")).probe_endpoint;
    for disabled in ["{}", "{ enabled: false, allow: [10.0.0.0/8] }", "{ allow: [10.0.0.0/8] }"] {
        assert_eq!(endpoint(disabled), None, "{disabled}");
    }
    let allow = endpoint("{ enabled: true, allow: [10.0.0.0/8, '.example.com'] }").unwrap();
    let host = |name: &str| Host::Name(name.parse().unwrap());
    assert!(allow.permits(&host("db.other.test"), [[10, 0, 0, 1].into()]));
    assert!(allow.permits(&host("db.example.com"), [[192, 0, 2, 1].into()]));
    assert!(!allow.permits(&host("db.other.test"), [[192, 0, 2, 1].into()]));
    let alone = compiled("probe_endpoint: { enabled: true, allow: [10.0.0.0/8] }");
    assert!(alone.targets.is_empty() && alone.probe_endpoint.is_some());
}

#[test]
fn a_complete_configuration_is_read() {
    let config = resource("contract.yaml");
    let names: Vec<_> = config.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["tcp://10.0.0.5:22", "tcp://10.0.0.5:6379", "orders-db-1"]);
    let global = [("pod", "web-1"), ("region", "eu-west-1")];
    assert_eq!(config.labels.iter().collect::<Vec<_>>(), global);
    assert_eq!(labels(&config.targets[0]), global);
    let db = target(&config, "orders-db-1");
    let own = [("owner", "dba@example.com"), ("pod", "web-1"), ("region", "eu-west-1"), ("team", "orders")];
    assert_eq!(labels(db), own);
    assert_eq!(db.endpoint.to_string(), "tcp://db-1.internal:5432");
    assert_eq!(db.settings.addressing.family, IpFamily::Ipv4);
    assert_eq!(cadence(&db.settings), ("15s".into(), "10s".into()));
    let group = db.group.as_deref().unwrap();
    assert_eq!((group.name.as_str(), group.quorum), ("orders-db", Quorum::MinUp(1)));
    let group_labels = [("pod", "web-1"), ("region", "eu-west-1"), ("team", "orders")];
    assert_eq!(group.labels.iter().collect::<Vec<_>>(), group_labels);
}

#[test]
fn equal_settings_and_labels_are_shared() {
    let config = compiled(
        "{labels: {a: b}, targets: ['a:1-2', {url: 'b:1', interval: 1m}, {url: 'c:1', interval: 5s}, {url: 'd:1', labels: {a: b}}]}",
    );
    let [first, others @ ..] = &*config.targets else { panic!("no targets") };
    let same_settings: Vec<_> = others
        .iter()
        .map(|other| Arc::ptr_eq(&first.settings, &other.settings))
        .collect();
    assert_eq!(same_settings, [true, true, false, true]);
    assert!(others.iter().all(|other| Arc::ptr_eq(&first.labels, &other.labels)));
}

#[test]
fn an_empty_value_removes_a_merged_label() {
    let config = compiled(
        "{labels: {a: '1', b: '1', c: '1', d: '1'}, defaults: {labels: {b: '2', c: '2', d: '2'}},
          modules: {m: {labels: {c: '3', d: '3'}}}, targets: [{url: 'a:1', module: m, labels: {d: '4', a: ''}}, 'b:1']}",
    );
    assert_eq!(labels(&config.targets[0]), [("b", "2"), ("c", "3"), ("d", "4")]);
    assert_eq!(labels(&config.targets[1]), [("a", "1"), ("b", "2"), ("c", "2"), ("d", "2")]);
}

#[test]
fn the_nearest_list_wins_even_if_empty() {
    let config = compiled(
        "{defaults: {dns_servers: [192.0.2.1, 192.0.2.2], expect_addresses: [10.0.0.0/8]},
          targets: [{url: 'a:1', dns_servers: ['192.0.2.3:5353']}, {url: 'b:1', expect_addresses: []}]}",
    );
    let addressing = |index: usize| &config.targets[index].settings.addressing;
    assert_eq!(addressing(0).dns_servers, ["192.0.2.3:5353".parse().unwrap()]);
    assert_eq!((addressing(0).expect.len(), addressing(1).expect.len(), addressing(1).dns_servers.len()), (1, 0, 2));
}

#[test]
fn plain_scalars_become_text_if_expected() {
    let config = resource("scalars_as_text.yaml");
    let expected = [("quoted", "0x1F"), ("rack", "7"), ("ratio", "1.5"), ("spare", "true"), ("text", "007")];
    assert_eq!(labels(target(&config, "42")), expected);
}

#[test]
fn a_number_that_yaml_rewrites_is_refused() {
    for (written, read) in [
        ("0x1F", "31"),
        ("0o17", "15"),
        ("0b11", "3"),
        ("+7", "7"),
        ("-0", "0"),
        ("1.10", "1.1"),
        ("1e3", "1000.0"),
        ("18446744073709551616", "1.8446744073709552e19"),
    ] {
        for text in [
            format!("labels: {{a: {written}}}"),
            format!("labels:\n  a: {written}"),
            format!("labels:\n  ? a\n  : {written}"),
        ] {
            let error = finished(&format!("{text}\ntargets: ['a:1']")).unwrap_err();
            let message = format!("labels.a: YAML reads `{written}` as {read}; quote it: \"{written}\"");
            assert!(error.to_string().ends_with(&message), "{text}: {error}");
        }
    }
    for plain in ["7", "-7", "1.5", "true", "007", "1_000", "1.0", "'0x1F'"] {
        let text = format!("labels: {{a: {plain}}}\ntargets: ['a:1']");
        let result = finished(&text);
        assert!(result.is_ok(), "{plain}: {}", result.unwrap_err());
    }
}

#[test]
fn labels_keep_every_character_of_their_values() {
    let config = resource("unusual_label_values.yaml");
    let expected = [("backslash", "a\\b"), ("dollar", "$$ ${NOT_HERE}"), ("lines", "a\nb")];
    assert_eq!(labels(&config.targets[0]), expected);
}

#[test]
fn merge_keys_add_settings_to_a_target() {
    let config = resource("anchors_and_merges.yaml");
    for (name, interval) in [("tcp://a.example:1", "15s"), ("tcp://b.example:1", "10s"), ("tcp://c.example:1", "10s")] {
        let target = target(&config, name);
        assert_eq!(cadence(&target.settings), (interval.into(), "5s".into()), "{name}");
        assert_eq!(labels(target), [("team", "db")], "{name}");
    }
}

#[test]
fn only_a_nearer_interval_shortens_a_timeout() {
    for (defaults, module, own, expected) in [
        ("", "", "", Ok(("1m", "10s"))),
        ("interval: 5s", "", "", Ok(("5s", "5s"))),
        ("", "interval: 5s", "", Ok(("5s", "5s"))),
        ("timeout: 30s", "", "interval: 20s", Ok(("20s", "20s"))),
        ("timeout: 30s", "interval: 20s", "", Ok(("20s", "20s"))),
        ("timeout: 30s, interval: 40s", "", "interval: 20s", Ok(("20s", "20s"))),
        ("", "timeout: 30s", "interval: 20s", Ok(("20s", "20s"))),
        ("interval: 20s", "timeout: 30s", "", Err("modules.m.timeout: 30s is longer than the interval (20s)")),
        ("interval: 20s", "", "timeout: 30s", Err("targets[0].timeout: 30s is longer than the interval (20s)")),
        ("", "", "timeout: 90s", Err("targets[0].timeout: 1m30s is longer than the interval (1m)")),
        ("timeout: 90s", "", "", Err("defaults.timeout: 1m30s is longer than the interval (1m)")),
        ("timeout: 90s", "", "interval: 2m", Ok(("2m", "1m30s"))),
        (
            "timeout: 20s, interval: 10s",
            "",
            "interval: 1m",
            Err("defaults.timeout: 20s is longer than the interval (10s)"),
        ),
    ] {
        let text = format!(
            "{{defaults: {{{defaults}}}, modules: {{m: {{{module}}}}}, targets: [{{url: 'a:1', module: m, {own}}}]}}"
        );
        match (finished(&text), expected) {
            (Ok(config), Ok((interval, timeout))) => {
                assert_eq!(cadence(&config.targets[0].settings), (interval.to_owned(), timeout.to_owned()), "{text}");
            }
            (Err(error), Err(message)) => assert!(error.to_string().contains(message), "{text}: {error}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[test]
fn an_interval_limits_the_delay_of_a_retry() {
    let config = compiled("targets: [{url: 'a:1', interval: 500ms}]");
    assert_eq!(config.targets[0].settings.confirm.delay, Duration::from_millis(500));
}

#[test]
fn zero_disables_a_limit() {
    let config = compiled("{limits: {targets: 0, in_flight: 0, per_host: 0, per_second: 5}, targets: ['a:1']}");
    let unlimited = Limits { targets: None, in_flight: None, per_host: None, per_second: NonZeroU32::new(5) };
    assert_eq!(config.limits, unlimited);
}

#[test]
fn histograms_can_be_turned_off() {
    let config = compiled("{histograms: {phases: [], native: false, buckets: [1, 2.5]}, targets: ['a:1']}");
    assert_eq!((config.histograms.phases, config.histograms.native), (vec![], false));
    assert_eq!(config.histograms.buckets.bounds(), [1.0, 2.5]);
}

#[test]
fn a_group_that_grows_may_be_empty() {
    let config = compiled("{groups: {g: {max_down: 0}}, targets: ['a:1']}");
    assert_eq!(config.groups[0].quorum, Quorum::MaxDown(0));
}

#[test]
fn members_above_the_limit_are_still_counted() {
    let text = "{limits: {targets: 2}, groups: {g: {min_up: 3}}, targets: [{url: 'a:1-65535', group: g}, 'a:1']}";
    let error = finished(text).unwrap_err().to_string();
    assert!(error.contains("has 65536 targets; must have at most 2"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

/// Types and schema come from one declaration, but a flattened key could hide another.
#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    let properties = |definition: &serde_json::Value| -> Vec<String> {
        definition["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(properties(&schema), keys::Configuration::keys());
    assert_eq!(properties(&schema["$defs"]["Settings"]), keys::Settings::keys());
    assert_eq!(properties(&schema["$defs"]["Target"]), keys::Target::keys());
    assert_eq!(properties(&schema["$defs"]["Tls"]), keys::Tls::keys());
    assert_eq!(properties(&schema["$defs"]["Http"]), keys::Http::keys());
    assert_eq!(properties(&schema["$defs"]["Step"]), keys::Step::keys());
    assert_eq!(properties(&schema["$defs"]["Source"]), keys::Source::keys());
    for definition in schema["$defs"].as_object().unwrap().values() {
        assert_eq!(definition["additionalProperties"], false);
    }
}

/// Keys with their documented defaults.
fn defaults(keys: &[SettingKey]) -> Vec<(&str, &str)> {
    keys.iter()
        .map(|key| (key.key.as_str(), key.default.as_deref().unwrap_or("none")))
        .collect()
}

#[test]
fn documented_defaults_match_the_code() {
    let keys = setting_keys();
    assert_eq!(
        defaults(&keys),
        [
            ("interval", "60s"),
            ("timeout", "10s"),
            ("scheme", "tcp"),
            ("group", "none"),
            ("module", "none"),
            ("labels", "none"),
            ("confirm.failures", "2"),
            ("confirm.delay", "1s"),
            ("confirm.successes", "1"),
            ("expect", "open"),
            ("ip", "any"),
            ("addresses", "any"),
            ("expect_addresses", "none"),
            ("dns_servers", "none"),
            ("source_address", "none"),
            ("slow_after", "none"),
            ("tls.server_name", "none"),
            ("tls.verify", "strict"),
            ("tls.roots", "mozilla"),
            ("tls.ca_file", "none"),
            ("tls.cert_file", "none"),
            ("tls.key_file", "none"),
            ("tls.min_version", "1.2"),
            ("tls.max_version", "1.3"),
            ("tls.alpn", "none"),
            ("tls.key_exchange", "[x25519mlkem768, x25519, secp256r1, secp384r1]"),
            ("tls.pins", "none"),
            ("tls.crl_files", "none"),
            ("dialogue", "none"),
            ("http.method", "GET"),
            ("http.headers", "none"),
            ("http.headers_files", "none"),
            ("http.status", "[2xx]"),
            ("http.body", "none"),
            ("http.body_limit", "1048576"),
        ]
    );
    assert!(setting_keys().iter().all(|key| key.meaning.ends_with('.')));
    let of_kind = |kind| -> Vec<_> {
        setting_keys()
            .into_iter()
            .filter(|setting| setting.kind == kind)
            .map(|setting| setting.key)
            .collect()
    };
    assert_eq!(of_kind(ValueKind::Mapping), ["labels", "dialogue", "http.headers", "http.headers_files"]);
    let lists =
        ["expect_addresses", "dns_servers", "tls.alpn", "tls.key_exchange", "tls.pins", "tls.crl_files", "http.status"];
    assert_eq!(of_kind(ValueKind::List), lists);
}

#[test]
fn documented_top_level_defaults_match_the_code() {
    let keys = top_level_keys();
    assert_eq!(
        defaults(&keys),
        [
            ("labels", "none"),
            ("defaults", "none"),
            ("modules", "none"),
            ("groups.NAME.min_up", "1"),
            ("groups.NAME.max_down", "none"),
            ("groups.NAME.labels", "none"),
            ("targets", "none"),
            ("discovery", "none"),
            ("histograms.buckets", "[0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 5]"),
            ("histograms.native", "true"),
            ("histograms.phases", "[connect, tls]"),
            ("limits.targets", "200000"),
            ("limits.in_flight", "4096"),
            ("limits.per_host", "32"),
            ("limits.per_second", "0"),
            ("dns.timeout", "2s"),
            ("dns.tries", "2"),
            ("probe_endpoint.enabled", "false"),
            ("probe_endpoint.allow", "none"),
            ("public.match", "none"),
            ("public.title", "Status"),
            ("audit", "none"),
        ]
    );
    assert!(top_level_keys().iter().all(|key| key.meaning.ends_with('.')));
}

fn tls<'a>(config: &'a Config, name: &str) -> &'a TlsExchange {
    target(config, name)
        .settings
        .probe_kind
        .tls()
        .unwrap_or_else(|| panic!("{name} has no TLS"))
}

#[test]
fn levels_of_tls_merge_key_by_key() {
    let config = resource("tls.yaml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/config/valid");
    let alpn = |name: &str| -> Vec<_> {
        tls(&config, name)
            .settings
            .profile
            .alpn
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect()
    };

    let plain = &tls(&config, "tls://a.example:443").settings;
    assert_eq!((plain.verify, &plain.profile.roots), (Verify::Report, &Roots::Mozilla));
    assert_eq!(plain.profile.versions.iter().collect::<Vec<_>>(), [TlsVersion::V1_3]);
    assert_eq!(alpn("tls://a.example:8443"), ["h2", "http/1.1"]);

    let corporate = &tls(&config, "tls://b.example:443").settings;
    let client = folder.join("client.pem");
    assert_eq!((corporate.verify, corporate.server_name.clone()), (Verify::Strict, "192.0.2.1".parse().ok()));
    assert_eq!(corporate.profile.roots, Roots::File(folder.join("ca.pem")));
    assert_eq!(corporate.profile.identity, Some(Identity { cert_file: client.clone(), key_file: client }));
    assert_eq!(corporate.profile.crl_files, [Path::new("/etc/revoked.pem")]);

    assert_eq!(target(&config, "tcp://c.example:22").settings.probe_kind, ProbeKind::default());
    assert!(Arc::ptr_eq(&corporate.profile, &tls(&config, "tls://c.example:443").settings.profile));

    let nearer = &tls(&config, "tls://d.example:443").settings.profile;
    assert_eq!((&nearer.roots, nearer.crl_files.len(), nearer.alpn.len()), (&Roots::System, 0, 0));
    let pins = &tls(&config, "tls://e.example:443").settings.pins;
    assert!(pins.len() == 2 && pins[0] == pins[1], "{pins:?}");
}

#[test]
fn paths_of_sources_are_relative_to_the_file() {
    let config = resource("discovery.yaml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/config/valid");
    let names: Vec<_> = config.discovery.iter().map(|source| &*source.name).collect();
    let expected = [
        "file:sd/*.json",
        "file:/etc/portprobe/sd/?-targets.yaml",
        "http:https://cmdb.internal/sd?site=<hidden>",
        "http:http://[2001:db8::1]:8080/",
        "dns:SRV:_postgres._tcp.internal",
        "dns:A:web.internal:443",
        "dns:AAAA:web.internal.:443",
    ];
    assert_eq!(names, expected);
    let refresh: Vec<_> = config.discovery.iter().map(|source| source.refresh.as_secs()).collect();
    assert_eq!(refresh, [60, 1, 60, 86_400, 60, 60, 60]);

    let kinds: Vec<_> = config.discovery.iter().map(|source| &source.kind).collect();
    assert_eq!(*kinds[0], SourceKind::File { pattern: folder.join("sd/*.json") });
    let SourceKind::Http(http) = kinds[2] else { panic!("{kinds:?}") };
    let headers = [("authorization", folder.join("token")), ("x-scope", "/run/secrets/scope".into())];
    assert_eq!(http.headers_files, headers.map(|(name, path)| (name.to_owned(), path)));
    assert_eq!((&http.tls.profile.roots, http.tls.verify), (&Roots::File(folder.join("ca.pem")), Verify::Report));
    let records = |index: usize| match kinds[index] {
        SourceKind::Dns { records, .. } => *records,
        other => panic!("{other:?}"),
    };
    assert_eq!([records(4), records(5), records(6)], [Records::Srv, Records::A(443), Records::Aaaa(443)]);
}

fn bad(required: &Required, settings: impl IntoIterator<Item = TlsFile>) -> Unreadable {
    let problem = |setting| FileProblem { setting, message: "is bad".to_owned() };
    Unreadable::Tls(profile(required).clone(), settings.into_iter().map(problem).collect())
}

fn profile(required: &Required) -> &Arc<TlsProfile> {
    let Required::Tls(profile) = required else { panic!("{required:?}") };
    profile
}

#[test]
fn the_files_of_a_source_are_read() {
    let text = "discovery: [{http: 'https://a.example', tls: {ca_file: ca.pem}}]";
    let problems = refused(text, |required| {
        assert_eq!(profile(&required).roots, Roots::File("/etc/ca.pem".into()));
        Some(bad(&required, [TlsFile::CaFile]))
    });
    assert_eq!(problems, ["/etc/a.yaml:1:56: discovery[0].tls.ca_file: is bad"]);
}

/// Members are known only after the first refresh of the sources.
#[test]
fn members_are_not_counted_with_discovery() {
    let groups = "groups: {g: {min_up: 3}, empty: {}}, targets: [{url: 'a:1', group: g}]";
    assert!(compiled(&format!("{{{groups}, discovery: [{{file: a.json}}]}}")).groups.len() == 2);
    for none in ["", ", discovery: []", ", discovery: "] {
        let result = finished(&format!("{{{groups}{none}}}"));
        assert_eq!(result.unwrap_err().diagnostics().len(), 2, "{none}");
    }
}

#[test]
fn sources_with_hidden_values_have_distinct_names() {
    let config = compiled(
        "{targets: ['a:1'], discovery: [{http: 'http://a.example/?t=x', labels: {s: x}}, \
         {http: 'http://a.example/?t=y', labels: {s: y}}, {http: 'http://a.example/?u=z'}]}",
    );
    let names: Vec<_> = config.discovery.iter().map(|source| &*source.name).collect();
    let first = "http:http://a.example/?t=<hidden>";
    assert_eq!(names, [first, &format!("{first}#2"), "http:http://a.example/?u=<hidden>"]);
}

#[test]
fn different_sources_make_configurations_differ() {
    let of = |labels: &str| compiled(&format!("{{targets: ['a:1'], discovery: [{{file: a.json, labels: {labels}}}]}}"));
    assert_eq!(of("{a: b}"), of("{a: b}"));
    assert_ne!(of("{a: b}"), of("{a: c}"));
}

fn steps(application: &Application) -> &[Step] {
    let Application::Dialogue(dialogue) = application else { panic!("{application:?}") };
    &dialogue.0
}

#[test]
fn starttls_divides_a_dialogue() {
    let config = resource("dialogue.yaml");
    let of = |name: &str| &target(&config, name).settings.probe_kind;
    let bytes = |bytes: &[u8]| Part::Bytes(bytes.into());
    let send = |text: &str| Step::Send(Template([bytes(text.as_bytes())].into()));
    let ProbeKind::Plain(Application::Dialogue(ssh)) = of("tcp://ssh.example:22") else { panic!("no dialogue") };
    assert!(matches!(&*ssh.0, [Step::Expect(expected)] if expected.pattern == Pattern::try_new("^SSH-2.0-").unwrap()));
    assert_eq!(*of("tcp://plain.example:22"), ProbeKind::Tcp { expect: Expect::Open });

    let mail = tls(&config, "tcp://mail.example:25");
    assert_eq!(mail.settings.verify, Verify::Report);
    let [Step::Expect(greeting), ehlo, Step::Expect(_), starttls, Step::Expect(_)] = steps(&mail.upgrade) else {
        panic!("{:?}", mail.upgrade)
    };
    let labels: Vec<_> = greeting
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.0.to_vec()))
        .collect();
    let banner = vec![Part::Group(2), bytes(b" at "), Part::Group(1), bytes(b" for $5")];
    assert_eq!(labels, [("banner", banner), ("fixed", vec![bytes(b"\\n")])]);
    assert_eq!((ehlo, starttls), (&send("EHLO portprobe\r\n"), &send("STARTTLS\r\n")));
    let expected = Step::ExpectBytes(b"221 \0\xff\\$1".as_slice().into());
    assert_eq!(steps(&mail.application), [send("QUIT\r\n"), expected]);

    let echo = tls(&config, "tls://echo.example:443");
    assert!(echo.upgrade.is_empty());
    assert_eq!(steps(&echo.application), [send("7"), Step::ExpectBytes(b"7".as_slice().into())]);
}

#[test]
fn the_size_of_a_dialogue_is_limited() {
    let parsed = |dialogue: &str| {
        let text = format!("targets: [{{url: 'a:1', dialogue: [{dialogue}]}}]");
        finished(&text).map_err(|error| error.to_string())
    };
    assert!(parsed(&"{send: x}, ".repeat(64)).is_ok());
    let error = parsed(&"{send: x}, ".repeat(65)).unwrap_err();
    assert!(error.ends_with("targets[0].dialogue: has 65 steps; must have at most 64"), "{error}");
    for key in ["send", "expect_bytes"] {
        assert!(parsed(&format!("{{{key}: {}}}", r"\x00".repeat(65_536))).is_ok());
        let error = parsed(&format!("{{{key}: {}}}", "x".repeat(65_537))).unwrap_err();
        assert!(error.ends_with(&format!("dialogue[0].{key}: has 65537 bytes; must have at most 65536")), "{error}");
    }
}

#[test]
fn tls_file_errors_are_reported_at_every_key() {
    let text = "\
defaults: { tls: { ca_file: ca.pem } }
modules: { m: { tls: { cert_file: c.pem, key_file: k.pem, crl_files: [a.crl, b.crl] } } }
targets:
  - tls://a.example:1-3
  - { urls: [tls://b.example:1, tcp://b.example:2], tls: { verify: report } }
  - { url: tls://c.example:1, module: m }
  - { url: tls://d.example:1, tls: { ca_file: ca.pem } }
  - { url: tls://e.example:1, tls: { roots: system } }
";
    let mut read = 0;
    let problems = refused(text, |required| {
        read += 1;
        let profile = profile(&required);
        let mut settings = vec![if profile.roots == Roots::System { TlsFile::Roots } else { TlsFile::CaFile }];
        if profile.identity.is_some() {
            settings.extend([TlsFile::CertFile, TlsFile::KeyFile, TlsFile::CrlFile(1)]);
        }
        Some(bad(&required, settings))
    });
    assert_eq!(read, 3);
    let expected = [
        "/etc/a.yaml:1:29: defaults.tls.ca_file: is bad",
        "/etc/a.yaml:2:35: modules.m.tls.cert_file: is bad",
        "/etc/a.yaml:2:52: modules.m.tls.key_file: is bad",
        "/etc/a.yaml:2:78: modules.m.tls.crl_files[1]: is bad",
        "/etc/a.yaml:7:47: targets[3].tls.ca_file: is bad",
        "/etc/a.yaml:8:45: targets[4].tls.roots: is bad",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn the_nearer_of_header_and_file_wins() {
    let text = "\
defaults: { http: { headers: { X-A: plain, X-B: plain }, headers_files: { X-C: c, X-D: /run/d } } }
targets:
  - http://a
  - { url: http://b, http: { headers_files: { x-a: a } } }
  - { url: http://c, http: { headers: { x-c: plain } } }
";
    let config = parse(text, Path::new("/etc/a.yaml"), &environment)
        .unwrap()
        .finish(&[])
        .unwrap();
    let headers = |name: &str| {
        let target = config
            .targets
            .iter()
            .find(|target| target.endpoint.host.to_string() == name)
            .unwrap();
        let http = target.settings.probe_kind.http().unwrap();
        let plain = http
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        let files = http
            .headers_files
            .iter()
            .map(|(name, file)| format!("{name}:{}", file.path().display()));
        plain.chain(files).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(headers("a"), "x-a=plain x-b=plain x-c:/etc/c x-d:/run/d");
    assert_eq!(headers("b"), "x-b=plain x-a:/etc/a");
    assert_eq!(headers("c"), "x-c=plain x-d:/run/d");
}

#[test]
fn header_file_errors_are_reported_at_every_key() {
    let text = "\
modules: { m: { http: { headers_files: { X-A: a } } } }
targets:
  - { urls: [http://a, https://b, tcp://c:1], module: m }
  - { url: http://d, http: { headers_files: { X-B: a, X-C: b } } }
  - tls://e:1
";
    let mut read = Vec::new();
    let problems = refused(text, |required| {
        let Required::Header(file) = required else { return None };
        read.push(file.path().to_owned());
        file.path()
            .ends_with("a")
            .then(|| Unreadable::Header(file, "is bad".to_owned()))
    });
    assert_eq!(read, [Path::new("/etc/a"), Path::new("/etc/b")]);
    let expected = [
        "/etc/a.yaml:1:47: modules.m.http.headers_files.X-A: is bad",
        "/etc/a.yaml:4:52: targets[1].http.headers_files.X-B: is bad",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn file_errors_join_the_other_problems() {
    let text = "targets: [{url: 'tls://a.example:1', tls: {ca_file: ca.pem}}, 'b:0']";
    let problems = refused(text, |required| Some(bad(&required, [TlsFile::CaFile])));
    let expected = [
        "/etc/a.yaml:1:53: targets[0].tls.ca_file: is bad",
        "/etc/a.yaml:1:63: targets[1]: port 0 is out of range; must be between 1 and 65535",
    ];
    assert_eq!(problems, expected);
}

/// One level of settings as a plain model.
#[derive(Clone, Debug, Default)]
struct Level {
    interval: Option<u64>,
    timeout: Option<u64>,
    failures: Option<u32>,
    delay: Option<u64>,
    expect: Option<&'static str>,
    ip: Option<&'static str>,
    addresses: Option<&'static str>,
    slow_after: Option<u64>,
    label: Option<u8>,
}

impl Level {
    fn yaml(&self) -> String {
        let mut text = String::new();
        for (key, seconds) in [("interval", self.interval), ("timeout", self.timeout), ("slow_after", self.slow_after)]
        {
            if let Some(seconds) = seconds {
                write!(text, "{key}: {seconds}s, ").unwrap();
            }
        }
        for (key, word) in [("expect", self.expect), ("ip", self.ip), ("addresses", self.addresses)] {
            if let Some(word) = word {
                write!(text, "{key}: {word}, ").unwrap();
            }
        }
        let failures = self
            .failures
            .map_or_else(String::new, |failures| format!("failures: {failures}"));
        let delay = self.delay.map_or_else(String::new, |delay| format!("delay: {delay}s"));
        let label = self.label.map_or_else(String::new, |label| format!("l{}: v{label}", label % 3));
        format!("{{{text}confirm: {{{}}}, labels: {{{label}}}}}", [failures, delay].join(", ").trim_matches([',', ' ']))
    }
}

fn level() -> impl Strategy<Value = Level> {
    let words = (
        proptest::option::of(prop::sample::select(vec!["open", "refused", "filtered", "closed"])),
        proptest::option::of(prop::sample::select(vec!["any", "ipv4", "ipv6"])),
        proptest::option::of(prop::sample::select(vec!["any", "all"])),
    );
    let option = proptest::option::of::<std::ops::Range<u64>>;
    let numbers = (option(1..120), option(1..120), option(0..20), option(1..5), proptest::option::of(1_u32..9));
    (words, numbers, proptest::option::of(0_u8..9)).prop_map(|((expect, ip, addresses), numbers, label)| {
        let (interval, timeout, delay, slow_after, failures) = numbers;
        Level { interval, timeout, failures, delay, expect, ip, addresses, slow_after, label }
    })
}

/// The timeout by the documented rules; `None` for an error.
fn model_timeout(levels: &[&Level]) -> Option<u64> {
    if levels.iter().any(|level| {
        level
            .timeout
            .zip(level.interval)
            .is_some_and(|(timeout, interval)| timeout > interval)
    }) {
        return None;
    }
    let interval_at = levels.iter().position(|level| level.interval.is_some()).unwrap_or(levels.len());
    let interval = levels.get(interval_at).and_then(|level| level.interval).unwrap_or(60);
    let Some(timeout_at) = levels.iter().position(|level| level.timeout.is_some()) else {
        return Some(interval.min(10));
    };
    let timeout = levels[timeout_at].timeout.unwrap();
    (timeout <= interval || interval_at < timeout_at).then(|| timeout.min(interval))
}

proptest! {
    #[test]
    fn the_nearest_level_wins_key_by_key(defaults in level(), module in level(), own in level()) {
        let text = format!(
            "{{defaults: {}, modules: {{m: {}}}, targets: [{{url: 'a:1', module: m, {}]}}",
            defaults.yaml(), module.yaml(), own.yaml().trim_start_matches('{'),
        );
        let levels = [&own, &module, &defaults];
        let parsed = finished(&text);
        let Some(timeout) = model_timeout(&levels) else {
            prop_assert!(parsed.is_err(), "{}", text);
            return Ok(());
        };
        let config = parsed.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let settings = &config.targets[0].settings;
        let interval = levels.iter().find_map(|level| level.interval).unwrap_or(60);
        let delay = levels.iter().find_map(|level| level.delay).unwrap_or(1).min(interval);
        prop_assert_eq!(settings.cadence.interval(), Duration::from_secs(interval));
        prop_assert_eq!(settings.cadence.timeout(), Duration::from_secs(timeout));
        prop_assert_eq!(settings.confirm.failures.get(), levels.iter().find_map(|level| level.failures).unwrap_or(2));
        prop_assert_eq!(settings.confirm.delay, Duration::from_secs(delay));
        prop_assert_eq!(settings.slow_after, levels.iter().find_map(|level| level.slow_after).map(Duration::from_secs));
        prop_assert_eq!(settings.probe_kind.expect().as_str(), levels.iter().find_map(|level| level.expect).unwrap_or("open"));
        let family = match levels.iter().find_map(|level| level.ip) {
            Some("ipv4") => IpFamily::Ipv4,
            Some("ipv6") => IpFamily::Ipv6,
            _ => IpFamily::Any,
        };
        prop_assert_eq!(settings.addressing.family, family);
        let all = levels.iter().find_map(|level| level.addresses) == Some("all");
        prop_assert_eq!(settings.addressing.mode, if all { AddressMode::All } else { AddressMode::Any });
        for name in 0..3 {
            let model = levels.iter().filter_map(|level| level.label).find(|label| label % 3 == name);
            let key = format!("l{name}");
            let found = config.targets[0].labels.iter().find(|(label, _)| *label == key).map(|(_, value)| value.to_owned());
            prop_assert_eq!(found, model.map(|label| format!("v{label}")));
        }
    }

    #[test]
    fn no_text_causes_a_panic(text in r#"([a-z]{1,9}: |- |  |\n|[\[\]{}&*!|>%@`"',:#?<~]|tcp://a:[0-9]{1,5}|targets:|\n  - |\PC){0,60}"#) {
        let _ = finished(&text);
    }

    #[test]
    fn no_value_causes_a_panic(
        key in prop::sample::select([keys::Configuration::keys(), keys::Target::keys(), keys::Tls::keys(), keys::Step::keys(), keys::Source::keys(), vec!["<<", "failures", "min_up"]].concat()),
        value in r#"(~|\[\]|\{\}|[0-9.-]{1,20}|"[^"\\]{0,9}"|[a-z$:/@{}\[\]*&!-]{1,20}|\{[a-z]{1,8}: [0-9a-z]{1,4}\}|\[[0-9a-z, ]{1,9}\])"#,
    ) {
        for text in [
            format!("{key}: {value}\ntargets: ['a:1']"),
            format!("defaults: {{{key}: {value}}}\ntargets: ['a:1']"),
            format!("groups: {{g: {{{key}: {value}}}}}\ntargets: ['a:1']"),
            format!("targets:\n  - url: a:1\n    {key}: {value}"),
            format!("targets:\n  - url: tls://a:1\n    tls: {{{key}: {value}}}"),
            format!("targets:\n  - url: a:1\n    dialogue: [{{{key}: {value}}}]"),
            format!("discovery:\n  - {{{key}: {value}}}\n  - http: http://a\n    {key}: {value}\n  - dns: a\n    {key}: {value}"),
        ] {
            if let Err(error) = finished(&text) {
                prop_assert!(error.to_string().lines().all(|line| line.starts_with("a.yaml:")), "{}", error);
            }
        }
    }
}
