use std::fs;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::support::daemon::finished;
use crate::support::services::binary::databases::{mariadb, mariadb_does, postgresql, redis};

/// A startup packet of another client.
const STARTUP: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0somebody\0\0";

#[tokio::test]
async fn postgresql_serves_unless_full_or_recovering() {
    let Some(mut server) = postgresql(&identity()).await else { return };
    let address = server.address;
    until("postgres", address, "good postgres").await;
    let before = server.read("log");
    assert_eq!(probe("postgres", address).await, "good postgres");
    assert_eq!(probe("postgres+starttls", address).await, "good postgres");
    assert_eq!(server.read("log"), before, "a probe leaves nothing in the log");
    let printed = finished(
        &["probe", "--verbose", "--tls.verify=report", &format!("postgres+starttls://{address}")],
        Path::new("."),
    );
    let transcript: Vec<_> = printed
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("  transcript"))
        .collect();
    let messages = |phase: &str| {
        transcript
            .iter()
            .filter(|line| line.starts_with(&format!("  {phase} ")))
            .count()
    };
    assert_eq!((messages("starttls"), messages("protocol") >= 2), (2, true), "{printed:?}");
    assert!(printed.stdout.contains("00 00 00 08 04 d2 16 2f"), "{printed:?}");
    // Implicit TLS is new in version 17.
    let direct = probe("postgres+tls", address).await;
    assert!(
        ["good postgres", "disconnected in tls"]
            .iter()
            .any(|begin| direct.starts_with(begin)),
        "{direct}"
    );

    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(occupy(&server, STARTUP).await);
    }
    for scheme in ["postgres", "postgres+starttls"] {
        assert_begins(&probe(scheme, address).await, "rejected in protocol: 53300 sorry, too many clients already");
    }
    drop(others);

    // A standby in recovery rejects queries.
    server.interrupt();
    server.write("data/standby.signal", "");
    server.start_again().await;
    until("postgres", address, "rejected in protocol: 57P03").await;
}

#[tokio::test]
async fn mariadb_never_blocks_the_probing_host() {
    let Some(server) = mariadb(&identity(), &[]).await else { return };
    let (address, abroad) = (server.address, [("source_address", "127.0.0.2")]);
    until("mysql", address, "good mysql").await;
    assert_begins(&probe("mariadb", address).await, "good mysql 10.");
    assert_begins(&probe("mysql+starttls", address).await, "good mysql 10.");

    // There is no user with that name, and errors of this address are counted.
    mariadb_does(&server, "CREATE USER somebody@'%' IDENTIFIED BY 'secret'");
    for scheme in ["mysql", "mysql+starttls"].repeat(5) {
        let result = probe_with(scheme, address, &abroad).await;
        assert!(result.starts_with("good mysql 10.") && result.ends_with("-MariaDB"), "{result}");
    }
    let strict = [abroad[0], ("tls.verify", "strict")];
    for _ in 0..5 {
        assert_begins(&probe_with("mysql+starttls", address, &strict).await, "cert_untrusted in tls");
    }
    assert_begins(&probe_with("mysql", address, &abroad).await, "good mysql 10.");
    assert!(server.read("log").contains("Access denied for user 'portprobe'@'127.0.0.2'"));

    // The user has another authentication method than the greeting.
    mariadb_does(&server, "INSTALL SONAME 'auth_ed25519'");
    mariadb_does(&server, "CREATE USER portprobe@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')");
    for scheme in ["mysql", "mysql+starttls"].repeat(3) {
        assert_begins(&probe_with(scheme, address, &abroad).await, "good mysql 10.");
    }

    // The user has no password.
    mariadb_does(&server, "DROP USER portprobe@'%'");
    mariadb_does(&server, "CREATE USER portprobe@'%'");
    let before = server.read("log");
    for scheme in ["mysql", "mysql+starttls"].repeat(2) {
        assert_begins(&probe_with(scheme, address, &abroad).await, "good mysql 10.");
    }
    assert_eq!(server.read("log"), before, "an accepted login leaves nothing in the log");

    // The login is refused with other errors.
    mariadb_does(&server, "SET GLOBAL disconnect_on_expired_password = 1");
    for state in ["ACCOUNT LOCK", "ACCOUNT UNLOCK PASSWORD EXPIRE"] {
        mariadb_does(&server, &format!("ALTER USER portprobe@'%' {state}"));
        assert_begins(&probe_with("mysql", address, &abroad).await, "good mysql 10.");
    }
    mariadb_does(&server, "DROP USER portprobe@'%'");
    mariadb_does(&server, "CREATE USER portprobe@'%'");

    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(occupy(&server, b"").await);
    }
    for scheme in ["mysql", "mysql+starttls"] {
        assert_begins(&probe(scheme, address).await, "rejected in protocol: 1040 Too many connections");
    }
    // One more client, reserved for administrators, receives a greeting; further ones receive none.
    others.push(occupy_until(&server, b"", |received| received.get(4) == Some(&0x0a)).await);
    assert_begins(&probe("mysql", address).await, "rejected in protocol: 1040");
    assert_begins(&probe("mysql+starttls", address).await, "rejected in starttls: 1040");
}

