//! Explains why a name in a certificate that looks like the expected one does not match.

use std::net::IpAddr;

use super::messages::quoted;
use crate::probe::certificate::{Name, constrained_names};
use crate::target::ServerName;

/// Returns why the most similar name of a certificate does not match; `None` if none is similar.
pub(super) fn reason(der: &[u8], expected: &ServerName) -> Option<String> {
    let names = constrained_names(der);
    let reason = match expected {
        ServerName::Address(address) => {
            let equal = |text: &str| text.parse::<IpAddr>().is_ok_and(|other| other == *address);
            let (name, _) = names.iter().find(|(_, text)| equal(text))?;
            format!("which it has as {}, not as an address", kind(name))
        }
        ServerName::Name(name) => {
            let name = name.as_str();
            let by_wildcard = |(presented, text): &&(Name, String)| {
                let domain = text.strip_prefix("*.").filter(|_| matches!(presented, Name::Dns(_)))?;
                let before = name.strip_suffix(domain)?;
                (before.is_empty() || before.ends_with('.')).then_some(())
            };
            if let Some((_, text)) = names.iter().find(|name| by_wildcard(name).is_some()) {
                format!("but {} covers exactly one label in place of the asterisk", quoted(text))
            } else {
                let (name, _) = names.iter().find(|(_, text)| text.eq_ignore_ascii_case(name))?;
                format!("which it has as {}, not as a DNS name", kind(name))
            }
        }
    };
    Some(reason)
}

/// Describes the form of a name.
fn kind(name: &Name) -> &'static str {
    match name {
        Name::Address(_) => "an address",
        Name::Directory(_) => "a distinguished name",
        Name::Dns(_) => "a DNS name",
        Name::Email(_) => "an e-mail address",
        Name::Other => "a name of another form",
        Name::Uri(_) => "a URI",
    }
}
