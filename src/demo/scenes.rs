//! Every state that the demo shows, in the order of the list.

use std::io;
use std::net::SocketAddr;

use super::name_server::{MOVED, PAIR, SERVFAIL, SILENT, SLOW, UNKNOWN};
use super::pki::{Authority, LONG};
use super::scene::Scene;
use super::stage::Stage;

/// Opens a port with its server for each state; `authority` issues the certificates.
pub(super) async fn all(stage: &mut Stage, authority: &Authority) -> io::Result<Vec<Scene>> {
    let mut scenes = handshakes(stage).await?;
    scenes.extend(certificates(stage, authority)?);
    scenes.extend(conversations(stage, authority)?);
    scenes.extend(databases(stage)?);
    scenes.extend(names(stage)?);
    scenes.extend(expectations(stage)?);
    scenes.extend(groups(stage)?);
    Ok(scenes)
}

/// Results of a connect.
async fn handshakes(stage: &mut Stage) -> io::Result<Vec<Scene>> {
    Ok(vec![
        Scene::new("open", stage.open_port()?, "up", "an open port"),
        Scene::new("refused", stage.closed_port()?, "down refused", "nothing listens there"),
        Scene::new("full-queue", stage.full_port().await?, "down timeout", "too busy to accept, as if filtered"),
        Scene::new("busy", stage.busy_port()?, "up", "drops SYNs: slow, retransmissions")
            // Not synchronous with the server, and with time for a second SYN.
            .with("interval", "1500ms")
            .with("timeout", "1500ms")
            .with("slow_after", "500ms"),
        Scene::new("comes-and-goes", stage.restless_port().await?, "up and down", "outages_total rises"),
        // A broadcast address has no TCP: the kernel reports that before a packet is sent.
        Scene::new("unreachable", "127.255.255.255:9", "down unreachable", "no route to this address"),
        Scene::new("local-fault", stage.open_port()?, "unknown", "source_address is not this host's")
            // Reserved for documentation (RFC 5737): no machine has it.
            .with("source_address", "192.0.2.1"),
    ])
}

/// Results of resolving a name.
fn names(stage: &mut Stage) -> io::Result<Vec<Scene>> {
    let open = stage.open_port()?.port();
    let at = |host: &str| format!("{host}:{open}");
    Ok(vec![
        Scene::new("slow-dns", at(SLOW), "up", "300 ms to resolve, so slow is 1").with("slow_after", "200ms"),
        Scene::new("unknown-name", at(UNKNOWN), "down dns_not_found", "NXDOMAIN"),
        Scene::new("failing-dns", at(SERVFAIL), "down dns_error", "SERVFAIL"),
        Scene::new("silent-dns", at(SILENT), "down dns_timeout", "a DNS server that never responds"),
        Scene::new("moved", at(MOVED), "down address_mismatch", "not within expect_addresses")
            .with("expect_addresses", "[10.0.0.0/8]"),
        Scene::new("half-dead", at(PAIR), "down refused", "addresses: all, one of two is dead")
            .with("addresses", "all"),
    ])
}

/// States of a certificate.
fn certificates(stage: &mut Stage, authority: &Authority) -> io::Result<Vec<Scene>> {
    let servers = [
        ("tls", authority.server(HERE, LONG)?, "up", "a valid certificate"),
        ("tls-expiring", authority.server(HERE, -87..3)?, "up", "certificate expires in 3 days"),
        ("tls-expired", authority.server(HERE, -93..-3)?, "down cert_expired", "certificate expired 3 days ago"),
        (
            "tls-wrong-name",
            authority.server("other.test", LONG)?,
            "down cert_name_mismatch",
            "certificate is for other.test",
        ),
        ("tls-self-signed", authority.self_signed_server(HERE)?, "down cert_untrusted", "not signed by a CA"),
        ("tls-client-cert", authority.exclusive_server(HERE)?, "down tls_alert", "requires a client certificate"),
    ];
    let mut scenes = Vec::with_capacity(servers.len());
    for (name, server, state, shows) in servers {
        let port = stage.tls_port(server)?;
        scenes.push(secured(name, port, state, shows, authority));
    }
    Ok(scenes)
}

/// Results of a dialogue.
fn conversations(stage: &mut Stage, authority: &Authority) -> io::Result<Vec<Scene>> {
    let greeting = stage.greeting_port()?;
    let plain = stage.greeting_port()?;
    let plain = secured("tls-to-plain", plain, "down tls_protocol", "the server does not speak TLS", authority);
    let silent = stage.silent_port()?;
    let silent = secured("tls-silent", silent, "down stalled", "accepts, then sends nothing", authority);
    let resetting = stage.resetting_port()?;
    let resetting = secured("tls-reset", resetting, "down reset", "resets the connection", authority);
    let greeting = Scene::new("dialogue", greeting, "up", "dialogue_info has its greeting")
        .with("dialogue", r"[{ expect: '^220 (\S+) (.*)$', labels: { server: $1, speaks: $2 } }]");
    Ok(vec![plain, silent, resetting, greeting])
}

/// Results of a protocol.
fn databases(stage: &mut Stage) -> io::Result<Vec<Scene>> {
    let databases = [
        ("postgres", stage.database_port()?, "up", "service_info has its version"),
        ("postgres-hung", stage.silent_port()?, "down stalled", "accepts, then sends nothing"),
        ("postgres-full", stage.full_database_port()?, "down rejected", "too many clients (53300)"),
    ];
    let scene = |(name, port, state, shows)| Scene::new(name, format_args!("postgres://{port}"), state, shows);
    Ok(databases.map(scene).into())
}

fn secured(name: &'static str, port: SocketAddr, state: &'static str, shows: &'static str, by: &Authority) -> Scene {
    let scene = Scene::new(name, format_args!("tls://{port}"), state, shows);
    scene.with("tls", format_args!("{{ ca_file: '{}' }}", by.file().display()))
}

/// The address of every server.
const HERE: &str = "127.0.0.1";

/// Ports that should not be open.
fn expectations(stage: &mut Stage) -> io::Result<Vec<Scene>> {
    let closed = Scene::new("closed-on-purpose", stage.closed_port()?, "up", "expect: closed, and it is closed");
    let open = stage.open_port()?;
    let open = Scene::new("open-by-mistake", open, "down unexpected_open", "expect: closed, but it is open");
    Ok([closed, open].map(|scene| scene.with("expect", "closed")).into())
}

/// Targets of a failover group.
fn groups(stage: &mut Stage) -> io::Result<Vec<Scene>> {
    let database = [
        Scene::new("db-primary", stage.closed_port()?, "down refused", "one member is down, but ..."),
        Scene::new("db-standby", stage.open_port()?, "up", "group_up of database stays 1"),
    ];
    let mail = [
        Scene::new("mail-1", stage.closed_port()?, "down refused", "both are down, so ..."),
        Scene::new("mail-2", stage.closed_port()?, "down refused", "group_up of mail is 0"),
    ];
    let database = database.map(|scene| scene.with("group", "database"));
    Ok(database
        .into_iter()
        .chain(mail.map(|scene| scene.with("group", "mail")))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Ports;

    #[tokio::test]
    async fn the_list_fits_a_terminal() {
        let mut stage = Stage::open(Ports::Any).await.unwrap();
        for scene in all(&mut stage, &Authority::new().unwrap()).await.unwrap() {
            assert!(scene.name.len() <= 17 && scene.state.len() <= 23 && scene.shows.len() <= 34, "{scene:?}");
        }
        stage.close().await;
    }
}
