//! Tests of WebSocket with NATS and with a server without WebSocket.

use super::*;
use crate::support::services::web::nats;

#[tokio::test]
async fn nats_accepts_a_websocket_client() {
    let client = Client::new();
    let identity = client.identity();
    let Some(plain) = nats(Tls::Off).await else { return };
    let secured = nats(Tls::With(&identity)).await.unwrap();
    for (scheme, server) in [("ws", &plain), ("wss", &secured)] {
        let [_, monitoring, port] = server.ports;
        let before = server.service.read("log");
        assert_eq!(client.probe(&format!("{scheme}://127.0.0.1:{port}/")).await, "good ws");
        assert_eq!(server.service.read("log"), before);
        let page = client.probe(&format!("ws://127.0.0.1:{monitoring}/healthz")).await;
        assert_eq!(
            page,
            "unexpected_response in protocol: expected the status 101 Switching Protocols, received 200 OK"
        );
    }
    let plaintext = client.probe(&format!("wss://127.0.0.1:{}/", plain.ports[2])).await;
    assert_begins(&plaintext, "tls_protocol in tls");
    let certificate = client.issue(leaf(&["elsewhere.example"]));
    let elsewhere = nats(Tls::With(&certificate)).await.unwrap();
    let misnamed = client.probe(&format!("wss://127.0.0.1:{}/", elsewhere.ports[2])).await;
    assert_begins(&misnamed, "cert_name_mismatch in tls");
}

#[tokio::test]
async fn nginx_does_not_upgrade() {
    let client = Client::new();
    let identity = client.identity();
    let Some(server) = nginx(Tls::With(&identity)).await else { return };
    for (scheme, port) in ["ws", "wss"].into_iter().zip(server.ports) {
        for (path, expected) in [
            (
                "/health",
                "unexpected_response in protocol: expected the status 101 Switching Protocols, received 200 OK",
            ),
            (
                "/none",
                "unexpected_response in protocol: expected the status 101 Switching Protocols, received 404 Not Found",
            ),
            ("/busy", "rejected in protocol: 503 Service Unavailable"),
        ] {
            assert_eq!(client.probe(&format!("{scheme}://127.0.0.1:{port}{path}")).await, expected, "{scheme}");
        }
    }
}
