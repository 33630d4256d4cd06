//! The keys of `tls`: contradictions within a level, and the settings that result from several levels.

use std::path::{Path, PathBuf};

use crate::config::file_uses::{FileUse, FileUses};
use crate::config::keys::Tls;
use crate::config::keys::read::Mapping;
use crate::config::keys::value::RootSet;
use crate::config::levels::{Levels, Nearest};
use crate::config::problems::At;
use crate::config::problems::path::KeyPath;
use crate::target::{
    AlpnProtocol, Host, Identity, KeyExchange, KeyExchangeGroup, Roots, ServerName, TlsFile, TlsProfile, TlsSettings,
    TlsVersion, TlsVersions,
};

/// Reports contradictions within one level.
pub(in crate::config) fn check(tls: &Tls, at: At<'_>) {
    if tls.roots.get().is_some() && tls.ca_file.get().is_some() {
        at.key("roots").refuse_key("conflicts with `ca_file`; remove one");
    }
    if let (Some(&min), Some(&max)) = (tls.min_version.get(), tls.max_version.get())
        && min > max
    {
        at.key("min_version").refuse(above(min, max));
    }
}

/// The message for a host that no certificate can contain, if `tls` has no other name to verify.
pub(in crate::config) fn uncertifiable(host: &Host, tls: &TlsSettings) -> Option<String> {
    (tls.server_name.is_none() && ServerName::of_host(host).is_none()).then(|| {
        format!(
            "no certificate can match `{host}`, because a part of it starts or ends with a hyphen; set `tls.server_name`"
        )
    })
}

impl<'a> Levels<'a> {
    /// The TLS settings. Without `tls.alpn`, the protocol's `alpn` is offered.
    pub(in crate::config) fn tls(self, alpn: Option<&str>, files: &mut FileUses) -> TlsSettings {
        let (folder, mut uses) = (files.folder(), Vec::new());
        let versions = self.versions();
        let profile = TlsProfile {
            roots: self.roots(&folder, &mut uses),
            identity: self.identity(&folder, &mut uses),
            crl_files: self.crl_files(&folder, &mut uses),
            versions,
            key_exchange: self.key_exchange(versions),
            alpn: self
                .value(|keys| keys.tls.get()?.alpn.get())
                .unwrap_or_else(|| alpn.and_then(AlpnProtocol::try_new).into_iter().collect()),
        };
        TlsSettings {
            server_name: self.value(|keys| keys.tls.get()?.server_name.get()),
            verify: self.value(|keys| keys.tls.get()?.verify.get()).unwrap_or_default(),
            pins: self.value(|keys| keys.tls.get()?.pins.get()).unwrap_or_default(),
            profile: files.share_profile(profile, uses),
        }
    }

