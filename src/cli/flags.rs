//! The flags of the commands, each with its environment variable: `PORTPROBE_WEB_LISTEN_ADDRESS` for
//! `--web.listen-address`.
//!
//! Those of `portprobe probe` are in `probe.rs`, because they include every setting of a target.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use tracing::Level;

use crate::app::{AutoReload, HttpReload};
use crate::http::ListenAddress;
use crate::log::Format;
use crate::target::Shard;

/// The flags of the daemon.
#[derive(Args, Debug)]
pub(super) struct ServeArguments {
    /// The configuration
    #[arg(long = "config.file", value_name = "FILE", env = CONFIG_FILE_VARIABLE, default_value = CONFIG_FILE)]
    pub(super) config_file: PathBuf,
    /// Validate the configuration and exit, as `portprobe check` does
    #[arg(long = "config.check", env = "PORTPROBE_CONFIG_CHECK")]
    pub(super) config_check: bool,
    /// Probe this share of the targets alone: I/N, the replica's number counted from 0 and how many there are
    #[arg(long, value_name = "I/N", env = "PORTPROBE_SHARD", default_value_t)]
    pub(super) shard: Shard,
    #[command(flatten)]
    pub(super) reload: ReloadArguments,
    #[command(flatten)]
    pub(super) daemon: DaemonArguments,
}

/// When the configuration is reloaded.
#[derive(Args, Debug)]
pub(super) struct ReloadArguments {
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
    pub(super) config_auto_reload: bool,
    /// Read the configuration anew only when asked to, by SIGHUP or by HTTP
    #[arg(long = "no-config.auto-reload")]
    pub(super) no_config_auto_reload: bool,
    /// Let whoever reaches the port ask for a reload: POST /-/reload
    #[arg(long = "web.enable-lifecycle", env = "PORTPROBE_WEB_ENABLE_LIFECYCLE")]
    pub(super) web_enable_lifecycle: bool,
}

impl ReloadArguments {
    pub(super) const fn auto(&self) -> AutoReload {
        if self.config_auto_reload && !self.no_config_auto_reload { AutoReload::On } else { AutoReload::Off }
    }

    pub(super) const fn http(&self) -> HttpReload {
        if self.web_enable_lifecycle { HttpReload::Enabled } else { HttpReload::Disabled }
    }
}

/// The flags of every command that runs a daemon.
#[derive(Args, Debug)]
pub(super) struct DaemonArguments {
    /// Where to answer HTTP: :PORT for every address of this machine, or HOST:PORT; repeatable
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "PORTPROBE_WEB_LISTEN_ADDRESS",
        value_delimiter = ',',
        default_value = LISTEN_ADDRESS
    )]
    pub(super) listen: Vec<ListenAddress>,
    /// The least severe lines that are logged: debug, info, warn or error
    #[arg(long = "log.level", value_name = "LEVEL", env = "PORTPROBE_LOG_LEVEL", default_value = "info")]
    pub(super) log_level: Level,
    /// How lines are logged: logfmt or json
    #[arg(long = "log.format", value_name = "FORMAT", env = "PORTPROBE_LOG_FORMAT", default_value = "logfmt")]
    pub(super) log_format: Format,
}

/// The flags of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    /// The configuration
    #[arg(value_name = "FILE", env = CONFIG_FILE_VARIABLE, default_value = CONFIG_FILE)]
    pub(super) file: PathBuf,
    /// Read no other file than the configuration, such as certificates
    #[arg(long = "syntax-only")]
    pub(super) syntax_only: bool,
}

pub(super) const CONFIG_FILE_VARIABLE: &str = "PORTPROBE_CONFIG_FILE";
pub(super) const CONFIG_FILE: &str = "portprobe.yaml";

/// Port 10115 is not used by another exporter in Prometheus' list.
const LISTEN_ADDRESS: &str = ":10115";
