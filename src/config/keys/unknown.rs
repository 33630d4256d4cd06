//! Refuses keys that do not exist, with a suggestion.

use crate::config::keys::schema::{SettingKey, ValueKind, setting_keys, top_level_keys};
use crate::config::problems::At;
use crate::config::problems::text::{any_of, suggestion};
use crate::config::yaml::Node;

/// Reports keys that the mapping at `at` does not have; `known` are those that it has.
pub(super) fn refuse_unknown_keys<'a>(
    unknown: impl Iterator<Item = (&'a str, &'a Node)>,
    known: fn() -> Vec<&'static str>,
    at: At<'_>,
) {
    for (key, value) in unknown {
        let is_module = value.get("prober").is_some();
        let message = if is_module { BLACKBOX_MODULE.to_owned() } else { message(key, &known()) };
        at.key(key).refuse_key(message);
    }
}

fn message(key: &str, known: &[&'static str]) -> String {
    if let Some(written) = nested(key, known) {
        return format!("unknown key; write `{written}`");
    }
    let of_blackbox = BLACKBOX.iter().find(|(name, _)| *name == key).map(|(_, instead)| instead);
    // A web configuration has no settings of probes.
    let of_blackbox = of_blackbox.filter(|_| !known.contains(&"tls_server_config"));
    match (of_blackbox, suggestion(key, known.iter().copied())) {
        _ if key == "<<" => "must be a mapping, like the alias in `<<: *name`".to_owned(),
        (Some(instead), _) => {
            format!(
                "is a key of blackbox_exporter; {instead}, or convert its file with `portprobe import --blackbox FILE`"
            )
        }
        (None, Some(meant)) => format!("unknown key; did you mean `{meant}`?"),
        (None, None) => format!("unknown key; must be {}", any_of(known)),
    }
}

/// Returns how to write a path like `tls.alpn` as mappings; `None` if the mapping has no mapping of that name.
fn nested(key: &str, known: &[&'static str]) -> Option<String> {
    let (outer, _) = key.split_once('.').filter(|(outer, _)| known.contains(outer))?;
    let begins = format!("{outer}.");
    let is_mapping =
        |known: &SettingKey| known.key.starts_with(&begins) || (known.key == outer && known.kind == ValueKind::Mapping);
    setting_keys().iter().chain(&top_level_keys()).find(|known| is_mapping(known))?;
    key.rsplit('.').fold(None, |inner: Option<String>, name| {
        Some(inner.map_or_else(|| format!("{name}: .."), |inner| format!("{name}: {{ {inner} }}")))
    })
}

/// The message for a module of `blackbox_exporter`, whatever its name is.
const BLACKBOX_MODULE: &str =
    "is a module of blackbox_exporter; convert its file with `portprobe import --blackbox FILE`";

/// Keys of the modules of `blackbox_exporter`, each with what to write instead. portprobe has no key of these names.
const BLACKBOX: [(&str, &str); 19] = [
    ("prober", "the scheme of a target's URL selects the protocol, so remove it"),
    ("basic_auth", "use `http.headers_files`"),
    ("body_size_limit", "use `http.body_limit`"),
    ("fail_if_body_not_matches_regexp", "use `http.body`"),
    ("fail_if_not_ssl", "the scheme of a target's URL selects TLS, so remove it"),
    ("fail_if_ssl", "the scheme of a target's URL selects TLS, so remove it"),
    ("insecure_skip_verify", "use `tls.verify: report`"),
    ("ip_protocol_fallback", "use `ip`"),
    ("no_follow_redirects", "redirects are not followed, so remove it"),
    ("follow_redirects", "redirects are not followed, so remove it"),
    ("preferred_ip_protocol", "use `ip`"),
    ("grpc", "use a target like grpc://host:port/service"),
    ("query_name", "use a target like dns://server/name"),
    ("query_response", "use `dialogue`"),
    ("source_ip_address", "use `source_address`"),
    ("tcp", "write its settings directly into the module"),
    ("tls_config", "use `tls`"),
    ("valid_http_versions", "remove it"),
    ("valid_status_codes", "use `http.status`"),
];
