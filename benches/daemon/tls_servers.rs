//! Servers with TLS 1.3: each server name has a separate certificate (P-256), issued by an intermediate of an authority
//! that this run creates.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

/// TLS servers that run until this process ends, on a thread whose CPU time is not counted.
#[derive(Debug)]
pub(crate) struct TlsServers {
    addresses: Vec<SocketAddrV4>,
    root: CertificateDer<'static>,
    root_pem: String,
}

impl TlsServers {
    /// Starts servers on a separate thread.
    pub(crate) fn start() -> Self {
        let (root, root_key) = (authority("benchmark root"), KeyPair::generate().unwrap());
        let root = CertifiedIssuer::self_signed(root, root_key).unwrap();
        let intermediate = authority("benchmark intermediate");
        let intermediate = CertifiedIssuer::signed_by(intermediate, KeyPair::generate().unwrap(), &root).unwrap();
        let (root_der, root_pem) = (root.der().clone(), root.pem());
        let issuing = Issuing { intermediate, key: KeyPair::generate().unwrap(), issued: Mutex::default() };
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_cert_resolver(Arc::new(issuing))));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listeners: Vec<_> = (1..=SERVERS).map(|number| runtime.block_on(listen(number))).collect();
        let addresses = listeners.iter().map(|(_, address)| *address).collect();
        thread::spawn(move || {
            runtime.block_on(async {
                for (listener, _) in listeners {
                    tokio::spawn(accept(listener, acceptor.clone()));
                }
                std::future::pending::<()>().await;
            });
        });
        Self { addresses, root: root_der, root_pem }
    }

    /// Their addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }

    /// The root of their certificates.
    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The same as PEM.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }
}

/// The server name of the target with this number.
pub(crate) fn name(number: usize) -> String {
    format!("host-{number:06}.example")
}

/// A listener on an unused address, so that local ports do not run out.
async fn listen(number: u8) -> (TcpListener, SocketAddrV4) {
    let address = SocketAddrV4::new(Ipv4Addr::new(127, number, 0, 2), 0);
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, SocketAddrV4::new(*address.ip(), port))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone()));
        }
    }
}

/// Makes a handshake and waits for the client to close.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    if let Ok(mut stream) = acceptor.accept(stream).await {
        let _ = stream.read(&mut [0; 64]).await;
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Issues a certificate for each server name, once.
#[derive(Debug)]
struct Issuing {
    intermediate: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    issued: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Issuing {
    fn issue(&self, name: &str) -> Arc<CertifiedKey> {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = params.signed_by(&self.key, &self.intermediate).unwrap();
        let chain = vec![leaf.der().clone(), self.intermediate.der().clone()];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        Arc::new(CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key).unwrap()))
    }
}

impl ResolvesServerCert for Issuing {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        let mut issued = self.issued.lock().unwrap();
        if let Some(known) = issued.get(name) {
            return Some(known.clone());
        }
        let new = self.issue(name);
        issued.insert(name.to_owned(), new.clone());
        Some(new)
    }
}

const SERVERS: u8 = 64;
