//! Tests of every connect result that needs a network: firewalls, routes, neighbours and lost packets, in separate
//! network namespaces.

use std::future::poll_fn;
use std::hint;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use portprobe::outcome::{Class, LocalFaultReason, Phase};
use portprobe::target::Expect;
use socket2::{Domain, Socket, Type};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::netns::{self, Far, firewall, ip, sysctl};
use crate::support::ports;
use crate::support::probing::{assert_failed, assert_good, assert_local_fault, target};

#[test]
fn each_firewall_rejection_has_a_class() {
    netns::inside(async || {
        let far = Far::linked();
        far.run(|| {
            firewall(
                "input",
                "
                tcp dport 1 reject with tcp reset
                meta nfproto ipv4 tcp dport 2 reject with icmp type host-unreachable
                meta nfproto ipv4 tcp dport 3 reject with icmp type net-unreachable
                meta nfproto ipv4 tcp dport 4 reject with icmp type admin-prohibited
                meta nfproto ipv4 tcp dport 5 reject with icmp type port-unreachable
                meta nfproto ipv4 tcp dport 6 reject with icmp type prot-unreachable
                meta nfproto ipv4 tcp dport 7 reject with icmp type host-prohibited
                meta nfproto ipv4 tcp dport 8 reject with icmp type net-prohibited
                meta nfproto ipv6 tcp dport 2 reject with icmpv6 type addr-unreachable
                meta nfproto ipv6 tcp dport 3 reject with icmpv6 type no-route
                meta nfproto ipv6 tcp dport 4 reject with icmpv6 type admin-prohibited
                meta nfproto ipv6 tcp dport 5 reject with icmpv6 type port-unreachable
                meta nfproto ipv6 tcp dport 6 reject with icmpv6 type policy-fail
                meta nfproto ipv6 tcp dport 7 reject with icmpv6 type reject-route",
            );
        });
        let v4 = [
            (1, Class::Refused, ""),
            (2, Class::Unreachable, "EHOSTUNREACH"),
            (3, Class::Unreachable, "ENETUNREACH"),
            (4, Class::Unreachable, "EHOSTUNREACH"),
            (5, Class::Refused, ""),
            (6, Class::Unreachable, "ENOPROTOOPT"),
            (7, Class::Unreachable, "EHOSTUNREACH"),
            (8, Class::Unreachable, "ENETUNREACH"),
        ];
        let v6 = [
            (1, Class::Refused, ""),
            (2, Class::Unreachable, "EHOSTUNREACH"),
            (3, Class::Unreachable, "ENETUNREACH"),
            (4, Class::Unreachable, "EACCES"),
            (5, Class::Refused, ""),
            (6, Class::Unreachable, "EACCES"),
            (7, Class::Unreachable, "EACCES"),
        ];
        // All at the same time, because an ICMP error that arrives during connect is noticed only at the next SYN.
        let mut probes = JoinSet::new();
        for (host, cases) in [("10.99.0.2", &v4[..]), ("[fd99::2]", &v6)] {
            for (port, class, code) in cases {
                probes.spawn(assert_rejected(format!("tcp://{host}:{port}"), *class, code));
            }
        }
        probes.join_all().await;
    });
}

/// Asserts the class and code of a probe, and that it satisfies only the matching expectations.
async fn assert_rejected(url: String, class: Class, code: &str) {
    let expecting = |expect| target(&url).expect(expect).probe();
    let (open, refused, filtered, closed) = tokio::join!(
        expecting(Expect::Open),
        expecting(Expect::Refused),
        expecting(Expect::Filtered),
        expecting(Expect::Closed),
    );
    let detail = assert_failed(&open, Phase::Connect, class);
    assert!(detail.contains(code), "{url}: {detail}");
    assert_eq!(refused.result.is_ok(), class == Class::Refused, "{url}: {refused:?}");
    assert_eq!(filtered.result.is_ok(), class == Class::Unreachable, "{url}: {filtered:?}");
    assert_good(&closed);
}

