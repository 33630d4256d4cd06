//! A client that requests probes of an exporter like Prometheus: each target once per interval, spread over it, with gzip
//! and keep-alive.

use std::cell::RefCell;
use std::io::Read as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Sends requests from a separate thread until it is dropped.
#[derive(Debug)]
pub(crate) struct ScrapeClient {
    results: Arc<Results>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ScrapeClient {
    /// Starts it: each path once per interval.
    pub(crate) fn start(exporter: SocketAddr, paths: Vec<String>, interval: Duration) -> Self {
        let (results, stop) = (Arc::<Results>::default(), CancellationToken::new());
        let (shared, stopped) = (results.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let pool = Rc::new(Pool { exporter, idle: RefCell::default(), results: shared });
                let (start, count) = (Instant::now(), u32::try_from(paths.len()).unwrap());
                for (number, path) in (0..).zip(paths) {
                    spawn_local(pool.clone().ask(path, start + interval * number / count, interval));
                }
                stopped.cancelled().await;
            });
        });
        Self { results, stop, thread: Some(thread) }
    }

    /// The numbers of successful and failed probes so far.
    pub(crate) fn results(&self) -> (f64, f64) {
        (self.results.succeeded.load(Ordering::Relaxed).into(), self.results.failed.load(Ordering::Relaxed).into())
    }
}

impl Drop for ScrapeClient {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[derive(Debug, Default)]
struct Results {
    succeeded: AtomicU32,
    failed: AtomicU32,
}

/// Connections to the exporter, at most one for each concurrent request; the last used is taken first.
struct Pool {
    exporter: SocketAddr,
    idle: RefCell<Vec<SendRequest<Empty<Bytes>>>>,
    results: Arc<Results>,
}

impl Pool {
    /// Sends a request at the start and once per interval, never two at a time.
    async fn ask(self: Rc<Self>, path: String, start: Instant, interval: Duration) {
        let mut due = interval_at(start, interval);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            due.tick().await;
            let success = self.probe(&path).await.is_ok_and(|text| text.contains("\nprobe_success 1"));
            let counter = if success { &self.results.succeeded } else { &self.results.failed };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn probe(&self, path: &str) -> anyhow::Result<String> {
        let kept = self.idle.borrow_mut().pop();
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        connection.ready().await?;
        let request = Request::get(path)
            .header(HOST, self.exporter.to_string())
            .header(USER_AGENT, "Prometheus/3.5.3")
            .header(ACCEPT, ACCEPTED)
            .header(ACCEPT_ENCODING, "gzip")
            .header("X-Prometheus-Scrape-Timeout-Seconds", SCRAPE_TIMEOUT)
            .body(Empty::new())?;
        let body = connection.send_request(request).await?.into_body().collect().await?.to_bytes();
        self.idle.borrow_mut().push(connection);
        let mut text = String::new();
        GzDecoder::new(&*body).read_to_string(&mut text)?;
        Ok(text)
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.exporter).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}

/// The header of Prometheus 3.5.3.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// The default of Prometheus in seconds.
const SCRAPE_TIMEOUT: &str = "10";
