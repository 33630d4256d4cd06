//! Makes a TCP handshake and returns its duration and the number of retransmitted SYNs.
//!
//! This module starts the connect, not tokio, because the kernel's statistics are read from the socket even if the
//! connect fails. `errno` classifies errors; `probe::attempt` decides what they mean for the target.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::errno::{ConnectError, at_once, cause, errno, late};
use self::info::TcpFigures;
use self::socket::OpenSocket;
use crate::outcome::{Class, Fault, LocalFault, LocalFaultReason, Phase};

pub(super) mod errno;
mod info;
pub(super) mod socket;

/// A completed handshake.
#[derive(Debug)]
pub(super) struct Connected {
    /// Time from SYN to SYN-ACK as measured by the kernel, or by the clock if a SYN was lost or the kernel has no
    /// value.
    pub(super) handshake: Duration,
    /// Number of retransmitted SYNs.
    pub(super) syn_retransmits: u32,
    pub(super) socket: OpenSocket,
}

/// A failed connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ConnectFailed {
    /// The classified error.
    pub(super) error: ConnectError,
    /// The failure as a sentence.
    pub(super) detail: String,
    /// Number of retransmitted SYNs before an answer; zero without an answer.
    pub(super) syn_retransmits: u32,
}

impl ConnectFailed {
    /// Returns the fault, if the port should be open.
    pub(super) fn fault(&self) -> Fault {
        match self.error {
            ConnectError::Local(reason) => Fault::local(reason, self.detail.clone()),
            ConnectError::Answered(class) | ConnectError::Unsent(class) => {
                Fault::failure(Phase::Connect, class, self.detail.clone())
            }
        }
    }
}