#[test]
fn a_timeout_reports_the_number_of_syns() {
    netns::inside(async || {
        let far = Far::linked();
        far.run(|| firewall("input", "tcp dport 9 drop"));
        let probing = target("tcp://10.99.0.2:9").timeout(Duration::from_millis(1500));
        let expecting = |expect| probing.clone().expect(expect).probe();
        let (open, refused, filtered, closed) = tokio::join!(
            expecting(Expect::Open),
            expecting(Expect::Refused),
            expecting(Expect::Filtered),
            expecting(Expect::Closed),
        );
        let detail = assert_failed(&open, Phase::Connect, Class::Timeout);
        assert_eq!(detail, "no answer from 10.99.0.2:9 to 2 SYNs within 1.5s");
        assert_eq!(open.attempts[0].syn_retransmits, 0, "nothing answered");
        assert_failed(&refused, Phase::Connect, Class::Timeout);
        assert_good(&filtered);
        assert_good(&closed);
    });
}

#[test]
fn a_connect_the_kernel_aborts_is_a_timeout() {
    netns::inside(async || {
        let far = Far::linked();
        far.run(|| firewall("input", "tcp dport 9 drop"));
        sysctl("ipv4/tcp_syn_retries", "1");
        let outcome = target("tcp://10.99.0.2:9").timeout(Duration::from_secs(20)).probe().await;
        let detail = assert_failed(&outcome, Phase::Connect, Class::Timeout);
        assert!(detail.contains("before the kernel gave up"), "{detail}");
        assert_eq!(outcome.attempts[0].syn_retransmits, 0, "nothing answered");
    });
}

#[test]
fn a_lost_syn_is_counted() {
    netns::inside(async || {
        let far = Far::linked();
        let _listener = far.run(|| {
            // A SYN has 60 bytes: the first one is dropped within the quota, the second one passes.
            firewall(
                "input",
                "
                tcp dport 22 tcp flags syn quota until 60 bytes drop
                tcp dport 23 tcp flags syn quota until 60 bytes drop",
            );
            TcpListener::bind("10.99.0.2:22").unwrap()
        });
        let outcome = target("tcp://10.99.0.2:22").probe().await;
        assert_good(&outcome);
        assert_eq!(outcome.attempts[0].syn_retransmits, 1, "{outcome:?}");
        let handshake = outcome.timings.of(Phase::Connect).unwrap();
        assert!(handshake >= Duration::from_millis(900), "the duration includes the lost SYN: {handshake:?}");

        let outcome = target("tcp://10.99.0.2:23").probe().await;
        assert_failed(&outcome, Phase::Connect, Class::Refused);
        assert_eq!(outcome.attempts[0].syn_retransmits, 1, "a RST is an answer: {outcome:?}");
    });
}

#[test]
fn a_missing_local_route_is_always_unreachable() {
    netns::inside(async || {
        ip("route add unreachable 203.0.113.0/24");
        ip("route add throw 198.51.100.0/24");
        for url in ["tcp://192.0.2.1:22", "tcp://203.0.113.1:22", "tcp://198.51.100.1:22", "tcp://[2001:db8::1]:22"] {
            let outcome = target(url).probe().await;
            let detail = assert_failed(&outcome, Phase::Connect, Class::Unreachable);
            assert!(detail.starts_with("this machine has no route to "), "{detail}");
            for expect in [Expect::Refused, Expect::Filtered, Expect::Closed] {
                assert_failed(&target(url).expect(expect).probe().await, Phase::Connect, Class::Unreachable);
            }
        }
    });
}

#[test]
fn a_neighbour_that_does_not_answer_is_unreachable() {
    netns::inside(async || {
        let _far = Far::linked();
        sysctl("ipv4/neigh/near/retrans_time_ms", "50");
        sysctl("ipv6/neigh/near/retrans_time_ms", "50");
        for url in ["tcp://10.99.0.77:22", "tcp://[fd99::77]:22"] {
            let outcome = target(url).probe().await;
            let detail = assert_failed(&outcome, Phase::Connect, Class::Unreachable);
            assert!(detail.contains("the neighbour does not answer"), "{detail}");
        }
    });
}

