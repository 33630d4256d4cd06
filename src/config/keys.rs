//! The configuration as it is written: every key that exists, each with its meaning and its kind of value.
//!
//! Nothing here is checked beyond each value by itself; that is the border to `compile`. The documentation and defaults
//! at the keys are what `portprobe schema` and the table of settings show; a test proves the defaults to be the code's.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::config::keys::mapping::mapping;
use crate::config::keys::value::{FilePath, HttpUrl, Leaf, List, Named, Port, RecordType, RootSet, Text, Url, items};
use crate::config::yaml::Node;
use crate::outcome::Phase;
use crate::target::{
    AddressMode, AlpnProtocol, Dialogue, Expect, HostName, IpFamily, Scheme, ServerName, Sha256Digest, StatusRange,
    TlsVersion, Verify,
};

pub(super) mod mapping;
pub(super) mod read;
pub(super) mod schema;
pub(super) mod value;

mapping! {
    /// The configuration of portprobe.
    #[schemars(rename = "Configuration", extend("anyOf" = [
        { "required": ["targets"], "properties": { "targets": { "minItems": 1 } } },
        { "required": ["discovery"], "properties": { "discovery": { "minItems": 1 } } },
    ]))]
    struct RawConfig {
        /// Labels of every series; `${NAME}` takes the environment variable NAME, which must be set.
        labels: RawLabels,
        /// Settings of every target, unless its module or the target itself says otherwise.
        defaults: RawSettings,
        /// Named sets of settings that targets refer to.
        modules: Named<RawSettings>,
        /// Targets that stand in for each other: a primary and its standby, the nodes of a cluster.
        groups: Named<RawGroup>,
        /// What is probed: each a URL, or a mapping of a `url` and settings.
        targets: RawTargets,
        /// Where further targets come from: files, HTTP and DNS.
        discovery: List<RawSource>,
        /// What histograms are kept of successful phases.
        histograms: RawHistograms,
        /// What bounds probing; 0 is no bound.
        limits: RawLimits,
        /// How name servers are asked.
        dns: RawDns,
    }
}

mapping! {
    /// How targets are probed.
    #[schemars(rename = "Settings")]
    struct RawSettings {
        /// How often the target is probed, 100ms to 1d.
        #[schemars(extend("default" = "60s"))]
        interval: Duration,
        /// How long a probe may take as a whole; where none is set and the interval is shorter, that long.
        #[schemars(extend("default" = "10s"))]
        timeout: Duration,
        /// What a bare `host:port` is probed as.
        #[schemars(extend("default" = "tcp"))]
        scheme: Scheme,
        /// The group that the target belongs to.
        group: Text,
        /// The module whose settings apply where the target has none of its own.
        module: Text,
        /// Labels of the target's series; they merge with those of module, defaults and the whole configuration, and an empty value takes a label away.
        labels: RawLabels,
        /// When results become a state.
        confirm: RawConfirm,
        /// What the handshake must come to: `open`, `refused`, `filtered` (no answer, or an unreachable that came back) or `closed` (refused or filtered); only for tcp.
        #[schemars(extend("default" = "open"))]
        expect: Expect,
        /// Which addresses may be used: `any`, `ipv4` or `ipv6`.
        #[schemars(extend("default" = "any"))]
        ip: IpFamily,
        /// `any`: a name's addresses one after the other until one connects; `all`: every one at once, and all must be good.
        #[schemars(extend("default" = "any"))]
        addresses: AddressMode,
        /// Addresses and CIDRs; a name that resolves to an address outside them fails the probe.
        expect_addresses: List<IpNet>,
        /// Name servers to ask instead of the system's, `ip` or `ip:port`.
        dns_servers: List<SocketAddr>,
        /// Local address to connect from.
        source_address: IpAddr,
        /// Total time from which on a good probe counts as slow.
        slow_after: Duration,
        /// How TLS is spoken and judged.
        tls: RawTls,
        /// Steps after the connection, each one of `send`, `expect`, `expect_bytes` and `starttls`; only for tcp and tls.
        #[schemars(extend("maxItems" = Dialogue::MAX_STEPS))]
        dialogue: List<RawStep>,
        /// What is asked of an HTTP server, and what its answer must be; only for http and https.
        http: RawHttp,
    }
}

