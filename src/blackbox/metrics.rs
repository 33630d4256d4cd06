//! The metrics of blackbox_exporter for the outcome of one probe.
//!
//! Names, labels, types and help are those of version 0.28. Of each probe, the metrics of one of its probers are present:
//! `http` for HTTP, `grpc` for gRPC, `tcp` for all others. A metric that cannot be known is absent.

use std::net::IpAddr;

use crate::outcome::{
    Class, Failure, Fault, GrpcResponse, HttpResponse, Outcome, PeerCertificates, Phase, Response, TlsFacts,
};
use crate::peer_text::label_value;
use crate::target::{Application, Step, Target, Verify};

mod text;

pub use self::text::{Exposition, Syntax};

/// A metric with its series. Every metric is a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The help.
    pub help: &'static str,
    /// The series, at least one.
    pub series: Vec<Series>,
}

/// A series: its labels, sorted by name, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// Returns the metrics of a probe, sorted by name.
pub fn metrics(target: &Target, outcome: &Outcome) -> Vec<Metric> {
    let mut metrics = Metrics(Vec::new());
    metrics.result(outcome);
    metrics.addresses(target, outcome);
    match Prober::of(target) {
        Prober::Grpc => metrics.grpc(target, outcome),
        Prober::Http => metrics.http(target, outcome),
        Prober::Tcp => metrics.tcp(target, outcome),
    }
    if let Some(tls) = &outcome.facts.tls {
        metrics.tls(target, tls, Prober::of(target));
    }
    metrics.0.retain(|metric| !metric.series.is_empty());
    metrics.0.sort_by_key(|metric| metric.name);
    metrics.0
}

/// The prober of blackbox_exporter that makes such a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Prober {
    Grpc,
    Http,
    Tcp,
}

impl Prober {
    fn of(target: &Target) -> Self {
        match target.settings.probe_kind.application() {
            Some(Application::Http(_)) => Self::Http,
            Some(Application::Service(service)) if service.name == "grpc" => Self::Grpc,
            Some(Application::Dialogue(_) | Application::Service(_)) | None => Self::Tcp,
        }
    }
}

/// The metrics so far.
struct Metrics(Vec<Metric>);

impl Metrics {
    /// Success, duration and, beyond blackbox_exporter, the reason of a failure.
    fn result(&mut self, outcome: &Outcome) {
        let is_success = f64::from(u8::from(outcome.result.is_ok()));
        self.one("probe_success", "Displays whether or not the probe was a success", is_success);
        let duration = outcome.duration.as_secs_f64();
        self.one("probe_duration_seconds", "Returns how long the probe took to complete in seconds", duration);
        if let Err(Fault::Failure(Failure { phase, class, .. })) = &outcome.result {
            let labels = [("class", class.as_str()), ("phase", phase.as_str())];
            self.info("probe_failure_info", "Phase and class of the failure", &labels);
        }
    }

    fn addresses(&mut self, target: &Target, outcome: &Outcome) {
        let resolve = seconds(outcome, Phase::Resolve);
        self.one("probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds", resolve);
        let address = outcome.address().or_else(|| target.endpoint.host.literal());
        let protocol = address.map_or(0.0, |address| if address.is_ipv4() { 4.0 } else { 6.0 });
        self.one("probe_ip_protocol", "Specifies whether probe ip protocol is IP4 or IP6", protocol);
        let help = "Specifies the hash of IP address. It's useful to detect if the IP address changes.";
        self.one("probe_ip_addr_hash", help, address.map_or(0.0, |address| f64::from(address_hash(address))));
    }

