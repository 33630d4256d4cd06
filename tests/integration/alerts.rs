//! The rules of `alerts/rules`: the checks of promtool and the unit tests of `tests/resources/alerts` under every available
//! promtool, and what promtool does not check: conventions, the runbook, unknown metrics, and rules without a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_yaml::Value;

use crate::support::services::promtool_programs;

mod conventions;
mod coverage;
mod mixin;
mod texts;

/// The YAML files of a folder of the project, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    assert!(!files.is_empty(), "no files");
    files.into_iter().collect()
}

fn rule_files() -> Vec<PathBuf> {
    files("alerts/rules")
}

fn test_files() -> Vec<PathBuf> {
    files("tests/resources/alerts")
}

/// The content of a file, with anchors resolved.
fn read(file: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The elements of a list; empty without such a key.
fn list<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of.get(key).and_then(Value::as_sequence).into_iter().flatten()
}

/// The text of a key; empty without such a key.
fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// All rules of all files.
fn rules() -> Vec<Value> {
    let groups: Vec<_> = rule_files()
        .iter()
        .flat_map(|file| list(&read(file), "groups").cloned().collect::<Vec<_>>())
        .collect();
    groups.iter().flat_map(|group| list(group, "rules")).cloned().collect()
}

/// The rules that are alerts.
fn alerts() -> Vec<Value> {
    rules().into_iter().filter(|rule| rule.get("alert").is_some()).collect()
}

/// The output of promtool for these files, and whether it succeeded.
fn promtool(promtool: &Path, arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output = Command::new(promtool).args(arguments).args(files).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn promtool_accepts_the_rules() {
    for tool in promtool_programs() {
        let (accepted, printed) = promtool(&tool, &["check", "rules", "--lint=all", "--lint-fatal"], &rule_files());
        assert!(accepted, "{}:\n{printed}", tool.display());
        assert_eq!(printed.matches("SUCCESS").count(), rule_files().len(), "{printed}");
    }
}

/// Each promtool takes a minute, so they run concurrently; but not one per file, because other tests measure time meanwhile.
#[test]
fn the_unit_tests_of_the_rules_pass() {
    let tools = promtool_programs();
    let results: Vec<_> = thread::scope(|scope| {
        let running = tools
            .iter()
            .map(|tool| scope.spawn(move || promtool(tool, &["test", "rules"], &test_files())));
        running.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (tool, (accepted, printed)) in tools.iter().zip(results) {
        assert!(accepted, "{}:\n{printed}", tool.display());
        assert_eq!(printed.matches("SUCCESS").count(), test_files().len(), "{printed}");
    }
}
