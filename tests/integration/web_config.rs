//! TLS, passwords and the other settings of `--web.config.file`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::pki::{Authority, Identity, leaf};

mod clients;
mod files;
mod healthcheck;
pub(super) mod passwords;
mod reload;
mod urls;

/// A folder with a configuration, a certificate for localhost, and the certificate that signs those of clients.
pub(super) fn folder(root: &Authority, web_config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), CONFIG).unwrap();
    write_identity(folder.path(), &root.issue(leaf(&["localhost"])));
    fs::write(folder.path().join("ca.crt"), root.pem()).unwrap();
    fs::write(folder.path().join("web.yml"), web_config).unwrap();
    folder
}

fn write_identity(folder: &Path, identity: &Identity) {
    fs::write(folder.join("server.crt"), identity.pem()).unwrap();
    fs::write(folder.join("server.key"), identity.key_pem()).unwrap();
}

/// A daemon in such a folder.
pub(super) async fn daemon(folder: TempDir) -> Daemon {
    let mut command = portprobe();
    command.arg("--config.file").arg(folder.path().join("portprobe.yaml"));
    command.arg("--web.config.file").arg(folder.path().join("web.yml"));
    command.arg("--web.listen-address=127.0.0.1:0");
    Daemon::listening(command, folder).await
}

/// One target that is probed often.
const CONFIG: &str = "targets: [ { url: 'tcp://127.0.0.1:1', interval: 200ms } ]\n";

const TLS: &str = "tls_server_config: { cert_file: server.crt, key_file: server.key }\n";
