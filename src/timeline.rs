//! An outcome as text: each phase with its duration, the facts about the peer, the result and advice; and as JSON.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

pub(crate) use self::advice::{Advice, on_failure};
use self::certificates::Chain;
pub(crate) use self::json::Document;
pub(crate) use self::styles::Styles;
use self::styles::milliseconds;
use self::transcript::TranscriptView;
pub(crate) use self::validity::Validity;
use crate::clock::Timestamp;
use crate::duration;
use crate::outcome::{Attempt, Failure, Fault, Outcome, Phase, Session};
use crate::peer_text::escaped;
use crate::target::{AddressMode, Target, Verify};

mod advice;
mod certificates;
mod json;
mod styles;
mod transcript;
mod validity;

/// An outcome that displays itself as lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline<'a> {
    pub(crate) target: &'a Target,
    pub(crate) outcome: &'a Outcome,
    /// The current time, from which the remaining validity of certificates is calculated.
    pub(crate) now: Timestamp,
    pub(crate) styles: Styles,
}

impl Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target;
        writeln!(f, "{}", self.styles.heading(&target.endpoint))?;
        if target.name.as_str() != target.endpoint.to_string() {
            writeln!(f, "  {:<9}{}", "name", target.name)?;
        }
        self.resolve(f)?;
        self.attempts(f)?;
        self.facts(f)?;
        self.transcripts(f)?;
        writeln!(f)?;
        self.result(f)
    }
}

