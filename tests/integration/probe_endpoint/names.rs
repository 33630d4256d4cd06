//! Names that lead to addresses which are not allowed, by the ways of DNS.

use std::fs;
use std::net::SocketAddr;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tokio::net::UdpSocket;

use super::{LOOPBACK, config, probe};
use crate::support::daemon::Daemon;
use crate::support::dns::NameServer;
use crate::support::netns;

#[tokio::test]
async fn an_alias_of_a_refused_address_is_refused() {
    let server = alias_server().await;
    for (allow, status) in [(LOOPBACK, 403), ("{ enabled: true, allow: [.test] }", 403)] {
        let module = format!("m: {{ scheme: tcp, dns_servers: ['{server}'] }}");
        let daemon = Daemon::start(&config(allow, &module)).await;
        let response = probe(&daemon, "alias.test:80", "&module=m").await;
        assert_eq!(response.status, status, "{}", response.body);
        assert!(!response.body.contains("169.254"), "{}", response.body);
    }
}

#[test]
fn search_domains_lead_to_no_refused_address() {
    netns::inside(async || {
        let Some(server) = NameServer::start_on(53).await else { return };
        let _server = server.expect("port 53 of a fresh namespace must be free");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        fs::write(&file, "nameserver 127.0.0.1\nsearch lost.test found.test\n").unwrap();
        // Only this thread and the daemon see the file there.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some(&file), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).unwrap();
        let daemon = Daemon::start(&config(LOOPBACK, "")).await;
        for (name, status) in [("db", 200), ("metadata", 403), ("metadata.", 200)] {
            let response = probe(&daemon, &format!("{name}:80"), "&module=tcp").await;
            assert_eq!(response.status, status, "{name}: {}", response.body);
        }
    });
}

/// A name server on a free port. Each name is an alias of one with the address 169.254.169.254.
async fn alias_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((_, client)) = socket.recv_from(&mut query).await {
            let _ = socket.send_to(&alias_reply(&query), client).await;
        }
    });
    address
}

fn alias_reply(query: &[u8]) -> Vec<u8> {
    let name_length = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..12 + name_length + 4];
    let is_a = question[name_length..].starts_with(&[0, 1]);
    let mut reply = query[..2].to_vec();
    // A response without error: one question, and one or two answers.
    reply.extend([0x81, 0x80, 0, 1, 0, 1 + u8::from(is_a), 0, 0, 0, 0]);
    reply.extend(question);
    // The name of the question, CNAME, IN, 60 s, 11 bytes.
    reply.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x0b");
    reply.extend(REAL_NAME);
    if is_a {
        reply.extend(REAL_NAME);
        // A, IN, 60 s, 4 bytes.
        reply.extend(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
        reply.extend([169, 254, 169, 254]);
    }
    reply
}

/// `real.test.`
const REAL_NAME: &[u8; 11] = b"\x04real\x04test\x00";
