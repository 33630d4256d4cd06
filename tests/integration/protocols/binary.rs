//! Databases, message brokers and desktops, whose protocols are binary.

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
mod stand_ins;

/// A server certificate with a world-readable key.
fn identity() -> Identity {
    Authority::root("binary root").issue(leaf(&["127.0.0.1"]).key(Kind::Rsa))
}

/// The result of a probe of an address: `good PROTOCOL VERSION ROLE`, or class, phase and detail of the failure.
async fn probe(scheme: &str, address: SocketAddr) -> String {
    probe_with(scheme, address, &[]).await
}

/// The same with these settings.
async fn probe_with(scheme: &str, address: SocketAddr, settings: &[(&str, &str)]) -> String {
    let url = format!("{scheme}://{address}");
    // The trust in the certificate is not tested here.
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

/// A client that has sent this, got a reply, and stays connected.
async fn occupy(service: &Service, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    assert_ne!(stream.read(&mut [0; 512]).await.unwrap(), 0);
    stream
}

/// As [`occupy`], once the server has noticed the end of earlier clients.
async fn occupy_until(service: &Service, said: &[u8], is_welcome: impl Fn(&[u8]) -> bool) -> TcpStream {
    let mut occupying = None;
    wait::until("a client is let in", async || {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let mut heard = [0; 512];
        let said = stream.write_all(said).await.is_ok();
        let length = if said { stream.read(&mut heard).await.unwrap_or_default() } else { 0 };
        occupying = is_welcome(&heard[..length]).then_some(stream);
        occupying.is_some()
    })
    .await;
    occupying.unwrap()
}

/// Waits until a probe has this result.
async fn until(scheme: &str, address: SocketAddr, expected: &str) {
    wait::until_patiently(expected, async || probe(scheme, address).await.starts_with(expected)).await;
}

/// Asserts the prefix of the result of a probe.
#[track_caller]
fn assert_begins(told: &str, expected: &str) {
    assert!(told.starts_with(expected), "expected {expected}: {told}");
}