impl Timeline<'_> {
    fn resolve(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.outcome.resolution.iter().flat_map(|resolution| &resolution.addresses);
        let addresses = addresses.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (&self.outcome.result, self.outcome.timings.of(Phase::Resolve)) {
            // No other phase was reached, so this one took the whole time.
            (Err(Fault::Failure(failure)), _) if failure.phase == Phase::Resolve => {
                let class = self.styles.failure(failure.class.as_str());
                let seen = if addresses.is_empty() { class } else { format!("{addresses}  {class}") };
                step(f, Phase::Resolve, self.outcome.duration, seen)
            }
            (_, Some(took)) => step(f, Phase::Resolve, took, addresses),
            (_, None) => Ok(()),
        }
    }

    fn attempts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = &self.outcome.attempts;
        let width = attempts
            .iter()
            .map(|attempt| attempt.address.to_string().len())
            .max()
            .unwrap_or_default();
        for attempt in attempts {
            let ended_in = self.ended_in(attempt);
            for phase in [Phase::Connect, Phase::Starttls, Phase::Tls, Phase::Protocol] {
                let took = match attempt.timings.of(phase) {
                    Some(took) => took,
                    // The time until the phase failed, or the port was closed as expected.
                    None if ended_in == Some(phase) || phase == Phase::Connect => remainder(attempt),
                    None => continue,
                };
                let result =
                    if ended_in == Some(phase) { self.ending(attempt, phase) } else { self.completed(attempt, phase) };
                step(
                    f,
                    phase,
                    took,
                    format_args!("{:width$}  {result}{}", attempt.address, lost_syns(attempt, phase)),
                )?;
            }
        }
        Ok(())
    }

    /// Returns the phase in which an address failed. After a local fault it is the phase that had begun.
    fn ended_in(&self, attempt: &Attempt) -> Option<Phase> {
        match &attempt.result {
            Ok(()) => None,
            Err(Fault::Failure(failure)) => Some(failure.phase),
            Err(Fault::LocalFault(_)) => {
                let mut phases = self.phases();
                phases.retain(|phase| attempt.timings.of(*phase).is_none());
                phases.first().copied()
            }
        }
    }

    /// Returns the phases of this kind of probe, from connect on.
    fn phases(&self) -> Vec<Phase> {
        let probe_kind = &self.target.settings.probe_kind;
        let upgrade = probe_kind.tls().filter(|tls| !tls.upgrade.is_empty()).map(|_| Phase::Starttls);
        let phases = [Some(Phase::Connect), upgrade, probe_kind.tls().map(|_| Phase::Tls), Some(Phase::Protocol)];
        phases.into_iter().flatten().collect()
    }

    /// Returns the result of the last phase of an address. The details are shown once: those of the decisive address
    /// with the result of the probe.
    fn ending(&self, attempt: &Attempt, phase: Phase) -> String {
        let (word, detail) = match &attempt.result {
            Ok(()) => (self.styles.success("succeeded"), ""),
            Err(Fault::Failure(failure)) => (self.styles.failure(failure.class.as_str()), &*failure.detail),
            Err(Fault::LocalFault(fault)) => (self.styles.warning(fault.reason.as_str()), &*fault.detail),
        };
        let is_decisive = attempt.result == self.outcome.result;
        let detail = if is_decisive { String::new() } else { format!(": {}", escaped(detail)) };
        let session = session(attempt)
            .filter(|_| phase == Phase::Tls)
            .map(|session| format!("{}; ", agreed(session)));
        format!("{}{word}{detail}", session.unwrap_or_default())
    }

    /// Returns the result of a completed phase of an address.
    fn completed(&self, attempt: &Attempt, phase: Phase) -> String {
        match phase {
            Phase::Connect if attempt.timings.of(Phase::Connect).is_none() => {
                let expect = self.target.settings.probe_kind.expect();
                format!("{}, as expected", self.styles.success(expect.as_str()))
            }
            Phase::Connect => self.styles.success("open"),
            Phase::Starttls => self.styles.success("ready for TLS"),
            Phase::Tls => format!("{}{}", session(attempt).map(agreed).unwrap_or_default(), self.reported(attempt)),
            Phase::Protocol | Phase::Resolve => {
                format!("{}{}", self.styles.success("as expected"), service_facts(attempt))
            }
        }
    }

    /// Returns the certificate faults that did not fail the probe.
    fn reported(&self, attempt: &Attempt) -> String {
        let peer = attempt.facts.tls.as_ref().and_then(|tls| tls.peer.as_ref());
        let classes: Vec<_> = peer
            .iter()
            .flat_map(|peer| &peer.faults)
            .map(|fault| fault.class.as_str())
            .collect();
        if classes.is_empty() {
            return String::new();
        }
        format!("; {}, reported only", self.styles.warning(classes.join(", ")))
    }

    /// Writes the facts about the peer; with several addresses, the worst.
    fn facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, styles, now) = (self.outcome, self.styles, self.now);
        if let Some(peer) = outcome.facts.tls.as_ref().and_then(|tls| tls.peer.as_deref()) {
            let shows = |attempt: &&Attempt| attempt.facts.tls == outcome.facts.tls;
            let address = outcome.attempts.iter().find(shows).filter(|_| outcome.attempts.len() > 1);
            let address = address.map(|attempt| attempt.address);
            let verify = self
                .target
                .settings
                .probe_kind
                .tls()
                .map_or(Verify::Strict, |tls| tls.settings.verify);
            write!(f, "{}", Chain { peer, verify, address, now, styles })?;
        }
        if let Some(not_after) = outcome.client_certificate_not_after {
            certificates::client(f, not_after, now, styles)?;
        }
        if let Some(labels) = outcome.facts.dialogue.as_deref().filter(|labels| !labels.is_empty()) {
            certificates::labels(f, labels, styles)?;
        }
        Ok(())
    }

    /// Writes the transcript of each address, if there is one.
    fn transcripts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.outcome.attempts.len() > 1;
        for attempt in &self.outcome.attempts {
            if let Some(transcript) = &attempt.transcript {
                let address = several.then_some(attempt.address);
                write!(f, "{}", TranscriptView { transcript, address, styles: self.styles })?;
            }
        }
        Ok(())
    }

    fn result(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = milliseconds(self.outcome.duration);
        match &self.outcome.result {
            Ok(()) => self.success(f, &took),
            Err(Fault::Failure(failure)) => {
                let (class, phase) = (self.styles.failure(failure.class.as_str()), failure.phase.as_str());
                writeln!(f, "{class} in {phase} after {took}{}", self.detail(failure))?;
                self.of_all(f)?;
                advise(f, &on_failure(failure, self.target, self.decisive()))
            }
            Err(Fault::LocalFault(fault)) => {
                let (local_fault, reason) = (self.styles.warning("local fault"), fault.reason.as_str());
                writeln!(f, "{local_fault} after {took}: {reason}: {}", escaped(&fault.detail))?;
                self.of_all(f)?;
                advise(f, &advice::on_local_fault(fault.reason, self.target))
            }
        }
    }

    /// Returns the detail of a failure, or the number of other faults if it is already shown as a fault of the certificate.
    fn detail(&self, failure: &Failure) -> String {
        let peer = self.outcome.facts.tls.as_ref().and_then(|tls| tls.peer.as_ref());
        let faults = peer.map_or(&[][..], |peer| &peer.faults);
        let is_shown = faults.iter().any(|fault| fault.detail == failure.detail);
        match faults.len() {
            _ if !is_shown => format!(": {}", escaped(&failure.detail)),
            0 | 1 => String::new(),
            2 => ", with 1 more fault".to_owned(),
            count => format!(", with {} more faults", count - 1),
        }
    }

    fn success(&self, f: &mut fmt::Formatter<'_>, took: &str) -> fmt::Result {
        let succeeded = self.styles.success("succeeded");
        match self.target.settings.slow_after.filter(|limit| self.outcome.duration >= *limit) {
            None => writeln!(f, "{succeeded} in {took}")?,
            Some(limit) => {
                let slow = self.styles.warning("slow");
                writeln!(f, "{succeeded} in {took}, but {slow}: slow_after is {}", duration::display(limit))?;
            }
        }
        let lost = self.outcome.attempts.iter().any(|attempt| attempt.syn_retransmits > 0);
        if lost { advise(f, &advice::on_lost_syns(self.target)) } else { Ok(()) }
    }

    /// Writes the number of successful addresses, if all of them must succeed.
    fn of_all(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = &self.outcome.attempts;
        if self.target.settings.addressing.mode == AddressMode::Any || attempts.len() < 2 {
            return Ok(());
        }
        let succeeded = attempts.iter().filter(|attempt| attempt.result.is_ok()).count();
        writeln!(f, "  all      {succeeded} of {} addresses succeeded; all must", attempts.len())
    }

    /// Returns the address with the result of the probe.
    fn decisive(&self) -> Option<IpAddr> {
        let attempt = self
            .outcome
            .attempts
            .iter()
            .find(|attempt| attempt.result == self.outcome.result);
        attempt.map(|attempt| attempt.address)
    }
}

