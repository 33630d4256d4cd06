//! The state of one target, derived from all its reports.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::confirm::{Confirmation, State};
use super::history::{History, Recent};
use super::ledger::Ledger;
use super::location::{AddressResult, Location};
use super::memory::{Remembered, RememberedState, TargetRecord};
use super::phases::histograms;
use super::tls::TlsRecord;
use super::{Recorded, Transition, between};
use crate::clock::{self, Timestamp};
use crate::histogram::{Buckets, Histogram};
use crate::options::HistogramOptions;
use crate::outcome::{
    Class, Facts, Failure, Fault, Next, Outcome, PeerCertificates, Phase, Report, ServiceFacts, Session, Timings,
};
use crate::target::{AddressMode, Application, Dialogue, Host, LabelName, ProbeKind, Target};

/// The state of one target.
#[derive(Debug)]
pub struct Row {
    target: Arc<Target>,
    confirmation: Confirmation,
    since: Since,
    probes: u64,
    syn_retransmits: u64,
    last: Option<LastProbe>,
    slow: Option<bool>,
    /// `Some` after a failed probe.
    failures: Option<Box<FailureStats>>,
    /// `Some` if a name was resolved or all addresses are probed.
    location: Option<Box<Location>>,
    /// `Some` if the target has TLS.
    tls: Option<Box<TlsRecord>>,
    /// `Some` once facts of a service or a dialogue are known.
    facts: Option<Box<LastFacts>>,
    histograms: Box<[(Phase, Histogram)]>,
    options: Arc<HistogramOptions>,
    history: History,
    ledger: Ledger,
}

/// The last probe without a local fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastProbe {
    /// Its end.
    pub ended_at: Timestamp,
    /// Whether it succeeded.
    pub success: bool,
    /// Time from the start to the result.
    pub duration: Duration,
    /// The completed phases.
    pub timings: Timings,
}

/// Statistics of failed probes. They are boxed, because most targets have none.
#[derive(Debug, Default)]
struct FailureStats {
    /// Time confirmed down in past outages.
    down_before: Duration,
    failed_probes: u64,
    outages: u64,
    by_reason: Vec<((Phase, Class), u64)>,
    last: Option<Failure>,
}

/// The last facts of the service.
#[derive(Debug, Default)]
struct LastFacts {
    dialogue: Option<Arc<[(LabelName, String)]>>,
    service: Option<Arc<ServiceFacts>>,
}

/// The start of a state on both clocks.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// In this process.
    instant: Instant,
    /// The time in this state before that, from the memory of an earlier process.
    before: Duration,
    at: Timestamp,
}

impl Row {
    /// Creates the row of a target that has not been probed yet.
    pub(super) fn new(target: Arc<Target>, options: Arc<HistogramOptions>) -> Self {
        let now = Instant::now();
        Self {
            histograms: histograms(&target, &options, Box::default()),
            options,
            tls: target.settings.probe_kind.tls().map(|_| Box::default()),
            facts: None,
            target,
            confirmation: Confirmation::default(),
            since: Since { instant: now, before: Duration::ZERO, at: clock::now() },
            probes: 0,
            syn_retransmits: 0,
            last: None,
            slow: None,
            failures: None,
            location: None,
            history: History::default(),
            ledger: Ledger::new(now),
        }
    }

    /// Continues a new row from the memory of its target. Counters begin at zero nevertheless.
    pub(super) fn restore(&mut self, remembered: Remembered, now: Timestamp) {
        let Remembered { state, recent, certificates } = remembered;
        for recent in recent {
            self.history.push(recent);
        }
        if let (Some(tls), Some(certificates)) = (&mut self.tls, certificates) {
            tls.restore(certificates);
        }
        let Some(RememberedState { state, since, failure }) = state else { return };
        self.confirmation = Confirmation::of(state);
        // A clock that was set back must not put the start of a state into the future.
        self.since.at = since.min(now);
        self.since.before = now.as_duration().saturating_sub(since.as_duration());
        if failure.is_some() && state == State::Down {
            self.failures.get_or_insert_default().last = failure;
        }
    }

    /// Replaces the target if the endpoint is the same; otherwise returns false.
    ///
    /// State that does not apply to the new settings is dropped: TLS, labels of another dialogue, histograms of phases.
    pub(super) fn keep_for(&mut self, target: &Arc<Target>, options: &Arc<HistogramOptions>) -> bool {
        if self.target.endpoint != target.endpoint {
            return false;
        }
        let (before, probe_kind) = (&self.target.settings.probe_kind, &target.settings.probe_kind);
        if before != probe_kind {
            self.tls = probe_kind.tls().map(|tls| {
                let mut record = self.tls.take().unwrap_or_default();
                record.keep_for(tls);
                record
            });
            if let Some(facts) = self.facts.as_mut().filter(|_| !dialogues(before).eq(dialogues(probe_kind))) {
                facts.dialogue = None;
            }
        }
        if before != probe_kind || self.options != *options {
            // Counts cannot be converted to other buckets.
            let kept = std::mem::take(&mut self.histograms);
            let kept = if self.options == *options { kept } else { Box::default() };
            self.histograms = histograms(target, options, kept);
            self.options = options.clone();
        }
        if self.target.settings.slow_after != target.settings.slow_after {
            let success = self.last.filter(|last| last.success);
            self.slow = target
                .settings
                .slow_after
                .zip(success)
                .map(|(limit, last)| last.duration >= limit);
        }
        self.target = target.clone();
        true
    }

