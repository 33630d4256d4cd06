//! No job of blackbox_exporter vanishes: each scrape of it is a target of portprobe or a comment.

use super::*;

/// The ways to a part of the URL that Prometheus asks for: labels of the target, settings of the job, and rules.
type Ways<'a> = &'a [(&'a str, &'a str, &'a str)];

const PATHS: Ways<'_> = &[
    ("", "metrics_path: /probe", ""),
    ("", "metrics_path: probe", ""),
    ("", "metrics_path: /behind/proxy/probe/", ""),
    ("", "", "{ target_label: __metrics_path__, replacement: /probe }"),
    ("path: /probe", "", "{ source_labels: [path], target_label: __metrics_path__, replacement: $1 }"),
    ("path: /PROBE", "", "{ source_labels: [path], target_label: __metrics_path__, action: lowercase }"),
    ("kind: probe", "", "{ source_labels: [kind], regex: (probe), target_label: __metrics_path__, replacement: /$1 }"),
    ("to_metrics: /probe", "", "{ regex: to_(.+), replacement: '__${1}_path__', action: labelmap }"),
    ("__metrics_path__: /probe", "metrics_path: /metrics", ""),
    ("__metrics_path__: ''", "metrics_path: /probe", ""),
];

const TARGETS: Ways<'_> = &[
    ("", "", "{ source_labels: [__address__], target_label: __param_target }"),
    ("", "", "{ source_labels: [__address__], regex: (.+), target_label: __param_target, replacement: '${1}' }"),
    ("__param_target: 'a:1'", "", ""),
    ("probe_target: 'a:1'", "", "{ regex: probe_(.+), replacement: __param_$1, action: labelmap }"),
    ("what: target", "", "{ source_labels: [what], target_label: __param_$1, replacement: 'a:1' }"),
    ("", "", ""),
];

const MODULES: Ways<'_> = &[
    ("", "module: [m, n]", ""),
    ("", "module: [missing]", ""),
    ("", "", ""),
    ("module: m", "", "{ source_labels: [module], target_label: __param_module }"),
    ("__param_module: m", "", ""),
    ("__param_module: n", "module: [m]", ""),
    ("", "module: [m]", "{ regex: __param_.*, action: labeldrop }"),
];

/// Further rules, and the number of the two targets that they keep.
const RULES: &[(&str, usize)] = &[
    ("{ target_label: __address__, replacement: 'e:9115' }", 2),
    ("{ source_labels: [team], regex: y, action: drop }", 1),
    ("{ source_labels: [team], regex: y, action: keep }", 1),
    ("{ source_labels: [team], regex: z, action: keep }", 0),
    ("{ source_labels: [__address__], modulus: 2, target_label: __tmp_hash, action: hashmod }", 2),
    ("{ regex: '__.*', action: labelkeep }", 2),
    (r"{ regex: '(?:__|\Qinstance\E).*', action: labelkeep }", 2),
    ("{ source_labels: [__address__], target_label: instance, action: uppercase }", 2),
];

/// The settings of a job without its targets, and the labels of its targets.
fn shapes() -> impl Iterator<Item = (String, String, usize)> {
    let ways = PATHS.iter().flat_map(|path| {
        TARGETS
            .iter()
            .flat_map(move |target| MODULES.iter().map(move |module| (path, target, module)))
    });
    // Each combination has one of the rules, and each rule meets each way.
    ways.zip(RULES.iter().cycle()).map(|((path, target, module), (rule, count))| {
        let settings = if path.1.is_empty() { String::new() } else { format!("{}, ", path.1) };
        let rules = [path.2, target.2, module.2, rule].into_iter().filter(|rule| !rule.is_empty());
        let rules = rules.collect::<Vec<_>>().join(", ");
        let settings = format!("{settings}params: {{ {} }}, relabel_configs: [{rules}]", module.1);
        let labels = [path.0, target.0, module.0].into_iter().filter(|label| !label.is_empty());
        (settings, labels.collect::<Vec<_>>().join(", "), *count)
    })
}

