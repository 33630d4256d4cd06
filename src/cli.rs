//! The command line: the commands, with flags in Prometheus' spelling.
//!
//! Exit status: 0 success, 1 failure, 2 wrong usage. The texts of `--help` that are longer than a line are in `texts`.

use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory as _, Parser, Subcommand};

use self::check::Details;
use self::flags::{CheckArguments, DaemonArguments, ServeArguments};
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::config::LoadError;

pub mod check;
mod client;
mod completions;
mod demo;
mod flags;
mod healthcheck;
mod import;
mod man;
mod probe;
pub mod schema;
mod serve;
mod targets;
mod texts;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "portprobe", version, long_version = texts::long_version())]
#[command(about = texts::ABOUT, long_about = texts::LONG_ABOUT, after_long_help = texts::EXIT_STATUS_AND_SIGNALS)]
#[command(args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe the targets and serve metrics until stopped (default)
    #[command(after_long_help = texts::SIGNALS)]
    Serve(ServeArguments),
    /// Validate a configuration
    #[command(long_about = texts::CHECK, after_long_help = texts::CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Probe a target once and print each step
    #[command(long_about = texts::PROBE, after_long_help = texts::PROBE_EXAMPLES)]
    Probe(probe::Arguments),
    /// Run a self-contained demo
    // Fewer log lines than the daemon, so that the welcome stays visible.
    #[command(long_about = texts::DEMO, mut_arg("log_level", |level| level.default_value("warn")))]
    Demo(DaemonArguments),
    /// List the targets of a running daemon
    #[command(long_about = texts::TARGETS, after_long_help = texts::TARGETS_EXAMPLES)]
    Targets(targets::Arguments),
    /// Print the JSON Schema of the configuration
    #[command(long_about = texts::SCHEMA)]
    Schema,
    /// Check that a running daemon is healthy
    #[command(long_about = texts::HEALTHCHECK, after_long_help = texts::HEALTHCHECK_EXAMPLES)]
    Healthcheck(healthcheck::Arguments),
    /// Convert a configuration of blackbox_exporter
    #[command(long_about = texts::IMPORT, after_long_help = texts::IMPORT_EXAMPLES)]
    Import(import::Arguments),
    /// Print shell completions
    #[command(after_long_help = texts::COMPLETIONS_EXAMPLES)]
    Completions {
        /// Name of the shell
        shell: completions::Shell,
    },
    /// Print the manual page
    #[command(long_about = texts::MAN)]
    Man {
        /// Command whose page is printed; default: the page of portprobe itself
        #[arg(value_parser = PossibleValuesParser::new(man::COMMANDS))]
        command: Option<String>,
    },
}

/// Runs the command. The caller prints an error and exits with its [`status`].
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { command, serve } = cli;
    let Some(command) = command else { return serve_or_check(&serve) };
    match command {
        Command::Serve(arguments) => serve_or_check(&arguments),
        Command::Check(arguments) => {
            let files = (!arguments.syntax_only).then(LoadedFiles::default);
            check(arguments.file(), arguments.web_config_file.as_deref(), files.as_ref(), arguments.details())
        }
        Command::Completions { shell } => printed(&completions::run(shell, Cli::command())),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Man { command } => printed(&man::run(command.as_deref(), Cli::command(), man::date(&environment))?),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Schema => printed(&schema::run()),
        Command::Targets(arguments) => targets::run(&arguments, &serve.daemon),
        // A subcommand conflicts with the flags of the daemon, so these come from the environment only.
        Command::Healthcheck(arguments) => healthcheck::run(&arguments, &serve.daemon),
    }
}

fn serve_or_check(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    if arguments.config_check {
        let web_config = arguments.daemon.web_config_file.as_deref();
        check(Some(&arguments.config_file), web_config, Some(&LoadedFiles::default()), Details::None)
    } else {
        serve::run(arguments)
    }
}

