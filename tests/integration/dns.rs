//! Tests of name resolution: every response of a real name server, with the result of the probe.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::num::NonZeroU32;
use std::time::Duration;

use portprobe::options::ResolverOptions;
use portprobe::outcome::{Class, Phase};
use portprobe::probe::SystemFiles;
use portprobe::target::{AddressMode, Expect, IpFamily};
use tokio::net::UdpSocket;

use crate::support::dns::NameServer;
use crate::support::ports;
use crate::support::probing::{Probing, assert_failed, assert_good, target};

fn named(name: &str, port: u16, server: &NameServer) -> Probing {
    target(format!("tcp://{name}:{port}")).name_server(server.address)
}

/// Returns options with one try and a short timeout.
fn one_short_try() -> ResolverOptions {
    ResolverOptions { timeout: Duration::from_millis(300), tries: NonZeroU32::MIN }
}

#[tokio::test]
async fn an_existing_name_is_probed_at_its_address() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open();
    for name in ["one.test", "one.test.", "ONE.test", "v4.test", "halffail.test", "münchen.test"] {
        let outcome = named(name, port, &server).probe().await;
        assert_good(&outcome);
        assert_eq!(outcome.resolution.as_ref().unwrap().addresses, [IpAddr::V4(Ipv4Addr::LOCALHOST)], "{name}");
        assert!(outcome.timings.of(Phase::Resolve).is_some() && outcome.timings.of(Phase::Connect).is_some());
        assert_eq!(outcome.attempts[0].timings.of(Phase::Resolve), None);
    }
}

#[tokio::test]
async fn a_name_with_only_ipv6_is_probed_there() {
    let Some(server) = NameServer::start().await else { return };
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("left out: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    assert_good(&named("v6.test", port, &server).probe().await);
    let both = named("both.test", port, &server);
    assert_eq!(both.clone().probe().await.address(), Some("::1".parse().unwrap()), "RFC 6724 prefers it");
    let only = both.with(|settings| settings.addressing.family = IpFamily::Ipv4).probe().await;
    assert_failed(&only, Phase::Connect, Class::Refused);
}

#[tokio::test]
async fn missing_names_and_missing_addresses_differ() {
    let Some(server) = NameServer::start().await else { return };
    let address = server.address;
    for (name, class, detail) in [
        ("none.test", Class::DnsNotFound, format!("none.test does not exist: {address} answered NXDOMAIN")),
        ("nodata.test", Class::DnsNotFound, format!("nodata.test has no IPv4 or IPv6 address, according to {address}")),
    ] {
        let outcome = named(name, 1, &server).probe().await;
        assert_eq!(assert_failed(&outcome, Phase::Resolve, class), detail);
        assert!(outcome.attempts.is_empty() && outcome.resolution.is_none());
        for expect in [Expect::Refused, Expect::Filtered, Expect::Closed] {
            assert_failed(&named(name, 1, &server).expect(expect).probe().await, Phase::Resolve, class);
        }
    }
    let only_v6 = named("v4.test", 1, &server).with(|settings| settings.addressing.family = IpFamily::Ipv6);
    assert_failed(&only_v6.probe().await, Phase::Resolve, Class::DnsNotFound);
}

#[tokio::test]
async fn a_blocked_name_does_not_exist() {
    let Some(server) = NameServer::start().await else { return };
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for name in ["blocked.test", "blockedv4.test"] {
        let outcome = named(name, port, &server).probe().await;
        let detail = assert_failed(&outcome, Phase::Resolve, Class::DnsNotFound);
        let expected = format!(
            "{name} resolves only to an unspecified address (0.0.0.0 or ::), according to {}; this is how a resolver or a \
             hosts file blocks a name; allow it there, or set dns_servers",
            server.address
        );
        assert_eq!(detail, expected);
    }
    let outcome = named("partlyblocked.test", port, &server).probe().await;
    assert_good(&outcome);
    assert_eq!(outcome.resolution.unwrap().addresses, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
}

#[tokio::test]
async fn a_failing_or_refusing_server_is_an_error() {
    let Some(server) = NameServer::start().await else { return };
    for (name, code) in [("servfail.test", "SERVFAIL"), ("refused.test", "REFUSED")] {
        let outcome = named(name, 1, &server).probe().await;
        let detail = assert_failed(&outcome, Phase::Resolve, Class::DnsError);
        assert!(detail.starts_with(&format!("cannot resolve {name}: {} answered {code}", server.address)), "{detail}");
    }
}

#[tokio::test]
async fn silent_name_servers_cause_a_timeout() {
    let Some(server) = NameServer::start().await else { return };
    let by_timeout = named("silent.test", 1, &server).resolver_options(one_short_try()).probe().await;
    let detail = assert_failed(&by_timeout, Phase::Resolve, Class::DnsTimeout);
    assert!(detail.contains(&format!("{} did not answer", server.address)), "{detail}");
    let by_deadline = named("silent.test", 1, &server)
        .timeout(Duration::from_millis(300))
        .probe()
        .await;
    assert_failed(&by_deadline, Phase::Resolve, Class::DnsTimeout);
    let half = named("nodatasilent.test", 1, &server)
        .resolver_options(one_short_try())
        .probe()
        .await;
    assert_failed(&half, Phase::Resolve, Class::DnsTimeout);
}

#[tokio::test]
async fn a_silent_aaaa_query_does_not_delay_a() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open();
    let long = ResolverOptions { timeout: Duration::from_mins(1), ..ResolverOptions::default() };
    let outcome = named("half.test", port, &server).resolver_options(long).probe().await;
    assert_good(&outcome);
}

#[tokio::test]
async fn a_failing_name_server_is_skipped() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for first in [silent.local_addr().unwrap(), closed] {
        let probing = target(format!("tcp://one.test:{port}"))
            .name_server(first)
            .name_server(server.address);
        assert_good(&probing.resolver_options(one_short_try()).probe().await);
    }
}

