//! Every key of the configuration, with its documentation, default, range and type.
//!
//! A new setting needs a line in [`Settings`] and a line in `levels` that copies it into the target. `portprobe schema`
//! and the reference tables show the documentation and defaults from here. A test compares the defaults with those of
//! the code.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::mapping::mapping;
use crate::config::keys::read::{Items, Key, Named, items};
use crate::config::keys::value::{
    HeaderFiles, HeaderValues, HostList, HttpUrl, LabelValues, Port, RecordType, RootSet, Statuses, Url, at_most,
    between, positive,
};
use crate::config::problems::At;
use crate::config::yaml::Node;
use crate::histogram::Buckets;
use crate::outcome::Phase;
use crate::target::{
    AddressMode, AllowedHosts, AlpnProtocol, Cadence, Dialogue, Expect, HostName, IpFamily, KeyExchange, Pattern,
    Ports, Scheme, ServerName, Sha256Digest, TlsVersion, Verify,
};

pub(super) mod mapping;
pub(super) mod read;
pub(super) mod schema;
mod unknown;
pub(super) mod value;

mapping! {
    /// The configuration of portprobe.
    #[schemars(extend("anyOf" = [
        { "required": ["targets"], "properties": { "targets": { "minItems": 1 } } },
        { "required": ["discovery"], "properties": { "discovery": { "minItems": 1 } } },
        { "required": ["probe_endpoint"], "properties": { "probe_endpoint": { "properties": { "enabled": { "const": true } } } } },
        { "required": ["audit"], "properties": { "audit": { "minItems": 1 } } },
    ]))]
    struct Configuration {
        /// Labels of every series. `${NAME}` expands to the environment variable NAME, which must be set.
        labels: LabelValues,
        /// Settings of every target. A module, a discovery source and the target itself take precedence.
        defaults: Settings,
        /// Named sets of settings, for targets and discovery sources to refer to with `module`.
        modules: Named<Settings>,
        /// Groups of targets that can replace each other: a primary and its standby, or the nodes of a cluster.
        groups: Named<Group>,
        /// Targets: each is a URL, or a mapping of `url` or `urls` and settings. Required unless `discovery`, `probe_endpoint` or `audit` is set.
        targets: Targets,
        /// Sources of further targets: files, HTTP servers and DNS names.
        discovery: Items<Source>,
        /// Histograms of the durations of successful phases.
        histograms: Histograms,
        /// Limits on the number of targets and probes.
        limits: Limits,
        /// Options of DNS queries.
        dns: Dns,
        /// Probes that clients of `/probe` request.
        probe_endpoint: ProbeEndpoint,
        /// A page for others to look at: names, states and history of chosen groups and targets, without hosts, ports and reasons.
        public: Public,
        /// Port audits: ports that are open but must not be, and ports that must be open but are not.
        audit: Items<Audit>,
    }
}

