//! The sources of `discovery`: where each looks, and the settings that it lends its targets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::file_uses::Profiles;
use crate::config::keys::read::{unknown_keys, value};
use crate::config::keys::value::{FilePath, Given, HttpScheme, HttpUrl, Leaf, List, Named, Port, RecordType};
use crate::config::keys::{RawSettings, RawSource, RawTls};
use crate::config::levels::http::{NamedFile, headers_files};
use crate::config::levels::{Layer, Layers};
use crate::config::modules::Modules;
use crate::config::problems::Problems;
use crate::config::problems::path::{At, KeyPath};
use crate::config::sources::{HttpSource, Records, Source, SourceKind};
use crate::duration;
use crate::target::{HostName, ServerName, TlsSettings};

/// Every source, and the settings of its targets that come right behind their own, by the source's name.
#[derive(Debug, Default)]
pub(in crate::config) struct Sources {
    pub(in crate::config) all: Vec<Source>,
    pub(in crate::config) layers: HashMap<Arc<str>, Layer>,
    places: HashMap<Arc<str>, KeyPath>,
}

impl Sources {
    /// Takes the sources as written. A wrong one is noted and left out.
    pub(in crate::config) fn read(
        List(items): List<RawSource>,
        at: At<'_>,
        modules: &Modules,
        profiles: &mut Profiles,
        problems: &mut Problems,
    ) -> Self {
        let mut sources = Self::default();
        for (index, item) in items.into_iter().enumerate() {
            let at = at.item(index);
            let Some(mut raw) = value(item, at, problems) else { continue };
            unknown_keys(&raw.unknown, at, RawSource::keys, problems);
            let layer = lent(&mut raw, at, problems);
            modules.of(&[&layer], problems);
            let source = Reader { at, profiles, problems }.source(raw);
            if let Some((key, source)) = source {
                sources.add(source, layer, at, key, problems);
            }
        }
        sources
    }

    fn add(&mut self, source: Source, layer: Layer, at: At<'_>, key: &str, problems: &mut Problems) {
        if let Some(first) = self.places.get(&source.name) {
            let message = format!("is a source already, as {first}; remove one of the two");
            return problems.add_with(at.key(key), first.clone(), message);
        }
        self.places.insert(source.name.clone(), at.into());
        self.layers.insert(source.name.clone(), layer);
        self.all.push(source);
    }
}

/// The settings that a source lends its targets.
fn lent(raw: &mut RawSource, at: At<'_>, problems: &mut Problems) -> Layer {
    let settings = RawSettings {
        scheme: mem::take(&mut raw.scheme),
        module: mem::take(&mut raw.module),
        labels: mem::take(&mut raw.labels),
        ..RawSettings::default()
    };
    Layer::read(settings, at, problems)
}

/// Reads one source.
struct Reader<'a, 'p> {
    at: At<'a>,
    profiles: &'p mut Profiles,
    problems: &'p mut Problems,
}

impl Reader<'_, '_> {
    /// The source, and the key that says where it looks.
    fn source(mut self, raw: RawSource) -> Option<(&'static str, Source)> {
        let key = self.only_key(&raw)?;
        let refresh = self.refresh(raw.refresh);
        if key != "http" {
            self.foreign("headers_files", &raw.headers_files, "http");
            self.foreign("tls", &raw.tls, "http");
        }
        if key != "dns" {
            self.foreign("type", &raw.records, "dns");
            self.foreign("port", &raw.port, "dns");
        }
        let (name, kind) = match key {
            "file" => self.file(raw.file)?,
            "http" => self.http(raw.http, raw.headers_files, raw.tls)?,
            _ => self.dns(raw.dns, raw.records, raw.port)?,
        };
        Some((key, Source { name: name.into(), kind, refresh }))
    }

