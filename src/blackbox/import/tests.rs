//! Golden files: `X.blackbox.yml` and `X.prometheus.yml`, if it exists, become `X.yaml`. `UPDATE_IMPORTS=1` rewrites them.

use std::path::PathBuf;
use std::{env, fs};

use super::*;

mod jobs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/blackbox")
}

/// Reads a file under the path that a user in `/etc/prometheus` might name.
fn file(name: &str) -> Option<ForeignFile> {
    let text = fs::read_to_string(folder().join(name)).ok()?;
    Some(ForeignFile::parse(&Path::new("/etc/prometheus").join(name), text).unwrap())
}

fn imported(case: &str) -> Imported {
    let blackbox = file(&format!("{case}.blackbox.yml")).unwrap();
    import(&blackbox, file(&format!("{case}.prometheus.yml")).as_ref(), TargetFiles::Discovered).unwrap()
}

fn errors(text: &str) -> String {
    let file = ForeignFile::parse(Path::new("blackbox.yml"), text.to_owned()).unwrap();
    import(&file, None, TargetFiles::Discovered).unwrap_err().to_string()
}

#[test]
fn files_become_the_expected_configurations() {
    for case in ["debian", "dialogues", "examples", "jobs", "one_job"] {
        let Imported { text, .. } = imported(case);
        let path = folder().join(format!("{case}.yaml"));
        if env::var_os("UPDATE_IMPORTS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(path).unwrap_or_default(), "{case}");
    }
}

#[test]
fn every_result_is_a_valid_configuration() {
    for case in ["debian", "dialogues", "examples", "jobs", "one_job"] {
        let Imported { text, sources, problems, .. } = imported(case);
        assert_eq!(problems, 0, "{case}");
        let text = if sources == 0 { format!("{text}targets: ['tcp://a.example:1']\n") } else { text };
        let draft = config::parse(&*text, Path::new("portprobe.yaml"), &|_| None);
        draft
            .and_then(|draft| draft.finish(&[]))
            .unwrap_or_else(|error| panic!("{case}: {error}"));
    }
}

#[test]
fn every_probe_is_a_pair_or_missing() {
    let Imported { text, pairs, missing, .. } = imported("jobs");
    let names: Vec<_> = pairs.iter().map(|pair| &*pair.name).collect();
    assert!(names.contains(&"db.internal:5432") && names.contains(&"db.internal:5432 (blackbox_tls)"), "{names:?}");
    let missing: Vec<_> = missing.iter().map(|missing| &*missing.target).collect();
    for target in ["no-port.internal", "192.0.2.1", "192.0.2.2:1", "a.example.com:1", "http://plain.example.com/"] {
        assert!(missing.contains(&target), "{target}: {missing:?}");
    }
    let config = config::parse(&*text, Path::new("portprobe.yaml"), &|_| None)
        .unwrap()
        .finish(&[])
        .unwrap();
    let targets: Vec<_> = config.targets.iter().map(|target| target.name.to_string()).collect();
    assert_eq!(names, targets, "the pairs are the targets, in their order");
}

#[test]
fn a_problem_that_no_comment_can_replace_is_counted() {
    // Messages hide or cut these names.
    for (name, problems) in [("a", 0), ("a@b", 1), (&*"a".repeat(100), 1)] {
        let text = format!("modules: {{ '{name}': {{ prober: http, http: {{ method: 'a b' }} }} }}");
        let blackbox = ForeignFile::parse(Path::new("b.yml"), text).unwrap();
        assert_eq!(import(&blackbox, None, TargetFiles::Discovered).unwrap().problems, problems, "{name}");
    }
}

#[test]
fn secrets_are_in_no_comment() {
    for case in ["dialogues", "examples", "jobs"] {
        let Imported { text, .. } = imported(case);
        assert!(!text.contains("hunter2"), "{case}: {text}");
    }
}

#[test]
fn invalid_input_is_an_error_with_a_line() {
    for (text, message) in [
        ("targets: []\n", "blackbox.yml:1:1: has no `modules`; must be the configuration of blackbox_exporter"),
        ("[]\n", "blackbox.yml:1:1: is a list; must be a mapping"),
        ("modules:\n  a: 5\n", "blackbox.yml:2:6: modules.a: is `5`; must be a mapping"),
        (
            "modules:\n  a: { prober: tcp, tcp: { tls: maybe } }\n",
            "blackbox.yml:2:33: modules.a.tcp.tls: is `maybe`; must be `true` or `false`",
        ),
    ] {
        assert_eq!(errors(text), message);
    }
}

#[test]
fn jobs_in_further_files_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let job = "scrape_configs: [{ job_name: j, metrics_path: /probe, params: { module: [m], target: ['a:1'] }, \
               static_configs: [{ targets: ['b:9115'] }] }]";
    fs::write(folder.path().join("more.yml"), job).unwrap();
    let blackbox = ForeignFile::parse(Path::new("b.yml"), "modules: { m: { prober: tcp } }".to_owned()).unwrap();
    let text = "scrape_config_files: ['*.yml']".to_owned();
    let prometheus = ForeignFile::parse(&folder.path().join("prometheus.yaml"), text).unwrap();
    let Imported { pairs, .. } = import(&blackbox, Some(&prometheus), TargetFiles::Discovered).unwrap();
    assert_eq!(pairs.iter().map(|pair| &*pair.target).collect::<Vec<_>>(), ["a:1"]);
}

