//! The three levels of settings: each level is a [`Layer`], and of several layers the nearest wins, leaf by leaf.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::keys::read::{labels, list, mapping, text, unknown_keys, value};
use crate::config::keys::value::Given;
use crate::config::keys::{RawConfirm, RawSettings};
use crate::config::levels::dialogue::Script;
use crate::config::levels::http::HttpLayer;
use crate::config::levels::tls::TlsLayer;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::duration;
use crate::protocol::{self, Caution};
use crate::target::{
    AddressMode, Addressing, Cadence, CadenceError, Confirm, Expect, IpFamily, LabelName, ProbeKind, Scheme, Service,
    Settings,
};

pub(super) mod dialogue;
pub(super) mod http;
mod probe_kind;
mod template;
pub(super) mod tls;

/// The settings of one level, each good by itself.
#[derive(Debug, PartialEq)]
pub(super) struct Layer {
    /// Where the level stands.
    pub(super) at: KeyPath,
    pub(super) scheme: Option<Scheme>,
    pub(super) group: Option<Box<str>>,
    pub(super) module: Option<Box<str>>,
    pub(super) labels: BTreeMap<LabelName, String>,
    pub(super) expect: Option<Expect>,
    pub(super) tls: TlsLayer,
    pub(super) dialogue: Option<Script>,
    pub(super) http: HttpLayer,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    failures: Option<NonZeroU32>,
    delay: Option<Duration>,
    successes: Option<NonZeroU32>,
    ip: Option<IpFamily>,
    addresses: Option<AddressMode>,
    expect_addresses: Option<Vec<IpNet>>,
    dns_servers: Option<Vec<SocketAddr>>,
    source_address: Option<IpAddr>,
    slow_after: Option<Duration>,
}

impl Layer {
    /// Takes a level's settings as written. A wrong value is noted, and counts as left out.
    pub(super) fn read(raw: RawSettings, at: At<'_>, problems: &mut Problems) -> Self {
        unknown_keys(&raw.unknown, at, RawSettings::keys, problems);
        let confirm = mapping(raw.confirm, at.key("confirm"), problems);
        unknown_keys(&confirm.unknown, at.key("confirm"), RawConfirm::keys, problems);
        let layer = Self {
            at: at.into(),
            interval: interval(raw.interval, at.key("interval"), problems),
            timeout: positive(raw.timeout, at.key("timeout"), problems, "the shortest timeout is 1ms"),
            scheme: value(raw.scheme, at.key("scheme"), problems),
            group: text(raw.group, at.key("group"), problems),
            module: text(raw.module, at.key("module"), problems),
            labels: labels(raw.labels, at.key("labels"), problems),
            failures: value(confirm.failures, at.key("confirm").key("failures"), problems),
            delay: value(confirm.delay, at.key("confirm").key("delay"), problems),
            successes: value(confirm.successes, at.key("confirm").key("successes"), problems),
            expect: value(raw.expect, at.key("expect"), problems),
            ip: value(raw.ip, at.key("ip"), problems),
            addresses: value(raw.addresses, at.key("addresses"), problems),
            expect_addresses: list(raw.expect_addresses, at.key("expect_addresses"), problems),
            dns_servers: list(raw.dns_servers, at.key("dns_servers"), problems),
            source_address: value(raw.source_address, at.key("source_address"), problems),
            slow_after: positive(raw.slow_after, at.key("slow_after"), problems, "remove the key if nothing is slow"),
            tls: TlsLayer::read(raw.tls, at.key("tls"), problems),
            dialogue: Script::read(raw.dialogue, at.key("dialogue"), problems),
            http: HttpLayer::read(raw.http, at.key("http"), problems),
        };
        layer.check_alone(problems);
        layer
    }

    /// What one level must fulfil whatever the others say.
    fn check_alone(&self, problems: &mut Problems) {
        if let (Some(interval), Some(timeout)) = (self.interval, self.timeout)
            && timeout > interval
        {
            let error = CadenceError::TimeoutAboveInterval { timeout, interval };
            problems.add(self.at.join("timeout"), error.to_string());
        }
    }
}

/// The layers that apply to a target, the nearest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers<'a>(pub(super) &'a [&'a Layer]);

