//! The URL by which clients reach this server, such as through a reverse proxy.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// An `http://` or `https://` URL without a query. Its path is the prefix of every route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExternalUrl {
    scheme: Box<str>,
    authority: Box<str>,
    host: Box<str>,
    /// Without a slash at the end; empty if there is no path.
    prefix: Box<str>,
}

impl ExternalUrl {
    /// Returns the path before every route, without a slash at the end: `/portprobe`, or nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns host and port as they were written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}/", self.scheme, self.authority, self.prefix)
    }
}

impl FromStr for ExternalUrl {
    type Err = ExternalUrlError;

    fn from_str(text: &str) -> Result<Self, ExternalUrlError> {
        let url: Uri = text.parse().map_err(|_| ExternalUrlError::Malformed)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(ExternalUrlError::Malformed);
        };
        if authority.as_str().contains('@') {
            return Err(ExternalUrlError::User);
        }
        if authority.host().len() < authority.as_str().len() && authority.port_u16().is_none() {
            return Err(ExternalUrlError::Port);
        }
        if url.query().is_some() || text.contains('#') {
            return Err(ExternalUrlError::Query);
        }
        if url.path().contains("//") || url.path().split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(ExternalUrlError::Path);
        }
        Ok(Self {
            scheme: scheme.into(),
            authority: authority.as_str().into(),
            host: authority.host().to_lowercase().into(),
            prefix: url.path().trim_end_matches('/').into(),
        })
    }
}

/// A text is not an external URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExternalUrlError {
    /// It is not a URL with a host.
    #[error("must be http:// or https://, a host and an optional path, like https://prometheus.example.com/portprobe/")]
    Malformed,
    /// Its path is not the one that clients send.
    #[error("has a path with `//`, `.` or `..`, which clients and proxies change; remove them")]
    Path,
    /// Its port is not a number up to 65535.
    #[error("has a port that is not a number from 0 to 65535; correct or remove it")]
    Port,
    /// It has a query or fragment.
    #[error("has a query or a fragment; remove everything from the `?` or `#`")]
    Query,
    /// It has a user.
    #[error("has a user, which is not needed; remove everything before the `@`")]
    User,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_slash_at_its_end() {
        for (text, prefix, displayed) in [
            ("https://a.example", "", "https://a.example/"),
            ("https://a.example/", "", "https://a.example/"),
            ("http://A.example:8080/x/y/", "/x/y", "http://A.example:8080/x/y/"),
        ] {
            let url: ExternalUrl = text.parse().unwrap();
            assert_eq!((url.prefix(), url.host(), &*url.to_string()), (prefix, "a.example", displayed));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for (text, error) in [
            ("", ExternalUrlError::Malformed),
            ("a.example", ExternalUrlError::Malformed),
            ("/portprobe", ExternalUrlError::Malformed),
            ("ftp://a.example", ExternalUrlError::Malformed),
            ("http://", ExternalUrlError::Malformed),
            ("http://u:p@a.example", ExternalUrlError::User),
            ("http://a/?q=1", ExternalUrlError::Query),
            ("http://a/#b", ExternalUrlError::Query),
            ("http://a//b", ExternalUrlError::Path),
            ("http://a/b/../c", ExternalUrlError::Path),
            ("http://a:65536/", ExternalUrlError::Port),
        ] {
            assert_eq!(text.parse::<ExternalUrl>(), Err(error), "{text}");
        }
    }
}
