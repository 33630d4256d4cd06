//! One target's row: everything that its reports have come to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::confirm::{Confirmation, State};
use super::history::{History, Recent};
use super::location::{AddressResult, Location};
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

/// What is known of one target.
#[derive(Debug)]
pub struct Row {
    target: Arc<Target>,
    confirmation: Confirmation,
    since: Since,
    probes: u64,
    syn_retransmits: u64,
    last: Option<LastProbe>,
    slow: Option<bool>,
    /// Where a probe has failed.
    trouble: Option<Box<Trouble>>,
    /// Where a name was resolved, or each address counts.
    location: Option<Box<Location>>,
    /// Where the exchange has TLS.
    tls: Option<Box<TlsRecord>>,
    /// Where the service, or a dialogue with it, told something.
    told: Option<Box<Told>>,
    histograms: Box<[(Phase, Histogram)]>,
    options: Arc<HistogramOptions>,
    history: History,
}

/// The last probe that was one; local faults are none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastProbe {
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether it was good.
    pub good: bool,
    /// Time from the start to the result.
    pub duration: Duration,
    /// The phases that it completed.
    pub timings: Timings,
}

/// What failed probes have come to. Most targets have none, so that none of it takes memory in each row.
#[derive(Debug, Default)]
struct Trouble {
    /// Time confirmed down in outages that are over.
    down_before: Duration,
    failed_probes: u64,
    outages: u64,
    failures: Vec<((Phase, Class), u64)>,
    failure: Option<Failure>,
}

/// What the peer told of itself on the connection.
#[derive(Debug, Default)]
struct Told {
    dialogue: Option<Arc<[(LabelName, String)]>>,
    service: Option<Arc<ServiceFacts>>,
}

/// When a state began, on both clocks.
#[derive(Clone, Copy, Debug)]
struct Since {
    instant: Instant,
    at: Timestamp,
}

impl Row {
    /// The row of a target that was never probed.
    pub(super) fn new(target: Arc<Target>, options: Arc<HistogramOptions>) -> Self {
        Self {
            histograms: histograms(&target, &options, Box::default()),
            options,
            tls: target.settings.probe_kind.tls().map(|_| Box::default()),
            told: None,
            target,
            confirmation: Confirmation::default(),
            since: Since { instant: Instant::now(), at: clock::now() },
            probes: 0,
            syn_retransmits: 0,
            last: None,
            slow: None,
            trouble: None,
            location: None,
            history: History::default(),
        }
    }

