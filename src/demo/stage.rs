//! The ports of the demo and the tasks behind them, all on 127.0.0.1.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{name_server, server};
use crate::tasks::resume_panic;

/// Owns every server; they end with it.
#[derive(Debug)]
pub(super) struct Stage {
    name_server: SocketAddr,
    servers: JoinSet<()>,
    stop: CancellationToken,
    /// Sockets that reserve a port and need no server.
    held: Vec<Socket>,
    /// The next port, unless the kernel chooses them.
    next_port: Option<u16>,
}

/// The ports of the demo.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ports {
    /// Chosen by the kernel.
    Any,
    /// The same at each start, as far as they are free.
    Stable,
}

impl Stage {
    /// Creates a stage with only the DNS server.
    pub(super) async fn open(ports: Ports) -> io::Result<Self> {
        let socket = UdpSocket::bind(ANY_PORT).await?;
        let mut stage = Self {
            name_server: socket.local_addr()?,
            servers: JoinSet::new(),
            stop: CancellationToken::new(),
            held: Vec::new(),
            next_port: (ports == Ports::Stable).then_some(FIRST_STABLE_PORT),
        };
        stage.start(name_server::serve(socket));
        Ok(stage)
    }

    /// Returns the DNS server with the names of the demo.
    pub(super) fn name_server(&self) -> SocketAddr {
        self.name_server
    }

    /// Opens a port with TLS.
    pub(super) fn tls_port(&mut self, config: Arc<ServerConfig>) -> io::Result<SocketAddr> {
        self.port(|listener| server::speak_tls(listener, config))
    }

    /// Opens a port that sends a greeting without TLS.
    pub(super) fn greeting_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::greet)
    }

    /// Opens a port with a database that accepts every client.
    pub(super) fn database_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::serve_database)
    }

    /// Opens a port with a database at its connection limit.
    pub(super) fn full_database_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::refuse_database)
    }

    /// Opens a port that accepts every connection and never sends anything.
    pub(super) fn silent_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::keep_silent)
    }

    /// Opens a port that resets every connection after the first message.
    pub(super) fn resetting_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::reset)
    }

    /// Opens a port that accepts every connection.
    pub(super) fn open_port(&mut self) -> io::Result<SocketAddr> {
        self.port(|listener| async move { server::accept(&listener).await })
    }

    /// Opens a port without a listener, reserved so that none can appear by accident.
    pub(super) fn closed_port(&mut self) -> io::Result<SocketAddr> {
        let socket = self.bound()?;
        let address = local_address(&socket)?;
        self.held.push(socket);
        Ok(address)
    }

    /// Opens a port that does not reply to SYNs, because its accept queue is full.
    pub(super) async fn full_port(&mut self) -> io::Result<SocketAddr> {
        let listener = self.shortest_queue()?;
        let address = local_address(&listener)?;
        server::fill(address).await;
        self.held.push(listener);
        Ok(address)
    }

    /// Opens a port that does not reply to SYNs half of the time, so that some are retransmitted.
    pub(super) fn busy_port(&mut self) -> io::Result<SocketAddr> {
        let listener = self.shortest_queue()?;
        let address = local_address(&listener)?;
        self.start(server::accept_at_times(TcpListener::from_std(listener.into())?, address));
        Ok(address)
    }

    /// Opens a port that alternates between open and closed every few seconds, starting open.
    pub(super) async fn restless_port(&mut self) -> io::Result<SocketAddr> {
        let address = self.closed_port()?;
        let listener = TcpListener::bind(address).await?;
        self.start(server::come_and_go(listener, address));
        Ok(address)
    }

    /// Stops every server. Returns once the last has ended, and panics if one has panicked.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.servers.join_next().await {
            if let Err(failed) = ended {
                resume_panic(failed);
            }
        }
    }

    /// Opens a port with this server.
    fn port<F>(&mut self, serve: impl FnOnce(TcpListener) -> F) -> io::Result<SocketAddr>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let socket = self.bound()?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        self.start(serve(listener));
        Ok(address)
    }

    /// Opens a listener with the shortest accept queue that the kernel allows.
    fn shortest_queue(&mut self) -> io::Result<Socket> {
        let socket = self.bound()?;
        socket.set_nonblocking(true)?;
        socket.listen(0)?;
        Ok(socket)
    }

    /// Binds a socket to the next port.
    fn bound(&mut self) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Connections of this or an earlier demo may have used the port, and the kernel remembers them after they end.
        socket.set_reuse_address(true)?;
        let port = self.next_port.unwrap_or_default();
        self.next_port = self.next_port.map(|port| port.saturating_add(1));
        if port == 0 || socket.bind(&SocketAddr::new(ANY_PORT.ip(), port).into()).is_err() {
            socket.bind(&ANY_PORT.into())?;
        }
        Ok(socket)
    }

    /// Runs a server until the stage is closed.
    fn start(&mut self, server: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.servers.spawn(async move {
            stop.run_until_cancelled(server).await;
        });
    }
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "a socket without an IP address");
    socket.local_addr()?.as_socket().ok_or_else(unexpected)
}

/// A free port of loopback.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Below the ports that Linux uses for connections, so that it is usually free.
const FIRST_STABLE_PORT: u16 = 20_115;

/// More connections than the demo has.
const BACKLOG: i32 = 128;
