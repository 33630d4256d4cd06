//! TLS of this server: certificate, versions, cipher suites and groups.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SignatureAlgorithm, SupportedCipherSuite, SupportedProtocolVersion};

use super::clients::ClientCertificates;
use crate::clock;
use crate::config::web::{ClientAuth, PemSource, Preference, TlsServerSettings, WebPem, WebSettings};
use crate::files;
use crate::probe::{certificate, identity};
use crate::target::{KeyExchangeGroup, TlsVersion};

/// The configuration of TLS, and the faults of its PEM texts.
#[derive(Debug, Default)]
pub(super) struct BuiltTls {
    /// `None` if TLS is disabled or a text is unusable.
    pub(super) config: Option<Arc<ServerConfig>>,
    pub(super) unusable: Vec<(WebPem, String)>,
    pub(super) warnings: Vec<(WebPem, String)>,
}

/// Reads the certificates and creates the configuration of TLS, if it is enabled.
pub(super) fn build(settings: &WebSettings) -> BuiltTls {
    let mut built = BuiltTls::default();
    let Some(tls) = &settings.tls else { return built };
    let provider = provider(tls);
    let certified = certified_key(tls, &provider, &mut built);
    let handshake_requires = tls.client_auth.is_required() && settings.excluded_paths.is_empty();
    let clients = match client_verifier(tls, &provider, handshake_requires) {
        Ok(clients) => Some(clients),
        Err(fault) => {
            built.unusable.push((WebPem::ClientCa, fault));
            None
        }
    };
    let (Some(certified), Some(clients)) = (certified, clients) else { return built };
    check_suites(tls, &certified, &provider, &mut built);
    let versions = versions(tls, &provider);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&versions);
    let builder = match builder {
        Ok(builder) => builder,
        Err(error) => {
            let fault = described(&tls.certificate, &format!("cannot be used with these versions and suites: {error}"));
            built.unusable.push((WebPem::Certificate, fault));
            return built;
        }
    };
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = tls.preference == Preference::Server;
    if tls.client_auth != ClientAuth::None {
        // A resumed session would outlive the certificate of its client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    built.config = Some(Arc::new(config));
    built
}

/// Returns the suites and groups of the settings.
fn provider(tls: &TlsServerSettings) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        // As in Go, the suites of TLS 1.3 cannot be restricted.
        let all = std::mem::take(&mut provider.cipher_suites);
        let of_name = |name: &str| all.iter().copied().find(|suite| suite.suite().as_str() == Some(name));
        let selected = tls.cipher_suites.iter().filter(|suite| suite.is_of_tls12());
        let selected = selected.filter_map(|suite| of_name(suite.as_str()));
        let of_tls13 = all.iter().copied().filter(|suite| suite.tls13().is_some());
        provider.cipher_suites = of_tls13.chain(selected).collect();
    }
    if !tls.key_exchange.is_empty() {
        provider.kx_groups = tls.key_exchange.iter().map(|group| supported(*group)).collect();
    }
    provider
}

fn supported(group: KeyExchangeGroup) -> &'static dyn SupportedKxGroup {
    match group {
        KeyExchangeGroup::Secp256r1 => kx_group::SECP256R1,
        KeyExchangeGroup::Secp384r1 => kx_group::SECP384R1,
        KeyExchangeGroup::X25519 => kx_group::X25519,
        KeyExchangeGroup::X25519Mlkem768 => kx_group::X25519MLKEM768,
    }
}

/// Returns the versions that have a cipher suite.
fn versions(tls: &TlsServerSettings, provider: &CryptoProvider) -> Vec<&'static SupportedProtocolVersion> {
    let has_tls12 = provider
        .cipher_suites
        .iter()
        .any(|suite| matches!(suite, SupportedCipherSuite::Tls12(_)));
    let versions = tls.versions.iter().filter_map(|version| match version {
        TlsVersion::V1_2 => has_tls12.then_some(&TLS12),
        TlsVersion::V1_3 => Some(&TLS13),
    });
    versions.collect()
}

