//! Tables generated from the code, between `<!-- table: NAME -->` and `<!-- end -->`.
//!
//! `UPDATE_DOCS=1 cargo test --test integration -- docs::` writes them. The last columns of some tables are written by
//! hand: they stay with the row of the same first cell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use portprobe::cli::Cli;
use portprobe::http::Route;
use portprobe::outcome::{Class, LocalFaultReason};
use portprobe::target::{LabelName, OtherName, Service};
use portprobe::{config, metrics, protocol};
use serde_yaml::Value as Yaml;

use super::{Page, root};

/// The rows of a table, and the columns that are written by hand after those of the code.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    by_hand: &'static [&'static str],
    rows: fn() -> Vec<Vec<String>>,
}

const TABLES: &[Table] = &[
    Table { name: "settings", columns: &["key", "default", "meaning"], by_hand: &[], rows: settings },
    Table { name: "top-level keys", columns: &["key", "default", "meaning"], by_hand: &[], rows: top_level_keys },
    Table { name: "discovery keys", columns: &["key", "default", "meaning"], by_hand: &[], rows: discovery_keys },
    Table { name: "reserved labels", columns: &["reserved label names"], by_hand: &[], rows: reserved_labels },
    Table {
        name: "protocols",
        columns: &["scheme (other names)", "port", "TLS"],
        by_hand: &["exchange", "trace in the target's log"],
        rows: protocols,
    },
    Table { name: "responses", columns: &["scheme"], by_hand: &["success", "`rejected`", "source"], rows: schemes },
    Table { name: "metrics", columns: &["name", "type", "labels", "meaning"], by_hand: &[], rows: metrics },
    Table { name: "failure classes", columns: &["phase", "class", "meaning"], by_hand: &[], rows: classes },
    Table { name: "local faults", columns: &["reason", "meaning"], by_hand: &[], rows: local_faults },
    Table { name: "alerts", columns: &["alert", "severity", "fires when"], by_hand: &[], rows: alerts },
    Table { name: "dashboards", columns: &["file", "title"], by_hand: &["answers"], rows: dashboards },
    Table {
        name: "flags",
        columns: &["flag", "environment variable", "default", "meaning"],
        by_hand: &[],
        rows: flags,
    },
    Table { name: "commands", columns: &["command", "description"], by_hand: &[], rows: commands },
    Table { name: "endpoints", columns: &["request", "response"], by_hand: &[], rows: endpoints },
];

#[test]
fn tables_are_those_of_the_code() {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut found = BTreeSet::new();
    let mut outdated = Vec::new();
    for page in Page::all() {
        let text = regenerated(&page, &mut found);
        if text != page.text && update {
            fs::write(root().join(&page.path), text).unwrap();
        } else if text != page.text {
            outdated.push(page.path);
        }
    }
    assert_eq!(found, TABLES.iter().map(|table| table.name.to_owned()).collect(), "each table is in the documentation");
    assert!(outdated.is_empty(), "run this test with UPDATE_DOCS=1 for {outdated:?}");
}

/// The page with tables as the code has them now.
fn regenerated(page: &Page, found: &mut BTreeSet<String>) -> String {
    let mut parts = page.text.split("<!-- table: ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        let (old, rest) = rest.split_once("<!-- end -->").unwrap();
        let table = TABLES.iter().find(|table| table.name == name);
        let table = table.unwrap_or_else(|| panic!("{}: unknown table {name}", page.path.display()));
        assert!(found.insert(name.to_owned()), "{}: {name} is in two places", page.path.display());
        write!(text, "<!-- table: {name} -->\n{}<!-- end -->{rest}", written(table, old)).unwrap();
    }
    text
}

/// A table as Markdown. `old` has the cells that are written by hand.
fn written(table: &Table, old: &str) -> String {
    let old: BTreeMap<_, _> = old.lines().skip(2).map(cells).map(|cells| (cells[0].clone(), cells)).collect();
    let head: Vec<_> = table.columns.iter().chain(table.by_hand).map(|&name| name.to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let rows = (table.rows)().into_iter().map(|mut row| {
        let by_hand = old
            .get(&row[0])
            .map_or(&[] as &[_], |cells| &cells[cells.len() - table.by_hand.len()..]);
        row.extend_from_slice(by_hand);
        assert_eq!(row.len(), head.len(), "{}: write the row of {} by hand", table.name, row[0]);
        row
    });
    let lines = [head.clone(), rule].into_iter().chain(rows);
    lines
        .flat_map(|row| ["| ".to_owned(), row.join(" | "), " |\n".to_owned()])
        .collect()
}

fn cells(row: &str) -> Vec<String> {
    // An empty cell has one blank.
    row.trim_matches(['|', ' '])
        .split(" |")
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn settings() -> Vec<Vec<String>> {
    documented(config::setting_keys())
}

fn top_level_keys() -> Vec<Vec<String>> {
    documented(config::top_level_keys())
}

fn documented(keys: Vec<config::SettingKey>) -> Vec<Vec<String>> {
    let row = |key: config::SettingKey| vec![code(&key.key), default(key.default), key.meaning];
    keys.into_iter().map(row).collect()
}

fn default(value: Option<String>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| code(&value))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn discovery_keys() -> Vec<Vec<String>> {
    let schema = config::schema();
    let properties = schema["$defs"]["Source"]["properties"].as_object().unwrap();
    properties
        .iter()
        .map(|(key, property)| {
            let value = property.get("default").map(|text| text.as_str().unwrap().to_owned());
            vec![code(key), default(value), property["description"].as_str().unwrap().to_owned()]
        })
        .collect()
}

fn reserved_labels() -> Vec<Vec<String>> {
    let names: Vec<_> = LabelName::RESERVED.iter().map(|name| code(name)).collect();
    vec![vec![names.join(", ")]]
}

fn protocols() -> Vec<Vec<String>> {
    protocol::ALL.iter().map(|protocol| forms(protocol.service())).collect()
}

fn schemes() -> Vec<Vec<String>> {
    protocol::ALL
        .iter()
        .map(|protocol| vec![code(protocol.service().name)])
        .collect()
}

fn forms(service: &Service) -> Vec<String> {
    let other = |other: &OtherName| match other.port {
        Some(port) => format!("`{}` {port}", other.name),
        None => code(other.name),
    };
    let others: Vec<_> = service.other_names.iter().map(other).collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let starttls = service.starttls_name.map_or("", |_| ", `+starttls`");
    vec![
        format!("`{}`{others}", service.name),
        service.port.to_string(),
        format!("`{}` {}{starttls}", service.tls_name, service.tls_port),
    ]
}

fn metrics() -> Vec<Vec<String>> {
    metrics::families()
        .filter(|family| family.name.starts_with("portprobe_"))
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| code(label)).collect();
            vec![code(family.name), family.kind.as_str().to_owned(), labels.join(", "), family.help.to_owned()]
        })
        .collect()
}

