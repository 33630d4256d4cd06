//! The README checked against the code: tables, configurations, commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser as _;
use portprobe::cli::Cli;
use portprobe::outcome::{Class, LocalFaultReason};
use portprobe::target::{OtherName, Service};
use portprobe::{config, metrics, protocol};
use serde_yaml::Value as Yaml;

use crate::support::daemon::finished;
use crate::support::{program, requires_program, services};

const README: &str = include_str!("../../README.md");

/// The rows of the table under this heading, without its head.
fn rows(heading: &str) -> Vec<&'static str> {
    let section = README
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"))
        .1;
    let section = section.split("\n#").next().unwrap();
    section.lines().filter(|line| line.starts_with('|')).skip(2).collect()
}

/// The text of a row's cell without its quotes.
fn cell(row: &str, index: usize) -> &str {
    row.split(" | ").nth(index).unwrap().trim_matches(['|', ' ', '`'])
}

#[test]
fn settings_are_those_of_the_code() {
    let expected: Vec<_> = config::setting_keys()
        .into_iter()
        .map(|setting| {
            let default = setting
                .default
                .map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
            format!("| `{}` | {default} | {} |", setting.key, setting.meaning)
        })
        .collect();
    assert_eq!(rows("### Settings"), expected, "the table should read:\n{}\n", expected.join("\n"));
}

#[test]
fn keys_of_discovery_are_those_of_the_code() {
    let schema = config::schema();
    let properties = schema["$defs"]["Source"]["properties"].as_object().unwrap();
    let expected: Vec<_> = properties
        .iter()
        .map(|(key, property)| {
            let default = property
                .get("default")
                .map_or_else(|| "none".to_owned(), |text| format!("`{}`", text.as_str().unwrap()));
            format!("| `{key}` | {default} | {} |", property["description"].as_str().unwrap())
        })
        .collect();
    assert_eq!(rows("### Discovery"), expected, "the table should read:\n{}\n", expected.join("\n"));
}

#[test]
fn alerts_are_those_of_the_rules() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/rules");
    let mut expected = BTreeSet::new();
    for file in fs::read_dir(rules).unwrap() {
        let rules: Yaml = serde_yaml::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let groups = rules["groups"].as_sequence().unwrap();
        let alerts = groups
            .iter()
            .flat_map(|group| group["rules"].as_sequence().unwrap())
            .filter_map(alert);
        expected.extend(alerts);
    }
    assert!(expected.len() > 30, "{expected:?}");
    assert_eq!(rows("### Alerts").into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}

/// The row of an alert rule.
fn alert(rule: &Yaml) -> Option<String> {
    let name = rule.get("alert")?.as_str().unwrap();
    let severity = rule["labels"]["severity"].as_str().unwrap();
    let summary = rule["annotations"]["summary"].as_str().unwrap().trim_end_matches('.');
    Some(format!("| `{name}` | {severity} | {summary} |"))
}

#[test]
fn dashboards_are_those_of_their_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let dashboard = |path: &Path| {
        let dashboard: Yaml = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, dashboard["title"].as_str().unwrap().to_owned())
    };
    let expected: BTreeSet<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| dashboard(&entry.unwrap().path()))
        .collect();
    let listed = rows("### Dashboards")
        .into_iter()
        .map(|row| (cell(row, 0).to_owned(), cell(row, 1).to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn protocols_are_those_of_the_registry() {
    let listed: Vec<_> = rows("### Protocols")
        .iter()
        .map(|row| [0, 1, 2].map(|index| column(row, index)))
        .collect();
    let expected: Vec<_> = protocol::ALL.iter().map(|protocol| described(protocol.service())).collect();
    assert_eq!(listed, expected);
}

/// The unchanged text of a cell.
fn column(row: &str, index: usize) -> String {
    row.trim_matches(['|', ' ']).split(" | ").nth(index).unwrap().to_owned()
}

/// The first columns of the row of a service.
fn described(service: &Service) -> [String; 3] {
    let other = |other: &OtherName| match other.port {
        Some(port) => format!("`{}` {port}", other.name),
        None => format!("`{}`", other.name),
    };
    let others: Vec<_> = service.other_names.iter().map(other).collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let starttls = service.starttls_name.map_or("", |_| ", `+starttls`");
    [
        format!("`{}`{others}", service.name),
        service.port.to_string(),
        format!("`{}` {}{starttls}", service.tls_name, service.tls_port),
    ]
}

#[test]
fn the_discovered_targets_are_as_it_says() {
    let configuration = blocks("yaml")
        .into_iter()
        .find(|block| block.contains("\ndiscovery:\n"))
        .unwrap();
    let path = Path::new("portprobe.yaml");
    let config = config::parse(configuration, path, &|_| None).unwrap().finish(&[]).unwrap();
    let names: Vec<_> = config.discovery.iter().map(|source| &*source.name).collect();
    let expected = [
        "file:sd/*.json",
        "http:https://cmdb.internal/sd",
        "dns:SRV:_postgres._tcp.internal",
        "dns:A:web.internal:443",
    ];
    assert_eq!(names, expected);
    let entries = config::discovered(blocks("json")[0]).unwrap();
    let mut targets = config.discovery_context.targets();
    for candidate in config.discovery_context.candidates(&config.discovery[0], &entries) {
        targets.add(&candidate.unwrap_or_else(|error| panic!("{error}")));
    }
    let (targets, invalid) = targets.finish();
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["tcp://pg-1.internal:5432", "tcp://pg-2.internal:5432", "shop", "tcp://redis.internal:6379"]);
    assert!(invalid.is_empty(), "{invalid:?}");
    let labels: Vec<_> = targets[0].labels.iter().collect();
    assert_eq!(labels, [("exported_job", "postgres"), ("owner", "dba")]);
    assert_eq!(targets[0].settings.confirm.failures.get(), 3);
}

#[test]
fn metrics_are_those_of_the_code() {
    let expected: Vec<_> = metrics::families()
        .filter(|family| family.name.starts_with("portprobe_"))
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", family.name, family.kind.as_str(), labels.join(", "), family.help)
        })
        .collect();
    assert_eq!(rows("### Metrics"), expected, "the table should read:\n{}\n", expected.join("\n"));
}

