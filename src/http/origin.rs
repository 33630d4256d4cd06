//! Requests that a page of another site makes in the browser of somebody who can reach this server.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};

/// Whether a browser sends this request for a page of another origin (Fetch Metadata; RFC 6454 section 7).
///
/// Clients that are not browsers, such as curl, send neither header. `Origin: null` is the origin of a page that hides it.
pub(super) fn is_cross_origin(request: &Request<Incoming>) -> bool {
    differs(request.headers())
}

fn differs(headers: &HeaderMap) -> bool {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let other_site = value(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let other_origin = value(ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none() || authority != value(HOST)
    });
    other_site || other_origin
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_other_origins_differ() {
        for (headers, expected) in [
            (&[][..], false),
            (&[("origin", "http://probe.example:10115")], false),
            (&[("origin", "https://probe.example:10115")], false),
            (&[("origin", "http://probe.example")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "none"), ("origin", "http://evil.example")], true),
        ] {
            let mut map = HeaderMap::from_iter([(HOST, HeaderValue::from_static("probe.example:10115"))]);
            map.extend(
                headers
                    .iter()
                    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
            );
            assert_eq!(differs(&map), expected, "{headers:?}");
        }
    }
}