fn groups(labels: &str) -> String {
    let comma = if labels.is_empty() { "" } else { ", " };
    format!(
        "[{{ targets: ['a:1'], labels: {{ team: x{comma}{labels} }} }}, \
          {{ targets: ['b:1'], labels: {{ team: y{comma}{labels} }} }}]"
    )
}

fn import_job(job: &str, folder: &Path, files: TargetFiles) -> Imported {
    let modules = "modules: { m: { prober: tcp }, n: { prober: tcp }, http_2xx: { prober: http, http: { follow_redirects: false } } }".to_owned();
    let blackbox = ForeignFile::parse(Path::new("b.yml"), modules).unwrap();
    let text = format!("scrape_configs: [{{ job_name: j, {job} }}]");
    let prometheus = ForeignFile::parse(&folder.join("prometheus.yaml"), text).unwrap();
    import(&blackbox, Some(&prometheus), files).unwrap()
}

#[test]
fn each_scrape_is_a_target_or_a_comment() {
    for (settings, labels, count) in shapes() {
        let job = format!("{settings}, static_configs: {}", groups(&labels));
        let Imported { text, pairs, missing, sources, .. } = import_job(&job, Path::new(""), TargetFiles::Discovered);
        assert_eq!(pairs.len() + missing.len(), count, "{job}\n{text}");
        assert_eq!(pairs.len(), sources, "{job}\n{text}");
        let comments = text
            .lines()
            .filter(|line| line.contains("# not imported: ") && line.contains("(module "));
        assert_eq!(comments.count(), missing.len(), "{job}\n{text}");
    }
}

#[test]
fn no_scrape_of_a_file_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    for (settings, labels, count) in shapes() {
        fs::write(folder.path().join("a.yml"), groups(&labels)).unwrap();
        let job = format!("{settings}, file_sd_configs: [{{ files: [a.yml] }}]");
        let Imported { text, omitted, sources, .. } = import_job(&job, folder.path(), TargetFiles::Discovered);
        assert!(sources + omitted > 0 || count == 0, "{job}\n{text}");
        let Imported { pairs, missing, .. } = import_job(&job, folder.path(), TargetFiles::Listed);
        let of_exporter = missing.iter().filter(|missing| !missing.is_of_portprobe).count();
        assert_eq!(pairs.len() + of_exporter, count, "{job}\n{labels}");
    }
}

#[test]
fn other_discovery_of_a_probing_job_is_a_comment() {
    for (settings, is_known) in [
        ("metrics_path: /probe, params: { module: [m] }", true),
        (
            "relabel_configs: [{ source_labels: [__meta_x_path], target_label: __metrics_path__ }, \
          { source_labels: [__address__], target_label: __param_target }]",
            true,
        ),
        (
            "relabel_configs: [{ source_labels: [__meta_x_path], regex: (.+), target_label: __metrics_path__ }, \
          { regex: __meta_x_param_(.+), replacement: __param_$1, action: labelmap }]",
            false,
        ),
    ] {
        for discovery in ["http_sd_configs", "dns_sd_configs", "kubernetes_sd_configs"] {
            let job = format!("{discovery}: [{{}}], {settings}");
            let Imported { text, missing, .. } = import_job(&job, Path::new(""), TargetFiles::Listed);
            assert!(text.contains(&format!("# not imported: {discovery}: ")), "{job}\n{text}");
            assert_eq!(missing.len(), usize::from(is_known), "{job}");
        }
    }
}

#[test]
fn jobs_of_other_exporters_leave_no_trace_in_a_comparison() {
    let copy = "relabel_configs: [{ source_labels: [__address__], target_label: __param_target }]";
    let targets = "static_configs: [{ targets: ['a:1', 'b:1'] }]";
    for (job, comment) in [
        (targets.to_owned(), None),
        (format!("metrics_path: /federate, params: {{ 'match[]': [up] }}, {targets}"), None),
        ("kubernetes_sd_configs: [{}], relabel_configs: [{ regex: __meta_(.+), action: labelmap }]".to_owned(), None),
        (
            format!("metrics_path: /snmp, params: {{ module: [if_mib] }}, {targets}, {copy}"),
            Some(
                "2 targets of job j (module if_mib): another exporter, at /snmp: blackbox_exporter has no such module",
            ),
        ),
    ] {
        let Imported { text, missing, omitted, .. } = import_job(&job, Path::new(""), TargetFiles::Listed);
        assert_eq!((missing.len(), omitted), (0, usize::from(comment.is_some())), "{text}");
        let text = text.replace("\n#   ", " ");
        assert!(comment.is_none_or(|comment| text.contains(comment)), "{text}");
    }
}

