//! Which phases of a target have histograms.

use crate::histogram::Histogram;
use crate::options::HistogramOptions;
use crate::outcome::Phase;
use crate::target::{Exchange, Expect, Host, Target};

/// A histogram for each phase that has one and that probes of this target can complete: that of `kept`, or an empty one.
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
        let before = kept.iter().position(|(of, _)| *of == phase).map(|index| kept.swap_remove(index));
        before.unwrap_or_else(|| (phase, empty()))
    };
    options.phases.iter().filter(|phase| completes(target, **phase)).map(|phase| histogram(*phase)).collect()
}

/// Whether probes of this target can complete this phase.
fn completes(target: &Target, phase: Phase) -> bool {
    let exchange = &target.settings.exchange;
    match phase {
        Phase::Resolve => matches!(target.endpoint.host, Host::Name(_)),
        Phase::Connect => exchange.expect() == Expect::Open,
        Phase::Starttls => exchange.tls().is_some_and(|tls| !tls.upgrade.is_empty()),
        Phase::Tls => exchange.tls().is_some(),
        Phase::Protocol => match exchange {
            Exchange::Plain(_) => true,
            Exchange::Tcp { .. } => false,
            Exchange::Tls(tls) => !tls.speech.is_empty(),
        },
    }
}
