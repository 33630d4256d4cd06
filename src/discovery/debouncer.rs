//! Skips results of a source that are not new, and delays an empty one until it is confirmed.

use std::sync::Arc;

use super::{RefreshError, Snapshot};
use crate::config::Discovered;

/// Filter between a source and its updates.
#[derive(Debug, Default)]
pub(super) struct Debouncer {
    /// `None` before the first snapshot.
    last: Option<Reported>,
}

/// The last snapshot that passed.
#[derive(Debug)]
struct Reported {
    entries: Arc<[Discovered]>,
    health: Health,
    emptiness: Emptiness,
}

/// Whether the last update was free of problems.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Good,
    Faulty,
}

/// Whether the last snapshot of the source was empty after one with entries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Emptiness {
    None,
    Unconfirmed,
}

impl Debouncer {
    /// Continues from entries that were reported before. Whether they had problems is not known, so the first snapshot
    /// passes.
    pub(super) fn resume(entries: Arc<[Discovered]>) -> Self {
        Self { last: Some(Reported { entries, health: Health::Faulty, emptiness: Emptiness::None }) }
    }

    /// The update to send after a refresh, if any.
    ///
    /// - Every error passes, so that it can be counted; the entries stay.
    /// - A snapshot without entries after one with entries needs a second one as confirmation; errors in between do not
    ///   count. Until then the entries stay.
    /// - A snapshot passes if its entries have changed, if it has problems, or if the previous update had problems,
    ///   which are now resolved.
    pub(super) fn filter(&mut self, result: Result<Snapshot, RefreshError>) -> Option<Result<Snapshot, RefreshError>> {
        let snapshot = match result {
            Ok(snapshot) => snapshot,
            Err(error) => {
                if let Some(last) = &mut self.last {
                    last.health = Health::Faulty;
                }
                return Some(Err(error));
            }
        };
        let health = if snapshot.problems.is_empty() { Health::Good } else { Health::Faulty };
        if let Some(last) = &mut self.last {
            if last.needs_confirmation(&snapshot) {
                last.emptiness = Emptiness::Unconfirmed;
                if health == Health::Good {
                    return None;
                }
                last.health = health;
                return Some(Ok(Snapshot { entries: last.entries.clone(), ..snapshot }));
            }
            if health == Health::Good && last.health == Health::Good && last.has_entries_of(&snapshot) {
                last.emptiness = Emptiness::None;
                return None;
            }
        }
        self.last = Some(Reported { entries: snapshot.entries.clone(), health, emptiness: Emptiness::None });
        Some(Ok(snapshot))
    }
}

impl Reported {
    fn needs_confirmation(&self, snapshot: &Snapshot) -> bool {
        snapshot.entries.is_empty() && !self.entries.is_empty() && self.emptiness == Emptiness::None
    }

    fn has_entries_of(&self, snapshot: &Snapshot) -> bool {
        Arc::ptr_eq(&self.entries, &snapshot.entries) || self.entries == snapshot.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(names: &[&str]) -> Snapshot {
        let entries = names.iter().map(|name| Discovered::address((*name).to_owned())).collect();
        Snapshot { entries, problems: Vec::new() }
    }

    fn failed() -> Result<Snapshot, RefreshError> {
        Err(RefreshError::NoContentType)
    }

    fn faulty(names: &[&str]) -> Snapshot {
        Snapshot { problems: vec!["half".to_owned()], ..snapshot(names) }
    }

    /// Checks the update after each refresh.
    #[track_caller]
    fn assert_updates(
        refreshes: impl IntoIterator<Item = (Result<Snapshot, RefreshError>, Option<Result<Snapshot, RefreshError>>)>,
    ) {
        let mut debouncer = Debouncer::default();
        for (index, (result, expected)) in refreshes.into_iter().enumerate() {
            assert_eq!(text(debouncer.filter(result)), text(expected), "refresh {index}");
        }
    }

    fn text(update: Option<Result<Snapshot, RefreshError>>) -> Option<Result<Snapshot, String>> {
        update.map(|result| result.map_err(|error| error.to_string()))
    }

    #[test]
    fn only_changes_pass() {
        assert_updates([
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (Ok(snapshot(&["a"])), None),
            (Ok(snapshot(&["a", "b"])), Some(Ok(snapshot(&["a", "b"])))),
            (Ok(snapshot(&["b", "a"])), Some(Ok(snapshot(&["b", "a"])))),
            (Ok(snapshot(&["b", "a"])), None),
        ]);
    }

    #[test]
    fn an_empty_snapshot_needs_confirmation() {
        assert_updates([
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (Ok(snapshot(&[])), None),
            (Ok(snapshot(&["a"])), None),
            (Ok(snapshot(&[])), None),
            (Ok(snapshot(&[])), Some(Ok(snapshot(&[])))),
            (Ok(snapshot(&[])), None),
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
        ]);
    }

    #[test]
    fn resumed_entries_survive_one_empty_snapshot() {
        let mut debouncer = Debouncer::resume(snapshot(&["a"]).entries);
        for (names, expected) in [(&[][..], None), (&["a"], Some(&["a"][..])), (&[], None), (&[], Some(&[]))] {
            let expected = expected.map(|names| Ok(snapshot(names)));
            assert_eq!(text(debouncer.filter(Ok(snapshot(names)))), expected, "{names:?}");
        }
    }

    #[test]
    fn a_first_empty_snapshot_passes() {
        assert_updates([
            (Ok(snapshot(&[])), Some(Ok(snapshot(&[])))),
            (Ok(snapshot(&[])), None),
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
        ]);
    }

    #[test]
    fn every_error_passes_like_the_recovery() {
        assert_updates([
            (failed(), Some(failed())),
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (failed(), Some(failed())),
            (failed(), Some(failed())),
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (Ok(snapshot(&["a"])), None),
        ]);
    }

    #[test]
    fn an_error_between_empty_snapshots_does_not_count() {
        assert_updates([
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (Ok(snapshot(&[])), None),
            (failed(), Some(failed())),
            (Ok(snapshot(&[])), Some(Ok(snapshot(&[])))),
        ]);
    }

    #[test]
    fn problems_always_pass() {
        assert_updates([
            (Ok(faulty(&["a"])), Some(Ok(faulty(&["a"])))),
            (Ok(faulty(&["a"])), Some(Ok(faulty(&["a"])))),
            (Ok(faulty(&[])), Some(Ok(faulty(&["a"])))),
            (Ok(snapshot(&["a"])), Some(Ok(snapshot(&["a"])))),
            (Ok(snapshot(&["a"])), None),
            (Ok(snapshot(&[])), None),
            (Ok(faulty(&[])), Some(Ok(faulty(&[])))),
        ]);
    }
}
