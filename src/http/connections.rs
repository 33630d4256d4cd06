//! The open connections of a listener: their number, and which one is closed if there are too many.
//!
//! Idle connections are closed first, then those of the client that has most, so that a flood of connections interrupts no
//! scrape of another client. The choice takes logarithmic time, because a flood makes it thousands of times per second.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{AbortHandle, JoinSet};

use crate::locks::lock;

/// The open connections of one listener, each with its task.
#[derive(Debug)]
pub(super) struct Connections {
    max: usize,
    tasks: JoinSet<()>,
    table: Arc<Mutex<Table>>,
    /// The number of connections so far.
    accepted: u64,
}

impl Connections {
    /// Creates an empty set for at most this number of connections.
    pub(super) fn new(max: usize) -> Self {
        Self { max, tasks: JoinSet::new(), table: Arc::default(), accepted: 0 }
    }

    /// Starts a connection. If there are too many, waits until one is closed.
    pub(super) async fn add<F>(&mut self, client: IpAddr, connection: impl FnOnce(Activity) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Ended connections do not count.
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= self.max {
            self.close_one();
            // Otherwise closed connections would keep their descriptors as long as new ones keep this task busy.
            self.tasks.join_next().await;
        }
        let (client, number) = (client.to_canonical(), self.accepted);
        self.accepted += 1;
        let registration = Registration { client, number, table: self.table.clone(), state: AtomicU8::new(IDLE) };
        lock(&self.table).insert(client, number);
        let task = self.tasks.spawn(connection(Activity(Arc::new(registration))));
        lock(&self.table).set_task(client, number, task);
    }

    /// Closes a connection, in this order of preference: an idle one, one of the client that has most, the oldest.
    pub(super) fn close_one(&mut self) {
        let first = lock(&self.table).remove_first();
        if let Some(task) = first {
            task.abort();
        }
    }

    /// Waits until a connection has ended. Returns false if there is none.
    pub(super) async fn ended(&mut self) -> bool {
        self.tasks.join_next().await.is_some()
    }
}

/// The activity of a connection. Clones concern the same connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Registration>);

#[derive(Debug)]
struct Registration {
    client: IpAddr,
    number: u64,
    table: Arc<Mutex<Table>>,
    /// [`IDLE`], [`RESPONDING`] or [`WRITING`].
    state: AtomicU8,
}

impl Activity {
    /// Makes the connection busy, until the body that [`OpenResponse::with`] returns is dropped and its last byte is
    /// written.
    pub(super) fn respond(&self) -> OpenResponse {
        if self.0.state.swap(RESPONDING, Ordering::Relaxed) == IDLE {
            lock(&self.0.table).set_busy(self.0.client, self.0.number);
        }
        OpenResponse(self.clone())
    }

    /// Returns a stream that detects when the last byte of a response is written to `stream`.
    pub(super) fn watch<S>(&self, stream: S) -> WatchedStream<S> {
        WatchedStream { stream, activity: self.clone() }
    }

    /// Makes the connection idle, unless a response is not complete.
    fn written(&self) {
        let idle = self
            .0
            .state
            .compare_exchange(WRITING, IDLE, Ordering::Relaxed, Ordering::Relaxed);
        if idle.is_ok() {
            lock(&self.0.table).set_idle(self.0.client, self.0.number);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.table).remove(self.client, self.number);
    }
}

/// A response that is not complete yet.
#[derive(Debug)]
pub(super) struct OpenResponse(Activity);

impl OpenResponse {
    /// The body of this response.
    pub(super) fn with<B>(self, body: B) -> WatchedBody<B> {
        WatchedBody { body, _open: self }
    }
}

impl Drop for OpenResponse {
    fn drop(&mut self) {
        // The last bytes may still be in a buffer.
        self.0.0.state.store(WRITING, Ordering::Relaxed);
    }
}

/// A body whose connection is busy until it is dropped.
pub(super) struct WatchedBody<B> {
    body: B,
    _open: OpenResponse,
}

