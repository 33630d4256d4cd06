//! Content negotiation: the format of a scrape.
//!
//! The rules are those of Prometheus' client libraries (`expfmt.Negotiate`): clauses are ordered by weight, and among
//! equal weights those with a wildcard come last. The first supported clause wins. If none is supported, the format is
//! text; the status is never 406 (RFC 9110 section 12.5).
//!
//! The header is parsed here because crates for it would save little and do not support Prometheus' parameters.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName, HeaderValue};

use crate::metrics::Format;

/// The format and encoding for a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Negotiated {
    pub(super) format: Format,
    pub(super) content_type: &'static str,
    pub(super) gzip: bool,
}

/// Reads what a client accepts. Malformed clauses are ignored.
pub(super) fn negotiate(headers: &HeaderMap<HeaderValue>) -> Negotiated {
    negotiate_among(headers, |_| true)
}

/// As [`negotiate`], without protobuf.
pub(super) fn negotiate_text(headers: &HeaderMap<HeaderValue>) -> Negotiated {
    negotiate_among(headers, |format| format != Format::Protobuf)
}

fn negotiate_among(headers: &HeaderMap<HeaderValue>, is_supported: impl Fn(Format) -> bool) -> Negotiated {
    let mut clauses: Vec<_> = clauses(headers, ACCEPT).collect();
    clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.wildcards().cmp(&b.wildcards())));
    let mut accepted = clauses.iter().filter(|clause| clause.weight > 0.0).filter_map(Clause::served);
    let first = accepted.find(|(format, _)| is_supported(*format));
    let (format, content_type) = first.unwrap_or((Format::Text, TEXT));
    Negotiated { format, content_type, gzip: accepts_gzip(headers) }
}

/// Whether gzip is accepted. The exact coding takes precedence over the wildcard (RFC 9110 section 12.5.3).
fn accepts_gzip(headers: &HeaderMap<HeaderValue>) -> bool {
    let clauses: Vec<_> = clauses(headers, ACCEPT_ENCODING).collect();
    let named = |name: &str| clauses.iter().find(|clause| clause.value.eq_ignore_ascii_case(name));
    let clause = named("gzip").or_else(|| named("x-gzip")).or_else(|| named("*"));
    clause.is_some_and(|clause| clause.weight > 0.0)
}

/// One clause of a header: a value, its parameters, its weight.
#[derive(Clone, Debug, PartialEq)]
struct Clause<'a> {
    value: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f64,
}

impl<'a> Clause<'a> {
    /// Reads a clause; `None` if it is empty or its weight is not a number from 0 to 1.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next().filter(|value| !value.is_empty())?;
        let parameter = |part: &'a str| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim(), value.trim().trim_matches('"')))
        };
        let parameters: Vec<_> = parts.filter_map(parameter).collect();
        let weight = match parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("q")) {
            None => 1.0,
            Some((_, weight)) => weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        };
        Some(Self { value, parameters, weight })
    }

    /// Returns the format that this clause requests, if it is supported, and its content type.
    fn served(&self) -> Option<(Format, &'static str)> {
        let is = |value: &str| self.value.eq_ignore_ascii_case(value);
        if is("application/openmetrics-text") {
            let content_type = match (self.parameter("version"), self.parameter("escaping")) {
                (None | Some("1.0.0"), None) => OPENMETRICS,
                // Names that need no escaping are the same in every scheme.
                (None | Some("1.0.0"), Some(_)) => OPENMETRICS_UNDERSCORES,
                // Requested by Prometheus before 2.34; the two do not differ for these metrics.
                (Some("0.0.1"), _) => OPENMETRICS_0_0_1,
                _ => return None,
            };
            return Some((Format::OpenMetrics, content_type));
        }
        if is("application/vnd.google.protobuf") {
            let asked = (self.parameter("proto"), self.parameter("encoding"));
            let delimited = asked == (Some("io.prometheus.client.MetricFamily"), Some("delimited"));
            return delimited.then_some((Format::Protobuf, PROTOBUF));
        }
        (is("text/plain") || is("text/*") || is("*/*")).then_some((Format::Text, TEXT))
    }

    fn wildcards(&self) -> usize {
        self.value.matches('*').count()
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// Returns the clauses of a header, which may be repeated.
fn clauses(headers: &HeaderMap<HeaderValue>, name: impl AsHeaderName) -> impl Iterator<Item = Clause<'_>> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(Clause::parse)
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OPENMETRICS_0_0_1: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OPENMETRICS_UNDERSCORES: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn negotiated(accept: &[&str]) -> (Format, &'static str) {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, HeaderValue::from_str(line).unwrap());
        }
        let Negotiated { format, content_type, .. } = negotiate(&headers);
        (format, content_type)
    }

    #[test]
    fn protobuf_gives_way_to_text() {
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, expected) in [
            (native.to_owned(), Format::Text),
            (format!("{native},application/openmetrics-text;version=1.0.0;q=0.6"), Format::OpenMetrics),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(&accept).unwrap())]);
            assert_eq!(negotiate_text(&headers).format, expected, "{accept}");
        }
    }

    #[test]
    fn every_client_gets_its_preferred_format() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7";
        let native_first = format!("{native},{prometheus_3}");
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format, content_type) in [
            (&[][..], Format::Text, TEXT),
            (&["*/*"], Format::Text, TEXT),
            (&[prometheus_3], Format::OpenMetrics, OPENMETRICS_UNDERSCORES),
            (&[prometheus_2_42], Format::OpenMetrics, OPENMETRICS),
            (&[native_first.as_str()], Format::Protobuf, PROTOBUF),
            (&[prometheus_3, native], Format::Protobuf, PROTOBUF),
            (&["application/openmetrics-text;version=0.0.1"], Format::OpenMetrics, OPENMETRICS_0_0_1),
            (&["application/openmetrics-text; version=2.0.0, text/plain;q=0.1"], Format::Text, TEXT),
            (&["application/openmetrics-text"], Format::OpenMetrics, OPENMETRICS),
            (&["Application/OpenMetrics-Text; Version=\"1.0.0\""], Format::OpenMetrics, OPENMETRICS),
            (&["text/plain;q=0.5, application/openmetrics-text;q=0.4"], Format::Text, TEXT),
            (&["*/*;q=0.9, application/openmetrics-text;q=0.8"], Format::Text, TEXT),
            (&["*/*, text/*, application/openmetrics-text"], Format::OpenMetrics, OPENMETRICS),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Format::Text, TEXT),
            (
                &["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"],
                Format::Text,
                TEXT,
            ),
            (&["application/vnd.google.protobuf"], Format::Text, TEXT),
            (&["application/json"], Format::Text, TEXT),
            (&["application/openmetrics-text;q=0"], Format::Text, TEXT),
            (
                &["application/openmetrics-text;q=2", "application/openmetrics-text;q=x", "q=1;;;=,,"],
                Format::Text,
                TEXT,
            ),
            (&["application/openmetrics-text;q=NaN"], Format::Text, TEXT),
        ] {
            assert_eq!(negotiated(accept), (format, content_type), "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_sent_only_if_accepted() {
        for (accept, gzip) in [
            (None, false),
            (Some("gzip"), true),
            (Some("deflate, GZIP;q=0.5"), true),
            (Some("x-gzip"), true),
            (Some("*"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("identity"), false),
            (Some("br, zstd"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            }
            assert_eq!(negotiate(&headers).gzip, gzip, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(ACCEPT, value.clone()), (ACCEPT_ENCODING, value)]);
                negotiate(&headers);
            }
        }
    }
}
