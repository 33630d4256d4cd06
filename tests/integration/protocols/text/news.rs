//! Tests of news servers.

use super::Client;
use crate::support::pki::Kind;
use crate::support::services::text::Tls;
use crate::support::services::text::news::{Obstacle, nnrpd};

#[tokio::test]
async fn inn_serves_in_each_form_of_tls() {
    let client = Client::of(Kind::Rsa);
    let Some(server) = nnrpd(client.tls(), &[], Obstacle::Nothing).await else { return };
    let secured = nnrpd(client.tls(), &["-S"], Obstacle::Nothing).await.unwrap();
    for (scheme, server) in [("nntp", &server), ("nntp+starttls", &server), ("nntps", &secured)] {
        let result = client.probe(scheme, server.address.port()).await;
        assert!(result.starts_with("good nntp INN 2."), "{scheme}: {result}");
    }
    let without = nnrpd(Tls::Off, &[], Obstacle::Nothing).await.unwrap();
    let refused = client.probe("nntp+starttls", without.address.port()).await;
    assert!(refused.starts_with("starttls_refused in starttls: STARTTLS: 5"), "{refused}");
}

#[tokio::test]
async fn inn_rejects_clients_it_cannot_serve() {
    let client = Client::of(Kind::Rsa);
    for (obstacle, expected) in [
        (Obstacle::NoOverview, "greeting: 400 NNTP server unavailable.  Try later!"),
        (Obstacle::Others, "greeting: 502 You have no permission to talk.  Goodbye!"),
    ] {
        let Some(server) = nnrpd(client.tls(), &[], obstacle).await else { return };
        let port = server.address.port();
        assert_eq!(client.probe("nntp", port).await, format!("rejected in protocol: {expected}"));
        assert_eq!(client.probe("nntp+starttls", port).await, format!("rejected in starttls: {expected}"));
    }
}
