//! Name resolution of this machine: its hosts file, and the name servers and search domains of resolv.conf.
//!
//! The files are read when they are first needed, and again when they change, which is checked at most once a second.
//! The hosts file is used even without a usable resolv.conf.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::Instant;

use crate::locks::lock;
use crate::outcome::{LocalFault, LocalFaultReason};
use crate::probe::tcp::errno::{self, ConnectError, cause};
use crate::probe::tcp::socket::interface;
use crate::target::HostName;

/// The paths of the files that configure name resolution.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SystemFiles {
    /// Name servers and search domains (resolv.conf(5)).
    pub resolv_conf: PathBuf,
    /// Names with their addresses (hosts(5)).
    pub hosts: PathBuf,
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

/// The two files with their last content.
#[derive(Debug)]
pub(super) struct System {
    files: SystemFiles,
    last: Mutex<Option<Reading>>,
}

impl System {
    pub(super) fn new(files: SystemFiles) -> Self {
        Self { files, last: Mutex::new(None) }
    }

    /// Returns the content of the files, at most a second old. Fails only if this machine cannot open a file.
    pub(super) fn names(&self) -> Result<Arc<SystemNames>, LocalFault> {
        let now = Instant::now();
        let mut last = lock(&self.last);
        if let Some(reading) = last.as_ref().filter(|reading| now < reading.fresh_until) {
            return Ok(Arc::clone(&reading.names));
        }
        // The stamps are read first, so that the next check detects a change during the read.
        let stamps = [stamp(&self.files.resolv_conf), stamp(&self.files.hosts)];
        let names = match last.take() {
            Some(reading) if reading.stamps == stamps => reading.names,
            _ => Arc::new(SystemNames::read(&self.files)?),
        };
        *last = Some(Reading { fresh_until: now + CHECK_INTERVAL, stamps, names: Arc::clone(&names) });
        Ok(names)
    }
}

#[derive(Debug)]
struct Reading {
    fresh_until: Instant,
    stamps: [Option<Stamp>; 2],
    names: Arc<SystemNames>,
}

/// The metadata of a file. Files with equal stamps have the same content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Returns the stamp of a file; `None` if it does not exist.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// The content of both files.
#[derive(Debug)]
pub(super) struct SystemNames {
    hosts: HashMap<Box<str>, Vec<IpAddr>>,
    /// The name servers, or the reason why there are none.
    pub(super) servers: Result<NameServers, NoNameServers>,
}

impl SystemNames {
    fn read(files: &SystemFiles) -> Result<Self, LocalFault> {
        let hosts = read(&files.hosts)?.unwrap_or_default();
        let servers = read(&files.resolv_conf)?
            .map_err(ResolvConfError::from)
            .and_then(|text| NameServers::parse(&text))
            .map_err(|error| NoNameServers { file: files.resolv_conf.clone(), error });
        Ok(Self { hosts: parse_hosts(&String::from_utf8_lossy(&hosts)), servers })
    }

    /// Returns the addresses of a name in the hosts file.
    pub(super) fn in_hosts(&self, name: &HostName) -> &[IpAddr] {
        self.hosts.get(name.without_dot()).map_or(&[], Vec::as_slice)
    }
}

/// Reads a file. A lack of descriptors or memory is a local fault; other errors are part of the result.
fn read(path: &Path) -> Result<io::Result<Vec<u8>>, LocalFault> {
    match fs::read(path).map_err(|error| (errno::at_once(&error), error)) {
        Err((ConnectError::Local(reason @ (LocalFaultReason::NoDescriptor | LocalFaultReason::NoMemory)), error)) => {
            Err(LocalFault {
                reason,
                detail: format!("cannot read {}: {}", path.display(), cause(errno::errno(&error))),
            })
        }
        read => Ok(read.map_err(|(_, error)| error)),
    }
}

/// Name servers, and the rules that complete names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct NameServers {
    /// Addresses in order of preference.
    pub(super) addresses: Vec<SocketAddr>,
    /// Domains to append to names.
    pub(super) search: Vec<Name>,
    /// Minimum number of dots in a name that is first tried unchanged.
    pub(super) ndots: usize,
}

impl NameServers {
    fn parse(text: &[u8]) -> Result<Self, ResolvConfError> {
        let text = String::from_utf8_lossy(text);
        let readable: String = text.lines().map(without_malformed_domains).collect();
        let (config, options) =
            parse_resolv_conf(&readable).map_err(|error| ResolvConfError::Malformed(error.to_string()))?;
        let addresses: Vec<_> = text.lines().filter_map(name_server).collect();
        if addresses.is_empty() {
            return Err(ResolvConfError::NoServer);
        }
        // The domain of the machine counts only without a search list (resolv.conf(5)).
        let search = match (config.search(), config.domain()) {
            ([], domain) => domain.cloned().into_iter().collect(),
            (search, _) => search.to_vec(),
        };
        Ok(Self { addresses, search, ndots: options.ndots })
    }
}