    fn nearest_tls<T>(self, key: impl Fn(&'a Tls) -> Option<T>) -> Option<(Nearest<'a>, T)> {
        self.nearest(|keys| key(keys.tls.get()?))
    }

    /// The nearer of `roots` and `ca_file` wins.
    fn roots(self, folder: &Path, uses: &mut Vec<FileUse>) -> Roots {
        let set = self.nearest_tls(|tls| tls.roots.get());
        let file = self.nearest_tls(|tls| tls.ca_file.get());
        match (file, set) {
            (Some((nearest, path)), set) if set.is_none_or(|(of_set, _)| nearest.distance <= of_set.distance) => {
                uses.push(nearest.file_use(TlsFile::CaFile, "ca_file"));
                Roots::File(nearest.resolved(path, folder))
            }
            (_, Some((nearest, RootSet::System))) => {
                uses.push(nearest.file_use(TlsFile::Roots, "roots"));
                Roots::System
            }
            (_, Some((_, RootSet::Mozilla)) | None) => Roots::Mozilla,
        }
    }

    fn identity(self, folder: &Path, uses: &mut Vec<FileUse>) -> Option<Identity> {
        let certificate = self.nearest_tls(|tls| tls.cert_file.get());
        let key = self.nearest_tls(|tls| tls.key_file.get());
        match (certificate, key) {
            (Some((of_certificate, cert_file)), Some((of_key, key_file))) => {
                uses.push(of_certificate.file_use(TlsFile::CertFile, "cert_file"));
                uses.push(of_key.file_use(TlsFile::KeyFile, "key_file"));
                let cert_file = of_certificate.resolved(cert_file, folder);
                return Some(Identity { cert_file, key_file: of_key.resolved(key_file, folder) });
            }
            (Some((nearest, _)), None) => {
                let message = "requires `key_file`; add the file with the private key, which may be the same";
                self.problems.refuse(nearest.tls("cert_file"), message);
            }
            (None, Some((nearest, _))) => {
                let message = "requires `cert_file`; add the file with the certificate, which may be the same";
                self.problems.refuse(nearest.tls("key_file"), message);
            }
            (None, None) => {}
        }
        None
    }

    fn crl_files(self, folder: &Path, uses: &mut Vec<FileUse>) -> Vec<PathBuf> {
        let Some((nearest, paths)) = self.nearest_tls(|tls| tls.crl_files.get()) else { return Vec::new() };
        let key = nearest.tls("crl_files");
        let item = |index| FileUse { setting: TlsFile::CrlFile(index), at: key.item(index) };
        uses.extend((0..paths.len()).map(item));
        paths.iter().map(|path| nearest.resolved(path, folder)).collect()
    }

    fn versions(self) -> TlsVersions {
        let [oldest, newest] = TlsVersion::ALL;
        let min = self.nearest_tls(|tls| tls.min_version.get());
        let max = self.nearest_tls(|tls| tls.max_version.get());
        let (from, to) = (min.map_or(oldest, |(_, min)| *min), max.map_or(newest, |(_, max)| *max));
        if let (true, Some((of_min, _)), Some((of_max, _))) = (from > to, min, max) {
            if of_min.distance <= of_max.distance {
                self.problems.refuse(of_min.tls("min_version"), above(from, to));
            } else {
                let (from, to) = (from.as_str(), to.as_str());
                let message = format!("{to} is below `min_version` ({from}); change one");
                self.problems.refuse(of_max.tls("max_version"), message);
            }
        }
        TlsVersions::try_new(from, to).unwrap_or_default()
    }

    /// The groups, of which at least one must be usable with one of the versions.
    fn key_exchange(self, versions: TlsVersions) -> KeyExchange {
        let Some((nearest, groups)) = self.nearest_tls(|tls| tls.key_exchange.get()) else {
            return KeyExchange::default();
        };
        let is_usable = |group: KeyExchangeGroup| versions.iter().any(|version| group.is_usable_with(version));
        if !groups.iter().any(is_usable) {
            let message = "has no group for TLS 1.2; add one, such as `x25519`, or raise `max_version`";
            self.problems.refuse(nearest.tls("key_exchange"), message);
        }
        groups.clone()
    }

    /// Reports settings of TLS in the `own` nearest levels, for a target without TLS.
    pub(in crate::config) fn refuse_tls(self, own: usize) {
        for level in self.all.iter().take(own) {
            if let Some(key) = level.keys.tls.get().and_then(Mapping::first_set) {
                let message = "only for targets with TLS; change the scheme, add a `dialogue` with `starttls: true`, or remove it";
                self.problems.refuse_key(level.at.join("tls").join(key), message);
            }
        }
    }
}

impl Nearest<'_> {
    /// The path of a key of `tls`.
    fn tls(self, key: &str) -> KeyPath {
        self.at("tls").join(key)
    }

    fn file_use(self, setting: TlsFile, key: &str) -> FileUse {
        FileUse { setting, at: self.tls(key) }
    }

    /// A path that can be opened: in the file, paths are relative to the file's folder.
    fn resolved(self, path: &Path, folder: &Path) -> PathBuf {
        if self.level.at.is_in_file() { folder.join(path) } else { path.to_owned() }
    }
}

fn above(min: TlsVersion, max: TlsVersion) -> String {
    format!("{} is above `max_version` ({}); change one", min.as_str(), max.as_str())
}
