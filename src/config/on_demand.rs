//! Targets that clients of `/probe` name, with the settings of a module.

use std::sync::Arc;

use http::header::{HOST, HeaderValue};

use crate::config::file_uses::Required;
use crate::config::keys::Settings as Keys;
use crate::config::keys::read::Field;
use crate::config::levels::Level;
use crate::config::problems::{LoadError, Problems};
use crate::config::targets::discovered::DiscoveryContext;
use crate::config::targets::entry::TargetEntry;
use crate::config::yaml::Node;
use crate::target::{Application, HttpSettings, ProbeKind, ServerName, ServerNameError, Settings, Target, TlsExchange};

/// The target that a client names.
#[derive(Clone, Copy, Debug)]
pub struct OnDemand<'a> {
    /// A URL, or a bare `host:port`.
    pub target: &'a str,
    /// The module with its settings. The default is the module `http_2xx` if there is one, otherwise `defaults` apply.
    pub module: Option<&'a str>,
    /// The host in the request and in TLS, instead of that of the target.
    pub hostname: Option<&'a str>,
}

impl OnDemand<'_> {
    /// The default module of blackbox_exporter.
    pub const DEFAULT_MODULE: &'static str = "http_2xx";
}

/// Reason why a target cannot be probed as named.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OnDemandError {
    /// The target or its settings are not valid.
    #[error("{0}")]
    Invalid(LoadError),
    /// The module does not exist.
    #[error("unknown module")]
    UnknownModule,
}

impl DiscoveryContext {
    /// Builds the target that a client names. Returns it with everything that must be read from files for it.
    pub fn on_demand(&self, named: OnDemand<'_>) -> Result<(Arc<Target>, Vec<Required>), OnDemandError> {
        let default = Some(OnDemand::DEFAULT_MODULE).filter(|default| self.modules.contains(default));
        let module = named.module.or(default);
        if module.is_some_and(|module| !self.modules.contains(module)) {
            return Err(OnDemandError::UnknownModule);
        }
        let problems = Problems::default();
        let module = module.map_or(Field::Absent, |module| Field::Valid(module.into()));
        let overlay = Level::new(Keys { module, ..Keys::default() }, problems.argument("module"));
        let mut builder = self.builder().with_overlay(&overlay);
        let at = problems.argument("target");
        let entry = TargetEntry::read(Node::Text(named.target.into()), at);
        let parts = entry.map(|entry| builder.parts(&entry, at));
        let target = parts.and_then(|parts| {
            let (_, url) = parts.urls.first()?;
            if url.count() != 1 {
                at.refuse(format_args!("has {} ports; must have one", url.count()));
                return None;
            }
            let endpoint = url.endpoints().next()?;
            let name = parts.name_of(&endpoint).map_err(|error| at.refuse(error)).ok()?;
            parts.target(name, endpoint)
        });
        let target = target.and_then(|target| match named.hostname {
            None => Some(target),
            Some(hostname) => with_hostname(&target, hostname)
                .map_err(|error| problems.argument("hostname").refuse(error))
                .ok(),
        });
        let files = builder.files;
        let target = problems.finish(None, "", target).map_err(OnDemandError::Invalid)?;
        Ok((target, files.required().collect()))
    }
}

/// Returns the target with another host in its request and in TLS, as blackbox_exporter's parameter `hostname` sets it.
fn with_hostname(target: &Target, hostname: &str) -> Result<Arc<Target>, String> {
    let settings = &target.settings;
    let application = |application: &Application| match application {
        Application::Http(http) => with_host_header(http, hostname).map(|http| Application::Http(Arc::new(http))),
        Application::Dialogue(_) | Application::Service(_) => Ok(application.clone()),
    };
    let probe_kind = match &settings.probe_kind {
        ProbeKind::Plain(plain) => ProbeKind::Plain(application(plain)?),
        ProbeKind::Tcp { expect } => ProbeKind::Tcp { expect: *expect },
        ProbeKind::Tls(tls) => {
            let mut exchange = TlsExchange { application: application(&tls.application)?, ..(**tls).clone() };
            if exchange.settings.server_name.is_none() {
                exchange.settings.server_name = Some(server_name(hostname)?);
            }
            ProbeKind::of_tls(exchange)
        }
    };
    let settings = Arc::new(Settings { probe_kind, ..(**settings).clone() });
    Ok(Arc::new(Target { settings, ..target.clone() }))
}

fn with_host_header(http: &HttpSettings, hostname: &str) -> Result<HttpSettings, String> {
    let host =
        HeaderValue::from_str(hostname).map_err(|_| "has a character that is not allowed in headers".to_owned())?;
    let mut http = http.clone();
    let set = http.headers.iter().find(|(name, _)| *name == HOST);
    if set.is_some_and(|(_, set)| *set != host) || http.headers_files.iter().any(|(name, _)| *name == HOST) {
        return Err("conflicts with the header `host` of the module; remove one".to_owned());
    }
    if set.is_none() {
        http.headers.push((HOST, host));
    }
    Ok(http)
}