mapping! {
    /// Settings of targets.
    struct Settings {
        /// Interval between probes, 100ms to 1d.
        #[default("60s")]
        #[check(between(Cadence::MIN_INTERVAL..=Cadence::MAX_INTERVAL, "must be between 100ms and 1d"))]
        interval: Duration,
        /// Timeout of the whole probe, name resolution included; at most the interval. A shorter interval lowers the default.
        #[default("10s")]
        #[check(positive("must be at least 1ms"))]
        timeout: Duration,
        /// Scheme of a bare `host:port`: `tcp`, `tls` or any protocol.
        #[default("tcp")]
        scheme: Scheme,
        /// Group of the target, one of `groups`.
        group: Box<str>,
        /// Module of the target, one of `modules`: its settings take precedence over `defaults`.
        module: Box<str>,
        /// Labels of the target's series. They merge with those of the module, `defaults` and the top level; an empty value removes a label.
        labels: LabelValues,
        /// Results that confirm a change of state.
        confirm: Confirm,
        /// Expected result of the TCP handshake: `open`, `refused`, `filtered` (no answer, or an ICMP unreachable) or `closed` (refused or filtered). Only for tcp.
        #[default("open")]
        expect: Expect,
        /// Address family to use: `any`, `ipv4` or `ipv6`.
        #[default("any")]
        ip: IpFamily,
        /// `any`: the addresses of a name are tried in turn until one connects. `all`: every address is probed, and all must succeed.
        #[default("any")]
        addresses: AddressMode,
        /// Addresses and networks (CIDR) that the name may resolve to; any other address fails the probe.
        expect_addresses: Vec<IpNet>,
        /// DNS servers to query instead of those of the system, as `ip` or `ip:port`.
        dns_servers: Vec<SocketAddr>,
        /// Local IP address to connect from; by default the kernel selects it.
        source_address: IpAddr,
        /// Duration from which a successful probe is slow.
        #[check(positive("must be at least 1ms; remove the key to disable it"))]
        slow_after: Duration,
        /// TLS parameters and certificate verification.
        tls: Tls,
        /// Steps on the open connection, at most 64, each one of `send`, `expect`, `expect_bytes` and `starttls`. Only for tcp and tls.
        #[schemars(extend("maxItems" = Dialogue::MAX_STEPS))]
        dialogue: Items<Step>,
        /// HTTP request and expected response. Only for http and https.
        http: Http,
    }
}

mapping! {
    /// Results that confirm a change of state.
    struct Confirm {
        /// Number of consecutive failed probes that change a target to down.
        #[default(2)]
        failures: NonZeroU32,
        /// Delay before a failed probe is retried while the target is not yet down, at most one interval; `0s` disables the retry.
        #[default("1s")]
        delay: Duration,
        /// Number of consecutive successful probes that change a down target to up.
        #[default(1)]
        successes: NonZeroU32,
    }
}

mapping! {
    /// TLS parameters and certificate verification.
    struct Tls {
        /// Name for SNI and certificate verification; default is the host. An IP address must be in the certificate.
        server_name: ServerName,
        /// `strict`: a faulty certificate fails the probe. `report`: its faults are exported, and the probe continues.
        #[default("strict")]
        verify: Verify,
        /// Trusted roots: `mozilla` (built in) or `system` (the bundle of the operating system).
        #[default("mozilla")]
        roots: RootSet,
        /// PEM file with custom roots, used instead of `tls.roots`. If both are set, the nearest level wins.
        ca_file: PathBuf,
        /// PEM file with a client certificate, followed by its intermediates; requires `tls.key_file`.
        cert_file: PathBuf,
        /// PEM file with the private key of the client certificate, not encrypted; may be the same file.
        key_file: PathBuf,
        /// Minimum TLS version to offer: 1.2 or 1.3.
        #[default(1.2)]
        min_version: TlsVersion,
        /// Maximum TLS version to offer: 1.2 or 1.3.
        #[default(1.3)]
        max_version: TlsVersion,
        /// Application protocols to offer (ALPN), in order of preference; the default depends on the scheme.
        alpn: Vec<AlpnProtocol>,
        /// Groups to offer for the key exchange, in order of preference; the first has a key share. Without `x25519mlkem768` the ClientHello fits one segment.
        #[default(["x25519mlkem768", "x25519", "secp256r1", "secp384r1"])]
        key_exchange: KeyExchange,
        /// SHA-256 digests in hex or base64. One must match the leaf certificate or its public key.
        pins: Vec<Sha256Digest>,
        /// Files with revocation lists, PEM or DER, to check the chain against.
        crl_files: Vec<PathBuf>,
    }
}

mapping! {
    /// HTTP request and expected response.
    struct Http {
        /// Method of the request.
        #[default("GET")]
        method: Method,
        /// Headers of the request, except those that control the connection, such as `content-length`.
        #[secret]
        headers: HeaderValues,
        /// Further headers, each with the file that contains its value; for secrets. A changed file is read again.
        headers_files: HeaderFiles,
        /// Expected statuses: a code, a range like `301-308`, a class like `2xx`, or a list of them.
        #[default(["2xx"])]
        status: Statuses,
        /// Regular expression that the body must match; `^` and `$` match at line ends. A match ends the probe.
        body: Pattern,
        /// Maximum number of bytes of the body that are read to match `http.body`.
        #[default(1_048_576)]
        body_limit: u32,
    }
}