    /// Returns a record for the store, and moves the figures out.
    pub(super) fn take_record(&mut self, now: Instant, at: Timestamp) -> TargetRecord {
        self.ledger.account(self.state(), now, at);
        TargetRecord {
            target: self.target.clone(),
            state: self.state(),
            since: self.state_since(),
            failure: self.failure().cloned(),
            last_probe: self.last.map(|last| last.ended_at),
            recent: self.history.iter().collect(),
            certificates: self.peer_certificates().cloned(),
            days: self.ledger.take(),
        }
    }

    /// Applies a report without a local fault.
    pub(super) fn record(&mut self, report: &Report) -> Recorded {
        let outcome = &report.outcome;
        let success = outcome.result.is_ok();
        self.ledger.account(self.state(), report.ended, report.ended_at);
        self.ledger.count(success, report.ended_at);
        self.count(outcome);
        self.note_facts(outcome);
        self.last = Some(LastProbe {
            ended_at: report.ended_at,
            success,
            duration: outcome.duration,
            timings: outcome.timings,
        });
        let changed = self.confirmation.observe(&outcome.result, &self.target.settings.confirm);
        if let Some(failures) = self
            .failures
            .as_mut()
            .filter(|_| success && self.confirmation.state() != State::Down)
        {
            failures.last = None;
        }
        let transition = changed.map(|from| self.change_state(from, report));
        Recorded { next: self.next(&outcome.result), transition }
    }

    /// Returns the target.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Returns the confirmed state.
    pub fn state(&self) -> State {
        self.confirmation.state()
    }

    /// Returns the start of the confirmed state; `None` while it is unknown.
    pub fn state_since(&self) -> Option<Timestamp> {
        (self.state() != State::Unknown).then_some(self.since.at)
    }

    /// Returns the number of finished probes.
    pub fn probes(&self) -> u64 {
        self.probes
    }

    /// Returns the number of failed probes.
    pub fn failed_probes(&self) -> u64 {
        self.failures.as_ref().map_or(0, |failures| failures.failed_probes)
    }

    /// Returns the number of confirmed changes from up to down.
    pub fn outages(&self) -> u64 {
        self.failures.as_ref().map_or(0, |failures| failures.outages)
    }

    /// Returns the total time confirmed down, including the current outage until `now`.
    pub fn down_time(&self, now: Instant) -> Duration {
        let present = if self.state() == State::Down { between(self.since.instant, now) } else { Duration::ZERO };
        self.failures.as_ref().map_or(Duration::ZERO, |failures| failures.down_before) + present
    }

    /// Returns the number of SYNs retransmitted in connects that were eventually answered.
    pub fn syn_retransmits(&self) -> u64 {
        self.syn_retransmits
    }

