//! The same with servers from packages.

use tokio::net::TcpStream;

use super::assert_rows;
use super::rows::Row;
use crate::support::peers::{listen_to_the_end, peer};
use crate::support::pki::{Authority, Identity, Kind, leaf};
use crate::support::services::Service;
use crate::support::services::tls::{Clients, haproxy, nginx, openssl, stunnel};

const HERE: &[&str] = &["127.0.0.1"];

/// Certificates in several states, and their servers, which end with this value.
struct Cast {
    root: Authority,
    chained: Identity,
    expired: Identity,
    unknown: Identity,
    rsa: Identity,
    client: Identity,
    services: Vec<Service>,
}

impl Cast {
    fn new() -> Self {
        let root = Authority::root("others root");
        let intermediate = root.intermediate("others intermediate");
        Self {
            chained: intermediate.issue(leaf(HERE)).behind(intermediate.der()),
            expired: root.issue(leaf(HERE).days(-100..-3)),
            unknown: Authority::root("nobody's root").issue(leaf(HERE)),
            rsa: root.issue(leaf(HERE).key(Kind::Rsa)),
            client: root.issue(leaf(&["client"]).for_clients()),
            services: Vec::new(),
            root,
        }
    }

    /// A row for a server; `None` if its program is not installed.
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

const OWN: &str = "cert_file: client.pem, key_file: client.key";

#[tokio::test]
async fn openssl_is_understood() {
    let mut cast = Cast::new();
    let pem = cast.root.pem();
    let anybody = openssl(&cast.chained, Clients::Anybody, &[]).await;
    let old = openssl(&cast.rsa, Clients::Anybody, &["-tls1_2"]).await;
    let oldest = openssl(&cast.rsa, Clients::Anybody, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
    let expired = openssl(&cast.expired, Clients::Anybody, &[]).await;
    let unknown = openssl(&cast.unknown, Clients::Anybody, &[]).await;
    let demanding = openssl(&cast.chained, Clients::Of(&pem), &[]).await;
    let demanding_12 = openssl(&cast.chained, Clients::Of(&pem), &["-tls1_2"]).await;
    let content = openssl(&cast.chained, Clients::Of(&pem), &[]).await;
    let rows = [
        cast.row("good", anybody, |cast| &cast.chained)
            .map(|row| row.version("TLS 1.3")),
        cast.row("good-1.2", old, |cast| &cast.rsa).map(|row| row.version("TLS 1.2")),
        cast.row("only-1.1", oldest, |cast| &cast.rsa)
            .map(|row| row.failed("tls", "tls_protocol").shows_nothing()),
        cast.row("expired", expired, |cast| &cast.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        cast.row("unknown", unknown, |cast| &cast.unknown)
            .map(|row| row.faulty(&["cert_untrusted"])),
        cast.row("demanding", demanding, |cast| &cast.chained)
            .map(|row| row.failed("tls", "tls_alert")),
        cast.row("demanding-1.2", demanding_12, |cast| &cast.chained)
            .map(|row| row.failed("tls", "tls_alert")),
        cast.row("content", content, |cast| &cast.chained).map(|row| row.tls(OWN)),
    ];
    cast.assert(rows).await;
}

#[tokio::test]
async fn nginx_stunnel_and_haproxy_are_understood() {
    let mut cast = Cast::new();
    let (pem, backend) = (cast.root.pem(), backend().await);
    let nginx_good = nginx(&cast.chained).await;
    let nginx_expired = nginx(&cast.expired).await;
    let stunnel_good = stunnel(&cast.chained, Clients::Anybody, backend).await;
    let stunnel_expired = stunnel(&cast.expired, Clients::Anybody, backend).await;
    let stunnel_demanding = stunnel(&cast.rsa, Clients::Of(&pem), backend).await;
    let haproxy_good = haproxy(&cast.rsa, Clients::Anybody, backend).await;
    let haproxy_unknown = haproxy(&cast.unknown, Clients::Anybody, backend).await;
    let haproxy_demanding = haproxy(&cast.rsa, Clients::Of(&pem), backend).await;
    let haproxy_content = haproxy(&cast.rsa, Clients::Of(&pem), backend).await;
    let rows = [
        cast.row("nginx", nginx_good, |cast| &cast.chained),
        cast.row("nginx-expired", nginx_expired, |cast| &cast.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        cast.row("stunnel", stunnel_good, |cast| &cast.chained),
        cast.row("stunnel-expired", stunnel_expired, |cast| &cast.expired)
            .map(|row| row.faulty(&["cert_expired"])),
        cast.row("stunnel-demanding", stunnel_demanding, |cast| &cast.rsa)
            .map(|row| row.failed("tls", "tls_alert")),
        cast.row("haproxy", haproxy_good, |cast| &cast.rsa),
        cast.row("haproxy-unknown", haproxy_unknown, |cast| &cast.unknown)
            .map(|row| row.faulty(&["cert_untrusted"])),
        cast.row("haproxy-demanding", haproxy_demanding, |cast| &cast.rsa)
            .map(|row| row.failed("tls", "tls_alert")),
        cast.row("haproxy-content", haproxy_content, |cast| &cast.rsa)
            .map(|row| row.tls(OWN)),
    ];
    cast.assert(rows).await;
}
