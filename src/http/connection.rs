//! Accepts and serves connections. A client that sends or reads nothing times out; `connections` limits their number.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::errno::Errno;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::AppState;
use super::access::{Client, ClientCertificate};
use super::client_stream::ClientStream;
use super::connections::{Activity, Connections};
use super::route::{refuse_outdated, route};

/// Accepts connections, at most `max_connections` at the same time, and serves each on a separate task, until `stop` is
/// cancelled. Open responses then have five seconds to finish.
pub(super) async fn accept(
    listener: TcpListener,
    max_connections: usize,
    state: Arc<AppState>,
    stop: CancellationToken,
) {
    let mut connections = Connections::new(max_connections);
    let mut last_logged: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let serve = |activity| serve(stream, peer, activity, state.clone(), stop.clone());
                    connections.add(peer.ip(), serve).await;
                },
                Err(error) if is_of_one_connection(&error) => {
                    debug!(%error, "An HTTP connection ended before it was accepted");
                }
                Err(error) => {
                    // While descriptors are short, a connection is accepted from time to time.
                    if last_logged.is_none_or(|last_logged| last_logged.elapsed() >= LOG_EVERY) {
                        warn!(%error, "Cannot accept HTTP connections, retrying");
                        last_logged = Some(Instant::now());
                    }
                    if lacks_descriptors(&error) {
                        connections.close_one();
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            true = connections.ended() => {}
        }
    }
    drop(listener);
    let unfinished = async { while connections.ended().await {} };
    if timeout(STOP_GRACE, unfinished).await.is_err() {
        warn!(seconds = STOP_GRACE.as_secs(), "Closing HTTP responses that are not finished in time");
    }
}

/// Returns whether the error concerns a single connection that the client, the network or a firewall has already ended
/// (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use Errno::{
        ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENOPROTOOPT, EOPNOTSUPP, EPERM, EPROTO,
    };
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            ECONNABORTED
                | EHOSTDOWN
                | EHOSTUNREACH
                | EINTR
                | ENETDOWN
                | ENETUNREACH
                | ENOPROTOOPT
                | EOPNOTSUPP
                | EPERM
                | EPROTO
        )
    )
}

/// Returns whether no connection can be accepted until other resources are released.
fn lacks_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

/// The client of a connection, its socket, and the token that is cancelled once its TLS is no longer in use.
struct Peer {
    client: Client,
    socket: ClientStream,
    outdated: CancellationToken,
}

/// Serves one connection, with TLS if it is enabled.
async fn serve(stream: TcpStream, peer: SocketAddr, activity: Activity, state: Arc<AppState>, stop: CancellationToken) {
    let socket = ClientStream::new(stream);
    let config = state.access.config();
    let outdated = config.outdated().clone();
    let Some(tls) = config.tls().cloned() else {
        let client = Client { address: peer.ip(), certificate: ClientCertificate::None };
        let peer = Peer { client, socket: socket.clone(), outdated };
        return respond(bounded(socket), peer, activity, state, stop).await;
    };
    let handshake = timeout(HANDSHAKE_TIMEOUT, handshake(socket.clone(), tls));
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => {
            let (_, session) = stream.get_ref();
            let certificate = match session.peer_certificates() {
                Some(_) => ClientCertificate::Sent,
                None => ClientCertificate::None,
            };
            let client = Client { address: peer.ip(), certificate };
            respond(stream, Peer { client, socket, outdated }, activity, state, stop).await;
        }
        Some(Ok(Err(error))) => debug!(%peer, %error, "A TLS handshake failed"),
        Some(Err(_)) => debug!(%peer, "A TLS handshake did not finish in time"),
        None => {}
    }
}

/// Makes a TLS handshake. A client that speaks HTTP without TLS gets a response that explains it.
async fn handshake(
    mut stream: ClientStream,
    tls: Arc<ServerConfig>,
) -> io::Result<TlsStream<Pin<Box<TimeoutStream<ClientStream>>>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first != [TLS_HANDSHAKE] {
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        // Data that is not read turns the close into a reset, which may discard the response.
        copy(&mut stream.take(MAX_HEADER_BYTES as u64), &mut sink()).await?;
        return Err(io::Error::other("the client does not speak TLS"));
    }
    TlsAcceptor::from(tls).accept(bounded(stream)).await
}

/// Limits the time in which a client reads nothing.
fn bounded(stream: ClientStream) -> Pin<Box<TimeoutStream<ClientStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

/// Serves the requests of one connection. Once `stop` is cancelled, the request in progress is the last; also once TLS has
/// changed since the connection was accepted. A request that arrives after such a change is refused.
async fn respond<S>(stream: S, peer: Peer, activity: Activity, state: Arc<AppState>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Peer { client, socket, outdated } = peer;
    let changed = outdated.clone();
    let stream = activity.watch(stream);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(socket.clone());
        let (state, open, is_outdated) = (state.clone(), activity.respond(), outdated.is_cancelled());
        async move {
            let response = if is_outdated { refuse_outdated(&state) } else { route(&request, client, &state).await };
            Ok::<_, Infallible>(response.map(|body| open.with(body)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // A client that has sent its last byte may still wait for the response.
        .half_close(true)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let until_changed = changed.run_until_cancelled(connection.as_mut());
    let result = if let Some(Some(result)) = stop.run_until_cancelled(until_changed).await {
        result
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = result {
        debug!(client = %client.address, %error, "An HTTP connection ended early");
    }
}

/// Maximum time of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The first byte of every TLS connection (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The response to plain HTTP on a port with TLS.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port needs TLS; use https://.\n";

/// Maximum time until a client has sent its headers; also the maximum idle time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time in which a client reads nothing of its response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of headers in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Time for open responses once the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Minimum time between two log lines about connections that cannot be accepted.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Pause after a failed accept, to avoid a busy loop: there is no event when a probe or another process releases a
/// descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
