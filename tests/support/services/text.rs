//! Servers of text protocols, such as mail and directories.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use super::{Service, start};
use crate::support::pki::Identity;
use crate::support::{program, requires_program};

pub(crate) mod directories;
pub(crate) mod mail;
pub(crate) mod news;
pub(crate) mod stores;

/// The TLS setting of a server.
#[derive(Clone, Copy)]
pub(crate) enum Tls<'a> {
    Off,
    With(&'a Identity),
}

impl Tls<'_> {
    /// The configuration for TLS.
    pub(super) fn then(self, configuration: &str) -> &str {
        match self {
            Self::Off => "",
            Self::With(_) => configuration,
        }
    }
}

/// A server with several ports.
pub(crate) struct Ports<const N: usize> {
    pub(crate) service: Service,
    pub(crate) ports: [u16; N],
}

/// Starts a server with a port for each form of TLS or protocol. Its output is in the file `log`.
pub(super) async fn several<const N: usize>(
    name: &str,
    tls: Tls<'_>,
    command: impl Fn(&Path, [u16; N]) -> Command,
) -> Option<Ports<N>> {
    requires_program(name).then_some(())?;
    let mut ports = [0; N];
    let service = start(async |_, folder| {
        ports = free();
        write_identity(folder.path(), tls);
        let command = command(folder.path(), ports);
        Service::listening(command, SocketAddr::from(([127, 0, 0, 1], ports[0])), folder).await
    });
    Some(Ports { service: service.await?, ports })
}

/// Starts a server with one port.
pub(super) async fn one(name: &str, tls: Tls<'_>, command: impl Fn(&Path, u16) -> Command) -> Option<Service> {
    Some(several(name, tls, |folder, [port]| command(folder, port)).await?.service)
}

/// Ports of 127.0.0.1 that were just free.
fn free<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn write_identity(folder: &Path, tls: Tls<'_>) {
    if let Tls::With(identity) = tls {
        fs::write(folder.join("server.pem"), identity.pem()).unwrap();
        fs::write(folder.join("server.key"), identity.key_pem()).unwrap();
    }
}

/// A program with its output in the file `log` of its folder.
pub(super) fn logging(name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >>log 2>&1", "sh"]).arg(program(name).unwrap());
    command
}