#[test]
fn targets_of_files_can_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yml"), "- { targets: ['a:1', 'b:1'], labels: { team: x } }\n").unwrap();
    let blackbox = ForeignFile::parse(Path::new("b.yml"), "modules: { m: { prober: tcp } }".to_owned()).unwrap();
    let text = "scrape_configs: [{ job_name: j, metrics_path: /probe, params: { module: [m] }, \
                file_sd_configs: [{ files: ['*.yml'] }], \
                relabel_configs: [{ source_labels: [__address__], target_label: __param_target }] }]";
    let prometheus = ForeignFile::parse(&folder.path().join("prometheus.yaml"), text.to_owned()).unwrap();
    let Imported { pairs, .. } = import(&blackbox, Some(&prometheus), TargetFiles::Listed).unwrap();
    let targets: Vec<_> = pairs.iter().map(|pair| &*pair.target).collect();
    assert_eq!(targets, ["a:1", "b:1"]);
}

/// A job with these settings whose files have the targets `a:1` and `b:1`.
fn listed(settings: &str, labels: &str) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    let targets = format!("- {{ targets: ['a:1'], labels: {{ {labels} }} }}\n- {{ targets: ['b:1'] }}\n");
    fs::write(folder.path().join("a.yml"), targets).unwrap();
    fs::write(folder.path().join("b.yml"), "- {").unwrap();
    let modules = "modules: { m: { prober: tcp }, n: { prober: tcp } }".to_owned();
    let blackbox = ForeignFile::parse(Path::new("b.yml"), modules).unwrap();
    let text = format!(
        "scrape_configs: [{{ job_name: j, params: {{ module: [m] }}, file_sd_configs: [{{ files: ['*.yml'] }}], {settings} }}]"
    );
    let prometheus = ForeignFile::parse(&folder.path().join("prometheus.yaml"), text).unwrap();
    import(&blackbox, Some(&prometheus), TargetFiles::Listed).unwrap()
}

#[test]
fn listed_targets_are_those_of_discovery() {
    let target = "{ source_labels: [__address__], target_label: __param_target }";
    let drop = "{ source_labels: [team], regex: x, action: drop }";
    let module = "{ source_labels: [team], regex: (x), target_label: __param_module, replacement: n }";
    let port =
        "{ source_labels: [team, __address__], regex: 'x;a:1', target_label: __param_target, replacement: 'a:2' }";
    for (rule, reason) in [
        (drop, "the relabelling drops it"),
        (module, "portprobe uses module m"),
        (port, "the relabelling changes the target"),
    ] {
        let settings = format!("metrics_path: /probe, relabel_configs: [{target}, {rule}]");
        let Imported { pairs, missing, .. } = listed(&settings, "team: x");
        assert_eq!(pairs.iter().map(|pair| &*pair.target).collect::<Vec<_>>(), ["b:1"], "{rule}");
        let [unreadable, missing] = &*missing else { panic!("{missing:?}") };
        assert!(unreadable.target.ends_with("b.yml") && missing.reason.starts_with(reason), "{missing:?}");
        assert_eq!(missing.is_of_portprobe, rule == drop);
    }
}

#[test]
fn relabelling_alone_can_lead_to_the_exporter() {
    let path = "{ target_label: __metrics_path__, replacement: /probe }";
    let set = "{ source_labels: [__address__], target_label: __param_target }";
    let map = "{ regex: probe_(.+), replacement: __param_$1, action: labelmap }";
    for (rule, targets) in [(set, 2), (map, 0)] {
        let Imported { pairs, missing, .. } = listed(&format!("relabel_configs: [{path}, {rule}]"), "");
        assert_eq!(pairs.len(), targets, "{rule}");
        assert!(!missing.is_empty(), "{rule}");
    }
}
