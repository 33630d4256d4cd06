//! Results of look-ups, how they combine, and their messages.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::op::ResponseCode;

use super::query::ServerError;
use crate::outcome::{Class, Fault, LocalFault, LocalFaultReason, Phase};
use crate::target::{HostName, IpFamily};

/// The result of a look-up of one form of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Lookup {
    /// At least one address.
    Addresses(Vec<IpAddr>),
    /// The server knows the name, but maps it only to unspecified addresses, as resolvers do for names that they block.
    Blocked(SocketAddr),
    /// No server sent a usable response, and at least one reported an error.
    Error(String),
    /// This machine could not send a query.
    Local(LocalFault),
    /// The server knows the name, but it has no address of this type.
    NoData(SocketAddr),
    /// The server reports that the name does not exist.
    NoName(SocketAddr),
    /// No server responded.
    Silence(String),
}

impl Lookup {
    /// Returns the result of a response with these addresses of one type.
    pub(super) fn of_addresses(server: SocketAddr, addresses: impl Iterator<Item = IpAddr>) -> Self {
        match usable(addresses) {
            Some(addresses) => Self::Addresses(addresses),
            None => Self::Blocked(server),
        }
    }

    /// Combines the errors of all servers. Precedence: a local fault, a reported error, silence. A server whose address
    /// this machine cannot use, for example because of its zone, counts only if there is no other.
    pub(super) fn of_errors(record_type: &str, errors: &[(SocketAddr, ServerError)]) -> Self {
        let local = |(server, error): &(SocketAddr, _)| match error {
            ServerError::Local(LocalFault { reason, detail }) => {
                Some(LocalFault { reason: *reason, detail: format!("cannot query {server}: {detail}") })
            }
            ServerError::Code(_) | ServerError::Silent | ServerError::Malformed(_) => None,
        };
        let mut faults = errors.iter().filter_map(local);
        let all_are = faults.clone().count() == errors.len();
        if let Some(fault) = faults.find(|fault| all_are || fault.reason != LocalFaultReason::Invalid) {
            return Self::Local(fault);
        }
        let text = list(record_type, errors);
        let silent = |error: &ServerError| matches!(error, ServerError::Silent | ServerError::Local(_));
        if errors.iter().all(|(_, error)| silent(error)) { Self::Silence(text) } else { Self::Error(text) }
    }

    /// Combines the results of two types of one name. Precedence: addresses; a local fault; a block and NXDOMAIN, which
    /// concern the name and not the type; an error; silence; no address of the type.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Addresses(mut addresses), Self::Addresses(more)) => {
                addresses.extend(more);
                Self::Addresses(addresses)
            }
            (a, b) if a.precedence() >= b.precedence() => a,
            (_, b) => b,
        }
    }

    /// Combines the results of two forms of one name, neither of which has an address. Precedence: an error, because
    /// that form may have an address; a form that exists.
    pub(super) fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Error(_), _) | (Self::NoData(_), Self::NoName(_) | Self::NoData(_)) => self,
            _ => other,
        }
    }

    /// Returns the addresses, or the fault that explains why there are none.
    pub(super) fn into_result(self, name: &HostName, family: IpFamily) -> Result<Vec<IpAddr>, Fault> {
        let name = name.as_str();
        let (class, detail) = match self {
            Self::Addresses(addresses) => return Ok(addresses),
            Self::Blocked(server) => return Err(blocked(name, &format!("according to {server}"))),
            Self::Local(fault) => return Err(fault.into()),
            Self::Error(why) => (Class::DnsError, format!("cannot resolve {name}: {why}")),
            Self::Silence(why) => (Class::DnsTimeout, format!("cannot resolve {name}: {why}")),
            Self::NoName(server) => (Class::DnsNotFound, format!("{name} does not exist: {server} answered NXDOMAIN")),
            Self::NoData(server) => {
                let family = describe(family);
                (Class::DnsNotFound, format!("{name} has no {family} address, according to {server}"))
            }
        };
        Err(unresolved(class, detail))
    }

    fn precedence(&self) -> u8 {
        match self {
            Self::Addresses(_) => 6,
            Self::Local(_) => 5,
            Self::Blocked(_) => 4,
            Self::NoName(_) => 3,
            Self::Error(_) => 2,
            Self::Silence(_) => 1,
            Self::NoData(_) => 0,
        }
    }
}

