//! The places of a run: every address that it connects to.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::target::{AuditedHosts, Host, addresses};

/// An address to connect to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// The host as users know it: the name, if it is one.
    pub(super) host: Arc<str>,
    /// The address, with its zone.
    pub(super) address: Host,
    pub(super) existence: Existence,
}

/// Whether a host has an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existence {
    /// The configuration names the host.
    Certain,
    /// The address is one of a network.
    Possible,
}

/// The addresses of a run.
#[derive(Debug, Default)]
pub(super) struct Places {
    certain: Vec<Place>,
    networks: Vec<IpNet>,
    /// Names without an address in this run.
    pub(super) unresolved: Vec<Arc<str>>,
}

impl Places {
    /// Adds a host of the configuration, except a name.
    pub(super) fn add(&mut self, hosts: &AuditedHosts) {
        match hosts {
            AuditedHosts::Host(host) => {
                self.certain.push(Place {
                    host: host.to_string().into(),
                    address: host.clone(),
                    existence: Existence::Certain,
                });
            }
            AuditedHosts::Network(network) => self.networks.push(*network),
        }
    }

    /// Adds the addresses of a name.
    pub(super) fn add_name(&mut self, name: &Arc<str>, addresses: Vec<IpAddr>) {
        let place =
            |address: IpAddr| Place { host: name.clone(), address: address.into(), existence: Existence::Certain };
        self.certain.extend(addresses.into_iter().map(place));
    }

    /// Returns every place. Those of networks are created only when they are needed.
    pub(super) fn iter(&self) -> impl Iterator<Item = Place> + Send {
        let possible = self
            .networks
            .iter()
            .flat_map(|network| addresses(*network))
            .map(|address| Place {
                host: address.to_string().into(),
                address: address.into(),
                existence: Existence::Possible,
            });
        self.certain.iter().cloned().chain(possible)
    }

    /// Returns the addresses of names, with their names.
    pub(super) fn named(&self) -> HashSet<(&str, Option<IpAddr>)> {
        self.certain
            .iter()
            .map(|place| (&*place.host, place.address.literal()))
            .collect()
    }
}
