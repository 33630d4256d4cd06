//! An HTTPS client: one request, one connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http::{self, Response};
use super::pki::{Authority, Identity};
use super::scrape::Scrape;

/// A client that trusts one authority.
#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    headers: String,
    from: SocketAddr,
}

impl Client {
    pub(crate) fn trusting(root: &Authority) -> Self {
        Self::new(root, None)
    }

    /// A client with a certificate.
    pub(crate) fn with_certificate(root: &Authority, identity: &Identity) -> Self {
        Self::new(root, Some(identity))
    }

    fn new(root: &Authority, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(root.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(identity.chain.clone(), key).unwrap()
            }
        };
        Self { config: Arc::new(config), headers: String::new(), from: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    /// The same with a user and a password.
    pub(crate) fn with_password(mut self, user: &str, password: &str) -> Self {
        let encoded = BASE64.encode(format!("{user}:{password}").as_bytes());
        self.headers = format!("Authorization: Basic {encoded}\r\n");
        self
    }

    /// The same from another address of loopback.
    pub(crate) fn from(mut self, last: u8) -> Self {
        self.from = SocketAddr::from(([127, 0, 0, last], 0));
        self
    }

    /// Requests a path. A failed handshake and a connection without a response are errors.
    pub(crate) async fn get(&self, address: SocketAddr, path: &str) -> io::Result<Response> {
        let mut stream = self.open(address).await?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{}\r\n", self.headers);
        stream.write_all(head.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        if response.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Response { status, headers, body } = http::parse(&response);
        Ok(Response { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// Opens a connection.
    pub(crate) async fn open(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }

    /// The version, cipher suite and key exchange group of a handshake; `None` if it fails.
    pub(crate) async fn session(&self, address: SocketAddr) -> Option<[String; 3]> {
        let stream = self.open(address).await.ok()?;
        let (_, session) = stream.get_ref();
        let suite = session.negotiated_cipher_suite()?.suite();
        let group = session.negotiated_key_exchange_group()?.name();
        Some([format!("{:?}", session.protocol_version()?), format!("{suite:?}"), format!("{group:?}")])
    }

    pub(crate) async fn status(&self, address: SocketAddr, path: &str) -> Option<u16> {
        self.get(address, path).await.ok().map(|response| response.status)
    }

    pub(crate) async fn scrape(&self, address: SocketAddr) -> Scrape {
        let response = self.get(address, "/metrics").await.unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        Scrape::parse(&response.body)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(self.from)?;
        socket.connect(address).await
    }
}
