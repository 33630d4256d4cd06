//! Resolves a host to the addresses to connect to, in order. A literal address needs no file, socket or name server.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

use ipnet::IpNet;
use tokio::time::Instant;

use self::lookup::{describe, unresolved};
use self::resolver::Resolver;
use self::rfc6724::Candidate;
use super::tcp::socket::interface;
use super::tcp::source_for;
use crate::outcome::{Class, Fault, LocalFault, LocalFaultReason, Phase, Resolution, Timings};
use crate::target::{AddressMode, Host, HostName, IpFamily, Ipv6Zone, Settings};

mod followed_file;
mod lookup;
mod query;
pub(super) mod records;
pub(super) mod resolver;
mod rfc6724;
pub(super) mod system;

/// A resolved host.
#[derive(Debug)]
pub(super) struct Resolved {
    /// At least one address with its port, in the order of the attempts.
    pub(super) destinations: Vec<SocketAddr>,
    /// The duration of the look-up, if there was one.
    pub(super) timings: Timings,
}

/// Resolves a host to the addresses to connect to. Ends by `deadline`.
///
/// The resolution of a name is returned even if its addresses are not the expected ones.
pub(super) async fn resolve_host(
    resolver: &Resolver,
    host: &Host,
    port: NonZeroU16,
    settings: &Settings,
    deadline: Instant,
) -> (Result<Resolved, Fault>, Option<Resolution>) {
    let family = match usable_family(settings) {
        Ok(family) => family,
        Err(fault) => return (Err(fault.into()), None),
    };
    let port = port.get();
    let destination = match host {
        Host::Name(name) => {
            let started = Instant::now();
            let servers = &settings.addressing.dns_servers;
            // Boxed because a look-up takes much memory, which a literal address does not need.
            let addresses = match Box::pin(resolver.resolve(name, family, servers, deadline)).await {
                Ok(addresses) => addresses,
                Err(fault) => return (Err(fault), None),
            };
            if Instant::now() >= deadline {
                let detail = format!("the resolution of {} took the whole timeout", name.as_str());
                return (Err(unresolved(Class::DnsTimeout, detail)), None);
            }
            let timings = Timings::default().with(Phase::Resolve, started.elapsed());
            return resolve_name(name, addresses, port, settings, timings);
        }
        Host::Ipv4(address) => Ok(SocketAddr::new((*address).into(), port)),
        Host::Ipv6(address, None) => Ok(SocketAddr::new((*address).into(), port)),
        Host::Ipv6(address, Some(zone)) => scope_id(zone).map(|id| SocketAddrV6::new(*address, port, 0, id).into()),
    };
    (
        destination
            .map_err(Fault::from)
            .and_then(|destination| resolve_literal(destination, family, settings)),
        None,
    )
}

fn resolve_literal(destination: SocketAddr, family: IpFamily, settings: &Settings) -> Result<Resolved, Fault> {
    let address = destination.ip();
    if !family.admits(address) {
        let detail = format!("{address} cannot be used: only {} addresses are allowed", describe(family));
        return Err(unresolved(Class::DnsNotFound, detail));
    }
    as_expected(None, &[address], &settings.addressing.expect)?;
    Ok(Resolved { destinations: vec![destination], timings: Timings::default() })
}

fn resolve_name(
    name: &HostName,
    addresses: Vec<IpAddr>,
    port: u16,
    settings: &Settings,
    timings: Timings,
) -> (Result<Resolved, Fault>, Option<Resolution>) {
    let sorted = match settings.addressing.mode {
        AddressMode::All => Ok(sorted_by_value(addresses)),
        AddressMode::Any => sorted_by_preference(addresses, settings.source_address),
    };
    let Sorted { all, to_try } = match sorted {
        Ok(sorted) => sorted,
        Err(fault) => return (Err(fault.into()), None),
    };
    let destinations = to_try.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    let resolved =
        as_expected(Some(name), &all, &settings.addressing.expect).map(|()| Resolved { destinations, timings });
    (resolved, Some(Resolution { addresses: all }))
}

/// Returns the usable family. A source address restricts it to its own.
fn usable_family(settings: &Settings) -> Result<IpFamily, LocalFault> {
    let family = settings.addressing.family;
    match settings.source_address {
        None => Ok(family),
        Some(source) if !family.admits(source) => {
            let detail = format!("source address {source} cannot reach {} addresses", describe(family));
            Err(LocalFault { reason: LocalFaultReason::Invalid, detail })
        }
        Some(IpAddr::V4(_)) => Ok(IpFamily::Ipv4),
        Some(IpAddr::V6(_)) => Ok(IpFamily::Ipv6),
    }
}

/// Returns the number of the interface of a link-local address.
fn scope_id(zone: &Ipv6Zone) -> Result<u32, LocalFault> {
    interface(zone.as_str()).ok_or_else(|| {
        let detail = format!("this machine has no interface `{}`, which is the zone of the address", zone.as_str());
        LocalFault { reason: LocalFaultReason::Invalid, detail }
    })
}

/// Fails if an address is outside the expected networks. Without them, every address is expected.
fn as_expected(name: Option<&HostName>, addresses: &[IpAddr], networks: &[IpNet]) -> Result<(), Fault> {
    let outside = |address: &&IpAddr| !networks.iter().any(|network| network.contains(*address));
    let Some(address) = addresses.iter().find(outside).filter(|_| !networks.is_empty()) else { return Ok(()) };
    let networks = networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ");
    let of = name.map_or_else(String::new, |name| format!(", an address of {},", name.as_str()));
    let detail = format!("{address}{of} is outside expect_addresses ({networks})");
    Err(unresolved(Class::AddressMismatch, detail))
}

/// All addresses of a name, and the ones to try.
struct Sorted {
    all: Vec<IpAddr>,
    to_try: Vec<IpAddr>,
}

/// Sorts addresses by value. Name servers rotate them, but the first failure should be the same in every probe.
fn sorted_by_value(mut all: Vec<IpAddr>) -> Sorted {
    all.sort_unstable();
    all.dedup();
    Sorted { to_try: all.clone(), all }
}

/// Sorts addresses by RFC 6724. Those without a route are not tried if others have one, because their error would hide
/// the results of the others.
fn sorted_by_preference(mut all: Vec<IpAddr>, source: Option<IpAddr>) -> Result<Sorted, LocalFault> {
    let mut seen = HashSet::new();
    all.retain(|address| seen.insert(*address));
    if all.len() == 1 {
        return Ok(Sorted { to_try: all.clone(), all });
    }
    let candidate = |destination| -> Result<_, LocalFault> {
        let routed = source_for(destination)?;
        Ok(Candidate { destination, source: routed.map(|routed| source.unwrap_or(routed)) })
    };
    let mut candidates: Vec<_> = all.into_iter().map(candidate).collect::<Result<_, _>>()?;
    rfc6724::sort(&mut candidates);
    let all: Vec<_> = candidates.iter().map(|candidate| candidate.destination).collect();
    let usable = candidates.iter().take_while(|candidate| candidate.source.is_some()).count();
    let to_try = if usable == 0 { all.clone() } else { all.iter().copied().take(usable).collect() };
    Ok(Sorted { all, to_try })
}