#[test]
fn classes_are_those_of_the_code() {
    let listed: Vec<_> = rows("### Failure classes").iter().map(|row| cell(row, 1)).collect();
    let (listed, expected) = (BTreeSet::from_iter(listed), BTreeSet::from(Class::ALL.map(Class::as_str)));
    assert_eq!(listed, expected);
}

#[test]
fn local_faults_are_those_of_the_code() {
    let listed: Vec<_> = rows("### Local faults").iter().map(|row| cell(row, 0)).collect();
    assert_eq!(listed, LocalFaultReason::ALL.map(LocalFaultReason::as_str));
}

/// The fenced code blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    README
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

#[test]
fn every_configuration_is_content() {
    let environment = |name: &str| match name {
        "POD_NAME" => Some("orders-7".to_owned()),
        "REGION" => Some("eu-west-1".to_owned()),
        _ => None,
    };
    let is_ours = |block: &&str| block.lines().any(|line| matches!(line, "targets:" | "discovery:"));
    let configurations: Vec<_> = blocks("yaml").into_iter().filter(is_ours).collect();
    assert_eq!(configurations.len(), 12, "{configurations:?}");
    let path = Path::new("portprobe.yaml");
    for configuration in configurations {
        let text = format!("{configuration}\n");
        let parsed = config::parse(&text, path, &environment).and_then(|draft| draft.finish(&[]));
        assert!(parsed.is_ok(), "{}\n{text}", parsed.unwrap_err());
    }
}

#[test]
fn two_thousand_targets_are_two_thousand() {
    let block = blocks("yaml").into_iter().find(|block| block.contains("8000-8496")).unwrap();
    let config = config::parse(block, Path::new("portprobe.yaml"), &|_| None)
        .unwrap()
        .finish(&[])
        .unwrap();
    assert_eq!(config.targets.len(), 2000);
}

#[test]
fn prometheus_takes_its_snippets() {
    if !requires_program("promtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (marker, kind) in [("scrape_configs:", "config"), ("    rules:", "rules")] {
        let block = blocks("yaml").into_iter().find(|block| block.contains(marker)).unwrap();
        let file = folder.path().join(kind);
        fs::write(&file, format!("{block}\n")).unwrap();
        let (content, printed) =
            services::fed(&program("promtool").unwrap(), &["check", kind, file.to_str().unwrap()], "");
        assert!(content, "{printed}\n{block}");
    }
}

#[test]
fn every_command_is_one() {
    let commands: Vec<_> = ["sh", "console"]
        .into_iter()
        .flat_map(blocks)
        .flat_map(str::lines)
        .map(|line| line.trim_start_matches("$ "))
        .filter_map(|line| {
            line.strip_prefix("cargo run --release -- ")
                .or_else(|| line.strip_prefix("portprobe"))
        })
        .collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let words = std::iter::once("portprobe").chain(command.split_whitespace());
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
    }
}

#[test]
fn the_first_steps_work_in_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), format!("{}\n", blocks("yaml")[0])).unwrap();
    let checked = finished(&["check"], folder.path());
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""), "{checked:?}");
    assert!(checked.stdout.starts_with("portprobe.yaml: 3 targets, 0 groups, "), "{checked:?}");
}

/// The code block under "Check it, run it, look at it" as a script, in an empty folder and on a free port.
#[test]
fn the_first_steps_work_as_a_script() {
    if !requires_program("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), format!("{}\n", blocks("yaml")[0])).unwrap();
    let block = blocks("sh")
        .into_iter()
        .find(|block| block.starts_with("portprobe check"))
        .unwrap();
    let [check, serve, look] = block.lines().collect::<Vec<_>>()[..] else { panic!("{block}") };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let look = look.replace("10115", &port.to_string());
    let script = format!(
        "set -eu\n{check}\nPORTPROBE_WEB_LISTEN_ADDRESS=127.0.0.1:{port} {serve} 2>log &\ntrap 'kill $!' EXIT\n\
         {look} -sS --retry 50 --retry-delay 1 --retry-connrefused\n"
    );
    let binaries = Path::new(env!("CARGO_BIN_EXE_portprobe")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    let output = shell
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
    assert!(stdout.contains("portprobe_targets 3"), "{stdout}\n{stderr}");
}
