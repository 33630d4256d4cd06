//! HTTP requests and expected responses.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::header_file::HeaderFile;
use super::pattern::Pattern;

/// A request, and the response that makes the probe succeed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpSettings {
    /// Method of the request.
    pub method: Method,
    /// Headers of the request; they replace those that portprobe sends by default.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Further headers, each with the file that holds its value. Disjoint from `headers`.
    pub headers_files: Vec<(HeaderName, Arc<HeaderFile>)>,
    /// Expected statuses; not empty.
    pub status: Vec<StatusRange>,
    /// Pattern that the body must match, if any.
    pub body: Option<Pattern>,
    /// Number of bytes of the body that are read to match it.
    pub body_limit: u32,
}

impl HttpSettings {
    /// Default limit of the body: 1 MiB.
    pub const DEFAULT_BODY_LIMIT: u32 = 1 << 20;

    /// Returns whether this status is expected.
    pub fn takes(&self, status: u16) -> bool {
        self.status.iter().any(|range| range.0.contains(&status))
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            method: Method::GET,
            headers: Vec::new(),
            headers_files: Vec::new(),
            status: vec![StatusRange::SUCCESS],
            body: None,
            body_limit: Self::DEFAULT_BODY_LIMIT,
        }
    }
}

/// One status, or a range of them: `200`, `200-299`, `2xx`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct StatusRange(RangeInclusive<u16>);

impl StatusRange {
    /// Every successful status (RFC 9110 section 15.3).
    pub const SUCCESS: Self = Self(200..=299);
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (*self.0.start(), *self.0.end());
        if first == last {
            return write!(f, "{first}");
        }
        if first.is_multiple_of(100) && last == first + 99 {
            return write!(f, "{}xx", first / 100);
        }
        write!(f, "{first}-{last}")
    }
}

impl FromStr for StatusRange {
    type Err = StatusRangeError;

    fn from_str(text: &str) -> Result<Self, StatusRangeError> {
        let code = |text: &str| {
            let code = text
                .parse()
                .ok()
                .filter(|_| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()));
            code.filter(|code| (100..=999).contains(code)).ok_or(StatusRangeError)
        };
        if let Some(class) = text.strip_suffix("xx") {
            let first = code(&format!("{class}00"))?;
            return Ok(Self(first..=first + 99));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (code(first)?, code(last)?);
        if first <= last { Ok(Self(first..=last)) } else { Err(StatusRangeError) }
    }
}

/// The text is neither a status nor a range of statuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a valid status; must be between 100 and 999, or a range like 200-299 or 2xx")]
pub struct StatusRangeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_class_or_range() {
        for (text, within, beyond, shown) in [
            ("200", [200, 200], [199, 201], "200"),
            ("2xx", [200, 299], [199, 300], "2xx"),
            ("301-308", [301, 308], [300, 309], "301-308"),
            ("400-499", [400, 499], [399, 500], "4xx"),
            // Used although they have no meaning (RFC 9110 section 15).
            ("999", [999, 999], [998, 1000], "999"),
            ("9xx", [900, 999], [899, 1000], "9xx"),
        ] {
            let settings = HttpSettings { status: vec![text.parse().unwrap()], ..HttpSettings::default() };
            assert!(within.into_iter().all(|status| settings.takes(status)), "{text}");
            assert!(!beyond.into_iter().any(|status| settings.takes(status)), "{text}");
            assert_eq!(settings.status[0].to_string(), shown);
        }
        for text in ["", "20", "2000", "099", "0xx", "xx", "+20", "300-200", "200-", "2XX", "200 "] {
            assert_eq!(text.parse::<StatusRange>(), Err(StatusRangeError), "{text}");
        }
    }
}
