//! TLS of requests to a daemon: the trusted certificates, and the errors that a command explains.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files;
use crate::probe::identity;

/// The certificates that are trusted.
#[derive(Debug)]
pub(in crate::cli) enum Trust {
    Anything,
    Mozilla,
    Roots(RootCertStore),
}

impl Trust {
    /// Reads the roots in a PEM file.
    pub(in crate::cli) fn in_file(path: &Path) -> anyhow::Result<Self> {
        let named = |fault: String| anyhow!("the file {} {fault}", path.display());
        let bytes = files::read(path, MAX_BYTES).map_err(|error| named(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for der in identity::chain(&bytes, path).map_err(named)? {
            roots.add(der).map_err(|error| named(format!("cannot be used: {error}")))?;
        }
        Ok(Self::Roots(roots))
    }

    pub(in crate::cli) async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("`{host}` is not a host name"))?;
        let connector = TlsConnector::from(Arc::new(self.config()?));
        Ok(connector.connect(name, stream).await?)
    }

    fn config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let roots = match self {
            Self::Anything => {
                let verifier = Arc::new(AcceptAny(provider));
                let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
                return Ok(builder.with_no_client_auth());
            }
            Self::Mozilla => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Self::Roots(roots) => roots.clone(),
        };
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Returns whether the server refuses the client only because it has no certificate.
pub(in crate::cli) fn is_certificate_required(error: &anyhow::Error) -> bool {
    matches!(tls_error(error), Some(Error::AlertReceived(AlertDescription::CertificateRequired)))
}

/// Returns whether the certificate of the server is signed by no trusted root.
pub(in crate::cli) fn is_unknown_issuer(error: &anyhow::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

fn tls_error(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.and_then(|inner| inner.downcast_ref::<Error>())
    })
}

/// Accepts every certificate.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Bundles of roots have less than 1 MiB.
const MAX_BYTES: u64 = 4 << 20;