mapping! {
    /// When results become a state.
    #[schemars(rename = "Confirm")]
    struct RawConfirm {
        /// Consecutive failed probes that turn an up target down.
        #[schemars(extend("default" = 2))]
        failures: NonZeroU32,
        /// How long after its end a failed probe of a target that is not yet down is repeated, at most an interval; 0s: not before the next tick.
        #[schemars(extend("default" = "1s"))]
        delay: Duration,
        /// Consecutive good probes that turn a down target up.
        #[schemars(extend("default" = 1))]
        successes: NonZeroU32,
    }
}

mapping! {
    /// How TLS is spoken and judged.
    #[schemars(rename = "Tls")]
    struct RawTls {
        /// The name to ask for (SNI) and to verify, without one the host; an IP address is verified against those of the certificate.
        server_name: ServerName,
        /// `strict`: a faulty certificate fails the probe; `report`: its faults are exported and the probe goes on.
        #[schemars(extend("default" = "strict"))]
        verify: Verify,
        /// Where trust begins: `mozilla` (built in) or `system` (the machine's bundle).
        #[schemars(extend("default" = "mozilla"))]
        roots: RootSet,
        /// PEM file with own roots, instead of `roots`; of the two the nearer counts.
        ca_file: FilePath,
        /// PEM file with a client certificate and its intermediates.
        cert_file: FilePath,
        /// PEM file with the client certificate's private key, not encrypted; may be the same file.
        key_file: FilePath,
        /// The oldest version offered: 1.2 or 1.3.
        #[schemars(extend("default" = 1.2))]
        min_version: TlsVersion,
        /// The newest version offered: 1.2 or 1.3.
        #[schemars(extend("default" = 1.3))]
        max_version: TlsVersion,
        /// Application protocols to offer (ALPN), the preferred first.
        alpn: List<AlpnProtocol>,
        /// SHA-256 of the leaf certificate or of its public key, hex or base64; any match is enough.
        pins: List<Sha256Digest>,
        /// Revocation lists, PEM or DER, to check the chain against.
        crl_files: List<FilePath>,
    }
}

mapping! {
    /// What is asked of an HTTP server, and what its answer must be.
    #[schemars(rename = "Http")]
    struct RawHttp {
        /// The request's method.
        #[schemars(extend("default" = "GET"))]
        method: Method,
        /// Headers of the request, but those that say how it is to be read, such as `content-length`.
        headers: Named<Text>,
        /// Further headers, by name the file that has the value, for secrets; read again when it changes.
        headers_files: Named<FilePath>,
        /// The statuses that are good: codes, ranges like `301-308`, classes like `2xx`.
        #[schemars(extend("default" = ["2xx"]))]
        status: List<StatusRange>,
        /// A regular expression that the body must match, `^` and `$` at line ends.
        body: Text,
        /// How many bytes of the body are read for that.
        #[schemars(extend("default" = 1_048_576))]
        body_limit: u32,
    }
}

mapping! {
    /// A step of a dialogue: one of `send`, `expect`, `expect_bytes` and `starttls`.
    #[schemars(rename = "Step", extend("dependentRequired" = { "labels": ["expect"] }, "oneOf" = [
        { "required": ["send"] },
        { "required": ["expect"] },
        { "required": ["expect_bytes"] },
        { "required": ["starttls"] },
    ]))]
    struct RawStep {
        /// Sent byte for byte; `\r \n \t \0 \\ \xNN` are escapes, `$1` and `${name}` groups of the last match, `$$` a dollar.
        #[schemars(extend("minLength" = 1))]
        send: Text,
        /// A regular expression on what came since the last match, `^` and `$` at line ends.
        expect: Text,
        /// Bytes that must come next, with the same escapes.
        #[schemars(extend("minLength" = 1))]
        expect_bytes: Text,
        /// TLS starts here.
        #[schemars(extend("const" = true))]
        starttls: bool,
        /// Labels of `portprobe_dialogue_info`, with `$1` and `${name}` of the match; only beside `expect`.
        labels: RawLabels,
    }
}

mapping! {
    /// One URL with settings, or several with the same.
    #[schemars(rename = "Target", extend("oneOf" = [{ "required": ["url"] }, { "required": ["urls"] }]))]
    struct RawTarget {
        /// What is probed: scheme://host:ports; of several ports or ranges each is a target.
        url: Url,
        /// Several URLs with the same settings.
        urls: List<Url>,
        /// The target's unique name; without one, its URL.
        name: Text,
        ..settings: RawSettings,
    }
}

