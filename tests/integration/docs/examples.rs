//! Examples in the documentation: configurations, files of discovery, snippets for Prometheus, and commands.

use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Command;

use clap::Parser as _;
use portprobe::cli::Cli;
use portprobe::config::{self, Config};

use super::Page;
use crate::support::daemon::finished;
use crate::support::{program, requires_program, services};

/// Compiles a configuration without reading the files that it names.
fn compile(text: &str) -> Result<Config, String> {
    let environment = |name: &str| match name {
        "POD_NAME" => Some("orders-7".to_owned()),
        "REGION" => Some("eu-west-1".to_owned()),
        _ => None,
    };
    config::parse(text, Path::new("portprobe.yaml"), &environment)
        .and_then(|draft| draft.finish(&[]))
        .map_err(|error| format!("{error}\n{text}"))
}

/// The blocks of a language, with the page of each.
fn blocks(language: &str) -> Vec<(String, String)> {
    let of_page = |page: Page| {
        let name = page.path.display().to_string();
        page.blocks(language)
            .into_iter()
            .map(move |block| (name.clone(), block))
            .collect::<Vec<_>>()
    };
    Page::all().into_iter().flat_map(of_page).collect()
}

fn has_line(block: &str, line: &str) -> bool {
    block.lines().any(|other| other == line)
}

