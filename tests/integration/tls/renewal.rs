//! Tests of certificates that change at run time.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::daemon::Daemon;
use crate::support::dns::NameServer;
use crate::support::peers::{listen_to_the_end, peer, tls};
use crate::support::pki::{Authority, Identity, leaf};
use crate::support::wait;

const HERE: &[&str] = &["127.0.0.1"];

/// A server with a replaceable certificate.
struct Renewable {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Renewable {
    async fn start(identity: &Identity) -> Self {
        let config = Arc::new(Mutex::new(Arc::new(identity.server())));
        let current = config.clone();
        let serve = move |stream: TcpStream| async move {
            let acceptor = TlsAcceptor::from(current.lock().unwrap().clone());
            if let Ok(mut stream) = acceptor.accept(stream).await {
                listen_to_the_end(&mut stream).await;
            }
        };
        Self { address: peer(serve).await, config }
    }

    fn renew(&self, identity: &Identity) {
        *self.config.lock().unwrap() = Arc::new(identity.server());
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds fit")]
fn seconds(not_after: i64) -> f64 {
    not_after as f64
}

#[tokio::test]
async fn a_returning_certificate_is_not_a_change() {
    let root = Authority::root("renewal root");
    let (old, new) = (root.issue(leaf(HERE).days(-90..-1)), root.issue(leaf(HERE).days(-1..89)));
    let server = Renewable::start(&old).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
    let config = format!(
        "targets: [{{ url: 'tls://{}', name: t, interval: 200ms, tls: {{ ca_file: root.pem }} }}]\n",
        server.address
    );
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let daemon = Daemon::start_in(folder, &[]).await;
    let not_after = "portprobe_cert_not_after_timestamp_seconds";
    let until = async |what: &str, identity: &Identity, up: f64, changes: f64| {
        daemon
            .scrape_until(what, |scrape| {
                scrape.of("t", not_after) == Some(seconds(identity.not_after))
                    && scrape.of("t", "portprobe_up") == Some(up)
                    && scrape.of("t", "portprobe_cert_verified") == Some(up)
                    && scrape.of("t", "portprobe_cert_changes_total") == Some(changes)
            })
            .await;
    };
    until("the expired certificate is seen", &old, 0.0, 0.0).await;
    server.renew(&new);
    until("the new one is seen", &new, 1.0, 1.0).await;
    server.renew(&old);
    until("the old one is back", &old, 0.0, 1.0).await;
    server.renew(&new);
    until("the new one is back", &new, 1.0, 1.0).await;
}

#[tokio::test]
async fn invalid_tls_files_keep_the_old_ones() {
    let (root, next) = (Authority::root("first root"), Authority::root("second root"));
    let server = Renewable::start(&root.issue(leaf(HERE))).await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("root.pem");
    fs::write(&roots, root.pem()).unwrap();
    let config = format!(
        "targets: [{{ url: 'tls://{}', name: t, interval: 200ms, tls: {{ ca_file: root.pem }} }}]\n",
        server.address
    );
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let daemon = Daemon::start_in(folder, &[]).await;
    let up = |expected| move |scrape: &crate::support::scrape::Scrape| scrape.of("t", "portprobe_up") == Some(expected);
    let failures = "portprobe_file_reload_failures_total";
    assert_eq!(daemon.scrape_until("the target is up", up(1.0)).await.value(failures, &[]), Some(0.0));
    fs::write(&roots, "no certificate").unwrap();
    wait::until_patiently("the invalid file is counted", async || {
        daemon.scrape().await.value(failures, &[]) >= Some(1.0)
    })
    .await;
    assert_eq!(daemon.scrape().await.of("t", "portprobe_up"), Some(1.0), "the old roots are kept");
    // The line is written after the counter.
    wait::until("the invalid file is logged", async || !daemon.logged(&["level=warn", "root.pem"]).is_empty()).await;
    assert_eq!(daemon.logged(&["level=warn", "root.pem"]).len(), 1);
    fs::write(&roots, next.pem()).unwrap();
    wait::until_patiently("the new roots are used", async || {
        daemon.scrape().await.of("t", "portprobe_up") == Some(0.0)
    })
    .await;
    server.renew(&next.issue(leaf(HERE)));
    daemon.scrape_until("the target is up again", up(1.0)).await;
}

#[tokio::test]
async fn the_worse_of_two_chains_is_exposed() {
    let Some(name_server) = NameServer::start().await else { return };
    let root = Authority::root("addresses root");
    let names = &["two.test"];
    let (long, short) = (root.issue(leaf(names).days(-1..90)), root.issue(leaf(names).days(-80..10)));
    let expired = root.issue(leaf(names).days(-90..-1));
    let healthy = pair(&long, &short).await;
    let faulty = pair(&expired, &long).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
    let config = format!(
        "defaults: {{ interval: 200ms, addresses: all, dns_servers: ['{}'], tls: {{ ca_file: root.pem }} }}\n\
         targets: [{{ url: 'tls://two.test:{healthy}', name: healthy }}, {{ url: 'tls://two.test:{faulty}', name: faulty }}]\n",
        name_server.address
    );
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let daemon = Daemon::start_in(folder, &[]).await;
    let of = |scrape: &crate::support::scrape::Scrape, target: &str, name: &str| {
        scrape.of(target, &format!("portprobe_{name}"))
    };
    let scrape = daemon
        .scrape_until("both are known", |scrape| {
            of(scrape, "healthy", "up") == Some(1.0) && of(scrape, "faulty", "up") == Some(0.0)
        })
        .await;
    assert_eq!(of(&scrape, "healthy", "cert_not_after_timestamp_seconds"), Some(seconds(short.not_after)));
    assert_eq!(of(&scrape, "healthy", "cert_verified"), Some(1.0));
    assert_eq!(of(&scrape, "faulty", "cert_not_after_timestamp_seconds"), Some(seconds(expired.not_after)));
    let labels = [("target", "faulty"), ("phase", "tls"), ("class", "cert_expired")];
    assert_eq!(scrape.value("portprobe_failure", &labels), Some(1.0));
    for (ip, success) in [("127.0.0.1", 0.0), ("127.0.0.2", 1.0)] {
        let labels = [("target", "faulty"), ("ip", ip)];
        assert_eq!(scrape.value("portprobe_address_success", &labels), Some(success), "{ip}");
    }
    let changes = "portprobe_cert_changes_total";
    assert_eq!(
        scrape.of("healthy", changes),
        Some(0.0),
        "the exposed certificate does not depend on the speed of the addresses"
    );
}

/// Starts two servers on the same port of 127.0.0.1 and 127.0.0.2, and returns the port.
async fn pair(first: &Identity, second: &Identity) -> u16 {
    loop {
        let address = tls(first.server()).await;
        let Ok(listener) = TcpListener::bind(("127.0.0.2", address.port())).await else { continue };
        let acceptor = TlsAcceptor::from(Arc::new(second.server()));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        listen_to_the_end(&mut stream).await;
                    }
                });
            }
        });
        return address.port();
    }
}
