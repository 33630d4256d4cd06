//! Certificate authorities and certificates in every state, created by each test.

use std::ops::Range;
use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use time::{Duration, OffsetDateTime};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A root with this name.
    pub(crate) fn root(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap());
        Self(issuer.unwrap())
    }

    /// An authority that this one signs.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| {})
    }

    /// The same, changed before it is signed.
    pub(crate) fn intermediate_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(name);
        change(&mut params);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    /// The name and key of this authority, signed by another one, too.
    pub(crate) fn cross_signed_by(&self, other: &Self, name: &str, days: Range<i64>) -> CertificateDer<'static> {
        let mut params = authority(name);
        valid(&mut params, days);
        params.signed_by(self.0.key(), &other.0).unwrap().der().clone()
    }

    /// A certificate of this authority, without a chain.
    pub(crate) fn issue(&self, leaf: Leaf) -> Identity {
        let Leaf { params, key } = leaf;
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity::new(certificate.der().clone(), &params, &key)
    }

    /// A revocation list of these certificates, as PEM.
    pub(crate) fn revoke(&self, serials: &[&[u8]]) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: now - Duration::days(1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - Duration::days(1),
            next_update: now + Duration::days(1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, -365..3650);
    params
}

/// A certificate to be issued: by default ECDSA P-256, for servers, valid since yesterday and for 90 days.
pub(crate) struct Leaf {
    params: CertificateParams,
    key: KeyPair,
}

/// A certificate for these names and addresses.
pub(crate) fn leaf(names: &[&str]) -> Leaf {
    let mut params = CertificateParams::new(names.iter().copied().map(str::to_owned).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = named(names.first().unwrap_or(&"nobody"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, -1..90);
    Leaf { params, key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
}

/// Other kinds of keys than ECDSA P-256.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    EcdsaP384,
    Ed25519,
    Rsa,
}

impl Leaf {
    /// Valid from and to this many days from now.
    pub(crate) fn days(self, days: Range<i64>) -> Self {
        self.with(|params| valid(params, days))
    }

    pub(crate) fn key(mut self, kind: Kind) -> Self {
        let key = match kind {
            Kind::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Kind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Kind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        self.key = key.unwrap();
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// For clients and not for servers.
    pub(crate) fn for_clients(self) -> Self {
        self.with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Self-signed.
    pub(crate) fn self_signed(self) -> Identity {
        let certificate = self.params.self_signed(&self.key).unwrap();
        Identity::new(certificate.der().clone(), &self.params, &self.key)
    }
}

/// A certificate with its chain and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The last second of the leaf, since 1970.
    pub(crate) not_after: i64,
    /// The public key of the leaf as DER.
    pub(crate) public_key: Vec<u8>,
    key: Vec<u8>,
    key_pem: String,
}

impl Identity {
    fn new(certificate: CertificateDer<'static>, params: &CertificateParams, key: &KeyPair) -> Self {
        Self {
            chain: vec![certificate],
            not_after: params.not_after.unix_timestamp(),
            public_key: rcgen::PublicKeyData::subject_public_key_info(key),
            key: key.serialize_der(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The same with one more certificate in the chain.
    pub(crate) fn behind(mut self, certificate: CertificateDer<'static>) -> Self {
        self.chain.push(certificate);
        self
    }

    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The chain as PEM.
    pub(crate) fn pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// A TLS server with this identity.
    pub(crate) fn server(&self) -> ServerConfig {
        self.server_for(Versions::Both, Arc::new(NoClientAuth))
    }

    /// The same for these versions and clients.
    pub(crate) fn server_for(&self, versions: Versions, clients: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let versions: &[_] = match versions {
            Versions::Both => &[&TLS13, &TLS12],
            Versions::Only12 => &[&TLS12],
            Versions::Only13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(clients);
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        // Unchecked, because some of these certificates are invalid for a server.
        let key = CertifiedKey::new(self.chain.clone(), aws_lc_rs::sign::any_supported_type(&key).unwrap());
        builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
    }
}

/// The versions that a server supports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Versions {
    Both,
    Only12,
    Only13,
}

/// DER as PEM (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(crate) fn valid(params: &mut CertificateParams, days: Range<i64>) {
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now + Duration::days(days.start), now + Duration::days(days.end));
}
