//! Tests of databases, message brokers and desktops, whose protocols are binary.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::pki::{Authority, Identity, Kind, leaf};
use crate::support::probed::Probed;
use crate::support::services::Service;
use crate::support::wait;

mod brokers;
mod databases;
mod desktops;
mod mssql;
mod poolers;
mod stand_ins;

/// Returns a server certificate with a world-readable key.
fn identity() -> Identity {
    Authority::root("binary root").issue(leaf(&["127.0.0.1"]).key(Kind::Rsa))
}

/// Probes an address. Returns `good PROTOCOL VERSION ROLE`, or class, phase and detail of the failure.
async fn probe(scheme: &str, address: SocketAddr) -> String {
    probe_with(scheme, address, &[]).await
}

/// Like [`probe`], with these settings.
async fn probe_with(scheme: &str, address: SocketAddr, settings: &[(&str, &str)]) -> String {
    let url = format!("{scheme}://{address}");
    // These tests do not verify the certificate.
    let report = scheme.contains('+') || ["amqps", "mqtts", "rediss"].contains(&scheme);
    let report = report.then_some(("tls.verify", "report"));
    let report = report.filter(|(name, _)| settings.iter().all(|(other, _)| other != name));
    let flags = settings
        .iter()
        .copied()
        .chain(report)
        .map(|(name, value)| format!("--{name}={value}"));
    let arguments: Vec<_> = flags.chain([url]).collect();
    Probed::by(&arguments).await.told()
}

/// Connects a client that has sent `sent` and received a response, and stays connected.
async fn occupy(service: &Service, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    assert_ne!(stream.read(&mut [0; 512]).await.unwrap(), 0);
    stream
}

/// Like [`occupy`], once the server has noticed the end of earlier clients.
async fn occupy_until(service: &Service, sent: &[u8], is_welcome: impl Fn(&[u8]) -> bool) -> TcpStream {
    let mut occupying = None;
    wait::until("a client is accepted", async || {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let mut received = [0; 512];
        let is_sent = stream.write_all(sent).await.is_ok();
        let length = if is_sent { stream.read(&mut received).await.unwrap_or_default() } else { 0 };
        occupying = is_welcome(&received[..length]).then_some(stream);
        occupying.is_some()
    })
    .await;
    occupying.unwrap()
}

/// Waits until the result of a probe has this prefix.
async fn until(scheme: &str, address: SocketAddr, expected: &str) {
    wait::until_none_missing(async || {
        let result = probe(scheme, address).await;
        if result.starts_with(expected) { Vec::new() } else { vec![format!("expected {expected}: {result}")] }
    })
    .await;
}

/// Asserts the prefix of a result.
#[track_caller]
fn assert_begins(result: &str, expected: &str) {
    assert!(result.starts_with(expected), "expected {expected}: {result}");
}
