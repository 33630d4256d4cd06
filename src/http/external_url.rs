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
        let url: Uri = text.parse().map_err(|_| ExternalUrlError)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(ExternalUrlError);
        };
        if authority.as_str().contains('@') || url.query().is_some() || text.contains('#') || url.path().contains("//")
        {
            return Err(ExternalUrlError);
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
#[error("must be http:// or https://, a host and an optional path, like https://prometheus.example.com/portprobe/")]
pub struct ExternalUrlError;

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
        for text in [
            "",
            "a.example",
            "/portprobe",
            "ftp://a.example",
            "http://",
            "http://u:p@a.example",
            "http://a/?q=1",
            "http://a//b",
        ] {
            assert_eq!(text.parse::<ExternalUrl>(), Err(ExternalUrlError), "{text}");
        }
    }
}
