//! Peers that speak TLS, or something else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A server that makes a handshake and then reads until its client ends.
pub(crate) async fn tls(config: ServerConfig) -> SocketAddr {
    tls_talking(config, async |mut stream| listen_to_the_end(&mut stream).await).await
}

/// A server that makes a handshake and then runs this.
pub(crate) async fn tls_talking<F>(
    config: ServerConfig,
    talk: impl FnOnce(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    peer(move |stream| async move {
        if let Ok(stream) = acceptor.accept(stream).await {
            talk(stream).await;
        }
    })
    .await
}

/// A peer that runs this for each connection.
pub(crate) async fn peer<F>(serve: impl FnOnce(TcpStream) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let serve = serve.clone();
                tokio::spawn(async move { serve(stream).await });
            }
        }
    });
    address
}

/// Replies to the first bytes of a client with these, and continues to read.
pub(crate) async fn answer(mut stream: TcpStream, bytes: &[u8]) {
    if stream.read(&mut [0; 4096]).await.is_ok() && stream.write_all(bytes).await.is_ok() {
        listen_to_the_end(&mut stream).await;
    }
}

/// Resets a connection after the first bytes of its client.
pub(crate) async fn reset(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1]).await;
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

pub(crate) async fn listen_to_the_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut heard = [0; 4096];
    while matches!(stream.read(&mut heard).await, Ok(1..)) {}
}