/// Returns a failure in the phase `resolve`.
pub(super) fn unresolved(class: Class, detail: impl Into<String>) -> Fault {
    Fault::failure(Phase::Resolve, class, detail)
}

/// Returns the failure of a name that has only unspecified addresses.
pub(super) fn blocked(name: &str, origin: &str) -> Fault {
    let detail = format!(
        "{name} resolves only to an unspecified address (0.0.0.0 or ::), {origin}; this is how a resolver or a hosts file \
         blocks a name; allow it there, or set dns_servers"
    );
    unresolved(Class::DnsNotFound, detail)
}

/// Returns the addresses that can be connected to; `None` if there are addresses, but all are unspecified.
///
/// The system would connect to itself instead of an unspecified address.
pub(super) fn usable(addresses: impl Iterator<Item = IpAddr>) -> Option<Vec<IpAddr>> {
    let (unspecified, usable): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.to_canonical().is_unspecified());
    (unspecified.is_empty() || !usable.is_empty()).then_some(usable)
}

/// Returns the text for a family in messages.
pub(in crate::probe) fn describe(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Any => "IPv4 or IPv6",
        IpFamily::Ipv4 => "IPv4",
        IpFamily::Ipv6 => "IPv6",
    }
}

/// Lists every server with its error, without duplicates.
fn list(record_type: &str, errors: &[(SocketAddr, ServerError)]) -> String {
    let mut text = String::new();
    for (index, (server, error)) in errors.iter().enumerate() {
        if errors.iter().take(index).any(|earlier| *earlier == (*server, error.clone())) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a string does not fail.
        let _ = match error {
            ServerError::Code(code) => write!(text, "{server} answered {} to the {record_type} query", label(*code)),
            ServerError::Local(fault) => write!(text, "{server}: {}", fault.detail),
            ServerError::Silent => write!(text, "{server} did not answer the {record_type} query"),
            ServerError::Malformed(why) => write!(text, "{server} {why}"),
        };
    }
    if text.is_empty() { format!("no time was left for the {record_type} query") } else { text }
}