impl<'a> Layers<'a> {
    /// The nearest value of a leaf, and how many layers are nearer than it.
    pub(super) fn nearest<T>(self, leaf: impl Fn(&'a Layer) -> Option<T>) -> Option<(usize, T)> {
        self.0.iter().enumerate().find_map(|(level, layer)| Some((level, leaf(layer)?)))
    }

    fn value<T>(self, leaf: impl Fn(&'a Layer) -> Option<T>) -> Option<T> {
        self.nearest(leaf).map(|(_, value)| value)
    }

    /// What a bare `host:port` is probed as.
    pub(super) fn scheme(self) -> Scheme {
        self.value(|layer| layer.scheme).unwrap_or_default()
    }

    /// The labels of all layers, a nearer value before a farther one.
    pub(super) fn labels(self) -> BTreeMap<LabelName, String> {
        let mut merged = BTreeMap::new();
        for layer in self.0.iter().rev().filter(|layer| !layer.labels.is_empty()) {
            merged.extend(layer.labels.clone());
        }
        merged
    }

    /// The settings that come out, whatever the exchange; what they contradict is noted.
    pub(super) fn settings(self, problems: &mut Problems) -> Settings {
        let cadence = self.cadence(problems);
        self.check_source_address(problems);
        let default = Confirm::default();
        Settings {
            cadence,
            confirm: Confirm {
                failures: self.value(|layer| layer.failures).unwrap_or(default.failures),
                delay: self.value(|layer| layer.delay).unwrap_or(default.delay).min(cadence.interval()),
                successes: self.value(|layer| layer.successes).unwrap_or(default.successes),
            },
            addressing: Addressing {
                family: self.value(|layer| layer.ip).unwrap_or_default(),
                mode: self.value(|layer| layer.addresses).unwrap_or_default(),
                expect: self.value(|layer| layer.expect_addresses.clone()).unwrap_or_default(),
                dns_servers: self.value(|layer| layer.dns_servers.clone()).unwrap_or_default(),
            },
            source_address: self.value(|layer| layer.source_address),
            slow_after: self.value(|layer| layer.slow_after),
            probe_kind: ProbeKind::default(),
        }
    }

    /// Interval and timeout. A timeout that is longer than the interval is
    /// - cut to it, where the interval was set at a nearer level: whoever set it did not have this timeout in mind;
    /// - wrong otherwise. Where both were set at one level, that level's own check has said so.
    fn cadence(self, problems: &mut Problems) -> Cadence {
        let (interval_level, interval) =
            self.nearest(|layer| layer.interval).unwrap_or((self.0.len(), Cadence::DEFAULT_INTERVAL));
        let (timeout_level, timeout) =
            self.nearest(|layer| layer.timeout).unwrap_or((usize::MAX, Cadence::DEFAULT_TIMEOUT));
        let cut = timeout.min(interval);
        if timeout > cut
            && interval_level > timeout_level
            && let Some(layer) = self.0.get(timeout_level)
        {
            let error = CadenceError::TimeoutAboveInterval { timeout, interval };
            problems.add(layer.at.join("timeout"), error.to_string());
        }
        // Each layer's interval and timeout are in range, and the timeout is cut: this cannot fail.
        Cadence::try_new(interval, cut).unwrap_or_default()
    }

    /// Warns where a service does not bear to be probed so often.
    pub(super) fn check_interval(self, service: &Service, interval: Duration, problems: &mut Problems) {
        let Some(Caution { interval: least, why, instead }) =
            protocol::of(service).and_then(protocol::Protocol::caution)
        else {
            return;
        };
        let Some((level, _)) = self.nearest(|layer| layer.interval).filter(|_| interval < least) else { return };
        let Some(layer) = self.0.get(level) else { return };
        let (interval, least) = (duration::display(interval), duration::display(least));
        let name = service.name;
        let message = format!("{interval} is short for {name}: {why}; raise it to {least} or more, or {instead}");
        problems.warn(layer.at.join("interval"), message);
    }

    fn check_source_address(self, problems: &mut Problems) {
        let Some((source_level, source)) = self.nearest(|layer| layer.source_address) else { return };
        let Some((family_level, family)) = self.nearest(|layer| layer.ip) else { return };
        if family.admits(source) {
            return;
        }
        let level = source_level.min(family_level);
        let Some(layer) = self.0.get(level) else { return };
        if level == source_level {
            let message = format!("is {source}, but `ip` allows {} alone; change one of them", only(family));
            problems.add(layer.at.join("source_address"), message);
        } else {
            let message =
                format!("allows {} alone, but `source_address` is {source}; change one of them", only(family));
            problems.add(layer.at.join("ip"), message);
        }
    }

    /// Whether a host that is an address may be connected to; notes at `at` what forbids it.
    pub(super) fn check_literal(self, address: IpAddr, at: At<'_>, problems: &mut Problems) {
        let family = self.value(|layer| layer.ip).unwrap_or_default();
        let source = self.value(|layer| layer.source_address);
        if !family.admits(address) {
            problems
                .add(at, format!("{address} cannot be probed: `ip` allows {} alone; change one of them", only(family)));
        } else if let Some(source) = source.filter(|source| source.is_ipv4() != address.is_ipv4()) {
            let message = format!(
                "{address} cannot be probed from `source_address` {source}: one is IPv4, the other IPv6; change one of them"
            );
            problems.add(at, message);
        }
    }
}

const fn only(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Any => "any address",
        IpFamily::Ipv4 => "IPv4",
        IpFamily::Ipv6 => "IPv6",
    }
}

fn interval(given: Given<Duration>, at: At<'_>, problems: &mut Problems) -> Option<Duration> {
    let interval = value(given, at, problems)?;
    if !(Cadence::MIN_INTERVAL..=Cadence::MAX_INTERVAL).contains(&interval) {
        problems.add(at, CadenceError::IntervalOutOfRange(interval).to_string());
        return None;
    }
    Some(interval)
}

fn positive(given: Given<Duration>, at: At<'_>, problems: &mut Problems, fix: &str) -> Option<Duration> {
    let duration = value(given, at, problems)?;
    if duration.is_zero() {
        problems.add(at, format!("{} leaves no time at all; {fix}", duration::display(duration)));
        return None;
    }
    Some(duration)
}
