//! Tests with TLS servers from packages.

use tokio::net::TcpStream;

use super::assert_rows;
use super::rows::Row;
use crate::support::peers::{listen_to_the_end, peer};
use crate::support::pki::{Authority, Identity, Kind, leaf};
use crate::support::services::Service;
use crate::support::services::tls::{Clients, haproxy, nginx, openssl, stunnel};

const HERE: &[&str] = &["127.0.0.1"];

/// Certificates in several states and the servers that present them, which stop when this value is dropped.
struct Servers {
    root: Authority,
    chained: Identity,
    expired: Identity,
    unknown: Identity,
    rsa: Identity,
    client: Identity,
    services: Vec<Service>,
}

impl Servers {
    fn new() -> Self {
        let root = Authority::root("others root");
        let intermediate = root.intermediate("others intermediate");
        Self {
            chained: intermediate.issue(leaf(HERE)).behind(intermediate.der()),
            expired: root.issue(leaf(HERE).days(-100..-3)),
            unknown: Authority::root("unknown root").issue(leaf(HERE)),
            rsa: root.issue(leaf(HERE).key(Kind::Rsa)),
            client: root.issue(leaf(&["client"]).for_clients()),
            services: Vec::new(),
            root,
        }
    }

    /// Adds a server and returns its row; `None` if its program is not installed.
    fn row(&mut self, name: &'static str, service: Option<Service>, shows: impl Fn(&Self) -> &Identity) -> Option<Row> {
        let service = service?;
        let row = Row::at(name, service.address);
        self.services.push(service);
        Some(row.shows(shows(self)))
    }

    async fn assert(self, rows: impl IntoIterator<Item = Option<Row>>) {
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        let files = [
            ("root.pem", self.root.pem()),
            ("client.pem", self.client.pem()),
            ("client.key", self.client.key_pem().to_owned()),
        ];
        assert_rows(&rows, &files).await;
    }
}

async fn backend() -> std::net::SocketAddr {
    peer(async |mut stream: TcpStream| listen_to_the_end(&mut stream).await).await
}

const CLIENT: &str = "cert_file: client.pem, key_file: client.key";

#[tokio::test]
async fn certificates_of_openssl_servers_are_verified() {
    let mut servers = Servers::new();
    let pem = servers.root.pem();
    let anybody = openssl(&servers.chained, Clients::Anybody, &[]).await;
    let old = openssl(&servers.rsa, Clients::Anybody, &["-tls1_2"]).await;
    let oldest = openssl(&servers.rsa, Clients::Anybody, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
    let expired = openssl(&servers.expired, Clients::Anybody, &[]).await;
    let unknown = openssl(&servers.unknown, Clients::Anybody, &[]).await;
    let demanding = openssl(&servers.chained, Clients::Of(&pem), &[]).await;
    let demanding_12 = openssl(&servers.chained, Clients::Of(&pem), &["-tls1_2"]).await;
    let content = openssl(&servers.chained, Clients::Of(&pem), &[]).await;
    let rows = [
        servers
            .row("good", anybody, |servers| &servers.chained)
            .map(|row| row.version("TLS 1.3")),
        servers
            .row("good-1.2", old, |servers| &servers.rsa)
            .map(|row| row.version("TLS 1.2")),
        servers
            .row("only-1.1", oldest, |servers| &servers.rsa)
            .map(|row| row.failed("tls", "tls_protocol").shows_nothing()),
        servers
            .row("expired", expired, |servers| &servers.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        servers
            .row("unknown", unknown, |servers| &servers.unknown)
            .map(|row| row.faulty(&["cert_untrusted"])),
        servers
            .row("demanding", demanding, |servers| &servers.chained)
            .map(|row| row.failed("tls", "tls_alert")),
        servers
            .row("demanding-1.2", demanding_12, |servers| &servers.chained)
            .map(|row| row.failed("tls", "tls_alert")),
        servers
            .row("content", content, |servers| &servers.chained)
            .map(|row| row.tls(CLIENT)),
    ];
    servers.assert(rows).await;
}

#[tokio::test]
async fn certificates_of_proxies_are_verified() {
    let mut servers = Servers::new();
    let (pem, backend) = (servers.root.pem(), backend().await);
    let nginx_good = nginx(&servers.chained).await;
    let nginx_expired = nginx(&servers.expired).await;
    let stunnel_good = stunnel(&servers.chained, Clients::Anybody, backend).await;
    let stunnel_expired = stunnel(&servers.expired, Clients::Anybody, backend).await;
    let stunnel_demanding = stunnel(&servers.rsa, Clients::Of(&pem), backend).await;
    let haproxy_good = haproxy(&servers.rsa, Clients::Anybody, backend).await;
    let haproxy_unknown = haproxy(&servers.unknown, Clients::Anybody, backend).await;
    let haproxy_demanding = haproxy(&servers.rsa, Clients::Of(&pem), backend).await;
    let haproxy_content = haproxy(&servers.rsa, Clients::Of(&pem), backend).await;
    let rows = [
        servers.row("nginx", nginx_good, |servers| &servers.chained),
        servers
            .row("nginx-expired", nginx_expired, |servers| &servers.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        servers.row("stunnel", stunnel_good, |servers| &servers.chained),
        servers
            .row("stunnel-expired", stunnel_expired, |servers| &servers.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        servers
            .row("stunnel-demanding", stunnel_demanding, |servers| &servers.rsa)
            .map(|row| row.failed("tls", "tls_alert")),
        servers.row("haproxy", haproxy_good, |servers| &servers.rsa),
        servers
            .row("haproxy-unknown", haproxy_unknown, |servers| &servers.unknown)
            .map(|row| row.faulty(&["cert_untrusted"])),
        servers
            .row("haproxy-demanding", haproxy_demanding, |servers| &servers.rsa)
            .map(|row| row.failed("tls", "tls_alert")),
        servers
            .row("haproxy-content", haproxy_content, |servers| &servers.rsa)
            .map(|row| row.tls(CLIENT)),
    ];
    servers.assert(rows).await;
}
