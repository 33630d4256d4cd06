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
    HeaderFiles, HeaderValues, HttpUrl, LabelValues, Port, RecordType, RootSet, Statuses, Url, at_most, between,
    positive,
};
use crate::config::problems::At;
use crate::config::yaml::Node;
use crate::histogram::Buckets;
use crate::outcome::Phase;
use crate::target::{
    AddressMode, AlpnProtocol, Cadence, Dialogue, Expect, HostName, IpFamily, Pattern, Scheme, ServerName,
    Sha256Digest, TlsVersion, Verify,
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
        /// Targets: each is a URL, or a mapping of a `url` (or several `urls`) and settings. Required unless `discovery` is set.
        targets: Targets,
        /// Sources of further targets: files, HTTP servers and DNS names.
        discovery: Items<Source>,
        /// Histograms of the durations of successful phases.
        histograms: Histograms,
        /// Limits on the number of targets and probes.
        limits: Limits,
        /// Options of DNS queries.
        dns: Dns,
    }
}

mapping! {
    /// How targets are probed.
    struct Settings {
        /// How often the target is probed, 100ms to 1d.
        #[default("60s")]
        #[check(between(Cadence::MIN_INTERVAL..=Cadence::MAX_INTERVAL, "must be between 100ms and 1d"))]
        interval: Duration,
        /// How long a probe may take as a whole; where none is set and the interval is shorter, that long.
        #[default("10s")]
        #[check(positive("must be at least 1ms"))]
        timeout: Duration,
        /// What a bare `host:port` is probed as.
        #[default("tcp")]
        scheme: Scheme,
        /// The group that the target belongs to.
        group: Box<str>,
        /// The module whose settings apply where the target has none of its own.
        module: Box<str>,
        /// Labels of the target's series; they merge with those of module, defaults and the whole configuration, and an empty value takes a label away.
        labels: LabelValues,
        /// When results become a state.
        confirm: Confirm,
        /// What the handshake must come to: `open`, `refused`, `filtered` (no answer, or an unreachable that came back) or `closed` (refused or filtered); only for tcp.
        #[default("open")]
        expect: Expect,
        /// Which addresses may be used: `any`, `ipv4` or `ipv6`.
        #[default("any")]
        ip: IpFamily,
        /// `any`: a name's addresses one after the other until one connects; `all`: every one at once, and all must be good.
        #[default("any")]
        addresses: AddressMode,
        /// Addresses and CIDRs; a name that resolves to an address outside them fails the probe.
        expect_addresses: Vec<IpNet>,
        /// Name servers to ask instead of the system's, `ip` or `ip:port`.
        dns_servers: Vec<SocketAddr>,
        /// Local address to connect from.
        source_address: IpAddr,
        /// Total time from which on a good probe counts as slow.
        #[check(positive("must be at least 1ms; remove the key to disable it"))]
        slow_after: Duration,
        /// How TLS is spoken and judged.
        tls: Tls,
        /// Steps after the connection, each one of `send`, `expect`, `expect_bytes` and `starttls`; only for tcp and tls.
        #[schemars(extend("maxItems" = Dialogue::MAX_STEPS))]
        dialogue: Items<Step>,
        /// What is asked of an HTTP server, and what its answer must be; only for http and https.
        http: Http,
    }
}

mapping! {
    /// When results become a state.
    struct Confirm {
        /// Consecutive failed probes that turn an up target down.
        #[default(2)]
        failures: NonZeroU32,
        /// How long after its end a failed probe of a target that is not yet down is repeated, at most an interval; 0s: not before the next tick.
        #[default("1s")]
        delay: Duration,
        /// Consecutive good probes that turn a down target up.
        #[default(1)]
        successes: NonZeroU32,
    }
}