mapping! {
    /// A step of a dialogue: one of `send`, `expect`, `expect_bytes` and `starttls`.
    #[schemars(extend("dependentRequired" = { "labels": ["expect"] }, "oneOf" = [
        { "required": ["send"] },
        { "required": ["expect"] },
        { "required": ["expect_bytes"] },
        { "required": ["starttls"] },
    ]))]
    struct Step {
        /// Bytes to send. `\r \n \t \0 \\ \xNN` are escapes, `$1` and `${name}` groups of the last match, `$$` is a dollar.
        #[secret]
        #[schemars(extend("minLength" = 1))]
        send: Box<str>,
        /// Regular expression that the data since the last match must match; `^` and `$` match at line ends.
        expect: Pattern,
        /// Bytes that must follow, with the escapes of `send`.
        #[schemars(extend("minLength" = 1))]
        expect_bytes: Box<str>,
        /// Starts TLS.
        #[schemars(extend("const" = true))]
        starttls: bool,
        /// Labels of `portprobe_dialogue_info`, with `$1` and `${name}` of this match; requires `expect`.
        labels: LabelValues,
    }
}

mapping! {
    /// One URL, or several URLs, with settings.
    #[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["urls"] }]))]
    struct Target {
        /// URL, `scheme://host:ports/path`. Each port of a list or range is a target.
        url: Url,
        /// Several URLs with the same settings.
        urls: Items<Url>,
        /// Unique name of the target, only for a single endpoint; default is the URL.
        name: Box<str>,
        ..settings: Settings,
    }
}

mapping! {
    /// A discovery source: one of `file`, `http` and `dns`.
    #[schemars(extend("oneOf" = [
        { "required": ["file"] },
        { "required": ["http"] },
        { "required": ["dns"] },
    ]))]
    struct Source {
        /// Files with targets in the format of Prometheus' `file_sd` or of `targets`; `*` and `?` are wildcards in the last part of the path.
        file: PathBuf,
        /// URL, http or https, that returns targets in the format of Prometheus' `http_sd`.
        http: HttpUrl,
        /// DNS name whose records are targets.
        dns: HostName,
        /// Interval between refreshes, 1s to 1d.
        #[default("60s")]
        #[check(between(SECOND..=DAY, "must be between 1s and 1d"))]
        refresh: Duration,
        /// Scheme of a bare `host:port` from this source; default is that of the module or `defaults`.
        scheme: Scheme,
        /// Module of the source's targets, unless a target sets its own.
        module: Box<str>,
        /// Labels of the source's targets. They merge with all others; labels in the source's entries take precedence.
        labels: LabelValues,
        /// Type of the records: `SRV`, `A` or `AAAA`. Only for dns.
        #[default("SRV")]
        records as "type": RecordType,
        /// Port of every address. Only for the types `A` and `AAAA`, and required there.
        port: Port,
        /// Headers of the request, each with the file that contains its value; for secrets. Only for http.
        headers_files: HeaderFiles,
        /// TLS parameters and certificate verification, with the keys of the setting `tls`. Only for https.
        tls: Tls,
    }
}

mapping! {
    /// A target group of Prometheus' `file_sd` and `http_sd`. Not part of a configuration.
    struct TargetGroup {
        /// Each a `host:port` or a URL.
        targets: Items<Url>,
        /// Labels of all of them, and settings.
        labels: Named<Box<str>>,
    }
}

mapping! {
    /// A group of targets that can replace each other.
    struct Group {
        /// Minimum number of members that must be up for the group to be up.
        #[default(1)]
        min_up: NonZeroU32,
        /// Maximum number of members that may be down while the group is up; instead of `min_up`, for groups whose size changes.
        max_down: u32,
        /// Labels of the group's series; they merge with those of the top level.
        labels: LabelValues,
    }
}

