//! The keys below `http`: what one level says, and what comes out of several.

use std::path::PathBuf;

use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

use crate::config::file_uses::Profiles;
use crate::config::keys::RawHttp;
use crate::config::keys::read::{list, mapping, text, unknown_keys, value};
use crate::config::keys::value::{FilePath, Given, List, Named, Text};
use crate::config::levels::Layers;
use crate::config::levels::template;
use crate::config::problems::Problems;
use crate::config::problems::path::At;
use crate::target::{HttpSettings, Pattern, StatusRange};

/// A header and the file that has its value, as they are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::config) struct NamedFile {
    pub(in crate::config) header: HeaderName,
    /// The header's name as the key has it.
    pub(in crate::config) key: Box<str>,
    pub(in crate::config) path: PathBuf,
}

/// What one level says of HTTP.
#[derive(Debug, Default, PartialEq)]
pub(in crate::config) struct HttpLayer {
    method: Option<Method>,
    headers: Option<Vec<(HeaderName, HeaderValue)>>,
    headers_files: Option<Vec<NamedFile>>,
    status: Option<Vec<StatusRange>>,
    body: Option<Pattern>,
    body_limit: Option<u32>,
}

impl HttpLayer {
    /// Takes what stands below `http`. A wrong value is noted, and counts as left out.
    pub(in crate::config) fn read(given: Given<RawHttp>, at: At<'_>, problems: &mut Problems) -> Self {
        if given.is_nothing() {
            return Self::default();
        }
        let raw = mapping(given, at, problems);
        unknown_keys(&raw.unknown, at, RawHttp::keys, problems);
        let empty = matches!(&raw.status, Given::Value(List(items)) if items.is_empty());
        if empty {
            problems.add(at.key("status"), "is an empty list; write a status or a range into it, or remove the key");
        }
        let status = list(raw.status, at.key("status"), problems);
        let headers = headers(raw.headers, at.key("headers"), problems);
        let headers_files = headers_files(raw.headers_files, at.key("headers_files"), problems);
        for NamedFile { header, key, .. } in headers_files.iter().flatten() {
            if headers.iter().flatten().any(|(plain, _)| plain == header) {
                problems.add_key(
                    at.key("headers_files").key(key),
                    0,
                    "stands in `headers`, too; remove one of the two",
                );
            }
        }
        Self {
            method: value(raw.method, at.key("method"), problems),
            headers,
            headers_files,
            status: status.filter(|status| !status.is_empty()),
            body: pattern(raw.body, at.key("body"), problems),
            body_limit: value(raw.body_limit, at.key("body_limit"), problems),
        }
    }

    /// Notes that files are named where none may be.
    pub(in crate::config) fn refuse_files(&self, at: At<'_>, problems: &mut Problems) {
        if self.headers_files.is_some() {
            let message = "names a file of this machine, which a source that is asked by HTTP may not; set it in a module and let the source name that";
            problems.add_key(at.key("http").key("headers_files"), 0, message);
        }
    }

    /// The first key that is set.
    pub(in crate::config) fn first_key(&self) -> Option<&'static str> {
        let keys = [
            ("method", self.method.is_some()),
            ("headers", self.headers.is_some()),
            ("headers_files", self.headers_files.is_some()),
            ("status", self.status.is_some()),
            ("body", self.body.is_some()),
            ("body_limit", self.body_limit.is_some()),
        ];
        keys.into_iter().find(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}

impl Layers<'_> {
    /// What is asked of an HTTP server.
    pub(in crate::config) fn http(self, profiles: &mut Profiles, problems: &mut Problems) -> HttpSettings {
        let default = HttpSettings::default();
        let method = self.nearest(|layer| layer.http.method.clone()).map_or(default.method, |(_, method)| method);
        let body = self.nearest(|layer| layer.http.body.clone());
        if let Some((of, _)) = body.as_ref().filter(|_| method == Method::HEAD)
            && let Some(layer) = self.0.get(*of)
        {
            let message = "matches nothing, for a HEAD is answered without a body; ask by GET, or remove it";
            problems.add_key(layer.at.join("http").join("body"), 0, message);
        }
        HttpSettings {
            method,
            status: self.nearest(|layer| layer.http.status.clone()).map_or(default.status, |(_, status)| status),
            body: body.map(|(_, body)| body),
            body_limit: self.nearest(|layer| layer.http.body_limit).map_or(default.body_limit, |(_, limit)| limit),
            ..self.headers(profiles)
        }
    }

