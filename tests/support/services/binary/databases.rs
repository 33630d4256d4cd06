//! PostgreSQL, MariaDB and Redis.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// PostgreSQL with at most three connections, logins by SCRAM and TLS, and without hot standby; `None` if it is not
/// installed.
pub(crate) async fn postgresql(identity: &Identity) -> Option<Service> {
    serve("postgres", identity, |address, folder| {
        fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let mut initdb = unprivileged("initdb", folder);
        initdb.args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres"]);
        let made = initdb.args(["-D", "data"]).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = unprivileged("postgres", folder);
        server.args(["-D", "data", "-F", "-k", "", "-p", &address.port().to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=3",
            "superuser_reserved_connections=0",
            "max_wal_senders=0",
            "hot_standby=off",
            "ssl=on",
            "ssl_cert_file=../server.pem",
            "ssl_key_file=../server.key",
        ] {
            server.args(["-c", setting]);
        }
        server
    })
    .await
}

/// A command of PostgreSQL as another user, because it refuses to run as root. The folder becomes that user's.
pub(super) fn unprivileged(name: &str, folder: &Path) -> Command {
    let binary = program(name).unwrap();
    if !is_root() {
        return logging(binary);
    }
    let chown = Command::new("chown").args(["-R", "postgres"]).arg(folder).status().unwrap();
    assert!(chown.success());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "sh",
        "-c",
        "exec \"$@\" >>log 2>&1",
        "sh",
    ]);
    command.arg(binary);
    command
}

/// MariaDB with TLS, at most ten connections, a low limit on interrupted handshakes and these options; `None` if it is not
/// installed.
pub(crate) async fn mariadb(identity: &Identity, options: &[&str]) -> Option<Service> {
    requires_program("mariadb-install-db").then_some(())?;
    serve("mariadbd", identity, |address, folder| {
        let mut install = Command::new(program("mariadb-install-db").unwrap());
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", folder.join("data").display()));
        let mut server = logging(program("mariadbd").unwrap());
        server.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin", "--log-warnings=2"]);
        server.args(["--max-connections=10", "--max-connect-errors=3"]).args(options);
        for (option, file) in [
            ("datadir", "data"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("ssl-cert", "server.pem"),
            ("ssl-key", "server.key"),
        ] {
            server.arg(format!("--{option}={}", folder.join(file).display()));
        }
        server.arg(format!("--port={}", address.port()));
        if is_root() {
            install.arg("--user=root");
            server.arg("--user=root");
        }
        let made = install.current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server
    })
    .await
}

/// Executes a statement in MariaDB.
pub(crate) fn mariadb_does(service: &Service, statement: &str) {
    let socket = service.folder.path().join("socket");
    let mut client = Command::new(program("mariadb").unwrap());
    client
        .arg("--no-defaults")
        .arg(format!("--socket={}", socket.display()))
        .args(["-u", "root", "-e", statement]);
    let done = client.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Redis on a port with TLS or one without, with these further settings; `None` if it is not installed.
pub(crate) async fn redis(identity: &Identity, settings: &[&str]) -> Option<Service> {
    serve("redis-server", identity, |address, _| {
        let mut server = logging(program("redis-server").unwrap());
        server.args(["--bind", "127.0.0.1", "--save", ""]);
        let port = if settings.contains(&"--tls-auth-clients") { "--tls-port" } else { "--port" };
        server.args([port, &address.port().to_string()]).args(settings);
        server
    })
    .await
}
