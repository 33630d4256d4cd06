//! The minimum that a verified handshake can cost: tokio-rustls on one thread; connect, handshake, close.

use std::cell::Cell;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::baseline::measured;
use super::cost::Cost;
use super::tls_servers;

/// Makes handshakes as fast as possible, always with `in_flight` servers; each session is new and verified.
pub(crate) fn maximum(
    addresses: &[SocketAddrV4],
    root: &CertificateDer<'static>,
    in_flight: usize,
    duration: Duration,
) -> Cost {
    let worker = Worker {
        connector: TlsConnector::from(Arc::new(config(root))),
        addresses: addresses.into(),
        finished: Rc::default(),
        end: Instant::now() + duration,
    };
    measured(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut workers = JoinSet::new();
            for start in 0..in_flight {
                workers.spawn_local(worker.clone().work(start));
            }
            workers.join_all().await;
        });
        worker.finished.get()
    })
}

/// Makes a handshake with one server after the other.
#[derive(Clone)]
struct Worker {
    connector: TlsConnector,
    addresses: Rc<[SocketAddrV4]>,
    finished: Rc<Cell<u32>>,
    end: Instant,
}

impl Worker {
    async fn work(self, start: usize) {
        for (number, address) in self.addresses.iter().enumerate().cycle().skip(start) {
            if Instant::now() >= self.end {
                return;
            }
            let stream = TcpStream::connect(*address).await.unwrap();
            let name = ServerName::try_from(tls_servers::name(number)).unwrap();
            let mut stream = self.connector.connect(name, stream).await.unwrap();
            let _ = stream.shutdown().await;
            self.finished.set(self.finished.get() + 1);
        }
    }
}

fn config(root: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}
