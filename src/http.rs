//! The HTTP server: listeners, what a client may do to a connection, and the routes.
//!
//! [`bind`] takes the addresses, so that a taken port is known before anything starts; [`Server::serve`] answers until
//! it is told to stop. What is answered stands in the modules below.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::config::Running;
pub use self::health::Readiness;
pub use self::reload::Reloads;
use crate::board::Board;
use crate::metrics::Metrics;

mod body;
mod config;
mod connection;
mod health;
mod metrics;
mod negotiation;
mod page;
mod reload;
mod route;
#[cfg(test)]
mod testing;

/// Takes every address; the first that cannot be had ends it.
pub async fn bind(addresses: &[ListenAddress]) -> Result<Server, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let failed = |source| BindError { address: address.clone(), source };
        listeners.push(address.bind().await.map_err(failed)?);
    }
    Ok(Server { listeners })
}

/// What the routes show.
#[derive(Debug)]
pub struct Site {
    /// The state of all targets.
    pub board: Arc<Board>,
    /// What is exposed to Prometheus.
    pub metrics: Metrics,
    /// Whether the daemon is ready.
    pub readiness: Arc<Readiness>,
    /// The configuration in force.
    pub running: Arc<Running>,
    reloads: Option<Reloads>,
    scrape_turns: Arc<Semaphore>,
    compressors: Arc<Semaphore>,
}

impl Site {
    /// A site whose daemon is not ready yet. Without `reloads` nobody may ask for one here.
    pub fn new(board: Arc<Board>, metrics: Metrics, reloads: Option<Reloads>) -> Self {
        let [scrape_turns, compressors] = [SCRAPE_TURNS, COMPRESSORS].map(|count| Arc::new(Semaphore::new(count)));
        Self { board, metrics, readiness: Arc::default(), running: Arc::default(), reloads, scrape_turns, compressors }
    }
}

/// Bound listeners that nobody is answered on yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
}

impl Server {
    /// The addresses listened on; a port 0 that was asked for is a real one here.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers until `stop` is cancelled; answers under way then have five seconds to finish.
    pub async fn serve(self, site: Arc<Site>, stop: CancellationToken) {
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(connection::accept(listener, site.clone(), stop.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// Where to listen: `:10115` for every address of this machine, or `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// Where a program on this machine finds who listens there. Who listens on every address does so on IPv4's, too.
    pub fn from_here(&self) -> String {
        let (host, port) = self.0.rsplit_once(':').unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if host.is_empty() || address.is_ok_and(|address| address.is_unspecified()) {
            return format!("{}:{port}", Ipv4Addr::LOCALHOST);
        }
        self.0.clone()
    }

    async fn bind(&self) -> io::Result<TcpListener> {
        if let Some(port) = self.0.strip_prefix(':').and_then(|port| port.parse().ok()) {
            // One socket for both families, as Go programs do; on a machine without IPv6 for the one that there is.
            return match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
                Err(error) if lacks_ipv6(&error) => listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
                bound => bound,
            };
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(&self.0).await? {
            match listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if port.parse::<u16>().is_err() || (host.contains(':') && !bracketed) {
            return Err(ListenAddressError);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A text is no listen address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no address to listen on; write :PORT for all of this machine's, or HOST:PORT, like 127.0.0.1:10115")]
pub struct ListenAddressError;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

/// Whether an IPv6 socket could not be had because this machine has no IPv6, and not because its port is taken.
fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections that the kernel holds until they are accepted; a shorter queue would drop the SYNs of a crowd.
const BACKLOG: i32 = 1024;

/// Pieces of metrics that are made at once, for all clients together: scrapes never take more than one CPU from probes.
const SCRAPE_TURNS: usize = 1;

/// Scrapes that are compressed at one time; each takes a third of a megabyte until its client has read it. Whoever comes
/// beside them gets the metrics as they are.
const COMPRESSORS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_name_a_port() {
        for text in [":10115", "127.0.0.1:0", "[::1]:10115", "localhost:80"] {
            assert!(text.parse::<ListenAddress>().is_ok(), "{text}");
        }
        for text in ["", "10115", "localhost", ":65536", ":http", "[::1]", "::1:10115"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let address = taken.addresses()[0].to_string();
        let error = bind(&[address.parse().unwrap()]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
