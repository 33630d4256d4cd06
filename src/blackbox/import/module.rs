//! Modules of blackbox_exporter as modules of portprobe.
//!
//! Each setting is converted in its place. What has no equivalent becomes a comment there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::document::{Block, scalar, shown};
use super::http::HttpModule;
use super::probed::ProbedTarget;
use super::targets::Pace;
use super::tls::{Tls, TlsUse};
use super::{dns, grpc, http, tcp};
use crate::config::{ForeignValue, LoadError};
use crate::duration;

/// A converted module.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) name: String,
    /// Its settings, or the comments in their place.
    pub(super) settings: Block,
    pub(super) kind: Kind,
    /// The timeout in the file.
    pub(super) own_timeout: Option<Duration>,
    /// The timeout among the settings, which is at most the default interval.
    pub(super) timeout: Option<Duration>,
    /// The interval among the settings.
    pub(super) interval: Option<Duration>,
    pub(super) tls: TlsUse,
}

/// The data with which a target of the module becomes a URL.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `dns` or `dns+tls`, with the name to query.
    Dns {
        scheme: &'static str,
        name: String,
    },
    /// `grpc` or `grpc+tls`, with the service to check.
    Grpc {
        scheme: &'static str,
        service: String,
    },
    Http(HttpModule),
    /// The scheme.
    Tcp(String),
    /// Its targets cannot be imported, for this reason.
    None(String),
}

/// The settings of a prober, and what a target needs.
pub(super) struct Prober {
    pub(super) settings: Block,
    pub(super) kind: Kind,
    pub(super) tls: TlsUse,
}

impl Module {
    /// Converts the module with this name. `interval` is that of the defaults.
    pub(super) fn read(name: &str, value: &ForeignValue<'_>, interval: Duration) -> Result<Self, LoadError> {
        let prober_name = value.child("prober").text()?;
        let prober = prober(&prober_name, &value.child(&prober_name))?;
        let (kind, tls) = (prober.kind, prober.tls);
        let mut settings = Block::default();
        match &kind {
            Kind::Tcp(scheme) => settings.text("scheme", scheme),
            Kind::Dns { scheme, .. } | Kind::Grpc { scheme, .. } => settings.text("scheme", scheme),
            Kind::Http(_) => settings.text("scheme", "http"),
            Kind::None(_) => {}
        }
        let mut own_timeout = None;
        let mut of_prober = Some(prober.settings);
        for (key, value) in value.entries()? {
            match key {
                "prober" => {}
                "timeout" => {
                    own_timeout = Some(value.duration()?).filter(|timeout| !timeout.is_zero());
                    if let Some(timeout) = own_timeout {
                        add_timeout(&mut settings, timeout, interval);
                    }
                }
                key if key == prober_name => settings.append(of_prober.take().unwrap_or_default()),
                // blackbox_exporter ignores the settings of other probers.
                "dns" | "grpc" | "http" | "icmp" | "tcp" | "unix" => {}
                other => settings.omit(other, UNKNOWN),
            }
        }
        settings.append(of_prober.unwrap_or_default());
        let timeout = own_timeout.map(|timeout| timeout.min(interval));
        Ok(Self { name: name.to_owned(), settings, kind, own_timeout, timeout, interval: None, tls })
    }

    /// Sets the interval, if all targets with this module have the same one and it is not the default.
    pub(super) fn take_interval_of(&mut self, targets: &[ProbedTarget], defaults: Pace) {
        let uses = targets.iter().filter(|target| target.module() == self.name);
        let intervals: BTreeSet<_> = uses.map(|target| target.interval).collect();
        let mut intervals = intervals.into_iter();
        if let (Some(interval), None) = (intervals.next(), intervals.next())
            && interval != defaults.interval
            && self.timeout.is_none_or(|timeout| timeout <= interval)
        {
            self.interval = Some(interval);
            self.settings.set_first("interval", &duration::display(interval).to_string());
        }
    }
}

fn prober(name: &str, settings: &ForeignValue<'_>) -> Result<Prober, LoadError> {
    match name {
        "tcp" => tcp::read(settings),
        "http" => http::read(settings),
        "dns" => dns::read(settings),
        "grpc" => grpc::read(settings),
        "icmp" => Ok(Prober::none("portprobe has no ICMP; keep blackbox_exporter for these targets")),
        "unix" => Ok(Prober::none("portprobe has no Unix sockets; keep blackbox_exporter for these targets")),
        "" => Ok(Prober::none("the module has no prober")),
        other => Ok(Prober::none(&format!("unknown prober {}", shown(other)))),
    }
}

impl Prober {
    pub(super) fn none(reason: &str) -> Self {
        Self { settings: Block::default(), kind: Kind::None(reason.to_owned()), tls: TlsUse::default() }
    }
}

fn add_timeout(settings: &mut Block, timeout: Duration, interval: Duration) {
    if timeout > interval {
        settings.comment(format!("timeout {}: at most the interval", duration::display(timeout)));
    }
    settings.yaml("timeout", duration::display(timeout.min(interval)).to_string());
}

/// The settings that several probers have.
#[derive(Debug, Default)]
pub(super) struct Common {
    preferred: Option<String>,
    no_fallback: bool,
}

impl Common {
    /// Converts a setting; returns whether it is one of these.
    pub(super) fn read(
        &mut self,
        key: &str,
        value: &ForeignValue<'_>,
        settings: &mut Block,
    ) -> Result<bool, LoadError> {
        match key {
            "preferred_ip_protocol" => self.preferred = Some(value.text()?).filter(|family| !family.is_empty()),
            "ip_protocol_fallback" => self.no_fallback = !value.truth()?,
            "source_ip_address" => {
                let address = value.text()?;
                if !address.is_empty() {
                    settings.text("source_address", &address);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds the setting that results from the preferred family and the fallback.
    pub(super) fn finish(&self, settings: &mut Block) {
        let preferred = self.preferred.as_deref().unwrap_or("ip6");
        match (preferred, self.no_fallback) {
            ("ip4", true) => settings.yaml("ip", "ipv4"),
            ("ip6", true) => settings.yaml("ip", "ipv6"),
            ("ip4" | "ip6", false) => {
                if self.preferred.is_some() {
                    settings.comment(format!(
                        "preferred_ip_protocol {preferred}: the addresses of both families are tried until one connects"
                    ));
                }
            }
            (other, _) => settings.omit("preferred_ip_protocol", &format!("unknown protocol {}", shown(other))),
        }
    }
}

/// Adds a comment in place of a setting, with its value if that is short and not secret.
pub(super) fn omit(settings: &mut Block, key: &str, value: &ForeignValue<'_>, reason: &str) {
    let is_secret = SECRET.iter().any(|part| key.contains(part));
    let shown = value
        .short()
        .filter(|_| !is_secret)
        .map(|value| shown(&value))
        .filter(|value| !value.is_empty());
    match shown {
        Some(value) => settings.omit(&format!("{key} {value}"), reason),
        None => settings.omit(key, reason),
    }
}

/// Adds the TLS settings.
pub(super) fn add_tls(settings: &mut Block, tls: Tls) {
    settings.block("tls", tls.settings);
}

/// A list of numbers or words in YAML.
pub(super) fn words(values: &[String]) -> Vec<String> {
    values
        .iter()
        .map(|value| if value.bytes().all(|b| b.is_ascii_digit()) { value.clone() } else { scalar(value) })
        .collect()
}

pub(super) const UNKNOWN: &str = "unknown setting";

/// Parts of the names of settings with secrets.
const SECRET: [&str; 6] = ["body", "credentials", "key", "password", "secret", "token"];
