//! Records the certificates of a handshake and whether the peer requested a client certificate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::{EndEntityCert, RawPublicKeyEntity};

use crate::locks::lock;
use crate::probe::certificate::public_key;
use crate::probe::tls_store::TlsContext;
use crate::probe::verify::PresentedChain;

/// The verifier and client certificate resolver of one handshake. It accepts every certificate and records the
/// requests.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    key: Option<Arc<CertifiedKey>>,
    presented: Mutex<Option<PresentedChain>>,
    requested: AtomicBool,
}

impl RecordingVerifier {
    /// Creates the verifier of one handshake.
    pub(super) fn new(context: &TlsContext) -> Self {
        Self {
            algorithms: context.config.crypto_provider().signature_verification_algorithms,
            key: context.identity.as_ref().map(|identity| identity.key.clone()),
            presented: Mutex::new(None),
            requested: AtomicBool::new(false),
        }
    }

    /// Takes the chain that the peer presented; `None` if it presented none.
    pub(super) fn presented(&self) -> Option<PresentedChain> {
        lock(&self.presented).take()
    }

    /// Returns whether the peer requested a client certificate.
    pub(super) fn was_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Returns whether there is a client certificate.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Verifies a signature only with the public key, if webpki rejects the certificate, for example because it is of
    /// version 1. The chain is verified later, and if faults are only reported, the probe continues.
    fn verify_by_key(
        &self,
        error: Error,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !matches!(error, Error::InvalidCertificate(_)) || EndEntityCert::try_from(certificate).is_ok() {
            return Err(error);
        }
        let Some(key) = public_key(certificate).map(SubjectPublicKeyInfoDer::from) else { return Err(error) };
        let Ok(entity) = RawPublicKeyEntity::try_from(&key) else { return Err(error) };
        let offered = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let mut algorithms = offered.into_iter().flat_map(|(_, algorithms)| algorithms.iter());
        if algorithms.any(|algorithm| entity.verify_signature(*algorithm, message, signed.signature()).is_ok()) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = end_entity.clone().into_owned();
        let intermediates = intermediates.iter().map(|der| der.clone().into_owned()).collect();
        *lock(&self.presented) = Some(PresentedChain { leaf, intermediates });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.verify_by_key(error, message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.verify_by_key(error, message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for RecordingVerifier {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.requested.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
