//! Loans of targets: somebody else probes a target, and its probes start again once it is back.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use super::index::Id;
use crate::outcome::{Next, Prober, Report};
use crate::target::{Target, TargetName};

/// The exclusive right to probe a target, until it is dropped.
#[derive(Debug)]
pub struct Loan {
    target: Arc<Target>,
    id: Id,
    revoked: CancellationToken,
    returns: mpsc::UnboundedSender<Id>,
}

impl Loan {
    /// Returns the target, as the scheduler has it.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Waits until the target is removed. Its probe must end then.
    pub async fn revoked(&self) {
        self.revoked.cancelled().await;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Without a scheduler nobody waits for the target.
        let _ = self.returns.send(self.id);
    }
}

/// Reason why a target is not lent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LendError {
    /// A probe of it runs, or is due and waits for a limit.
    #[error("a probe of this target runs")]
    Busy,
    /// The scheduler has stopped.
    #[error("the scheduler has stopped")]
    Stopped,
    /// The scheduler has no target of this name.
    #[error("unknown target")]
    Unknown,
}

/// A request to lend a target.
#[derive(Debug)]
pub(super) struct LoanRequest {
    pub(super) name: TargetName,
    pub(super) loan: oneshot::Sender<Result<Loan, LendError>>,
}

/// The lent targets.
#[derive(Debug)]
pub(super) struct Loans {
    lent: HashMap<Id, CancellationToken>,
    returns: mpsc::UnboundedSender<Id>,
    returned: mpsc::UnboundedReceiver<Id>,
}

impl Default for Loans {
    fn default() -> Self {
        let (returns, returned) = mpsc::unbounded_channel();
        Self { lent: HashMap::new(), returns, returned }
    }
}

impl Loans {
    /// Waits until a target comes back. `self` holds a sender, so this never returns `None`.
    pub(super) async fn returned(&mut self) -> Option<Id> {
        self.returned.recv().await
    }

    /// Revokes the loan of a removed target, if it is lent.
    pub(super) fn revoke(&mut self, id: Id) {
        if let Some(revoked) = self.lent.remove(&id) {
            revoked.cancel();
        }
    }

    fn lend(&mut self, id: Id, target: Arc<Target>) -> Loan {
        let revoked = CancellationToken::new();
        self.lent.insert(id, revoked.clone());
        Loan { target, id, revoked, returns: self.returns.clone() }
    }
}

impl<P, R> Scheduler<P, R>
where
    P: Prober,
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// Lends a target, unless a probe of it runs or waits. A loan that nobody waits for any more comes back at once.
    pub(super) fn lend(&mut self, LoanRequest { name, loan }: LoanRequest) {
        // Whoever returns a target may request it again at once.
        while let Ok(id) = self.loans.returned.try_recv() {
            self.take_back(id);
        }
        let _ = loan.send(self.try_lend(&name));
    }

    fn try_lend(&mut self, name: &TargetName) -> Result<Loan, LendError> {
        let id = self.index.find(name).ok_or(LendError::Unknown)?;
        let entry = self.index.get_mut(id).ok_or(LendError::Unknown)?;
        if !entry.lend() {
            return Err(LendError::Busy);
        }
        Ok(self.loans.lend(id, entry.target().clone()))
    }

    /// Takes a target back, and starts the probe that was due meanwhile.
    pub(super) fn take_back(&mut self, id: Id) {
        self.loans.lent.remove(&id);
        let end = self.index.get_mut(id).map(|entry| entry.take_back(Instant::now()));
        if let Some(end) = end {
            self.after(id, end);
        }
    }
}