impl<B: HttpBody + Unpin> HttpBody for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose connection becomes idle when its response is written. hyper flushes once its buffer is empty.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        if flushed.is_ready() {
            this.activity.written();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The open connections by client.
#[derive(Debug, Default)]
struct Table {
    clients: HashMap<IpAddr, ClientConnections>,
    /// The clients that have idle connections.
    with_idle: BTreeMap<Rank, IpAddr>,
    /// The clients that have busy connections.
    with_busy: BTreeMap<Rank, IpAddr>,
}

/// The connections of one client by their number, the oldest first, each with its task once it is spawned.
#[derive(Debug, Default)]
struct ClientConnections {
    idle: BTreeMap<u64, Option<AbortHandle>>,
    busy: BTreeMap<u64, Option<AbortHandle>>,
}

/// The order in which clients make way, the last first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    connections: usize,
    /// The number of the oldest connection that could be closed.
    oldest: Reverse<u64>,
}

impl Table {
    /// Adds an idle connection.
    fn insert(&mut self, client: IpAddr, number: u64) {
        self.update(client, |ClientConnections { idle, .. }| {
            idle.insert(number, None);
        });
    }

    /// Sets the task of a connection, unless it has ended.
    fn set_task(&mut self, client: IpAddr, number: u64, task: AbortHandle) {
        let Some(ClientConnections { idle, busy }) = self.clients.get_mut(&client) else { return };
        if let Some(place) = idle.get_mut(&number).or_else(|| busy.get_mut(&number)) {
            *place = Some(task);
        }
    }

    fn set_busy(&mut self, client: IpAddr, number: u64) {
        self.update(client, |ClientConnections { idle, busy }| busy.extend(idle.remove_entry(&number)));
    }

    fn set_idle(&mut self, client: IpAddr, number: u64) {
        self.update(client, |ClientConnections { idle, busy }| idle.extend(busy.remove_entry(&number)));
    }

    fn remove(&mut self, client: IpAddr, number: u64) {
        self.update(client, |ClientConnections { idle, busy }| {
            idle.remove(&number);
            busy.remove(&number);
        });
    }

    /// Removes and returns the connection that makes way first.
    fn remove_first(&mut self) -> Option<AbortHandle> {
        let ((_, client), are_idle) = match self.with_idle.last_key_value() {
            Some(first) => (first, true),
            None => (self.with_busy.last_key_value()?, false),
        };
        let mut first = None;
        self.update(*client, |ClientConnections { idle, busy }| {
            first = if are_idle { idle.pop_first() } else { busy.pop_first() };
        });
        let (_, task) = first?;
        task
    }

    /// Changes the connections of a client and its ranks.
    fn update(&mut self, client: IpAddr, change: impl FnOnce(&mut ClientConnections)) {
        let connections = self.clients.entry(client).or_default();
        if let Some(rank) = connections.rank(&connections.idle) {
            self.with_idle.remove(&rank);
        }
        if let Some(rank) = connections.rank(&connections.busy) {
            self.with_busy.remove(&rank);
        }
        change(connections);
        self.with_idle
            .extend(connections.rank(&connections.idle).map(|rank| (rank, client)));
        self.with_busy
            .extend(connections.rank(&connections.busy).map(|rank| (rank, client)));
        if connections.len() == 0 {
            self.clients.remove(&client);
        }
    }
}

impl ClientConnections {
    fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    /// Returns the rank of the client among those that have idle or busy connections; `None` if it has none.
    fn rank(&self, of: &BTreeMap<u64, Option<AbortHandle>>) -> Option<Rank> {
        let (oldest, _) = of.first_key_value()?;
        Some(Rank { connections: self.len(), oldest: Reverse(*oldest) })
    }
}

/// No request is being answered.
const IDLE: u8 = 0;

/// A response is not complete.
const RESPONDING: u8 = 1;