/// Connects to `remote`, from `source` if it is given. Ends by `deadline`.
pub(super) async fn connect(
    remote: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<Connected, ConnectFailed> {
    let started = Instant::now();
    if deadline <= started {
        return Err(out_of_time(remote));
    }
    let socket = start(remote, source)?;
    if remote.ip().is_loopback()
        && let Some(figures) = info::read(&socket)
        && let Some(handshake) = figures.round_trip
    {
        // On loopback the handshake completes during the connect, so there is nothing to wait for.
        let socket = OpenSocket::Unregistered(socket);
        return not_to_itself(Connected { handshake, syn_retransmits: figures.retransmits, socket }, remote);
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| failed(remote, at_once(&error), &error))?;
    let awaited = timeout_at(deadline, stream.writable()).await;
    let elapsed = started.elapsed();
    let figures = info::read(&stream);
    let syn_retransmits = figures.map_or(0, |figures| figures.retransmits);
    let connected = |stream| Connected {
        handshake: handshake(figures, elapsed),
        syn_retransmits,
        socket: OpenSocket::Registered(stream),
    };
    // The kernel's measurement takes precedence over the deadline and over a later error: this process may have run too
    // late, and a peer may reset right after it has accepted. The port is open in both cases.
    if figures.is_some_and(|figures| figures.round_trip.is_some()) {
        return not_to_itself(connected(stream), remote);
    }
    match (stream.take_error().unwrap_or_else(Some), awaited) {
        (Some(error), _) | (None, Ok(Err(error))) => {
            let failed = failed(remote, late(&error), &error);
            let answered = failed.error != ConnectError::Answered(Class::Timeout);
            Err(ConnectFailed { syn_retransmits: if answered { syn_retransmits } else { 0 }, ..failed })
        }
        (None, Err(_)) => Err(silence(remote, deadline.saturating_duration_since(started), figures)),
        (None, Ok(Ok(()))) => not_to_itself(connected(stream), remote),
    }
}

/// Fails if the socket is connected to itself.
///
/// If the target is a port of this machine and the kernel chooses the same port as the local port, the SYN reaches the
/// socket that sent it, and the connection opens (RFC 9293 section 3.5). This happens only if nothing listens on the
/// port.
fn not_to_itself(connected: Connected, remote: SocketAddr) -> Result<Connected, ConnectFailed> {
    if connected.socket.local_port() != Some(remote.port()) || !connected.socket.is_connected_to_itself() {
        return Ok(connected);
    }
    // A reset frees the port at once, so that its service can bind to it.
    let _ = SockRef::from(&connected.socket).set_linger(Some(Duration::ZERO));
    let detail = format!("nothing listens on port {}: the probe connected to itself", remote.port());
    let syn_retransmits = connected.syn_retransmits;
    Err(ConnectFailed { error: ConnectError::Answered(Class::Refused), detail, syn_retransmits })
}

/// Returns the local address from which this machine would send to `remote`; `None` without a route. Sends nothing.
pub(super) fn source_for(remote: IpAddr) -> Result<Option<IpAddr>, LocalFault> {
    let remote = SocketAddr::new(remote, DISCARD_PORT);
    let source = socket::open(remote, Type::DGRAM).and_then(|socket| {
        socket.connect(&remote.into())?;
        socket.local_addr()
    });
    match source {
        Ok(source) => Ok(source.as_socket().map(|source| source.ip())),
        Err(error) => match at_once(&error) {
            ConnectError::Local(reason @ (LocalFaultReason::NoDescriptor | LocalFaultReason::NoMemory)) => {
                Err(LocalFault { reason, detail: explain(remote, ConnectError::Local(reason), errno(&error)) })
            }
            // An unusable address, such as a link-local one without a zone, is reported by the connect.
            ConnectError::Local(_) | ConnectError::Unsent(_) | ConnectError::Answered(_) => Ok(None),
        },
    }
}

/// Sends the SYN.
fn start(remote: SocketAddr, source: Option<IpAddr>) -> Result<Socket, ConnectFailed> {
    let failed = |error: io::Error| failed(remote, at_once(&error), &error);
    let socket = socket::open(remote, Type::STREAM).map_err(failed)?;
    if let Some(source) = source {
        share_ports(&socket).map_err(failed)?;
        let failed = |error: io::Error| unusable_source(remote, source, &error);
        socket.bind(&SocketAddr::new(source, 0).into()).map_err(failed)?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if errno(&error) != Errno::EINPROGRESS => Err(failed(error)),
        Ok(()) | Err(_) => Ok(socket),
    }
}

/// Lets the kernel choose the local port once it knows the remote address. Otherwise all targets share the ports of a
/// source address and can exhaust them.
#[cfg(target_os = "linux")]
fn share_ports(socket: &Socket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn share_ports(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Returns the duration that the kernel measured, because a clock in user space also measures delays of this process.
/// The kernel has no value if a SYN was retransmitted.
fn handshake(figures: Option<TcpFigures>, elapsed: Duration) -> Duration {
    match figures {
        Some(TcpFigures { round_trip: Some(round_trip), retransmits: 0 }) => round_trip,
        _ => elapsed,
    }
}

fn out_of_time(remote: SocketAddr) -> ConnectFailed {
    let detail = format!("portprobe had no time left to send a SYN to {remote}");
    ConnectFailed { error: ConnectError::Local(LocalFaultReason::Overloaded), detail, syn_retransmits: 0 }
}

fn silence(remote: SocketAddr, waited: Duration, figures: Option<TcpFigures>) -> ConnectFailed {
    let syns = match figures {
        None => "the SYN".to_owned(),
        Some(TcpFigures { retransmits: 0, .. }) => "1 SYN".to_owned(),
        Some(TcpFigures { retransmits, .. }) => format!("{} SYNs", retransmits.saturating_add(1)),
    };
    let detail = format!("no answer from {remote} to {syns} within {}", rounded(waited));
    ConnectFailed { error: ConnectError::Answered(Class::Timeout), detail, syn_retransmits: 0 }
}

fn unusable_source(remote: SocketAddr, source: IpAddr, error: &io::Error) -> ConnectFailed {
    let reason = match at_once(error) {
        // These errors of a bind do not concern a route.
        ConnectError::Unsent(_) | ConnectError::Answered(_) => ConnectError::Local(LocalFaultReason::Invalid),
        local @ ConnectError::Local(_) => local,
    };
    let detail = format!("cannot use source address {source} to connect to {remote} ({:?})", errno(error));
    ConnectFailed { error: reason, detail, syn_retransmits: 0 }
}

fn failed(remote: SocketAddr, reason: ConnectError, error: &io::Error) -> ConnectFailed {
    ConnectFailed { error: reason, detail: explain(remote, reason, errno(error)), syn_retransmits: 0 }
}

fn explain(remote: SocketAddr, error: ConnectError, errno: Errno) -> String {
    let (address, port) = (remote.ip(), remote.port());
    match (error, errno) {
        (ConnectError::Answered(Class::Refused), _) => {
            format!("nothing listens on port {port}: {address} answered with a RST or ICMP port unreachable")
        }
        (ConnectError::Answered(Class::Timeout), _) => {
            format!("no answer from {remote} to any SYN before the kernel gave up ({errno:?})")
        }
        (ConnectError::Answered(_), Errno::EHOSTUNREACH) => {
            format!("{address} is unreachable: an ICMP error, or the neighbour does not answer (EHOSTUNREACH)")
        }
        (ConnectError::Answered(_), Errno::EACCES | Errno::EPERM) => {
            format!("{address} is unreachable: a firewall prohibits it, according to ICMP ({errno:?})")
        }
        (ConnectError::Answered(_), _) => format!("{address} is unreachable, according to ICMP ({errno:?})"),
        (ConnectError::Unsent(_), Errno::EAFNOSUPPORT) => {
            format!("no route to {address}: this machine does not support its IP version (EAFNOSUPPORT)")
        }
        (ConnectError::Unsent(_), _) => format!("this machine has no route to {address} ({errno:?})"),
        (ConnectError::Local(_), _) => format!("cannot connect to {remote}: {} ({errno:?})", cause(errno)),
    }
}

/// Formats a duration in milliseconds, for messages.
pub(super) fn rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_micros().saturating_add(500) / 1000).unwrap_or(u64::MAX);
    format!("{:?}", Duration::from_millis(millis))
}

/// The port of RFC 863. Nothing is sent to it: a UDP socket needs a remote port before it has a source address.
const DISCARD_PORT: u16 = 9;
