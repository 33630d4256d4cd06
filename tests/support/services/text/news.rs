//! The reader of INN.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{Tls, one};
use crate::support::services::Service;
use crate::support::{inn, requires_root};

/// The restriction of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Obstacle {
    Nothing,
    /// Other clients may read.
    Others,
    /// The overview of the articles is missing.
    NoOverview,
}

/// INN's reader with these flags; `None` if it is not installed or this is not root.
pub(crate) async fn nnrpd(tls: Tls<'_>, flags: &[&str], obstacle: Obstacle) -> Option<Service> {
    requires_root().then_some(())?;
    let programs = inn()?;
    one("sh", tls, |folder, port| {
        let run = |name: &str| {
            let mut command = Command::new(programs.join("bin").join(name));
            command
                .env("LD_LIBRARY_PATH", &programs)
                .env("INNCONF", folder.join("inn.conf"));
            command
        };
        prepare(folder, &programs, tls, obstacle);
        if obstacle != Obstacle::NoOverview {
            // Creates an empty one.
            assert!(run("tdx-util").arg("-F").status().unwrap().success());
        }
        let mut server = run("nnrpd");
        server
            .args(["-D", "-f", "-p", &port.to_string(), "-c"])
            .arg(folder.join("readers.conf"))
            .args(flags);
        server
    })
    .await
}

fn prepare(folder: &Path, programs: &Path, tls: Tls<'_>, obstacle: Obstacle) {
    let at = folder.display();
    let paths = ["articles", "spool", "overview", "news", "run", "db", "etc", "log"];
    let paths = paths.map(|path| format!("path{path}: {at}\n")).concat();
    let files = format!("tlscertfile: {at}/server.pem\ntlskeyfile: {at}/server.key\n");
    let config = format!(
        "domain: probed.example\npathhost: news.probed.example\nmta: /bin/true\nhismethod: hisv6\n\
         enableoverview: true\novmethod: tradindexed\nrunasuser: root\nrunasgroup: root\npathbin: {}/bin\n{paths}{}",
        programs.display(),
        tls.then(&files),
    );
    let hosts = if obstacle == Obstacle::Others { "192.0.2.1" } else { "*" };
    let readers = format!("auth all {{ hosts: {hosts:?} default: reader }}\naccess all {{ users: * newsgroups: * }}\n");
    let storage = "method tradspool { newsgroups: * class: 0 }\n";
    for (file, text) in [
        ("inn.conf", &*config),
        ("readers.conf", &readers),
        ("storage.conf", storage),
        ("tradspool.map", ""),
        ("active", ""),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    if let Tls::With(_) = tls {
        // It refuses a world-readable key.
        fs::set_permissions(folder.join("server.key"), Permissions::from_mode(0o600)).unwrap();
    }
}
