//! Names as sources: SRV records, or the addresses of a name with a port.
//!
//! The DNS servers of the system are queried for the name as written. A name that does not exist is an empty snapshot,
//! not an error. Records arrive in any order, so they are sorted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::{RefreshError, Snapshot};
use crate::config::{Discovered, Records};
use crate::probe::Connector;
use crate::target::{HostName, IpFamily};

/// Queries the records of a name.
pub(super) async fn refresh(
    name: &HostName,
    records: Records,
    connector: &Connector,
) -> Result<Snapshot, RefreshError> {
    let deadline = Instant::now() + TIMEOUT;
    let addresses = async |family| {
        connector
            .addresses(name, family, deadline)
            .await
            .map_err(RefreshError::Connection)
    };
    let found = match records {
        Records::A(port) => with_port(addresses(IpFamily::Ipv4).await?, port),
        Records::Aaaa(port) => with_port(addresses(IpFamily::Ipv6).await?, port),
        Records::Srv => {
            let mut services = connector.services(name, deadline).await.map_err(RefreshError::Connection)?;
            // The root as the host means that the service is not offered (RFC 2782).
            services.retain(|service| !service.host.is_empty());
            services.sort_unstable();
            services
                .iter()
                .map(|service| format!("{}:{}", service.host, service.port))
                .collect()
        }
    };
    Ok(bounded(found))
}

fn with_port(mut addresses: Vec<IpAddr>, port: u16) -> Vec<String> {
    addresses.sort_unstable();
    addresses
        .iter()
        .map(|address| SocketAddr::new(*address, port).to_string())
        .collect()
}

/// Returns each record once, up to the limit.
fn bounded(mut sorted: Vec<String>) -> Snapshot {
    sorted.dedup();
    let count = sorted.len();
    let problem = format!("has {count} records; only the first {MAX_RECORDS} in sorted order are used");
    sorted.truncate(MAX_RECORDS);
    let problems = (count > MAX_RECORDS).then_some(problem).into_iter().collect();
    Snapshot { entries: sorted.into_iter().map(Discovered::address).collect(), problems }
}

/// Timeout of all servers and tries together. The timeout of one query is a setting.
const TIMEOUT: Duration = Duration::from_secs(30);

/// More records than any maintained name has.
const MAX_RECORDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sorted_and_have_the_port() {
        let addresses = ["::2", "10.0.0.10", "10.0.0.9", "10.0.0.10"].map(|address| address.parse().unwrap());
        let found = bounded(with_port(addresses.to_vec(), 5432));
        let expected = ["10.0.0.9:5432", "10.0.0.10:5432", "[::2]:5432"];
        assert_eq!(*found.entries, expected.map(|address| Discovered::address(address.to_owned())));
        assert!(found.problems.is_empty());
    }

    #[test]
    fn more_than_1000_records_are_a_problem() {
        let addresses = |count: u32| (0..count).map(|index| IpAddr::from(index.to_be_bytes())).collect();
        let found = bounded(with_port(addresses(1000), 1));
        assert_eq!((found.entries.len(), found.problems.len()), (1000, 0));
        let found = bounded(with_port(addresses(1001), 1));
        assert_eq!(found.entries.len(), 1000);
        assert_eq!(found.problems, ["has 1001 records; only the first 1000 in sorted order are used"]);
    }
}
