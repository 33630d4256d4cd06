//! Levels of settings: defaults, modules, sources, targets and flags. Of several levels the nearest wins, key by key.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::keys::Settings as Keys;
use crate::config::keys::read::Mapping as _;
use crate::config::keys::value::LabelValues;
use crate::config::levels::dialogue::Script;
use crate::config::problems::path::KeyPath;
use crate::config::problems::{At, Problems};
use crate::duration;
use crate::protocol::{self, Caution};
use crate::target::{
    Addressing, Cadence, CadenceError, Confirm, IpFamily, LabelName, ProbeKind, Scheme, Service, Settings,
};

mod dialogue;
mod http;
mod probe_kind;
mod template;
pub(super) mod tls;

/// The settings of one level.
#[derive(Debug, PartialEq)]
pub(super) struct Level {
    /// The path of the level.
    pub(super) at: KeyPath,
    pub(super) keys: Keys,
    /// The dialogue, taken from the keys.
    script: Option<Script>,
}

impl Level {
    /// A level with these settings; reports contradictions between them.
    pub(super) fn new(mut keys: Keys, at: At<'_>) -> Self {
        let steps = mem::take(&mut keys.dialogue).into_value();
        let script = steps.map(|steps| Script::read(steps, at.key("dialogue")));
        if let (Some(&interval), Some(&timeout)) = (keys.interval.get(), keys.timeout.get())
            && timeout > interval
        {
            at.key("timeout")
                .refuse(CadenceError::TimeoutAboveInterval { timeout, interval });
        }
        if let Some(tls) = keys.tls.get() {
            tls::check(tls, at.key("tls"));
        }
        if let Some(http) = keys.http.get() {
            http::check(http, at.key("http"));
        }
        Self { at: at.path(), keys, script }
    }

    /// The settings that this level sets, at least in part.
    pub(super) fn set_keys(&self) -> Vec<&'static str> {
        let dialogue = self.script.iter().map(|_| "dialogue");
        self.keys.set_keys().chain(dialogue).collect()
    }
}

/// The levels that apply to a target, the nearest first, and where their contradictions are reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels<'a> {
    pub(super) all: &'a [&'a Level],
    pub(super) problems: &'a Problems,
}

/// The nearest level with a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nearest<'a> {
    /// The number of levels that are nearer.
    distance: usize,
    level: &'a Level,
}

impl Nearest<'_> {
    /// The path of a key in this level.
    pub(super) fn at(self, key: &str) -> KeyPath {
        self.level.at.join(key)
    }
}

