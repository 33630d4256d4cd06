//! The roster: applies every change of the targets, from the configuration or from discovery.
//!
//! It compares the new targets with those of the board, and applies the difference to board and scheduler. An unchanged
//! target keeps its `Arc`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::board::{Board, Environment, Rows};
use crate::clock;
use crate::options::Limits;
use crate::scheduler::{Change, Handle, Spread, Stopped};
use crate::store::Store;
use crate::target::{Shard, Target, TargetName};

/// The targets of board and scheduler.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    board: Arc<Board>,
    handle: Handle,
    store: Store,
    shard: Shard,
}

/// Number of changed targets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
}

/// A change that the board has and the scheduler does not have yet.
#[derive(Debug)]
#[must_use]
pub(super) struct Unscheduled {
    upserted: Vec<Arc<Target>>,
    removed: Vec<TargetName>,
    spread: Spread,
    difference: Difference,
    /// Number of new rows that continue from a remembered state.
    pub(super) restored: usize,
}

impl Roster {
    /// Creates a roster without targets.
    pub(super) fn new(board: Arc<Board>, handle: Handle, store: Store, shard: Shard) -> Self {
        Self { board, handle, store, shard }
    }

    /// Replaces the rows of the board with those of `targets` that this replica probes, in this order, and updates their
    /// environment in the same step. New rows continue from what the store remembers of their targets, and the store
    /// keeps the last records of those that are removed. Names must be unique. Takes long with many targets.
    pub(super) fn replace_rows(&self, targets: Vec<Arc<Target>>, update: impl FnOnce(&mut Environment)) -> Unscheduled {
        let targets = targets.into_iter().filter(|target| self.shard.owns(target));
        let before = self.board.rows();
        let Plan { order, upserted, removed, without_row, difference } = Plan::new(&before, targets);
        let remembered = self.store.recall(&without_row, clock::now());
        let restored = remembered.values().filter(|remembered| remembered.state.is_some()).count();
        self.board.replace_with(&order, remembered, update);
        let new: Vec<_> = without_row.iter().map(|target| target.name.clone()).collect();
        let last_records = removed.iter().chain(&new).filter_map(|name| before.take_record(name));
        self.store.removed(last_records.collect(), clock::now());
        let spread = Spread::of(new.len());
        self.store.added(new);
        Unscheduled { upserted, removed, spread, difference, restored }
    }

    /// Applies a change to the scheduler, with new limits if there are any.
    pub(super) async fn schedule(
        &self,
        unscheduled: Unscheduled,
        limits: Option<Limits>,
    ) -> Result<Difference, Stopped> {
        let Unscheduled { upserted, removed, spread, difference, restored: _ } = unscheduled;
        self.handle.change(Change { upserted, removed, limits, spread }).await?;
        Ok(difference)
    }

    /// Returns the number of targets.
    pub(super) fn len(&self) -> usize {
        self.board.rows().len()
    }
}

/// The steps to replace targets with others.
#[derive(Debug, Default)]
struct Plan {
    /// The new targets in their order, unchanged ones with their old `Arc`.
    order: Vec<Arc<Target>>,
    upserted: Vec<Arc<Target>>,
    removed: Vec<TargetName>,
    /// Targets that are new or have a new endpoint, so that they have no row.
    without_row: Vec<Arc<Target>>,
    difference: Difference,
}

impl Plan {
    fn new(before: &Rows, targets: impl Iterator<Item = Arc<Target>>) -> Self {
        let mut plan = Self::default();
        let mut kept = 0;
        for target in targets {
            let known = before.target(&target.name).cloned();
            kept += usize::from(known.is_some());
            match known {
                Some(known) if known == target => plan.order.push(known),
                Some(known) => {
                    plan.difference.changed += 1;
                    if known.endpoint != target.endpoint {
                        plan.without_row.push(target.clone());
                    }
                    plan.upsert(target);
                }
                None => {
                    plan.difference.added += 1;
                    plan.without_row.push(target.clone());
                    plan.upsert(target);
                }
            }
        }
        plan.difference.removed = before.len() - kept;
        if plan.difference.removed > 0 {
            plan.removed = plan.missing_in_order(before);
        }
        plan
    }

    fn upsert(&mut self, target: Arc<Target>) {
        self.upserted.push(target.clone());
        self.order.push(target);
    }

    fn missing_in_order(&self, before: &Rows) -> Vec<TargetName> {
        let names: HashSet<_> = self.order.iter().map(|target| &target.name).collect();
        let before = before.targets().map(|target| &target.name);
        before.filter(|name| !names.contains(name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Buckets;
    use crate::options::HistogramOptions;
    use crate::target::{Settings, example};

    fn target(url: &str, settings: Settings) -> Arc<Target> {
        Arc::new(example(url, settings))
    }

    #[test]
    fn an_unchanged_target_keeps_its_arc() {
        let before = [target("a:1", Settings::default()), target("b:1", Settings::default())];
        let options = HistogramOptions { buckets: Buckets::default(), native: false, phases: Vec::new() };
        let board = Board::new(options);
        board.replace(&before);
        let slow = Settings { slow_after: Some(std::time::Duration::from_secs(1)), ..Settings::default() };
        let after = vec![target("c:1", Settings::default()), target("b:1", slow), target("a:1", Settings::default())];
        let plan = Plan::new(&board.rows(), after.clone().into_iter());
        assert!(Arc::ptr_eq(&plan.order[2], &before[0]));
        assert_eq!(plan.order, after);
        assert_eq!(plan.upserted, after[..2]);
        assert_eq!((plan.removed.len(), plan.difference), (0, Difference { added: 1, changed: 1, removed: 0 }));
        board.replace(&plan.order);
        let plan = Plan::new(&board.rows(), after[..1].iter().cloned());
        assert_eq!((plan.upserted.len(), plan.removed.len()), (0, 2));
        assert_eq!(plan.difference, Difference { removed: 2, ..Difference::default() });
    }
}
