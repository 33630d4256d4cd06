//! Tests of caches, brokers, coordinators and shells.

use super::{Client, logged, occupy, occupy_by};
use crate::support::services::text::Tls;
use crate::support::services::text::stores::{Quorum, memcached, nats, sshd, zookeeper};

#[tokio::test]
async fn openssh_identifies_itself_unless_it_is_full() {
    let client = Client::new();
    let Some(server) = sshd("INFO").await else { return };
    let port = server.address.port();
    client.probe_until("ssh", port, "good ssh OpenSSH_").await;
    logged(&server, "[preauth]").await;
    let _other = occupy(&server, "SSH-2.0-").await;
    assert_eq!(client.probe("sftp", port).await, "rejected in protocol: Exceeded MaxStartups");
}

#[tokio::test]
async fn openssh_logs_a_probe_at_info_only() {
    let client = Client::new();
    let Some(server) = sshd("ERROR").await else { return };
    let port = server.address.port();
    client.probe_until("ssh", port, "good ssh OpenSSH_").await;
    // The log of the first probe is complete once a second one has succeeded.
    let _next = occupy(&server, "SSH-2.0-").await;
    let log = server.read("log");
    assert!(!log.contains("[preauth]"), "{log}");
}

#[tokio::test]
async fn memcached_serves_with_and_without_tls() {
    let client = Client::new();
    let Some(server) = memcached(Tls::Off, &[]).await else { return };
    let result = client.probe("memcached", server.address.port()).await;
    assert!(result.starts_with("good memcached 1."), "{result}");
    let Some(secured) = memcached(client.tls(), &[]).await else { return };
    assert_eq!(client.probe("memcached+tls", secured.address.port()).await, result);
    // memcached may log that `accept4` found no connection, which probes do not cause.
    let log = [server.read("log"), secured.read("log")].concat();
    assert!(log.lines().all(|line| line.starts_with("accept")), "{log}");
}

#[tokio::test]
async fn nats_serves_until_its_connections_are_used() {
    let client = Client::new();
    let Some(server) = nats(Tls::Off, "").await else { return };
    let port = server.address.port();
    let good = client.probe("nats", port).await;
    assert!(good.starts_with("good nats 2."), "{good}");
    assert_eq!(client.probe("nats+starttls", port).await, "starttls_refused in starttls: INFO does not offer TLS");
    assert!(!server.read("log").contains("[ERR]"));
    let Some(full) = nats(Tls::Off, "max_connections: 1").await else { return };
    let _other = occupy_by(&full, "CONNECT {\"verbose\":false}\r\nPING\r\n", "PONG").await;
    assert_eq!(
        client.probe("nats", full.address.port()).await,
        "rejected in protocol: -ERR 'maximum connections exceeded'"
    );
    let Some(secured) = nats(client.tls(), "").await else { return };
    for scheme in ["nats", "nats+starttls"] {
        assert_eq!(client.probe(scheme, secured.address.port()).await, good, "{scheme}");
    }
    // The server logs an error if a client disconnects without a handshake, which `nats+starttls` makes.
    logged(&secured, "[ERR]").await;
    let Some(guarded) = nats(client.tls(), "authorization { user: a, password: b }").await else { return };
    for scheme in ["nats", "nats+starttls"] {
        assert_eq!(client.probe(scheme, guarded.address.port()).await, good, "{scheme}");
    }
}

#[tokio::test]
async fn zookeeper_serves_unless_it_has_no_quorum() {
    let client = Client::new();
    let Some(server) = zookeeper(Quorum::Alone).await else { return };
    let result = client
        .probe_until("zookeeper", server.address.port(), "good zookeeper 3.")
        .await;
    assert!(result.ends_with(" standalone"), "{result}");
    logged(&server, "INFO - Processing srvr command from").await;
    let Some(lonely) = zookeeper(Quorum::Missing).await else { return };
    let result = client.probe("zookeeper", lonely.address.port()).await;
    assert_eq!(result, "rejected in protocol: This ZooKeeper instance is not currently serving requests");
}
