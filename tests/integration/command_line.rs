//! The command line: completions in real shells, manual pages, exit status.

use std::fs;
use std::io::{PipeWriter, pipe};
use std::process::Command;

use crate::support::daemon::{finished, portprobe};
use crate::support::requires_program;

/// The standard output of a script for a shell, with the binary under test in `PATH`.
fn printed_by(shell: &str, script: &str) -> String {
    let binary = portprobe();
    let folder = std::path::Path::new(binary.get_program()).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new(shell).args(["-c", script]).env("PATH", path).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    if !requires_program("bash") {
        return;
    }
    for (words, expected) in [
        ("''", "serve check probe demo targets schema healthcheck import completions man help"),
        ("pro", "probe"),
        ("probe --tls.c", "--tls.ca-file --tls.cert-file --tls.crl-files"),
        ("--log.level ''", "debug info warn error"),
        ("completions ''", "bash fish zsh"),
    ] {
        let script = format!(
            "source <(portprobe completions bash)
             COMP_WORDS=(portprobe {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _portprobe portprobe \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
             echo \"${{COMPREPLY[@]}}\""
        );
        let printed = printed_by("bash", &script);
        assert!(printed.trim_end().ends_with(expected), "{words}: {printed}");
    }
}

#[test]
fn fish_completes_commands_flags_and_values() {
    if !requires_program("fish") {
        return;
    }
    for (line, expected) in [
        ("portprobe pro", &["probe"][..]),
        ("portprobe probe --tls.c", &["--tls.ca-file", "--tls.cert-file", "--tls.crl-files"]),
        ("portprobe --config.file=x --log.level ", &["debug", "error", "info", "warn"]),
        ("portprobe completions ", &["bash", "fish", "zsh"]),
    ] {
        let printed = printed_by("fish", &format!("portprobe completions fish | source; complete -C '{line}'"));
        let words: Vec<_> = printed.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(expected.iter().all(|word| words.contains(word)), "{line}: {printed}");
        assert!(!words.contains(&"Cargo.toml"), "{line}: {printed}");
    }
}

#[test]
fn zsh_loads_the_completions() {
    if !requires_program("zsh") {
        return;
    }
    let script = "autoload -U compinit && compinit -u -D && eval \"$(portprobe completions zsh)\" && \
                  echo ${+functions[_portprobe]} $_comps[portprobe]";
    assert_eq!(printed_by("zsh", script), "1 _portprobe\n");
}

#[test]
fn manual_pages_render_without_warnings() {
    if !requires_program("mandoc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("portprobe.1");
    for command in
        ["", "serve", "check", "probe", "demo", "targets", "schema", "healthcheck", "import", "completions", "man"]
    {
        let arguments: Vec<_> = ["man", command].into_iter().filter(|argument| !argument.is_empty()).collect();
        let printed = finished(&arguments, folder.path());
        assert_eq!(printed.status, 0, "{printed:?}");
        fs::write(&page, printed.stdout).unwrap();
        let linted = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(&page)
            .output()
            .unwrap();
        assert!(linted.status.success(), "{command}: {}", String::from_utf8_lossy(&linted.stdout));
    }
}

#[test]
fn the_long_version_names_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(finished(&["-V"], folder.path()).stdout, format!("portprobe {version}\n"));
    let long = finished(&["--version"], folder.path()).stdout;
    let names: Vec<_> = long.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(names.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["revision", "target", "rustc"], "{long}");
    assert!(names.iter().all(|(_, value)| !value.is_empty()), "{long}");
}

/// Stands for a terminal or a log collector that has gone.
fn closed_pipe() -> PipeWriter {
    pipe().unwrap().1
}

#[test]
fn a_closed_standard_error_keeps_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.yaml"), "discovery: [{ file: none/*.yaml }]\n").unwrap();
    for (arguments, expected) in [
        (&["--config.file=none.yaml"] as &[_], 1),
        (&["check", "none.yaml"], 1),
        (&["probe", "--config.file=empty.yaml", "nothing"], 2),
        (&["healthcheck", "http://127.0.0.1:1"], 1),
        (&["--no-such-flag"], 2),
    ] {
        let mut command = portprobe();
        command.args(arguments).current_dir(folder.path()).stderr(closed_pipe());
        assert_eq!(command.status().unwrap().code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn a_closed_standard_output_keeps_the_exit_status() {
    for (arguments, expected) in [
        (&["--help"] as &[_], 0),
        (&["schema"], 0),
        (&["man"], 0),
        (&["probe", "tcp://127.0.0.1:1", "--expect=closed"], 0),
        (&["probe", "tcp://127.0.0.1:1", "--expect=closed", "--json"], 0),
    ] {
        let status = portprobe().args(arguments).stdout(closed_pipe()).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments:?}");
    }
}
