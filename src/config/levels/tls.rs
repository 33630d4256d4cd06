//! The keys below `tls`: what one level says, and what comes out of several.

use std::path::{Path, PathBuf};

use crate::config::file_uses::{NamedFile, Profiles};
use crate::config::keys::RawTls;
use crate::config::keys::read::{list, mapping, unknown_keys, value};
use crate::config::keys::value::{FilePath, Given, List, RootSet};
use crate::config::levels::{Layer, Layers};
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::target::{
    AlpnProtocol, Identity, Roots, ServerName, Sha256Digest, TlsFile, TlsProfile, TlsSettings, TlsVersion, TlsVersions,
    Verify,
};

/// What one level says of TLS.
#[derive(Debug, Default, PartialEq)]
pub(in crate::config) struct TlsLayer {
    server_name: Option<ServerName>,
    verify: Option<Verify>,
    roots: Option<RootSet>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
    alpn: Option<Vec<AlpnProtocol>>,
    pins: Option<Vec<Sha256Digest>>,
    crl_files: Option<Vec<PathBuf>>,
}

impl TlsLayer {
    /// Takes what stands below `tls`. A wrong value is noted, and counts as left out.
    pub(in crate::config) fn read(given: Given<RawTls>, at: At<'_>, problems: &mut Problems) -> Self {
        if given.is_nothing() {
            return Self::default();
        }
        let raw = mapping(given, at, problems);
        unknown_keys(&raw.unknown, at, RawTls::keys, problems);
        let mut file = |given, key| value(given, at.key(key), problems).map(|FilePath(path)| path);
        let (ca_file, cert_file, key_file) =
            (file(raw.ca_file, "ca_file"), file(raw.cert_file, "cert_file"), file(raw.key_file, "key_file"));
        let layer = Self {
            server_name: value(raw.server_name, at.key("server_name"), problems),
            verify: value(raw.verify, at.key("verify"), problems),
            roots: value(raw.roots, at.key("roots"), problems),
            ca_file,
            cert_file,
            key_file,
            min_version: value(raw.min_version, at.key("min_version"), problems),
            max_version: value(raw.max_version, at.key("max_version"), problems),
            alpn: list(raw.alpn, at.key("alpn"), problems),
            pins: list(raw.pins, at.key("pins"), problems),
            crl_files: files(raw.crl_files, at.key("crl_files"), problems),
        };
        layer.check_alone(at, problems);
        layer
    }

