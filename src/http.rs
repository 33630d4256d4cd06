//! The HTTP server: listeners, limits on connections, and the routes.
//!
//! [`bind`] binds the addresses, so that a port in use is reported before anything starts. [`Server::serve`] responds
//! to requests until it is stopped. Each module has one route or a part of the protocol.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use listenfd::ListenFd;
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::access::Access;
pub use self::api::Endpoint;
pub use self::config::RunningConfig;
pub use self::external_url::{ExternalUrl, ExternalUrlError};
pub use self::health::Readiness;
pub use self::origin::OwnNames;
pub use self::page::Resource;
pub use self::probe::{OnDemandProber, ProbeError, ProbeRequest, Probed};
use self::public::PublicCache;
pub use self::public::PublicResource;
pub use self::reload::{ReloadError, ReloadRequest, Reloads};
pub use self::route::Route;
pub use self::target_probe::{TargetProbeError, TargetProber};
pub use self::web_config::{WebConfig, WebConfigFile};
use crate::audit::Audits;
use crate::board::Board;
use crate::clock::{self, Timestamp};
use crate::metrics::Metrics;
use crate::store::Store;

mod access;
mod api;
mod badge;
mod body;
mod calendar;
mod client_stream;
mod config;
mod connection;
mod connections;
mod external_url;
mod feed;
mod health;
mod markup;
mod metrics;
mod negotiation;
mod origin;
mod page;
mod path_name;
mod probe;
mod public;
mod reading;
mod reload;
mod route;
mod tagged;
mod target_probe;
#[cfg(test)]
mod testing;
pub(crate) mod web_config;

/// Binds every address; fails with the first that cannot be bound.
pub async fn bind(addresses: &[ListenAddress]) -> Result<Server, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let failed = |source| BindError { address: address.clone(), source };
        listeners.extend(address.bind().await.map_err(failed)?);
    }
    Ok(Server { listeners, max_connections: MAX_CONNECTIONS })
}

/// Takes the listening sockets that systemd has handed over (`sd_listen_fds(3)`).
pub fn inherited() -> Result<Server, InheritError> {
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u64>().ok());
    if count.is_some_and(|count| count > MAX_INHERITED) {
        return Err(InheritError::TooMany);
    }
    let mut sockets = ListenFd::from_env();
    let mut listeners = Vec::with_capacity(sockets.len());
    for index in 0..sockets.len() {
        let Some(listener) = sockets.take_tcp_listener(index)? else { continue };
        if !SockRef::from(&listener).is_listener()? {
            return Err(InheritError::NotListening);
        }
        listener.set_nonblocking(true)?;
        listeners.push(TcpListener::from_std(listener)?);
    }
    if listeners.is_empty() {
        return Err(InheritError::None);
    }
    Ok(Server { listeners, max_connections: MAX_CONNECTIONS })
}

/// The sockets of systemd cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// There is none.
    #[error("systemd has handed over no socket; start the .socket unit, or remove `--web.systemd-socket`")]
    None,
    /// It is not a TCP socket, or the system refuses it.
    #[error("cannot use a socket of systemd; `ListenStream` must be a TCP port")]
    NotUsable(#[from] io::Error),
    /// It is a connection and not a listener.
    #[error("a socket of systemd is not a listener; set `Accept=no` in the .socket unit")]
    NotListening,
    /// There are more than any unit has.
    #[error("`LISTEN_FDS` is above {MAX_INHERITED}; systemd sets it to the number of sockets")]
    TooMany,
}

/// The state behind the routes.
#[derive(Debug)]
pub struct AppState {
    /// The state of all targets.
    pub board: Arc<Board>,
    /// The metrics for Prometheus.
    pub metrics: Metrics,
    /// Whether the daemon is ready.
    pub readiness: Arc<Readiness>,
    /// The configuration in use.
    pub running_config: Arc<RunningConfig>,
    access: Access,
    external_url: Option<ExternalUrl>,
    own_names: OwnNames,
    reloads: Option<Reloads>,
    on_demand: Option<Arc<dyn OnDemandProber>>,
    target_probes: Option<Arc<dyn TargetProber>>,
    store: Option<Store>,
    started: Timestamp,
    public_cache: Arc<PublicCache>,
    audits: Arc<Audits>,
    scrape_permits: Arc<Semaphore>,
    page_permits: Arc<Semaphore>,
    compressors: Arc<Semaphore>,
}

impl AppState {
    /// Creates the state of a daemon that is not ready yet. Without `reloads`, reload requests are refused.
    pub fn new(board: Arc<Board>, metrics: Metrics, reloads: Option<Reloads>) -> Self {
        let [scrape_permits, page_permits, compressors] =
            [SCRAPE_PERMITS, PAGE_PERMITS, COMPRESSORS].map(|count| Arc::new(Semaphore::new(count)));
        Self {
            board,
            metrics,
            readiness: Arc::default(),
            running_config: Arc::default(),
            access: Access::default(),
            external_url: None,
            own_names: OwnNames::default(),
            reloads,
            on_demand: None,
            target_probes: None,
            store: None,
            started: clock::now(),
            public_cache: Arc::default(),
            audits: Arc::default(),
            scrape_permits,
            page_permits,
            compressors,
        }
    }

    /// Enables what a web configuration has.
    #[must_use]
    pub fn with_web_config(self, file: Arc<WebConfigFile>) -> Self {
        Self { access: Access::new(file), ..self }
    }

    /// Returns the path before every route, without a slash at the end.
    pub fn url_prefix(&self) -> &str {
        self.external_url.as_ref().map(ExternalUrl::prefix).unwrap_or_default()
    }

