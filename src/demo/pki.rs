//! The certificate authority of the demo, and TLS servers with valid and invalid certificates.
//!
//! All certificates are created at each start, so that their remaining validity is always the same.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use nix::sys::memfd::{MFdFlags, memfd_create};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

use crate::clock;

/// A certificate authority with its certificate in a file.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PemFile,
    now: OffsetDateTime,
}

impl Authority {
    /// Creates an authority with a new key.
    pub(super) fn new() -> io::Result<Self> {
        let now = OffsetDateTime::UNIX_EPOCH + clock::now().as_duration();
        let mut params = CertificateParams::default();
        params.distinguished_name = named("portprobe demo CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (now - Duration::days(365), now + Duration::days(3650));
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        let file = PemFile::new(&issuer.pem())?;
        Ok(Self { issuer, file, now })
    }

    /// Returns the file with its certificate, for `tls.ca_file`; it exists as long as the authority.
    pub(super) fn file(&self) -> &Path {
        &self.file.path
    }

    /// Creates a server with a certificate for `name` that is valid from and to this many days from now.
    pub(super) fn server(&self, name: &str, days: Range<i64>) -> io::Result<Arc<ServerConfig>> {
        let (params, key) = self.leaf(name, days)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        server(certificate.der().clone(), &key, Arc::new(NoClientAuth))
    }

    /// Creates a server with a valid certificate that requires a client certificate of this authority.
    pub(super) fn exclusive_server(&self, name: &str) -> io::Result<Arc<ServerConfig>> {
        let (params, key) = self.leaf(name, LONG)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).map_err(io::Error::other)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        server(certificate.der().clone(), &key, clients.map_err(io::Error::other)?)
    }

    /// Creates a server with a self-signed certificate.
    pub(super) fn self_signed_server(&self, name: &str) -> io::Result<Arc<ServerConfig>> {
        let (params, key) = self.leaf(name, LONG)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        server(certificate.der().clone(), &key, Arc::new(NoClientAuth))
    }

    fn leaf(&self, name: &str, days: Range<i64>) -> io::Result<(CertificateParams, KeyPair)> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) =
            (self.now + Duration::days(days.start), self.now + Duration::days(days.end));
        Ok((params, KeyPair::generate().map_err(io::Error::other)?))
    }
}

/// The validity in days of a certificate without faults.
pub(super) const LONG: Range<i64> = -1..90;

fn server(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    clients: Arc<dyn ClientCertVerifier>,
) -> io::Result<Arc<ServerConfig>> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key);
    Ok(Arc::new(config.map_err(io::Error::other)?))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A file that exists as long as this value.
#[derive(Debug)]
struct PemFile {
    path: PathBuf,
    _file: File,
}

impl PemFile {
    /// Creates a file in memory, because a container may have no writable folder.
    #[cfg(target_os = "linux")]
    fn new(pem: &str) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"portprobe-demo", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(pem.as_bytes())?;
        Ok(Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), _file: file })
    }

    #[cfg(not(target_os = "linux"))]
    fn new(pem: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("portprobe-demo-{}.pem", std::process::id()));
        let mut file = File::create(&path)?;
        file.write_all(pem.as_bytes())?;
        Ok(Self { path, _file: file })
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for PemFile {
    fn drop(&mut self) {
        // If this fails, a public certificate is left in a temporary folder.
        let _ = std::fs::remove_file(&self.path);
    }
}
