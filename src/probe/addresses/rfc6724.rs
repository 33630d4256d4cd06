//! The order in which the addresses of a name are tried (RFC 6724 section 6), as a pure function of the destinations
//! and their source addresses, which the caller gets from the kernel.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

/// A destination with the source address that this machine uses for it; `None` without a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub(super) destination: IpAddr,
    pub(super) source: Option<IpAddr>,
}

/// Sorts the best destination first. Equal ones keep the order of the name server.
///
/// The rules on deprecated, home and encapsulated addresses are not implemented, because they need more than a source
/// address. The longest matching prefix counts only for IPv6: for IPv4 it would undo the rotation of name servers,
/// which spreads load.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by_cached_key(rank);
}

/// Returns the rank of a candidate, in which smaller is better and the fields are the rules in order.
fn rank(candidate: &Candidate) -> impl Ord + use<> {
    let Candidate { destination, source } = *candidate;
    let policy = Policy::of(destination);
    let scope = scope(destination);
    (
        source.is_none(),
        source.is_none_or(|source| self::scope(source) != scope),
        source.is_none_or(|source| Policy::of(source).label != policy.label),
        Reverse(policy.precedence),
        scope,
        Reverse(source.map_or(0, |source| common_prefix(source, destination))),
    )
}

/// Returns the scope of an address (RFC 6724 sections 3.1 and 3.2, numbers of RFC 4291 section 2.7).
fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => LINK_LOCAL,
        IpAddr::V6(v6) if v6.is_multicast() => v6.octets()[1] & 0x0f,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(v6) if SITE_LOCAL_PREFIX.contains(&v6) => SITE_LOCAL,
        IpAddr::V4(_) | IpAddr::V6(_) => GLOBAL,
    }
}

/// A row of the policy table.
#[derive(Clone, Copy, Debug)]
struct Policy {
    prefix: Ipv6Net,
    precedence: u8,
    label: u8,
}

impl Policy {
    const fn new(prefix: Ipv6Addr, length: u8, precedence: u8, label: u8) -> Self {
        Self { prefix: Ipv6Net::new_assert(prefix, length), precedence, label }
    }

    fn of(address: IpAddr) -> Self {
        let mapped = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        POLICIES
            .into_iter()
            .find(|policy| policy.prefix.contains(&mapped))
            .unwrap_or(NATIVE)
    }
}

/// Returns the number of common leading bits, at most 64, because later bits identify interfaces and not networks.
fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros().min(64),
        _ => 0,
    }
}

const LINK_LOCAL: u8 = 0x2;
const SITE_LOCAL: u8 = 0x5;
const GLOBAL: u8 = 0xe;
const SITE_LOCAL_PREFIX: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10);

/// The row `::/0`, for addresses outside all others.
const NATIVE: Policy = Policy::new(Ipv6Addr::UNSPECIFIED, 0, 40, 1);

/// The default table of RFC 6724 section 2.1, longest prefix first.
const POLICIES: [Policy; 8] = [
    Policy::new(Ipv6Addr::LOCALHOST, 128, 50, 0),
    Policy::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
    Policy::new(Ipv6Addr::UNSPECIFIED, 96, 1, 3),
    Policy::new(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
    Policy::new(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
    Policy::new(Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
    Policy::new(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
    Policy::new(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the order of destinations, given with their sources or `-` for none.
    fn sorted(pairs: &[(&str, &str)]) -> Vec<String> {
        let candidate = |(destination, source): &(&str, &str)| Candidate {
            destination: destination.parse().unwrap(),
            source: source.parse().ok(),
        };
        let mut candidates: Vec<_> = pairs.iter().map(candidate).collect();
        sort(&mut candidates);
        candidates.iter().map(|candidate| candidate.destination.to_string()).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 6724 section 10.2 without the two that need deprecated or home addresses.
        for (pairs, expected) in [
            (
                &[("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "169.254.13.78")][..],
                ["2001:db8:1::1", "198.51.100.121"],
            ),
            (
                &[("2001:db8:1::1", "fe80::1"), ("198.51.100.121", "198.51.100.117")],
                ["198.51.100.121", "2001:db8:1::1"],
            ),
            (&[("2001:db8:1::1", "2001:db8:1::2"), ("10.1.2.3", "10.1.2.4")], ["2001:db8:1::1", "10.1.2.3"]),
            (&[("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")], ["fe80::1", "2001:db8:1::1"]),
            (
                &[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2002:c633:6401::2")],
                ["2002:c633:6401::1", "2001:db8:1::1"],
            ),
            (
                &[("2002:c633:6401::1", "2001:db8:1::d5e3"), ("2001:db8:1::1", "2001:db8:1::d5e3")],
                ["2001:db8:1::1", "2002:c633:6401::1"],
            ),
            (
                &[("2001:db8:3ffe::1", "2001:db8:3f44::2"), ("2001:db8:1::1", "2001:db8:1::2")],
                ["2001:db8:1::1", "2001:db8:3ffe::1"],
            ),
        ] {
            assert_eq!(sorted(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_unroutable_address_comes_last() {
        let order = sorted(&[("2001:db8::1", "-"), ("fe80::1", "-"), ("192.0.2.1", "192.0.2.9")]);
        assert_eq!(order, ["192.0.2.1", "fe80::1", "2001:db8::1"]);
    }

    #[test]
    fn ipv4_keeps_the_order_of_the_name_server() {
        let source = "10.0.0.9";
        let order = sorted(&[("192.0.2.1", source), ("10.0.0.1", source), ("10.9.0.1", source)]);
        assert_eq!(order, ["192.0.2.1", "10.0.0.1", "10.9.0.1"]);
    }

    #[test]
    fn loopback_prefers_ipv6_unique_local_does_not() {
        assert_eq!(sorted(&[("127.0.0.1", "127.0.0.1"), ("::1", "::1")]), ["::1", "127.0.0.1"]);
        assert_eq!(sorted(&[("fd00::1", "fd00::2"), ("192.0.2.1", "192.0.2.2")]), ["192.0.2.1", "fd00::1"]);
    }
}
