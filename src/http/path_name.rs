//! Names of targets and groups in paths.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::target::TargetName;

/// Returns the name in a path; `None` if it is not a valid one.
pub(super) fn decoded(text: &str) -> Option<TargetName> {
    TargetName::try_new(&percent_decode_str(text).decode_utf8().ok()?).ok()
}

/// Returns a name for a path. A slash is encoded, too, because proxies join several.
pub(super) fn encoded(name: &str) -> impl fmt::Display {
    utf8_percent_encode(name, ENCODED)
}

/// Everything except the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
