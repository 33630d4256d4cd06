//! Certificates of clients: whether one is needed, and which are accepted.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::outcome::CertificateContent;
use crate::probe::certificate;

/// The verifier of client certificates.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    algorithms: WebPkiSupportedAlgorithms,
    authorities: Option<Authorities>,
    /// The names of which a certificate must have one; `None`: no check.
    names: Option<Vec<Box<str>>>,
    handshake_requires: bool,
}

#[derive(Debug)]
struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ClientCertificates {
    /// Creates a verifier that accepts every certificate with one of these names. If `handshake_requires`, a handshake
    /// without a certificate fails.
    pub(super) fn new(provider: &CryptoProvider, names: Option<Vec<Box<str>>>, handshake_requires: bool) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { algorithms, authorities: None, names, handshake_requires }
    }

    /// Accepts only certificates that are signed by these authorities, or are one of them. The error completes
    /// "the file ..".
    pub(super) fn verified_by(
        self,
        certificates: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for (index, der) in certificates.iter().enumerate() {
            roots.add(der.clone()).map_err(|error| {
                format!("has certificate number {}, which cannot be used as a CA: {error}", index + 1)
            })?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider.clone()))
            .build()
            .map_err(|error| format!("has no certificate that can be used as a CA: {error}"))?;
        Ok(Self { authorities: Some(Authorities { verifier, certificates }), ..self })
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn client_auth_mandatory(&self) -> bool {
        self.handshake_requires
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities
            .as_ref()
            .map(|authorities| authorities.verifier.root_hint_subjects())
            .unwrap_or_default()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let content = certificate::read(end_entity).content;
        match &self.authorities {
            Some(Authorities { certificates, .. }) if certificates.contains(end_entity) => {
                check_validity(content.as_ref(), now)?;
            }
            Some(Authorities { verifier, .. }) => {
                verifier.verify_client_cert(end_entity, intermediates, now)?;
            }
            None => {}
        }
        let has = |name: &str| {
            content
                .as_ref()
                .is_some_and(|content| content.names.iter().any(|found| found == name))
        };
        if self.names.as_ref().is_some_and(|names| !names.iter().any(|name| has(name))) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the time of a certificate that is trusted by itself.
fn check_validity(content: Option<&CertificateContent>, now: UnixTime) -> Result<(), CertificateError> {
    let content = content.ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > content.not_after {
        return Err(CertificateError::Expired);
    }
    if now < content.not_before { Err(CertificateError::NotValidYet) } else { Ok(()) }
}
