//! TLS servers from packages, each with this certificate and, to request client certificates, this authority.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Service, start};
use crate::support::pki::Identity;
use crate::support::{program, requires_program};

/// The client certificates that a server requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clients<'a> {
    Anybody,
    /// A certificate of the authority with this PEM.
    Of(&'a str),
}

/// `openssl s_server` with further flags; `None` if it is not installed.
pub(crate) async fn openssl(identity: &Identity, clients: Clients<'_>, flags: &[&str]) -> Option<Service> {
    serve("openssl", identity, clients, |address, _| {
        let mut server = Command::new("openssl");
        server.args([
            "s_server",
            "-quiet",
            "-accept",
            &address.to_string(),
            "-cert",
            "server.pem",
            "-key",
            "server.key",
        ]);
        server.args(["-cert_chain", "server.pem"]).args(flags);
        if let Clients::Of(_) = clients {
            server.args(["-Verify", "1", "-verify_return_error", "-CAfile", "clients.pem"]);
        }
        server
    })
    .await
}

/// nginx; `None` if it is not installed.
pub(crate) async fn nginx(identity: &Identity) -> Option<Service> {
    serve("nginx", identity, Clients::Anybody, |address, folder| {
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off; server {{ listen {address} ssl; ssl_certificate server.pem; \
             ssl_certificate_key server.key; return 204; }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut server = Command::new(program("nginx").unwrap());
        server.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        server
    })
    .await
}

/// stunnel in front of `backend`; `None` if it is not installed.
pub(crate) async fn stunnel(identity: &Identity, clients: Clients<'_>, backend: SocketAddr) -> Option<Service> {
    serve("stunnel", identity, clients, |address, folder| {
        let verify = match clients {
            Clients::Anybody => "",
            Clients::Of(_) => "verifyChain = yes\nCAfile = clients.pem\n",
        };
        let config = format!(
            "foreground = yes\npid =\n[probed]\naccept = {address}\nconnect = {backend}\ncert = server.pem\n\
             key = server.key\n{verify}"
        );
        fs::write(folder.join("stunnel.conf"), config).unwrap();
        let mut server = Command::new(program("stunnel").unwrap());
        server.arg("stunnel.conf");
        server
    })
    .await
}

/// haproxy in front of `backend`; `None` if it is not installed.
pub(crate) async fn haproxy(identity: &Identity, clients: Clients<'_>, backend: SocketAddr) -> Option<Service> {
    serve("haproxy", identity, clients, |address, folder| {
        let verify = match clients {
            Clients::Anybody => "",
            Clients::Of(_) => " verify required ca-file clients.pem",
        };
        let config = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             listen probed\n  bind {address} ssl crt both.pem{verify}\n  server backend {backend}\n"
        );
        fs::write(folder.join("haproxy.cfg"), config).unwrap();
        let both = [identity.pem(), identity.key_pem().to_owned()].concat();
        fs::write(folder.join("both.pem"), both).unwrap();
        let mut server = Command::new(program("haproxy").unwrap());
        server.args(["-db", "-f", "haproxy.cfg"]);
        server
    })
    .await
}

/// Starts a server in a folder with its certificate, its key and the authority of its clients.
async fn serve(
    name: &str,
    identity: &Identity,
    clients: Clients<'_>,
    command: impl Fn(SocketAddr, &Path) -> Command,
) -> Option<Service> {
    requires_program(name).then_some(())?;
    start(async |address, folder| {
        fs::write(folder.path().join("server.pem"), identity.pem()).unwrap();
        fs::write(folder.path().join("server.key"), identity.key_pem()).unwrap();
        if let Clients::Of(authority) = clients {
            fs::write(folder.path().join("clients.pem"), authority).unwrap();
        }
        let command = command(address, folder.path());
        Service::listening(command, address, folder).await
    })
    .await
}
