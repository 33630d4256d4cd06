//! Tests with peers that imitate SQL Server, because no package provides one.

use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::support::peers::{answer, listen_to_the_end, peer, tls_talking};
use crate::support::pki::Versions;

/// The response of MS-TDS section 4.2 with the version of SQL Server 2022. It offers encryption.
const ANSWER: &[u8] = b"\x04\x01\0\x2b\0\0\x01\0\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03\0\x22\0\0\x04\0\x22\0\x01\xff\x10\0\x0f\xa3\0\0\x01\0\0";

#[tokio::test]
async fn a_plaintext_prelogin_succeeds() {
    let server = peer(async |stream| answer(stream, ANSWER).await).await;
    assert_eq!(probe("sqlserver", server).await, "good mssql 16.0.4003");
}

#[tokio::test]
async fn tls_handshakes_are_wrapped_in_tds_packets() {
    let identity = identity();
    for versions in [Versions::Only12, Versions::Only13] {
        let config = Arc::new(identity.server_for(versions, Arc::new(rustls::server::NoClientAuth)));
        let server = peer(move |stream| wrapped_handshake(stream, config)).await;
        assert_eq!(probe("mssql+starttls", server).await, "good mssql 16.0.4003", "{versions:?}");
        let strict = probe_with("mssql+starttls", server, &[("tls.verify", "strict")]).await;
        assert_begins(&strict, "cert_untrusted in tls");
    }
}

#[tokio::test]
async fn tds_8_starts_with_tls() {
    let mut config = identity().server();
    config.alpn_protocols = vec![b"tds/8.0".to_vec()];
    let server = tls_talking(config, async |mut stream| {
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"tds/8.0"[..]));
        read_packet(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        listen_to_the_end(&mut stream).await;
    });
    assert_eq!(probe("mssql+tls", server.await).await, "good mssql 16.0.4003");
}

#[tokio::test]
async fn a_server_without_encryption_refuses_tls() {
    let mut without = ANSWER.to_vec();
    without[40] = 2;
    let server = peer(move |stream| async move { answer(stream, &without).await }).await;
    assert_begins(&probe("mssql+starttls", server).await, "starttls_refused in starttls: ");
}

/// Makes a handshake whose records are wrapped in small packets, then reads records that are not wrapped.
async fn wrapped_handshake(mut stream: TcpStream, config: Arc<ServerConfig>) {
    read_packet(&mut stream).await;
    stream.write_all(ANSWER).await.unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    while tls.is_handshaking() || tls.wants_write() {
        if tls.wants_write() {
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight).unwrap();
            }
            for piece in flight.chunks(500) {
                let length = u16::try_from(piece.len() + 8).unwrap().to_be_bytes();
                stream
                    .write_all(&[&[0x12, 1, length[0], length[1], 0, 0, 0, 0], piece].concat())
                    .await
                    .unwrap();
            }
        } else {
            let packet = read_packet(&mut stream).await;
            tls.read_tls(&mut &packet[..]).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    // The close_notify of the client is not in a packet.
    let mut first = [0];
    assert_eq!(stream.read(&mut first).await.unwrap(), 1);
    assert!((0x14..=0x17).contains(&first[0]), "{first:?}");
    listen_to_the_end(&mut stream).await;
}

/// Reads the data of a PRELOGIN packet.
async fn read_packet(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[0], 0x12);
    let mut data = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
    stream.read_exact(&mut data).await.unwrap();
    data
}
