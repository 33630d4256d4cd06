//! Tests with replacements for servers that no package registry provides.

use super::*;
use crate::support::services::binary::stand_ins::{cassandra, kafka, minecraft, mongodb, mssql};
use crate::support::services::tls::{Clients, stunnel};

/// Probes with TLS, which stunnel provides. Returns `None` if it is not installed.
async fn secured(scheme: &str, service: &Service) -> Option<String> {
    let server = stunnel(&identity(), Clients::Anybody, service.address).await?;
    Some(probe(&format!("{scheme}+tls"), server.address).await)
}

#[tokio::test]
async fn the_broker_of_librdkafka_serves() {
    let Some(server) = kafka().await else { return };
    assert_eq!(probe("kafka", server.address).await, "good kafka");
    wait::until("the request is logged", async || server.read("log").contains("Received ApiVersionRequestV0")).await;
    assert!(secured("kafka", &server).await.is_none_or(|result| result == "good kafka"));
}

#[tokio::test]
async fn freetds_pool_serves_without_encryption() {
    let Some(server) = mssql(&identity()).await else { return };
    assert_begins(&probe("mssql", server.address).await, "good mssql 1");
    let refused = probe("mssql+starttls", server.address).await;
    assert_eq!(refused, "starttls_refused in starttls: the server does not support encryption");
}

#[tokio::test]
async fn mockupdb_serves_in_each_role() {
    for (answer, expected) in [
        (r#"{"ok": 1, "isWritablePrimary": true, "maxWireVersion": 21, "setName": "a"}"#, "good mongodb 21 primary"),
        (r#"{"ok": 1, "secondary": true, "maxWireVersion": 21, "setName": "a"}"#, "good mongodb 21 secondary"),
        (r#"{"ok": 1, "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 21}"#, "good mongodb 21 mongos"),
        (
            r#"{"ok": 1, "isWritablePrimary": false, "secondary": false}"#,
            "rejected in protocol: it is neither primary, secondary, arbiter nor mongos",
        ),
        (
            r#"{"ok": 0, "code": 91, "errmsg": "The server is in quiesce mode"}"#,
            "rejected in protocol: The server is in quiesce mode",
        ),
        (r#"{"ok": 0, "code": 13, "errmsg": "command hello requires authentication"}"#, "good mongodb"),
    ] {
        let Some(server) = mongodb(&[answer]).await else { return };
        assert_eq!(probe("mongodb", server.address).await, expected);
        assert_eq!(server.read("log"), format!("{HELLO}\n"));
        assert!(secured("mongodb", &server).await.is_none_or(|result| result == expected));
    }
}

#[tokio::test]
async fn an_old_mongodb_receives_the_legacy_hello() {
    // Compatible servers have other codes than 59, or none.
    for code in ["\"code\": 59", "\"code\": 115", "\"code\": 303.0", "\"note\": \"no code\""] {
        let unknown = format!(r#"{{"ok": 0, {code}, "errmsg": "no such command: 'hello'"}}"#);
        let primary = r#"{"ok": 1, "ismaster": true, "maxWireVersion": 6}"#;
        let Some(server) = mongodb(&[&unknown, primary]).await else { return };
        assert_eq!(probe("mongodb", server.address).await, "good mongodb 6 primary", "{code}");
        assert_eq!(server.read("log"), format!("{HELLO}\n{}\n", HELLO.replace("hello", "isMaster")));
    }
}

#[tokio::test]
async fn the_codec_of_the_cassandra_driver_agrees() {
    for (answer, expected) in [
        ("supported", "good cassandra 3.4.7"),
        ("unknown-version", "good cassandra"),
        ("login", "good cassandra"),
        ("broken", "rejected in protocol: 0x0000 Server error"),
        ("overloaded", "rejected in protocol: 0x1001 Coordinator node overloaded"),
        ("bootstrapping", "rejected in protocol: 0x1002 Coordinator node is bootstrapping"),
    ] {
        let Some(server) = cassandra(answer).await else { return };
        assert_eq!(probe("cassandra", server.address).await, expected);
        assert_eq!(server.read("log"), "OPTIONS\n");
        assert!(secured("cassandra", &server).await.is_none_or(|result| result == expected));
    }
}

#[tokio::test]
async fn quarry_has_a_version() {
    let Some(server) = minecraft().await else { return };
    assert_begins(&probe("minecraft", server.address).await, "good minecraft 1.16.");
    assert!(
        secured("minecraft", &server)
            .await
            .is_none_or(|result| result.starts_with("good minecraft 1.16."))
    );
}

/// The request to MongoDB in the notation of `MockupDB`.
const HELLO: &str = r#"OpMsg({"hello": 1, "$db": "admin"}, namespace="admin")"#;
