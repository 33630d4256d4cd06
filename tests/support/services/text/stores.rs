//! Caches, brokers, coordinators and shells.

use std::fs;

use super::{Tls, free, logging, one};
use crate::support::services::Service;
use crate::support::{is_root, requires_program};

/// memcached; `None` if it is not installed.
pub(crate) async fn memcached(tls: Tls<'_>, more: &[&str]) -> Option<Service> {
    one("memcached", tls, |folder, port| {
        let at = folder.display();
        let mut server = logging("memcached");
        server
            .args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()])
            .args(more);
        if let Tls::With(_) = tls {
            server.args(["-Z", "-o", &format!("ssl_chain_cert={at}/server.pem,ssl_key={at}/server.key")]);
        }
        server
    })
    .await
}

/// NATS; `None` if it is not installed.
pub(crate) async fn nats(tls: Tls<'_>, more: &str) -> Option<Service> {
    one("nats-server", tls, |folder, port| {
        let files = "tls { cert_file: server.pem, key_file: server.key }\n";
        let config = format!("listen: 127.0.0.1:{port}\n{}{more}\n", tls.then(files));
        fs::write(folder.join("nats.conf"), config).unwrap();
        let mut server = logging("nats-server");
        server.args(["-c", "nats.conf"]);
        server
    })
    .await
}

/// ZooKeeper, standalone or as one of three servers without the others; `None` if it is not installed.
pub(crate) async fn zookeeper(quorum: Quorum) -> Option<Service> {
    requires_program("zkServer.sh").then_some(())?;
    one("java", Tls::Off, |folder, port| {
        let at = folder.display();
        let servers = match quorum {
            Quorum::Alone => String::new(),
            Quorum::Missing => {
                let (peers, elections): ([u16; 3], [u16; 3]) = (free(), free());
                let servers = (0..3).map(|i| format!("server.{}=127.0.0.1:{}:{}", i + 1, peers[i], elections[i]));
                servers.collect::<Vec<_>>().join("\n")
            }
        };
        let config = format!(
            "dataDir={at}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=2000\ninitLimit=5\n\
             syncLimit=2\nadmin.enableServer=false\n{servers}"
        );
        let logging_conf = "log4j.rootLogger=INFO, CONSOLE\nlog4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n\
            log4j.appender.CONSOLE.layout=org.apache.log4j.SimpleLayout\n";
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("data/myid"), "1").unwrap();
        fs::write(folder.join("zoo.cfg"), config).unwrap();
        fs::write(folder.join("log4j.properties"), logging_conf).unwrap();
        let mut server = logging("java");
        server.args([
            "-Xmx128m",
            "-cp",
            &format!(
                "{at}:/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-log4j12.jar:/usr/share/java/log4j-1.2.jar"
            ),
        ]);
        server.args(["org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]);
        server
    })
    .await
}

/// The number of ZooKeeper servers that are available.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quorum {
    Alone,
    Missing,
}

/// OpenSSH that accepts one connection without a login and has this log level; `None` if it is not installed.
pub(crate) async fn sshd(log_level: &str) -> Option<Service> {
    if is_root() {
        // Normally created by the service of the package.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    one("sshd", Tls::Off, |folder, port| {
        let key = folder.join("key");
        let mut keygen = std::process::Command::new("ssh-keygen");
        assert!(
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&key)
                .status()
                .unwrap()
                .success()
        );
        let mut server = logging("sshd");
        server.args(["-D", "-e", "-f", "/dev/null", "-o", "PidFile=none", "-o", "ListenAddress=127.0.0.1"]);
        server
            .args(["-o", &format!("LogLevel={log_level}"), "-o", "MaxStartups=1:100:1", "-p", &port.to_string()])
            .arg("-h")
            .arg(&key);
        server
    })
    .await
}
