//! The URLs of targets.

use super::http::SchemeRule;
use super::module::Kind;

/// The URL of a target, with at most one port.
pub(super) fn url(kind: &Kind, target: &str) -> Result<String, String> {
    with_one_port(any_url(kind, target)?)
}

fn any_url(kind: &Kind, target: &str) -> Result<String, String> {
    if target.is_empty() {
        return Err("the relabelling sets no target".to_owned());
    }
    let without_scheme = || {
        target
            .strip_prefix("http://")
            .or_else(|| target.strip_prefix("https://"))
            .unwrap_or(target)
    };
    match kind {
        Kind::None(reason) => Err(reason.clone()),
        Kind::Tcp(scheme) if has_port(target) => Ok(format!("{scheme}://{target}")),
        Kind::Tcp(_) => Err("has no port, so every probe of blackbox_exporter fails".to_owned()),
        Kind::Http(http) => {
            let is_url = target.starts_with("http://") || target.starts_with("https://");
            let url = if is_url { target.to_owned() } else { format!("http://{target}") };
            match (http.scheme, url.starts_with("https://")) {
                (SchemeRule::WithTls, false) => Err("fail_if_not_ssl: use the URL with https://".to_owned()),
                (SchemeRule::WithoutTls, true) => Err("fail_if_ssl: use the URL with http://".to_owned()),
                _ => Ok(url),
            }
        }
        Kind::Dns { scheme, name } => {
            let port = if *scheme == "dns" { "53" } else { "853" };
            Ok(format!("{scheme}://{}/{name}", with_port(target, port)))
        }
        Kind::Grpc { scheme, service } => {
            let port = if *scheme == "grpc" { "80" } else { "443" };
            let authority = without_scheme().split('/').next().unwrap_or_default();
            let slash = if service.is_empty() { "" } else { "/" };
            Ok(format!("{scheme}://{}{slash}{service}", with_port(authority, port)))
        }
    }
}

/// Fails if the URL has several ports or none that is a number: portprobe expands lists and ranges, blackbox_exporter
/// fails.
fn with_one_port(url: String) -> Result<String, String> {
    let (_, rest) = url.split_once("://").unwrap_or(("", &url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may look like a port.
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let after = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
    match after.rsplit_once(':') {
        Some((_, port)) if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("its port is not a number, so every probe of blackbox_exporter fails".to_owned())
        }
        _ => Ok(url),
    }
}

fn has_port(target: &str) -> bool {
    let after = target.rsplit_once(']').map_or(target, |(_, after)| after);
    after.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}

fn with_port(target: &str, port: &str) -> String {
    let is_bare_ipv6 = !target.starts_with('[') && target.matches(':').count() > 1;
    match (is_bare_ipv6, has_port(target)) {
        (true, _) => format!("[{target}]:{port}"),
        (false, true) => target.to_owned(),
        (false, false) => format!("{target}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blackbox::import::http::HttpModule;

    #[test]
    fn targets_become_urls_with_their_ports() {
        let tcp = Kind::Tcp("smtp+starttls".to_owned());
        let http = |scheme| Kind::Http(HttpModule { scheme, ..HttpModule::default() });
        let dns = Kind::Dns { scheme: "dns", name: "example.com".to_owned() };
        let grpc = Kind::Grpc { scheme: "grpc+tls", service: "a.B".to_owned() };
        for (kind, target, expected) in [
            (&tcp, "mx:25", Ok("smtp+starttls://mx:25")),
            (&tcp, "[::1]:25", Ok("smtp+starttls://[::1]:25")),
            (&tcp, "mx", Err("has no port, so every probe of blackbox_exporter fails")),
            (&tcp, "", Err("the relabelling sets no target")),
            (&http(SchemeRule::Any), "a/b", Ok("http://a/b")),
            (&http(SchemeRule::Any), "https://a", Ok("https://a")),
            (&http(SchemeRule::WithTls), "a", Err("fail_if_not_ssl: use the URL with https://")),
            (&dns, "192.0.2.1", Ok("dns://192.0.2.1:53/example.com")),
            (&dns, "2001:db8::1", Ok("dns://[2001:db8::1]:53/example.com")),
            (&grpc, "http://a:1/x", Ok("grpc+tls://a:1/a.B")),
            (&grpc, "a", Ok("grpc+tls://a:443/a.B")),
            (&Kind::None("why".to_owned()), "a", Err("why")),
        ] {
            assert_eq!(url(kind, target), expected.map(ToOwned::to_owned).map_err(ToOwned::to_owned), "{target}");
        }
    }

    #[test]
    fn only_a_single_port_is_imported() {
        for (url, is_imported) in [
            ("tcp://127.0.0.1:2201-2202", false),
            ("http://h:1,2", false),
            ("http://h:1-2/a", false),
            ("tcp://h:ssh", false),
            ("tcp://[::1]:1,2", false),
            ("tcp://[::1]:1", true),
            ("http://u:password@h", true),
            ("http://h/a:b", true),
            ("http://h:80?a=b:c", true),
        ] {
            assert_eq!(with_one_port(url.to_owned()).is_ok(), is_imported, "{url}");
        }
    }
}