/// Validates a configuration, a web configuration or both, and reports the problems of both.
fn check(
    file: Option<&Path>,
    web_config: Option<&Path>,
    files: Option<&LoadedFiles>,
    details: Details,
) -> anyhow::Result<ExitCode> {
    let checked = [
        file.map(|file| check::run(file, &environment, files, details)),
        web_config.map(|file| check::web(file, files)),
    ];
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for result in checked.into_iter().flatten() {
        match result {
            Ok(text) => texts.push(text),
            Err(error) => problems.extend(error.diagnostics().iter().cloned()),
        }
    }
    if !problems.is_empty() {
        return Err(LoadError::new(problems).into());
    }
    printed(&texts.join("\n"))
}

/// Returns the text of an error: its whole chain, or a line for each problem of a configuration.
pub fn explain(error: &anyhow::Error) -> String {
    error
        .downcast_ref::<LoadError>()
        .map_or_else(|| format!("portprobe: {error:#}"), ToString::to_string)
}

/// Returns the exit status of an error: 2 if it is about the command line.
pub fn status(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.downcast_ref::<UsageError>().is_some()
        || error.downcast_ref::<LoadError>().is_some_and(LoadError::is_of_command_line);
    if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// An argument that parses and still cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Prints a line to standard error. If nobody can read it, the exit status must be enough.
pub fn print_error(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Prints a text and a line end.
fn printed(text: &str) -> anyhow::Result<ExitCode> {
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a text. A closed pipe, as with `head`, is not an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::clock::Utc;
    use crate::log::Format;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["portprobe"].iter().chain(arguments))
    }

    #[test]
    fn the_command_line_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        assert!(parse(&[]).unwrap().command.is_none());
        let cli = parse(&["--config.file", "x.yaml", "--web.listen-address=:1", "--web.listen-address=:2"]).unwrap();
        assert_eq!((cli.serve.config_file, cli.serve.daemon.listen.len()), ("x.yaml".into(), 2));
        let named = parse(&["serve", "--log.format=json", "--log.level=debug"]).unwrap();
        let Some(Command::Serve(ServeArguments { daemon: arguments, .. })) = named.command else { panic!("{named:?}") };
        assert_eq!((arguments.log_format, arguments.log_level), (Format::Json, Level::DEBUG));
    }

    #[test]
    fn the_demo_has_the_flags_of_the_daemon() {
        let cli = parse(&["demo", "--web.listen-address=:1", "--log.level=debug"]).unwrap();
        let Some(Command::Demo(arguments)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((arguments.listen, arguments.log_level), (vec![":1".parse().unwrap()], Level::DEBUG));
        assert!(parse(&["demo", "--config.file=x.yaml"]).is_err());
        let Some(Command::Demo(arguments)) = parse(&["demo"]).unwrap().command else { panic!("no demo") };
        assert_eq!(arguments.log_level, Level::WARN, "the welcome stays in view");
    }

    #[test]
    fn help_and_error_list_the_same_levels() {
        let error = parse(&["--log.level=loud"]).unwrap_err().to_string();
        let help = parse(&["--help"]).unwrap_err().to_string();
        for text in [error, help] {
            assert!(text.contains("[possible values: debug, info, warn, error]"), "{text}");
        }
        for (level, expected) in [("INFO", Level::INFO), ("trace", Level::TRACE)] {
            let cli = parse(&["--log.level", level]).unwrap();
            assert_eq!(cli.serve.daemon.log_level, expected, "earlier spellings still work");
        }
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let date = Utc::of_seconds(0);
        let cli = Cli::command();
        let commands: Vec<_> = cli.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(commands, man::COMMANDS);
        for command in commands {
            let page = man::run(Some(command), Cli::command(), date).unwrap();
            assert!(page.contains(&format!("\nportprobe\\-{command} \\- ")), "{page}");
        }
        assert!(man::run(None, Cli::command(), date).unwrap().contains(".SH NAME\nportprobe"));
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for arguments in [&["--no-such-flag"] as &[_], &["frobnicate"], &["probe"], &["--log.format=xml"]] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
        for arguments in [&["--help"], &["-h"], &["--version"], &["-V"]] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 0, "{arguments:?}");
        }
    }
}
