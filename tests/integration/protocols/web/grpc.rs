//! Tests of gRPC with servers of grpcio.

use super::*;
use crate::support::services::web::{grpc, nginx_before_grpc};

#[tokio::test]
async fn the_health_of_each_service_is_reported() {
    let client = Client::new();
    let identity = client.identity();
    let Some(plain) = grpc(Tls::Off, "health").await else { return };
    let secured = grpc(Tls::With(&identity), "health").await.unwrap();
    for (scheme, server) in [("grpc", &plain), ("grpc+tls", &secured)] {
        for (path, expected) in [
            ("", "good grpc"),
            ("/shop.Orders", "good grpc"),
            ("/shop.Billing", "rejected in protocol: NOT_SERVING"),
            (
                "/shop.Unknown",
                "unexpected_response in protocol: expected a response to the health check, received NOT_FOUND",
            ),
        ] {
            let result = client.probe(&format!("{scheme}://{}{path}", server.address)).await;
            assert_begins(&result, expected);
        }
    }
    let plaintext = client.probe(&format!("grpc+tls://{}", plain.address)).await;
    assert_begins(&plaintext, "tls_protocol in tls");
}

#[tokio::test]
async fn missing_health_services_and_logins_are_accepted() {
    let client = Client::new();
    for kind in ["nothing", "login"] {
        let Some(server) = grpc(Tls::Off, kind).await else { return };
        assert_eq!(client.probe(&format!("grpc://{}", server.address)).await, "good grpc", "{kind}");
        assert_eq!(server.read("log"), "", "{kind}");
    }
}

#[tokio::test]
async fn nginx_before_a_server_wants_a_login() {
    let client = Client::new();
    let identity = client.identity();
    for (status, expected) in [
        (401, "good grpc"),
        (403, "good grpc"),
        (429, "rejected in protocol: 429 Too Many Requests"),
        (502, "rejected in protocol: 502 Bad Gateway"),
        (
            400,
            "unexpected_response in protocol: expected a response to the health check, received 400 Bad Request without a grpc-status",
        ),
    ] {
        let Some(server) = nginx_before_grpc(&identity, status).await else { return };
        for (scheme, port) in ["grpc", "grpc+tls"].into_iter().zip(server.ports) {
            let result = client.probe(&format!("{scheme}://127.0.0.1:{port}")).await;
            assert_eq!(result, expected, "{scheme} {status}");
        }
    }
}

#[tokio::test]
async fn another_server_is_not_grpc() {
    let client = Client::new();
    let identity = client.identity();
    let Some(server) = nginx(Tls::With(&identity)).await else { return };
    let [plain, secured] = server.ports;
    let result = client.probe(&format!("grpc://127.0.0.1:{plain}")).await;
    assert_begins(&result, "unexpected_response in protocol: expected a response to the health check");
    let result = client.probe(&format!("grpc+tls://127.0.0.1:{secured}")).await;
    assert_begins(&result, "tls_alert in tls: the server sent the alert no_application_protocol");
}