#[test]
fn a_local_policy_is_a_local_fault() {
    netns::inside(async || {
        ip("route add prohibit 203.0.113.0/24");
        ip("route add blackhole 198.51.100.0/24");
        let _far = Far::linked();
        ip("xfrm policy add dir out dst 10.99.0.2 action block");
        for (url, reason) in [
            ("tcp://203.0.113.1:22", LocalFaultReason::NotPermitted),
            ("tcp://10.99.0.2:22", LocalFaultReason::NotPermitted),
            ("tcp://198.51.100.1:22", LocalFaultReason::Invalid),
        ] {
            let outcome = target(url).probe().await;
            let detail = assert_local_fault(&outcome, reason);
            assert!(detail.starts_with("cannot connect to "), "{detail}");
            assert_local_fault(&target(url).expect(Expect::Closed).probe().await, reason);
        }
    });
}

/// TCP treats a SYN that the local firewall drops as lost and retransmits it, and connect returns no error. Therefore
/// this is a timeout, while UDP would return EPERM.
#[test]
fn a_locally_dropped_syn_counts_as_lost() {
    netns::inside(async || {
        let _far = Far::linked();
        firewall("output", "tcp dport 22 drop");
        let outcome = target("tcp://10.99.0.2:22").timeout(Duration::from_millis(500)).probe().await;
        assert_failed(&outcome, Phase::Connect, Class::Timeout);
    });
}

#[test]
fn a_link_local_address_needs_its_zone() {
    netns::inside(async || {
        let far = Far::linked();
        let listener = far.run(|| TcpListener::bind("[::]:22").unwrap());
        let number = nix::net::if_::if_nametoindex("near").unwrap();
        assert_good(&target("tcp://[fe80::2%near]:22").probe().await);
        assert_good(&target(format!("tcp://[fe80::2%{number}]:22")).probe().await);
        for zone in ["nowhere", "4711"] {
            let outcome = target(format!("tcp://[fe80::2%{zone}]:22")).probe().await;
            assert_local_fault(&outcome, LocalFaultReason::Invalid);
        }
        assert_local_fault(&target("tcp://[fe80::2]:22").probe().await, LocalFaultReason::Invalid);
        drop(listener);
    });
}

#[test]
fn a_timely_answer_counts_if_read_late() {
    netns::inside(async || {
        let far = Far::linked();
        let _listener = far.run(|| TcpListener::bind("10.99.0.2:22").unwrap());
        let timeout = Duration::from_millis(20);
        let mut open = pin!(target("tcp://10.99.0.2:22").timeout(timeout).probe());
        let mut refused = pin!(target("tcp://10.99.0.2:23").timeout(timeout).probe());
        let deadline = Instant::now() + timeout;
        assert!(poll_once(open.as_mut()).await.is_pending());
        assert!(poll_once(refused.as_mut()).await.is_pending());
        while Instant::now() < deadline {
            hint::spin_loop();
        }
        assert_good(&open.await);
        assert_failed(&refused.await, Phase::Connect, Class::Refused);
    });
}

async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[test]
fn exhausted_local_ports_are_a_local_fault() {
    netns::inside(async || {
        sysctl("ipv4/ip_local_port_range", "40000 40001");
        let (_listener, port) = listening_on(1001);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let _held = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        let outcome = target(ports::url(port)).probe().await;
        let detail = assert_local_fault(&outcome, LocalFaultReason::NoPort);
        assert!(detail.contains("no local port or address is left"), "{detail}");
    });
}

#[test]
fn a_source_address_shares_its_ports_between_targets() {
    netns::inside(async || {
        sysctl("ipv4/ip_local_port_range", "40000 40000");
        let (listener, first) = listening_on(1001);
        let (_other, second) = listening_on(1002);
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, first)).into()).unwrap();
        assert_good(&target(ports::url(second)).source("127.0.0.1").probe().await);
        drop(listener);
    });
}

#[test]
fn a_self_connect_is_refused() {
    netns::inside(async || {
        // The kernel can choose only the probed port as its local port.
        sysctl("ipv4/ip_local_port_range", "40000 40000");
        for address in ["127.0.0.1", "[::1]"] {
            let probing = target(format!("tcp://{address}:40000"));
            let outcome = probing.clone().probe().await;
            let detail = assert_failed(&outcome, Phase::Connect, Class::Refused);
            assert_eq!(detail, "nothing listens on port 40000: the probe connected to itself");
            assert_good(&probing.expect(Expect::Refused).probe().await);
        }
    });
}

fn listening_on(port: u16) -> (TcpListener, u16) {
    (TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(), port)
}
