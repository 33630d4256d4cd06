//! Compares the results of portprobe and of a running blackbox_exporter, target by target.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::exporter::{Exporter, ExporterError};
use super::import::ProbePair;
use crate::outcome::{Fault, Prober};
use crate::peer_text::escaped;
use crate::target::{Target, hide_query_values};

/// Two different results for one target. Displays as lines for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    name: String,
    module: String,
    /// The fault that portprobe found; `None` if it succeeded and the other failed.
    fault: Option<Fault>,
    debug_url: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, module, fault, debug_url } = self;
        let (ours, theirs) = if fault.is_some() { ("down", "up") } else { ("up", "down") };
        let (name, module) = (concealed(name), escaped(module));
        writeln!(f, "{name} (module {module}): {ours} in portprobe, {theirs} in blackbox_exporter")?;
        match fault {
            Some(Fault::Failure(failure)) => writeln!(f, "  portprobe: {failure}")?,
            Some(Fault::LocalFault(fault)) => {
                writeln!(f, "  portprobe cannot probe on this machine: {}", fault.detail)?;
            }
            None => {}
        }
        write!(f, "  blackbox_exporter: {debug_url}")
    }
}

/// Reason why a comparison ends early.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The exporter has no result for a target.
    #[error("cannot ask blackbox_exporter for {name} (module {module})")]
    Exporter {
        /// The name of the target.
        name: String,
        /// Its module.
        module: String,
        /// The reason.
        source: ExporterError,
    },
    /// A comparison panicked.
    #[error("a comparison panicked")]
    Panic(#[from] tokio::task::JoinError),
}

/// Probes each target with both. A difference counts if it is found twice, because a target can change between two
/// probes. The differences are in the order of the targets.
pub async fn compare(
    exporter: Arc<Exporter>,
    prober: Arc<impl Prober + 'static>,
    targets: Vec<(ProbePair, Arc<Target>)>,
) -> Result<Vec<Difference>, CompareError> {
    let permits = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let mut comparisons = JoinSet::new();
    for (index, (pair, target)) in targets.into_iter().enumerate() {
        let (exporter, prober, permits) = (exporter.clone(), prober.clone(), permits.clone());
        comparisons.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let difference = compare_one(&exporter, &*prober, &pair, &target).await;
            let (name, module) = (concealed(&pair.name), escaped(&pair.module));
            difference
                .map(|difference| (index, difference))
                .map_err(|source| CompareError::Exporter { name, module, source })
        });
    }
    let mut differences = Vec::new();
    while let Some(compared) = comparisons.join_next().await {
        if let (index, Some(difference)) = compared?? {
            differences.push((index, difference));
        }
    }
    differences.sort_by_key(|(index, _)| *index);
    Ok(differences.into_iter().map(|(_, difference)| difference).collect())
}

async fn compare_one(
    exporter: &Exporter,
    prober: &impl Prober,
    pair: &ProbePair,
    target: &Arc<Target>,
) -> Result<Option<Difference>, ExporterError> {
    let mut difference = None;
    for _ in 0..TRIES {
        let deadline = Instant::now() + target.settings.cadence.timeout();
        let outcome = prober.probe(target, deadline).await;
        let succeeded = exporter.probe(pair).await?;
        if outcome.result.is_ok() == succeeded {
            return Ok(None);
        }
        difference = Some(Difference {
            name: pair.name.clone(),
            module: pair.module.clone(),
            fault: outcome.result.err(),
            debug_url: exporter.debug_url(&ProbePair { target: concealed(&pair.target), ..pair.clone() }),
        });
    }
    Ok(difference)
}

/// A target or its name for people: without passwords and values of a query, on one line.
pub fn concealed(target: &str) -> String {
    let (scheme, rest) = target.split_once("://").map_or(("", target), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let (user, host) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(_, host)| ("<hidden>@", host));
    escaped(&hide_query_values(&format!("{scheme}{separator}{user}{host}{path}")))
}

/// Number of targets that are probed at the same time.
const MAX_AT_ONCE: usize = 16;

/// Number of times that a difference must be found.
const TRIES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_targets_are_concealed() {
        for (target, expected) in [
            ("a.example:1", "a.example:1"),
            ("http://u:hunter2@a/x", "http://<hidden>@a/x"),
            ("u:hunter2@a:1", "<hidden>@a:1"),
            ("https://a/x?token=hunter2", "https://a/x?token=<hidden>"),
            ("a/x?hunter2", "a/x?<hidden>"),
            ("a\n\u{1b}b", "a\\n\\u{1b}b"),
        ] {
            assert_eq!(concealed(target), expected);
        }
    }
}
