//! The handle of a running scheduler, which changes its targets in parts, and requests permits and loans for further
//! probes.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::loans::{LendError, Loan, LoanRequest};
use super::permits::{Acquisition, Permit, Purpose};
use super::schedule::Spread;
use super::statistics::Statistics;
use crate::options::Limits;
use crate::target::{Target, TargetName};

/// A handle that changes the targets of a running [`Scheduler`](super::Scheduler).
#[derive(Clone, Debug)]
pub struct Handle {
    sender: mpsc::Sender<Command>,
    acquisitions: mpsc::Sender<Acquisition>,
    loans: mpsc::Sender<LoanRequest>,
    statistics: Arc<Statistics>,
}

/// A change of the targets or the limits.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// New and changed targets. Each name occurs once.
    pub upserted: Vec<Arc<Target>>,
    /// Names of removed targets. An unknown name has no effect.
    pub removed: Vec<TargetName>,
    /// New limits, if they change. Running probes above a new limit are not aborted.
    pub limits: Option<Limits>,
    /// The spread of the first probes of new targets.
    pub spread: Spread,
}

/// A part of a change, as the scheduler receives it.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) change: Change,
    /// Signals that the change is applied.
    pub(super) done: oneshot::Sender<()>,
}

/// Receives what handles send.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) acquisitions: mpsc::Receiver<Acquisition>,
    pub(super) loans: mpsc::Receiver<LoanRequest>,
}

/// The scheduler has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler has stopped")]
pub struct Stopped;

/// Reason why there is no permit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AcquireError {
    /// The scheduler has stopped.
    #[error("the scheduler has stopped")]
    Stopped,
    /// Too many requests wait for a permit.
    #[error("too many probes wait for a permit")]
    TooMany,
}

impl Handle {
    /// Creates a handle and the receiver of everything that it sends.
    pub(super) fn new(statistics: Arc<Statistics>) -> (Self, Inbox) {
        let (sender, commands) = mpsc::channel(1);
        let (acquire, acquisitions) = mpsc::channel(1);
        let (lend, loans) = mpsc::channel(1);
        (Self { sender, acquisitions: acquire, loans: lend, statistics }, Inbox { commands, acquisitions, loans })
    }

    /// Waits until the limits allow a probe of `target` in addition to the scheduled ones. Due probes come first, then
    /// those on demand.
    pub async fn acquire(&self, target: Arc<Target>, purpose: Purpose) -> Result<Permit, AcquireError> {
        let (permit, granted) = oneshot::channel();
        let acquisition = Acquisition { target, purpose, permit };
        self.acquisitions.send(acquisition).await.map_err(|_| AcquireError::Stopped)?;
        granted
            .await
            .map_err(|_| if self.acquisitions.is_closed() { AcquireError::Stopped } else { AcquireError::TooMany })
    }

    /// Returns the exclusive right to probe a target, unless a probe of it runs, or is due and waits for a limit.
    pub async fn lend(&self, name: &TargetName) -> Result<Loan, LendError> {
        let (loan, lent) = oneshot::channel();
        let request = LoanRequest { name: name.clone(), loan };
        self.loans.send(request).await.map_err(|_| LendError::Stopped)?;
        lent.await.unwrap_or(Err(LendError::Stopped))
    }

    /// Waits until the scheduler stops.
    pub async fn stopped(&self) {
        self.acquisitions.closed().await;
    }

    /// Applies a change and returns once it is complete.
    ///
    /// A large change is applied in parts, so that it does not delay probes.
    pub async fn change(&self, change: Change) -> Result<(), Stopped> {
        let Change { upserted, removed, mut limits, spread } = change;
        let (mut upserted, mut removed) = (upserted.into_iter(), removed.into_iter());
        loop {
            let part = Change {
                upserted: upserted.by_ref().take(MAX_CHANGES).collect(),
                removed: removed.by_ref().take(MAX_CHANGES).collect(),
                limits: limits.take(),
                spread,
            };
            let (done, applied) = oneshot::channel();
            self.sender.send(Command { change: part, done }).await.map_err(|_| Stopped)?;
            applied.await.map_err(|_| Stopped)?;
            if upserted.len() + removed.len() == 0 {
                return Ok(());
            }
        }
    }

    /// Returns the counters of the scheduler.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }
}

/// Maximum size of a part, which takes about a millisecond to apply.
pub(super) const MAX_CHANGES: usize = 1000;
