//! `portprobe probe`: probes one target with the code of the daemon, and prints the outcome as text or JSON.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use tokio::time::Instant;

use super::UsageError;
use super::flags::{CONFIG_FILE, CONFIG_FILE_VARIABLE};
use crate::app::LoadedFiles;
use crate::app::process::environment;
use crate::clock;
use crate::config::{self, ProbeRequest, SettingKey, SingleTarget, TargetLookup, ValueKind};
use crate::outcome::{Outcome, Prober};
use crate::peer_text::escaped;
use crate::probe::NetworkProber;
use crate::target::Target;
use crate::tasks;
use crate::timeline::{Document, Styles, Timeline};

mod lookup;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// URL such as `tcp://db.example.com:5432`, or name of a target in the configuration
    target: String,
    /// Configuration file
    #[arg(long = "config.file", value_name = "FILE", env = CONFIG_FILE_VARIABLE)]
    config_file: Option<PathBuf>,
    /// Module of the configuration
    ///
    /// Its settings override those of the target; flags override both.
    #[arg(long, value_name = "NAME")]
    module: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print every byte that was sent and received
    ///
    /// With TLS, the decrypted bytes. They may contain secrets.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Arguments {
    /// Returns the configuration file. A name or a module needs one, `portprobe.yaml` by default; a URL does not.
    fn config_file(&self) -> Result<Option<PathBuf>, UsageError> {
        let is_needed = self.request(None).is_name() || self.module.is_some();
        if let Some(file) = &self.config_file {
            // The container image sets the variable, also if no file is mounted.
            let is_from_environment = environment(CONFIG_FILE_VARIABLE).is_some_and(|path| Path::new(&path) == file);
            let is_ignored = !is_needed && is_from_environment && !exists(file);
            return Ok((!is_ignored).then(|| file.clone()));
        }
        if !is_needed {
            return Ok(None);
        }
        let default = PathBuf::from(CONFIG_FILE);
        if exists(&default) {
            return Ok(Some(default));
        }
        Err(UsageError(match &self.module {
            Some(module) => {
                format!("--module: cannot look up `{module}`, because {CONFIG_FILE} does not exist; set --config.file")
            }
            None => format!(
                "NAME: cannot look up `{}`, because {CONFIG_FILE} does not exist; set --config.file, or probe a URL \
                 like tcp://host:443",
                escaped(&self.target)
            ),
        }))
    }

    fn request<'a>(&'a self, config_file: Option<&'a Path>) -> ProbeRequest<'a> {
        ProbeRequest { target: &self.target, flags: &self.settings.0, config_file, module: self.module.as_deref() }
    }
}

/// One flag for each setting of a target: `--tls.ca-file` for the key `ca_file` of `tls`.
#[derive(Debug, Default)]
struct Settings(Vec<(String, String)>);

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, setting| command.arg(flag(&setting)))
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

/// Returns the flag for a setting. The key itself, with its underscores, is a hidden alias. The meaning of `timeout` is
/// shorter, because a single probe has no interval.
fn flag(setting: &SettingKey) -> Arg {
    let meaning = match &*setting.key {
        "timeout" => "Timeout of the probe, name resolution included",
        _ => setting.meaning.trim_end_matches('.'),
    };
    let default = setting.default.as_ref();
    // The default of a list is written in YAML.
    let default = default.map(|default| format!(" [default: {}]", default.replace(['[', ']', '"'], "")));
    let default = default.unwrap_or_default();
    Arg::new(setting.key.clone())
        .long(setting.flag())
        .alias(setting.key.clone())
        .value_name(if setting.kind == ValueKind::List { "LIST" } else { "VALUE" })
        .value_hint(if setting.key.ends_with("_file") { ValueHint::FilePath } else { ValueHint::Unknown })
        .help(format!("{meaning}{default}"))
        .help_heading("Settings of the target (lists are separated by commas)")
        .hide(WITHOUT_EFFECT.contains(&&*setting.key))
}

/// Returns the settings that can be written as one value. `module` has its own flag, and a group needs other members.
fn flags() -> impl Iterator<Item = SettingKey> {
    let keys = config::setting_keys().into_iter();
    keys.filter(|setting| setting.kind != ValueKind::Mapping && !matches!(&*setting.key, "group" | "module"))
}

/// Exit status 0 if the probe succeeded.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config_file = arguments.config_file()?;
    let lookup = TargetLookup::new(arguments.request(config_file.as_deref()), &environment)?;
    let runtime = tasks::runtime()?;
    let files = LoadedFiles::default();
    let SingleTarget { target, dns } = runtime.block_on(lookup::find(lookup, &files))?;
    let prober = NetworkProber::new(dns, files.tls_store, files.header_values);
    let prober = if arguments.verbose { prober.recording() } else { prober };
    let outcome = runtime.block_on(async {
        let deadline = Instant::now() + target.settings.cadence.timeout();
        prober.probe(&target, deadline).await
    });
    print(arguments, &target, &outcome)?;
    Ok(if outcome.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a file exists, or may exist because its folder cannot be read.
fn exists(file: &Path) -> bool {
    file.try_exists().unwrap_or(true)
}

fn print(arguments: &Arguments, target: &Target, outcome: &Outcome) -> anyhow::Result<()> {
    if arguments.json {
        return Ok(super::print(&Document::new(target, outcome).to_text()?)?);
    }
    let coloured = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let styles = if coloured { Styles::COLOURED } else { Styles::PLAIN };
    Ok(super::print(&Timeline { target, outcome, now: clock::now(), styles }.to_string())?)
}

/// Settings for repeated probes: they are accepted, but `--help` does not list them.
const WITHOUT_EFFECT: [&str; 4] = ["interval", "confirm.failures", "confirm.delay", "confirm.successes"];