mapping! {
    /// A source of targets: one of `file`, `http` and `dns`.
    #[schemars(rename = "Source", extend("oneOf" = [
        { "required": ["file"] },
        { "required": ["http"] },
        { "required": ["dns"] },
    ]))]
    struct RawSource {
        /// Files in the format of Prometheus' `file_sd`, or lists of targets as under `targets`; in the last part `*` stands for any characters, `?` for one.
        file: FilePath,
        /// An http or https URL that answers as Prometheus' `http_sd`.
        http: HttpUrl,
        /// A name whose records are hosts and ports, or addresses.
        dns: HostName,
        /// How often the source is asked, 1s to 1d.
        #[schemars(extend("default" = "60s"))]
        refresh: Duration,
        /// What a bare `host:port` of the source is probed as.
        scheme: Scheme,
        /// The module whose settings apply where a target has none of its own.
        module: Text,
        /// Labels of its targets' series; they merge with the others, and those that the source gives a target are nearer.
        labels: RawLabels,
        /// What the name is asked for: `SRV`, `A` or `AAAA`; only for dns.
        #[schemars(extend("default" = "SRV"))]
        records as "type": RecordType,
        /// The port of every address; only for the types A and AAAA, which tell none.
        port: Port,
        /// Headers of each request, by name the file that has the value, for secrets; only for http.
        headers_files: Named<FilePath>,
        /// How TLS is spoken and judged; only for https.
        tls: RawTls,
    }
}

mapping! {
    /// Targets as Prometheus' `file_sd` and `http_sd` group them. No part of a configuration.
    struct RawTargetGroup {
        /// Each a `host:port` or a URL.
        targets: List<Url>,
        /// Labels of all of them, and settings.
        labels: Named<Text>,
    }
}

mapping! {
    /// Targets that stand in for each other.
    #[schemars(rename = "Group")]
    struct RawGroup {
        /// The group is up while so many members are.
        #[schemars(extend("default" = 1))]
        min_up: NonZeroU32,
        /// The group is up while at most so many members are not; instead of `min_up`.
        max_down: u32,
        /// Labels of the group's series.
        labels: RawLabels,
    }
}

mapping! {
    /// What histograms are kept of successful phases.
    #[schemars(rename = "Histograms")]
    struct RawHistograms {
        /// Upper bounds of the classic buckets in seconds, rising.
        #[schemars(extend("default" = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 5]))]
        buckets: List<f64>,
        /// Whether native histograms are kept beside the classic ones.
        #[schemars(extend("default" = true))]
        native: bool,
        /// The phases that have a histogram; [] turns histograms off.
        #[schemars(extend("default" = ["connect", "tls"]))]
        phases: List<Phase>,
    }
}

mapping! {
    /// What bounds probing; 0 is no bound.
    #[schemars(rename = "Limits")]
    struct RawLimits {
        /// Most targets that a configuration may have.
        #[schemars(extend("default" = 200_000))]
        targets: u32,
        /// Most probes at one time; a due probe that meets it waits its turn.
        #[schemars(extend("default" = 4096))]
        in_flight: u32,
        /// Most probes of one host at one time.
        #[schemars(extend("default" = 32))]
        per_host: u32,
        /// Most probes started in a second.
        #[schemars(extend("default" = 0))]
        per_second: u32,
    }
}

mapping! {
    /// How name servers are asked.
    #[schemars(rename = "Dns")]
    struct RawDns {
        /// Longest wait for one answer, 1ms to 1m.
        #[schemars(extend("default" = "2s"))]
        timeout: Duration,
        /// How often a query is sent before the server counts as silent, 1 to 10.
        #[schemars(extend("default" = 2))]
        tries: NonZeroU32,
    }
}

/// Label names and values.
#[derive(Debug)]
pub(super) struct RawLabels(pub(super) Named<Text>);

impl Leaf for RawLabels {
    fn read(node: Node) -> Result<Self, String> {
        Named::read(node).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$" },
            "additionalProperties": Text::schema(generator),
        })
    }
}

/// The targets, each still a node: of a hundred thousand only one at a time is taken apart.
#[derive(Debug)]
pub(super) struct RawTargets(pub(super) Vec<Node>);

impl Leaf for RawTargets {
    fn read(node: Node) -> Result<Self, String> {
        items(node).map(Self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (url, target) = (Url::schema(generator), RawTarget::schema(generator));
        json_schema!({ "type": "array", "items": { "anyOf": [url, target] } })
    }
}
