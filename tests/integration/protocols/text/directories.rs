//! Tests of directories and name servers.

use super::{Client, logged};
use crate::support::services::text::Tls;
use crate::support::services::text::directories::{bind, slapd};

#[tokio::test]
async fn openldap_serves_in_each_form_of_tls() {
    let client = Client::new();
    let Some(server) = slapd(client.tls(), "").await else { return };
    let [ldap, ldaps] = server.ports;
    for (scheme, port) in [("ldap", ldap), ("ldap+starttls", ldap), ("ldaps", ldaps)] {
        assert_eq!(client.probe(scheme, port).await, "good ldap", "{scheme}");
    }
    let log = logged(&server.service, "UNBIND").await;
    assert!(log.contains("op=0 BIND dn=\"\" method=128"), "{log}");
}

#[tokio::test]
async fn openldap_without_tls_or_anonymous_binds_serves() {
    let client = Client::new();
    let Some(server) = slapd(Tls::Off, "disallow bind_anon\n").await else { return };
    assert_eq!(client.probe("ldap", server.ports[0]).await, "good ldap");
    let result = client.probe("ldap+starttls", server.ports[0]).await;
    assert!(result.starts_with("starttls_refused in starttls: StartTLS: result "), "{result}");
}

#[tokio::test]
async fn bind_serves_unless_it_has_no_data() {
    let client = Client::new();
    let Some(server) = bind(client.tls()).await else { return };
    let [plain, secured] = server.ports;
    for (scheme, port) in [("dns", plain), ("dns+tls", secured)] {
        for (path, expected) in [
            ("/example.org", "good dns"),
            ("/missing.example.org", "good dns"),
            // The server has no data for the root and responds with REFUSED.
            ("", "good dns"),
            ("/broken.example", "rejected in protocol: SERVFAIL"),
        ] {
            assert_eq!(client.probe_path(scheme, port, path).await, expected, "{scheme} {path}");
        }
    }
    let log = server.service.read("log");
    let (_, running) = log.split_once(" running\n").unwrap();
    assert_eq!(running, "", "a probe leaves nothing in the log");
}