mapping! {
    /// Histograms of the durations of successful phases.
    struct Histograms {
        /// Upper bounds of the classic buckets in seconds, ascending, at most 64; `+Inf` is implied.
        #[default([0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 5])]
        buckets: Buckets,
        /// Whether native histograms are kept in addition to the classic ones.
        #[default(true)]
        native: bool,
        /// Phases that have a histogram: `resolve`, `connect`, `starttls`, `tls`, `protocol`. `[]` disables histograms.
        #[default(["connect", "tls"])]
        phases: Vec<Phase>,
    }
}

mapping! {
    /// Limits on the number of targets and probes.
    struct Limits {
        /// Maximum number of targets, including discovered ones; 0 means no limit.
        #[default(200_000)]
        targets: u32,
        /// Maximum number of concurrent probes; further due probes wait. 0 means no limit.
        #[default(4096)]
        in_flight: u32,
        /// Maximum number of concurrent probes of one host; 0 means no limit.
        #[default(32)]
        per_host: u32,
        /// Maximum number of probes started per second; 0 means no limit.
        #[default(0)]
        per_second: u32,
    }
}

mapping! {
    /// Options of DNS queries.
    struct Dns {
        /// Timeout of one DNS query, 1ms to 1m.
        #[default("2s")]
        #[check(between(MILLISECOND..=MINUTE, "must be between 1ms and 1m"))]
        timeout: Duration,
        /// Maximum number of queries to a DNS server that does not respond, 1 to 10.
        #[default(2)]
        #[check(at_most(10, "must be between 1 and 10"))]
        tries: NonZeroU32,
    }
}

mapping! {
    /// Probes that clients of `/probe` request.
    struct ProbeEndpoint {
        /// Whether `/probe` makes probes; otherwise it responds with 403.
        #[default(false)]
        enabled: bool,
        /// Hosts that clients may name: addresses, networks (CIDR) and host names. `example.com` stands for that name and all below it, `.example.com` for those below it. Required if enabled.
        allow: Vec<AllowedHosts>,
    }
}

mapping! {
    /// A page for others to look at.
    struct Public {
        /// Labels that choose targets, all of which must match. A group is chosen with one of its members; a target without a group needs a `name`. Required.
        labels as "match": LabelValues,
        /// Title of the page and its feed.
        #[default("Status")]
        title: Box<str>,
    }
}

mapping! {
    /// A port audit: connects to ports of hosts, and reports those that are open but not in `open`, and those in `open` that are not open.
    #[schemars(extend("required" = ["name", "hosts", "ports"]))]
    struct Audit {
        /// Unique name of the audit.
        name: Box<str>,
        /// Addresses, networks (CIDR) and host names. A name stands for all its addresses. Addresses of a network that never reply count as unused.
        hosts: HostList,
        /// Ports to connect to: a port, a range like `1-1024`, or a list of them.
        ports: Ports,
        /// Ports that must be open, among `ports`; no others may be.
        open: Ports,
        /// Time between the starts of two runs, 1s to 30d.
        #[default("1h")]
        #[check(between(SECOND..=30 * DAY, "must be between 1s and 30d"))]
        interval: Duration,
        /// Timeout of a connection, 10ms to 1m.
        #[default("1s")]
        #[check(between(10 * MILLISECOND..=MINUTE, "must be between 10ms and 1m"))]
        timeout: Duration,
        /// Maximum number of connections started per second, 1 to 10,000.
        #[default(500)]
        #[check(at_most(10_000, "must be between 1 and 10000"))]
        per_second: NonZeroU32,
    }
}

/// The entries of `targets`. They are read one at a time, which saves memory with 100,000 of them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Targets(pub(super) Vec<Node>);

impl Key for Targets {
    fn read(node: Node, at: At<'_>) -> Option<Self> {
        items(node, at).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (url, target) = (<Url as Key>::schema(generator), Target::schema(generator));
        json_schema!({ "type": "array", "items": { "anyOf": [url, target] } })
    }

    fn secret_keys() -> Vec<&'static str> {
        Target::secret_keys()
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
