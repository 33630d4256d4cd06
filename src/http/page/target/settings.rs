//! The settings of a target in words.

use crate::duration;
use crate::target::{AddressMode, Expect, IpFamily, Target, Verify};

/// A setting with its key in the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) value: String,
}

/// Returns the settings that every target has, and the others that are not at their default.
pub(super) fn of(target: &Target) -> Vec<Setting> {
    let settings = &target.settings;
    let confirm = &settings.confirm;
    let time = |time| duration::display(time).to_string();
    let mut shown = vec![
        ("interval", time(settings.cadence.interval())),
        ("timeout", time(settings.cadence.timeout())),
        ("confirm.failures", confirm.failures.to_string()),
        ("confirm.delay", time(confirm.delay)),
        ("confirm.successes", confirm.successes.to_string()),
    ];
    shown.extend(settings.slow_after.map(|limit| ("slow_after", time(limit))));
    shown.extend(settings.source_address.map(|address| ("source_address", address.to_string())));
    let addressing = &settings.addressing;
    match addressing.family {
        IpFamily::Any => {}
        IpFamily::Ipv4 => shown.push(("ip", "ipv4".to_owned())),
        IpFamily::Ipv6 => shown.push(("ip", "ipv6".to_owned())),
    }
    if addressing.mode == AddressMode::All {
        shown.push(("addresses", "all".to_owned()));
    }
    for (key, values) in [
        ("expect_addresses", addressing.expect.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("dns_servers", addressing.dns_servers.iter().map(ToString::to_string).collect()),
    ] {
        if !values.is_empty() {
            shown.push((key, values.join(", ")));
        }
    }
    let kind = &settings.probe_kind;
    if kind.expect() != Expect::Open {
        shown.push(("expect", kind.expect().as_str().to_owned()));
    }
    if kind.tls().is_some_and(|tls| tls.settings.verify == Verify::Report) {
        shown.push(("tls.verify", "report".to_owned()));
    }
    shown.into_iter().map(|(key, value)| Setting { key, value }).collect()
}
