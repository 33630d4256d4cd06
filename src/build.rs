//! Build script: sets the revision, target and compiler that `--version` and `build_info` report.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    // With a path that does not exist, cargo would run this script and compile everything in every build.
    if Path::new(".git/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/HEAD");
    }
    println!("cargo::rerun-if-env-changed=PORTPROBE_REVISION");
    let revision = std::env::var("PORTPROBE_REVISION")
        .ok()
        .or_else(|| output_of(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])))
        .unwrap_or_default();
    let compiler = std::env::var_os("RUSTC")
        .and_then(|rustc| output_of(Command::new(rustc).arg("--version")))
        .and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_default();
    println!("cargo::rustc-env=PORTPROBE_REVISION={revision}");
    println!("cargo::rustc-env=PORTPROBE_RUSTC={compiler}");
    println!("cargo::rustc-env=PORTPROBE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// Returns the trimmed standard output of a command; `None` if it fails.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
