//! Modules with the prober `http`.

use super::document::{Block, shown};
use super::expression::{Haystack, expression};
use super::module::{Common, Kind, Prober, UNKNOWN, add_tls, omit, words};
use super::tls::Tls;
use crate::config::{ForeignValue, LoadError};

/// The settings of a module that its targets need.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct HttpModule {
    /// The headers, which a target with another host replaces as a whole.
    pub(super) headers: Vec<(String, String)>,
    pub(super) scheme: SchemeRule,
}

/// The schemes with which a probe can succeed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum SchemeRule {
    #[default]
    Any,
    /// `fail_if_ssl`
    WithoutTls,
    /// `fail_if_not_ssl`
    WithTls,
}

pub(super) fn read(prober: &ForeignValue<'_>) -> Result<Prober, LoadError> {
    let mut reader = Reader { follows: true, ..Reader::default() };
    for (key, value) in prober.entries()? {
        reader.setting(key, &value)?;
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    /// The settings of the module.
    outer: Block,
    /// Those under `http`.
    inner: Block,
    common: Common,
    tls: Tls,
    module: HttpModule,
    follows: bool,
}

impl Reader {
    fn setting(&mut self, key: &str, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        match key {
            "valid_status_codes" => {
                let codes = value.texts()?;
                if !codes.is_empty() {
                    self.inner.sequence("status", &words(&codes));
                }
            }
            "accept_any_response" => self.any_status(value)?,
            "valid_http_versions" => self.versions(value)?,
            "method" => {
                let method = value.text()?;
                if !method.is_empty() {
                    self.inner.text("method", &method);
                }
            }
            "headers" => self.headers(value)?,
            "follow_redirects" => self.follows = value.truth()?,
            "no_follow_redirects" => self.follows = !value.truth()?,
            "fail_if_ssl" if value.truth()? => self.module.scheme = SchemeRule::WithoutTls,
            "fail_if_not_ssl" if value.truth()? => self.module.scheme = SchemeRule::WithTls,
            "fail_if_body_not_matches_regexp" => self.body(value)?,
            "tls_config" => self.tls = Tls::read(value)?,
            // With HTTP/2, too, the probe uses HTTP/1.1, which every server has.
            "fail_if_ssl" | "fail_if_not_ssl" | "enable_http2" => {}
            key if self.common.read(key, value, &mut self.outer)? => {}
            key => self.without_equivalent(key, value),
        }
        Ok(())
    }

    fn any_status(&mut self, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        if value.truth()? {
            self.inner.yaml("status", "[100-999]");
        }
        Ok(())
    }

    fn versions(&mut self, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        let versions = value.texts()?;
        if !versions.is_empty() && !versions.iter().any(|version| version == "HTTP/1.1") {
            omit(&mut self.inner, "valid_http_versions", value, "the request is HTTP/1.1, without HTTP/2 and HTTP/3");
        }
        Ok(())
    }

    fn headers(&mut self, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        let mut headers = Block::default();
        for (name, value) in value.entries()? {
            let (name, value) = (name.to_ascii_lowercase(), value.text()?);
            headers.text(&name, &value);
            self.module.headers.push((name, value));
        }
        let has_secret = self.module.headers.iter().any(|(name, _)| SECRET_HEADERS.contains(&&**name));
        self.inner.block("headers", headers);
        if has_secret {
            self.inner
                .comment("to keep a secret out of this file, save it in a file and name that in headers_files");
        }
        Ok(())
    }

    fn body(&mut self, value: &ForeignValue<'_>) -> Result<(), LoadError> {
        let mut has_body = false;
        for expected in value.texts()? {
            match expression(&expected, Haystack::Body) {
                Ok(converted) if !has_body => {
                    has_body = true;
                    self.inner.text("body", &converted);
                }
                Ok(_) => self.omit_body(&expected, "only one expression is possible"),
                Err(reason) => self.omit_body(&expected, &reason),
            }
        }
        Ok(())
    }

    fn omit_body(&mut self, expected: &str, reason: &str) {
        self.inner
            .omit(&format!("fail_if_body_not_matches_regexp {}", shown(expected)), reason);
    }

    fn without_equivalent(&mut self, key: &str, value: &ForeignValue<'_>) {
        let is_off = value
            .short()
            .is_some_and(|value| matches!(&*value.to_ascii_lowercase(), "false" | "" | "[]" | "identity" | "0"));
        let reason = WITHOUT_EQUIVALENT
            .iter()
            .find(|(keys, _)| keys.contains(&key))
            .map(|(_, reason)| *reason);
        match reason {
            Some(_) if is_off => {}
            Some(reason) => omit(&mut self.inner, key, value, reason),
            None => omit(&mut self.inner, key, value, UNKNOWN),
        }
    }

    fn finish(mut self) -> Prober {
        if self.follows {
            self.inner
                .omit("follow_redirects", "redirects are not followed; name the final URL, or add 3xx to http.status");
        }
        match self.module.scheme {
            SchemeRule::Any => {}
            SchemeRule::WithoutTls => self.inner.comment("fail_if_ssl: use targets with http://"),
            SchemeRule::WithTls => self.inner.comment("fail_if_not_ssl: use targets with https://"),
        }
        // blackbox_exporter verifies the certificate for the header Host.
        if let Some((_, host)) = self.module.headers.iter().find(|(name, _)| name == "host") {
            self.tls.default_server_name(host_name(host));
        }
        let usage = self.tls.usage();
        self.common.finish(&mut self.outer);
        self.outer.block("http", self.inner);
        add_tls(&mut self.outer, self.tls);
        Prober { settings: self.outer, kind: Kind::Http(self.module), tls: usage }
    }
}

/// The host of `host:port`.
pub(super) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.trim_matches(['[', ']']),
        _ => host.trim_matches(['[', ']']),
    }
}

/// Settings without an equivalent, with the reason and what to do.
const WITHOUT_EQUIVALENT: [(&[&str], &str); 10] = [
    (&["body", "body_file"], "requests have no body"),
    (
        &["body_size_limit"],
        "a longer body is not a failure; http.body_limit only limits the part in which http.body is searched",
    ),
    (
        &["fail_if_body_matches_regexp"],
        "portprobe has no expression that a body must not match; use http.body for one that it must match",
    ),
    (
        &["fail_if_body_json_matches_cel", "fail_if_body_json_not_matches_cel"],
        "portprobe has no CEL; use http.body with a regular expression",
    ),
    (&["fail_if_header_matches", "fail_if_header_not_matches"], "headers of the response are not checked"),
    (
        &["basic_auth", "authorization", "bearer_token", "bearer_token_file"],
        "save the complete value of the header, such as `Basic dXNlcjpwYXNz` or `Bearer TOKEN`, in a file FILE, and set http.headers_files: { authorization: FILE }",
    ),
    (&["oauth2"], "portprobe has no OAuth 2.0"),
    (&["http_headers"], "save each value in a file, and set http.headers_files"),
    (
        &[
            "proxy_url",
            "no_proxy",
            "proxy_from_environment",
            "proxy_connect_header",
            "skip_resolve_phase_with_proxy",
            "use_proxy_dns",
        ],
        "portprobe connects without a proxy",
    ),
    (&["compression", "enable_http3"], "the response is read as HTTP/1.1 without decompression"),
];

const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "x-api-key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_not_part_of_names() {
        for (host, name) in [("a.example:443", "a.example"), ("a.example", "a.example"), ("[::1]:443", "::1")] {
            assert_eq!(host_name(host), name);
        }
    }
}