    fn tcp(&mut self, target: &Target, outcome: &Outcome) {
        let is_mismatch = is_class(outcome, Class::UnexpectedResponse) || is_class(outcome, Class::Disconnected);
        let is_of_bytes = is_mismatch && expects_only_bytes(target);
        self.failed_due_to_regex(is_mismatch && !is_of_bytes);
        let value = f64::from(u8::from(is_of_bytes));
        self.one("probe_failed_due_to_bytes", "Indicates if probe failed due to bytes", value);
        let labels = outcome.facts.dialogue.as_deref().unwrap_or_default();
        if !labels.is_empty() {
            let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), label_value(value))).collect();
            let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.info("probe_expect_info", "Explicit content matched", &labels);
        }
    }

    fn http(&mut self, target: &Target, outcome: &Outcome) {
        let response = match outcome.facts.response.as_deref() {
            Some(Response::Http(response)) => Some(response),
            Some(Response::Grpc(_)) | None => None,
        };
        let or_zero = |value: Option<f64>| value.unwrap_or_default();
        self.failed_due_to_regex(
            response.is_some_and(|response| response.is_expected_status)
                && target.settings.probe_kind.http().is_some_and(|http| http.body.is_some())
                && is_class(outcome, Class::UnexpectedResponse),
        );
        let status = or_zero(response.map(|response| f64::from(response.status)));
        self.one("probe_http_status_code", "Response HTTP status code", status);
        let version = or_zero(response.map(|response| response.version));
        self.one("probe_http_version", "Returns the version of HTTP of the probe response", version);
        self.one("probe_http_redirects", "The number of redirects", 0.0);
        let is_tls = response.is_some() && target.settings.probe_kind.tls().is_some();
        let help = "Indicates if SSL was used for the final redirect";
        self.one("probe_http_ssl", help, f64::from(u8::from(is_tls)));
        self.http_lengths(response);
        let phases = [
            ("connect", seconds(outcome, Phase::Connect)),
            ("processing", seconds(outcome, Phase::Protocol)),
            ("resolve", seconds(outcome, Phase::Resolve)),
            ("tls", seconds(outcome, Phase::Tls)),
            ("transfer", 0.0),
        ];
        let help = "Duration of http request by phase, summed over all redirects";
        self.by_label("probe_http_duration_seconds", help, "phase", &phases);
    }

    fn http_lengths(&mut self, response: Option<&HttpResponse>) {
        let length = response.map(|response| response.content_length.map(|length| length as f64));
        let announced = length.map_or(0.0, |length| length.unwrap_or(-1.0));
        self.one("probe_http_content_length", "Length of http content response", announced);
        let help = "Length of uncompressed response body";
        self.maybe("probe_http_uncompressed_body_length", help, length.unwrap_or(Some(0.0)));
        let modified = response.and_then(|response| response.last_modified);
        let help = "Returns the Last-Modified HTTP response header in unixtime";
        self.maybe("probe_http_last_modified_timestamp_seconds", help, modified.map(|seconds| seconds as f64));
    }

    fn grpc(&mut self, target: &Target, outcome: &Outcome) {
        let response = match outcome.facts.response.as_deref() {
            Some(Response::Grpc(response)) => Some(response),
            Some(Response::Http(_)) | None => None,
        };
        let status = response.map_or(UNAVAILABLE, |GrpcResponse { status, .. }| f64::from(*status));
        self.one("probe_grpc_status_code", "Response gRPC status code", status);
        let is_tls = response.is_some() && target.settings.probe_kind.tls().is_some();
        self.one("probe_grpc_ssl", "Indicates if SSL was used for the connection", f64::from(u8::from(is_tls)));
        let serving = response.and_then(|response| response.serving);
        let is = |number: u8| f64::from(u8::from(serving == Some(number)));
        let states = [("NOT_SERVING", is(2)), ("SERVICE_UNKNOWN", is(3)), ("SERVING", is(1)), ("UNKNOWN", is(0))];
        self.by_label("probe_grpc_healthcheck_response", "Response HealthCheck response", "serving_status", &states);
        let resolve = seconds(outcome, Phase::Resolve);
        let phases = [("check", outcome.duration.as_secs_f64() - resolve), ("resolve", resolve)];
        self.by_label("probe_grpc_duration_seconds", "Duration of gRPC request by phase", "phase", &phases);
    }

    /// The session and the certificates, also those of a failed handshake, which blackbox_exporter does not have.
    fn tls(&mut self, target: &Target, tls: &TlsFacts, prober: Prober) {
        if let Some(session) = &tls.session {
            let help = "Returns the TLS version used or NaN when unknown";
            self.info("probe_tls_version_info", help, &[("version", session.version)]);
            if prober == Prober::Http {
                let help = "Returns the TLS cipher negotiated during handshake";
                self.info("probe_tls_cipher_info", help, &[("cipher", session.cipher)]);
            }
        }
        let Some(peer) = &tls.peer else { return };
        let chain = [&peer.leaf].into_iter().chain(&peer.intermediates);
        let earliest = chain
            .filter_map(|certificate| Some(certificate.content.as_ref()?.not_after))
            .min();
        let help = "Returns last SSL chain expiry in unixtime";
        self.maybe("probe_ssl_earliest_cert_expiry", help, earliest.map(|seconds| seconds as f64));
        if prober != Prober::Grpc {
            let verify = target.settings.probe_kind.tls().map(|tls| tls.settings.verify);
            let help = "Returns last SSL chain expiry in timestamp";
            self.maybe("probe_ssl_last_chain_expiry_timestamp_seconds", help, chain_expiry(peer, verify));
        }
        if let Some(content) = &peer.leaf.content {
            let names = content.names.iter().filter(|name| name.parse::<IpAddr>().is_err());
            let names = names.map(String::as_str).collect::<Vec<_>>().join(",");
            let fingerprint = peer.leaf.fingerprint.to_string();
            // Whole bytes.
            let serial = format!("{}{}", if content.serial.len() % 2 == 1 { "0" } else { "" }, content.serial);
            let labels = [
                ("fingerprint_sha256", &*fingerprint),
                ("issuer", &content.issuer),
                ("serialnumber", &serial),
                ("subject", &content.subject),
                ("subjectalternative", &names),
            ];
            self.info("probe_ssl_last_chain_info", "Contains SSL leaf certificate information", &labels);
        }
    }

    fn failed_due_to_regex(&mut self, is_failed: bool) {
        let value = f64::from(u8::from(is_failed));
        self.one("probe_failed_due_to_regex", "Indicates if probe failed due to regex", value);
    }

    fn one(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.0
            .push(Metric { name, help, series: vec![Series { labels: Vec::new(), value }] });
    }

    fn maybe(&mut self, name: &'static str, help: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.one(name, help, value);
        }
    }

    /// Adds a series with the value 1.
    fn info(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(owned).collect();
        self.0.push(Metric { name, help, series: vec![Series { labels, value: 1.0 }] });
    }

    /// Adds a series for each value of a label.
    fn by_label(&mut self, name: &'static str, help: &'static str, label: &str, values: &[(&str, f64)]) {
        let series = |(text, value): &(&str, f64)| Series {
            labels: vec![(label.to_owned(), (*text).to_owned())],
            value: *value,
        };
        self.0.push(Metric { name, help, series: values.iter().map(series).collect() });
    }
}