/// Returns a response code as written in the RFCs and by `dig`.
fn label(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("RCODE {number}"),
        known => format!("{known:?}").to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> SocketAddr {
        "192.0.2.53:53".parse().unwrap()
    }

    fn fault() -> LocalFault {
        LocalFault { reason: LocalFaultReason::NoDescriptor, detail: "x".into() }
    }

    fn no_zone() -> LocalFault {
        LocalFault { reason: LocalFaultReason::Invalid, detail: "no such zone".into() }
    }

    #[test]
    fn results_of_two_types_have_a_precedence() {
        let descending = [
            Lookup::Addresses(vec![IpAddr::from([192, 0, 2, 1])]),
            Lookup::Local(fault()),
            Lookup::Blocked(server()),
            Lookup::NoName(server()),
            Lookup::Error("e".into()),
            Lookup::Silence("s".into()),
            Lookup::NoData(server()),
        ];
        for (index, better) in descending.iter().enumerate() {
            for worse in descending.iter().skip(index + 1) {
                assert_eq!(better.clone().and(worse.clone()), *better);
                assert_eq!(worse.clone().and(better.clone()), *better);
            }
        }
        let addresses = |last| Lookup::Addresses(vec![IpAddr::from([192, 0, 2, last])]);
        let both = Lookup::Addresses(vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])]);
        assert_eq!(addresses(1).and(addresses(2)), both);
    }

    #[test]
    fn unspecified_addresses_are_never_used() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let found = |texts: &[&str]| Lookup::of_addresses(server(), addresses(texts).into_iter());
        for blocked in [&["0.0.0.0"][..], &["::"], &["::ffff:0.0.0.0"], &["0.0.0.0", "0.0.0.0"]] {
            assert_eq!(found(blocked), Lookup::Blocked(server()), "{blocked:?}");
        }
        let mixed = found(&["0.0.0.0", "192.0.2.1", "::", "::1"]);
        assert_eq!(mixed, Lookup::Addresses(addresses(&["192.0.2.1", "::1"])));
    }

    #[test]
    fn results_of_two_forms_have_a_precedence() {
        let descending = [Lookup::Error("e".into()), Lookup::NoData(server()), Lookup::NoName(server())];
        for (index, better) in descending.iter().enumerate() {
            for worse in descending.iter().skip(index) {
                assert_eq!(better.clone().or(worse.clone()), *better);
                assert_eq!(worse.clone().or(better.clone()), *better);
            }
        }
    }

    #[test]
    fn errors_are_listed_by_server() {
        let other: SocketAddr = "[2001:db8::53]:53".parse().unwrap();
        for (errors, expected) in [
            (
                vec![(server(), ServerError::Silent), (other, ServerError::Silent), (server(), ServerError::Silent)],
                Lookup::Silence(
                    "192.0.2.53:53 did not answer the A query, [2001:db8::53]:53 did not answer the A query".to_owned(),
                ),
            ),
            (
                vec![(server(), ServerError::Silent), (other, ServerError::Code(ResponseCode::ServFail))],
                Lookup::Error(
                    "192.0.2.53:53 did not answer the A query, [2001:db8::53]:53 answered SERVFAIL to the A query"
                        .to_owned(),
                ),
            ),
            (
                vec![(other, ServerError::Code(ResponseCode::Refused)), (server(), ServerError::Local(fault()))],
                Lookup::Local(LocalFault { detail: "cannot query 192.0.2.53:53: x".to_owned(), ..fault() }),
            ),
            (
                vec![(other, ServerError::Local(no_zone())), (server(), ServerError::Silent)],
                Lookup::Silence("[2001:db8::53]:53: no such zone, 192.0.2.53:53 did not answer the A query".to_owned()),
            ),
            (
                vec![(other, ServerError::Local(no_zone())), (server(), ServerError::Code(ResponseCode::ServFail))],
                Lookup::Error(
                    "[2001:db8::53]:53: no such zone, 192.0.2.53:53 answered SERVFAIL to the A query".to_owned(),
                ),
            ),
            (
                vec![(other, ServerError::Local(no_zone()))],
                Lookup::Local(LocalFault {
                    detail: "cannot query [2001:db8::53]:53: no such zone".to_owned(),
                    ..no_zone()
                }),
            ),
            (vec![], Lookup::Silence("no time was left for the A query".to_owned())),
        ] {
            assert_eq!(Lookup::of_errors("A", &errors), expected);
        }
    }

    #[test]
    fn each_result_has_class_and_detail() {
        let name: HostName = "db.example".parse().unwrap();
        for (lookup, class, detail) in [
            (
                Lookup::NoName(server()),
                Class::DnsNotFound,
                "db.example does not exist: 192.0.2.53:53 answered NXDOMAIN",
            ),
            (
                Lookup::NoData(server()),
                Class::DnsNotFound,
                "db.example has no IPv6 address, according to 192.0.2.53:53",
            ),
            (
                Lookup::Blocked(server()),
                Class::DnsNotFound,
                "db.example resolves only to an unspecified address (0.0.0.0 or ::), according to 192.0.2.53:53; this is \
                 how a resolver or a hosts file blocks a name; allow it there, or set dns_servers",
            ),
            (Lookup::Error("why".into()), Class::DnsError, "cannot resolve db.example: why"),
            (Lookup::Silence("why".into()), Class::DnsTimeout, "cannot resolve db.example: why"),
        ] {
            assert_eq!(
                lookup.into_result(&name, IpFamily::Ipv6),
                Err(unresolved(class, detail.to_owned())),
                "{detail}"
            );
        }
    }
}
