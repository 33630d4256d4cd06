//! The settings of TLS from their keys.

use std::path::{Path, PathBuf};

use super::keys::{ClientAuthType, Curve, ServerVersion, TlsServer};
use super::{ClientAuth, PemSource, Preference, TlsServerSettings};
use crate::config::keys::read::{Field, Mapping as _};
use crate::config::problems::At;
use crate::target::{TlsVersion, TlsVersions};

/// Reads the settings of TLS; `None` if there are none, or if they are not complete.
pub(super) fn tls(keys: TlsServer, folder: &Path, at: At<'_>) -> Option<TlsServerSettings> {
    let auth = keys.client_auth_type.get().copied();
    let sources = [
        keys.cert.is_absent() && keys.cert_file.is_absent(),
        keys.key.is_absent() && keys.key_file.is_absent(),
        keys.client_ca.is_absent() && keys.client_ca_file.is_absent(),
    ];
    let [lacks_certificate, lacks_key, lacks_authorities] = sources;
    // As in the toolkit: other settings do not enable TLS.
    if lacks_certificate && lacks_key && lacks_authorities && auth.is_none() {
        if keys.first_set().is_some() {
            let message = "does not enable TLS, because it has no `cert_file` and no `key_file`; add them";
            at.problems().warn(at.path(), message.to_owned());
        }
        return None;
    }
    if lacks_certificate {
        at.refuse("has no certificate; add `cert_file`");
    }
    if lacks_key {
        at.refuse("has no private key; add `key_file`");
    }
    let versions = versions(&keys.min_version, &keys.max_version, at.key("min_version"));
    let authorities = source(keys.client_ca, keys.client_ca_file, ["client_ca", "client_ca_file"], folder, at);
    let client_auth = client_auth(auth.unwrap_or_default(), authorities, lacks_authorities, at);
    let client_names = keys.client_allowed_sans.into_value();
    if client_names.is_some() && client_auth.as_ref().is_some_and(|auth| !auth.is_required()) {
        at.key("client_allowed_sans").refuse(
            "has no effect unless clients need a certificate; set `client_auth_type` to `RequireAndVerifyClientCert`",
        );
    }
    let cipher_suites = keys.cipher_suites.into_value().unwrap_or_default();
    let only_tls12 = versions.is_some_and(|versions| versions.iter().all(|version| version == TlsVersion::V1_2));
    if only_tls12 && !cipher_suites.is_empty() && !cipher_suites.iter().any(|suite| suite.is_of_tls12()) {
        at.key("cipher_suites")
            .refuse("has no suite of TLS 1.2, which is the only version; add one, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        return None;
    }
    let preference = match keys.prefer_server_cipher_suites.get() {
        Some(false) => Preference::Client,
        Some(true) | None => Preference::Server,
    };
    Some(TlsServerSettings {
        certificate: source(keys.cert, keys.cert_file, ["cert", "cert_file"], folder, at)?,
        key: source(keys.key, keys.key_file, ["key", "key_file"], folder, at)?,
        client_auth: client_auth?,
        client_names,
        versions: versions?,
        cipher_suites,
        preference,
        key_exchange: keys
            .curve_preferences
            .into_value()
            .unwrap_or_default()
            .into_iter()
            .map(|Curve(group)| group)
            .collect(),
    })
}

/// Returns where a PEM text is. The file takes precedence, as in the toolkit.
fn source(
    inline: Field<Box<str>>,
    file: Field<PathBuf>,
    [inline_key, file_key]: [&str; 2],
    folder: &Path,
    at: At<'_>,
) -> Option<PemSource> {
    if inline.get().is_some() && file.get().is_some() {
        at.problems()
            .warn(at.key(inline_key).path(), format!("has no effect, because `{file_key}` is set; remove one"));
    }
    let file = file.into_value().map(|path| PemSource::File(folder.join(path)));
    file.or_else(|| inline.into_value().map(PemSource::Inline))
}

fn client_auth(
    auth: ClientAuthType,
    authorities: Option<PemSource>,
    lacks_authorities: bool,
    at: At<'_>,
) -> Option<ClientAuth> {
    let verify = matches!(auth, ClientAuthType::VerifyClientCertIfGiven | ClientAuthType::RequireAndVerifyClientCert);
    if verify && lacks_authorities {
        at.key("client_auth_type")
            .refuse("needs the certificates that sign those of clients; add `client_ca_file`");
    }
    if authorities.is_some() && auth == ClientAuthType::NoClientCert {
        let fix = "set `client_auth_type` to `RequireAndVerifyClientCert`, or remove the client CA";
        at.refuse(format!("has a client CA, but clients need no certificate; {fix}"));
    }
    match auth {
        ClientAuthType::NoClientCert => Some(ClientAuth::None),
        ClientAuthType::RequestClientCert => Some(ClientAuth::Request),
        ClientAuthType::RequireAnyClientCert => Some(ClientAuth::RequireAny),
        ClientAuthType::VerifyClientCertIfGiven => authorities.map(ClientAuth::VerifyIfGiven),
        ClientAuthType::RequireAndVerifyClientCert => authorities.map(ClientAuth::RequireAndVerify),
    }
}

fn versions(min: &Field<ServerVersion>, max: &Field<ServerVersion>, at: At<'_>) -> Option<TlsVersions> {
    let (ServerVersion(min), ServerVersion(max)) = (
        min.get().copied().unwrap_or(ServerVersion(TlsVersion::V1_2)),
        max.get().copied().unwrap_or(ServerVersion(TlsVersion::V1_3)),
    );
    let versions = TlsVersions::try_new(min, max);
    if versions.is_none() {
        at.refuse("is above `max_version`; lower it");
    }
    versions
}
