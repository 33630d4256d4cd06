//! Build script: tells `build_info` which revision and compiler made the binary.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    // A path that is not there would make every build run this again, and compile everything again.
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
}

/// The trimmed standard output of a command that succeeded.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
