//! Look-ups and connections for discovery.
//!
//! They use the same resolver, address order and certificate verification as probes, so that the same rules apply to
//! discovery sources and targets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::addresses::records::Service;
use super::addresses::resolver::Resolver;
use super::addresses::system::SystemFiles;
use super::addresses::{Resolved, resolve_host};
use super::attempt::share;
use super::tcp::connect;
use super::tls::transport::TlsTransport;
use super::tls::{Client, Handshake, handshake};
use super::tls_store::{TlsContext, TlsStore};
use super::verify::ChainVerifier;
use super::watch::depends_on_time;
use crate::files::reads::{Hanging, Reads};
use crate::options::ResolverOptions;
use crate::outcome::{CertificateFault, Fault, LocalFaultReason};
use crate::protocol::Wrapping;
use crate::target::{FileProblem, Host, HostName, IpFamily, Settings, TlsProfile, TlsSettings, Verify};

/// A connector, which resolves names and opens connections as probes do. Clones share resolver, TLS files and verifier.
#[derive(Clone, Debug)]
pub struct Connector {
    resolver: Arc<Resolver>,
    tls_store: Arc<TlsStore>,
    verifier: Arc<ChainVerifier>,
    reads: Reads,
}

/// A TLS connection whose peer was verified according to its settings.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    pub(crate) stream: Box<TlsStream<TlsTransport>>,
    /// Faults of the certificates, if the settings only report them.
    pub(crate) faults: Vec<String>,
}

impl Connector {
    /// Creates a connector that resolves names as this machine does and uses the TLS files in `tls_store`.
    pub fn new(options: ResolverOptions, tls_store: Arc<TlsStore>) -> Self {
        Self::with_system_files(options, tls_store, SystemFiles::default())
    }

    /// Creates a connector that reads name servers, search domains and hosts from these files.
    pub fn with_system_files(options: ResolverOptions, tls_store: Arc<TlsStore>, files: SystemFiles) -> Self {
        let resolver = Arc::new(Resolver::new(options, files));
        Self { resolver, tls_store, verifier: Arc::default(), reads: Reads::default() }
    }

    /// Sets the resolver options for the next queries.
    pub fn set_resolver_options(&self, options: ResolverOptions) {
        self.resolver.set_options(options);
    }

    /// Queries the system's name servers for the SRV records of a name; empty if there are none.
    pub(crate) async fn services(&self, name: &HostName, deadline: Instant) -> Result<Vec<Service>, ConnectorError> {
        Ok(self.resolver.services(name, deadline).await?)
    }

    /// Queries the system's name servers for the addresses of a complete name; empty if there are none.
    pub(crate) async fn addresses(
        &self,
        name: &HostName,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, ConnectorError> {
        Ok(self.resolver.addresses(name, family, deadline).await?)
    }

    /// Connects to the first address of a host that accepts. Ends by `deadline`.
    pub(crate) async fn connect(
        &self,
        host: &Host,
        port: NonZeroU16,
        deadline: Instant,
    ) -> Result<TcpStream, ConnectorError> {
        let (resolved, _) = resolve_host(&self.resolver, host, port, &Settings::default(), deadline).await;
        let Resolved { destinations, .. } = resolved?;
        let mut failure = None;
        for (remote, left) in destinations.iter().zip((1..=destinations.len()).rev()) {
            match connect(*remote, None, share(deadline, left)).await {
                Ok(connected) => match connected.socket.register() {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = Some(ConnectorError::Register { remote: *remote, error }),
                },
                Err(failed) => failure = Some(ConnectorError::Connect { remote: *remote, fault: failed.fault() }),
            }
        }
        Err(failure.expect("a resolved host must have an address"))
    }

    /// Makes the TLS handshake on an open connection. Ends by `deadline`, and fails if its files are not read in time.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        host: &Host,
        settings: &TlsSettings,
        deadline: Instant,
    ) -> Result<TlsConnection, ConnectorError> {
        let client = Client { context: self.context(&settings.profile).await?, verifier: self.verifier.clone() };
        let transport = TlsTransport::new(stream, Wrapping::None);
        let Handshake { result, facts, .. } = handshake(transport, settings, host, &client, deadline).await;
        let Some(peer) = facts.peer else {
            // A handshake without a certificate fails; the `Ok` case should not occur.
            return Err(result.map_or_else(|(fault, _)| fault.into(), |_| ConnectorError::NoCertificate));
        };
        let fault = |fault: &CertificateFault| format!("{}: {}", fault.class.as_str(), fault.detail);
        let faults: Vec<_> = peer.faults.iter().map(fault).collect();
        if !faults.is_empty() && settings.verify == Verify::Strict {
            return Err(ConnectorError::Certificates(faults));
        }
        let secured = result.map_err(|(fault, _)| fault)?;
        Ok(TlsConnection { stream: secured.stream, faults })
    }

    /// Returns the context of a profile. Reads its files if they are not loaded yet.
    async fn context(&self, profile: &Arc<TlsProfile>) -> Result<Arc<TlsContext>, ConnectorError> {
        if let Some(context) = self.tls_store.context(profile) {
            return Ok(context);
        }
        let (store, wanted) = (self.tls_store.clone(), profile.clone());
        let read = self.reads.run(move || store.read(&wanted)).await?;
        read.map_err(ConnectorError::Files)?;
        self.tls_store.context(profile).ok_or(ConnectorError::UnusedFiles)
    }
}

/// A reason why a look-up or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The certificates of the peer have faults.
    #[error("{}", .0.join("; "))]
    Certificates(Vec<String>),
    /// No address of the host accepted; the last one is given.
    #[error("cannot connect to {remote}: {}", .fault.detail())]
    Connect {
        /// The address.
        remote: SocketAddr,
        /// The reason.
        fault: Fault,
    },
    /// The name was not resolved, or the TLS handshake failed.
    #[error("{}", .0.detail())]
    Fault(Fault),
    /// The TLS files cannot be used.
    #[error("{}", joined(.0))]
    Files(Vec<FileProblem>),
    /// The TLS files were not read in time.
    #[error("a file that TLS needs {0}")]
    Hanging(#[from] Hanging),
    /// The peer presented no certificate.
    #[error("presented no certificate")]
    NoCertificate,
    /// The socket cannot be registered with epoll.
    #[error("cannot wait for data from {remote}: {error}")]
    Register {
        /// The address.
        remote: SocketAddr,
        /// The reason.
        error: io::Error,
    },
    /// The TLS files were dropped while they were read.
    #[error("the TLS files are no longer in use")]
    UnusedFiles,
}

impl ConnectorError {
    /// Returns whether the failure can result from a process that asks or listens too late.
    pub(crate) fn depends_on_time(&self) -> bool {
        match self {
            Self::Connect { fault, .. } | Self::Fault(fault) => match fault {
                Fault::Failure(failure) => depends_on_time(failure.class),
                Fault::LocalFault(fault) => fault.reason == LocalFaultReason::Overloaded,
            },
            Self::Certificates(_)
            | Self::Files(_)
            | Self::Hanging(_)
            | Self::NoCertificate
            | Self::Register { .. }
            | Self::UnusedFiles => false,
        }
    }
}

impl From<Fault> for ConnectorError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn joined(problems: &[FileProblem]) -> String {
    problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}