/// The error if the system has no name servers.
#[derive(Debug, thiserror::Error)]
#[error("no name server is configured: {}: {error}", file.display())]
pub(super) struct NoNameServers {
    file: PathBuf,
    error: ResolvConfError,
}

/// A reason why resolv.conf cannot be used.
#[derive(Debug, thiserror::Error)]
enum ResolvConfError {
    /// hickory cannot parse it.
    #[error("{0}")]
    Malformed(String),
    /// It has no usable `nameserver` line.
    #[error("no usable `nameserver` line")]
    NoServer,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// Removes domains that are not valid names from a line, because hickory rejects the whole file for them.
fn without_malformed_domains(line: &str) -> String {
    let mut words = line.split_whitespace();
    let keyword = words.next().unwrap_or_default();
    if !matches!(keyword, "domain" | "search") {
        return format!("{line}\n");
    }
    let domains = words.filter(|domain| Name::from_str_relaxed(domain).is_ok());
    let kept: String = domains.flat_map(|domain| [" ", domain]).collect();
    // An empty list replaces the previous one, too.
    if kept.is_empty() && keyword == "domain" { "search\n".to_owned() } else { format!("{keyword}{kept}\n") }
}

/// Returns the address of a name server, if the line has one. hickory's parser loses the zone of a link-local address.
fn name_server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
    match address.split_once('%') {
        None => Some(SocketAddr::new(address.parse().ok()?, DNS_PORT)),
        Some((address, zone)) => {
            let scope = interface(zone).unwrap_or_default();
            Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, scope).into())
        }
    }
}

/// Parses a hosts file: one address per line, followed by its names; `#` starts a comment. Invalid lines are ignored.
fn parse_hosts(text: &str) -> HashMap<Box<str>, Vec<IpAddr>> {
    let mut hosts: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            hosts.entry(name.into()).or_default().push(address);
        }
    }
    hosts
}

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> SystemFiles {
        SystemFiles { resolv_conf: folder.join("resolv.conf"), hosts: folder.join("hosts") }
    }

    #[test]
    fn a_host_can_have_several_addresses() {
        let hosts = parse_hosts(
            "# comment\n127.0.0.1 LocalHost local.example. # rest\n\n::1 localhost\nnonsense x\nfe80::1%lo0 y\n10.0.0.1\n",
        );
        assert_eq!(hosts["localhost"], ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(hosts["local.example"].len(), 1);
        assert_eq!(hosts.len(), 2);
    }

    #[test]
    fn resolv_conf_has_servers_and_search_domains() {
        let servers =
            NameServers::parse(b"nameserver 10.0.0.1\nnameserver ::1\nsearch a.example b.example\noptions ndots:3\n");
        let servers = servers.unwrap();
        assert_eq!(servers.addresses, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(servers.search.iter().map(Name::to_ascii).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!(servers.ndots, 3);
        assert!(NameServers::parse(b"search a.example\n").is_err());
        let scoped = NameServers::parse(b"nameserver fe80::1%nowhere\n").unwrap();
        assert_eq!(scoped.addresses, ["[fe80::1]:53".parse().unwrap()]);
    }

    #[test]
    fn an_invalid_search_domain_is_skipped() {
        let long = "a".repeat(64);
        let search = |text: &str| {
            let servers = NameServers::parse(format!("nameserver 10.0.0.1\n{text}").as_bytes()).unwrap();
            servers.search.iter().map(Name::to_ascii).collect::<Vec<_>>()
        };
        assert_eq!(
            search(&format!("search -bad- a.example {long}.example b..example c.example\n")),
            ["a.example", "c.example"]
        );
        assert_eq!(search("search a.example\ndomain b.example\n"), ["b.example"]);
        assert!(search(&format!("domain {long}\n")).iter().all(|domain| *domain != long));
        assert!(search(&format!("search {long}\n")).iter().all(|domain| *domain != long));
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let system = System::new(files.clone());
        assert!(
            system
                .names()
                .unwrap()
                .servers
                .as_ref()
                .unwrap_err()
                .to_string()
                .starts_with("no name server is configured: ")
        );

        fs::write(&files.resolv_conf, "nameserver 10.0.0.1\n").unwrap();
        assert!(system.names().unwrap().servers.is_err(), "files are checked at most once a second");
        tokio::time::advance(CHECK_INTERVAL).await;
        let first = system.names().unwrap();
        assert_eq!(first.servers.as_ref().unwrap().addresses, ["10.0.0.1:53".parse().unwrap()]);

        tokio::time::advance(CHECK_INTERVAL).await;
        assert!(Arc::ptr_eq(&first, &system.names().unwrap()), "unchanged files are not read again");

        fs::write(&files.hosts, "10.0.0.9 nine\n").unwrap();
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(system.names().unwrap().in_hosts(&"nine".parse().unwrap()).len(), 1);
    }
}