/// Returns the server name of a host with an optional port, an IPv6 address in brackets.
fn server_name(hostname: &str) -> Result<ServerName, String> {
    let without_port = match hostname.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => host,
        _ => hostname,
    };
    let bare = without_port.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(without_port)
        .parse()
        .map_err(|error: ServerNameError| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const FILE: &str = "\
defaults: { timeout: 4s }
modules:
  http_2xx: { scheme: http }
  tls: { scheme: tls, timeout: 3s }
  host: { scheme: http, http: { headers: { host: a.example } } }
  named: { scheme: tls, tls: { server_name: b.example } }
  token: { scheme: http, http: { headers_files: { authorization: /run/token } } }
targets: ['tcp://a:1']
";

    fn config(text: &str) -> Config {
        crate::config::parse(text, Path::new("/a.yaml"), &|_| None)
            .unwrap()
            .finish(&[])
            .unwrap()
    }

    fn named(target: &str, module: Option<&str>, hostname: Option<&str>) -> Result<Arc<Target>, String> {
        let named = OnDemand { target, module, hostname };
        let built = config(FILE).discovery_context.on_demand(named);
        built.map(|(target, _)| target).map_err(|error| error.to_string())
    }

    #[test]
    fn a_module_sets_scheme_and_settings() {
        for (target, module, url, seconds) in [
            ("a.example:1", Some("tls"), "tls://a.example:1", 3),
            ("a.example", None, "http://a.example:80", 4),
            ("https://a.example/x", None, "https://a.example:443/x", 4),
            ("tcp://a.example:1", Some("tls"), "tcp://a.example:1", 3),
        ] {
            let target = named(target, module, None).unwrap();
            let timeout = target.settings.cadence.timeout().as_secs();
            assert_eq!((target.name.as_str(), timeout), (url, seconds));
        }
        let without = config("targets: ['tcp://a:1']").discovery_context;
        let named = OnDemand { target: "a.example:1", module: None, hostname: None };
        assert_eq!(without.on_demand(named).unwrap().0.name.as_str(), "tcp://a.example:1");
    }

    #[test]
    fn an_invalid_target_is_refused() {
        for (target, module, message) in [
            ("a:1", Some("tsl"), "unknown module"),
            ("a:1-65535", Some("tls"), "target: has 65535 ports; must have one"),
            ("a", Some("tls"), "target: has no port, and tls has no default port; add one, like host:443"),
            ("u:p@a:1", Some("tls"), "target: has a user or password before `@`; probes do not log in; remove it"),
            (
                "2130706433:1",
                Some("tls"),
                "target: `2130706433` is not a valid host; must be an IPv4 address, or a name that does not end in a number",
            ),
            (
                "0.0.0.0:1",
                Some("tls"),
                "target: `0.0.0.0` is not the address of a host; must be the address to connect to, like 127.0.0.1 \
                 for this machine",
            ),
        ] {
            assert_eq!(named(target, module, None).unwrap_err(), message, "{target}");
        }
        // Octal and shortened addresses, too.
        for target in ["0177.0.0.1:1", "127.1:1", "0x7f.1:1", "0x7f.0.0.1:1", "１２７.1:1"] {
            assert!(named(target, Some("tls"), None).unwrap_err().contains("is not a valid host"), "{target}");
        }
    }

    #[test]
    fn a_hostname_names_the_server() {
        let tls_name = |target: &Target| {
            target
                .settings
                .probe_kind
                .tls()?
                .settings
                .server_name
                .as_ref()
                .map(ToString::to_string)
        };
        let host = |target: &Target| {
            let headers = &target.settings.probe_kind.http()?.headers;
            headers.first().map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        for (target, module, hostname, expected_name, expected_host) in [
            ("10.0.0.1:1", "tls", "c.example", Some("c.example"), None),
            ("10.0.0.1:1", "named", "c.example", Some("b.example"), None),
            ("https://10.0.0.1", "http_2xx", "c.example:8443", Some("c.example"), Some("c.example:8443")),
            ("https://10.0.0.1", "http_2xx", "[::1]:1", Some("::1"), Some("[::1]:1")),
            ("http://10.0.0.1", "host", "a.example", None, Some("a.example")),
            ("tcp://10.0.0.1:1", "http_2xx", "c.example", None, None),
        ] {
            let target = named(target, Some(module), Some(hostname)).unwrap();
            assert_eq!((tls_name(&target).as_deref(), host(&target).as_deref()), (expected_name, expected_host));
        }
        let message = "hostname: conflicts with the header `host` of the module; remove one";
        assert_eq!(named("http://10.0.0.1", Some("host"), Some("c.example")).unwrap_err(), message);
        assert!(named("http://10.0.0.1", Some("http_2xx"), Some("a\nb")).is_err());
        assert!(named("10.0.0.1:1", Some("tls"), Some("a b")).is_err());
    }

    #[test]
    fn a_target_requires_its_files() {
        let context = config(FILE).discovery_context;
        let required = |module| {
            let named = OnDemand { target: "10.0.0.1:1", module: Some(module), hostname: None };
            context.on_demand(named).unwrap().1
        };
        assert!(matches!(required("token")[..], [Required::Header(_)]));
        assert!(matches!(required("tls")[..], [Required::Tls(_)]));
        assert!(required("http_2xx").is_empty());
    }
}