    /// The headers of a request, by value and by file; of two that are the same the nearer counts.
    fn headers(self, profiles: &mut Profiles) -> HttpSettings {
        let (of_plain, mut plain) = self.nearest(|layer| layer.http.headers.clone()).unwrap_or_default();
        let (of_files, mut files) = self.nearest(|layer| layer.http.headers_files.clone()).unwrap_or_default();
        if of_files <= of_plain {
            plain.retain(|(header, _)| files.iter().all(|file| file.header != *header));
        } else {
            files.retain(|file| plain.iter().all(|(header, _)| *header != file.header));
        }
        let folder = profiles.folder();
        let share = |NamedFile { header, key, path }| {
            let at = self.0.get(of_files)?.at.join("http").join("headers_files").join(&key);
            Some((header, profiles.share_header(folder.join(path), at)))
        };
        let headers_files = files.into_iter().filter_map(share).collect();
        HttpSettings { headers: plain, headers_files, ..HttpSettings::default() }
    }

    /// Notes settings of HTTP that a target has for itself, though none of its protocols is HTTP.
    pub(in crate::config) fn refuse_http(self, own: usize, problems: &mut Problems) {
        for layer in self.0.iter().take(own) {
            if let Some(key) = layer.http.first_key() {
                let message = "does nothing, for this target speaks no HTTP; write http:// or https://, or remove it";
                problems.add_key(layer.at.join("http").join(key), 0, message);
            }
        }
    }
}

fn headers(given: Given<Named<Text>>, at: At<'_>, problems: &mut Problems) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let Named(named) = value(given, at, problems)?;
    let mut headers = Vec::new();
    for (name, given) in named {
        let at = at.key(&name);
        let Some(header) = header_name(&name, at, problems) else { continue };
        let Some(text) = text(given, at, problems) else { continue };
        match HeaderValue::try_from(&*text) {
            Ok(value) => headers.push((header, value)),
            Err(_) => problems.add(at, "has a character that no header can have, such as a line break"),
        }
    }
    Some(headers)
}

/// Headers by the files that have their values; what is wrong with one is noted.
pub(in crate::config) fn headers_files(
    given: Given<Named<FilePath>>,
    at: At<'_>,
    problems: &mut Problems,
) -> Option<Vec<NamedFile>> {
    let Named(named) = value(given, at, problems)?;
    let mut files: Vec<NamedFile> = Vec::new();
    for (index, (key, given)) in named.iter().enumerate() {
        // The same key twice in one mapping is noted elsewhere.
        if named.iter().take(index).any(|(earlier, _)| earlier == key) {
            continue;
        }
        let at = at.key(key);
        let header = header_name(key, at, problems);
        if files.iter().any(|known| Some(&known.header) == header.as_ref()) {
            let message = "is there already, for case does not matter in a header's name; remove one of the two";
            problems.add_key(at, 0, message);
        }
        match (header, given) {
            (Some(header), Given::Value(FilePath(path))) => {
                files.push(NamedFile { header, key: key.clone(), path: path.clone() });
            }
            (_, Given::Value(_)) => {}
            (_, Given::Wrong(message)) => problems.add(at, message.clone()),
            (_, Given::Nothing) => problems.add(at, "is empty; name the file that has the header's value"),
        }
    }
    Some(files)
}

fn header_name(name: &str, at: At<'_>, problems: &mut Problems) -> Option<HeaderName> {
    let message = match HeaderName::try_from(name) {
        Err(_) => "is no name of a header; expected letters, digits and hyphens",
        Ok(header) if OWN_HEADERS.contains(&header) => "is a header that portprobe sets itself; remove it",
        Ok(header) => return Some(header),
    };
    problems.add_key(at, 0, message);
    None
}

fn pattern(given: Given<Text>, at: At<'_>, problems: &mut Problems) -> Option<Pattern> {
    let expression = text(given, at, problems)?;
    Pattern::try_new(&expression).map_err(|error| problems.add(at, template::cause(&error))).ok()
}

/// Those that say how a request is to be read: a body that never comes, or a connection that stays, would look like a
/// server that hangs.
const OWN_HEADERS: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
