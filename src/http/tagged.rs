//! Responses with a tag, so that a client that polls transfers only changes.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};

use super::body::{Body, typed};

/// Returns a response with its tag, without a body if the client has the same one (RFC 9110 section 13.1.2).
pub(super) fn tagged(headers: &HeaderMap, media_type: &'static str, body: String) -> Response<Body> {
    let digest = HEXLOWER.encode(digest(&SHA256, body.as_bytes()).as_ref());
    let tag = format!("\"{}\"", digest.get(..TAG_LENGTH).unwrap_or_default());
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*");
    let mut response = if is_known {
        typed(StatusCode::NOT_MODIFIED, media_type, "")
    } else {
        typed(StatusCode::OK, media_type, body)
    };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
    // Kept, but verified each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Hexadecimal digits of a tag.
const TAG_LENGTH: usize = 32;
