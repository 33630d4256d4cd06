//! Allow lists: the hosts that a client may have probed.
//!
//! A list is checked against the addresses that a connection will use, not only against the name, because the owner of a
//! name decides what it resolves to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Host, HostName};

/// The hosts that may be probed, by name or by address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowList(Vec<AllowedHosts>);

impl AllowList {
    /// Creates a list. Without entries, it permits nothing.
    pub fn new(entries: Vec<AllowedHosts>) -> Self {
        Self(entries)
    }

    /// Returns whether a host may be probed at all of these addresses:
    ///
    /// - Its name matches a suffix, or each address is in a network of the list.
    /// - An address that embeds an IPv4 address counts as that one.
    /// - A link-local address must be in a network that contains only such addresses, also if the name matches. They
    ///   reach services that trust this machine, such as the metadata of clouds. The same holds for the local-use prefix
    ///   of NAT64 (RFC 8215), because where its addresses lead depends on the network.
    /// - The unspecified address is never permitted.
    pub fn permits(&self, host: &Host, addresses: impl IntoIterator<Item = IpAddr>) -> bool {
        let is_named = match host {
            Host::Name(name) => self.suffixes().any(|suffix| suffix.matches(name)),
            Host::Ipv4(_) | Host::Ipv6(..) => false,
        };
        addresses.into_iter().map(reached).all(|address| {
            let mut containing = self.networks().filter(|network| network.contains(&address));
            match special_range(address) {
                _ if address.is_unspecified() => false,
                Some(range) => containing.any(|network| range.contains(network)),
                None => is_named || containing.next().is_some(),
            }
        })
    }

    fn networks(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter().filter_map(|entry| match entry {
            AllowedHosts::Network(network) => Some(network),
            AllowedHosts::Suffix(_) => None,
        })
    }

    fn suffixes(&self) -> impl Iterator<Item = &HostSuffix> {
        self.0.iter().filter_map(|entry| match entry {
            AllowedHosts::Network(_) => None,
            AllowedHosts::Suffix(suffix) => Some(suffix),
        })
    }
}

/// An entry of an allow list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AllowedHosts {
    /// The addresses in a network.
    Network(IpNet),
    /// The names with a suffix.
    Suffix(HostSuffix),
}

/// The end of a host name: `example.com` for that name and all below it, `.example.com` only for those below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostSuffix {
    name: HostName,
    /// Whether the name itself matches.
    includes_name: bool,
}

impl HostSuffix {
    fn matches(&self, host: &HostName) -> bool {
        match host.without_dot().strip_suffix(self.name.without_dot()) {
            Some("") => self.includes_name,
            Some(below) => below.ends_with('.'),
            None => false,
        }
    }
}

impl FromStr for HostSuffix {
    type Err = <HostName as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let below = text.strip_prefix('.');
        Ok(Self { name: below.unwrap_or(text).parse()?, includes_name: below.is_none() })
    }
}

/// Returns the address that a connection to this one leads to: the embedded IPv4 address, if there is one.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    embedded(v6).map_or(address, IpAddr::V4)
}

/// Returns the IPv4 address that an IPv6 address embeds.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    let last = Ipv4Addr::new(a, b, c, d);
    match address.segments() {
        // Loopback and unspecified.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Compatible, mapped (RFC 4291 sections 2.5.5.1 and 2.5.5.2), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Some((u32::from(high) << 16 | u32::from(low)).into()),
        // Teredo, whose address is inverted (RFC 4380 section 4).
        [0x2001, 0, ..] => Some((!u32::from(last)).into()),
        _ => None,
    }
}

/// Returns the range that an address is in, if it is one that a network must name.
fn special_range(address: IpAddr) -> Option<IpNet> {
    SPECIAL_RANGES.into_iter().find(|range| range.contains(&address))
}

const SPECIAL_RANGES: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let entry = |text: &&str| match text.parse() {
            Ok(network) => AllowedHosts::Network(network),
            Err(_) => AllowedHosts::Suffix(text.parse().unwrap()),
        };
        AllowList::new(entries.iter().map(entry).collect())
    }

    fn host(text: &str) -> Host {
        text.parse().map_or_else(
            |_| Host::Name(text.parse().unwrap()),
            |address| match address {
                IpAddr::V4(v4) => Host::Ipv4(v4),
                IpAddr::V6(v6) => Host::Ipv6(v6, None),
            },
        )
    }

    fn permits(entries: &[&str], name: &str, addresses: &[&str]) -> bool {
        list(entries).permits(&host(name), addresses.iter().map(|address| address.parse().unwrap()))
    }

    #[test]
    fn a_suffix_matches_whole_labels() {
        for (entry, name, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "example.com.", true),
            ("example.com", "db.example.com", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com.evil.org", false),
            (".example.com", "example.com", false),
            (".example.com", "db.example.com", true),
            (".example.com", "a.b.example.com.", true),
            (".Example.COM", "db.example.com", true),
        ] {
            assert_eq!(permits(&[entry], name, &["10.0.0.1"]), expected, "{entry} {name}");
        }
    }

    #[test]
    fn every_address_must_be_allowed() {
        let entries = ["10.0.0.0/8", "2001:db8::/32"];
        for (addresses, expected) in [
            (&["10.0.0.1"][..], true),
            (&["10.0.0.1", "2001:db8::1"], true),
            (&["10.0.0.1", "192.0.2.1"], false),
            (&["192.0.2.1"], false),
        ] {
            assert_eq!(permits(&entries, "db.example", addresses), expected, "{addresses:?}");
        }
        assert!(!permits(&[], "db.example", &["10.0.0.1"]));
    }

    #[test]
    fn an_embedding_address_counts_as_the_embedded_one() {
        for address in [
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::1",
            "2001:0:102:304:0:0:f5ff:fffe",
        ] {
            assert!(permits(&["10.0.0.1/32"], address, &[address]), "{address}");
            for others in [&["::/0"][..], &["64:ff9b::/96"], &["2002::/16"], &["10.0.0.2/32"]] {
                assert!(!permits(others, address, &[address]), "{address} {others:?}");
            }
        }
        assert!(permits(&["::1/128"], "::1", &["::1"]), "loopback embeds nothing");
        assert!(!permits(&["0.0.0.0/0"], "::1", &["::1"]));
    }

    #[test]
    fn only_its_network_permits_a_link_local_address() {
        for (address, network) in [
            ("169.254.169.254", "169.254.169.254/32"),
            ("::ffff:169.254.169.254", "169.254.0.0/16"),
            ("64:ff9b::a9fe:a9fe", "169.254.169.0/24"),
            ("fe80::1", "fe80::/64"),
            ("64:ff9b:1::1", "64:ff9b:1::/48"),
        ] {
            let wide = ["0.0.0.0/0", "::/0", "169.0.0.0/8", "fe80::/9", "metadata.example"];
            assert!(!permits(&wide, "metadata.example", &[address]), "{address}");
            assert!(permits(&[network], "metadata.example", &[address]), "{address}");
            assert!(!permits(&[network], "metadata.example", &[address, "10.0.0.1"]), "{address}");
        }
    }

    #[test]
    fn the_unspecified_address_is_never_permitted() {
        for address in ["0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::"] {
            assert!(!permits(&["0.0.0.0/0", "::/0", "a.example"], "a.example", &[address]), "{address}");
        }
    }
}