impl<'a> Levels<'a> {
    /// The nearest value of a key, and its level.
    pub(super) fn nearest<T>(self, key: impl Fn(&'a Keys) -> Option<T>) -> Option<(Nearest<'a>, T)> {
        let mut levels = self.all.iter().enumerate();
        levels.find_map(|(distance, level)| Some((Nearest { distance, level }, key(&level.keys)?)))
    }

    /// The nearest value of a key.
    fn value<T: Clone + 'a>(self, key: impl Fn(&'a Keys) -> Option<&'a T>) -> Option<T> {
        self.nearest(key).map(|(_, value)| value.clone())
    }

    /// The scheme of a bare `host:port`.
    pub(super) fn scheme(self) -> Scheme {
        self.value(|keys| keys.scheme.get()).unwrap_or_default()
    }

    /// The labels of all levels, merged.
    pub(super) fn labels(self) -> BTreeMap<LabelName, String> {
        let labels = self.all.iter().rev().filter_map(|level| level.keys.labels.get());
        labels
            .flat_map(LabelValues::iter)
            .map(|(name, value)| (name.clone(), value.to_owned()))
            .collect()
    }

    /// The settings that result, without what depends on the protocol.
    pub(super) fn settings(self) -> Settings {
        let cadence = self.cadence();
        self.check_source_address();
        let default = Confirm::default();
        Settings {
            cadence,
            confirm: Confirm {
                failures: self
                    .value(|keys| keys.confirm.get()?.failures.get())
                    .unwrap_or(default.failures),
                delay: self.delay(cadence.interval()),
                successes: self
                    .value(|keys| keys.confirm.get()?.successes.get())
                    .unwrap_or(default.successes),
            },
            addressing: Addressing {
                family: self.value(|keys| keys.ip.get()).unwrap_or_default(),
                mode: self.value(|keys| keys.addresses.get()).unwrap_or_default(),
                expect: self.value(|keys| keys.expect_addresses.get()).unwrap_or_default(),
                dns_servers: self.value(|keys| keys.dns_servers.get()).unwrap_or_default(),
            },
            source_address: self.value(|keys| keys.source_address.get()),
            slow_after: self.value(|keys| keys.slow_after.get()),
            probe_kind: ProbeKind::default(),
        }
    }

    /// Interval and timeout. If the timeout is longer than the interval:
    /// - if the interval is set at a nearer level, it shortens the timeout, which was chosen for another interval;
    /// - otherwise it is an error. If both are set at one level, [`Level::new`] has reported it.
    fn cadence(self) -> Cadence {
        let interval = self.nearest(|keys| keys.interval.get().copied());
        let timeout = self.nearest(|keys| keys.timeout.get().copied());
        let (interval_level, interval) =
            interval.map_or((self.all.len(), Cadence::DEFAULT_INTERVAL), |(nearest, value)| (nearest.distance, value));
        let timeout = match timeout {
            Some((of_timeout, timeout)) if timeout > interval && interval_level > of_timeout.distance => {
                let error = CadenceError::TimeoutAboveInterval { timeout, interval };
                self.problems.refuse(of_timeout.at("timeout"), error);
                timeout
            }
            Some((_, timeout)) => timeout,
            None => Cadence::DEFAULT_TIMEOUT,
        };
        // Both are in their ranges, and the timeout is not longer than the interval: this cannot fail.
        Cadence::try_new(interval, timeout.min(interval)).unwrap_or_default()
    }

    /// The delay of a retry, at most the interval. Warns if it is not shorter, because then no retry is made.
    fn delay(self, interval: Duration) -> Duration {
        let Some((nearest, &delay)) = self.nearest(|keys| keys.confirm.get()?.delay.get()) else {
            return Confirm::default().delay.min(interval);
        };
        if delay >= interval {
            let message = format!(
                "{} is not shorter than the interval ({}), so failed probes are not retried; lower it, or set 0s",
                duration::display(delay),
                duration::display(interval)
            );
            self.problems.warn(nearest.at("confirm").join("delay"), message);
        }
        delay.min(interval)
    }

    /// Warns if a service should not be probed at so short an interval.
    pub(super) fn check_interval(self, service: &Service, interval: Duration) {
        let Some(Caution { interval: least, why, instead }) =
            protocol::of(service).and_then(protocol::Protocol::caution)
        else {
            return;
        };
        let Some((nearest, _)) = self.nearest(|keys| keys.interval.get()).filter(|_| interval < least) else { return };
        let (interval, least) = (duration::display(interval), duration::display(least));
        let name = service.name;
        let message = format!("{interval} is short for {name}: {why}; raise it to at least {least}, or {instead}");
        self.problems.warn(nearest.at("interval"), message);
    }

    fn check_source_address(self) {
        let Some((of_source, &source)) = self.nearest(|keys| keys.source_address.get()) else { return };
        let Some((of_family, &family)) = self.nearest(|keys| keys.ip.get()) else { return };
        if family.admits(source) {
            return;
        }
        if of_source.distance <= of_family.distance {
            let message = format!("{source} conflicts with `ip`, which allows only {}; change one", name(family));
            self.problems.refuse(of_source.at("source_address"), message);
        } else {
            let message =
                format!("allows only {}, which conflicts with `source_address` ({source}); change one", name(family));
            self.problems.refuse(of_family.at("ip"), message);
        }
    }

    /// Reports at `at` if the settings forbid to connect to this address of a URL.
    pub(super) fn check_literal(self, address: IpAddr, at: At<'_>) {
        let family = self.value(|keys| keys.ip.get()).unwrap_or_default();
        let source = self.value(|keys| keys.source_address.get());
        if !family.admits(address) {
            at.refuse(format!("{address} conflicts with `ip`, which allows only {}; change one", name(family)));
        } else if let Some(source) = source.filter(|source| source.is_ipv4() != address.is_ipv4()) {
            at.refuse(format!(
                "{address} conflicts with `source_address` ({source}): one is IPv4, the other IPv6; change one"
            ));
        }
    }
}

const fn name(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Any => "any address",
        IpFamily::Ipv4 => "IPv4",
        IpFamily::Ipv6 => "IPv6",
    }
}
