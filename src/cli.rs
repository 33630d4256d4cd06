//! The command line: the commands, with flags in Prometheus' spelling.
//!
//! Exit status: 0 success, 1 failure, 2 wrong usage.

use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hyper::Uri;

use self::flags::{CheckArguments, DaemonArguments, ServeArguments};
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::config::LoadError;
use crate::http::ListenAddress;

pub mod check;
mod demo;
mod flags;
mod healthcheck;
mod probe;
pub mod schema;
mod serve;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "portprobe", version, about = "Probes whatever listens on a TCP port, and tells Prometheus")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe and answer HTTP until stopped (the default command)
    Serve(ServeArguments),
    /// Validate a configuration and print every problem with its line
    Check(CheckArguments),
    /// Probe small servers of its own, in every state there is: no file, no network, no root
    // Fewer log lines than the daemon, so that the welcome stays visible.
    #[command(mut_arg("log_level", |level| level.default_value("warn")))]
    Demo(DaemonArguments),
    /// Make one probe now and print what happened
    Probe(probe::Arguments),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Ask a running daemon whether it is healthy
    Healthcheck {
        /// Its health endpoint; by default /-/healthy where the environment lets the daemon listen
        url: Option<Uri>,
    },
}

/// Runs the command. The caller prints an error and exits with its [`status`].
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { command, serve } = cli;
    let Some(command) = command else { return serve_or_check(&serve) };
    match command {
        Command::Serve(arguments) => serve_or_check(&arguments),
        Command::Check(CheckArguments { file, syntax_only: true }) => check(&file, None),
        Command::Check(CheckArguments { file, syntax_only: false }) => check(&file, Some(&LoadedFiles::default())),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Schema => printed(&schema::run()),
        // Next to a subcommand, the flags of the daemon come from the environment only.
        Command::Healthcheck { url } => healthcheck::run(&url.map_or_else(|| health_endpoint(&serve.daemon), Ok)?),
    }
}

fn serve_or_check(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    if arguments.config_check {
        check(&arguments.config_file, Some(&LoadedFiles::default()))
    } else {
        serve::run(arguments)
    }
}

/// The health endpoint of a daemon with this listen address.
fn health_endpoint(daemon: &DaemonArguments) -> anyhow::Result<Uri> {
    let address = daemon.listen.first().map(ListenAddress::from_here).unwrap_or_default();
    format!("http://{address}/-/healthy")
        .parse()
        .with_context(|| format!("'{address}' makes no URL"))
}

fn check(file: &Path, files: Option<&LoadedFiles>) -> anyhow::Result<ExitCode> {
    printed(&check::run(file, &environment, files)?)
}

/// The text of an error: its whole chain, or a line for each problem of a configuration.
pub fn explain(error: &anyhow::Error) -> String {
    error
        .downcast_ref::<LoadError>()
        .map_or_else(|| format!("portprobe: {error:#}"), ToString::to_string)
}

/// The exit status of an error: 2 if it is about the command line.
pub fn status(error: &anyhow::Error) -> ExitCode {
    let is_usage = error.downcast_ref::<UsageError>().is_some()
        || error.downcast_ref::<LoadError>().is_some_and(LoadError::is_of_command_line);
    if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// An argument that parses and still cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Prints a line. A closed pipe, as with `head`, is not an error.
fn printed(text: &str) -> anyhow::Result<ExitCode> {
    match writeln!(stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use tracing::Level;

    use super::*;
    use crate::log::Format;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["portprobe"].iter().chain(arguments))
    }

    #[test]
    fn the_definition_is_sound() {
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
    fn wrong_usage_exits_with_2() {
        for arguments in [&["--no-such-flag"] as &[_], &["frobnicate"], &["probe"], &["--log.format=xml"]] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
