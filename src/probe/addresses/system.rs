//! Name resolution of this machine: its hosts file, and the name servers and search domains of resolv.conf.
//!
//! The files are read when they are first needed, and again when they change, which is checked at most once a second.
//! The hosts file is used even without a usable resolv.conf. Reading happens off the thread that probes, and a read that
//! hangs leaves the last content in use.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout_at};

use super::followed_file::FollowedFile;
use super::lookup::unresolved;
use crate::files::ReadError;
use crate::locks::lock;
use crate::outcome::{Class, Fault, LocalFault, LocalFaultReason};
use crate::probe::tcp::socket::interface;
use crate::target::HostName;
use crate::tasks::blocking;

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
    shared: Arc<Shared>,
}

impl System {
    pub(super) fn new(files: SystemFiles) -> Self {
        Self { shared: Arc::new(Shared { files, state: Mutex::default(), turn: Arc::default() }) }
    }

    /// Returns the content of the files, at most a second old, or older if reading hangs. Ends by `deadline`.
    ///
    /// Fails only if nothing has been read so far, because this machine cannot open a file or reading hangs.
    pub(super) async fn names(&self, deadline: Instant) -> Result<Arc<SystemNames>, LocalFault> {
        let (last, reading_since) = match self.shared.fresh_or_reading() {
            Ok(fresh) => return Ok(fresh),
            Err(last_and_start) => last_and_start,
        };
        // Only the probes that start right after a read began to hang wait for it.
        let patience = if last.is_some() { deadline.min(reading_since + PATIENCE) } else { deadline };
        match (timeout_at(patience, self.shared.refresh()).await, last) {
            (Ok(Ok(names)), _) | (_, Some(names)) => Ok(names),
            (Ok(Err(fault)), None) => Err(fault),
            (Err(_), None) => Err(self.shared.hanging()),
        }
    }
}

/// The state that a read shares with the probes, which may end before it.
#[derive(Debug)]
struct Shared {
    files: SystemFiles,
    state: Mutex<State>,
    /// Held by the running read.
    turn: Arc<Turn<()>>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Reading>,
    /// The start of the running read.
    reading_since: Option<Instant>,
}

#[derive(Debug)]
struct Reading {
    fresh_until: Instant,
    names: Arc<SystemNames>,
}

impl State {
    fn fresh(&self) -> Option<Arc<SystemNames>> {
        let last = self.last.as_ref().filter(|last| Instant::now() < last.fresh_until)?;
        Some(Arc::clone(&last.names))
    }

    fn last(&self) -> Option<Arc<SystemNames>> {
        self.last.as_ref().map(|last| Arc::clone(&last.names))
    }
}

impl Shared {
    /// Returns the content if it is fresh; otherwise the last content and the start of the read that replaces it.
    fn fresh_or_reading(&self) -> Result<Arc<SystemNames>, (Option<Arc<SystemNames>>, Instant)> {
        let mut state = lock(&self.state);
        let started = |state: &mut State| *state.reading_since.get_or_insert_with(Instant::now);
        state.fresh().ok_or_else(|| (state.last(), started(&mut state)))
    }

    /// Reads the files, unless another probe has just done so.
    async fn refresh(self: &Arc<Self>) -> Result<Arc<SystemNames>, LocalFault> {
        let turn = self.turn.clone().lock_owned().await;
        if let Some(fresh) = lock(&self.state).fresh() {
            return Ok(fresh);
        }
        let shared = self.clone();
        blocking(move || {
            let _turn = turn;
            shared.read()
        })
        .await
    }

    fn read(&self) -> Result<Arc<SystemNames>, LocalFault> {
        let last = lock(&self.state).last();
        let names = SystemNames::read(&self.files, last.as_deref()).map(Arc::new);
        let mut state = lock(&self.state);
        state.reading_since = None;
        let names = names?;
        state.last = Some(Reading { fresh_until: Instant::now() + CHECK_INTERVAL, names: names.clone() });
        Ok(names)
    }

    fn hanging(&self) -> LocalFault {
        let (resolv_conf, hosts) = (self.files.resolv_conf.display(), self.files.hosts.display());
        let detail = format!("cannot read {resolv_conf} and {hosts} before the deadline of the probe");
        LocalFault { reason: LocalFaultReason::Invalid, detail }
    }
}

/// The content of both files.
#[derive(Debug)]
pub(super) struct SystemNames {
    hosts: FollowedFile<Hosts>,
    resolv_conf: FollowedFile<Result<NameServers, ResolvConfError>>,
    path: PathBuf,
}

