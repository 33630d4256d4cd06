//! The ports of the demo and the tasks behind them: everything on 127.0.0.1, on ports that the kernel chose.

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
    /// Sockets that take a port and need no server: nothing happens there.
    held: Vec<Socket>,
}

impl Stage {
    /// A stage with nothing but the name server.
    pub(super) async fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind(ANY_PORT).await?;
        let mut stage = Self {
            name_server: socket.local_addr()?,
            servers: JoinSet::new(),
            stop: CancellationToken::new(),
            held: Vec::new(),
        };
        stage.start(name_server::serve(socket));
        Ok(stage)
    }

    /// The name server that knows the names of the demo.
    pub(super) fn name_server(&self) -> SocketAddr {
        self.name_server
    }

    /// A port that speaks TLS.
    pub(super) async fn tls_port(&mut self, config: Arc<ServerConfig>) -> io::Result<SocketAddr> {
        self.port(|listener| server::speak_tls(listener, config)).await
    }

    /// A port that greets in the clear.
    pub(super) async fn greeting_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::greet).await
    }

    /// A port with a database that lets every client in.
    pub(super) async fn database_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::serve_database).await
    }

    /// A port with a database that has as many clients as it takes.
    pub(super) async fn full_database_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::refuse_database).await
    }

    /// A port that accepts every connection and never says a word.
    pub(super) async fn silent_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::keep_silent).await
    }

    /// A port that resets every connection once its client has spoken.
    pub(super) async fn resetting_port(&mut self) -> io::Result<SocketAddr> {
        self.port(server::reset).await
    }

    /// A port that accepts every connection.
    pub(super) async fn open_port(&mut self) -> io::Result<SocketAddr> {
        self.port(|listener| async move { server::accept(&listener).await }).await
    }

    /// A port on which nothing listens, nor can by accident.
    pub(super) fn closed_port(&mut self) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // One of its own may listen there at times, and after connections that the kernel has not forgotten yet.
        socket.set_reuse_address(true)?;
        socket.bind(&ANY_PORT.into())?;
        let address = local_address(&socket)?;
        self.held.push(socket);
        Ok(address)
    }

    /// A port that answers no SYN: its queue of connections is full, and nobody takes any from it.
    pub(super) async fn full_port(&mut self) -> io::Result<SocketAddr> {
        let listener = shortest_queue()?;
        let address = local_address(&listener)?;
        server::fill(address).await;
        self.held.push(listener);
        Ok(address)
    }

    /// A port that answers no SYN half of the time, so that some have to be sent again.
    pub(super) fn busy_port(&mut self) -> io::Result<SocketAddr> {
        let listener = shortest_queue()?;
        let address = local_address(&listener)?;
        self.start(server::accept_at_times(TcpListener::from_std(listener.into())?, address));
        Ok(address)
    }

    /// A port that is open for some seconds and closed for some, beginning with open.
    pub(super) async fn restless_port(&mut self) -> io::Result<SocketAddr> {
        let address = self.closed_port()?;
        let listener = TcpListener::bind(address).await?;
        self.start(server::come_and_go(listener, address));
        Ok(address)
    }

    /// Ends every server; returns once the last has ended, and panics where one has.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.servers.join_next().await {
            if let Err(failed) = ended {
                resume_panic(failed);
            }
        }
    }

    /// A port with this server.
    async fn port<F>(&mut self, serve: impl FnOnce(TcpListener) -> F) -> io::Result<SocketAddr>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let address = listener.local_addr()?;
        self.start(serve(listener));
        Ok(address)
    }

    /// Runs a server until the stage closes.
    fn start(&mut self, server: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.servers.spawn(async move {
            stop.run_until_cancelled(server).await;
        });
    }
}

/// A listener whose queue is full with one connection, as far as the kernel lets it be that short.
fn shortest_queue() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&ANY_PORT.into())?;
    socket.listen(0)?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "a socket without an IP address");
    socket.local_addr()?.as_socket().ok_or_else(unexpected)
}

/// A free port of loopback.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
