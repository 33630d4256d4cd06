//! The flags of the commands, each with its environment variable: `PORTPROBE_WEB_LISTEN_ADDRESS` for
//! `--web.listen-address`.
//!
//! The flags of `portprobe probe` are in `probe.rs`, because they include the settings of a target.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueHint};
use tracing::Level;

use super::check::Details;
use crate::app::{AutoReload, HttpReload, Listen};
use crate::duration;
use crate::http::{ExternalUrl, ListenAddress};
use crate::log::Format;
use crate::store::StoreOptions;
use crate::target::Shard;

/// The flags of the daemon.
#[derive(Args, Debug)]
pub(super) struct ServeArguments {
    /// Configuration file
    #[arg(long = "config.file", value_name = "FILE", env = CONFIG_FILE_VARIABLE, default_value = CONFIG_FILE)]
    pub(super) config_file: PathBuf,
    /// Validate the configuration and exit, like `portprobe check`
    #[arg(long = "config.check", env = "PORTPROBE_CONFIG_CHECK")]
    pub(super) config_check: bool,
    /// Probe only this shard
    ///
    /// I/N: I is the number of this replica, counted from 0, N the number of replicas. Each target is in one shard, and
    /// all members of a group are in the same one.
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
    /// Reload the configuration when it changes
    ///
    /// The content of the file is compared every 10 seconds.
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
    /// Reload the configuration only on SIGHUP or POST /-/reload
    #[arg(long = "no-config.auto-reload")]
    pub(super) no_config_auto_reload: bool,
    /// Enable POST /-/reload and POST /api/v1/targets/NAME/probe
    ///
    /// Any client that reaches the port can then request a reload, or a probe of a target.
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
    /// Listen address
    ///
    /// `:PORT` for all addresses of this machine, or `HOST:PORT`. Repeatable; the environment variable takes several
    /// with commas between them.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "PORTPROBE_WEB_LISTEN_ADDRESS",
        value_delimiter = ',',
        default_value = LISTEN_ADDRESS
    )]
    pub(super) listen: Vec<ListenAddress>,
    /// Web configuration file: TLS, passwords, headers and a rate limit
    ///
    /// In the format of Prometheus' exporter-toolkit. A change of the file or of its certificates is in use within
    /// seconds.
    #[arg(long = "web.config.file", value_name = "FILE", env = WEB_CONFIG_FILE_VARIABLE)]
    pub(super) web_config_file: Option<PathBuf>,
    /// URL by which clients reach portprobe, such as through a reverse proxy
    ///
    /// Every path is then below the path of this URL: with `https://prometheus.example.com/portprobe/`, the metrics are at
    /// /portprobe/metrics.
    #[arg(long = "web.external-url", value_name = "URL", env = "PORTPROBE_WEB_EXTERNAL_URL")]
    pub(super) web_external_url: Option<ExternalUrl>,
    /// Use the sockets of systemd instead of the listen addresses
    #[arg(long = "web.systemd-socket", env = "PORTPROBE_WEB_SYSTEMD_SOCKET")]
    pub(super) web_systemd_socket: bool,
    #[command(flatten)]
    storage: StorageArguments,
    /// Minimum log level
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        env = "PORTPROBE_LOG_LEVEL",
        default_value = "info",
        ignore_case = true,
        value_parser = levels()
    )]
    pub(super) log_level: Level,
    /// Log format
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        env = "PORTPROBE_LOG_FORMAT",
        default_value = "logfmt",
        value_parser = PossibleValuesParser::new(["logfmt", "json"]).try_map(|format| format.parse::<Format>())
    )]
    pub(super) log_format: Format,
}

impl DaemonArguments {
    /// Where the daemon listens.
    pub(super) fn listen(&self) -> Listen<'_> {
        if self.web_systemd_socket { Listen::Systemd } else { Listen::Addresses(&self.listen) }
    }
}

/// Where states and history are kept.
#[derive(Args, Debug)]
struct StorageArguments {
    /// Directory for states and history, which then survive a restart
    ///
    /// One file, portprobe.db, in a directory of this process only. Empty: in memory.
    #[arg(
        long = "storage.path",
        value_name = "DIR",
        env = "PORTPROBE_STORAGE_PATH",
        default_value = "",
        hide_default_value = true,
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_hint = ValueHint::DirPath
    )]
    storage_path: PathBuf,
    /// How long history is kept, also that of removed targets
    #[arg(
        long = "storage.retention",
        value_name = "DURATION",
        env = "PORTPROBE_STORAGE_RETENTION",
        default_value = "400d",
        value_parser = retention
    )]
    storage_retention: Duration,
}

impl DaemonArguments {
    pub(super) fn store(&self) -> StoreOptions {
        let StorageArguments { storage_path, storage_retention } = &self.storage;
        let path = (!storage_path.as_os_str().is_empty()).then(|| storage_path.clone());
        StoreOptions { path, retention: *storage_retention }
    }
}

/// Parses how long history is kept.
fn retention(text: &str) -> Result<Duration, String> {
    let retention = duration::parse(text).map_err(|error| error.to_string())?;
    if retention < MIN_RETENTION {
        return Err("must be at least 1d".to_owned());
    }
    Ok(retention)
}

/// Returns the log levels. Nothing is logged below `debug`, so `trace` is the same.
fn levels() -> impl TypedValueParser<Value = Level> {
    let levels = [PossibleValue::new("debug").alias("trace"), "info".into(), "warn".into(), "error".into()];
    PossibleValuesParser::new(levels).try_map(|level| level.parse::<Level>())
}

/// The flags of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    /// Configuration file; takes precedence over `--config.file`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Configuration file; default: `portprobe.yaml`
    ///
    /// With `--web.config.file`, a missing `portprobe.yaml` is not validated.
    #[arg(long = "config.file", value_name = "FILE", env = CONFIG_FILE_VARIABLE)]
    config_file: Option<PathBuf>,
    /// Web configuration file, which is validated too
    #[arg(long = "web.config.file", value_name = "FILE", env = WEB_CONFIG_FILE_VARIABLE)]
    pub(super) web_config_file: Option<PathBuf>,
    /// Do not read certificate or header files
    ///
    /// For CI, where these files are usually missing.
    #[arg(long = "syntax-only")]
    pub(super) syntax_only: bool,
    /// Print every target with its settings and their origins
    ///
    /// Targets of HTTP and DNS sources are not printed, because these are not queried.
    #[arg(long)]
    targets: bool,
}

impl CheckArguments {
    /// The requested details.
    pub(super) fn details(&self) -> Details {
        if self.targets { Details::Targets } else { Details::None }
    }

    /// The configuration to validate; `None` if there is only a web configuration.
    pub(super) fn file(&self) -> Option<&Path> {
        let default = Path::new(CONFIG_FILE);
        let named = self.file.as_deref().or(self.config_file.as_deref());
        named.or_else(|| (self.web_config_file.is_none() || default.exists()).then_some(default))
    }
}

pub(super) const CONFIG_FILE_VARIABLE: &str = "PORTPROBE_CONFIG_FILE";

pub(super) const WEB_CONFIG_FILE_VARIABLE: &str = "PORTPROBE_WEB_CONFIG_FILE";

pub(super) const CONFIG_FILE: &str = "portprobe.yaml";

/// No other exporter in Prometheus' list of default ports uses 10115.
const LISTEN_ADDRESS: &str = ":10115";

/// Figures are kept per day.
const MIN_RETENTION: Duration = Duration::from_hours(24);