/// Returns the earliest expiry on the verified path. If the probe goes on without one, it is the zero time of Go, as in
/// blackbox_exporter; if the probe fails because of the certificate, there is none.
fn chain_expiry(peer: &PeerCertificates, verify: Option<Verify>) -> Option<f64> {
    match verify {
        _ if peer.faults.is_empty() => peer.chain_not_after.map(|seconds| seconds as f64),
        Some(Verify::Report) => Some(ZERO_TIME),
        Some(Verify::Strict) | None => None,
    }
}

/// Returns whether the steps of a dialogue expect bytes, but no pattern.
fn expects_only_bytes(target: &Target) -> bool {
    let upgrade = target.settings.probe_kind.tls().map(|tls| &tls.upgrade);
    let applications = upgrade.into_iter().chain(target.settings.probe_kind.application());
    let mut steps = applications.flat_map(|application| match application {
        Application::Dialogue(dialogue) => &*dialogue.0,
        Application::Http(_) | Application::Service(_) => &[],
    });
    let expects_bytes = steps.clone().any(|step| matches!(step, Step::ExpectBytes(_)));
    expects_bytes && !steps.any(|step| matches!(step, Step::Expect(_)))
}

fn seconds(outcome: &Outcome, phase: Phase) -> f64 {
    outcome.timings.of(phase).unwrap_or_default().as_secs_f64()
}