impl SystemNames {
    /// Reads the files that have changed since `last`.
    fn read(files: &SystemFiles, last: Option<&Self>) -> Result<Self, LocalFault> {
        let hosts = FollowedFile::read(&files.hosts, last.map(|last| &last.hosts), |text| {
            let hosts = parse_hosts(&String::from_utf8_lossy(&text.unwrap_or_default()));
            let has_any = !hosts.is_empty();
            (hosts, has_any)
        })?;
        let resolv_conf = FollowedFile::read(&files.resolv_conf, last.map(|last| &last.resolv_conf), |text| {
            let servers = text.map_err(ResolvConfError::from).and_then(|text| NameServers::parse(&text));
            let has_any = servers.is_ok();
            (servers, has_any)
        })?;
        Ok(Self { hosts, resolv_conf, path: files.resolv_conf.clone() })
    }

    /// Returns the addresses of a name in the hosts file.
    pub(super) fn in_hosts(&self, name: &HostName) -> &[IpAddr] {
        self.hosts.content().get(name.without_dot()).map_or(&[], Vec::as_slice)
    }

    /// Returns the name servers, or the fault of a look-up that needs one.
    ///
    /// A machine that never had a name server fails the look-up. A machine that has lost its name servers reveals
    /// nothing about the target, which is a local fault.
    pub(super) fn servers(&self, failed: &str) -> Result<&NameServers, Fault> {
        let path = self.path.display();
        self.resolv_conf.content().as_ref().map_err(|error| {
            if self.resolv_conf.had_any() {
                let detail = format!("{failed}: this machine has lost its name servers: {path} {error}");
                Fault::local(LocalFaultReason::Invalid, detail)
            } else {
                unresolved(Class::DnsError, format!("{failed}: no name server is configured: {path} {error}"))
            }
        })
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
        let addresses: Vec<_> = text.lines().filter_map(name_server).collect();
        if addresses.is_empty() {
            return Err(ResolvConfError::NoServer);
        }
        let readable: String = text.lines().map(without_malformed_domains).collect();
        let (config, options) =
            parse_resolv_conf(&readable).map_err(|error| ResolvConfError::Malformed(error.to_string()))?;
        // The domain of the machine counts only without a search list (resolv.conf(5)).
        let search = match (config.search(), config.domain()) {
            ([], domain) => domain.cloned().into_iter().collect(),
            (search, _) => search.to_vec(),
        };
        Ok(Self { addresses, search, ndots: options.ndots })
    }
}

/// Reason why resolv.conf cannot be used. Its text follows the name of the file.
#[derive(Debug, thiserror::Error)]
enum ResolvConfError {
    /// hickory cannot parse it.
    #[error("is malformed: {0}")]
    Malformed(String),
    /// It has no usable `nameserver` line.
    #[error("has no usable `nameserver` line")]
    NoServer,
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
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

/// The addresses of each name in a hosts file.
type Hosts = HashMap<Box<str>, Vec<IpAddr>>;

/// Parses a hosts file: one address per line, followed by its names; `#` starts a comment. Invalid lines are ignored.
fn parse_hosts(text: &str) -> Hosts {
    let mut hosts = Hosts::new();
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

/// Maximum time that a probe waits for a read if there is earlier content. A local disk needs less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

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

    /// A pair of files in a temporary folder, and the system that follows them.
    struct Machine {
        files: SystemFiles,
        system: System,
        _folder: TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name| folder.path().join(name);
            let files = SystemFiles { resolv_conf: path("resolv.conf"), hosts: path("hosts") };
            Self { system: System::new(files.clone()), files, _folder: folder }
        }

        /// Returns a machine whose name server and host were read once.
        async fn filled() -> Self {
            let machine = Self::new();
            fs::write(&machine.files.resolv_conf, "nameserver 10.0.0.1\n").unwrap();
            fs::write(&machine.files.hosts, "10.0.0.9 nine\n").unwrap();
            machine.names().await;
            machine
        }

        async fn names(&self) -> Arc<SystemNames> {
            self.system.names(Instant::now() + CHECK_INTERVAL).await.unwrap()
        }

        /// Returns the content of the next look.
        async fn next_names(&self) -> Arc<SystemNames> {
            tokio::time::advance(CHECK_INTERVAL).await;
            self.names().await
        }
    }

    fn servers(names: &Arc<SystemNames>) -> Result<Vec<SocketAddr>, Fault> {
        names.servers("x").map(|servers| servers.addresses.clone())
    }

