//! The servers of the demo. They run until they are dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

/// Accepts and closes every connection.
pub(super) async fn accept(listener: &TcpListener) {
    loop {
        drop(next(listener).await);
    }
}

/// Completes a TLS handshake with every client, and sends nothing else.
pub(super) async fn speak_tls(listener: TcpListener, config: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    each(&listener, |stream| {
        let handshake = acceptor.accept(stream);
        async {
            match handshake.await {
                Ok(stream) => read_to_end(stream).await,
                Err(error) => debug!(%error, "A client of the demo ended the TLS handshake"),
            }
        }
    })
    .await;
}

/// Greets every client without TLS, like a mail server.
pub(super) async fn greet(listener: TcpListener) {
    each(&listener, |mut stream| async move {
        if stream.write_all(GREETING).await.is_ok() {
            read_to_end(stream).await;
        }
    })
    .await;
}

/// Accepts every client that sends something, like PostgreSQL without a password.
pub(super) async fn serve_database(listener: TcpListener) {
    respond(listener, DATABASE_READY).await;
}

/// Rejects every client that sends something, like PostgreSQL at its connection limit.
pub(super) async fn refuse_database(listener: TcpListener) {
    respond(listener, DATABASE_FULL).await;
}

/// Replies to the first message of every client with the same bytes.
async fn respond(listener: TcpListener, bytes: &'static [u8]) {
    each(&listener, |mut stream| async move {
        if matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) && stream.write_all(bytes).await.is_ok() {
            read_to_end(stream).await;
        }
    })
    .await;
}

/// Accepts every connection, reads and never sends anything.
pub(super) async fn keep_silent(listener: TcpListener) {
    each(&listener, read_to_end).await;
}

/// Resets every connection after the first message.
pub(super) async fn reset(listener: TcpListener) {
    each(&listener, |mut stream| async move {
        let _ = stream.read(&mut [0; 1]).await;
        // A close without lingering sends a RST.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    })
    .await;
}

/// Serves clients concurrently, each for at most [`PATIENCE_WITH_CLIENTS`].
async fn each<F>(listener: &TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            stream = next(listener) => {
                clients.spawn(timeout(PATIENCE_WITH_CLIENTS, serve(stream)));
            }
            Some(_) = clients.join_next() => {}
        }
    }
}

/// Accepts the next connection; waits if there are no descriptors.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => debug!(%error, "A server of the demo cannot accept a connection"),
        }
        sleep(PAUSE).await;
    }
}

async fn read_to_end(mut stream: impl AsyncRead + Unpin) {
    let mut received = [0; 1024];
    while matches!(stream.read(&mut received).await, Ok(1..)) {}
}

/// Alternates between accepting connections and not listening, on the same address.
pub(super) async fn come_and_go(mut listener: TcpListener, address: SocketAddr) {
    loop {
        let _ = timeout(THERE, accept(&listener)).await;
        drop(listener);
        listener = come_back(address).await;
    }
}

async fn come_back(address: SocketAddr) -> TcpListener {
    loop {
        sleep(AWAY).await;
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => debug!(%error, %address, "A server of the demo cannot listen again"),
        }
    }
}

/// Alternates between a full and an empty accept queue. A SYN without a reply is retransmitted after a second (RFC
/// 6298), in the other state.
pub(super) async fn accept_at_times(listener: TcpListener, address: SocketAddr) {
    loop {
        fill(address).await;
        sleep(FULL).await;
        let _ = timeout(NOT_FULL, accept(&listener)).await;
    }
}

/// Fills the accept queue of a listener. Loopback otherwise replies at once. Each connection stays in the queue until
/// it is accepted, although it is closed immediately.
pub(super) async fn fill(address: SocketAddr) {
    for _ in 0..LONGEST_QUEUE {
        let Ok(Ok(_connection)) = timeout(PATIENCE, TcpStream::connect(address)).await else { return };
    }
}

/// How long the restless server listens, and how long it does not.
const THERE: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_secs(4);

/// How long the busy server drops SYNs, in addition to the time to fill its queue, and how long it replies. Together
/// they are twice the retransmission time of a SYN, and the queue is full for less than half of it, so the
/// retransmitted SYN gets a reply.
const FULL: Duration = Duration::from_millis(700);
const NOT_FULL: Duration = Duration::from_millis(1200);

/// A queue is full if a connect takes longer than this.
const PATIENCE: Duration = Duration::from_millis(100);

/// The maximum number of connections to fill a queue.
const LONGEST_QUEUE: usize = 64;

/// Longer than any probe of the demo.
const PATIENCE_WITH_CLIENTS: Duration = Duration::from_secs(5);

/// The format of RFC 5321.
const GREETING: &[u8] = b"220 demo.test ESMTP\r\n";

/// `AuthenticationOk`, `ParameterStatus`, `ReadyForQuery`
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const DATABASE_READY: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0016.4\0Z\0\0\0\x05I";

/// `ErrorResponse` with `too_many_connections`.
const DATABASE_FULL: &[u8] = b"E\0\0\0\x3bSFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0";

/// The pause after a failed accept, to avoid a busy loop.
const PAUSE: Duration = Duration::from_millis(100);
