//! Tests of text protocols, such as mail and directories.

use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::pki::{Authority, Identity, Kind, leaf};
use crate::support::probed::Probed;
use crate::support::services::Service;
use crate::support::services::text::Tls;
use crate::support::wait;

mod directories;
mod mail;
mod news;
mod stores;

/// A client and the server certificate that it trusts.
struct Client {
    folder: TempDir,
    server: Identity,
}

impl Client {
    fn new() -> Self {
        Self::of(Kind::EcdsaP384)
    }

    fn of(kind: Kind) -> Self {
        let (root, folder) = (Authority::root("text root"), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { folder, server: root.issue(leaf(&["127.0.0.1", "localhost"]).key(kind)) }
    }

    /// Returns TLS with the trusted certificate.
    fn tls(&self) -> Tls<'_> {
        Tls::With(&self.server)
    }

    /// Probes a port of 127.0.0.1. Returns `good PROTOCOL VERSION ROLE`, or class, phase and detail of the failure.
    async fn probe(&self, scheme: &str, port: u16) -> String {
        self.probe_path(scheme, port, "").await
    }

    /// Probes until the result has this prefix, because a server may need a moment.
    async fn probe_until(&self, scheme: &str, port: u16, begins: &str) -> String {
        let mut result = String::new();
        wait::until(&format!("{scheme} is {begins}"), async || {
            result = self.probe(scheme, port).await;
            result.starts_with(begins)
        })
        .await;
        result
    }

    /// Like [`Self::probe`], with a path.
    async fn probe_path(&self, scheme: &str, port: u16, path: &str) -> String {
        let url = format!("{scheme}://127.0.0.1:{port}{path}");
        let root = self.folder.path().join("root.pem").display().to_string();
        let secured =
            scheme.contains("tls") || matches!(scheme, "ftps" | "imaps" | "ldaps" | "nntps" | "pop3s" | "smtps");
        let mut arguments = vec![url];
        if secured {
            arguments.push(format!("--tls.ca-file={root}"));
        }
        Probed::by(&arguments).await.told()
    }
}

/// Connects a client that has received this greeting and stays connected. Waits until the server accepts it.
async fn occupy(service: &Service, greeting: &str) -> TcpStream {
    occupy_by(service, "", greeting).await
}

/// Like [`occupy`], for a client that sends first, because some servers greet clients before they reject them.
async fn occupy_by(service: &Service, sent: &str, response: &str) -> TcpStream {
    let mut welcome = None;
    wait::until(&format!("{response} is received"), async || {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let mut received = Vec::new();
        let mut open = stream.write_all(sent.as_bytes()).await.is_ok();
        while open && !String::from_utf8_lossy(&received).contains(response) {
            open = stream.read_buf(&mut received).await.is_ok_and(|length| length > 0);
        }
        welcome = open.then_some(stream);
        open
    })
    .await;
    welcome.unwrap()
}

/// Waits until the log of a server contains a text, and returns the log.
async fn logged(service: &Service, text: &str) -> String {
    wait::until(&format!("{text} is logged"), async || service.read("log").contains(text)).await;
    service.read("log")
}