    /// Takes `target` as the new one if it is the same endpoint; false if it is another.
    ///
    /// What its settings do not ask for any more is forgotten: TLS, the labels of another dialogue, the times of phases
    /// that there are no longer.
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
            if let Some(told) = self.told.as_mut().filter(|_| !dialogues(before).eq(dialogues(probe_kind))) {
                told.dialogue = None;
            }
        }
        if before != probe_kind || self.options != *options {
            // Counts of other buckets cannot be carried over.
            let kept = std::mem::take(&mut self.histograms);
            let kept = if self.options == *options { kept } else { Box::default() };
            self.histograms = histograms(target, options, kept);
            self.options = options.clone();
        }
        if self.target.settings.slow_after != target.settings.slow_after {
            let good = self.last.filter(|last| last.good);
            self.slow = target.settings.slow_after.zip(good).map(|(limit, last)| last.duration >= limit);
        }
        self.target = target.clone();
        true
    }

    /// Takes a report that is no local fault.
    pub(super) fn record(&mut self, report: &Report) -> Recorded {
        let outcome = &report.outcome;
        let good = outcome.result.is_ok();
        self.count(outcome);
        self.note_facts(outcome);
        self.last =
            Some(LastProbe { ended_at: report.ended_at, good, duration: outcome.duration, timings: outcome.timings });
        let changed = self.confirmation.observe(good, &self.target.settings.confirm);
        if let Some(trouble) = self.trouble.as_mut().filter(|_| good && self.confirmation.state() != State::Down) {
            trouble.failure = None;
        }
        let transition = changed.map(|from| self.change_state(from, report));
        Recorded { next: self.next(good), transition }
    }

    /// The target.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The confirmed state.
    pub fn state(&self) -> State {
        self.confirmation.state()
    }

    /// When the confirmed state began; none while the target is unknown.
    pub fn state_since(&self) -> Option<Timestamp> {
        (self.state() != State::Unknown).then_some(self.since.at)
    }

    /// Finished probes.
    pub fn probes(&self) -> u64 {
        self.probes
    }

    /// Finished probes that failed.
    pub fn failed_probes(&self) -> u64 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.failed_probes)
    }

    /// Changes from up to down.
    pub fn outages(&self) -> u64 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.outages)
    }

    /// Time confirmed down, the present outage included up to `now`.
    pub fn down_time(&self, now: Instant) -> Duration {
        let present = if self.state() == State::Down { between(self.since.instant, now) } else { Duration::ZERO };
        self.trouble.as_ref().map_or(Duration::ZERO, |trouble| trouble.down_before) + present
    }

    /// SYNs sent again in connects that were answered in the end.
    pub fn syn_retransmits(&self) -> u64 {
        self.syn_retransmits
    }

    /// Failed probes by reason, in the order of their first occurrence.
    pub fn failures(&self) -> impl Iterator<Item = (Phase, Class, u64)> + '_ {
        let failures = self.trouble.iter().flat_map(|trouble| &trouble.failures);
        failures.map(|&((phase, class), count)| (phase, class, count))
    }

    /// The last failure, while the last probe failed or the target is down.
    pub fn failure(&self) -> Option<&Failure> {
        self.trouble.as_ref()?.failure.as_ref()
    }

    /// The last probe.
    pub fn last(&self) -> Option<&LastProbe> {
        self.last.as_ref()
    }

    /// Whether the last good probe was slow; none without `slow_after` or a good probe.
    pub fn slow(&self) -> Option<bool> {
        self.slow
    }

    /// How many addresses the name had when it was last resolved.
    pub fn resolved_addresses(&self) -> Option<u32> {
        self.location.as_ref()?.resolved_addresses
    }

    /// The address last used, where the host is a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.location.as_ref()?.address.filter(|_| matches!(self.target.endpoint.host, Host::Name(_)))
    }

    /// Each address of the last resolution, with `addresses: all`.
    pub fn addresses(&self) -> &[AddressResult] {
        let location = self.location.as_ref().filter(|_| self.target.settings.addressing.mode == AddressMode::All);
        location.map(|location| &*location.addresses).unwrap_or_default()
    }

    /// The last TLS session.
    pub fn session(&self) -> Option<&Session> {
        self.tls.as_ref()?.session()
    }

    /// The peer's certificates as last seen, judged as they were then.
    pub fn peer_certificates(&self) -> Option<&Arc<PeerCertificates>> {
        self.tls.as_ref()?.peer()
    }

    /// How often a leaf came that was not among the last eight; none where the exchange has no TLS.
    pub fn certificate_changes(&self) -> Option<u64> {
        self.tls.as_ref().map(|tls| tls.changes())
    }

    /// The last second in which the own client certificate is valid, since 1970.
    pub fn client_certificate_not_after(&self) -> Option<i64> {
        self.tls.as_ref()?.client_not_after()
    }

    /// What the service last said of itself.
    pub fn service(&self) -> Option<&ServiceFacts> {
        self.told.as_ref()?.service.as_deref()
    }

    /// The labels that the dialogue last gave.
    pub fn dialogue(&self) -> &[(LabelName, String)] {
        self.told.as_ref().and_then(|told| told.dialogue.as_deref()).unwrap_or_default()
    }

    /// The bounds of the histograms' classic buckets.
    pub fn buckets(&self) -> &Buckets {
        &self.options.buckets
    }

    /// The histograms of this target's phases.
    pub fn histograms(&self) -> impl Iterator<Item = (Phase, &Histogram)> + '_ {
        self.histograms.iter().map(|(phase, histogram)| (*phase, histogram))
    }

    /// The last outcomes.
    pub fn history(&self) -> &History {
        &self.history
    }

    fn count(&mut self, outcome: &Outcome) {
        self.probes += 1;
        self.syn_retransmits += outcome.attempts.iter().map(|attempt| u64::from(attempt.syn_retransmits)).sum::<u64>();
        let failure = match &outcome.result {
            Err(Fault::Failure(failure)) => Some(failure),
            Ok(()) | Err(Fault::LocalFault(_)) => None,
        };
        self.history.push(Recent { failure: failure.map(|failure| failure.class), duration: outcome.duration });
        let Some(failure) = failure else { return };
        let trouble = self.trouble.get_or_insert_default();
        trouble.failed_probes += 1;
        let reason = (failure.phase, failure.class);
        match trouble.failures.iter_mut().find(|(seen, _)| *seen == reason) {
            Some((_, count)) => *count += 1,
            None => trouble.failures.push((reason, 1)),
        }
        trouble.failure = Some(failure.clone());
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
            self.told.get_or_insert_default().note(&outcome.facts);
        }
        for (phase, histogram) in &mut self.histograms {
            let of_attempts = outcome.attempts.iter().filter_map(|attempt| attempt.timings.of(*phase));
            let before_attempts = outcome.timings.of(*phase).filter(|_| *phase == Phase::Resolve);
            of_attempts.chain(before_attempts).for_each(|duration| histogram.observe(&self.options.buckets, duration));
        }
    }

    /// Moves the books from the state before to the present one.
    fn change_state(&mut self, from: State, report: &Report) -> Transition {
        let lasted = between(self.since.instant, report.ended);
        if let Some(trouble) = &mut self.trouble {
            match from {
                State::Down => trouble.down_before += lasted,
                State::Up => trouble.outages += 1,
                State::Unknown => {}
            }
        }
        self.since = Since { instant: report.ended, at: report.ended_at };
        let failure = self.failure().cloned();
        Transition { target: self.target.clone(), from, to: self.state(), at: report.ended_at, lasted, failure }
    }

    /// A failure is repeated soon until it is confirmed; everything else waits for its next due time.
    fn next(&self, good: bool) -> Next {
        let delay = self.target.settings.confirm.delay;
        if good || self.state() == State::Down || delay.is_zero() {
            return Next::OnSchedule;
        }
        Next::Retry(delay.min(self.target.settings.cadence.interval()))
    }
}

impl Told {
    fn note(&mut self, facts: &Facts) {
        if facts.service.is_some() && self.service != facts.service {
            self.service.clone_from(&facts.service);
        }
        if facts.dialogue.is_some() && self.dialogue != facts.dialogue {
            self.dialogue.clone_from(&facts.dialogue);
        }
    }
}

/// The configured steps of an exchange, before TLS and after.
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
