//! Replacements for servers that have no package.

use std::net::SocketAddr;
use std::process::Stdio;

use super::*;
use crate::support::services::python;
use crate::support::services::text::Tls;
use crate::support::wait;

/// The Kafka broker of librdkafka; `None` if it is not installed.
pub(crate) async fn kafka() -> Option<Service> {
    requires_program("kcat").then_some(())?;
    let folder = tempfile::tempdir().unwrap();
    let mut command = logging(program("kcat").unwrap());
    // A consumer that uses this broker instead of the advertised one, and keeps running.
    command.args(["-C", "-b", "unused", "-t", "probed", "-X", "test.mock.num.brokers=1", "-d", "mock"]);
    command
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = command.spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut service = Service { address, command, process, folder };
    wait::until("the broker logs its address", async || {
        let log = service.read("log");
        let listens = log.split_once("bootstrap.servers=").and_then(|(_, rest)| rest.split_once('\n'));
        let address = listens.and_then(|(address, _)| address.parse().ok());
        service.address = address.unwrap_or(service.address);
        address.is_some()
    })
    .await;
    Some(service)
}

/// `FreeTDS`'s connection pool, which implements the protocol of SQL Server; `None` if it is not installed.
pub(crate) async fn mssql(identity: &Identity) -> Option<Service> {
    serve("tdspool", identity, |address, folder| {
        let config = format!(
            "[probed]\nport = {}\nserver = none\ndatabase = none\nserver user = none\nserver password = none\n\
             user = none\npassword = none\nmin pool conn = 0\nmax pool conn = 1\n",
            address.port()
        );
        fs::write(folder.join("pool.conf"), config).unwrap();
        let mut server = logging(program("tdspool").unwrap());
        server.args(["-c", "pool.conf", "probed"]);
        server
    })
    .await
}

/// `MockupDB` with these responses to hello and isMaster; `None` if its packages are missing.
pub(crate) async fn mongodb(answers: &[&str]) -> Option<Service> {
    python("serve_mongodb.py", Tls::Off, answers).await
}

/// A server from Cassandra's Python driver with this response; `None` if its packages are missing.
pub(crate) async fn cassandra(answer: &str) -> Option<Service> {
    python("serve_cassandra.py", Tls::Off, &[answer]).await
}

/// A Minecraft server with quarry; `None` if its packages are missing.
pub(crate) async fn minecraft() -> Option<Service> {
    python("serve_minecraft.py", Tls::Off, &[]).await
}
