//! Look-ups and connections for discovery.
//!
//! They use the same resolver, address order and certificate verification as probes, so that discovery sources are
//! found and trusted by the same rules as targets.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
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
use crate::options::ResolverOptions;
use crate::outcome::{CertificateFault, Fault};
use crate::protocol::Wrapping;
use crate::target::{Host, HostName, IpFamily, Settings, TlsProfile, TlsSettings, Verify};

/// Resolves names and opens connections as probes do. Clones share resolver, TLS files and verifier.
#[derive(Clone, Debug)]
pub struct Connector {
    resolver: Arc<Resolver>,
    tls_store: Arc<TlsStore>,
    verifier: Arc<ChainVerifier>,
}

/// A TLS connection whose peer was verified as its settings ask for.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    pub(crate) stream: Box<TlsStream<TlsTransport>>,
    /// Faults of the certificates, if the settings only report them.
    pub(crate) faults: Vec<String>,
}

impl Connector {
    /// A connector that resolves names as this machine does and uses the TLS files in `tls_store`.
    pub fn new(options: ResolverOptions, tls_store: Arc<TlsStore>) -> Self {
        Self::with_system_files(options, tls_store, SystemFiles::default())
    }

    /// A connector that takes name servers, search domains and hosts from these files.
    pub fn with_system_files(options: ResolverOptions, tls_store: Arc<TlsStore>, files: SystemFiles) -> Self {
        Self { resolver: Arc::new(Resolver::new(options, files)), tls_store, verifier: Arc::default() }
    }

    /// Applies other resolver options from the next query on.
    pub fn set_resolver_options(&self, options: ResolverOptions) {
        self.resolver.set_options(options);
    }

    /// The SRV records of a name, from the system's name servers; empty if there are none.
    pub(crate) async fn services(&self, name: &HostName, deadline: Instant) -> Result<Vec<Service>, String> {
        self.resolver.services(name, deadline).await.map_err(Fault::into_detail)
    }

    /// The addresses of a complete name, from the system's name servers; empty if there are none.
    pub(crate) async fn addresses(
        &self,
        name: &HostName,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, String> {
        self.resolver.addresses(name, family, deadline).await.map_err(Fault::into_detail)
    }

    /// Connects to the first address of a host that accepts. Ends by `deadline`.
    pub(crate) async fn connect(&self, host: &Host, port: NonZeroU16, deadline: Instant) -> Result<TcpStream, String> {
        let (resolved, _) = resolve_host(&self.resolver, host, port, &Settings::default(), deadline).await;
        let Resolved { destinations, .. } = resolved.map_err(Fault::into_detail)?;
        let mut failure = String::new();
        for (remote, left) in destinations.iter().zip((1..=destinations.len()).rev()) {
            match connect(*remote, None, share(deadline, left)).await {
                Ok(connected) => match connected.socket.register() {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = format!("cannot wait for an answer of {remote}: {error}"),
                },
                Err(failed) => failure = format!("cannot connect to {remote}: {}", failed.detail),
            }
        }
        Err(failure)
    }

    /// Makes the TLS handshake on an open connection. Ends by `deadline`, unless files have to be read first.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        host: &Host,
        settings: &TlsSettings,
        deadline: Instant,
    ) -> Result<TlsConnection, String> {
        let client = Client { context: self.context(&settings.profile).await?, verifier: self.verifier.clone() };
        let transport = TlsTransport::new(stream, Wrapping::None);
        let Handshake { result, facts, .. } = handshake(transport, settings, host, &client, deadline).await;
        let Some(peer) = facts.peer else {
            return Err(result.map_or_else(|(fault, _)| fault.into_detail(), |_| NO_CERTIFICATE.to_owned()));
        };
        let fault = |fault: &CertificateFault| format!("{}: {}", fault.class.as_str(), fault.detail);
        let faults: Vec<_> = peer.faults.iter().map(fault).collect();
        if !faults.is_empty() && settings.verify == Verify::Strict {
            return Err(faults.join("; "));
        }
        let secured = result.map_err(|(fault, _)| fault.into_detail())?;
        Ok(TlsConnection { stream: secured.stream, faults })
    }

    /// The context of a profile, whose files are read if they have not been read yet.
    async fn context(&self, profile: &Arc<TlsProfile>) -> Result<Arc<TlsContext>, String> {
        if let Some(context) = self.tls_store.context(profile) {
            return Ok(context);
        }
        let (store, wanted) = (self.tls_store.clone(), profile.clone());
        let read = spawn_blocking(move || store.read(&wanted)).await.map_err(|error| error.to_string())?;
        read.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))?;
        self.tls_store.context(profile).ok_or_else(|| "the files of tls are no longer in use".to_owned())
    }
}

/// A handshake without a certificate fails. This guards against one that succeeds nevertheless.
const NO_CERTIFICATE: &str = "showed no certificate";
