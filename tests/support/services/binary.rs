//! Databases, message brokers and desktops. Each logs into the file `log` of its folder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Service, start};
use crate::support::pki::Identity;
use crate::support::{is_root, program, requires_program};

pub(crate) mod brokers;
pub(crate) mod databases;
pub(crate) mod desktops;
pub(crate) mod poolers;
pub(crate) mod stand_ins;

/// Starts a server in a folder with a certificate and its key, `server.pem` and `server.key`.
async fn serve(name: &str, identity: &Identity, command: impl Fn(SocketAddr, &Path) -> Command) -> Option<Service> {
    requires_program(name).then_some(())?;
    start(async |address, folder| {
        fs::write(folder.path().join("server.pem"), identity.pem()).unwrap();
        fs::write(folder.path().join("server.key"), identity.key_pem()).unwrap();
        let command = command(address, folder.path());
        Service::listening(command, address, folder).await
    })
    .await
}

impl Service {
    /// Stops it cleanly; its folder stays.
    pub(crate) fn interrupt(&mut self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGINT).unwrap();
        self.process.wait().unwrap();
    }

    /// Writes a file into its folder, and creates missing parents.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let file = self.folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

/// A program with its output in the file `log` of its folder.
fn logging(name: impl AsRef<Path>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >>log 2>&1", "sh"]).arg(name.as_ref());
    command
}

/// A port of 127.0.0.1 that was just free.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