    /// What one level must fulfil whatever the others say.
    fn check_alone(&self, at: At<'_>, problems: &mut Problems) {
        if self.roots.is_some() && self.ca_file.is_some() {
            problems.add_key(
                at.key("roots"),
                0,
                "stands beside `ca_file`, whose roots come in its place; remove one of the two",
            );
        }
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            problems.add(at.key("min_version"), above(min, max));
        }
    }

    /// The first key that is set.
    pub(in crate::config) fn first_key(&self) -> Option<&'static str> {
        let keys = [
            ("server_name", self.server_name.is_some()),
            ("verify", self.verify.is_some()),
            ("roots", self.roots.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("cert_file", self.cert_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("min_version", self.min_version.is_some()),
            ("max_version", self.max_version.is_some()),
            ("alpn", self.alpn.is_some()),
            ("pins", self.pins.is_some()),
            ("crl_files", self.crl_files.is_some()),
        ];
        keys.into_iter().find(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}

impl<'a> Layers<'a> {
    /// How TLS is spoken and judged, what contradicts itself noted. `alpn` is what the protocol offers by itself.
    pub(in crate::config) fn tls(
        self,
        alpn: Option<&str>,
        profiles: &mut Profiles,
        problems: &mut Problems,
    ) -> TlsSettings {
        let (folder, mut named) = (profiles.folder(), Vec::new());
        let profile = TlsProfile {
            roots: self.roots(&folder, &mut named),
            identity: self.identity(&folder, &mut named, problems),
            crl_files: self.crl_files(&folder, &mut named),
            versions: self.versions(problems),
            alpn: match self.nearest_tls(|tls| tls.alpn.clone()) {
                Some((_, alpn)) => alpn,
                None => alpn.and_then(AlpnProtocol::try_new).into_iter().collect(),
            },
        };
        TlsSettings {
            server_name: self.nearest_tls(|tls| tls.server_name.clone()).map(|(_, name)| name),
            verify: self.nearest_tls(|tls| tls.verify).map(|(_, verify)| verify).unwrap_or_default(),
            pins: self.nearest_tls(|tls| tls.pins.clone()).map(|(_, pins)| pins).unwrap_or_default(),
            profile: profiles.share(profile, named),
        }
    }

    /// The nearest value below `tls`, and the layer that has it.
    fn nearest_tls<T>(self, leaf: impl Fn(&'a TlsLayer) -> Option<T>) -> Option<(Level<'a>, T)> {
        let (distance, value) = self.nearest(|layer| leaf(&layer.tls))?;
        let layer = self.0.get(distance)?;
        Some((Level { distance, layer }, value))
    }

    /// Of `roots` and `ca_file` the nearer counts.
    fn roots(self, folder: &Path, named: &mut Vec<NamedFile>) -> Roots {
        let set = self.nearest_tls(|tls| tls.roots);
        let file = self.nearest_tls(|tls| tls.ca_file.as_deref());
        match (file, set) {
            (Some((level, path)), set) if set.is_none_or(|(of_set, _)| level.distance <= of_set.distance) => {
                named.push(level.names(TlsFile::CaFile, "ca_file"));
                Roots::File(level.resolved(path, folder))
            }
            (_, Some((level, RootSet::System))) => {
                named.push(level.names(TlsFile::Roots, "roots"));
                Roots::System
            }
            (_, Some((_, RootSet::Mozilla)) | None) => Roots::Mozilla,
        }
    }

    fn identity(self, folder: &Path, named: &mut Vec<NamedFile>, problems: &mut Problems) -> Option<Identity> {
        let certificate = self.nearest_tls(|tls| tls.cert_file.as_deref());
        let key = self.nearest_tls(|tls| tls.key_file.as_deref());
        match (certificate, key) {
            (Some((of_certificate, cert_file)), Some((of_key, key_file))) => {
                named.push(of_certificate.names(TlsFile::CertFile, "cert_file"));
                named.push(of_key.names(TlsFile::KeyFile, "key_file"));
                let cert_file = of_certificate.resolved(cert_file, folder);
                return Some(Identity { cert_file, key_file: of_key.resolved(key_file, folder) });
            }
            (Some((level, _)), None) => {
                let message = "has no `key_file` beside it; add one with the certificate's private key, which may be the same file";
                problems.add(level.key("cert_file"), message);
            }
            (None, Some((level, _))) => {
                let message = "has no `cert_file` beside it; add one with the certificate of this key, which may be the same file";
                problems.add(level.key("key_file"), message);
            }
            (None, None) => {}
        }
        None
    }

    fn crl_files(self, folder: &Path, named: &mut Vec<NamedFile>) -> Vec<PathBuf> {
        let Some((level, paths)) = self.nearest_tls(|tls| tls.crl_files.as_deref()) else { return Vec::new() };
        let key = level.key("crl_files");
        let item = |index| NamedFile { setting: TlsFile::CrlFile(index), at: key.item(index) };
        named.extend((0..paths.len()).map(item));
        paths.iter().map(|path| level.resolved(path, folder)).collect()
    }

    fn versions(self, problems: &mut Problems) -> TlsVersions {
        let [oldest, newest] = TlsVersion::ALL;
        let min = self.nearest_tls(|tls| tls.min_version);
        let max = self.nearest_tls(|tls| tls.max_version);
        let (from, to) = (min.map_or(oldest, |(_, min)| min), max.map_or(newest, |(_, max)| max));
        if let (true, Some((of_min, _)), Some((of_max, _))) = (from > to, min, max) {
            if of_min.distance <= of_max.distance {
                problems.add(of_min.key("min_version"), above(from, to));
            } else {
                let (from, to) = (from.as_str(), to.as_str());
                problems.add(
                    of_max.key("max_version"),
                    format!("{to} is below `min_version` ({from}); change one of the two"),
                );
            }
        }
        TlsVersions::try_new(from, to).unwrap_or_default()
    }
}

/// A layer that has a value, and how many are nearer.
#[derive(Clone, Copy)]
struct Level<'a> {
    distance: usize,
    layer: &'a Layer,
}

impl Level<'_> {
    fn key(self, key: &str) -> KeyPath {
        self.layer.at.join("tls").join(key)
    }

    fn names(self, setting: TlsFile, key: &str) -> NamedFile {
        NamedFile { setting, at: self.key(key) }
    }

    /// A path as it can be opened: one in the file is relative to the file's folder.
    fn resolved(self, path: &Path, folder: &Path) -> PathBuf {
        if self.layer.at.is_in_file() { folder.join(path) } else { path.to_owned() }
    }
}

fn files(given: Given<List<FilePath>>, at: At<'_>, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    Some(list(given, at, problems)?.into_iter().map(|FilePath(path)| path).collect())
}

fn above(min: TlsVersion, max: TlsVersion) -> String {
    format!("{} is above `max_version` ({}); change one of the two", min.as_str(), max.as_str())
}
