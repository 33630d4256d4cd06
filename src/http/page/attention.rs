//! Targets that are not down but deserve attention: not probed, slow, with an expiring certificate, or flapping.

use super::bars::Bars;
use super::links::Root;
use super::neighbours::NamedLink;
use super::times::{brief, span};
use crate::board::State;
use crate::clock::Timestamp;
use crate::duration;
use crate::inventory::TargetSummary;
use crate::timeline::Validity;

/// Targets with the same trait.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) items: Vec<AttentionItem>,
    /// Number of further targets.
    pub(super) more: usize,
}

/// A target with the reason for attention.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct AttentionItem {
    pub(super) target: NamedLink,
    pub(super) reason: String,
    pub(super) bars: Option<Bars>,
}

/// A reason for attention.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Concern {
    Expiring,
    Flapping,
    Outdated,
    Slow,
}

impl Concern {
    /// All, in the order of the page.
    pub(super) const ALL: [Self; 4] = [Self::Outdated, Self::Slow, Self::Expiring, Self::Flapping];

    /// Returns whether a target that is not down has it.
    pub(super) fn applies(self, summary: &TargetSummary, now: Timestamp) -> bool {
        if summary.state == State::Down {
            return false;
        }
        match self {
            Self::Expiring => summary.expires_soon(now),
            Self::Flapping => summary.failed_outcomes.runs >= FLAPPING_RUNS,
            Self::Outdated => summary.is_outdated(now),
            Self::Slow => summary.is_slow,
        }
    }

    /// Returns the reason in words.
    pub(super) fn reason(self, summary: &TargetSummary, now: Timestamp) -> String {
        match self {
            Self::Expiring => expiry(summary, now).unwrap_or_default(),
            Self::Flapping => {
                let failed = summary.failed_outcomes;
                format!("{} of the last {} probes failed, in {} spells", failed.count, failed.of, failed.runs)
            }
            Self::Outdated => {
                let age = |at: Timestamp| now.as_duration().saturating_sub(at.as_duration());
                format!("last probed {} ago", summary.last_probe.map(age).map(span).unwrap_or_default())
            }
            Self::Slow => {
                let took = summary.duration.map(brief).unwrap_or_default();
                let limit = summary
                    .target
                    .settings
                    .slow_after
                    .map(|limit| duration::display(limit).to_string());
                format!("took {took}, slow_after is {}", limit.unwrap_or_default())
            }
        }
    }

    /// Returns the reason with what it is about.
    pub(super) fn in_words(self, summary: &TargetSummary, now: Timestamp) -> String {
        let about = match self {
            Self::Expiring => "certificate ",
            Self::Flapping => "flapping: ",
            Self::Outdated => "",
            Self::Slow => "slow: ",
        };
        format!("{about}{}", self.reason(summary, now))
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::Flapping => "flapping",
            Self::Outdated => "outdated",
            Self::Slow => "slow",
        }
    }

    fn title(self, count: usize) -> String {
        match (self, count) {
            (Self::Expiring, 1) => "1 certificate expires soon".to_owned(),
            (Self::Expiring, count) => format!("{count} certificates expire soon"),
            (Self::Flapping, count) => format!("{count} flapping"),
            (Self::Outdated, count) => format!("{count} not probed"),
            (Self::Slow, count) => format!("{count} slow"),
        }
    }

    /// Returns the targets with this concern; `None` without any. `bars` draws the outcomes of a target.
    pub(super) fn of(
        self,
        summaries: &[&TargetSummary],
        now: Timestamp,
        root: &Root,
        bars: impl Fn(&TargetSummary) -> Option<Bars>,
    ) -> Option<Attention> {
        let mut concerned: Vec<_> = summaries.iter().filter(|summary| self.applies(summary, now)).collect();
        if self == Self::Expiring {
            concerned.sort_by_key(|summary| summary.certificate_not_after);
        }
        let items: Vec<_> = concerned
            .iter()
            .take(SHOWN)
            .map(|summary| AttentionItem {
                target: NamedLink::of(&summary.target.name, root),
                reason: self.reason(summary, now),
                bars: bars(summary).filter(|_| self == Self::Flapping),
            })
            .collect();
        let more = concerned.len() - items.len();
        (!items.is_empty()).then(|| Attention { id: self.id(), title: self.title(concerned.len()), items, more })
    }
}

/// Returns the remaining validity of a certificate in words.
fn expiry(summary: &TargetSummary, now: Timestamp) -> Option<String> {
    let not_before = summary.certificate_not_before.unwrap_or(i64::MIN);
    let span = |seconds: i64| span(std::time::Duration::from_secs(seconds.unsigned_abs()));
    Some(match Validity::at(now, not_before, summary.certificate_not_after?) {
        Validity::Expired(seconds) => format!("expired {} ago", span(seconds)),
        Validity::NotYet(seconds) => format!("not valid for another {}", span(seconds)),
        Validity::Valid(seconds) => format!("expires in {}", span(seconds)),
    })
}

/// Runs of failures among the last outcomes from which a target is flapping.
const FLAPPING_RUNS: u8 = 3;

/// Maximum number of targets that are shown for each concern.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inventory::example_summary;

    #[test]
    fn a_target_without_recent_probes_deserves_attention() {
        let at = |minutes| Timestamp::since_epoch(Duration::from_mins(minutes));
        let summary = |state| TargetSummary { last_probe: Some(at(1000)), ..example_summary("a.test:1", state) };
        let up = summary(State::Up);
        assert!(!Concern::Outdated.applies(&up, at(1001)));
        assert!(Concern::Outdated.applies(&up, at(1090)));
        assert_eq!(Concern::Outdated.in_words(&up, at(1090)), "last probed 1 h 30 min ago");
        assert!(!Concern::Outdated.applies(&summary(State::Down), at(1090)), "it has a card already");
    }
}
