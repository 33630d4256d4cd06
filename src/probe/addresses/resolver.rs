//! Resolves a name: hosts file, search domains, then the name servers in order.
//!
//! A and AAAA are queried at the same time. Once one has addresses, the other gets only a short extra time, so that a
//! server that never answers AAAA queries does not use up the deadline. Nothing is cached: a probe sees what an
//! application that starts now would see. If a server fails, the next one is queried, as in the C library; the error is
//! reported only if no server sends a usable response. hickory's resolver is not used, because it caches and hides the
//! results of individual servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout};

use super::lookup::{Lookup, blocked, unresolved, usable};
use super::query::{Answer, ServerError, ask};
use super::system::{NameServers, System, SystemFiles};
use crate::locks::lock;
use crate::options::ResolverOptions;
use crate::outcome::{Class, Fault};
use crate::target::{HostName, IpFamily};

/// A resolver of names, shared by all probes.
#[derive(Debug)]
pub(in crate::probe) struct Resolver {
    options: Mutex<ResolverOptions>,
    pub(super) system: System,
}

impl Resolver {
    pub(in crate::probe) fn new(options: ResolverOptions, files: SystemFiles) -> Self {
        Self { options: Mutex::new(options), system: System::new(files) }
    }

    /// Sets the options for the next queries.
    pub(in crate::probe) fn set_options(&self, options: ResolverOptions) {
        *lock(&self.options) = options;
    }

    fn options(&self) -> ResolverOptions {
        *lock(&self.options)
    }