    fn first_server() -> SocketAddr {
        "10.0.0.1:53".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_read_again() {
        let machine = Machine::new();
        let Err(Fault::Failure(failure)) = servers(&machine.names().await) else { panic!() };
        assert_eq!(failure.class, Class::DnsError);
        assert!(failure.detail.starts_with("x: no name server is configured: "), "{failure}");

        fs::write(&machine.files.resolv_conf, "nameserver 10.0.0.1\n").unwrap();
        assert!(servers(&machine.names().await).is_err(), "files are checked at most once a second");
        let first = machine.next_names().await;
        assert_eq!(servers(&first), Ok(vec![first_server()]));

        let unchanged = machine.next_names().await;
        assert!(std::ptr::eq(first.resolv_conf.content(), unchanged.resolv_conf.content()));

        fs::write(&machine.files.hosts, "10.0.0.9 nine\n").unwrap();
        assert_eq!(machine.next_names().await.in_hosts(&"nine".parse().unwrap()).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn briefly_empty_files_stay_in_use() {
        let machine = Machine::filled().await;
        for content in ["", "# rewritten\n", "nameserver 10.0.0.1\n", ""] {
            fs::write(&machine.files.resolv_conf, content).unwrap();
            fs::write(&machine.files.hosts, content.replace("nameserver 10.0.0.1", "10.0.0.9 nine")).unwrap();
            let names = machine.next_names().await;
            assert_eq!(servers(&names), Ok(vec![first_server()]), "{content:?}");
            assert_eq!(names.in_hosts(&"nine".parse().unwrap()).len(), 1, "{content:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lost_name_servers_are_a_local_fault() {
        type Damage = fn(&Path);
        let damages: [(Damage, &str); 4] = [
            (|path| fs::write(path, "").unwrap(), " has no usable `nameserver` line"),
            (|path| fs::remove_file(path).unwrap(), " cannot be read: No such file or directory (os error 2)"),
            (|path| replace_by(path, |path| mkfifo(path, Mode::S_IRWXU).unwrap()), " is a pipe, not a regular file"),
            (|path| replace_by(path, |path| fs::create_dir(path).unwrap()), " is a directory, not a regular file"),
        ];
        for (damage, expected) in damages {
            let machine = Machine::filled().await;
            damage(&machine.files.resolv_conf);
            assert!(servers(&machine.next_names().await).is_ok(), "one look is not enough:{expected}");
            let names = machine.next_names().await;
            let Err(Fault::LocalFault(fault)) = servers(&names) else { panic!("{names:?}") };
            assert_eq!(fault.reason, LocalFaultReason::Invalid);
            assert!(fault.detail.starts_with("x: this machine has lost its name servers: "), "{fault}");
            assert!(fault.detail.ends_with(expected), "{fault}");
            assert_eq!(names.in_hosts(&"nine".parse().unwrap()).len(), 1, "the hosts file stays in use");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hosts_pipe_hides_only_its_names() {
        let machine = Machine::filled().await;
        replace_by(&machine.files.hosts, |path| mkfifo(path, Mode::S_IRWXU).unwrap());
        machine.next_names().await;
        let names = machine.next_names().await;
        assert!(names.in_hosts(&"nine".parse().unwrap()).is_empty());
        assert_eq!(servers(&names), Ok(vec![first_server()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_leaves_the_last_content() {
        let machine = Machine::filled().await;
        // A read holds this turn until it ends.
        let hanging = machine.system.shared.turn.clone().lock_owned().await;
        fs::write(&machine.files.resolv_conf, "nameserver 10.0.0.22\n").unwrap();
        assert_eq!(servers(&machine.next_names().await), Ok(vec![first_server()]));
        let before = Instant::now();
        assert_eq!(servers(&machine.names().await), Ok(vec![first_server()]));
        assert_eq!(Instant::now(), before, "no later probe waits");
        drop(hanging);
        let names = machine.system.shared.refresh().await.unwrap();
        assert_eq!(servers(&names), Ok(vec!["10.0.0.22:53".parse().unwrap()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_first_read_is_a_local_fault() {
        let machine = Machine::new();
        let _hanging = machine.system.shared.turn.clone().lock_owned().await;
        let deadline = Instant::now() + CHECK_INTERVAL;
        let fault = machine.system.names(deadline).await.unwrap_err();
        assert_eq!(fault.reason, LocalFaultReason::Invalid);
        assert!(fault.detail.ends_with("before the deadline of the probe"), "{fault}");
    }

    fn replace_by(path: &Path, make: impl FnOnce(&Path)) {
        fs::remove_file(path).unwrap();
        make(path);
    }
}
