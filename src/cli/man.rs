//! `portprobe man`: a manual page for each command.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::clock::{self, Utc};

/// Returns the page of a command, or of `portprobe` itself without a name. `date` is its date.
pub(super) fn run(name: Option<&str>, cli: Command, date: Utc) -> io::Result<String> {
    // The long version names a platform, but packages for several platforms share the pages.
    let mut cli = cli.disable_help_subcommand(true).long_version(None);
    cli.build();
    let command = name.and_then(|name| cli.find_subcommand(name)).unwrap_or(&cli);
    let page = render(command, date)?;
    // mandoc warns about an empty line between breaks, and about blanks at line ends.
    let page = String::from_utf8_lossy(&page).replace("\n.br\n\n.br\n", "\n.sp\n");
    Ok(page.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// Returns the date of a reproducible build, or the current time.
pub(super) fn date(environment: &dyn Fn(&str) -> Option<String>) -> Utc {
    let epoch = environment("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    Utc::of_seconds(epoch.unwrap_or_else(|| clock::now().seconds()))
}

fn render(command: &Command, date: Utc) -> io::Result<Vec<u8>> {
    let date = date.to_string();
    let day = date.split(' ').next().unwrap_or_default();
    let man = Man::new(command.clone())
        .title(command.get_display_name().unwrap_or("portprobe").to_uppercase())
        .date(day)
        .source(format!("portprobe {}", env!("CARGO_PKG_VERSION")))
        .manual("portprobe");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_long_help() {
        sections(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// Returns the text below the flags as sections: `Examples:` is the heading of the indented lines that follow.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for section in text.split("\n\n") {
        let (heading, lines) = section.split_once(":\n").unwrap_or((section, ""));
        roff.control("SH", [&*heading.to_uppercase()]).control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    roff
}

/// The commands that have a page.
pub(super) const COMMANDS: [&str; 10] =
    ["serve", "check", "probe", "demo", "targets", "schema", "healthcheck", "import", "completions", "man"];
