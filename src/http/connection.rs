//! Connections: their number, and the limits on each.
//!
//! A client that sends or reads nothing times out. If there are still too many connections, idle ones are closed first,
//! then those of the client that has most, so that a flood of connections interrupts no scrape of another client.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::AppState;
use super::body::OpenResponses;
use super::route::route;

/// Accepts connections and serves each on a separate task, until `stop` is cancelled. Open responses then have five
/// seconds to finish.
pub(super) async fn accept(listener: TcpListener, state: Arc<AppState>, stop: CancellationToken) {
    let mut connections = Connections::default();
    let mut last_logged: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let responses = OpenResponses::default();
                    let connection = serve(stream, peer, responses.clone(), state.clone(), stop.clone());
                    connections.add(peer.ip(), responses, connection).await;
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
            Some(_) = connections.tasks.join_next() => {}
        }
    }
    drop(listener);
    let unfinished = async { while connections.tasks.join_next().await.is_some() {} };
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

/// The connections of one listener, each with its task.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first. Ended ones are dropped before they outnumber the others.
    by_age: VecDeque<Connection>,
}

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    client: IpAddr,
    responses: OpenResponses,
}

impl Connections {
    /// Starts a connection. If there are too many, waits until one is closed.
    async fn add(
        &mut self,
        client: IpAddr,
        responses: OpenResponses,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        // Ended connections do not count.
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= MAX_CONNECTIONS {
            self.close_one();
            // Otherwise closed connections would keep their descriptors as long as new ones keep this task busy.
            self.tasks.join_next().await;
        }
        // The memory of an ended task is released with its last handle.
        if self.by_age.len() >= 2 * self.tasks.len() + MAX_ENDED {
            self.by_age.retain(|connection| !connection.task.is_finished());
        }
        let task = self.tasks.spawn(connection);
        self.by_age
            .push_back(Connection { task, client: client.to_canonical(), responses });
    }

    /// Closes a connection, in this order of preference: one without an open response, one of the client that has most,
    /// the oldest.
    fn close_one(&mut self) {
        self.by_age.retain(|connection| !connection.task.is_finished());
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for connection in &self.by_age {
            *counts.entry(connection.client).or_default() += 1;
        }
        let preference = |connection: &Connection| {
            let count = counts.get(&connection.client).copied().unwrap_or_default();
            (connection.responses.is_empty(), count)
        };
        // Of equal ones, `max_by_key` returns the last.
        let numbered = self.by_age.iter().enumerate().rev();
        let closed = numbered
            .max_by_key(|(_, connection)| preference(connection))
            .map(|(index, _)| index);
        if let Some(index) = closed
            && let Some(Connection { task, .. }) = self.by_age.remove(index)
        {
            task.abort();
        }
    }
}

/// Serves the requests of one connection. Once `stop` is cancelled, the request in progress is the last.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    responses: OpenResponses,
    state: Arc<AppState>,
    stop: CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request| {
        let (state, open) = (state.clone(), responses.open());
        async move { Ok::<_, Infallible>(route(&request, &state).await.map(|body| open.with(body))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // A client that has sent its last byte may still wait for the response.
        .half_close(true)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let result = if let Some(result) = stop.run_until_cancelled(connection.as_mut()).await {
        result
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = result {
        debug!(%peer, %error, "An HTTP connection ended early");
    }
}

/// Maximum number of open connections of one listener.
const MAX_CONNECTIONS: usize = 1024;

/// Number of ended connections from which searching for them is worth it.
const MAX_ENDED: usize = 16;

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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;

    use tokio::task::yield_now;

    use super::*;

    /// Adds a connection of a client.
    async fn add(
        connections: &mut Connections,
        client: u8,
        connection: impl Future<Output = ()> + Send + 'static,
    ) -> OpenResponses {
        let responses = OpenResponses::default();
        let client = Ipv4Addr::new(127, 0, 0, client);
        connections.add(client.into(), responses.clone(), connection).await;
        responses
    }

    #[tokio::test]
    async fn a_flood_of_connections_interrupts_no_response() {
        let mut connections = Connections::default();
        let scrape = add(&mut connections, 1, pending()).await;
        let _open = scrape.open();
        for _ in 0..2 * MAX_CONNECTIONS {
            add(&mut connections, 2, pending()).await;
        }
        assert!(!connections.by_age[0].task.is_finished());
    }

    #[tokio::test]
    async fn the_client_with_most_connections_makes_way() {
        let mut connections = Connections::default();
        add(&mut connections, 1, pending()).await;
        let mut open = Vec::new();
        for _ in 1..MAX_CONNECTIONS {
            open.push(add(&mut connections, 2, pending()).await.open());
        }
        let [first, second] = [0, 1].map(|index| connections.by_age[index].task.clone());
        let response = connections.by_age[0].responses.open();
        add(&mut connections, 3, pending()).await;
        assert!(second.is_finished() && !first.is_finished());
        drop(response);
        connections.close_one();
        connections.tasks.join_next().await;
        assert!(first.is_finished(), "idle connections make way first, the oldest of several");
    }

    #[tokio::test]
    async fn ended_connections_behind_an_open_one_are_dropped() {
        let mut connections = Connections::default();
        add(&mut connections, 1, pending()).await;
        for _ in 0..MAX_CONNECTIONS {
            add(&mut connections, 1, ready(())).await;
            yield_now().await;
            let (remembered, open) = (connections.by_age.len(), connections.tasks.len());
            assert!(remembered <= 2 * open + MAX_ENDED, "{remembered} of {open}");
        }
        assert!(!connections.by_age[0].task.is_finished(), "the one that lasts is not cut off");
    }

    #[tokio::test]
    async fn ended_connections_close_no_other() {
        let mut connections = Connections::default();
        add(&mut connections, 1, pending()).await;
        for _ in 1..MAX_CONNECTIONS {
            add(&mut connections, 1, ready(())).await;
        }
        while !connections
            .by_age
            .iter()
            .skip(1)
            .all(|connection| connection.task.is_finished())
        {
            yield_now().await;
        }
        add(&mut connections, 1, pending()).await;
        yield_now().await;
        assert!(!connections.by_age[0].task.is_finished());
        assert_eq!(connections.tasks.len(), 2);
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_connections_is_closed() {
        let mut connections = Connections::default();
        for _ in 0..MAX_CONNECTIONS {
            add(&mut connections, 1, pending()).await;
        }
        let oldest = connections.by_age[0].task.clone();
        add(&mut connections, 1, pending()).await;
        assert!(oldest.is_finished());
        assert_eq!((connections.tasks.len(), connections.by_age.len()), (MAX_CONNECTIONS, MAX_CONNECTIONS));
    }
}
