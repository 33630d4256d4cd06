//! The keys of `http`: contradictions within a level, and the settings that result from several levels.

use http::Method;

use crate::config::file_uses::FileUses;
use crate::config::keys::Http;
use crate::config::keys::read::Mapping;
use crate::config::keys::value::{HeaderFileUse, HeaderFiles, HeaderValues, Statuses};
use crate::config::levels::{Level, Levels, Nearest};
use crate::config::problems::At;
use crate::target::HttpSettings;

/// Reports contradictions within one level.
pub(in crate::config) fn check(http: &Http, at: At<'_>) {
    let (Some(HeaderValues(plain)), Some(HeaderFiles(files))) = (http.headers.get(), http.headers_files.get()) else {
        return;
    };
    for HeaderFileUse { header, key, .. } in files {
        if plain.iter().any(|(plain, _)| plain == header) {
            at.key("headers_files")
                .key(key)
                .refuse_key("conflicts with the same header in `headers`; remove one");
        }
    }
}

impl Level {
    /// Reports header files, which an entry from another host must not name.
    pub(in crate::config) fn refuse_header_files(&self, at: At<'_>) {
        if self.keys.http.get().is_some_and(|http| http.headers_files.get().is_some()) {
            let message = "not allowed in an entry of an HTTP source, because it names a local file; set it in a module, and refer to that";
            at.key("http").key("headers_files").refuse_key(message);
        }
    }
}

impl<'a> Levels<'a> {
    /// The request, and what the response must be.
    pub(in crate::config) fn http(self, files: &mut FileUses) -> HttpSettings {
        let default = HttpSettings::default();
        let method = self.value(|keys| keys.http.get()?.method.get()).unwrap_or(default.method);
        let body = self.nearest_http(|http| http.body.get());
        if let Some((of_body, _)) = body.filter(|_| method == Method::HEAD) {
            let message = "conflicts with the method HEAD, whose responses have no body; use GET, or remove it";
            self.problems.refuse_key(of_body.at("http").join("body"), message);
        }
        HttpSettings {
            method,
            status: self
                .value(|keys| keys.http.get()?.status.get())
                .map_or(default.status, |Statuses(ranges)| ranges),
            body: body.map(|(_, body)| body.clone()),
            body_limit: self
                .value(|keys| keys.http.get()?.body_limit.get())
                .unwrap_or(default.body_limit),
            ..self.headers(files)
        }
    }

    fn nearest_http<T>(self, key: impl Fn(&'a Http) -> Option<T>) -> Option<(Nearest<'a>, T)> {
        self.nearest(|keys| key(keys.http.get()?))
    }

    /// The headers, by value and by file; if both have the same header, the nearer level wins.
    fn headers(self, files: &mut FileUses) -> HttpSettings {
        let plain = self.nearest_http(|http| http.headers.get());
        let of_files = self.nearest_http(|http| http.headers_files.get());
        let files_win = match (&plain, &of_files) {
            (Some((of_plain, _)), Some((of_files, _))) => of_files.distance <= of_plain.distance,
            _ => true,
        };
        let mut plain = plain.map(|(_, HeaderValues(plain))| plain.clone()).unwrap_or_default();
        let mut headers_files = Vec::new();
        if let Some((nearest, HeaderFiles(uses))) = of_files {
            let (at, folder) = (nearest.at("http").join("headers_files"), files.folder());
            if files_win {
                plain.retain(|(header, _)| uses.iter().all(|file| file.header != *header));
            }
            for HeaderFileUse { header, key, path } in uses {
                if plain.iter().all(|(plain, _)| plain != header) {
                    headers_files.push((header.clone(), files.share_header(folder.join(path), at.join(key))));
                }
            }
        }
        HttpSettings { headers: plain, headers_files, ..HttpSettings::default() }
    }

    /// Reports settings of HTTP in the `own` nearest levels, for a target without HTTP.
    pub(in crate::config) fn refuse_http(self, own: usize) {
        for level in self.all.iter().take(own) {
            if let Some(key) = level.keys.http.get().and_then(Mapping::first_set) {
                let message = "only for http and https; change the scheme, or remove it";
                self.problems.refuse_key(level.at.join("http").join(key), message);
            }
        }
    }
}
