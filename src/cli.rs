//! The command line: flags spelled as Prometheus spells them, and what each command comes to.
//!
//! Exit status: 0 done, 1 it failed, 2 wrong usage. Every flag of the daemon has an environment variable:
//! `PORTPROBE_WEB_LISTEN_ADDRESS` for `--web.listen-address`.

use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgAction, Args, Parser, Subcommand};
use hyper::Uri;
use tracing::Level;

use crate::app::process::environment;
use crate::app::{AutoReload, HttpReload, LoadedFiles};
use crate::config::LoadError;
use crate::http::ListenAddress;
use crate::log::Format;
use crate::target::Shard;

pub mod check;
mod demo;
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

/// The flags of the daemon.
#[derive(Args, Debug)]
struct ServeArguments {
    /// The configuration
    #[arg(long = "config.file", value_name = "FILE", env = "PORTPROBE_CONFIG_FILE", default_value = CONFIG_FILE)]
    config_file: PathBuf,
    /// Validate the configuration and exit, as `portprobe check` does
    #[arg(long = "config.check", env = "PORTPROBE_CONFIG_CHECK")]
    config_check: bool,
    /// Probe this share of the targets alone: I/N, the replica's number counted from 0 and how many there are
    #[arg(long, value_name = "I/N", env = "PORTPROBE_SHARD", default_value_t)]
    shard: Shard,
    #[command(flatten)]
    reload: ReloadArguments,
    #[command(flatten)]
    daemon: DaemonArguments,
}

/// When the configuration is reloaded.
#[derive(Args, Debug)]
struct ReloadArguments {
    /// Read the configuration anew when its content has changed (the default)
    #[arg(
        long = "config.auto-reload",
        env = "PORTPROBE_CONFIG_AUTO_RELOAD",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    config_auto_reload: bool,
    /// Read the configuration anew only when asked to, by SIGHUP or by HTTP
    #[arg(long = "no-config.auto-reload")]
    no_config_auto_reload: bool,
    /// Let whoever reaches the port ask for a reload: POST /-/reload
    #[arg(long = "web.enable-lifecycle", env = "PORTPROBE_WEB_ENABLE_LIFECYCLE")]
    web_enable_lifecycle: bool,
}

impl ReloadArguments {
    const fn auto(&self) -> AutoReload {
        if self.config_auto_reload && !self.no_config_auto_reload { AutoReload::On } else { AutoReload::Off }
    }

    const fn http(&self) -> HttpReload {
        if self.web_enable_lifecycle { HttpReload::Enabled } else { HttpReload::Disabled }
    }
}

/// The flags of every command that runs a daemon.
#[derive(Args, Debug)]
struct DaemonArguments {
    /// Where to answer HTTP: :PORT for every address of this machine, or HOST:PORT; repeatable
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "PORTPROBE_WEB_LISTEN_ADDRESS",
        value_delimiter = ',',
        default_value = LISTEN_ADDRESS
    )]
    listen: Vec<ListenAddress>,
    /// The least severe lines that are logged: debug, info, warn or error
    #[arg(long = "log.level", value_name = "LEVEL", env = "PORTPROBE_LOG_LEVEL", default_value = "info")]
    log_level: Level,
    /// How lines are logged: logfmt or json
    #[arg(long = "log.format", value_name = "FORMAT", env = "PORTPROBE_LOG_FORMAT", default_value = "logfmt")]
    log_format: Format,
}

#[derive(Args, Debug)]
struct CheckArguments {
    /// The configuration
    #[arg(value_name = "FILE", env = "PORTPROBE_CONFIG_FILE", default_value = CONFIG_FILE)]
    file: PathBuf,
    /// Read no other file than the configuration, such as certificates
    #[arg(long = "syntax-only")]
    syntax_only: bool,
}

/// Runs the command. The caller prints an error and exits with status 1.
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
    format!("http://{address}/-/healthy").parse().with_context(|| format!("'{address}' makes no URL"))
}

fn check(file: &Path, files: Option<&LoadedFiles>) -> anyhow::Result<ExitCode> {
    printed(&check::run(file, &environment, files)?)
}

/// The text of an error: its whole chain, or a line for each problem of a configuration.
pub fn explain(error: &anyhow::Error) -> String {
    error.downcast_ref::<LoadError>().map_or_else(|| format!("portprobe: {error:#}"), ToString::to_string)
}

/// Prints a line. A closed pipe, as with `head`, is not an error.
fn printed(text: &str) -> anyhow::Result<ExitCode> {
    match writeln!(stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

const CONFIG_FILE: &str = "portprobe.yaml";

/// Port 10115 is not used by another exporter in Prometheus' list.
const LISTEN_ADDRESS: &str = ":10115";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
