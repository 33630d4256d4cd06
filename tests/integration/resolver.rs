//! Tests of name resolution with a network: search domains, routes to addresses, and unreachable name servers.

use portprobe::outcome::{Class, LocalFaultReason, Phase};
use portprobe::probe::SystemFiles;

use crate::support::dns::NameServer;
use crate::support::netns::{self, Far, firewall, ip};
use crate::support::ports;
use crate::support::probing::{assert_failed, assert_good, assert_local_fault, target};

#[test]
fn a_trailing_dot_disables_search_domains() {
    netns::inside(async || {
        let Some(server) = NameServer::start_on(53).await else { return };
        let _server = server.expect("port 53 of a fresh namespace must be free");
        let (_listener, port) = ports::open();
        let folder = tempfile::tempdir().unwrap();
        let files = SystemFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
        std::fs::write(&files.resolv_conf, "nameserver 127.0.0.1\nsearch lost.test found.test\n").unwrap();
        let probe = |name: &str| target(format!("tcp://{name}:{port}")).files(files.clone()).probe();
        assert_good(&probe("db").await);
        assert_good(&probe("one.test").await);
        assert_good(&probe("one.test.").await);
        assert_failed(&probe("db.").await, Phase::Resolve, Class::DnsNotFound);
        assert_failed(&probe("other").await, Phase::Resolve, Class::DnsNotFound);
    });
}

#[test]
fn an_address_without_route_hides_no_result() {
    netns::inside(async || {
        let Some(server) = NameServer::start().await else { return };
        ip("address del ::1/128 dev lo");
        let outcome = target("tcp://both.test:1").name_server(server.address).probe().await;
        assert_failed(&outcome, Phase::Connect, Class::Refused);
        assert_eq!(outcome.resolution.as_ref().unwrap().addresses.len(), 2);
        assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
        let outcome = target("tcp://distant.test:1").name_server(server.address).probe().await;
        assert_failed(&outcome, Phase::Connect, Class::Unreachable);
    });
}

#[test]
fn unreachable_name_servers_are_distinguished() {
    netns::inside(async || {
        let _far = Far::linked();
        firewall("output", "udp dport 53 ip daddr 10.99.0.2 drop");
        let query = |server: &str| target("tcp://one.test:1").name_server(server.parse().unwrap()).probe();
        assert_local_fault(&query("10.99.0.2:53").await, LocalFaultReason::NotPermitted);
        let unrouted = query("203.0.113.1:53").await;
        let detail = assert_failed(&unrouted, Phase::Resolve, Class::DnsError);
        assert!(detail.contains("203.0.113.1:53 cannot be reached: no route (ENETUNREACH)"), "{detail}");
        let Some(server) = NameServer::start().await else { return };
        for first in ["10.99.0.2:53", "203.0.113.1:53", "[fd99::2]:53"] {
            let probing = target("tcp://one.test:1")
                .name_server(first.parse().unwrap())
                .name_server(server.address);
            assert_failed(&probing.probe().await, Phase::Connect, Class::Refused);
        }
        let unused = query("[fd99::2]:53").await;
        assert_failed(&unused, Phase::Resolve, Class::DnsError);
    });
}