fn classes() -> Vec<Vec<String>> {
    let row = |class: &Class| {
        let phases: Vec<_> = class.phases().iter().map(|phase| code(phase.as_str())).collect();
        vec![phases.join(", "), code(class.as_str()), class.meaning().to_owned()]
    };
    Class::ALL.iter().map(row).collect()
}

fn local_faults() -> Vec<Vec<String>> {
    let row = |reason: &LocalFaultReason| vec![code(reason.as_str()), reason.meaning().to_owned()];
    LocalFaultReason::ALL.iter().map(row).collect()
}

/// Name and severity of each alert, and the first sentence of its section in the runbook.
fn alerts() -> Vec<Vec<String>> {
    let runbook = Page::read(Path::new("alerts/RUNBOOK.md")).text;
    let sentence = |name: &str| {
        let section = runbook
            .split_once(&format!("\n## {name}\n"))
            .unwrap_or_else(|| panic!("no section {name}"))
            .1;
        let paragraph = section.trim_start().split("\n\n").next().unwrap().replace('\n', " ");
        paragraph
            .split_once(". ")
            .map_or(&*paragraph, |(first, _)| first)
            .trim_end_matches('.')
            .to_owned()
    };
    let files = ["targets", "certificates", "regions", "budget", "portprobe"];
    let mut alerts = Vec::new();
    for file in files {
        let path = root().join(format!("alerts/rules/{file}.yaml"));
        let rules: Yaml = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for rule in rules["groups"]
            .as_sequence()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_sequence().unwrap())
        {
            let Some(name) = rule.get("alert").map(|name| name.as_str().unwrap()) else { continue };
            let severity = rule["labels"]["severity"].as_str().unwrap();
            alerts.push(vec![
                format!("[`{name}`](../alerts/RUNBOOK.md#{})", name.to_lowercase()),
                severity.to_owned(),
                sentence(name),
            ]);
        }
    }
    alerts
}

fn dashboards() -> Vec<Vec<String>> {
    ["overview", "target", "certificates", "exporter"]
        .into_iter()
        .map(|name| {
            let file = format!("portprobe-{name}.json");
            let text = fs::read_to_string(root().join("dashboards").join(&file)).unwrap();
            let dashboard: Yaml = serde_yaml::from_str(&text).unwrap();
            vec![code(&file), dashboard["title"].as_str().unwrap().to_owned()]
        })
        .collect()
}

/// The flags of the daemon.
fn flags() -> Vec<Vec<String>> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let shown = |flag: &&Arg| !flag.is_hide_set() && flag.get_long().is_some_and(|name| name != "help");
    serve.get_arguments().filter(shown).map(flag).collect()
}

fn flag(flag: &Arg) -> Vec<String> {
    let variable = flag.get_env().map_or_else(String::new, |name| code(name.to_str().unwrap()));
    let values: Vec<_> = flag.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
    let value = if flag.get_action().takes_values() {
        default(Some(values.join(",")).filter(|values| !values.is_empty()))
    } else {
        "off".to_owned()
    };
    vec![code(&format!("--{}", flag.get_long().unwrap())), variable, value, flag.get_help().unwrap().to_string()]
}

fn commands() -> Vec<Vec<String>> {
    let command = Cli::command();
    let row = |command: &Command| {
        let mut usage = format!("portprobe {}", command.get_name());
        for argument in command.get_positionals() {
            let name = argument.get_value_names().unwrap()[0].as_str();
            let shown = if argument.is_required_set() { write!(usage, " {name}") } else { write!(usage, " [{name}]") };
            shown.unwrap();
        }
        vec![code(&usage), command.get_about().unwrap().to_string()]
    };
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(row)
        .collect()
}

fn endpoints() -> Vec<Vec<String>> {
    Route::ALL
        .iter()
        .map(|route| vec![code(&format!("{} {}", route.methods()[0], route.path())), route.description().to_owned()])
        .collect()
}
