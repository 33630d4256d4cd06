//! A client for `/metrics`, and the metrics about probes and their delay.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// The formats of an exposition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    OpenMetrics,
    Protobuf,
    Text,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OpenMetrics => "OpenMetrics",
            Self::Protobuf => "protobuf",
            Self::Text => "text",
        }
    }

    /// Its media type.
    fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text;version=1.0.0",
            Self::Protobuf => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::Text => "text/plain;version=0.0.4",
        }
    }
}

/// The encoding of an exposition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Gzip,
    Plain,
}

impl Encoding {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Gzip];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Plain => "plain",
        }
    }

    fn content_coding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Plain => "identity",
        }
    }
}

/// Requests a path and reads to the end; returns the body if the status is 200. HTTP/1.0, to avoid chunks.
pub(crate) fn get(address: SocketAddr, path: &str, format: Format, encoding: Encoding) -> Option<Vec<u8>> {
    let (accept, accept_encoding) = (format.media_type(), encoding.content_coding());
    let headers = format!("Accept: {accept}\r\nAccept-Encoding: {accept_encoding}\r\n");
    let mut stream = send(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n"));
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let body = response.split_off(end + 4);
    response.starts_with(b"HTTP/1.0 200").then_some(body)
}

/// Sends a POST request; returns whether it succeeded.
pub(crate) fn post(address: SocketAddr, path: &str) -> bool {
    let request = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    let mut response = String::new();
    send(address, &request).read_to_string(&mut response).unwrap();
    response.starts_with("HTTP/1.0 200")
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// The metrics of an exposition about the daemon itself.
#[derive(Clone, Debug)]
pub(crate) struct Exposed {
    /// The number of series.
    pub(crate) series: usize,
    pub(crate) lag: Lag,
    /// Probes that failed or could not be made.
    pub(crate) failed: f64,
    /// Probes in flight.
    pub(crate) in_flight: f64,
    /// Skipped probes.
    pub(crate) skipped: f64,
    /// Targets whose certificate was seen and has no fault.
    pub(crate) verified: f64,
}

impl Exposed {
    /// Scrapes, and drops each line after it is read, because a million targets have a gigabyte of them.
    pub(crate) fn read(address: SocketAddr) -> Self {
        let stream = send(address, &format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n"));
        let lines = BufReader::with_capacity(1 << 20, stream).lines().map(Result::unwrap);
        let mut exposed =
            Self { series: 0, lag: Lag(Vec::new()), failed: 0.0, in_flight: 0.0, skipped: 0.0, verified: 0.0 };
        let body = lines.skip_while(|line| !line.is_empty()).skip(1);
        body.filter(|line| !line.starts_with('#')).for_each(|line| exposed.add(&line));
        exposed
    }

    fn add(&mut self, line: &str) {
        self.series += 1;
        match line.split_once(['{', ' ']).unwrap().0 {
            "portprobe_cert_verified" => self.verified += value(line),
            "portprobe_probe_failures_total" | "portprobe_local_faults_total" => self.failed += value(line),
            "portprobe_schedule_lag_seconds_bucket" => self.lag.0.push((bound(line), value(line))),
            "portprobe_probes_in_flight" => self.in_flight += value(line),
            "portprobe_skipped_probes_total" => self.skipped += value(line),
            _ => {}
        }
    }
}

/// A histogram of the delay of starts: upper bounds, and the number of starts within each.
#[derive(Clone, Debug)]
pub(crate) struct Lag(Vec<(f64, f64)>);

impl Lag {
    /// The increase since an earlier one.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let now_and_before = self.0.iter().zip(&before.0);
        Self(
            now_and_before
                .map(|(&(bound, now), &(_, before))| (bound, now - before))
                .collect(),
        )
    }

    /// The number of starts.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().unwrap().1
    }

    /// Like `histogram_quantile` of Prometheus: the bucket of the quantile, evenly filled. Seconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let rank = quantile * self.count();
        let (mut lower, mut below) = (0.0, 0.0);
        for &(upper, within) in &self.0 {
            if within >= rank && upper.is_finite() {
                return lower + (upper - lower) * (rank - below) / (within - below).max(1.0);
            }
            if upper.is_finite() {
                (lower, below) = (upper, within);
            }
        }
        lower
    }
}

pub(super) fn value(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn bound(line: &str) -> f64 {
    line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}