#[test]
fn a_parameter_of_another_exporter_prevents_an_import() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "[{ targets: ['a:1', 'b:1'] }]").unwrap();
    let listed = "static_configs: [{ targets: ['a:1', 'b:1'] }]";
    let labelled = "static_configs: [{ targets: ['a:1', 'b:1'], labels: { __param_auth_module: x } }]";
    let [files, found] = ["file_sd_configs: [{ files: [a.yml] }]", "kubernetes_sd_configs: [{}]"];
    let exporter = "{ target_label: __address__, replacement: 'postgres:9187' }";
    for (path, params, targets, what) in [
        ("/probe", "auth_module: [x]", listed, "2 targets of job j (no module)"),
        ("/probe", "auth_module: ['']", listed, "2 targets of job j (no module)"),
        ("/probe", "", labelled, "2 targets of job j (no module)"),
        ("/scrape", "auth_module: [x]", listed, "2 targets of job j (no module)"),
        ("/probe", "auth_module: [x]", files, "file_sd"),
        ("/probe", "auth_module: [x]", found, "kubernetes_sd_configs"),
    ] {
        let job = format!(
            "metrics_path: {path}, params: {{ {params} }}, {targets}, \
             relabel_configs: [{{ source_labels: [__address__], target_label: __param_target }}, {exporter}]"
        );
        for mode in [TargetFiles::Discovered, TargetFiles::Listed] {
            let Imported { text, missing, omitted, sources, .. } = import_job(&job, folder.path(), mode);
            assert_eq!((missing.len(), omitted, sources), (0, 1, 0), "{job}\n{text}");
            let text = text.replace("\n#   ", " ");
            assert!(text.contains(&format!("# not imported: {what}")), "{text}");
            let reason = "may be of another exporter: blackbox_exporter has no parameter auth_module";
            assert!(text.contains(reason), "{text}");
        }
    }
    for params in ["debug: [true]", "debug: [true], hostname: [h], target: ['a:1']", "module: [m], auth_module: [x]"] {
        let job = format!("metrics_path: /probe, params: {{ {params} }}, {listed}");
        let Imported { pairs, missing, .. } = import_job(&job, folder.path(), TargetFiles::Discovered);
        assert_eq!(pairs.len() + missing.len(), 2, "{params}");
    }
}

#[test]
fn a_module_elsewhere_makes_an_address_an_exporter() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "[]").unwrap();
    let copy = "{ source_labels: [__address__], target_label: __param_target }";
    for (job, module, imported) in [
        ("static_configs: [{ targets: ['b:1'] }]", "m", 1),
        ("static_configs: [{ targets: ['b:1'] }]", "missing", 0),
        ("file_sd_configs: [{ files: [a.yml] }]", "m", 1),
        ("kubernetes_sd_configs: [{}]", "m", 1),
    ] {
        for (exporter, imported) in [("e:9115", imported), ("other:9187", 0)] {
            let doubtful = format!(
                "metrics_path: /probe, params: {{ auth_module: [x] }}, static_configs: [{{ targets: ['a:1'] }}], \
                 relabel_configs: [{copy}, {{ target_label: __address__, replacement: '{exporter}' }}] }}, \
                 {{ job_name: k, metrics_path: /probe, params: {{ module: [{module}] }}, {job}, \
                 relabel_configs: [{copy}, {{ target_label: __address__, replacement: 'e:9115' }}]"
            );
            let Imported { text, pairs, .. } = import_job(&doubtful, folder.path(), TargetFiles::Listed);
            let pairs = pairs.iter().filter(|pair| pair.target == "a:1").count();
            assert_eq!(pairs, imported, "{doubtful}\n{text}");
        }
    }
}