    /// Returns failed probes by reason, in the order of their first occurrence.
    pub fn failures(&self) -> impl Iterator<Item = (Phase, Class, u64)> + '_ {
        let by_reason = self.failures.iter().flat_map(|failures| &failures.by_reason);
        by_reason.map(|&((phase, class), count)| (phase, class, count))
    }

    /// Returns the last failure; `None` if the last probe succeeded and the target is not down.
    pub fn failure(&self) -> Option<&Failure> {
        self.failures.as_ref()?.last.as_ref()
    }

    /// Returns the last probe.
    pub fn last(&self) -> Option<&LastProbe> {
        self.last.as_ref()
    }

    /// Returns whether the last successful probe was slow; `None` without `slow_after` or a success.
    pub fn slow(&self) -> Option<bool> {
        self.slow
    }

    /// Returns the number of usable addresses in the last resolution of the name.
    pub fn resolved_addresses(&self) -> Option<u32> {
        self.location.as_ref()?.resolved_addresses
    }

    /// Returns the address last used, if the host is a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.location
            .as_ref()?
            .address
            .filter(|_| matches!(self.target.endpoint.host, Host::Name(_)))
    }

    /// Returns the result of each address, with `addresses: all`.
    pub fn addresses(&self) -> &[AddressResult] {
        let location = self
            .location
            .as_ref()
            .filter(|_| self.target.settings.addressing.mode == AddressMode::All);
        location.map(|location| &*location.addresses).unwrap_or_default()
    }

    /// Returns the last TLS session.
    pub fn session(&self) -> Option<&Session> {
        self.tls.as_ref()?.session()
    }

    /// Returns the last certificates of the peer, with the result of their verification.
    pub fn peer_certificates(&self) -> Option<&Arc<PeerCertificates>> {
        self.tls.as_ref()?.peer()
    }

    /// Returns the number of changes to a leaf that was not among the last eight; `None` without TLS.
    pub fn certificate_changes(&self) -> Option<u64> {
        self.tls.as_ref().map(|tls| tls.changes())
    }

    /// Returns the last second in which the client certificate is valid, since 1970.
    pub fn client_certificate_not_after(&self) -> Option<i64> {
        self.tls.as_ref()?.client_not_after()
    }

    /// Returns the last facts of the service.
    pub fn service(&self) -> Option<&ServiceFacts> {
        self.facts.as_ref()?.service.as_deref()
    }

    /// Returns the labels that the dialogue last captured.
    pub fn dialogue(&self) -> &[(LabelName, String)] {
        self.facts
            .as_ref()
            .and_then(|facts| facts.dialogue.as_deref())
            .unwrap_or_default()
    }

    /// Returns the bounds of the histograms' classic buckets.
    pub fn buckets(&self) -> &Buckets {
        &self.options.buckets
    }

    /// Returns the histograms of the phases of this target.
    pub fn histograms(&self) -> impl Iterator<Item = (Phase, &Histogram)> + '_ {
        self.histograms.iter().map(|(phase, histogram)| (*phase, histogram))
    }

    /// Returns the last outcomes.
    pub fn history(&self) -> &History {
        &self.history
    }

    fn count(&mut self, outcome: &Outcome) {
        self.probes += 1;
        self.syn_retransmits += outcome
            .attempts
            .iter()
            .map(|attempt| u64::from(attempt.syn_retransmits))
            .sum::<u64>();
        let failure = match &outcome.result {
            Err(Fault::Failure(failure)) => Some(failure),
            Ok(()) | Err(Fault::LocalFault(_)) => None,
        };
        self.history
            .push(Recent { failure: failure.map(|failure| failure.class), duration: outcome.duration });
        let Some(failure) = failure else { return };
        let failures = self.failures.get_or_insert_default();
        failures.failed_probes += 1;
        let reason = (failure.phase, failure.class);
        match failures.by_reason.iter_mut().find(|(seen, _)| *seen == reason) {
            Some((_, count)) => *count += 1,
            None => failures.by_reason.push((reason, 1)),
        }
        failures.last = Some(failure.clone());
    }

    fn note_facts(&mut self, outcome: &Outcome) {
        let mode = self.target.settings.addressing.mode;
        if outcome.resolution.is_some() || mode == AddressMode::All || self.location.is_some() {
            self.location.get_or_insert_default().note(outcome, mode);
        }
        if let (Some(limit), true) = (self.target.settings.slow_after, outcome.result.is_ok()) {
            self.slow = Some(outcome.duration >= limit);
        }
        if let Some(tls) = &mut self.tls {
            tls.note(outcome);
        }
        if outcome.facts.service.is_some() || outcome.facts.dialogue.is_some() {
            self.facts.get_or_insert_default().note(&outcome.facts);
        }
        for (phase, histogram) in &mut self.histograms {
            let of_attempts = outcome.attempts.iter().filter_map(|attempt| attempt.timings.of(*phase));
            let before_attempts = outcome.timings.of(*phase).filter(|_| *phase == Phase::Resolve);
            of_attempts
                .chain(before_attempts)
                .for_each(|duration| histogram.observe(&self.options.buckets, duration));
        }
    }

    /// Updates the statistics after a change of the confirmed state.
    fn change_state(&mut self, from: State, report: &Report) -> Transition {
        let in_this_process = between(self.since.instant, report.ended);
        let lasted = in_this_process + self.since.before;
        if let Some(failures) = &mut self.failures {
            match from {
                State::Down => failures.down_before += in_this_process,
                State::Up => failures.outages += 1,
                State::Unknown => {}
            }
        }
        self.since = Since { instant: report.ended, before: Duration::ZERO, at: report.ended_at.whole_millis() };
        let failure = self.failure().cloned();
        Transition { target: self.target.clone(), from, to: self.state(), at: self.since.at, lasted, failure }
    }

    /// Returns a retry after an unconfirmed failure, otherwise the next due time.
    fn next(&self, result: &Result<(), Fault>) -> Next {
        let delay = self.target.settings.confirm.delay;
        if result.is_ok() || self.state() == State::Down || delay.is_zero() {
            return Next::OnSchedule;
        }
        Next::Retry(delay.min(self.target.settings.cadence.interval()))
    }
}

impl LastFacts {
    fn note(&mut self, facts: &Facts) {
        if facts.service.is_some() && self.service != facts.service {
            self.service.clone_from(&facts.service);
        }
        if facts.dialogue.is_some() && self.dialogue != facts.dialogue {
            self.dialogue.clone_from(&facts.dialogue);
        }
    }
}

/// Returns the dialogues of a kind of probe, before and within TLS.
fn dialogues(probe_kind: &ProbeKind) -> impl Iterator<Item = &Dialogue> {
    let (first, second) = match probe_kind {
        ProbeKind::Plain(application) => (Some(application), None),
        ProbeKind::Tcp { .. } => (None, None),
        ProbeKind::Tls(tls) => (Some(&tls.upgrade), Some(&tls.application)),
    };
    first.into_iter().chain(second).filter_map(|application| match application {
        Application::Dialogue(dialogue) => Some(dialogue),
        Application::Http(_) | Application::Service(_) => None,
    })
}
