//! Probes over the network: from a target to an outcome.
//!
//! A probe resolves the name of the target, connects and runs the configured exchange, all within one deadline.
//! `addresses` resolves the host and sorts its addresses; `attempt` tries them, one after another or all at once. `tcp`
//! connects, `tls` makes the handshake with the files that `tls_store` holds in memory, and `verify` checks the
//! certificates that `certificate` parses. `exchange` runs the exchange on the connection. `connector` opens
//! connections for discovery.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use self::addresses::resolver::Resolver;
pub use self::addresses::system::SystemFiles;
use self::addresses::{Resolved, resolve_host};
use self::attempt::{Attempted, attempt};
pub use self::connector::{Connector, ConnectorError};
use self::plan::{Plan, Steps};
use self::tls::Client;
pub use self::tls_store::TlsStore;
pub(crate) use self::tls_store::identity;
use self::verify::ChainVerifier;
use crate::files::header_values::HeaderValues;
use crate::loop_lag::{LoopLag, Watch};
use crate::options::ResolverOptions;
use crate::outcome::{Facts, Fault, LocalFault, LocalFaultReason, Outcome, Prober, Resolution, Timings};
use crate::target::{AddressMode, HeaderFile, Host, ProbeKind, Target};

mod addresses;
mod attempt;
pub(crate) mod certificate;
mod connector;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod plan;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;
mod tls_store;
mod verify;
mod watch;

/// The prober for the network. It holds what probes share: the resolver, the TLS files, the values of header files and
/// a cache of verified chains.
#[derive(Debug)]
pub struct NetworkProber {
    resolver: Resolver,
    tls_store: Arc<TlsStore>,
    header_values: Arc<HeaderValues>,
    verifier: Arc<ChainVerifier>,
    recording: Recording,
    /// Maximum number of addresses of a target that are tried at the same time.
    at_once: u8,
    lag: Arc<LoopLag>,
}

/// Whether the bytes exchanged are recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Recording {
    Off,
    On,
}

impl NetworkProber {
    /// Creates a prober that resolves names as this machine does. It reads no file before the first look-up.
    ///
    /// The TLS profile and the header files of a target must be loaded into `tls_store` and `header_values` before it
    /// is probed; otherwise the probe ends with a local fault.
    pub fn new(options: ResolverOptions, tls_store: Arc<TlsStore>, header_values: Arc<HeaderValues>) -> Self {
        Self::with_system_files(options, tls_store, header_values, SystemFiles::default())
    }

    /// Creates a prober that reads name servers, search domains and hosts from these files.
    pub fn with_system_files(
        options: ResolverOptions,
        tls_store: Arc<TlsStore>,
        header_values: Arc<HeaderValues>,
        files: SystemFiles,
    ) -> Self {
        let resolver = Resolver::new(options, files);
        Self {
            resolver,
            tls_store,
            header_values,
            verifier: Arc::default(),
            recording: Recording::Off,
            at_once: AT_ONCE,
            lag: Arc::default(),
        }
    }

    /// Tries fewer addresses of a target at the same time, so that no probe needs more than half of these descriptors.
    #[must_use]
    pub fn with_descriptors(self, descriptors: NonZeroU32) -> Self {
        let at_once = u8::try_from(descriptors.get() / 2).unwrap_or(u8::MAX).clamp(1, AT_ONCE);
        Self { at_once, ..self }
    }

    /// Records the bytes exchanged on connections.
    #[must_use]
    pub fn recording(self) -> Self {
        Self { recording: Recording::On, ..self }
    }

    /// Returns the lag of this process, which decides whether a deadline counts. The caller measures it.
    pub fn lag(&self) -> &Arc<LoopLag> {
        &self.lag
    }

    /// Sets the resolver options for the next queries.
    pub fn set_resolver_options(&self, options: ResolverOptions) {
        self.resolver.set_options(options);
    }

    /// As [`Prober::probe`], but connects only if `permits` returns `Ok` for the addresses that are then used. They are
    /// not resolved again.
    pub fn probe_permitted<E>(
        &self,
        target: &Arc<Target>,
        deadline: Instant,
        permits: impl Fn(&[SocketAddr]) -> Result<(), E>,
    ) -> impl Future<Output = Result<Outcome, E>> {
        self.probe_with(target, deadline, self.recording, permits)
    }

