//! The keys below `http`: what one level says, and what comes out of several.

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

use crate::config::dialogue;
use crate::config::layer::{Layers, list, mapping, text, unknown_keys, value};
use crate::config::leaf::{Given, List, Named, Text};
use crate::config::place::At;
use crate::config::problem::Problems;
use crate::config::raw::RawHttp;
use crate::target::{HttpSettings, Pattern, StatusRange};

/// What one level says of HTTP.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HttpLayer {
    method: Option<Method>,
    headers: Option<Vec<(HeaderName, HeaderValue)>>,
    status: Option<Vec<StatusRange>>,
    body: Option<Pattern>,
    body_limit: Option<u32>,
}

impl HttpLayer {
    /// Takes what stands below `http`. A wrong value is noted, and counts as left out.
    pub(super) fn read(given: Given<RawHttp>, at: At<'_>, problems: &mut Problems) -> Self {
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
        Self {
            method: value(raw.method, at.key("method"), problems),
            headers: headers(raw.headers, at.key("headers"), problems),
            status: status.filter(|status| !status.is_empty()),
            body: pattern(raw.body, at.key("body"), problems),
            body_limit: value(raw.body_limit, at.key("body_limit"), problems),
        }
    }

    /// The first key that is set.
    pub(super) fn first_key(&self) -> Option<&'static str> {
        let keys = [
            ("method", self.method.is_some()),
            ("headers", self.headers.is_some()),
            ("status", self.status.is_some()),
            ("body", self.body.is_some()),
            ("body_limit", self.body_limit.is_some()),
        ];
        keys.into_iter().find(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}

impl Layers<'_> {
    /// What is asked of an HTTP server.
    pub(super) fn http(self) -> HttpSettings {
        let default = HttpSettings::default();
        HttpSettings {
            method: self.nearest(|layer| layer.http.method.clone()).map_or(default.method, |(_, method)| method),
            headers: self.nearest(|layer| layer.http.headers.clone()).map_or(default.headers, |(_, headers)| headers),
            status: self.nearest(|layer| layer.http.status.clone()).map_or(default.status, |(_, status)| status),
            body: self.nearest(|layer| layer.http.body.clone()).map(|(_, body)| body),
            body_limit: self.nearest(|layer| layer.http.body_limit).map_or(default.body_limit, |(_, limit)| limit),
        }
    }

    /// Notes settings of HTTP that a target has for itself, though none of its protocols is HTTP.
    pub(super) fn refuse_http(self, own: usize, problems: &mut Problems) {
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
        let Ok(header) = HeaderName::try_from(&*name) else {
            problems.add_key(at, 0, "is no name of a header; expected letters, digits and hyphens");
            continue;
        };
        let Some(text) = text(given, at, problems) else { continue };
        match HeaderValue::try_from(&*text) {
            Ok(value) => headers.push((header, value)),
            Err(_) => problems.add(at, "has a character that no header can have, such as a line break"),
        }
    }
    Some(headers)
}

fn pattern(given: Given<Text>, at: At<'_>, problems: &mut Problems) -> Option<Pattern> {
    let expression = text(given, at, problems)?;
    Pattern::try_new(&expression).map_err(|error| problems.add(at, dialogue::cause(&error))).ok()
}