#[test]
fn another_path_with_a_known_module_is_missing() {
    for module in ["params: { module: [m] },", ""] {
        let job = format!(
            "metrics_path: /blackbox, {module} static_configs: [{{ targets: ['a:1'] }}], \
             relabel_configs: [{{ source_labels: [__address__], target_label: __param_target }}]"
        );
        let Imported { missing, omitted, .. } = import_job(&job, Path::new(""), TargetFiles::Discovered);
        let [missing] = &*missing else { panic!("{missing:?}") };
        assert_eq!((&*missing.target, omitted), ("a:1", 1));
        assert_eq!(missing.reason, "the path is /blackbox, but that of blackbox_exporter is /probe");
    }
}

#[test]
fn scrapes_that_prometheus_refuses_are_comments() {
    for (rule, reason) in [
        ("{ regex: __address__, action: labeldrop }", "no address"),
        ("{ target_label: __address__, replacement: 'http://e:9115' }", "its address has a slash"),
        ("{ target_label: __scrape_interval__, replacement: soon }", "its interval or timeout is not a valid duration"),
        ("{ target_label: __scrape_timeout__, replacement: 2h }", "its timeout is longer than its interval"),
    ] {
        let job = format!(
            "metrics_path: /probe, params: {{ module: [m], target: ['a:1'] }}, static_configs: [{{ targets: [e] }}], \
             relabel_configs: [{rule}]"
        );
        let Imported { text, pairs, missing, .. } = import_job(&job, Path::new(""), TargetFiles::Discovered);
        let [missing] = &*missing else { panic!("{missing:?}") };
        assert!(missing.reason.contains(reason) && pairs.is_empty(), "{missing:?}");
        assert!(text.contains("# not imported: "), "{text}");
    }
}

#[test]
fn a_label_that_contradicts_params_is_refused() {
    let job = |label| {
        format!(
            "metrics_path: /probe, params: {{ module: [m] }}, relabel_configs: \
             [{{ source_labels: [__address__], target_label: __param_target }}], \
             static_configs: [{{ targets: ['a:1'], labels: {{ __param_module: {label} }} }}]"
        )
    };
    let Imported { pairs, .. } = import_job(&job("m"), Path::new(""), TargetFiles::Discovered);
    assert_eq!(pairs.len(), 1);
    let Imported { pairs, missing, .. } = import_job(&job("n"), Path::new(""), TargetFiles::Discovered);
    assert_eq!((pairs.len(), missing.len()), (0, 1));
    assert!(missing[0].reason.contains("the version of Prometheus"), "{missing:?}");
}

#[test]
fn missing_files_are_missing_probes() {
    let probe = "metrics_path: /probe, params: { module: [m] }, \
                 relabel_configs: [{ source_labels: [__address__], target_label: __param_target }]";
    let folder = tempfile::tempdir().unwrap();
    let job = format!("{probe}, file_sd_configs: [{{ files: ['none-*.yml', none.yml] }}]");
    let Imported { missing, .. } = import_job(&job, folder.path(), TargetFiles::Listed);
    let reasons: Vec<_> = missing.iter().map(|missing| &*missing.reason).collect();
    assert_eq!(reasons, ["no file matches", "no file matches"]);
}

