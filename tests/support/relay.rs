//! A relay between Prometheus and the daemon that requests a fixed format.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running relay; it ends with this value.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Requests `accept` from the daemon at `exporter`.
    pub(crate) async fn start(exporter: SocketAddr, accept: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that disconnects, like a stopping Prometheus, ends only its own request.
                let _ = relay(client, exporter, accept).await;
            }
        });
        Self { address, task }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, exporter: SocketAddr, accept: &str) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let mut daemon = TcpStream::connect(exporter).await?;
    let head = format!("GET /metrics HTTP/1.0\r\nHost: {exporter}\r\nAccept: {accept}\r\n\r\n");
    daemon.write_all(head.as_bytes()).await?;
    copy(&mut daemon, client.get_mut()).await?;
    Ok(())
}
