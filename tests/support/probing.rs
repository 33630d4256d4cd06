//! A probe of a URL by the code of the daemon.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portprobe::options::ResolverOptions;
use portprobe::outcome::{Class, Fault, LocalFaultReason, Outcome, Phase, Prober};
use portprobe::probe::{NetworkProber, SystemFiles};
use portprobe::protocol::SCHEMES;
use portprobe::target::{Expect, Labels, ProbeKind, Scheme, Settings, Target, TargetName, TargetUrl};
use tokio::time::Instant;

/// A target with default settings and a timeout of five seconds, to be changed and then probed.
pub(crate) fn target(url: impl AsRef<str>) -> Probing {
    Probing {
        url: url.as_ref().to_owned(),
        settings: Settings::default(),
        timeout: Duration::from_secs(5),
        resolver_options: ResolverOptions::default(),
        files: SystemFiles::default(),
    }
}

/// A probe to be made.
#[derive(Clone, Debug)]
pub(crate) struct Probing {
    url: String,
    settings: Settings,
    timeout: Duration,
    resolver_options: ResolverOptions,
    files: SystemFiles,
}

impl Probing {
    /// Changes the settings of the target.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn expect(self, expect: Expect) -> Self {
        self.with(|settings| settings.probe_kind = ProbeKind::Tcp { expect })
    }

    pub(crate) fn name_server(self, server: SocketAddr) -> Self {
        self.with(|settings| settings.addressing.dns_servers.push(server))
    }

    pub(crate) fn source(self, address: &str) -> Self {
        self.with(|settings| settings.source_address = Some(address.parse().unwrap()))
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn resolver_options(mut self, resolver_options: ResolverOptions) -> Self {
        self.resolver_options = resolver_options;
        self
    }

    pub(crate) fn files(mut self, files: SystemFiles) -> Self {
        self.files = files;
        self
    }

    /// Makes the probe.
    pub(crate) async fn probe(self) -> Outcome {
        let url = TargetUrl::parse(&self.url, Scheme::default(), SCHEMES).unwrap();
        let endpoint = url.endpoints().next().unwrap();
        let target = Arc::new(Target {
            name: TargetName::try_new(&endpoint.to_string()).unwrap(),
            endpoint,
            labels: Arc::new(Labels::default()),
            group: None,
            settings: Arc::new(self.settings),
        });
        let prober =
            NetworkProber::with_system_files(self.resolver_options, Arc::default(), Arc::default(), self.files);
        let started = Instant::now();
        let outcome = prober.probe(&target, started + self.timeout).await;
        assert!(outcome.duration <= started.elapsed(), "{outcome:?}");
        outcome
    }
}

/// Asserts that a probe succeeded.
#[track_caller]
pub(crate) fn assert_good(outcome: &Outcome) {
    assert!(outcome.result.is_ok(), "{outcome:?}");
}

/// Asserts that a probe failed in this phase with this class, and returns the detail.
#[track_caller]
pub(crate) fn assert_failed(outcome: &Outcome, phase: Phase, class: Class) -> &str {
    match &outcome.result {
        Err(Fault::Failure(failure)) if (failure.phase, failure.class) == (phase, class) => {
            assert_eq!(outcome.timings.of(phase), None, "a failed phase has no duration");
            &failure.detail
        }
        _ => panic!("expected {} in {}: {outcome:?}", class.as_str(), phase.as_str()),
    }
}

/// Asserts a local fault with this reason, and returns the detail.
#[track_caller]
pub(crate) fn assert_local_fault(outcome: &Outcome, reason: LocalFaultReason) -> &str {
    match &outcome.result {
        Err(Fault::LocalFault(fault)) if fault.reason == reason => &fault.detail,
        _ => panic!("expected {}: {outcome:?}", reason.as_str()),
    }
}
