//! Reads the discovery sources of a configuration, and the settings of their targets.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, HOST, HeaderName};

use crate::config::file_uses::FileUses;
use crate::config::keys::read::{Field, Items, Mapping};
use crate::config::keys::value::{HeaderFileUse, HeaderFiles, HttpScheme, Port, RecordType};
use crate::config::keys::{Settings, Source as Keys};
use crate::config::levels::tls::uncertifiable;
use crate::config::levels::{Level, Levels};
use crate::config::modules::Modules;
use crate::config::problems::At;
use crate::config::problems::path::KeyPath;
use crate::config::problems::text::quoted;
use crate::config::sources::{HttpSource, Records, Source, SourceKind};
use crate::target::{hide_query_values, secret_query_key};

/// Every source, and by its name the level of settings that it adds to its targets.
#[derive(Debug, Default)]
pub(in crate::config) struct Sources {
    pub(in crate::config) all: Vec<Source>,
    pub(in crate::config) levels: HashMap<Arc<str>, Level>,
    paths: HashMap<Arc<str>, KeyPath>,
}

impl Sources {
    /// Reads the sources. An invalid one is reported and skipped.
    pub(in crate::config) fn read(
        Items(items): Items<Keys>,
        at: At<'_>,
        modules: &Modules,
        files: &mut FileUses,
    ) -> Self {
        let mut sources = Self::default();
        for (index, item) in items.into_iter().enumerate() {
            let at = at.item(index);
            let Some(mut keys) = item.read_item(at) else { continue };
            let level = Level::new(target_settings(&mut keys), at);
            modules.of(&[&level], at.problems());
            if let Some((key, source)) = (SourceReader { at, files }).source(keys) {
                sources.add(source, level, at, key);
            }
        }
        sources
    }

    fn add(&mut self, source: Source, level: Level, at: At<'_>, key: &str) {
        if let Some(first) = self.paths.get(&source.name) {
            let message = format!("duplicate of {first}; remove one");
            return at.key(key).refuse_with(first.clone(), message);
        }
        self.paths.insert(source.name.clone(), at.path());
        let name = self.shown_name(&source);
        self.levels.insert(name.clone(), level);
        self.all.push(Source { name, ..source });
    }

    /// The name without the values of a query; with a number if another source has the same.
    fn shown_name(&self, source: &Source) -> Arc<str> {
        if !matches!(source.kind, SourceKind::Http(_)) {
            return source.name.clone();
        }
        let first = hide_query_values(&source.name).into_owned();
        let (mut name, mut number) = (first.clone(), 1);
        while self.levels.contains_key(name.as_str()) {
            number += 1;
            name = format!("{first}#{number}");
        }
        name.into()
    }
}

/// Takes the settings of a source's targets.
fn target_settings(keys: &mut Keys) -> Settings {
    Settings {
        scheme: mem::take(&mut keys.scheme),
        module: mem::take(&mut keys.module),
        labels: mem::take(&mut keys.labels),
        ..Settings::default()
    }
}

/// Reads one source.
struct SourceReader<'a, 'f> {
    at: At<'a>,
    files: &'f mut FileUses,
}

impl SourceReader<'_, '_> {
    /// The source, and the key that names its place.
    fn source(mut self, keys: Keys) -> Option<(&'static str, Source)> {
        let key = self.only_key(&keys)?;
        if key != "http" {
            self.refuse_foreign("headers_files", &keys.headers_files, "http");
            self.refuse_foreign("tls", &keys.tls, "http");
        }
        if key != "dns" {
            self.refuse_foreign("type", &keys.records, "dns");
            self.refuse_foreign("port", &keys.port, "dns");
        }
        let refresh = keys.refresh.get().copied().unwrap_or(DEFAULT_REFRESH);
        let (name, kind) = match key {
            "file" => self.file(keys)?,
            "http" => self.http(keys)?,
            _ => self.dns(keys)?,
        };
        Some((key, Source { name: name.into(), kind, refresh }))
    }

