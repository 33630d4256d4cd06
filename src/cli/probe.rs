//! `portprobe probe`: makes one probe with the code of the daemon, and prints it as text or JSON.

use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tokio::runtime;
use tokio::time::Instant;

use self::json::Document;
use self::styles::Styles;
use self::timeline::Timeline;
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::clock;
use crate::config::{self, ProbeRequest, SettingKey, SingleTarget, ValueKind};
use crate::outcome::{Outcome, Prober};
use crate::probe::NetworkProber;
use crate::target::Target;

mod advice;
mod certificates;
mod json;
mod styles;
mod timeline;
mod transcript;
mod validity;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What to probe: a URL such as `tcp://db.example:5432`, or the name of a target in the configuration
    url: String,
    /// A configuration to take the module or the target from
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// A module of the configuration
    #[arg(long, value_name = "NAME", requires = "config_file")]
    module: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print every byte that both ends say, within TLS too; secrets that are sent are among them
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    settings: Settings,
}

/// One flag for each setting of a target: `--confirm.delay` for the key `delay` of `confirm`.
#[derive(Debug, Default)]
struct Settings(Vec<(String, String)>);

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, setting| {
            let flag = Arg::new(setting.key.clone())
                .long(setting.key)
                .value_name("VALUE")
                .help(setting.meaning);
            command.arg(flag.help_heading("Settings of the target, as in the configuration"))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: SettingKey| {
            let value = matches.get_one::<String>(&setting.key)?.clone();
            Some((setting.key, value))
        };
        Ok(Self(flags().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The settings that can be written as one value. `module` has its own flag, and a group needs other members.
fn flags() -> impl Iterator<Item = SettingKey> {
    let keys = config::setting_keys().into_iter();
    keys.filter(|setting| setting.kind != ValueKind::Mapping && !matches!(&*setting.key, "group" | "module"))
}

/// Exit status 0 if the probe succeeded.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let request = ProbeRequest {
        target: &arguments.url,
        flags: &arguments.settings.0,
        config_file: arguments.config_file.as_deref(),
        module: arguments.module.as_deref(),
    };
    let files = LoadedFiles::default();
    let SingleTarget { target, dns } = files.finish(config::single_target(request, &environment)?)?;
    let prober = NetworkProber::new(dns, files.tls_store, files.header_values);
    let prober = if arguments.verbose { prober.recording() } else { prober };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let deadline = Instant::now() + target.settings.cadence.timeout();
        prober.probe(&target, deadline).await
    });
    print(arguments, &target, &outcome)?;
    Ok(if outcome.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(arguments: &Arguments, target: &Target, outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if arguments.json {
        return Ok(out.write_all(Document::new(target, outcome).to_text()?.as_bytes())?);
    }
    let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let styles = if coloured { Styles::COLOURED } else { Styles::PLAIN };
    Ok(write!(out, "{}", Timeline { target, outcome, now: clock::now(), styles })?)
}
