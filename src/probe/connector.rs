//! Connections and questions for other reasons than to probe, made in the way of a probe.
//!
//! Names are resolved, addresses ordered and certificates judged as everywhere else in this program, so that what
//! serves targets is found and trusted by the rules that hold for targets.

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
use super::addresses::{Located, locate};
use super::attempt::share;
use super::tcp::connect;
use super::tls::transport::Carrier;
use super::tls::{Client, Handshake, handshake};
use super::tls_store::{Context, Trust};
use super::verify::Judge;
use crate::options::ResolverOptions;
use crate::outcome::{CertificateFault, Fault};
use crate::protocol::Wrapping;
use crate::target::{Host, HostName, IpFamily, Settings, TlsProfile, TlsSettings, Verify};

/// Asks name servers and opens connections.
#[derive(Debug)]
pub(crate) struct Outbound {
    resolver: Resolver,
    trust: Arc<Trust>,
    judge: Arc<Judge>,
}

/// A TLS session whose peer may be told secrets, as far as its settings want that.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) stream: Box<TlsStream<Carrier>>,
    /// What is wrong with the certificates; only where that is to be no more than reported.
    pub(crate) faults: Vec<String>,
}

impl Outbound {
    /// Resolves names as this machine does.
    pub(crate) fn new(options: ResolverOptions, trust: Arc<Trust>, files: SystemFiles) -> Self {
        Self { resolver: Resolver::new(options, files), trust, judge: Arc::default() }
    }

    /// Applies other resolver options from the next query on.
    pub(crate) fn set_resolver_options(&self, options: ResolverOptions) {
        self.resolver.set_options(options);
    }

    /// Where a service is offered, as the system's name servers say; empty where they know of none.
    pub(crate) async fn services(&self, name: &HostName, deadline: Instant) -> Result<Vec<Service>, String> {
        self.resolver.services(name, deadline).await.map_err(Fault::into_detail)
    }

    /// The addresses that the system's name servers have for a complete name; empty where they know of none.
    pub(crate) async fn addresses(
        &self,
        name: &HostName,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, String> {
        self.resolver.addresses(name, family, deadline).await.map_err(Fault::into_detail)
    }

    /// Connects to the first address of a host that answers. Ends by `deadline`.
    pub(crate) async fn connect(&self, host: &Host, port: NonZeroU16, deadline: Instant) -> Result<TcpStream, String> {
        let (located, _) = locate(&self.resolver, host, port, &Settings::default(), deadline).await;
        let Located { destinations, .. } = located.map_err(Fault::into_detail)?;
        let mut failure = String::new();
        for (remote, left) in destinations.iter().zip((1..=destinations.len()).rev()) {
            match connect(*remote, None, share(deadline, left)).await {
                Ok(connection) => match connection.stream.watched() {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = format!("cannot wait for an answer of {remote}: {error}"),
                },
                Err(unconnected) => failure = format!("cannot connect to {remote}: {}", unconnected.detail),
            }
        }
        Err(failure)
    }

    /// Shakes hands on an open connection. Ends by `deadline`, unless files have to be read first.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        host: &Host,
        settings: &TlsSettings,
        deadline: Instant,
    ) -> Result<Session, String> {
        let client = Client { context: self.context(&settings.profile).await?, judge: self.judge.clone() };
        let carrier = Carrier::new(stream, Wrapping::None);
        let Handshake { result, facts, .. } = handshake(carrier, settings, host, &client, deadline).await;
        let Some(peer) = facts.peer else {
            return Err(result.map_or_else(|(fault, _)| fault.into_detail(), |_| NAMELESS.to_owned()));
        };
        let fault = |fault: &CertificateFault| format!("{}: {}", fault.class.as_str(), fault.detail);
        let faults: Vec<_> = peer.faults.iter().map(fault).collect();
        if !faults.is_empty() && settings.verify == Verify::Strict {
            return Err(faults.join("; "));
        }
        let secured = result.map_err(|(fault, _)| fault.into_detail())?;
        Ok(Session { stream: secured.stream, faults })
    }

    /// What was read for a profile; it is read here where nobody has done so yet.
    async fn context(&self, profile: &Arc<TlsProfile>) -> Result<Arc<Context>, String> {
        if let Some(context) = self.trust.context(profile) {
            return Ok(context);
        }
        let (trust, wanted) = (self.trust.clone(), profile.clone());
        let read = spawn_blocking(move || trust.read(&wanted)).await.map_err(|error| error.to_string())?;
        read.map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))?;
        self.trust.context(profile).ok_or_else(|| "the files of tls are no longer in use".to_owned())
    }
}

/// No handshake of this program ends well without a certificate; one that did would be with nobody knows whom.
const NAMELESS: &str = "showed no certificate";