#[test]
fn further_files_that_do_not_exist_are_comments() {
    let blackbox = ForeignFile::parse(Path::new("b.yml"), "modules: { m: { prober: tcp } }".to_owned()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = "scrape_config_files: ['none/*.yml']".to_owned();
    let prometheus = ForeignFile::parse(&folder.path().join("prometheus.yaml"), text).unwrap();
    let Imported { text, missing, omitted, .. } =
        import(&blackbox, Some(&prometheus), TargetFiles::Discovered).unwrap();
    assert_eq!((omitted, missing.len()), (1, 1), "{text}");
    assert!(text.contains("# not imported: scrape_config_files none/*.yml: no file matches here"), "{text}");
}

#[test]
fn equal_targets_of_a_job_are_one() {
    let job = "metrics_path: /probe, params: { module: [m], target: ['a:1'] }, static_configs: [{ targets: [e, e] }]";
    let Imported { pairs, .. } = import_job(job, Path::new(""), TargetFiles::Discovered);
    assert_eq!(pairs.len(), 1);
}

#[test]
fn a_hostname_of_discovered_targets_is_a_comment() {
    let job = "metrics_path: /probe, params: { hostname: [h] }, file_sd_configs: [{ files: [a.yml] }], \
               relabel_configs: [{ source_labels: [__address__], target_label: __param_target }]";
    let Imported { text, sources, omitted, .. } = import_job(job, Path::new("/none"), TargetFiles::Discovered);
    assert_eq!((sources, omitted), (0, 1), "{text}");
    assert!(text.contains("# not imported: file_sd /none/a.yml: the parameter hostname"), "{text}");
}

#[test]
fn a_hostname_is_the_name_to_verify() {
    let modules = "modules: { tcp: { prober: tcp }, tls: { prober: tcp, tcp: { tls: true } }, \
                   named: { prober: tcp, tcp: { tls: true, tls_config: { server_name: n } } }, \
                   web: { prober: http, http: { tls_config: { server_name: n } } } }";
    let blackbox = ForeignFile::parse(Path::new("b.yml"), modules.to_owned()).unwrap();
    let copy = "[{ source_labels: [__address__], target_label: __param_target }, \
                { target_label: __address__, replacement: 'e:1' }]";
    for (module, target, is_set, is_discovered) in [
        ("tcp", "a:1", false, true),
        ("tls", "a:1", true, false),
        ("named", "a:1", false, true),
        ("web", "https://a/", false, false),
    ] {
        let job = |targets: &str| {
            let text = format!(
                "scrape_configs: [{{ job_name: j, metrics_path: /probe, relabel_configs: {copy}, \
                 params: {{ module: [{module}], hostname: [h] }}, {targets} }}]"
            );
            ForeignFile::parse(Path::new("/none/p.yml"), text).unwrap()
        };
        let listed = job(&format!("static_configs: [{{ targets: ['{target}'] }}]"));
        let Imported { text, .. } = import(&blackbox, Some(&listed), TargetFiles::Discovered).unwrap();
        assert_eq!(text.contains("server_name: h"), is_set, "{text}");
        let files = job("file_sd_configs: [{ files: [a.yml] }]");
        let Imported { sources, .. } = import(&blackbox, Some(&files), TargetFiles::Discovered).unwrap();
        assert_eq!(sources, usize::from(is_discovered), "{module}");
    }
}

#[test]
fn json_of_files_is_read_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"[{"targets": ["a:1"], "labels": {"team": "\ud83d\ude00"}}]"#;
    fs::write(folder.path().join("a.json"), text).unwrap();
    let job = "metrics_path: /probe, params: { module: [m] }, file_sd_configs: [{ files: [a.json] }], \
               relabel_configs: [{ source_labels: [__address__], target_label: __param_target }, \
               { source_labels: [team], regex: '\u{1f600}', action: drop }]";
    let Imported { pairs, missing, .. } = import_job(job, folder.path(), TargetFiles::Listed);
    let [missing] = &*missing else { panic!("{missing:?}") };
    assert!(pairs.is_empty() && missing.reason.starts_with("the relabelling drops it"), "{missing:?}");
}

#[test]
fn unreadable_rules_matter_only_in_jobs_that_probe() {
    let blackbox = ForeignFile::parse(Path::new("b.yml"), "modules: { m: { prober: tcp } }".to_owned()).unwrap();
    for (settings, is_error) in [("", false), ("metrics_path: /probe,", true), ("params: { module: [m] },", true)] {
        let text = format!("scrape_configs: [{{ job_name: j, {settings} relabel_configs: [{{ regex: '(' }}] }}]");
        let prometheus = ForeignFile::parse(Path::new("p.yml"), text).unwrap();
        let imported = import(&blackbox, Some(&prometheus), TargetFiles::Discovered);
        assert_eq!(imported.is_err(), is_error, "{settings}");
    }
}
