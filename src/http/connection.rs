//! Connections: their number, and the limits on each.
//!
//! A client that sends or reads nothing times out. If there are still too many connections, the oldest is closed: a
//! scrape takes milliseconds, so the oldest connection is idle or not a scrape.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
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
                Ok((stream, peer)) => connections.add(serve(stream, peer, state.clone(), stop.clone())).await,
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
                        connections.close_oldest();
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
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    /// Starts a connection. If there are too many, waits until the oldest is closed.
    async fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        // Ended connections do not count.
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= MAX_CONNECTIONS {
            self.close_oldest();
            // Otherwise closed connections would keep their descriptors while new ones keep this task busy.
            self.tasks.join_next().await;
        }
        // The memory of an ended task is released with its last handle.
        if self.by_age.len() >= 2 * self.tasks.len() + MAX_ENDED {
            self.by_age.retain(|connection| !connection.is_finished());
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    /// Closes the oldest connection.
    fn close_oldest(&mut self) {
        while let Some(oldest) = self.by_age.pop_front() {
            if !oldest.is_finished() {
                oldest.abort();
                return;
            }
        }
    }
}

/// Serves the requests of one connection. Once `stop` is cancelled, the request in progress is the last.
async fn serve(stream: TcpStream, peer: SocketAddr, state: Arc<AppState>, stop: CancellationToken) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(route(&request, &state).await) }
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

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn ended_connections_behind_an_open_one_are_dropped() {
        let mut connections = Connections::default();
        connections.add(pending()).await;
        for _ in 0..MAX_CONNECTIONS {
            connections.add(ready(())).await;
            yield_now().await;
            let (remembered, open) = (connections.by_age.len(), connections.tasks.len());
            assert!(remembered <= 2 * open + MAX_ENDED, "{remembered} of {open}");
        }
        assert!(!connections.by_age[0].is_finished(), "the one that lasts is not cut off");
    }

    #[tokio::test]
    async fn ended_connections_close_no_other() {
        let mut connections = Connections::default();
        connections.add(pending()).await;
        for _ in 1..MAX_CONNECTIONS {
            connections.add(ready(())).await;
        }
        while !connections.by_age.iter().skip(1).all(AbortHandle::is_finished) {
            yield_now().await;
        }
        connections.add(pending()).await;
        yield_now().await;
        assert!(!connections.by_age[0].is_finished());
        assert_eq!(connections.tasks.len(), 2);
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_connections_is_closed() {
        let mut connections = Connections::default();
        for _ in 0..MAX_CONNECTIONS {
            connections.add(pending()).await;
        }
        let oldest = connections.by_age[0].clone();
        connections.add(pending()).await;
        assert!(oldest.is_finished());
        assert_eq!((connections.tasks.len(), connections.by_age.len()), (MAX_CONNECTIONS, MAX_CONNECTIONS));
    }
}
