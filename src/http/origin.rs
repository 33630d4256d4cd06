//! Requests that a page of another site makes in the browser of somebody who can reach this server.
//!
//! Such a page may make its own name resolve to the address of this server (DNS rebinding). The browser then takes both
//! for the same site, and only the Host header shows the name: one that somebody else can register.

use std::fmt;
use std::net::IpAddr;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};

/// Whether a browser sends this request for a page of another origin (Fetch Metadata; RFC 6454 section 7).
///
/// Clients that are not browsers, such as curl, send neither header. `Origin: null` is the origin of a page that hides it.
///
/// `external` is the host and port by which clients reach this server behind a proxy that sends another Host.
pub(super) fn is_cross_origin(request: &Request<Incoming>, external: Option<&str>) -> bool {
    differs(request.headers(), external)
}

fn differs(headers: &HeaderMap, external: Option<&str>) -> bool {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let other_site = value(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let other_origin = value(ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none() || (authority != value(HOST) && authority != external)
    });
    other_site || other_origin
}

/// Names of this server that anybody could have registered, but that its operator has named.
#[derive(Clone, Debug, Default)]
pub struct OwnNames(Vec<Box<str>>);

impl OwnNames {
    /// Takes the name of the machine, those of listen addresses, and that of the external URL.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().filter(|name| !name.is_empty());
        Self(names.map(|name| name.trim_end_matches('.').to_lowercase().into()).collect())
    }

    /// Whether the Host header has a name that a page of another site may have: one that is not of this server and that
    /// can be registered. Requests without the header do not come from a browser.
    pub(super) fn is_foreign(&self, request: &Request<Incoming>) -> bool {
        let host = request.headers().get(HOST);
        host.is_some_and(|host| host.to_str().map_or(true, |host| self.is_foreign_host(host)))
    }

    fn is_foreign_host(&self, host: &str) -> bool {
        if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<IpAddr>().is_err();
        }
        let name = host
            .split_once(':')
            .map_or(host, |(name, _)| name)
            .trim_end_matches('.')
            .to_lowercase();
        let Some((_, last)) = name.rsplit_once('.') else { return false };
        let is_private = PRIVATE.contains(&last) || name.ends_with(".home.arpa");
        !is_private && name.parse::<IpAddr>().is_err() && !self.0.iter().any(|own| **own == *name)
    }
}

impl fmt::Display for OwnNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Top-level domains that are reserved (RFC 2606, 6761, 6762; `internal` by ICANN) or not delegated and usual in private
/// networks: `cluster.local` and `svc` of Kubernetes, `lan` of routers.
const PRIVATE: [&str; 13] = [
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
    "test",
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn names_that_can_be_registered_are_foreign() {
        let own = OwnNames::new(["Probe-1.example.com", "portprobe.example.org."]);
        for host in [
            "localhost:10115",
            "127.0.0.1:10115",
            "192.0.2.1",
            "[::1]:10115",
            "[fe80::1]",
            "portprobe",
            "PORTPROBE.:80",
            "portprobe.monitoring.svc",
            "portprobe.monitoring.svc.cluster.local:10115",
            "pc.lan",
            "a.localhost",
            "ip-10-0-0-1.eu-west-1.compute.internal",
            "x.home.arpa",
            "probe-1.EXAMPLE.com:10115",
            "portprobe.example.org.",
            "2130706433",
            "",
        ] {
            assert!(!own.is_foreign_host(host), "{host}");
        }
        for host in [
            "evil.com",
            "evil.com:10115",
            "127.0.0.1.evil.com",
            "localhost.evil.com:80",
            "probe-1.example.com.evil.com",
            "local.com",
            "home.arpa.com",
            "[evil.com]",
            "a.cluster.local.evil.net.",
            "2.probe-1.example.com",
        ] {
            assert!(own.is_foreign_host(host), "{host}");
        }
    }

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
            assert_eq!(differs(&map, None), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_proxy_may_send_another_host() {
        let differs = |origin: &str, site: &str| {
            let header = |text: &str| HeaderValue::from_str(text).unwrap();
            let map = [(HOST, header("backend:10115")), (ORIGIN, header(origin)), (SEC_FETCH_SITE, header(site))];
            differs(&HeaderMap::from_iter(map), Some("probe.example"))
        };
        assert!(!differs("https://probe.example", "same-origin"));
        assert!(differs("https://probe.example", "cross-site"));
        assert!(differs("https://evil.example", "same-origin"));
    }
}