/// The response is complete, but some of its bytes may not be written.
const WRITING: u8 = 2;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;

    use http_body_util::Full;
    use hyper::Response;
    use hyper::body::Bytes;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::task::yield_now;

    use super::*;

    const MAX: usize = 64;

    fn client(number: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, number).into()
    }

    /// Adds a connection of a client that lasts.
    async fn add(connections: &mut Connections, number: u8) -> Activity {
        let mut started = None;
        let last = |activity: Activity| {
            started = Some(activity.clone());
            async move {
                pending::<()>().await;
                drop(activity);
            }
        };
        connections.add(client(number), last).await;
        started.unwrap()
    }

    /// Returns the numbers of the idle and of the busy connections of a client.
    fn of(connections: &Connections, number: u8) -> (Vec<u64>, Vec<u64>) {
        let table = lock(&connections.table);
        let Some(found) = table.clients.get(&client(number)) else { return (Vec::new(), Vec::new()) };
        (found.idle.keys().copied().collect(), found.busy.keys().copied().collect())
    }

    #[tokio::test]
    async fn a_flood_of_connections_interrupts_no_response() {
        let mut connections = Connections::new(MAX);
        let scrape = add(&mut connections, 1).await.respond();
        let ipv6 = Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped().into();
        for _ in 0..MAX {
            add(&mut connections, 2).await;
            connections
                .add(ipv6, |activity| async move {
                    pending::<()>().await;
                    drop(activity);
                })
                .await;
        }
        assert_eq!(of(&connections, 1), (vec![], vec![0]));
        assert_eq!((connections.tasks.len(), of(&connections, 2).0.len()), (MAX, MAX - 1));
        drop(scrape);
    }

    #[tokio::test]
    async fn the_client_with_most_connections_makes_way() {
        let mut connections = Connections::new(8);
        let first = add(&mut connections, 1).await;
        let mut open = vec![first.respond()];
        for _ in 0..7 {
            open.push(add(&mut connections, 2).await.respond());
        }
        open.push(add(&mut connections, 3).await.respond());
        assert_eq!(of(&connections, 1), (vec![], vec![0]));
        assert_eq!(of(&connections, 2), (vec![], (2..8).collect()), "the oldest");
        open.remove(0);
        first.written();
        connections.close_one();
        assert_eq!(of(&connections, 1), (vec![], vec![]), "idle connections make way first");
    }

    #[tokio::test]
    async fn of_equal_clients_the_oldest_makes_way() {
        let mut connections = Connections::new(3);
        for number in [3, 1, 2, 4] {
            add(&mut connections, number).await;
        }
        assert_eq!(of(&connections, 3), (vec![], vec![]));
        add(&mut connections, 5).await;
        assert_eq!(of(&connections, 1), (vec![], vec![]));
        assert_eq!(of(&connections, 2), (vec![2], vec![]));
    }

    #[tokio::test]
    async fn ended_connections_make_way_for_free() {
        let mut connections = Connections::new(MAX);
        add(&mut connections, 1).await;
        for _ in 0..2 * MAX {
            connections.add(client(1), async |activity| drop(activity)).await;
            yield_now().await;
        }
        let table = lock(&connections.table);
        assert_eq!((table.clients.len(), table.with_idle.len(), table.with_busy.len()), (1, 1, 0));
        drop(table);
        assert_eq!(of(&connections, 1), (vec![0], vec![]), "the one that lasts is not closed");
    }

    /// The body is complete at once, but the client has read only a part of it.
    #[tokio::test]
    async fn a_response_that_is_not_written_is_not_idle() {
        let mut connections = Connections::new(MAX);
        let (mut near, far) = duplex(64);
        let serve = |activity: Activity| async move {
            let service = service_fn(|_| {
                let body = activity.respond().with(Full::new(Bytes::from_static(&[b'x'; 1000])));
                ready(Ok::<_, Infallible>(Response::new(body)))
            });
            let stream = TokioIo::new(activity.watch(far));
            http1::Builder::new().serve_connection(stream, service).await.unwrap();
        };
        connections.add(client(1), serve).await;
        for _ in 0..2 {
            near.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut response = vec![0; 200];
            near.read_exact(&mut response).await.unwrap();
            assert_eq!(of(&connections, 1), (vec![], vec![0]));
            while !response.ends_with(&[b'x'; 1000]) {
                near.read_buf(&mut response).await.unwrap();
            }
            while of(&connections, 1) != (vec![0], vec![]) {
                yield_now().await;
            }
        }
        drop(near);
        assert!(connections.ended().await);
        assert_eq!(of(&connections, 1), (vec![], vec![]));
    }
}
