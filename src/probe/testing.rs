//! Certificates for tests: authorities, the certificates that they issue, and contexts that trust them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use webpki::{BorrowedCertRevocationList, CertRevocationList};

use crate::clock;
use crate::probe::tls_store::{Anchors, ClientIdentity, TlsContext};

/// Converts seconds since 1970 to the type that rcgen uses, which is from a crate that is not a dependency.
macro_rules! moment {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from($seconds).unwrap())
    };
}

/// Returns the start of the tests in seconds since 1970. The validity of all certificates is relative to it.
pub(in crate::probe) fn now() -> i64 {
    static NOW: LazyLock<i64> = LazyLock::new(|| clock::now().seconds());
    *NOW
}

/// A day in seconds.
pub(in crate::probe) const DAY: i64 = 86_400;

/// A certificate authority.
pub(in crate::probe) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    params: CertificateParams,
    pub(in crate::probe) der: CertificateDer<'static>,
}

/// A certificate with its key and the certificates to send after it.
pub(in crate::probe) struct Issued {
    pub(in crate::probe) chain: Vec<CertificateDer<'static>>,
    pub(in crate::probe) key: KeyPair,
}

impl Authority {
    /// Creates a root with this name.
    pub(in crate::probe) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    /// Creates a root with this name and other parameters.
    pub(in crate::probe) fn root_with(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        edit(&mut params);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params.clone(), key), params, der }
    }

    /// Creates an authority below this one.
    pub(in crate::probe) fn below(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        edit(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { issuer: Issuer::new(params.clone(), key), params, der }
    }

    /// Returns another certificate for the same name and key, signed by `other`.
    pub(in crate::probe) fn cross_signed_by(
        &self,
        other: &Self,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = self.params.clone();
        edit(&mut params);
        params.signed_by(self.issuer.key(), &other.issuer).unwrap().der().clone()
    }

    /// Issues a leaf for these names, without the certificate of this authority.
    pub(in crate::probe) fn leaf(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Issued {
        self.leaf_with_key(KeyPair::generate().unwrap(), names, edit)
    }

    /// Issues a leaf for a key.
    pub(in crate::probe) fn leaf_with_key(
        &self,
        key: KeyPair,
        names: &[&str],
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = leaf_params(names);
        edit(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Issued { chain: vec![leaf], key }
    }

    /// Returns a list of this authority that revokes these serial numbers.
    pub(in crate::probe) fn revoking(&self, serials: &[u8]) -> CertRevocationList<'static> {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: moment!(now() - DAY),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: moment!(now() - DAY),
            // Out of date, which is not a fault of the chain.
            next_update: moment!(now() - DAY / 2),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap();
        BorrowedCertRevocationList::from_der(list.der())
            .unwrap()
            .to_owned()
            .unwrap()
            .into()
    }
}

impl Issued {
    /// Creates a self-signed leaf.
    pub(in crate::probe) fn self_signed(names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (leaf_params(names), KeyPair::generate().unwrap());
        edit(&mut params);
        let leaf = params.self_signed(&key).unwrap().der().clone();
        Self { chain: vec![leaf], key }
    }

    /// Adds a certificate to the chain.
    #[must_use]
    pub(in crate::probe) fn and(mut self, der: &CertificateDer<'static>) -> Self {
        self.chain.push(der.clone());
        self
    }

    /// Returns chain and key in the form that servers and clients use.
    pub(in crate::probe) fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        // Not checked, because they need not match.
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// A context under construction.
pub(in crate::probe) struct Trusting {
    pub(in crate::probe) anchors: Vec<CertificateDer<'static>>,
    pub(in crate::probe) crls: Vec<CertRevocationList<'static>>,
    pub(in crate::probe) identity: Option<Arc<CertifiedKey>>,
    pub(in crate::probe) versions: &'static [&'static SupportedProtocolVersion],
    pub(in crate::probe) alpn: Vec<Vec<u8>>,
    pub(in crate::probe) generation: u64,
}

/// Starts a context that trusts these certificates, as if from `ca_file`.
pub(in crate::probe) fn trusting(anchors: &[&CertificateDer<'static>]) -> Trusting {
    Trusting {
        anchors: anchors.iter().copied().cloned().collect(),
        crls: Vec::new(),
        identity: None,
        versions: rustls::ALL_VERSIONS,
        alpn: Vec::new(),
        generation: 1,
    }
}

impl Trusting {
    /// Returns the context.
    pub(in crate::probe) fn context(self) -> TlsContext {
        let mut roots = Anchors::empty("the file ca.pem".to_owned());
        self.anchors.iter().for_each(|der| roots.add(der).unwrap());
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = self.alpn;
        let roots = Anchors { certificates: self.anchors, ..roots };
        let identity = self.identity.map(|key| Arc::new(ClientIdentity { key, not_after: None }));
        TlsContext {
            config,
            roots: Arc::new(roots),
            crls: vec![self.crls.into()],
            identity,
            generation: self.generation,
        }
    }
}

/// Sets the validity, in seconds relative to the start of the tests.
pub(in crate::probe) fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    params.not_before = moment!(now() + from);
    params.not_after = moment!(now() + to);
}

/// Returns a subject with one common name.
pub(in crate::probe) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid(&mut params, -100 * DAY, 100 * DAY);
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = common_name("leaf");
    valid(&mut params, -10 * DAY, 10 * DAY);
    params
}
