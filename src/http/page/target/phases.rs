//! The phases of the last probe, each as a bar from its beginning to its end.

use std::time::Duration;

use crate::board::LastProbe;
use crate::http::page::times::brief;
use crate::outcome::{Failure, Phase};

/// A phase of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PhaseBar {
    pub(super) name: &'static str,
    /// Beginning and length, in per mille of the probe.
    pub(super) begin: u32,
    pub(super) length: u32,
    pub(super) duration: String,
    /// The class, if the probe failed in this phase.
    pub(super) class: Option<&'static str>,
}

/// Returns the completed phases, and the one that failed.
pub(super) fn of(last: &LastProbe, failure: Option<&Failure>) -> Vec<PhaseBar> {
    let total = last.duration.max(last.timings.iter().map(|(_, took)| took).sum());
    let mut begun = Duration::ZERO;
    let mut bars = Vec::new();
    let mut add = |phase: Phase, took: Duration, class| {
        let end = begun + took;
        let (begin, end_mark) = (per_mille(begun, total), per_mille(end, total));
        let length = (end_mark - begin).max(SHORTEST).min(1000 - begin.min(1000 - SHORTEST));
        let begin = begin.min(1000 - SHORTEST);
        bars.push(PhaseBar { name: phase.as_str(), begin, length, duration: brief(took), class });
        begun = end;
    };
    for (phase, took) in last.timings.iter() {
        // The time of a failed phase is the rest of the probe.
        if failure.is_none_or(|failure| failure.phase != phase) {
            add(phase, took, None);
        }
    }
    if let Some(failure) = failure {
        let completed = last.timings.iter().filter(|(phase, _)| *phase != failure.phase);
        let rest = last.duration.saturating_sub(completed.map(|(_, took)| took).sum());
        add(failure.phase, rest, Some(failure.class.as_str()));
    }
    bars
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1000")]
fn per_mille(part: Duration, total: Duration) -> u32 {
    let share = part.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
    (share * 1000.0).clamp(0.0, 1000.0) as u32
}

/// The length of the shortest bar that is visible.
const SHORTEST: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::outcome::{Class, Timings};

    fn probe(success: bool, timings: Timings) -> LastProbe {
        LastProbe { ended_at: Timestamp::default(), success, duration: Duration::from_millis(10), timings }
    }

    #[test]
    fn phases_follow_each_other() {
        let timings = Timings::default()
            .with(Phase::Resolve, Duration::from_millis(2))
            .with(Phase::Connect, Duration::from_micros(1))
            .with(Phase::Tls, Duration::from_millis(7));
        let bars = of(&probe(true, timings), None);
        let places: Vec<_> = bars.iter().map(|bar| (bar.name, bar.begin, bar.length, bar.class)).collect();
        assert_eq!(places, [("resolve", 0, 200, None), ("connect", 200, 6, None), ("tls", 200, 700, None)]);
    }

    #[test]
    fn a_failed_phase_takes_the_rest() {
        let failure = Failure { phase: Phase::Tls, class: Class::Stalled, detail: String::new() };
        let timings = Timings::default().with(Phase::Connect, Duration::from_millis(4));
        let bars = of(&probe(false, timings), Some(&failure));
        let places: Vec<_> = bars
            .iter()
            .map(|bar| (bar.name, bar.begin, bar.length, &*bar.duration))
            .collect();
        assert_eq!(places, [("connect", 0, 400, "4.00 ms"), ("tls", 400, 600, "6.00 ms")]);
        assert_eq!(bars[1].class, Some("stalled"));
    }
}
