//! Poolers and proxies in front of databases.

use super::databases::unprivileged;
use super::*;
use crate::support::requires_root;

/// `PgBouncer` for one database at `server`, with timeouts of one second and these settings. Its users have no password:
/// `somebody` in the file `users`, and `portprobe` in the file `probers`, which is not used by default. `None` if it is
/// not installed.
pub(crate) async fn pgbouncer(
    identity: &Identity,
    database: &str,
    server: SocketAddr,
    settings: &str,
) -> Option<Service> {
    serve("pgbouncer", identity, |address, folder| {
        let (port, server_port) = (address.port(), server.port());
        let config = format!(
            "[databases]\n{database} = host=127.0.0.1 port={server_port} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_file = users\n\
             query_wait_timeout = 1\nserver_login_retry = 1\nclient_tls_sslmode = allow\n\
             client_tls_key_file = server.key\nclient_tls_cert_file = server.pem\n{settings}\n"
        );
        fs::write(folder.join("pgbouncer.ini"), config).unwrap();
        fs::write(folder.join("users"), "\"somebody\" \"\"\n").unwrap();
        fs::write(folder.join("probers"), "\"portprobe\" \"\"\n").unwrap();
        let mut server = unprivileged("pgbouncer", folder);
        server.arg("pgbouncer.ini");
        server
    })
    .await
}

/// Pgpool-II in front of a server; `None` if it is not installed or this is not root.
pub(crate) async fn pgpool(identity: &Identity, server: SocketAddr, settings: &str) -> Option<Service> {
    requires_root().then_some(())?;
    serve("pgpool", identity, |address, folder| {
        let (at, port, server_port, control) = (folder.display(), address.port(), server.port(), free_port());
        let config = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nsocket_dir = '{at}'\npcp_port = {control}\n\
             pcp_socket_dir = '{at}'\npid_file_name = '{at}/pid'\nlogdir = '{at}'\n\
             backend_hostname0 = '127.0.0.1'\nbackend_port0 = {server_port}\nnum_init_children = 4\nmax_pool = 1\n\
             sr_check_period = 0\nsearch_primary_node_timeout = 1\n{settings}\n"
        );
        fs::write(folder.join("pgpool.conf"), config).unwrap();
        fs::write(folder.join("pool_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        // Its processes and its shared memory would outlive it.
        let mut server = logging("unshare");
        server
            .args(["--pid", "--ipc", "--fork", "--kill-child", "--"])
            .arg(program("pgpool").unwrap());
        server.args(["-n", "-f", "pgpool.conf", "-a", "pool_hba.conf", "-F", "/dev/null"]);
        server
    })
    .await
}

/// `HAProxy` without TLS in front of `server`; `None` if it is not installed.
pub(crate) async fn haproxy(identity: &Identity, server: SocketAddr) -> Option<Service> {
    serve("haproxy", identity, |address, folder| {
        let config = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             listen probed\n  bind {address}\n  server probed {server}\n"
        );
        fs::write(folder.join("haproxy.cfg"), config).unwrap();
        let mut server = logging(program("haproxy").unwrap());
        server.args(["-db", "-f", "haproxy.cfg"]);
        server
    })
    .await
}