    /// As [`Prober::probe`], and records the bytes exchanged.
    pub async fn probe_recorded(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let Ok(outcome) = self
            .probe_with(target, deadline, Recording::On, |_| Ok::<_, Infallible>(()))
            .await;
        outcome
    }

    async fn probe_with<E>(
        &self,
        target: &Arc<Target>,
        deadline: Instant,
        recording: Recording,
        permits: impl Fn(&[SocketAddr]) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let started = Instant::now();
        let plan = match self.plan(target, recording) {
            Ok(plan) => plan,
            Err(fault) => return Ok(unattempted(fault.into(), started)),
        };
        let (resolved, resolution) = self.resolve(target, deadline).await;
        let Resolved { destinations, timings: resolving } = match resolved {
            Ok(resolved) => resolved,
            Err(fault) => {
                return Ok(Outcome {
                    resolution,
                    client_certificate_not_after: plan.client_certificate_not_after(),
                    ..unattempted(fault, started)
                });
            }
        };
        permits(&destinations)?;
        let Attempted { attempts, result, timings, facts, ended, open } = attempt(destinations, &plan, deadline).await;
        let outcome = Outcome {
            result,
            duration: ended.saturating_duration_since(started),
            timings: resolving.and(timings),
            resolution,
            attempts,
            facts,
            client_certificate_not_after: plan.client_certificate_not_after(),
        };
        if let Some(open) = open {
            open.close(deadline).await;
        }
        Ok(outcome)
    }

    /// Returns all usable addresses of the host of a target. Ends by `deadline`.
    pub async fn addresses(&self, target: &Target, deadline: Instant) -> Result<Vec<IpAddr>, Fault> {
        let (resolved, resolution) = self.resolve(target, deadline).await;
        let Resolved { destinations, .. } = resolved?;
        let used = || destinations.iter().map(SocketAddr::ip).collect();
        Ok(resolution.map_or_else(used, |resolution| resolution.addresses))
    }

    async fn resolve(&self, target: &Target, deadline: Instant) -> (Result<Resolved, Fault>, Option<Resolution>) {
        let watch = Watch::start(&self.lag);
        let endpoint = &target.endpoint;
        let (resolved, resolution) =
            resolve_host(&self.resolver, &endpoint.host, endpoint.port, &target.settings, deadline).await;
        (resolved.map_err(|fault| watch.judge(&self.lag, deadline, fault)), resolution)
    }

    /// Collects everything that a probe of the target needs.
    fn plan(&self, target: &Arc<Target>, recording: Recording) -> Result<Plan, LocalFault> {
        let steps = match &target.settings.probe_kind {
            ProbeKind::Plain(application) => Some(Steps::Plain(application.clone())),
            ProbeKind::Tcp { .. } => None,
            ProbeKind::Tls(tls) => {
                let context = self.tls_store.context(&tls.settings.profile).ok_or_else(|| LocalFault {
                    reason: LocalFaultReason::Invalid,
                    detail: "the TLS files of this target were not loaded".to_owned(),
                })?;
                Some(Steps::Tls(tls.clone(), Client { context, verifier: self.verifier.clone() }))
            }
        };
        Ok(Plan {
            target: target.clone(),
            steps,
            file_headers: self.file_headers(target)?,
            record: recording == Recording::On,
            at_once: self.at_once,
            lag: self.lag.clone(),
        })
    }

    /// Returns the headers of an HTTP request whose values come from files.
    fn file_headers(&self, target: &Target) -> Result<Arc<[(HeaderName, HeaderValue)]>, LocalFault> {
        let files = target.settings.probe_kind.http().map_or(&[][..], |http| &http.headers_files);
        if files.is_empty() {
            return Ok(Arc::default());
        }
        let header = |(name, file): &(HeaderName, Arc<HeaderFile>)| {
            let value = self.header_values.value(file).ok_or_else(|| LocalFault {
                reason: LocalFaultReason::Invalid,
                detail: format!("the file of the header `{name}` was not loaded"),
            })?;
            Ok((name.clone(), value))
        };
        files.iter().map(header).collect()
    }
}

impl Prober for NetworkProber {
    async fn probe(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let Ok(outcome) = self.probe_permitted(target, deadline, |_| Ok::<_, Infallible>(())).await;
        outcome
    }

    /// One for each connection; a name needs two before that, for the A and the AAAA query.
    fn descriptors(&self, target: &Target) -> u32 {
        match (&target.endpoint.host, target.settings.addressing.mode) {
            (Host::Ipv4(_) | Host::Ipv6(..), _) => 1,
            (Host::Name(_), AddressMode::Any) => QUERIES_AT_ONCE,
            (Host::Name(_), AddressMode::All) => u32::from(self.at_once).max(QUERIES_AT_ONCE),
        }
    }
}

