//! `blackbox_exporter` as a separate process, and the requests for the load of a daemon.

use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::Load;
use super::running::Running;
use super::tls_servers;

/// A running exporter with the modules `tcp` and, with trusted roots, `tls`; it is killed with this value.
#[derive(Debug)]
pub(crate) struct Blackbox {
    process: Running,
    _folder: TempDir,
}

impl Blackbox {
    pub(crate) fn start(program: &Path, root: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, ca) = (folder.path().join("blackbox.yml"), folder.path().join("root.pem"));
        let mut yaml = String::from("modules:\n  tcp: { prober: tcp, tcp: { preferred_ip_protocol: ip4 } }\n");
        if let Some(root) = root {
            fs::write(&ca, root).unwrap();
            let tls = format!("tls: true, tls_config: {{ ca_file: {}, min_version: TLS13 }}", ca.display());
            writeln!(yaml, "  tls: {{ prober: tcp, tcp: {{ preferred_ip_protocol: ip4, {tls} }} }}").unwrap();
        }
        fs::write(&config, yaml).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--config.file")
            .arg(&config)
            .arg("--web.listen-address=127.0.0.1:0");
        Self { process: Running::start(&mut command), _folder: folder }
    }
}

impl Deref for Blackbox {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.process
    }
}

/// The path for each target of a load: the same address and, with TLS, the same name.
pub(crate) fn paths(load: &Load<'_>) -> Vec<String> {
    let targets = (0..load.targets).zip(load.addresses.iter().cycle());
    let path = |(number, address)| match load.root {
        None => format!("/probe?module=tcp&target={address}"),
        Some(_) => format!("/probe?hostname={}&module=tls&target={address}", tls_servers::name(number)),
    };
    targets.map(path).collect()
}