#[test]
fn every_configuration_is_valid() {
    let own = |block: &str| has_line(block, "targets:") || has_line(block, "discovery:");
    let configurations: Vec<_> = blocks("yaml").into_iter().filter(|(_, block)| own(block)).collect();
    assert!(configurations.len() >= 12, "{configurations:?}");
    for (page, text) in configurations {
        compile(&text).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
}

/// A block that begins with a list item is a part of `targets`.
#[test]
fn every_list_of_targets_is_valid() {
    let lists: Vec<_> = blocks("yaml")
        .into_iter()
        .filter(|(_, block)| block.trim_start().starts_with("- url"))
        .collect();
    assert!(!lists.is_empty());
    for (page, text) in lists {
        compile(&format!("targets:\n{text}")).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
}

#[test]
fn two_thousand_targets_are_two_thousand() {
    let blocks = Page::read(Path::new("docs/recipes.md")).blocks("yaml");
    let block = blocks.iter().find(|block| block.contains("8000-8496")).unwrap();
    assert_eq!(compile(block).unwrap().targets.len(), 2000);
}

#[test]
fn discovered_targets_are_as_described() {
    let page = Page::read(Path::new("docs/discovery.md"));
    let config = compile(&page.blocks("yaml")[0]).unwrap();
    let names: Vec<_> = config.discovery.iter().map(|source| &*source.name).collect();
    let expected = [
        "file:sd/*.json",
        "http:https://cmdb.internal/sd",
        "dns:SRV:_postgres._tcp.internal",
        "dns:A:web.internal:443",
    ];
    assert_eq!(names, expected);
    let entries = config::discovered(&page.blocks("json")[0]).unwrap();
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
fn prometheus_accepts_its_snippets() {
    if !requires_program("promtool") {
        return;
    }
    let markers = [("scrape_configs:", "config"), ("rule_files:", "config"), ("groups:\n  - name:", "rules")];
    let snippets = blocks("yaml").into_iter().filter_map(|(page, text)| {
        let (_, kind) = markers.iter().find(|(marker, _)| text.contains(marker))?;
        Some((page, text, *kind))
    });
    let snippets: Vec<_> = snippets.collect();
    assert!(snippets.len() >= 2, "{snippets:?}");
    for (page, text, kind) in snippets {
        assert_promtool_accepts(kind, &text, &page);
    }
}

#[test]
fn prometheus_accepts_its_queries() {
    if !requires_program("promtool") {
        return;
    }
    let queries = blocks("promql");
    assert!(!queries.is_empty());
    for (page, query) in queries {
        let rule = serde_json::json!({ "record": "query", "expr": query.trim() });
        assert_promtool_accepts("rules", &format!("groups: [{{ name: queries, rules: [{rule}] }}]"), &page);
    }
}

#[track_caller]
fn assert_promtool_accepts(kind: &str, text: &str, page: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(kind);
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    // The certificates that a snippet names do not exist.
    let syntax_only = (kind == "config").then_some("--syntax-only");
    let arguments: Vec<_> = ["check", kind].into_iter().chain(syntax_only).chain([file]).collect();
    let (valid, printed) = services::fed(&program("promtool").unwrap(), &arguments, "");
    assert!(valid, "{page}: {printed}\n{text}");
}

#[test]
fn every_command_parses() {
    let lines: Vec<_> = ["sh", "console"]
        .into_iter()
        .flat_map(blocks)
        .flat_map(|(page, block)| block.lines().map(|line| (page.clone(), line.to_owned())).collect::<Vec<_>>())
        .collect();
    let commands = lines.iter().filter_map(|(page, line)| Some((page, command(line)?)));
    assert!(commands.clone().count() >= 5, "{lines:?}");
    for (page, command) in commands {
        let parsed = Cli::try_parse_from(&command);
        assert!(parsed.is_ok(), "{page}: {command:?}: {}", parsed.unwrap_err());
    }
}

/// The call of portprobe in a line of a shell, without variables before it and redirections after it.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start_matches("$ ");
    let line = &line[..line.find(['>', '|', '&', '#']).unwrap_or(line.len())];
    let words: Vec<_> = shlex::split(line)?.into_iter().skip_while(|word| word.contains('=')).collect();
    (Path::new(words.first()?).file_name()? == "portprobe").then_some(words)
}

/// Sessions with a configuration print what the page shows, except for durations. `cat FILE` shows a file of the session;
/// at first there is the first configuration of the page.
#[test]
fn sessions_print_the_documented_output() {
    if ("localhost", 5432)
        .to_socket_addrs()
        .is_ok_and(|addresses| addresses.count() > 1)
        || is_open(5432)
    {
        println!(
            "skipped: the sessions assume that localhost has one address and that nothing listens on its port 5432"
        );
        return;
    }
    let mut compared = 0;
    for page in Page::all() {
        let folder = tempfile::tempdir().unwrap();
        if let Some(configuration) = page.blocks("yaml").into_iter().find(|block| has_line(block, "targets:")) {
            fs::write(folder.path().join("portprobe.yaml"), configuration).unwrap();
        }
        for (command, shown) in page.blocks("console").iter().flat_map(|block| session(block)) {
            let words: Vec<_> = command.split_whitespace().collect();
            match words[..] {
                ["cat", file] => fs::write(folder.path().join(file), shown).unwrap(),
                ["portprobe", "check", ..] | ["portprobe", "probe", "--config.file", ..] => {
                    let printed = finished(&words[1..], folder.path());
                    let printed = printed.stdout + &printed.stderr;
                    assert_eq!(masked(&printed), masked(&shown), "{}: {command}\n{printed}", page.path.display());
                    compared += 1;
                }
                _ => {}
            }
        }
    }
    assert!(compared >= 2, "{compared}");
}

/// The commands of a session, each with what it prints.
fn session(block: &str) -> Vec<(String, String)> {
    let commands = block.split("$ ").skip(1);
    commands
        .map(|part| part.split_once('\n').unwrap())
        .map(|(command, printed)| (command.to_owned(), printed.to_owned()))
        .collect()
}

/// The text without durations, and without the spaces that align them.
fn masked(text: &str) -> String {
    let durations = regex::Regex::new(r" *[0-9.]+ (ms|s)\b").unwrap();
    durations.replace_all(text.trim_end(), " N").into_owned()
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The quick start of the README, pasted into a shell in an empty folder: only the port differs.
#[test]
fn the_quick_start_works_as_written() {
    if !requires_program("curl") {
        return;
    }
    let readme = Page::read(Path::new("README.md"));
    let section = readme.text.split_once("\n## Quick start\n").unwrap().1;
    let section = Page { path: readme.path.clone(), text: section.split_once("\n## ").unwrap().0.to_owned() };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), &section.blocks("yaml")[0]).unwrap();
    let checked = finished(&["check"], folder.path());
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""), "{checked:?}");
    let commands = section.blocks("sh");
    let lines: Vec<_> = commands.iter().flat_map(|block| block.lines()).collect();
    let serve = lines.iter().position(|&line| line == "portprobe").unwrap();
    let [check, serve, curl] = lines[serve - 1..=serve + 1] else { panic!("{lines:?}") };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (url, filter) = curl.split_once(" | ").unwrap();
    let url = url.replace("10115", &port.to_string());
    let script = format!(
        "set -eu\n{check}\nPORTPROBE_WEB_LISTEN_ADDRESS=127.0.0.1:{port} {serve} 2>log &\ntrap 'kill $!' EXIT\n\
         for _ in $(seq 600); do {url} 2>/dev/null | {filter} && exit 0; sleep 0.1; done; cat log; exit 1\n"
    );
    let binaries = Path::new(env!("CARGO_BIN_EXE_portprobe")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let output = shell
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}\n{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("portprobe_up{"), "{printed}");
}
