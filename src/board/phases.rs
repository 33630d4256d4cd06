//! The phases of a target that have histograms.

use crate::histogram::Histogram;
use crate::options::HistogramOptions;
use crate::outcome::Phase;
use crate::target::{Expect, Host, ProbeKind, Target};

/// Returns a histogram for each configured phase that probes of this target can complete: the one in `kept` or an empty
/// one.
pub(super) fn histograms(
    target: &Target,
    options: &HistogramOptions,
    kept: Box<[(Phase, Histogram)]>,
) -> Box<[(Phase, Histogram)]> {
    let empty = || {
        if options.native {
            Histogram::classic_and_native(&options.buckets)
        } else {
            Histogram::classic_only(&options.buckets)
        }
    };
    let mut kept = Vec::from(kept);
    let mut histogram = |phase| {
        let before = kept
            .iter()
            .position(|(of, _)| *of == phase)
            .map(|index| kept.swap_remove(index));
        before.unwrap_or_else(|| (phase, empty()))
    };
    options
        .phases
        .iter()
        .filter(|phase| completes(target, **phase))
        .map(|phase| histogram(*phase))
        .collect()
}

/// Returns whether probes of this target can complete a phase.
fn completes(target: &Target, phase: Phase) -> bool {
    let probe_kind = &target.settings.probe_kind;
    match phase {
        Phase::Resolve => matches!(target.endpoint.host, Host::Name(_)),
        Phase::Connect => probe_kind.expect() == Expect::Open,
        Phase::Starttls => probe_kind.tls().is_some_and(|tls| !tls.upgrade.is_empty()),
        Phase::Tls => probe_kind.tls().is_some(),
        Phase::Protocol => match probe_kind {
            ProbeKind::Plain(_) => true,
            ProbeKind::Tcp { .. } => false,
            ProbeKind::Tls(tls) => !tls.application.is_empty(),
        },
    }
}