fn certified_key(tls: &TlsServerSettings, provider: &CryptoProvider, built: &mut BuiltTls) -> Option<CertifiedKey> {
    let chain = parsed(&tls.certificate, identity::chain);
    let key = parsed(&tls.key, |bytes, path| identity::key(bytes, path, provider));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            built.unusable.extend(chain.err().map(|fault| (WebPem::Certificate, fault)));
            built.unusable.extend(key.err().map(|fault| (WebPem::Key, fault)));
            return None;
        }
    };
    let content = chain.first().and_then(|leaf| certificate::read(leaf).content);
    let now = clock::now().seconds();
    let warning = content.and_then(|content| {
        if now > content.not_after {
            return Some("has expired; clients refuse it");
        }
        (now < content.not_before).then_some("is not valid yet; clients refuse it")
    });
    let warning = warning
        .map(|fault| (WebPem::Certificate, described(&tls.certificate, &format!("has a certificate that {fault}"))));
    built.warnings.extend(warning);
    let certified = identity::matching(chain, key);
    if certified.is_none() {
        let fault = described(&tls.key, "has the key of another certificate");
        built.unusable.push((WebPem::Key, fault));
    }
    certified
}

/// Reports a certificate that no suite of TLS 1.2 can use.
fn check_suites(tls: &TlsServerSettings, certified: &CertifiedKey, provider: &CryptoProvider, built: &mut BuiltTls) {
    let of_tls12 = provider.cipher_suites.iter().filter_map(|suite| match suite {
        SupportedCipherSuite::Tls12(suite) => Some(suite),
        SupportedCipherSuite::Tls13(_) => None,
    });
    let mut of_tls12 = of_tls12.peekable();
    let has_tls12 = of_tls12.peek().is_some() && tls.versions.iter().any(|version| version == TlsVersion::V1_2);
    if !has_tls12 || of_tls12.any(|suite| certified.key.choose_scheme(suite.sign).is_some()) {
        return;
    }
    let (kind, other) =
        if certified.key.algorithm() == SignatureAlgorithm::RSA { ("RSA", "ECDSA") } else { ("ECDSA", "RSA") };
    let fault = format!(
        "has a certificate that needs {kind}, but `cipher_suites` has only {other}, so no client with TLS 1.2 can connect; \
         add TLS_ECDHE_{kind}_WITH_AES_128_GCM_SHA256"
    );
    let fault = (WebPem::Certificate, described(&tls.certificate, &fault));
    if tls.versions.iter().any(|version| version == TlsVersion::V1_3) {
        built.warnings.push(fault);
    } else {
        built.unusable.push(fault);
    }
}

fn client_verifier(
    tls: &TlsServerSettings,
    provider: &CryptoProvider,
    handshake_requires: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if tls.client_auth == ClientAuth::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let clients = ClientCertificates::new(provider, tls.client_names.clone(), handshake_requires);
    let Some(source) = tls.client_auth.authorities() else { return Ok(Arc::new(clients)) };
    let authorities = parsed(source, identity::chain)?;
    let verified = clients.verified_by(authorities, provider);
    verified
        .map(|clients| Arc::new(clients) as _)
        .map_err(|fault| described(source, &fault))
}

/// Reads and parses a PEM text. The error names the file.
fn parsed<T>(source: &PemSource, parse: impl FnOnce(&[u8], &Path) -> Result<T, String>) -> Result<T, String> {
    let (bytes, path) = match source {
        PemSource::File(path) => {
            let bytes = files::read(path, MAX_PEM_BYTES).map_err(|error| described(source, &error.to_string()))?;
            (Cow::Owned(bytes), path.as_path())
        }
        PemSource::Inline(text) => (Cow::Borrowed(text.as_bytes()), Path::new("FILE")),
    };
    parse(&bytes, path).map_err(|fault| described(source, &fault))
}

/// Puts the name of the file before a fault.
fn described(source: &PemSource, fault: &str) -> String {
    match source {
        PemSource::File(path) => format!("the file {} {fault}", path.display()),
        PemSource::Inline(_) => fault.to_owned(),
    }
}

/// Bundles of authorities have less than 1 MiB.
const MAX_PEM_BYTES: u64 = 4 << 20;