    /// Which of the keys is there that say where a source looks; there must be one.
    fn only_key(&mut self, raw: &RawSource) -> Option<&'static str> {
        let keys = [("file", raw.file.is_nothing()), ("http", raw.http.is_nothing()), ("dns", raw.dns.is_nothing())];
        let mut keys = keys.into_iter().filter(|(_, is_nothing)| !is_nothing).map(|(key, _)| key);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Some(key),
            (Some(first), Some(second)) => {
                let message = format!("stands beside `{first}`; a source looks at one place, make two of it");
                self.problems.add_key(self.at.key(second), 0, message);
                None
            }
            (None, _) => {
                let message =
                    "has none of `file`, `http` and `dns`; add where its targets come from, like `file: 'sd/*.json'`";
                self.problems.add(self.at, message);
                None
            }
        }
    }

    /// Notes a key that is for another kind of source.
    fn foreign<T: Leaf>(&mut self, key: &str, given: &Given<T>, kind: &str) {
        if !given.is_nothing() {
            self.problems.add_key(self.at.key(key), 0, format!("is only for `{kind}`; remove it"));
        }
    }

    fn refresh(&mut self, given: Given<Duration>) -> Duration {
        let Some(refresh) = value(given, self.at.key("refresh"), self.problems) else { return DEFAULT_REFRESH };
        if !(MIN_REFRESH..=MAX_REFRESH).contains(&refresh) {
            let message = format!("{} is out of range; a source is asked every 1s to 1d", duration::display(refresh));
            self.problems.add(self.at.key("refresh"), message);
        }
        refresh
    }

    fn file(&mut self, given: Given<FilePath>) -> Option<(String, SourceKind)> {
        let at = self.at.key("file");
        let FilePath(pattern) = value(given, at, self.problems)?;
        let name = format!("file:{}", pattern.display());
        let has_wildcard = |part: &OsStr| part.as_encoded_bytes().iter().any(|b| matches!(b, b'*' | b'?'));
        if pattern.parent().is_some_and(|folder| has_wildcard(folder.as_os_str())) {
            let message = "has a wildcard in the name of a folder; only the last part may have some, like sd/*.json";
            self.problems.add(at, message);
            return None;
        }
        if pattern.file_name().is_none() || pattern.as_os_str().as_encoded_bytes().ends_with(b"/") {
            self.problems.add(at, "names a folder; name files in it, like sd/*.json");
            return None;
        }
        Some((name, SourceKind::File { pattern: self.profiles.folder().join(pattern) }))
    }

    fn http(
        &mut self,
        given: Given<HttpUrl>,
        headers_files: Given<Named<FilePath>>,
        tls: Given<RawTls>,
    ) -> Option<(String, SourceKind)> {
        let headers_files = self.headers_files(headers_files);
        let layer = Layer::read(RawSettings { tls, ..RawSettings::default() }, self.at, self.problems);
        let tls = Layers(&[&layer]).tls(None, self.profiles, self.problems);
        let url = value(given, self.at.key("http"), self.problems)?;
        match (url.scheme(), layer.tls.first_key()) {
            (HttpScheme::Http, Some(key)) => {
                let message = "does nothing, for this source is asked in plain http; write https:// or remove it";
                self.problems.add_key(layer.at.join("tls").join(key), 0, message);
            }
            (HttpScheme::Https, _) => self.check_server_name(&url, &tls),
            (HttpScheme::Http, None) => {}
        }
        let url = url.to_string();
        Some((format!("http:{url}"), SourceKind::Http(HttpSource { url, headers_files, tls })))
    }

    /// Notes a host that no certificate can be for.
    fn check_server_name(&mut self, url: &HttpUrl, tls: &TlsSettings) {
        if tls.server_name.is_none() && ServerName::of_host(url.host()).is_none() {
            let message = format!(
                "no certificate can be for `{}`, for a part of it begins or ends with a hyphen; set `tls.server_name`",
                url.host()
            );
            self.problems.add(self.at.key("http"), message);
        }
    }

    fn headers_files(&mut self, given: Given<Named<FilePath>>) -> Vec<(String, PathBuf)> {
        let at = self.at.key("headers_files");
        let folder = self.profiles.folder();
        let files = headers_files(given, at, self.problems).unwrap_or_default();
        for NamedFile { header, key, .. } in &files {
            if OWN_HEADERS.contains(&header.as_str()) {
                self.problems.add_key(at.key(key), 0, "is a header that portprobe sets itself; remove it");
            }
        }
        files.into_iter().map(|file| (file.header.as_str().to_owned(), folder.join(file.path))).collect()
    }

    fn dns(
        &mut self,
        given: Given<HostName>,
        records: Given<RecordType>,
        port: Given<Port>,
    ) -> Option<(String, SourceKind)> {
        let has_port = !port.is_nothing();
        let name = value(given, self.at.key("dns"), self.problems);
        let records = match records {
            Given::Nothing => Some(RecordType::default()),
            given => value(given, self.at.key("type"), self.problems),
        };
        let port = value(port, self.at.key("port"), self.problems).map(|Port(port)| port.get());
        let (name, records) = (name?, records?);
        if port.is_none() && has_port {
            return None;
        }
        let kind = self.records(records, port)?;
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let label = format!("dns:{}:{}{port}", records.as_str(), name.as_str());
        Some((label, SourceKind::Dns { name, records: kind }))
    }

    /// What is asked for: addresses need a port, SRV records have their own.
    fn records(&mut self, records: RecordType, port: Option<u16>) -> Option<Records> {
        let (key, message) = match (records, port) {
            (RecordType::Srv, None) => return Some(Records::Srv),
            (RecordType::A, Some(port)) => return Some(Records::A(port)),
            (RecordType::Aaaa, Some(port)) => return Some(Records::Aaaa(port)),
            (RecordType::Srv, Some(_)) => {
                let message =
                    "stands beside the type SRV, whose records have ports of their own; remove it, or write `type: A`";
                ("port", message.to_owned())
            }
            (RecordType::A | RecordType::Aaaa, None) => {
                let message = format!("has no `port` beside it, and {} records tell none; add one", records.as_str());
                ("type", message)
            }
        };
        self.problems.add_key(self.at.key(key), 0, message);
        None
    }
}

/// Headers that say how a request is to be read (RFC 9110 section 7.6.1).
const OWN_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const DEFAULT_REFRESH: Duration = Duration::from_mins(1);
const MIN_REFRESH: Duration = Duration::from_secs(1);
const MAX_REFRESH: Duration = Duration::from_hours(24);
