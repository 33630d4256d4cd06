//! One TCP handshake: what it came to, how long it took, how many SYNs it needed.
//!
//! The connect is started by hand rather than by tokio, so that the descriptor outlives a failure: the kernel's
//! figures are read from it. What an error means is `errno`'s to say; what it means for the target,
//! `probe::attempt`'s.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::errno::{Ending, at_once, cause, errno, late};
use self::info::TcpFigures;
use self::opened::Opened;
use crate::outcome::{Class, LocalFault, LocalFaultReason};

pub(super) mod errno;
mod info;
pub(super) mod opened;
pub(super) mod socket;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct Connection {
    /// From SYN to SYN-ACK: by the kernel's word, or by the wall clock where a SYN was lost or the kernel is silent.
    pub(super) handshake: Duration,
    /// SYNs sent again.
    pub(super) syn_retransmits: u32,
    pub(super) stream: Opened,
}

/// A connect that came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unconnected {
    /// What it means.
    pub(super) ending: Ending,
    /// What was seen, as a sentence for people.
    pub(super) detail: String,
    /// SYNs sent again before an answer came; none without an answer.
    pub(super) syn_retransmits: u32,
}

/// Connects to `remote`, from `source` where one is given. Ends by `deadline`.
pub(super) async fn connect(
    remote: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<Connection, Unconnected> {
    let started = Instant::now();
    if deadline <= started {
        return Err(out_of_time(remote));
    }
    let socket = start(remote, source)?;
    if remote.ip().is_loopback()
        && let Some(figures) = info::read(&socket)
        && let Some(handshake) = figures.round_trip
    {
        // Loopback shakes hands while it sends: nothing is to be waited for.
        let stream = Opened::Unwatched(socket);
        return with_another(Connection { handshake, syn_retransmits: figures.retransmits, stream }, remote);
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| unconnected(remote, at_once(&error), &error))?;
    let awaited = timeout_at(deadline, stream.writable()).await;
    let elapsed = started.elapsed();
    let figures = info::read(&stream);
    let syn_retransmits = figures.map_or(0, |figures| figures.retransmits);
    let connection = |stream| Connection {
        handshake: handshake(figures, elapsed),
        syn_retransmits,
        stream: Opened::Watched(stream),
    };
    // The kernel's word counts more than the clock and than what came later: this process may have been held up beyond
    // the deadline, and a peer that accepts may reset at once. The port is open all the same.
    if figures.is_some_and(|figures| figures.round_trip.is_some()) {
        return with_another(connection(stream), remote);
    }
    match (stream.take_error().unwrap_or_else(Some), awaited) {
        (Some(error), _) | (None, Ok(Err(error))) => {
            let unconnected = unconnected(remote, late(&error), &error);
            let answered = unconnected.ending != Ending::Answered(Class::Timeout);
            Err(Unconnected { syn_retransmits: if answered { syn_retransmits } else { 0 }, ..unconnected })
        }
        (None, Err(_)) => Err(silence(remote, deadline.saturating_duration_since(started), figures)),
        (None, Ok(Ok(()))) => with_another(connection(stream), remote),
    }
}

/// The connection, if it is with anybody else.
///
/// Where the kernel chooses the very port for this socket that is to be probed on this machine, the SYN meets the
/// socket that sent it, and both open at once (RFC 9293 section 3.5). That happens only where nothing listens.
fn with_another(connection: Connection, remote: SocketAddr) -> Result<Connection, Unconnected> {
    if connection.stream.local_port() != Some(remote.port()) || !connection.stream.is_with_itself() {
        return Ok(connection);
    }
    // A reset leaves no trace of the port, so that its service can have it at once.
    let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
    let detail = format!("nothing listens on port {}: the probe met its own socket", remote.port());
    let syn_retransmits = connection.syn_retransmits;
    Err(Unconnected { ending: Ending::Answered(Class::Refused), detail, syn_retransmits })
}

/// The local address from which this machine would send to `remote`; none where it has no route. Sends nothing.
pub(super) fn source_for(remote: IpAddr) -> Result<Option<IpAddr>, LocalFault> {
    let remote = SocketAddr::new(remote, DISCARD_PORT);
    let source = socket::open(remote, Type::DGRAM).and_then(|socket| {
        socket.connect(&remote.into())?;
        socket.local_addr()
    });
    match source {
        Ok(source) => Ok(source.as_socket().map(|source| source.ip())),
        Err(error) => match at_once(&error) {
            Ending::Local(reason @ (LocalFaultReason::NoDescriptor | LocalFaultReason::NoMemory)) => {
                Err(LocalFault { reason, detail: explain(remote, Ending::Local(reason), errno(&error)) })
            }
            // An address that cannot be used, such as a link-local one without its zone, is told so by its connect.
            Ending::Local(_) | Ending::Unsent(_) | Ending::Answered(_) => Ok(None),
        },
    }
}

/// Sends the SYN.
fn start(remote: SocketAddr, source: Option<IpAddr>) -> Result<Socket, Unconnected> {
    let failed = |error: io::Error| unconnected(remote, at_once(&error), &error);
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

/// Lets the kernel choose the local port when it knows the remote one too: otherwise a bound source address has one
/// set of ports for all targets, and runs out of them.
#[cfg(target_os = "linux")]
fn share_ports(socket: &Socket) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
}

#[cfg(not(target_os = "linux"))]
fn share_ports(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// A clock in user space measures this process too; but a SYN sent again leaves the kernel without a measurement.
fn handshake(figures: Option<TcpFigures>, elapsed: Duration) -> Duration {
    match figures {
        Some(TcpFigures { round_trip: Some(round_trip), retransmits: 0 }) => round_trip,
        _ => elapsed,
    }
}

fn out_of_time(remote: SocketAddr) -> Unconnected {
    let detail = format!("no time was left to connect to {remote}");
    Unconnected { ending: Ending::Unsent(Class::Timeout), detail, syn_retransmits: 0 }
}

fn silence(remote: SocketAddr, waited: Duration, figures: Option<TcpFigures>) -> Unconnected {
    let syns = match figures {
        None => "the SYN".to_owned(),
        Some(TcpFigures { retransmits: 0, .. }) => "1 SYN".to_owned(),
        Some(TcpFigures { retransmits, .. }) => format!("{} SYNs", retransmits.saturating_add(1)),
    };
    let detail = format!("no answer from {remote} to {syns} within {}", rounded(waited));
    Unconnected { ending: Ending::Answered(Class::Timeout), detail, syn_retransmits: 0 }
}

fn unusable_source(remote: SocketAddr, source: IpAddr, error: &io::Error) -> Unconnected {
    let ending = match at_once(error) {
        // The address cannot be bound: that is no word about routes.
        Ending::Unsent(_) | Ending::Answered(_) => Ending::Local(LocalFaultReason::Invalid),
        local @ Ending::Local(_) => local,
    };
    let detail = format!("cannot use source address {source} to connect to {remote} ({:?})", errno(error));
    Unconnected { ending, detail, syn_retransmits: 0 }
}

fn unconnected(remote: SocketAddr, ending: Ending, error: &io::Error) -> Unconnected {
    Unconnected { ending, detail: explain(remote, ending, errno(error)), syn_retransmits: 0 }
}

fn explain(remote: SocketAddr, ending: Ending, errno: Errno) -> String {
    let (address, port) = (remote.ip(), remote.port());
    match (ending, errno) {
        (Ending::Answered(Class::Refused), _) => {
            format!("nothing listens on port {port}: {address} answered with a RST or ICMP port unreachable")
        }
        (Ending::Answered(Class::Timeout), _) => {
            format!("no answer from {remote} to any SYN until the kernel gave up ({errno:?})")
        }
        (Ending::Answered(_), Errno::EHOSTUNREACH) => {
            format!("{address} is unreachable: ICMP said so, or the neighbour does not answer (EHOSTUNREACH)")
        }
        (Ending::Answered(_), Errno::EACCES | Errno::EPERM) => {
            format!("{address} is unreachable: ICMP says that a firewall prohibits it ({errno:?})")
        }
        (Ending::Answered(_), _) => format!("{address} is unreachable: ICMP said so ({errno:?})"),
        (Ending::Unsent(_), Errno::EAFNOSUPPORT) => {
            format!("no route to {address}: this machine does not speak its IP version (EAFNOSUPPORT)")
        }
        (Ending::Unsent(_), _) => format!("this machine has no route to {address} ({errno:?})"),
        (Ending::Local(_), _) => format!("cannot connect to {remote}: {} ({errno:?})", cause(errno)),
    }
}

/// To the millisecond, as people write it.
pub(super) fn rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_micros().saturating_add(500) / 1000).unwrap_or(u64::MAX);
    format!("{:?}", Duration::from_millis(millis))
}

/// RFC 863. Nothing is sent there: a UDP socket has to be connected to some port before it has a source address.
const DISCARD_PORT: u16 = 9;
