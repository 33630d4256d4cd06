//! Connections: how many there are, and what a client may do to one.
//!
//! A client that sends nothing is cut off by a timeout, one that reads nothing by another. Where there are too many all
//! the same, the oldest makes way: a scrape takes milliseconds, so the oldest is none, or idle.

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

/// Accepts connections and answers each on a task of its own, until `stop` is cancelled; then lets answers under way
/// finish, for five seconds at most.
pub(super) async fn accept(listener: TcpListener, state: Arc<AppState>, stop: CancellationToken) {
    let mut connections = Connections::default();
    let mut told: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => connections.add(answer(stream, peer, state.clone(), stop.clone())).await,
                Err(error) if is_of_one_connection(&error) => {
                    debug!(%error, "An HTTP connection ended before it was accepted");
                }
                Err(error) => {
                    // Where descriptors are short for long, one connection in between is accepted all the time.
                    if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                        warn!(%error, "Cannot accept HTTP connections for now");
                        told = Some(Instant::now());
                    }
                    if lacks_descriptors(&error) {
                        connections.make_way();
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
        warn!(seconds = STOP_GRACE.as_secs(), "Some HTTP answers were not finished in time and are cut off");
    }
}

/// Whether what failed is one connection, which its client, the network or a firewall has ended already (accept(2)).
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

/// Whether a connection cannot be accepted before others have given something back.
fn lacks_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

/// The connections of one listener, each a task.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first; those that have ended are dropped before they outnumber the others.
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    /// Starts a connection; where there are too many, once the oldest has ended.
    async fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        // Those that have ended take nobody's place.
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= MAX_CONNECTIONS {
            self.make_way();
            // Else those cut off would keep their descriptors for as long as a crowd keeps this task busy.
            self.tasks.join_next().await;
        }
        // The memory of one that has ended goes with the last that remembers it.
        if self.by_age.len() >= 2 * self.tasks.len() + MAX_ENDED {
            self.by_age.retain(|connection| !connection.is_finished());
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    /// Cuts off the oldest connection.
    fn make_way(&mut self) {
        while let Some(oldest) = self.by_age.pop_front() {
            if !oldest.is_finished() {
                oldest.abort();
                return;
            }
        }
    }
}

/// Answers the requests of one connection; once `stop` is cancelled, the one under way is the last.
async fn answer(stream: TcpStream, peer: SocketAddr, state: Arc<AppState>, stop: CancellationToken) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(route(&request, &state).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Who has sent all that it will send may still be waiting for its answer.
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

/// So many connections of one listener may be open at a time.
const MAX_CONNECTIONS: usize = 1024;

/// Below this many that have ended, looking for them is not worth it.
const MAX_ENDED: usize = 16;

/// A client that has not sent its headers by then is cut off; so is one that is idle for so long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that takes nothing of its answer for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers may have so many bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// How long answers under way may take once the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often it is told that connections cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// How long to wait after none could be accepted, so as not to spin: nothing tells when another process, or a probe, gives
/// a descriptor back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn ended_connections_behind_a_lasting_one_are_forgotten() {
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
    async fn ended_connections_cut_nobody_off() {
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
    async fn of_too_many_connections_the_oldest_makes_way() {
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
