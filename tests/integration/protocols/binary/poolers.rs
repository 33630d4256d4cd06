//! Poolers and proxies that have a server or none.

use super::*;
use crate::support::services::binary::databases::{mariadb, postgresql as locked_postgresql};
use crate::support::services::binary::poolers::{haproxy, pgbouncer, pgpool};
use crate::support::services::postgresql;

/// A startup packet of the user `somebody` for the database `postgres`.
const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0somebody\0database\0postgres\0\0";

#[tokio::test]
async fn pgbouncer_serves_if_it_reaches_a_server() {
    let Some(mut server) = postgresql().await else { return };
    let identity = identity();
    let at = server.address;
    let Some(open) = pgbouncer(&identity, "postgres", at, "auth_type = any").await else { return };
    let password = pgbouncer(&identity, "postgres", at, "auth_type = md5").await.unwrap();
    let trusting = pgbouncer(&identity, "postgres", at, "auth_type = trust").await.unwrap();
    for scheme in ["postgres", "postgres+starttls"] {
        until(scheme, open.address, "good postgres").await;
        assert_eq!(probe(scheme, password.address).await, "good postgres");
        // The user does not exist: "trust" authentication failed.
        assert_eq!(probe(scheme, trusting.address).await, "good postgres");
    }
    let without = pgbouncer(&identity, "orders", at, "auth_type = trust\nauth_file = probers")
        .await
        .unwrap();
    assert_eq!(probe("postgres", without.address).await, "good postgres");
    let log = || without.read("log");
    wait::until("the database is unknown", async || log().contains("no such database: postgres")).await;
    server.stop();
    let lonely = pgbouncer(&identity, "postgres", at, "auth_type = any").await.unwrap();
    for scheme in ["postgres", "postgres+starttls"] {
        let expected = "rejected in protocol: 08P01 query_wait_timeout";
        assert_eq!(probe(scheme, lonely.address).await, expected);
        // A pooler that requires a login does not need a server for that.
        assert_eq!(probe(scheme, password.address).await, "good postgres");
    }
}

#[tokio::test]
async fn a_full_pgbouncer_is_rejected() {
    let Some(server) = postgresql().await else { return };
    let settings = "auth_type = any\nmax_client_conn = 1";
    let Some(pooler) = pgbouncer(&identity(), "postgres", server.address, settings).await else { return };
    let other = occupy_until(&pooler, STARTUP, |received| received.starts_with(b"R")).await;
    let expected = "rejected in protocol: 08P01 no more connections allowed (max_client_conn)";
    assert_eq!(probe("postgres", pooler.address).await, expected);
    drop(other);
}

#[tokio::test]
async fn pgpool_without_a_server_is_rejected() {
    let identity = identity();
    let Some(mut server) = locked_postgresql(&identity).await else { return };
    let Some(pooler) = pgpool(&identity, server.address, "").await else { return };
    let closed = pgpool(&identity, server.address, "enable_pool_hba = on").await.unwrap();
    // The server requires a password, or the pooler does.
    until("postgres", pooler.address, "good postgres").await;
    assert_eq!(probe("postgres", closed.address).await, "good postgres");

    server.interrupt();
    server.write("data/standby.signal", "");
    server.start_again().await;
    let replied = "rejected in protocol: XX000 backend authentication failed: backend response with kind 'E'";
    until("postgres", pooler.address, replied).await;

    server.stop();
    // The second until its failover is complete, which can take minutes.
    let down = [
        "rejected in protocol: 08S01 pgpool is not accepting any new connections: all backend nodes are down",
        "rejected in protocol: XX000 failed to create a backend connection: executing failover on backend",
    ];
    wait::until_patiently(&format!("one of {down:?}"), async || {
        let result = probe("postgres", pooler.address).await;
        down.iter().any(|expected| result.starts_with(expected))
    })
    .await;
}

#[tokio::test]
async fn a_proxy_without_a_database_is_disconnected() {
    let identity = identity();
    let Some(mut postgresql) = postgresql().await else { return };
    let Some(mut mariadb) = mariadb(&identity, &[]).await else { return };
    for (scheme, server) in [("postgres", &mut postgresql), ("mysql", &mut mariadb)] {
        let Some(proxy) = haproxy(&identity, server.address).await else { return };
        until(scheme, proxy.address, &format!("good {scheme}")).await;
        server.stop();
        let result = probe(scheme, proxy.address).await;
        let ends = ["disconnected in protocol", "reset in protocol"];
        assert!(ends.iter().any(|end| result.starts_with(end)), "{result}");
    }
}