#[tokio::test]
async fn an_absent_or_malformed_server_is_an_error() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = target("tcp://one.test:1").name_server(closed).probe().await;
    let detail = assert_failed(&outcome, Phase::Resolve, Class::DnsError);
    assert!(detail.contains(&format!("{closed} is not a name server: nothing listens there")), "{detail}");

    let malformed = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = malformed.local_addr().unwrap();
    let talk = async {
        let mut query = [0; 512];
        loop {
            let (_, peer) = malformed.recv_from(&mut query).await.unwrap();
            // First a response with another ID, which must be ignored; then a malformed one with the right ID.
            malformed.send_to(&[!query[0], query[1], 0x80], peer).await.unwrap();
            malformed.send_to(&[query[0], query[1], 0x80], peer).await.unwrap();
        }
    };
    let outcome = tokio::select! {
        outcome = target("tcp://one.test:1").name_server(address).probe() => outcome,
        () = talk => unreachable!("the server never stops"),
    };
    let detail = assert_failed(&outcome, Phase::Resolve, Class::DnsError);
    assert!(detail.contains(&format!("{address} sent an invalid response")), "{detail}");
}

#[tokio::test]
async fn ten_addresses_succeed_only_if_all_do() {
    let Some(server) = NameServer::start().await else { return };
    let all = |port| named("ten.test", port, &server).with(|settings| settings.addressing.mode = AddressMode::All);
    let (_everywhere, open) = ports::open_everywhere();
    let outcome = all(open).probe().await;
    assert_good(&outcome);
    let addresses: Vec<IpAddr> = (1..=10).map(|last| IpAddr::from([127, 0, 0, last])).collect();
    assert_eq!(outcome.resolution.unwrap().addresses, addresses);
    assert_eq!(outcome.attempts.iter().map(|attempt| attempt.address).collect::<Vec<_>>(), addresses);
    let slowest = outcome
        .attempts
        .iter()
        .filter_map(|attempt| attempt.timings.of(Phase::Connect))
        .max();
    assert_eq!(outcome.timings.of(Phase::Connect), slowest);

    let (_one, half_open) = ports::open();
    let outcome = all(half_open).probe().await;
    let detail = assert_failed(&outcome, Phase::Connect, Class::Refused);
    assert!(detail.contains("127.0.0.2"), "the first failure decides: {detail}");
    assert!(outcome.timings.of(Phase::Resolve).is_some(), "a completed phase is kept");
    assert_eq!(outcome.attempts.iter().filter(|attempt| attempt.result.is_ok()).count(), 1);
}

#[tokio::test]
async fn one_address_is_sufficient_unless_all_are_required() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open();
    for _ in 0..8 {
        assert_good(&named("two.test", port, &server).probe().await);
    }
    let all = named("two.test", port, &server).with(|settings| settings.addressing.mode = AddressMode::All);
    assert_failed(&all.probe().await, Phase::Connect, Class::Refused);
}

#[tokio::test]
async fn a_thousand_addresses_arrive_over_tcp() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open_everywhere();
    let outcome = named("thousand.test", port, &server).probe().await;
    assert_good(&outcome);
    assert_eq!(outcome.resolution.unwrap().addresses.len(), 1000);
    assert_eq!(outcome.attempts.len(), 1);
}

#[tokio::test]
async fn an_unexpected_address_is_a_mismatch() {
    let Some(server) = NameServer::start().await else { return };
    let (_listener, port) = ports::open_everywhere();
    let expect = |name, network: &str| {
        let network = network.parse().unwrap();
        named(name, port, &server).with(|settings| settings.addressing.expect.push(network))
    };
    assert_good(&expect("ten.test", "127.0.0.0/28").probe().await);
    let outcome = expect("ten.test", "127.0.0.0/29").probe().await;
    let detail = assert_failed(&outcome, Phase::Resolve, Class::AddressMismatch);
    assert!(detail.contains("an address of ten.test, is outside expect_addresses (127.0.0.0/29)"), "{detail}");
    assert_eq!(outcome.resolution.unwrap().addresses.len(), 10);
    assert!(outcome.attempts.is_empty(), "no address is tried");
}

#[tokio::test]
async fn a_literal_address_uses_no_resolver() {
    let (_listener, port) = ports::open();
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Opening a pipe without a writer blocks.
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let files = SystemFiles { resolv_conf: pipe("resolv.conf"), hosts: pipe("hosts") };
    let probing = target(format!("tcp://127.0.0.1:{port}"));
    assert_good(&probing.clone().files(files).probe().await);
    assert_good(&probing.name_server(server.local_addr().unwrap()).probe().await);
    assert!(server.try_recv(&mut [0; 512]).is_err());
}

#[tokio::test]
async fn without_resolv_conf_only_hosts_file_names_work() {
    let (_listener, port) = ports::open();
    let folder = tempfile::tempdir().unwrap();
    let files = SystemFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
    std::fs::write(&files.hosts, "127.0.0.1 db db.local\n").unwrap();
    for name in ["db", "db.local", "db.local.", "localhost", "x.localhost"] {
        let url = format!("tcp://{name}:{port}");
        assert_good(&target(url).files(files.clone()).probe().await);
    }
    let outcome = target(format!("tcp://other:{port}")).files(files).probe().await;
    let detail = assert_failed(&outcome, Phase::Resolve, Class::DnsError);
    assert!(detail.starts_with("cannot resolve other: no name server is configured: "), "{detail}");
}
