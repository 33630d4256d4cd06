//! A name server of the distribution (dnsdist) with configured replies, on a separate loopback port.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::{Duration, timeout};

use super::{requires_program, wait};

/// A running name server for the zone `test`; it ends with this value.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl NameServer {
    /// Starts one on a free port; `None` if the program is missing.
    pub(crate) async fn start() -> Option<Self> {
        // The port is free now. If another process takes it first, another one is tried.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            match Self::start_on(port).await {
                Some(Some(server)) => return Some(server),
                Some(None) => {}
                None => return None,
            }
        }
        panic!("no port was free for a name server");
    }

    /// Starts one on this port; `None` if the program is missing, `Some(None)` if it did not start.
    pub(crate) async fn start_on(port: u16) -> Option<Option<Self>> {
        if !requires_program("dnsdist") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let configuration: PathBuf = folder.path().join("dnsdist.conf");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        fs::write(&configuration, format!("setLocal(\"{address}\")\n{RULES}")).unwrap();
        let process = Command::new("dnsdist")
            .args(["--supervised", "--disable-syslog", "--config"])
            .arg(&configuration)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { address, process, _folder: folder };
        wait::until("the name server replies or exits", async || {
            server.process.try_wait().unwrap().is_some() || replies(address).await
        })
        .await;
        Some(server.process.try_wait().unwrap().is_none().then_some(server))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn replies(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let sent = socket.send_to(QUERY, server).await.is_ok();
    let mut reply = [0; 512];
    sent && timeout(Duration::from_millis(200), socket.recv_from(&mut reply)).await.is_ok()
}

/// `refused.test. IN A`.
const QUERY: &[u8] = b"\x50\x50\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07refused\x04test\x00\x00\x01\x00\x01";

/// The replies of the server. Other names do not exist.
const RULES: &str = r#"
setACL({"127.0.0.0/8"})
setSecurityPollSuffix("")

local function named(name) return QNameRule(name .. ".test.") end
local function of_type(name, kind) return AndRule({named(name), QTypeRule(kind)}) end
local function has(name, addresses)
  addAction(of_type(name, DNSQType.A), SpoofAction(addresses))
  addAction(of_type(name, DNSQType.AAAA), SpoofAction(addresses))
  addAction(named(name), RCodeAction(DNSRCode.NOERROR))
end

-- Places are hosts with ports; what SRV records hold is written as it stands in a message.
local function serves(name, places)
  local records = {}
  for i, place in ipairs(places) do
    local host = ""
    for label in string.gmatch(place[1], "[^.]+") do host = host .. string.char(#label) .. label end
    local port = string.char(math.floor(place[2] / 256), place[2] % 256)
    records[i] = string.char(0, i % 256, 0, 10) .. port .. host .. string.char(0)
  end
  addAction(of_type(name, DNSQType.SRV), SpoofRawAction(records))
  addAction(named(name), RCodeAction(DNSRCode.NOERROR))
end

local crowd = {}
for i = 1, 1000 do crowd[i] = {string.format("h%04d.test", 1001 - i), 5432} end
addAction(AndRule({named("_crowd._tcp"), TCPRule(false)}), TCAction())
serves("_crowd._tcp", crowd)
serves("_postgres._tcp", {{"db-b.test", 5433}, {"DB-a.test", 5432}, {"db-b.test", 5432}, {"db-a.test", 5432}})
serves("_gone._tcp", {{".", 0}})

local ten, thousand = {}, {}
for i = 1, 10 do ten[i] = string.format("127.0.0.%d", i) end
for i = 1, 1000 do thousand[i] = string.format("127.9.%d.%d", math.floor(i / 250), i % 250 + 1) end

addAction(of_type("half", DNSQType.AAAA), DropAction())
addAction(of_type("v4", DNSQType.AAAA), RCodeAction(DNSRCode.NOERROR))
addAction(of_type("v6", DNSQType.A), RCodeAction(DNSRCode.NOERROR))
addAction(of_type("halffail", DNSQType.AAAA), RCodeAction(DNSRCode.SERVFAIL))
addAction(of_type("nodatasilent", DNSQType.A), RCodeAction(DNSRCode.NOERROR))
addAction(of_type("nodatasilent", DNSQType.AAAA), DropAction())
addAction(of_type("blockedv4", DNSQType.AAAA), RCodeAction(DNSRCode.NOERROR))
addAction(AndRule({named("thousand"), TCPRule(false)}), TCAction())
addAction(AndRule({of_type("thousand", DNSQType.AAAA)}), RCodeAction(DNSRCode.NOERROR))

has("one", {"127.0.0.1"})
has("half", {"127.0.0.1"})
has("halffail", {"127.0.0.1"})
has("v4", {"127.0.0.1"})
has("v6", {"::1"})
has("both", {"127.0.0.1", "::1"})
has("two", {"127.0.0.1", "127.0.0.2"})
has("mapped", {"::ffff:127.0.0.1"})
has("metadata", {"169.254.169.254"})
has("halfmetadata", {"127.0.0.1", "169.254.169.254"})
has("mappedmetadata", {"::ffff:169.254.169.254"})
has("metadata.found", {"169.254.169.254"})
has("nat64metadata", {"64:ff9b::a9fe:a9fe"})
has("unspecified", {"0.0.0.0", "::"})
has("ten", ten)
has("thousand", thousand)
has("xn--mnchen-3ya", {"127.0.0.1"})
has("db.found", {"127.0.0.1"})
has("distant", {"203.0.113.7"})
has("blockedv4", {"0.0.0.0"})
has("blocked", {"0.0.0.0", "::"})
has("partlyblocked", {"0.0.0.0", "127.0.0.1"})

addAction(named("nodata"), RCodeAction(DNSRCode.NOERROR))
addAction(named("servfail"), RCodeAction(DNSRCode.SERVFAIL))
addAction(named("refused"), RCodeAction(DNSRCode.REFUSED))
addAction(named("silent"), DropAction())
addAction(AllRule(), RCodeAction(DNSRCode.NXDOMAIN))
"#;
