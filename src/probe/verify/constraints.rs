//! Name constraints: whether a CA may issue certificates for a name (RFC 5280 section 4.2.1.10).
//!
//! Addresses, DNS names, e-mail addresses, URIs and distinguished names are judged. Names of other forms are allowed,
//! because a name that cannot be judged is not a fault.

use std::mem::discriminant;

use crate::probe::certificate::{Name, NameConstraints};

/// Returns whether the constraints allow a name.
pub(super) fn allow(constraints: &NameConstraints, name: &Name) -> bool {
    let NameConstraints { permitted, excluded } = constraints;
    let is_of_form = |base: &&Name| discriminant(*base) == discriminant(name);
    match name {
        Name::Other => true,
        // A URI without a host must be rejected if there are constraints of URIs.
        Name::Uri(uri) if uri_host(uri).is_none() => !permitted.iter().chain(excluded).any(|base| is_of_form(&base)),
        name => {
            let mut permitted = permitted.iter().filter(is_of_form).peekable();
            let is_permitted = permitted.peek().is_none() || permitted.any(|base| is_within(name, base));
            is_permitted && !excluded.iter().any(|base| is_within(name, base))
        }
    }
}

/// Returns whether a name is in a subtree.
fn is_within(name: &Name, base: &Name) -> bool {
    match (name, base) {
        (Name::Address(address), Name::Address(network)) => is_in_network(address, network),
        (Name::Directory(parts), Name::Directory(base)) => parts.starts_with(base),
        (Name::Dns(name), Name::Dns(base)) => is_in_domain(name, base),
        (Name::Email(address), Name::Email(base)) => is_in_mailboxes(address, base),
        (Name::Uri(uri), Name::Uri(base)) => uri_host(uri).is_some_and(|host| is_among_hosts(host, base)),
        _ => false,
    }
}

/// The network is an address followed by its mask.
fn is_in_network(address: &[u8], network: &[u8]) -> bool {
    let (base, mask) = network.split_at(network.len() / 2);
    base.len() == address.len()
        && mask.len() == address.len()
        && address
            .iter()
            .zip(base)
            .zip(mask)
            .all(|((byte, base), mask)| byte & mask == base & mask)
}

/// A domain contains itself and all names below it; with a leading dot, only the names below it.
fn is_in_domain(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    match name.strip_suffix(domain.as_str()) {
        Some(before) => before.is_empty() || domain.is_empty() || domain.starts_with('.') || before.ends_with('.'),
        None => false,
    }
}

/// The base is a mailbox, a host with all its mailboxes, or a domain with a leading dot.
fn is_in_mailboxes(address: &str, base: &str) -> bool {
    let Some((user, host)) = address.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((wanted, base)) => user == wanted && host.eq_ignore_ascii_case(base),
        None => is_among_hosts(host, base),
    }
}

/// The base is a host, or a domain with a leading dot that contains the hosts below it.
fn is_among_hosts(host: &str, base: &str) -> bool {
    if base.starts_with('.') { is_in_domain(host, base) } else { host.eq_ignore_ascii_case(base) }
}

/// Returns the host of a URI; `None` if there is none or it is an address.
fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().filter(|_| !host.starts_with('['))?;
    let is_address = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (!is_address).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> Name {
        Name::Dns(text.to_owned())
    }

    fn email(text: &str) -> Name {
        Name::Email(text.to_owned())
    }

    fn uri(text: &str) -> Name {
        Name::Uri(text.to_owned())
    }

    fn address(bytes: &[u8]) -> Name {
        Name::Address(bytes.to_vec())
    }

    #[test]
    fn subtrees_follow_rfc_5280() {
        for (name, base, expected) in [
            (dns("a.example"), dns("a.example"), true),
            (dns("A.example"), dns("a.EXAMPLE"), true),
            (dns("b.a.example"), dns("a.example"), true),
            (dns("ba.example"), dns("a.example"), false),
            (dns("example"), dns("a.example"), false),
            (dns("*.a.example"), dns("a.example"), true),
            (dns("*.example"), dns("a.example"), false),
            (dns("b.a.example"), dns(".a.example"), true),
            (dns("a.example"), dns(".a.example"), false),
            (dns("a.example"), dns(""), true),
            (address(&[10, 1, 2, 3]), address(&[10, 0, 0, 0, 255, 0, 0, 0]), true),
            (address(&[11, 1, 2, 3]), address(&[10, 0, 0, 0, 255, 0, 0, 0]), false),
            (address(&[10; 16]), address(&[10, 0, 0, 0, 255, 0, 0, 0]), false),
            (address(&[10, 1, 2, 3]), address(&[]), false),
            (email("dba@a.example"), email("dba@A.example"), true),
            (email("DBA@a.example"), email("dba@a.example"), false),
            (email("dba@a.example"), email("a.example"), true),
            (email("dba@b.a.example"), email("a.example"), false),
            (email("dba@b.a.example"), email(".a.example"), true),
            (email("dba"), email("a.example"), false),
            (uri("https://a.example/x"), uri("a.example"), true),
            (uri("https://u:p@A.example:8443?x"), uri("a.example"), true),
            (uri("https://b.a.example/x"), uri("a.example"), false),
            (uri("spiffe://b.a.example/x"), uri(".a.example"), true),
            (uri("https://evil/a.example"), uri("a.example"), false),
            (dns("a.example"), email("a.example"), false),
        ] {
            assert_eq!(is_within(&name, &base), expected, "{name:?} {base:?}");
        }
    }

    #[test]
    fn only_constraints_of_its_form_limit_a_name() {
        let permitted = |base| NameConstraints { permitted: vec![base], excluded: Vec::new() };
        let excluded = |base| NameConstraints { permitted: Vec::new(), excluded: vec![base] };
        for (constraints, name, expected) in [
            (permitted(dns("a.example")), dns("b.example"), false),
            (permitted(email("a.example")), dns("b.example"), true),
            (excluded(dns("a.example")), dns("x.a.example"), false),
            (excluded(dns("a.example")), dns("b.example"), true),
            (permitted(Name::Other), Name::Other, true),
            (excluded(Name::Other), Name::Other, true),
            (permitted(uri("a.example")), uri("urn:uuid:1"), false),
            (excluded(uri("a.example")), uri("https://10.0.0.1/"), false),
            (excluded(uri("a.example")), uri("https://[::1]/"), false),
            (permitted(dns("a.example")), uri("urn:uuid:1"), true),
        ] {
            assert_eq!(allow(&constraints, &name), expected, "{constraints:?} {name:?}");
        }
    }
}
