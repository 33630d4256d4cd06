//! Tests of bodies and other responses that end late, in an unusual way, or never.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Client, assert_begins};
use crate::support::peers::{listen_to_the_end, peer, tls_talking};

/// Responds to a request with these bytes.
async fn respond(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), response: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    stream.write_all(response.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// The body `größe: grün`, without a length.
const UNFRAMED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ngröße: grün";

#[tokio::test]
async fn an_endless_body_succeeds_once_it_matches() {
    let client = Client::new();
    let plain = peer(|mut stream| async move {
        respond(&mut stream, UNFRAMED).await;
        listen_to_the_end(&mut stream).await;
    });
    let secured = tls_talking(client.identity().server(), async |mut stream| {
        respond(&mut stream, UNFRAMED).await;
        listen_to_the_end(&mut stream).await;
    });
    for url in [format!("http://{}", plain.await), format!("https://{}", secured.await)] {
        for pattern in ["(?i)GRÖßE", "gr.ße", r"^\p{L}{5}: gr[uü]n$"] {
            assert_eq!(client.probe_with(&url, &format!("http: {{ body: '{pattern}' }}")).await, "good http", "{url}");
        }
        let failed = client.probe_with(&url, "timeout: 1s, http: { body: rot }").await;
        let expected = "unexpected_response in protocol: expected a body that matches `rot`, received \"größe: grün\", and the body did not end before the timeout";
        assert_eq!(failed, expected, "{url}");
    }
}

/// A peer that never completes its greeting or its response to EHLO.
#[tokio::test]
async fn an_endless_response_is_not_silence() {
    let client = Client::new();
    for (greeting, response, expected) in [
        ("", "", "the peer is connected but silent; expected a greeting (220)"),
        ("220-wait\r\n", "", "received 10 bytes until the timeout; expected a greeting (220)"),
        ("220 a\r\n", "", "the peer is connected but silent; expected the response to EHLO (250)"),
        ("220 a\r\n", "250-wait\r\n", "received 10 bytes until the timeout; expected the response to EHLO (250)"),
    ] {
        let server = peer(move |mut stream| async move {
            stream.write_all(greeting.as_bytes()).await.unwrap();
            if !response.is_empty() {
                stream.read_u8().await.unwrap();
                stream.write_all(response.as_bytes()).await.unwrap();
            }
            listen_to_the_end(&mut stream).await;
        });
        let failed = client.probe_with(&format!("smtp://{}", server.await), "timeout: 1s").await;
        assert_eq!(failed, format!("stalled in protocol: {expected}"));
    }
}

#[tokio::test]
async fn a_body_may_end_without_close_notify() {
    let client = Client::new();
    let server = tls_talking(client.identity().server(), async |mut stream| respond(&mut stream, UNFRAMED).await);
    let url = format!("https://{}", server.await);
    assert_eq!(client.probe_with(&url, "http: { body: 'gr.n$' }").await, "good http");
    let failed = client.probe_with(&url, "http: { body: rot }").await;
    assert_begins(&failed, "unexpected_response in protocol: expected a body that matches `rot`, received \"größe");
    let truncated = UNFRAMED.replace("Content-Type: text/event-stream", "Content-Length: 100");
    let server =
        tls_talking(client.identity().server(), async move |mut stream| respond(&mut stream, &truncated).await);
    let failed = client
        .probe_with(&format!("https://{}", server.await), "http: { body: rot }")
        .await;
    assert_eq!(failed, "disconnected in protocol: the peer closed the connection; expected a body");
}
