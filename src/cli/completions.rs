//! `portprobe completions`: scripts that complete commands and flags.

use clap::{Arg, Command, ValueEnum};
use clap_complete::{generate, shells};

/// A shell that has completions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Returns the script for a shell.
pub(super) fn run(shell: Shell, mut command: Command) -> String {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, name, &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, name, &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, name, &mut script),
    }
    let script = String::from_utf8_lossy(&script);
    let script = script.trim_end();
    match shell {
        Shell::Fish => format!("{}{}", script.replace(FISH_PARSER, FISH_FIRST_WORD), fish_arguments(&command)),
        Shell::Bash | Shell::Zsh => script.to_owned(),
    }
}

/// Returns the lines that complete the arguments of commands, which the generator for fish omits.
fn fish_arguments(command: &Command) -> String {
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    let lines = commands.filter_map(|command| {
        let values = command.get_positionals().flat_map(Arg::get_possible_values);
        let values: Vec<_> = values.map(|value| value.get_name().to_owned()).collect();
        let (name, words) = (command.get_name(), values.join(" "));
        let line = format!("\ncomplete -c portprobe -n '__fish_portprobe_using_subcommand {name}' -f -a '{words}'");
        (!values.is_empty()).then_some(line)
    });
    lines.collect()
}

/// The lines with which the script for fish finds the command. fish's `argparse` rejects flags with dots.
const FISH_PARSER: &str = "    argparse -s (__fish_portprobe_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
";

/// The same without `argparse`: a command is always the first word, because the flags of the daemon exclude commands.
const FISH_FIRST_WORD: &str = "    if set -q cmd[1]; and not string match -q -- '-*' $cmd[1]
        echo $cmd[1]
";