/// MariaDB listens before it serves, and sends nothing until then.
#[tokio::test]
async fn a_starting_mariadb_is_stalled() {
    let folder = tempfile::tempdir().unwrap();
    let statements = folder.path().join("statements");
    mkfifo(&statements, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let option = format!("--init-file={}", statements.display());
    let Some(server) = mariadb(&identity(), &[&option]).await else { return };
    for (scheme, phase) in [("mysql", "protocol"), ("mysql+starttls", "starttls")] {
        let result = probe_with(scheme, server.address, &[("timeout", "300ms")]).await;
        assert_begins(&result, &format!("stalled in {phase}: the peer is connected but silent"));
    }
    fs::write(&statements, "SELECT 1;\n").unwrap();
    until("mysql", server.address, "good mysql 10.").await;
}

#[tokio::test]
async fn redis_serves_unless_full_or_unable_to_save() {
    let identity = identity();
    let Some(open) = redis(&identity, &["--save", "3600 1"]).await else { return };
    assert_eq!(probe("redis", open.address).await, "good redis");
    let closed = redis(&identity, &["--requirepass", "secret"]).await.unwrap();
    assert_eq!(probe("redis", closed.address).await, "good redis");
    let tls =
        ["--tls-auth-clients", "no", "--port", "0", "--tls-cert-file", "server.pem", "--tls-key-file", "server.key"];
    let tls = redis(&identity, &[&tls[..], &["--tls-ca-cert-file", "server.pem"]].concat())
        .await
        .unwrap();
    assert_eq!(probe("rediss", tls.address).await, "good redis");

    let full = redis(&identity, &["--maxclients", "1"]).await.unwrap();
    let other = occupy_until(&full, b"PING\r\n", |received| received.starts_with(b"+PONG")).await;
    until("redis", full.address, "rejected in protocol: -ERR max number of clients").await;
    drop(other);

    // A folder at the path of the dump prevents saving.
    open.write("dump.rdb/in the way", "");
    drop(occupy(&open, b"SET a 1\r\n").await);
    drop(occupy(&open, b"BGSAVE\r\n").await);
    until("redis", open.address, "rejected in protocol: -MISCONF").await;
    assert!(!closed.read("log").contains("127.0.0.1"), "{}", closed.read("log"));
}

#[tokio::test]
async fn a_loading_redis_is_rejected() {
    let slowly = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"];
    let Some(mut server) = redis(&identity(), &slowly).await else { return };
    let value = "x".repeat(2000);
    let keys: Vec<_> = (0..500).map(|key| format!("SET {key} {value}\r\n")).collect();
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(keys.concat().as_bytes()).await.unwrap();
    client.read_exact(&mut [0; 5 * 500]).await.unwrap();
    drop(occupy(&server, b"SAVE\r\n").await);
    server.stop();
    server.start_again().await;
    assert_begins(&probe("redis", server.address).await, "rejected in protocol: -LOADING");
}
