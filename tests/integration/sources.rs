//! DNS discovery with a real DNS server.

use std::fs;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portprobe::config::{Discovered, Records, Source, SourceKind};
use portprobe::discovery::{Snapshot, Sources};
use portprobe::options::ResolverOptions;
use portprobe::probe::{Connector, SystemFiles};

use crate::support::dns::NameServer;
use crate::support::netns;

/// Refreshes a name once.
async fn refresh(connector: &Connector, name: &str, records: Records) -> Result<Snapshot, String> {
    let kind = SourceKind::Dns { name: name.parse().unwrap(), records };
    let mut sources = Sources::new(connector.clone(), Arc::default());
    sources.set(&[Source { name: name.into(), kind, refresh: Duration::from_hours(1) }]);
    sources.next().await.result.map_err(|error| error.to_string())
}

#[track_caller]
fn assert_addresses(snapshot: &Result<Snapshot, String>, addresses: &[&str]) {
    let snapshot = snapshot.as_ref().unwrap();
    let expected: Vec<_> = addresses
        .iter()
        .map(|address| Discovered::address((*address).to_owned()))
        .collect();
    assert_eq!(*snapshot.entries, expected);
    assert_eq!(snapshot.problems, [""; 0]);
}

/// Runs a test with a DNS server as that of the system, with one short try, so that silence costs little time.
fn with_name_server(test: impl AsyncFnOnce(Connector) + Send + 'static) {
    netns::inside(async || {
        let Some(server) = NameServer::start_on(53).await else { return };
        let _server = server.expect("port 53 of a fresh namespace must be free");
        let folder = tempfile::tempdir().unwrap();
        let files = SystemFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
        fs::write(&files.resolv_conf, "nameserver 127.0.0.1\nsearch found.test\n").unwrap();
        fs::write(&files.hosts, "192.0.2.9 one.test listed\n").unwrap();
        let options = ResolverOptions { timeout: Duration::from_millis(500), tries: NonZeroU32::MIN };
        test(Connector::with_system_files(options, Arc::default(), files)).await;
    });
}

#[test]
fn services_are_sorted_and_unique() {
    with_name_server(async |connector| {
        let postgres = ["db-a.test:5432", "db-b.test:5432", "db-b.test:5433"];
        for name in ["_postgres._tcp.test", "_POSTGRES._tcp.test."] {
            assert_addresses(&refresh(&connector, name, Records::Srv).await, &postgres);
        }
        assert_addresses(&refresh(&connector, "_gone._tcp.test", Records::Srv).await, &[]);
    });
}

#[test]
fn a_thousand_services_are_queried_over_tcp() {
    with_name_server(async |connector| {
        let crowd: Vec<_> = (1..=1000).map(|index| format!("h{index:04}.test:5432")).collect();
        let crowd: Vec<_> = crowd.iter().map(String::as_str).collect();
        assert_addresses(&refresh(&connector, "_crowd._tcp.test", Records::Srv).await, &crowd);
    });
}

#[test]
fn addresses_are_discovered_by_family() {
    with_name_server(async |connector| {
        assert_addresses(&refresh(&connector, "two.test", Records::A(22)).await, &["127.0.0.1:22", "127.0.0.2:22"]);
        assert_addresses(&refresh(&connector, "both.test", Records::A(22)).await, &["127.0.0.1:22"]);
        assert_addresses(&refresh(&connector, "both.test", Records::Aaaa(22)).await, &["[::1]:22"]);
        assert_addresses(&refresh(&connector, "one.test", Records::A(22)).await, &["127.0.0.1:22"]);
        let thousand = refresh(&connector, "thousand.test", Records::A(1)).await.unwrap();
        assert_eq!((thousand.entries.len(), thousand.problems.len()), (1000, 0));
    });
}

#[test]
fn a_missing_name_has_no_targets() {
    with_name_server(async |connector| {
        for (name, records) in [
            ("none.test", Records::Srv),
            ("none.test", Records::A(1)),
            ("one.test", Records::Srv),
            ("v4.test", Records::Aaaa(1)),
            ("nodata.test", Records::A(1)),
            // Names are absolute: the hosts file and search domains do not apply.
            ("listed", Records::A(1)),
            ("db", Records::A(1)),
        ] {
            assert_addresses(&refresh(&connector, name, records).await, &[]);
        }
    });
}

#[test]
fn failing_servers_fail_the_source() {
    with_name_server(async |connector| {
        for (name, words) in
            [("servfail.test", "SERVFAIL"), ("refused.test", "REFUSED"), ("silent.test", "did not answer")]
        {
            for records in [Records::Srv, Records::A(1)] {
                let why = refresh(&connector, name, records).await.unwrap_err();
                assert!(why.contains(name) && why.contains(words), "{why}");
            }
        }
    });
}

#[test]
fn a_blocked_name_fails_its_source() {
    with_name_server(async |connector| {
        for records in [Records::A(1), Records::Aaaa(1)] {
            let why = refresh(&connector, "blocked.test", records).await.unwrap_err();
            assert!(why.contains("blocked.test resolves only to an unspecified address"), "{why}");
        }
        assert_addresses(&refresh(&connector, "partlyblocked.test", Records::A(1)).await, &["127.0.0.1:1"]);
    });
}

#[test]
fn missing_name_servers_are_an_error() {
    netns::inside(async || {
        let folder = tempfile::tempdir().unwrap();
        let files = SystemFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
        let connector = Connector::with_system_files(ResolverOptions::default(), Arc::default(), files);
        let why = refresh(&connector, "one.test", Records::A(1)).await.unwrap_err();
        assert!(why.contains("no name server is configured"), "{why}");
    });
}
