//! Look-ups of complete names for discovery: services and addresses. They do not use the hosts file or search domains.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::lookup::{Lookup, blocked, unresolved, usable};
use super::query::Answer;
use super::resolver::Resolver;
use crate::outcome::{Class, Fault};
use crate::target::{HostName, IpFamily};

/// A host and port that offer a service (RFC 2782).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Service {
    /// The name of the host in lower case, without a trailing dot; empty if the service is explicitly not offered.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl Resolver {
    /// Queries the system's name servers for the hosts that offer a service; empty if there are none.
    pub(in crate::probe) async fn services(&self, name: &HostName, deadline: Instant) -> Result<Vec<Service>, Fault> {
        let found = self.records(name, RecordType::SRV, deadline).await?;
        Ok(found.iter().filter_map(service).collect())
    }

    /// Queries the system's name servers for the addresses of a name in one or both families; empty if there are none.
    /// Fails if all of them are unspecified.
    pub(in crate::probe) async fn addresses(
        &self,
        name: &HostName,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Fault> {
        let types: &[_] = match family {
            IpFamily::Any => &[RecordType::A, RecordType::AAAA],
            IpFamily::Ipv4 => &[RecordType::A],
            IpFamily::Ipv6 => &[RecordType::AAAA],
        };
        let mut addresses = Vec::new();
        for record_type in types {
            let found = self.records(name, *record_type, deadline).await?;
            addresses.extend(found.iter().filter_map(RData::ip_addr));
        }
        usable(addresses.into_iter()).ok_or_else(|| blocked(name.as_str(), "according to the name servers"))
    }

    async fn records(&self, name: &HostName, record_type: RecordType, deadline: Instant) -> Result<Vec<RData>, Fault> {
        let lookup = format!("cannot look up {record_type} of {}", name.as_str());
        let failed = |class, why: &str| unresolved(class, format!("{lookup}: {why}"));
        let mut form =
            Name::from_ascii(name.without_dot()).map_err(|error| failed(Class::DnsError, &error.to_string()))?;
        form.set_fqdn(true);
        let system = self.system.names(deadline).await?;
        let servers = system.servers(&lookup)?;
        let errors = match self.query_servers(&form, record_type, &servers.addresses, deadline).await {
            Ok((_, Answer::Records(found))) => return Ok(found),
            Ok((_, Answer::NoData | Answer::NoName)) => return Ok(Vec::new()),
            Err(errors) => errors,
        };
        match Lookup::of_errors(&record_type.to_string(), &errors) {
            Lookup::Error(why) => Err(failed(Class::DnsError, &why)),
            Lookup::Local(fault) => Err(fault.into()),
            Lookup::Silence(why) => Err(failed(Class::DnsTimeout, &why)),
            // A combination of errors is none of these.
            Lookup::Addresses(_) | Lookup::Blocked(_) | Lookup::NoData(_) | Lookup::NoName(_) => Ok(Vec::new()),
        }
    }
}

fn service(data: &RData) -> Option<Service> {
    let RData::SRV(srv) = data else { return None };
    let host = srv.target.to_ascii().to_ascii_lowercase();
    Some(Service { host: host.strip_suffix('.').unwrap_or(&host).to_owned(), port: srv.port })
}
