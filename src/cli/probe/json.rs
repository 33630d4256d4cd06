//! One outcome as JSON, for scripts. Durations are seconds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::outcome::{Attempt, Outcome, Timings, Verdict};
use crate::target::Target;

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    target: &'a str,
    url: String,
    #[serde(flatten)]
    verdict: VerdictDocument<'a>,
    duration_seconds: f64,
    phase_duration_seconds: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_addresses: Option<&'a [IpAddr]>,
    attempts: Vec<AttemptDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptDocument<'a> {
    ip: IpAddr,
    #[serde(flatten)]
    verdict: VerdictDocument<'a>,
    duration_seconds: f64,
    phase_duration_seconds: BTreeMap<&'static str, f64>,
    tcp_syn_retransmits: u32,
}

#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum VerdictDocument<'a> {
    Failed { phase: &'static str, class: &'static str, detail: &'a str },
    Good,
    LocalFault { reason: &'static str, detail: &'a str },
}

impl<'a> Document<'a> {
    /// The document of one outcome.
    pub(super) fn new(target: &'a Target, outcome: &'a Outcome) -> Self {
        Self {
            target: target.name.as_str(),
            url: target.endpoint.to_string(),
            verdict: (&outcome.verdict).into(),
            duration_seconds: outcome.duration.as_secs_f64(),
            phase_duration_seconds: seconds(&outcome.timings),
            resolved_addresses: outcome.resolution.as_ref().map(|resolution| resolution.addresses.as_slice()),
            attempts: outcome.attempts.iter().map(AttemptDocument::from).collect(),
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptDocument<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            ip: attempt.address,
            verdict: (&attempt.verdict).into(),
            duration_seconds: attempt.duration.as_secs_f64(),
            phase_duration_seconds: seconds(&attempt.timings),
            tcp_syn_retransmits: attempt.syn_retransmits,
        }
    }
}

impl<'a> From<&'a Verdict> for VerdictDocument<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Failed(failure) => {
                Self::Failed { phase: failure.phase.as_str(), class: failure.class.as_str(), detail: &failure.detail }
            }
            Verdict::Good => Self::Good,
            Verdict::LocalFault(fault) => Self::LocalFault { reason: fault.reason.as_str(), detail: &fault.detail },
        }
    }
}

fn seconds(timings: &Timings) -> BTreeMap<&'static str, f64> {
    timings.iter().map(|(phase, duration)| (phase.as_str(), duration.as_secs_f64())).collect()
}