mapping! {
    /// How TLS is spoken and judged.
    struct Tls {
        /// The name to ask for (SNI) and to verify, without one the host; an IP address is verified against those of the certificate.
        server_name: ServerName,
        /// `strict`: a faulty certificate fails the probe; `report`: its faults are exported and the probe goes on.
        #[default("strict")]
        verify: Verify,
        /// Where trust begins: `mozilla` (built in) or `system` (the machine's bundle).
        #[default("mozilla")]
        roots: RootSet,
        /// PEM file with own roots, instead of `roots`; of the two the nearer counts.
        ca_file: PathBuf,
        /// PEM file with a client certificate and its intermediates.
        cert_file: PathBuf,
        /// PEM file with the client certificate's private key, not encrypted; may be the same file.
        key_file: PathBuf,
        /// The oldest version offered: 1.2 or 1.3.
        #[default(1.2)]
        min_version: TlsVersion,
        /// The newest version offered: 1.2 or 1.3.
        #[default(1.3)]
        max_version: TlsVersion,
        /// Application protocols to offer (ALPN), the preferred first.
        alpn: Vec<AlpnProtocol>,
        /// SHA-256 of the leaf certificate or of its public key, hex or base64; any match is enough.
        pins: Vec<Sha256Digest>,
        /// Revocation lists, PEM or DER, to check the chain against.
        crl_files: Vec<PathBuf>,
    }
}

mapping! {
    /// What is asked of an HTTP server, and what its answer must be.
    struct Http {
        /// The request's method.
        #[default("GET")]
        method: Method,
        /// Headers of the request, but those that say how it is to be read, such as `content-length`.
        #[secret]
        headers: HeaderValues,
        /// Further headers, by name the file that has the value, for secrets; read again when it changes.
        headers_files: HeaderFiles,
        /// The statuses that are good: codes, ranges like `301-308`, classes like `2xx`.
        #[default(["2xx"])]
        status: Statuses,
        /// A regular expression that the body must match, `^` and `$` at line ends.
        body: Pattern,
        /// How many bytes of the body are read for that.
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
        /// Sent byte for byte; `\r \n \t \0 \\ \xNN` are escapes, `$1` and `${name}` groups of the last match, `$$` a dollar.
        #[secret]
        #[schemars(extend("minLength" = 1))]
        send: Box<str>,
        /// A regular expression on what came since the last match, `^` and `$` at line ends.
        expect: Pattern,
        /// Bytes that must come next, with the same escapes.
        #[schemars(extend("minLength" = 1))]
        expect_bytes: Box<str>,
        /// TLS starts here.
        #[schemars(extend("const" = true))]
        starttls: bool,
        /// Labels of `portprobe_dialogue_info`, with `$1` and `${name}` of the match; only beside `expect`.
        labels: LabelValues,
    }
}

mapping! {
    /// One URL with settings, or several with the same.
    #[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["urls"] }]))]
    struct Target {
        /// What is probed: scheme://host:ports; of several ports or ranges each is a target.
        url: Url,
        /// Several URLs with the same settings.
        urls: Items<Url>,
        /// The target's unique name; without one, its URL.
        name: Box<str>,
        ..settings: Settings,
    }
}

mapping! {
    /// A source of targets: one of `file`, `http` and `dns`.
    #[schemars(extend("oneOf" = [
        { "required": ["file"] },
        { "required": ["http"] },
        { "required": ["dns"] },
    ]))]
    struct Source {
        /// Files in the format of Prometheus' `file_sd`, or lists of targets as under `targets`; in the last part `*` stands for any characters, `?` for one.
        file: PathBuf,
        /// An http or https URL that answers as Prometheus' `http_sd`.
        http: HttpUrl,
        /// A name whose records are hosts and ports, or addresses.
        dns: HostName,
        /// How often the source is asked, 1s to 1d.
        #[default("60s")]
        #[check(between(SECOND..=DAY, "must be between 1s and 1d"))]
        refresh: Duration,
        /// What a bare `host:port` of the source is probed as.
        scheme: Scheme,
        /// The module whose settings apply where a target has none of its own.
        module: Box<str>,
        /// Labels of its targets' series; they merge with the others, and those that the source gives a target are nearer.
        labels: LabelValues,
        /// What the name is asked for: `SRV`, `A` or `AAAA`; only for dns.
        #[default("SRV")]
        records as "type": RecordType,
        /// The port of every address; only for the types A and AAAA, which tell none.
        port: Port,
        /// Headers of each request, by name the file that has the value, for secrets; only for http.
        headers_files: HeaderFiles,
        /// How TLS is spoken and judged; only for https.
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
        /// Labels of the group's series; they merge with the labels of every series.
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