    /// Returns the addresses of `name` in `family`, at least one, in the order of the response. Queries `servers`; if
    /// there are none, uses the hosts file, search domains and name servers of the system. Ends by `deadline`.
    pub(in crate::probe) async fn resolve(
        &self,
        name: &HostName,
        family: IpFamily,
        servers: &[SocketAddr],
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Fault> {
        if !servers.is_empty() {
            let local = known(name, &[], family)?;
            if !local.is_empty() {
                return Ok(local);
            }
            let servers = NameServers { addresses: servers.to_vec(), ..NameServers::default() };
            return self.query_forms(name, family, &servers, deadline).await;
        }
        let system = self.system.names(deadline).await?;
        let known = known(name, system.in_hosts(name), family)?;
        if !known.is_empty() {
            return Ok(known);
        }
        let servers = system.servers(&format!("cannot resolve {}", name.as_str()))?;
        self.query_forms(name, family, servers, deadline).await
    }

    /// Queries each form of the name until one has addresses or is blocked. Silence ends the search, because that form may exist and
    /// the next one may be another host.
    async fn query_forms(
        &self,
        name: &HostName,
        family: IpFamily,
        servers: &NameServers,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Fault> {
        let mut all: Option<Lookup> = None;
        for form in forms(name, servers)? {
            let found = self.query_family(&form, family, &servers.addresses, deadline).await;
            if matches!(found, Lookup::Addresses(_) | Lookup::Blocked(_) | Lookup::Local(_) | Lookup::Silence(_)) {
                return found.into_result(name, family);
            }
            all = Some(match all {
                Some(all) => all.or(found),
                None => found,
            });
        }
        all.expect("a name must have at least one form").into_result(name, family)
    }

    async fn query_family(&self, form: &Name, family: IpFamily, servers: &[SocketAddr], deadline: Instant) -> Lookup {
        let mut v4 = pin!(self.query_type(form, RecordType::A, servers, deadline));
        let mut v6 = pin!(self.query_type(form, RecordType::AAAA, servers, deadline));
        match family {
            IpFamily::Ipv4 => v4.await,
            IpFamily::Ipv6 => v6.await,
            IpFamily::Any => tokio::select! {
                found = &mut v4 => with_other(found, v6).await,
                found = &mut v6 => with_other(found, v4).await,
            },
        }
    }

    async fn query_type(
        &self,
        form: &Name,
        record_type: RecordType,
        servers: &[SocketAddr],
        deadline: Instant,
    ) -> Lookup {
        match self.query_servers(form, record_type, servers, deadline).await {
            Ok((server, Answer::Records(found))) => {
                Lookup::of_addresses(server, found.iter().filter_map(RData::ip_addr))
            }
            Ok((server, Answer::NoData)) => Lookup::NoData(server),
            Ok((server, Answer::NoName)) => Lookup::NoName(server),
            Err(errors) => Lookup::of_errors(&record_type.to_string(), &errors),
        }
    }

    /// Queries the servers in order until one sends a usable response, which is returned with the server. A silent
    /// server is queried again, one that reports an error is not. The error lists the errors of all servers in order.
    pub(super) async fn query_servers(
        &self,
        form: &Name,
        record_type: RecordType,
        servers: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(SocketAddr, Answer), Vec<(SocketAddr, ServerError)>> {
        let mut errors: Vec<(SocketAddr, ServerError)> = Vec::new();
        let options = self.options();
        for server in (0..options.tries.get()).flat_map(|_| servers) {
            let now = Instant::now();
            let has_failed = errors.iter().any(|(who, what)| who == server && *what != ServerError::Silent);
            if has_failed || now >= deadline {
                continue;
            }
            match ask(*server, form, record_type, deadline.min(now + options.timeout)).await {
                Ok(answer) => return Ok((*server, answer)),
                Err(error) => errors.push((*server, error)),
            }
        }
        Err(errors)
    }
}

/// Combines the results of two types. If the first has addresses, the other gets only a short extra time.
async fn with_other(found: Lookup, other: impl Future<Output = Lookup>) -> Lookup {
    if !matches!(found, Lookup::Addresses(_)) {
        return found.and(other.await);
    }
    match timeout(GRACE, other).await {
        Ok(other) => found.and(other),
        Err(_) => found,
    }
}

/// Returns the addresses that need no query: those in the hosts file, and those of `localhost` names (RFC 6761 section
/// 6.3). Fails if the hosts file blocks the name.
fn known(name: &HostName, in_hosts: &[IpAddr], family: IpFamily) -> Result<Vec<IpAddr>, Fault> {
    let admitted = |addresses: &[IpAddr]| -> Vec<_> {
        addresses.iter().copied().filter(|address| family.admits(*address)).collect()
    };
    let listed = admitted(in_hosts);
    let listed = usable(listed.into_iter()).ok_or_else(|| blocked(name.as_str(), "according to the hosts file"))?;
    let local = name.without_dot().rsplit('.').next() == Some("localhost");
    Ok(if listed.is_empty() && local { admitted(&LOOPBACK) } else { listed })
}

/// Returns the complete names that a name may stand for, in the order of the attempts (resolv.conf(5)).
fn forms(name: &HostName, servers: &NameServers) -> Result<Vec<Name>, Fault> {
    let unusable = |error| unresolved(Class::DnsError, format!("cannot resolve {}: {error}", name.as_str()));
    let mut unchanged = Name::from_ascii(name.without_dot()).map_err(unusable)?;
    let searched = servers
        .search
        .iter()
        .filter_map(|domain| unchanged.clone().append_domain(domain).ok());
    let mut forms: Vec<_> = if name.is_absolute() { Vec::new() } else { searched.collect() };
    unchanged.set_fqdn(true);
    let first = name.as_str().matches('.').count() >= servers.ndots;
    forms.insert(if first { 0 } else { forms.len() }, unchanged);
    for form in &mut forms {
        form.set_fqdn(true);
    }
    Ok(forms)
}

/// Extra time for the slower of A and AAAA once the other has addresses (RFC 8305 section 3).
const GRACE: Duration = Duration::from_millis(50);

const LOOPBACK: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_follow_resolv_conf() {
        let servers = NameServers {
            search: ["a.test", "b.test."].map(|domain| Name::from_ascii(domain).unwrap()).into(),
            ndots: 2,
            ..NameServers::default()
        };
        for (name, expected) in [
            ("db", &["db.a.test.", "db.b.test.", "db."][..]),
            ("db.x", &["db.x.a.test.", "db.x.b.test.", "db.x."]),
            ("db.x.y", &["db.x.y.", "db.x.y.a.test.", "db.x.y.b.test."]),
            ("db.", &["db."]),
        ] {
            let forms = forms(&name.parse().unwrap(), &servers).unwrap();
            assert_eq!(forms.iter().map(Name::to_ascii).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn localhost_needs_no_hosts_file() {
        let localhost = "localhost".parse().unwrap();
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(known(&localhost, &[], IpFamily::Any).unwrap(), LOOPBACK);
        assert_eq!(known(&localhost, &[], IpFamily::Ipv4).unwrap(), [v4]);
        assert_eq!(known(&localhost, &[v4], IpFamily::Any).unwrap(), [v4]);
        assert_eq!(known(&"db.localhost.".parse().unwrap(), &[], IpFamily::Ipv4).unwrap(), [v4]);
        assert!(
            known(&"localhost.example".parse().unwrap(), &[], IpFamily::Any)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn the_hosts_file_can_block_a_name() {
        let name = "ads.example".parse().unwrap();
        let zero = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let other = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert!(known(&name, &[zero], IpFamily::Any).is_err());
        assert!(known(&name, &[zero, other], IpFamily::Ipv4).is_err());
        assert_eq!(known(&name, &[zero, other], IpFamily::Any).unwrap(), [other]);
        assert!(known(&name, &[zero], IpFamily::Ipv6).unwrap().is_empty());
    }
}
