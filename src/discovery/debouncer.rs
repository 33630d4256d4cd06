//! Skips results of a source that are not new, and delays one that removes most targets until it is confirmed.

use std::collections::HashSet;
use std::sync::Arc;

use super::{RefreshError, Snapshot};
use crate::config::Discovered;
use crate::mass_removal::MassRemoval;

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
    removal: Removal,
}

/// Whether the last update was free of problems.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    Good,
    Faulty,
}

/// Whether the last snapshot of the source removed most targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Removal {
    None,
    Unconfirmed,
}

/// Result of filtering one refresh.
#[derive(Debug, Default)]
pub(super) struct Filtered {
    /// The update to send, if any.
    pub(super) update: Option<Result<Snapshot, RefreshError>>,
    /// The removal that waits for its confirmation by the next refresh.
    pub(super) unconfirmed: Option<MassRemoval>,
}

impl Debouncer {
    /// Continues from entries that were reported before. Whether they had problems is not known, so the first snapshot
    /// passes.
    pub(super) fn resume(entries: Arc<[Discovered]>) -> Self {
        Self { last: Some(Reported { entries, health: Health::Faulty, removal: Removal::None }) }
    }

    /// Returns whether there are entries that a snapshot could remove.
    pub(super) fn has_entries(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !last.entries.is_empty())
    }

    /// Filters the result of a refresh. Takes long with many targets.
    ///
    /// - Every error passes, so that it can be counted; the entries stay.
    /// - A snapshot that removes most targets needs a second one as confirmation; errors in between do not count. Until
    ///   then the entries stay.
    /// - A snapshot passes if its entries have changed, if it has problems, or if the previous update had problems,
    ///   which are now resolved.
    pub(super) fn filter(&mut self, result: Result<Snapshot, RefreshError>) -> Filtered {
        let snapshot = match result {
            Ok(snapshot) => snapshot,
            Err(error) => {
                if let Some(last) = &mut self.last {
                    last.health = Health::Faulty;
                }
                return Filtered::update(Err(error));
            }
        };
        let health = if snapshot.problems.is_empty() { Health::Good } else { Health::Faulty };
        if let Some(last) = &mut self.last {
            if last.has_entries_of(&snapshot) {
                last.removal = Removal::None;
                if health == Health::Good && last.health == Health::Good {
                    return Filtered::default();
                }
            } else if let Some(removal) = last.unconfirmed_removal(&snapshot) {
                last.removal = Removal::Unconfirmed;
                if health == Health::Good {
                    return Filtered { update: None, unconfirmed: Some(removal) };
                }
                last.health = health;
                let kept = Snapshot { entries: last.entries.clone(), ..snapshot };
                return Filtered { update: Some(Ok(kept)), unconfirmed: Some(removal) };
            }
        }
        self.last = Some(Reported { entries: snapshot.entries.clone(), health, removal: Removal::None });
        Filtered::update(Ok(snapshot))
    }
}

impl Filtered {
    fn update(result: Result<Snapshot, RefreshError>) -> Self {
        Self { update: Some(result), unconfirmed: None }
    }
}

impl Reported {
    fn unconfirmed_removal(&self, snapshot: &Snapshot) -> Option<MassRemoval> {
        match self.removal {
            Removal::None => MassRemoval::between(&urls(&self.entries), &urls(&snapshot.entries)),
            Removal::Unconfirmed => None,
        }
    }

    fn has_entries_of(&self, snapshot: &Snapshot) -> bool {
        Arc::ptr_eq(&self.entries, &snapshot.entries) || self.entries == snapshot.entries
    }
}

fn urls(entries: &[Discovered]) -> HashSet<&str> {
    entries.iter().flat_map(Discovered::urls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::discovered;

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
            assert_eq!(text(debouncer.filter(result).update), text(expected), "refresh {index}");
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
    fn a_mass_removal_needs_confirmation() {
        let all = ["a", "b", "c", "d"];
        let mut debouncer = Debouncer::default();
        for (index, (names, passes, missing)) in [
            (&all[..], true, None),
            (&all[..1], false, Some(3)),
            (&all[..1], true, None),
            (&all[..], true, None),
            (&all[..1], false, Some(3)),
            (&all[..], false, None),
            (&all[..1], false, Some(3)),
            (&[], true, None),
        ]
        .into_iter()
        .enumerate()
        {
            let Filtered { update, unconfirmed } = debouncer.filter(Ok(snapshot(names)));
            assert_eq!(update.is_some(), passes, "refresh {index}");
            assert_eq!(unconfirmed.map(|removal| removal.removed), missing, "refresh {index}");
        }
    }

    #[test]
    fn urls_of_one_entry_count_separately() {
        let group = |urls: &str| {
            let entries = discovered(&format!("[{{ targets: [{urls}], labels: {{ team: a }} }}]")).unwrap();
            Snapshot { entries: entries.into(), problems: Vec::new() }
        };
        let mut debouncer = Debouncer::default();
        for (urls, passes) in [("'a:1', 'b:1', 'c:1'", true), ("'a:1', 'b:1'", true), ("'d:1', 'e:1'", true)] {
            assert_eq!(debouncer.filter(Ok(group(urls))).update.is_some(), passes, "{urls}");
        }
        assert_eq!(debouncer.filter(Ok(snapshot(&["d:1"]))).unconfirmed, None, "half of two");
        assert!(debouncer.filter(Ok(snapshot(&[]))).unconfirmed.is_some(), "the only one");
    }

    #[test]
    fn resumed_entries_survive_one_empty_snapshot() {
        let mut debouncer = Debouncer::resume(snapshot(&["a"]).entries);
        for (names, expected) in [(&[][..], None), (&["a"], Some(&["a"][..])), (&[], None), (&[], Some(&[]))] {
            let expected = expected.map(|names| Ok(snapshot(names)));
            assert_eq!(text(debouncer.filter(Ok(snapshot(names))).update), expected, "{names:?}");
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