    /// Returns whether clients may request reloads and probes of targets.
    fn has_lifecycle(&self) -> bool {
        self.reloads.is_some()
    }

    /// Returns the beginning of links to this server: the external URL, or nothing for links relative to `/`.
    fn link_base(&self) -> String {
        self.external_url.as_ref().map(ExternalUrl::to_string).unwrap_or_default()
    }

    /// Returns a text that no other server has: the external URL, or the names of this server.
    fn identity(&self) -> String {
        self.external_url
            .as_ref()
            .map_or_else(|| self.own_names.to_string(), ExternalUrl::to_string)
    }

    /// Serves every route below the path of this URL. `own_names` are the names of this server.
    #[must_use]
    pub fn with_names(self, external_url: Option<ExternalUrl>, own_names: OwnNames) -> Self {
        Self { external_url, own_names, ..self }
    }

    /// Sets the source of history for the page and the API.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Sets the prober of targets on demand, which is used only if reload requests are enabled, too.
    #[must_use]
    pub fn with_target_probes(self, prober: Arc<dyn TargetProber>) -> Self {
        Self { target_probes: Some(prober), ..self }
    }

    /// Sets the results of audits for the API.
    #[must_use]
    pub fn with_audits(self, audits: Arc<Audits>) -> Self {
        Self { audits, ..self }
    }

    /// Enables `/probe`, which otherwise refuses every request.
    #[must_use]
    pub fn with_on_demand(self, prober: Arc<dyn OnDemandProber>) -> Self {
        Self { on_demand: Some(prober), ..self }
    }
}

/// Bound listeners that do not accept connections yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    max_connections: usize,
}

impl Server {
    /// Replaces [`MAX_CONNECTIONS`], which the listeners share equally.
    #[must_use]
    pub fn with_max_connections(self, max_connections: usize) -> Self {
        Self { max_connections, ..self }
    }

    /// Returns the addresses of the listeners, with the real port if port 0 was requested.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Responds to requests until `stop` is cancelled; open responses then have five seconds to finish.
    pub async fn serve(self, state: Arc<AppState>, stop: CancellationToken) {
        let mut accepting = JoinSet::new();
        let max_connections = (self.max_connections / self.listeners.len().max(1)).max(1);
        for listener in self.listeners {
            accepting.spawn(connection::accept(listener, max_connections, state.clone(), stop.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// A listen address: `:10115` for every address of this machine, or `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenAddress(String);

impl ListenAddress {
    /// Returns the address at which a program on this machine reaches this listener: IPv4 loopback if it listens on
    /// every address.
    pub fn from_here(&self) -> String {
        let (host, port) = self.0.rsplit_once(':').unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if host.is_empty() || address.is_ok_and(|address| address.is_unspecified()) {
            return format!("{}:{port}", Ipv4Addr::LOCALHOST);
        }
        self.0.clone()
    }

    /// Returns the host, without the brackets of an IPv6 address; empty for every address.
    pub fn host(&self) -> &str {
        let (host, _) = self.0.rsplit_once(':').unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Binds the address, or every address of a name: a client of `localhost` may try either family first.
    async fn bind(&self) -> io::Result<Vec<TcpListener>> {
        if let Some(port) = self.0.strip_prefix(':').and_then(|port| port.parse().ok()) {
            // One socket for both families, as in Go programs; IPv4 only on a machine without IPv6.
            let listener = match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
                Err(error) if lacks_ipv6(&error) => listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
                bound => bound,
            };
            return Ok(vec![listener?]);
        }
        listen_on_each(lookup_host(&self.0).await?)
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

/// A text is not a listen address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be :PORT for all addresses of this machine, or HOST:PORT, like 127.0.0.1:10115")]
pub struct ListenAddressError;

/// An address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; `--web.listen-address` sets another address")]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

/// Returns whether an IPv6 socket failed because this machine has no IPv6, and not because its port is in use.
fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT))
}

/// Listens on all addresses of a name, with the same port if the kernel chooses it. Addresses of a family that this machine
/// does not have are skipped.
fn listen_on_each(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut unusable = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for mut address in addresses {
        if let Some(first) = listeners.first().filter(|_| address.port() == 0) {
            address.set_port(first.local_addr()?.port());
        }
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if lacks_ipv6(&error) => unusable = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(unusable) } else { Ok(listeners) }
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

/// Maximum number of connections that the kernel queues; a shorter queue would drop SYNs under load.
const BACKLOG: i32 = 1024;

/// Maximum number of sockets of systemd.
const MAX_INHERITED: u64 = 1024;

/// Maximum number of open connections of all listeners together: more clients than a daemon has.
pub const MAX_CONNECTIONS: usize = 1024;

/// Number of concurrently encoded pieces for all clients together; with one, scrapes use at most one CPU.
const SCRAPE_PERMITS: usize = 1;

/// Number of concurrently read pages and answers of the API, separate from scrapes, which must not wait for them.
const PAGE_PERMITS: usize = 1;

/// Number of concurrently compressed scrapes, each of which takes a third of a megabyte until its client has read it.
/// Further scrapes are sent uncompressed.
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
    async fn a_name_listens_on_all_its_addresses() {
        let addresses = ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse().unwrap());
        let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        let listeners = listen_on_each(addresses.into_iter()).unwrap();
        assert_eq!(listeners.len(), if has_ipv6 { 2 } else { 1 });
        let port = listeners[0].local_addr().unwrap().port();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().port() == port), "{listeners:?}");
        assert_eq!(listen_on_each([].into_iter()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn the_error_names_the_taken_port() {
        let taken = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        let address = taken.addresses()[0].to_string();
        let error = bind(&[address.parse().unwrap()]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {address}; `--web.listen-address` sets another address")
        );
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