fn is_class(outcome: &Outcome, wanted: Class) -> bool {
    let failure = match &outcome.result {
        Err(Fault::Failure(failure)) => failure,
        Err(Fault::LocalFault(_)) | Ok(()) => return false,
    };
    failure.class == wanted && matches!(failure.phase, Phase::Starttls | Phase::Protocol)
}

/// Returns the 32-bit FNV-1a hash of an address.
fn address_hash(address: IpAddr) -> u32 {
    let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    match address {
        IpAddr::V4(v4) => v4.octets().iter().fold(FNV_OFFSET, hash),
        IpAddr::V6(v6) => v6.octets().iter().fold(FNV_OFFSET, hash),
    }
}

const FNV_OFFSET: u32 = 0x811c_9dc5;

/// The status of a call that was not answered.
const UNAVAILABLE: f64 = 14.0;

/// The year 1.
const ZERO_TIME: f64 = -62_135_596_800.0;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Attempt, Facts, Timings, example_facts};
    use crate::target::{
        Dialogue, HttpSettings, LabelName, Pattern, ProbeKind, Service, Settings, TlsExchange, TlsSettings, example,
    };

    fn target(probe_kind: ProbeKind) -> Target {
        example("tcp://192.0.2.1:1", Settings { probe_kind, ..Settings::default() })
    }

    fn http() -> Application {
        Application::Http(Arc::default())
    }

    fn grpc() -> Application {
        let service: &'static Service = crate::protocol::ALL
            .iter()
            .map(|protocol| protocol.service())
            .find(|service| service.name == "grpc")
            .unwrap();
        Application::Service(service)
    }

    fn tls(application: Application, verify: Verify) -> ProbeKind {
        let settings = TlsSettings { verify, ..TlsSettings::default() };
        ProbeKind::of_tls(TlsExchange { settings, application, ..TlsExchange::default() })
    }

    fn outcome(result: Result<(), Fault>, facts: Facts) -> Outcome {
        let timings = Timings::default()
            .with(Phase::Resolve, Duration::from_millis(1))
            .with(Phase::Connect, Duration::from_millis(2));
        let attempt = Attempt {
            address: [192, 0, 2, 1].into(),
            result: result.clone(),
            duration: Duration::from_millis(3),
            timings,
            syn_retransmits: 0,
            facts: facts.clone(),
            transcript: None,
        };
        Outcome {
            result,
            duration: Duration::from_millis(4),
            timings,
            resolution: None,
            attempts: vec![attempt],
            facts,
            client_certificate_not_after: None,
        }
    }

    fn failed(phase: Phase, class: Class) -> Result<(), Fault> {
        Err(Fault::failure(phase, class, "x"))
    }

    /// Returns the samples of a probe, without help and type.
    fn samples(probe_kind: ProbeKind, result: Result<(), Fault>, facts: Facts) -> Vec<String> {
        let metrics = metrics(&target(probe_kind), &outcome(result, facts));
        let text = Exposition { metrics: &metrics, syntax: Syntax::Prometheus }.to_string();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_refusal_has_the_metrics_of_tcp() {
        let samples = samples(ProbeKind::default(), failed(Phase::Connect, Class::Refused), Facts::default());
        let expected = [
            "probe_dns_lookup_time_seconds 0.001",
            "probe_duration_seconds 0.004",
            "probe_failed_due_to_bytes 0",
            "probe_failed_due_to_regex 0",
            "probe_failure_info{class=\"refused\",phase=\"connect\"} 1",
            "probe_ip_addr_hash 1969986452",
            "probe_ip_protocol 4",
            "probe_success 0",
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn a_response_has_the_metrics_of_http() {
        let response = HttpResponse {
            status: 500,
            version: 1.1,
            content_length: None,
            last_modified: Some(1_445_412_480),
            is_expected_status: false,
        };
        let facts = Facts { response: Some(Arc::new(Response::Http(response))), ..Facts::default() };
        let result = failed(Phase::Protocol, Class::UnexpectedResponse);
        let found = samples(tls(http(), Verify::Strict), result, facts);
        for expected in [
            "probe_failed_due_to_regex 0",
            "probe_http_content_length -1",
            "probe_http_duration_seconds{phase=\"connect\"} 0.002",
            "probe_http_duration_seconds{phase=\"tls\"} 0",
            "probe_http_last_modified_timestamp_seconds 1445412480",
            "probe_http_redirects 0",
            "probe_http_ssl 1",
            "probe_http_status_code 500",
            "probe_http_version 1.1",
        ] {
            assert!(found.iter().any(|sample| sample == expected), "{expected}: {found:?}");
        }
        assert!(!found.iter().any(|sample| sample.starts_with("probe_http_uncompressed")), "it is not known");
        let without = samples(ProbeKind::Plain(http()), failed(Phase::Connect, Class::Timeout), Facts::default());
        for expected in ["probe_http_status_code 0", "probe_http_ssl 0", "probe_http_uncompressed_body_length 0"] {
            assert!(without.iter().any(|sample| sample == expected), "{expected}: {without:?}");
        }
    }

    #[test]
    fn only_a_pattern_fails_due_to_regex() {
        let regex = |probe_kind, result, facts| {
            samples(probe_kind, result, facts).contains(&"probe_failed_due_to_regex 1".to_owned())
        };
        let dialogue = || ProbeKind::Plain(Application::Dialogue(Dialogue::default()));
        for (class, expected) in [
            (Class::UnexpectedResponse, true),
            (Class::Disconnected, true),
            (Class::Stalled, false),
            (Class::Reset, false),
        ] {
            assert_eq!(regex(dialogue(), failed(Phase::Protocol, class), Facts::default()), expected, "{class:?}");
        }
        let bytes = Application::Dialogue(Dialogue([Step::ExpectBytes(b"x"[..].into())].into()));
        let found =
            samples(ProbeKind::Plain(bytes), failed(Phase::Protocol, Class::UnexpectedResponse), Facts::default());
        assert!(found.contains(&"probe_failed_due_to_bytes 1".to_owned()), "{found:?}");
        assert!(found.contains(&"probe_failed_due_to_regex 0".to_owned()), "{found:?}");
        let pattern = HttpSettings { body: Some(Pattern::try_new("x").unwrap()), ..HttpSettings::default() };
        for (settings, is_expected_status, expected) in
            [(pattern.clone(), true, true), (pattern, false, false), (HttpSettings::default(), true, false)]
        {
            let response = HttpResponse {
                status: 200,
                version: 1.1,
                content_length: None,
                last_modified: None,
                is_expected_status,
            };
            let facts = Facts { response: Some(Arc::new(Response::Http(response))), ..Facts::default() };
            let kind = ProbeKind::Plain(Application::Http(Arc::new(settings)));
            assert_eq!(regex(kind, failed(Phase::Protocol, Class::UnexpectedResponse), facts), expected);
        }
    }

    #[test]
    fn a_health_check_has_the_metrics_of_grpc() {
        for (response, status, serving) in [
            (Some(GrpcResponse { status: 0, serving: Some(1) }), 0, Some("SERVING")),
            (Some(GrpcResponse { status: 0, serving: Some(2) }), 0, Some("NOT_SERVING")),
            (Some(GrpcResponse { status: 12, serving: None }), 12, None),
            (None, 14, None),
        ] {
            let facts =
                Facts { response: response.map(|response| Arc::new(Response::Grpc(response))), ..Facts::default() };
            let found = samples(ProbeKind::Plain(grpc()), Ok(()), facts);
            assert!(found.contains(&format!("probe_grpc_status_code {status}")), "{found:?}");
            let states: Vec<_> = found
                .iter()
                .filter(|sample| sample.starts_with("probe_grpc_healthcheck"))
                .collect();
            assert_eq!(states.len(), 4);
            let set: Vec<_> = states.iter().filter(|sample| sample.ends_with(" 1")).collect();
            assert_eq!(set.len(), usize::from(serving.is_some()));
            assert!(set.iter().all(|sample| sample.contains(&format!("\"{}\"", serving.unwrap()))));
        }
    }

    #[test]
    fn a_failed_handshake_shows_its_certificate() {
        let shown = |verify, faults: &[Class]| {
            let facts = Facts { tls: Some(example_facts(1, faults)), ..Facts::default() };
            let text = samples(tls(Application::default(), verify), Ok(()), facts);
            text.into_iter()
                .filter(|sample| sample.starts_with("probe_ssl"))
                .collect::<Vec<_>>()
        };
        let earliest = "probe_ssl_earliest_cert_expiry 1800000000";
        let info = format!(
            "probe_ssl_last_chain_info{{fingerprint_sha256=\"{}\",issuer=\"CN=Test CA\",serialnumber=\"a1b2\",\
             subject=\"CN=shop.example\",subjectalternative=\"shop.example,www.shop.example\"}} 1",
            "01".repeat(32)
        );
        let chain = |seconds: i64| format!("probe_ssl_last_chain_expiry_timestamp_seconds {seconds}");
        let expired = [Class::CertExpired];
        assert_eq!(shown(Verify::Strict, &[]), [earliest.to_owned(), chain(1_790_000_000), info.clone()]);
        assert_eq!(shown(Verify::Report, &expired), [earliest.to_owned(), chain(-62_135_596_800), info.clone()]);
        assert_eq!(shown(Verify::Strict, &expired), [earliest.to_owned(), info]);
    }

    #[test]
    fn only_http_shows_the_cipher() {
        for (application, expected) in [(http(), true), (grpc(), false), (Application::default(), false)] {
            let facts = Facts { tls: Some(example_facts(1, &[])), ..Facts::default() };
            let found = samples(tls(application, Verify::Strict), Ok(()), facts);
            assert!(found.contains(&"probe_tls_version_info{version=\"TLS 1.3\"} 1".to_owned()), "{found:?}");
            let cipher = "probe_tls_cipher_info{cipher=\"TLS_AES_256_GCM_SHA384\"} 1".to_owned();
            assert_eq!(found.contains(&cipher), expected);
        }
    }

    #[test]
    fn labels_of_a_dialogue_are_escaped() {
        let name = LabelName::try_new("banner").unwrap();
        let facts = Facts { dialogue: Some([(name, "a\"b\\c\nd".to_owned())].into()), ..Facts::default() };
        let found = samples(ProbeKind::Plain(Application::default()), Ok(()), facts);
        assert!(found.contains(&r#"probe_expect_info{banner="a\"b\\cd"} 1"#.to_owned()), "{found:?}");
    }

    #[test]
    fn openmetrics_ends_with_its_mark() {
        let metrics = metrics(&target(ProbeKind::default()), &outcome(Ok(()), Facts::default()));
        let text = Exposition { metrics: &metrics, syntax: Syntax::Prometheus }.to_string();
        assert!(text.starts_with("# HELP probe_dns_lookup_time_seconds ") && text.ends_with("\nprobe_success 1\n"));
        let openmetrics = Exposition { metrics: &metrics, syntax: Syntax::OpenMetrics }.to_string();
        assert_eq!(openmetrics, format!("{text}# EOF\n"));
    }

    #[test]
    fn addresses_have_the_hash_of_the_exporter() {
        // As of 127.0.0.1 in version 0.28.
        assert_eq!(address_hash([127, 0, 0, 1].into()), 3_668_918_509);
    }
}
