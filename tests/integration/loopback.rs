//! Tests of every connect result that is possible on loopback, with different settings.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use portprobe::outcome::{Class, LocalFaultReason, Phase};
use portprobe::target::{Expect, IpFamily, Settings};
use socket2::{Domain, Socket, Type};

use crate::support::ports;
use crate::support::probing::{assert_failed, assert_good, assert_local_fault, target};

#[tokio::test]
async fn an_open_port_has_a_handshake_time() {
    let (_listener, port) = ports::open();
    let outcome = target(ports::url(port)).probe().await;
    assert_good(&outcome);
    assert_eq!(outcome.address(), Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(outcome.resolution, None);
    assert_eq!(outcome.timings.of(Phase::Resolve), None);
    let handshake = outcome.timings.of(Phase::Connect).unwrap();
    assert!(!handshake.is_zero() && handshake <= outcome.duration, "{outcome:?}");
    assert_eq!(outcome.attempts.len(), 1);
    assert_eq!(outcome.attempts[0].syn_retransmits, 0);
}

#[tokio::test]
async fn an_open_port_on_ipv6_loopback_succeeds() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("left out: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    assert_good(&target(format!("tcp://[::1]:{port}")).probe().await);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let (_socket, port) = ports::closed();
    let outcome = target(ports::url(port)).probe().await;
    let detail = assert_failed(&outcome, Phase::Connect, Class::Refused);
    assert_eq!(
        detail,
        format!("nothing listens on port {port}: 127.0.0.1 answered with a RST or ICMP port unreachable")
    );
    assert_eq!(outcome.timings.iter().count(), 0);
}

#[tokio::test]
async fn the_expectation_decides_about_success() {
    let (_listener, open) = ports::open();
    let (_socket, closed) = ports::closed();
    for (expect, when_closed) in [(Expect::Refused, true), (Expect::Closed, true), (Expect::Filtered, false)] {
        let outcome = target(ports::url(open)).expect(expect).probe().await;
        assert_failed(&outcome, Phase::Connect, Class::UnexpectedOpen);
        let outcome = target(ports::url(closed)).expect(expect).probe().await;
        if when_closed {
            assert_good(&outcome);
            assert_eq!(outcome.timings.iter().count(), 0, "without a handshake there is no duration");
        } else {
            assert_failed(&outcome, Phase::Connect, Class::Refused);
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_accept_queue_counts_as_filtered() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let second = Duration::from_secs(1);
    let mut waiting = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&address, second / 4) {
        waiting.push(connection);
    }
    let probing = target(ports::url(address.port())).timeout(second);
    let outcome = probing.clone().probe().await;
    let detail = assert_failed(&outcome, Phase::Connect, Class::Timeout);
    assert!(detail.starts_with("no answer from 127.0.0.1:") && detail.contains(" SYN"), "{detail}");
    assert_good(&probing.expect(Expect::Filtered).probe().await);
}

#[tokio::test]
async fn a_greeting_server_reads_an_orderly_close() {
    let (listener, port) = ports::open();
    let server = thread::spawn(move || {
        let mut endings = Vec::new();
        for _ in 0..PROBES {
            let (mut connection, _) = listener.accept().unwrap();
            // The probe may have ended already; only the received bytes matter.
            let _ = connection.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
            endings.push(connection.read(&mut [0; 16]).map_err(|error| error.kind()));
        }
        endings
    });
    for _ in 0..PROBES {
        assert_good(&target(ports::url(port)).probe().await);
    }
    assert_eq!(server.join().unwrap(), vec![Ok(0); PROBES]);
}

#[tokio::test]
async fn an_immediate_reset_counts_as_open() {
    let (listener, port) = ports::open();
    let server = thread::spawn(move || {
        for _ in 0..PROBES {
            let (connection, _) = listener.accept().unwrap();
            Socket::from(connection).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    for _ in 0..PROBES {
        assert_good(&target(ports::url(port)).probe().await);
    }
    server.join().unwrap();
}

#[tokio::test]
async fn the_source_address_is_used() {
    let (listener, port) = ports::open();
    assert_good(&target(ports::url(port)).source("127.0.0.5").probe().await);
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 5]));
}

#[tokio::test]
async fn a_foreign_source_address_is_a_local_fault() {
    let (_listener, port) = ports::open();
    let outcome = target(ports::url(port)).source("192.0.2.1").probe().await;
    let detail = assert_local_fault(&outcome, LocalFaultReason::NoPort);
    assert_eq!(detail, format!("cannot use source address 192.0.2.1 to connect to 127.0.0.1:{port} (EADDRNOTAVAIL)"));
    for expect in [Expect::Refused, Expect::Filtered, Expect::Closed] {
        let outcome = target(ports::url(port)).source("192.0.2.1").expect(expect).probe().await;
        assert_local_fault(&outcome, LocalFaultReason::NoPort);
    }
}

#[tokio::test]
async fn an_address_of_an_excluded_family_is_skipped() {
    let (listener, port) = ports::open();
    listener.set_nonblocking(true).unwrap();
    let only = |family| move |settings: &mut Settings| settings.addressing.family = family;
    let outcome = target(ports::url(port)).with(only(IpFamily::Ipv6)).probe().await;
    assert_failed(&outcome, Phase::Resolve, Class::DnsNotFound);
    let outcome = target(ports::url(port)).with(only(IpFamily::Ipv4)).source("::1").probe().await;
    assert_local_fault(&outcome, LocalFaultReason::Invalid);
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn an_unexpected_literal_is_a_mismatch() {
    let (listener, port) = ports::open();
    listener.set_nonblocking(true).unwrap();
    let expect = |networks: &[&str]| {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        target(ports::url(port)).with(|settings| settings.addressing.expect = networks)
    };
    let outcome = expect(&["10.0.0.0/8", "fd00::/8"]).probe().await;
    let detail = assert_failed(&outcome, Phase::Resolve, Class::AddressMismatch);
    assert_eq!(detail, "127.0.0.1 is outside expect_addresses (10.0.0.0/8, fd00::/8)");
    assert!(listener.accept().is_err(), "an unexpected address is not tried");
    assert_good(&expect(&["10.0.0.0/8", "127.0.0.0/8"]).probe().await);
}

#[tokio::test]
async fn a_timeout_without_a_syn_is_a_local_fault() {
    let (_listener, port) = ports::open();
    for expect in [Expect::Open, Expect::Filtered, Expect::Closed] {
        let outcome = target(ports::url(port)).timeout(Duration::ZERO).expect(expect).probe().await;
        assert_local_fault(&outcome, LocalFaultReason::Overloaded);
    }
}

/// Number of attempts in tests with a race.
const PROBES: usize = 50;
