//! Names as sources: where a service is offered, or the addresses of a name with a port.
//!
//! The system's name servers are asked for the name as it is written; what does not exist is nothing found, not a
//! failure. Answers come in any order, so they are sorted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::Found;
use crate::config::{Discovered, Records};
use crate::probe::Connector;
use crate::target::{HostName, IpFamily};

/// Asks for a name.
pub(super) async fn look(name: &HostName, records: Records, connector: &Connector) -> Result<Found, String> {
    let deadline = Instant::now() + PATIENCE;
    let found = match records {
        Records::A(port) => with_port(connector.addresses(name, IpFamily::Ipv4, deadline).await?, port),
        Records::Aaaa(port) => with_port(connector.addresses(name, IpFamily::Ipv6, deadline).await?, port),
        Records::Srv => {
            let mut services = connector.services(name, deadline).await?;
            // The root as a host says that the service is not offered (RFC 2782).
            services.retain(|service| !service.host.is_empty());
            services.sort_unstable();
            services.iter().map(|service| format!("{}:{}", service.host, service.port)).collect()
        }
    };
    Ok(bounded(found))
}

fn with_port(mut addresses: Vec<IpAddr>, port: u16) -> Vec<String> {
    addresses.sort_unstable();
    addresses.iter().map(|address| SocketAddr::new(*address, port).to_string()).collect()
}

/// Every place once, as many as are taken.
fn bounded(mut sorted: Vec<String>) -> Found {
    sorted.dedup();
    let count = sorted.len();
    let complaint = format!("has {count} records; the first {MAX_RECORDS} in their order are taken");
    sorted.truncate(MAX_RECORDS);
    let complaints = (count > MAX_RECORDS).then_some(complaint).into_iter().collect();
    Found { entries: sorted.into_iter().map(Discovered::address).collect(), complaints }
}

/// All servers and all tries together; how long each is waited for is set in the configuration.
const PATIENCE: Duration = Duration::from_secs(30);

/// More places than any name has that is looked after.
const MAX_RECORDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_sorted_once_and_with_their_port() {
        let addresses = ["::2", "10.0.0.10", "10.0.0.9", "10.0.0.10"].map(|address| address.parse().unwrap());
        let found = bounded(with_port(addresses.to_vec(), 5432));
        let expected = ["10.0.0.9:5432", "10.0.0.10:5432", "[::2]:5432"];
        assert_eq!(*found.entries, expected.map(|address| Discovered::address(address.to_owned())));
        assert!(found.complaints.is_empty());
    }

    #[test]
    fn more_than_a_thousand_records_are_cut_and_complained_about() {
        let addresses = |count: u32| (0..count).map(|index| IpAddr::from(index.to_be_bytes())).collect();
        let found = bounded(with_port(addresses(1000), 1));
        assert_eq!((found.entries.len(), found.complaints.len()), (1000, 0));
        let found = bounded(with_port(addresses(1001), 1));
        assert_eq!(found.entries.len(), 1000);
        assert_eq!(found.complaints, ["has 1001 records; the first 1000 in their order are taken"]);
    }
}