    /// The only key that names a place.
    fn only_key(&self, keys: &Keys) -> Option<&'static str> {
        let places = [("file", keys.file.is_absent()), ("http", keys.http.is_absent()), ("dns", keys.dns.is_absent())];
        let mut places = places.into_iter().filter(|(_, is_absent)| !is_absent).map(|(key, _)| key);
        match (places.next(), places.next()) {
            (Some(key), None) => Some(key),
            (Some(first), Some(second)) => {
                let message = format!("conflicts with `{first}`; split the source");
                self.at.key(second).refuse_key(message);
                None
            }
            (None, _) => {
                self.at
                    .refuse("requires one of `file`, `http`, `dns`; add one, like `file: 'sd/*.json'`");
                None
            }
        }
    }

    /// Reports a key that belongs to another kind of source.
    fn refuse_foreign<T>(&self, key: &str, field: &Field<T>, kind: &str) {
        if !field.is_absent() {
            self.at
                .key(key)
                .refuse_key(format_args!("only for `{kind}` sources; remove it"));
        }
    }

    fn file(&self, keys: Keys) -> Option<(String, SourceKind)> {
        let at = self.at.key("file");
        let pattern = keys.file.into_value()?;
        let name = format!("file:{}", pattern.display());
        let has_wildcard = |part: &OsStr| part.as_encoded_bytes().iter().any(|b| matches!(b, b'*' | b'?'));
        if pattern.parent().is_some_and(|folder| has_wildcard(folder.as_os_str())) {
            at.refuse("has a wildcard in a directory; only the last part can have wildcards, like sd/*.json");
            return None;
        }
        if pattern.file_name().is_none() || pattern.as_os_str().as_encoded_bytes().ends_with(b"/") {
            at.refuse("is a directory; must be files, like sd/*.json");
            return None;
        }
        Some((name, SourceKind::File { pattern: self.files.folder().join(pattern) }))
    }

    fn http(&mut self, keys: Keys) -> Option<(String, SourceKind)> {
        let headers_files = self.headers_files(keys.headers_files);
        let level = Level::new(Settings { tls: keys.tls, ..Settings::default() }, self.at);
        let tls = Levels { all: &[&level], problems: self.at.problems() }.tls(None, self.files);
        let url = keys.http.into_value()?;
        if let Some(key) = secret_query_key(url.path()) {
            let message = format!("the value of {} may be a secret; move it to `headers_files`", quoted(key));
            self.at.problems().warn(self.at.key("http").path(), message);
        }
        match (url.scheme(), level.keys.tls.get().and_then(Mapping::first_set)) {
            (HttpScheme::Http, Some(key)) => {
                let message = "only for https; use https://, or remove it";
                self.at.key("tls").key(key).refuse_key(message);
            }
            (HttpScheme::Https, _) => {
                if let Some(message) = uncertifiable(url.host(), &tls) {
                    self.at.key("http").refuse(message);
                }
            }
            (HttpScheme::Http, None) => {}
        }
        Some((format!("http:{url}"), SourceKind::Http(HttpSource { url, headers_files, tls })))
    }

    /// The header files, which are read with those of the targets, so that an unusable one is a problem.
    fn headers_files(&mut self, field: Field<HeaderFiles>) -> Vec<(String, PathBuf)> {
        let at = self.at.key("headers_files");
        let HeaderFiles(files) = field.into_value().unwrap_or_default();
        let mut paths = Vec::with_capacity(files.len());
        for HeaderFileUse { header, key, path } in files {
            let at = at.key(&key);
            if SOURCE_HEADERS.contains(&header) {
                at.refuse_key("reserved header, set by portprobe; remove it");
            }
            let path = self.files.folder().join(path);
            self.files.share_header(path.clone(), at.path());
            paths.push((header.as_str().to_owned(), path));
        }
        paths
    }

    fn dns(&self, keys: Keys) -> Option<(String, SourceKind)> {
        let name = keys.dns.into_value()?;
        let records = match keys.records {
            Field::Absent => RecordType::default(),
            records => records.into_value()?,
        };
        let port = match keys.port {
            Field::Absent => None,
            port => Some(port.into_value()?).map(|Port(port)| port.get()),
        };
        let kind = self.records(records, port)?;
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let label = format!("dns:{}:{}{port}", records.as_str(), name.as_str());
        Some((label, SourceKind::Dns { name, records: kind }))
    }

    /// The records to query: addresses need a port, SRV records contain one.
    fn records(&self, records: RecordType, port: Option<u16>) -> Option<Records> {
        match (records, port) {
            (RecordType::Srv, None) => return Some(Records::Srv),
            (RecordType::A, Some(port)) => return Some(Records::A(port)),
            (RecordType::Aaaa, Some(port)) => return Some(Records::Aaaa(port)),
            (RecordType::Srv, Some(_)) => {
                let message = "conflicts with the type `SRV`, whose records contain ports; remove it, or set `type: A`";
                self.at.key("port").refuse_key(message);
            }
            (RecordType::A | RecordType::Aaaa, None) => {
                let message =
                    format!("`{}` requires `port`, because these records contain none; add it", records.as_str());
                self.at.key("type").refuse_key(message);
            }
        }
        None
    }
}

/// Headers of each request to a source, in addition to those that no key can set.
static SOURCE_HEADERS: [HeaderName; 4] =
    [EXPECT, HOST, HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];
const DEFAULT_REFRESH: Duration = Duration::from_mins(1);
