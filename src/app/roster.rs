//! The roster: the one way in for targets.
//!
//! Whatever brings targets, a configuration or a source, ends here: what is new, changed or removed is found out, and board
//! and scheduler are told. A target that is as before stays the very same value.

use std::collections::HashSet;
use std::sync::Arc;

use crate::board::{Board, Rows};
use crate::options::Limits;
use crate::scheduler::{Change, Handle, Stopped};
use crate::target::{Shard, Target, TargetName};
use crate::tasks::blocking;

/// Every target, as board and scheduler have them.
#[derive(Debug)]
pub(super) struct Roster {
    board: Arc<Board>,
    handle: Handle,
    shard: Shard,
}

/// How many targets are otherwise than before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
}

impl Roster {
    /// A roster without targets.
    pub(super) fn new(board: Arc<Board>, handle: Handle, shard: Shard) -> Self {
        Self { board, handle, shard }
    }

    /// Makes this replica's share of these the targets, in this order, each name once, and takes over other limits where there are some.
    ///
    /// Comparing and preparing rows is done beside the thread that probes; it gets no more than the differences.
    pub(super) async fn replace(
        &mut self,
        targets: Vec<Arc<Target>>,
        limits: Option<Limits>,
    ) -> Result<Difference, Stopped> {
        let (board, shard) = (self.board.clone(), self.shard);
        let prepare = blocking(move || {
            let plan = Plan::new(&board.rows(), targets.into_iter().filter(|target| shard.owns(target)));
            let Plan { order, upserted, removed, difference } = plan;
            board.replace(&order);
            (upserted, removed, difference)
        });
        let (upserted, removed, difference) = prepare.await;
        self.handle.change(Change { upserted, removed, limits }).await?;
        Ok(difference)
    }

    /// How many targets there are.
    pub(super) fn len(&self) -> usize {
        self.board.rows().len()
    }
}

/// What is to be done so that some targets take the place of others.
#[derive(Debug, Default)]
struct Plan {
    order: Vec<Arc<Target>>,
    upserted: Vec<Arc<Target>>,
    removed: Vec<TargetName>,
    difference: Difference,
}

impl Plan {
    fn new(before: &Rows, targets: impl Iterator<Item = Arc<Target>>) -> Self {
        let mut plan = Self::default();
        let mut stay = 0;
        for target in targets {
            let known = before.find(&target.name, |row| row.target().clone());
            stay += usize::from(known.is_some());
            let target = match known {
                Some(known) if known == target => known,
                known => {
                    let counter =
                        if known.is_some() { &mut plan.difference.changed } else { &mut plan.difference.added };
                    *counter += 1;
                    plan.upserted.push(target.clone());
                    target
                }
            };
            plan.order.push(target);
        }
        plan.difference.removed = before.len() - stay;
        if plan.difference.removed > 0 {
            let names: HashSet<_> = plan.order.iter().map(|target| &target.name).collect();
            before.for_each(|row| {
                let name = &row.target().name;
                plan.removed.extend((!names.contains(name)).then(|| name.clone()));
            });
        }
        plan
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
    fn what_stays_the_same_stays_the_very_same() {
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