/// Returns the outcome of a probe that tried no address.
fn unattempted(fault: Fault, started: Instant) -> Outcome {
    Outcome {
        result: Err(fault),
        duration: started.elapsed(),
        timings: Timings::default(),
        resolution: None,
        attempts: Vec::new(),
        facts: Facts::default(),
        client_certificate_not_after: None,
    }
}

/// A and AAAA. Everything else that a resolution opens, such as a query over TCP, comes one after another.
const QUERIES_AT_ONCE: u32 = 2;

/// Maximum number of addresses that are tried at the same time. No legitimate name has more.
const AT_ONCE: u8 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::target::{
        AddressMode, Addressing, Application, Dialogue, Part, ProbeKind, Settings, Step, Template, example,
    };

    /// If a firewall drops packets, thousands of probes wait at the same time.
    #[test]
    fn a_running_probe_takes_little_memory() {
        let prober = NetworkProber::new(ResolverOptions::default(), Arc::default(), Arc::default());
        let target = Arc::new(example("tcp://192.0.2.1:1", Settings::default()));
        let size = size_of_val(&prober.probe(&target, Instant::now()));
        assert!(size <= 1360, "{size}");
    }

    #[tokio::test]
    async fn a_forbidden_probe_does_not_connect() {
        let prober = NetworkProber::new(ResolverOptions::default(), Arc::default(), Arc::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(example(&format!("tcp://{address}"), Settings::default()));
        let deadline = Instant::now() + Duration::from_mins(1);
        let forbidden = prober.probe_permitted(&target, deadline, |_| Err("no")).await;
        assert_eq!(forbidden, Err("no"));
        assert!(listener.accept().is_err(), "no connection arrived");
        let permitted =
            prober.probe_permitted(&target, deadline, |used| if used == [address] { Ok(()) } else { Err(()) });
        assert!(permitted.await.unwrap().result.is_ok() && listener.accept().is_ok());
    }

    #[test]
    fn a_probe_needs_its_sockets_at_once() {
        let all = Addressing { mode: AddressMode::All, ..Addressing::default() };
        for (url, addressing, limit, expected) in [
            ("tcp://192.0.2.1:1", Addressing::default(), 1000, 1),
            ("tcp://[2001:db8::1]:1", all.clone(), 1000, 1),
            ("tcp://db.example:1", Addressing::default(), 1000, 2),
            ("tcp://db.example:1", all.clone(), 1000, 64),
            ("tcp://db.example:1", all.clone(), 16, 8),
            ("tcp://db.example:1", all, 4, 2),
        ] {
            let prober = NetworkProber::new(ResolverOptions::default(), Arc::default(), Arc::default())
                .with_descriptors(NonZeroU32::new(limit).unwrap());
            let target = example(url, Settings { addressing, ..Settings::default() });
            assert_eq!(prober.descriptors(&target), expected, "{url} {limit}");
        }
    }

    /// Starts a silent peer that reports when the probe has sent its last bytes and starts to close.
    async fn silent_peer() -> (SocketAddr, JoinHandle<(Instant, TcpStream)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            // The stream stays open, so that the probe waits for the close of the peer.
            (Instant::now(), stream)
        });
        (address, peer)
    }

    #[tokio::test]
    async fn the_close_is_not_timed() {
        let prober = NetworkProber::new(ResolverOptions::default(), Arc::default(), Arc::default());
        for mode in [AddressMode::Any, AddressMode::All] {
            let (address, peer) = silent_peer().await;
            let addressing = Addressing { mode, ..Addressing::default() };
            let goodbye = Template(Box::new([Part::Bytes(b"bye"[..].into())]));
            let application = Application::Dialogue(Dialogue([Step::Send(goodbye)].into()));
            let settings = Settings { addressing, probe_kind: ProbeKind::Plain(application), ..Settings::default() };
            let target = Arc::new(example(&format!("tcp://{address}"), settings));
            let begun = Instant::now();
            let outcome = prober.probe(&target, begun + Duration::from_mins(1)).await;
            assert!(outcome.result.is_ok(), "{outcome:?}");
            let (closed, _stream) = peer.await.unwrap();
            assert!(begun + outcome.duration <= closed, "{mode:?}");
        }
    }
}
