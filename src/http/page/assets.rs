//! Style sheet and script, which are part of the binary.
//!
//! Their path has a digest of their content, so that browsers may keep them forever and a new version is loaded at once.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::body::{Body, plain, typed};

/// Returns the path of the folder with all assets, below the root.
pub(super) fn folder() -> &'static str {
    &FOLDER
}

/// Returns whether a path is below that of the assets.
pub(super) fn is_at(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|path| path.starts_with(PREFIX))
}

/// Responds with an asset.
pub(super) fn respond(path: &str) -> Response<Body> {
    let name = path.strip_prefix('/').and_then(|path| path.strip_prefix(folder()));
    let found = name.and_then(|name| ASSETS.iter().find(|asset| name.strip_prefix('/') == Some(asset.name)));
    let Some(Asset { media_type, content, .. }) = found else {
        return plain(StatusCode::NOT_FOUND, "Not found. Reload the page, which has links to its present assets.\n");
    };
    let mut response = typed(StatusCode::OK, media_type, *content);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, forever);
    response
}

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
}

static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let contents: String = ASSETS.iter().map(|asset| asset.content).collect();
    let digest = HEXLOWER.encode(digest(&SHA256, contents.as_bytes()).as_ref());
    format!("{PREFIX}{}", digest.get(..DIGITS).unwrap_or_default())
});

const ASSETS: [Asset; 3] = [
    Asset { name: "style.css", media_type: "text/css; charset=utf-8", content: include_str!("assets/style.css") },
    Asset {
        name: "script.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/script.js"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", content: include_str!("assets/icon.svg") },
];

/// The path before the digest, without the slash at its beginning.
const PREFIX: &str = "assets/";

/// Number of hexadecimal digits of the digest that the path has.
const DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_has_the_path_of_its_content() {
        let response = respond(&format!("/{}/style.css", folder()));
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response
                .headers()
                .get(CACHE_CONTROL)
                .is_some_and(|value| value.to_str().unwrap().contains("immutable"))
        );
        for path in ["/assets/style.css", "/assets/0123456789abcdef/style.css", &format!("/{}/../route.rs", folder())] {
            assert!(is_at(path));
            assert_eq!(respond(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