fn session(attempt: &Attempt) -> Option<&Session> {
    attempt.facts.tls.as_ref()?.session.as_ref()
}

/// Returns the parameters of a TLS session.
fn agreed(session: &Session) -> String {
    let Session { version, cipher, key_exchange, alpn } = session;
    let alpn = alpn
        .as_deref()
        .map(|alpn| format!(", ALPN {}", escaped(alpn)))
        .unwrap_or_default();
    format!("{version}, {cipher}, {key_exchange}{alpn}")
}

/// Returns the known facts about a service: protocol, version and role.
fn service_facts(attempt: &Attempt) -> String {
    let Some(service) = &attempt.facts.service else { return String::new() };
    let parts = [service.protocol, &service.version, &service.role]
        .into_iter()
        .filter(|part| !part.is_empty());
    format!(", {}", parts.map(escaped).collect::<Vec<_>>().join(", "))
}

/// Returns the time of an address that was not spent in a completed phase.
fn remainder(attempt: &Attempt) -> Duration {
    attempt
        .timings
        .iter()
        .fold(attempt.duration, |left, (_, took)| left.saturating_sub(took))
}

fn lost_syns(attempt: &Attempt, phase: Phase) -> String {
    match (phase, attempt.syn_retransmits) {
        (Phase::Connect, 1) => "; 1 SYN was retransmitted".to_owned(),
        (Phase::Connect, count @ 2..) => format!("; {count} SYNs were retransmitted"),
        _ => String::new(),
    }
}

/// Writes a line of the timeline: the phase, its duration or the time until it failed, and the result.
fn step(f: &mut fmt::Formatter<'_>, phase: Phase, took: Duration, result: impl Display) -> fmt::Result {
    writeln!(f, "  {:<9}{:>12}  {result}", phase.as_str(), milliseconds(took))
}

fn advise(f: &mut fmt::Formatter<'_>, advice: &Advice) -> fmt::Result {
    writeln!(f, "  meaning  {}", advice.meaning)?;
    writeln!(f, "  try      {}", advice.remedy)
}

#[cfg(test)]
mod tests;
