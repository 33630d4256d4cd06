//! Probes of targets that clients request: one at a time for each target, within the limits of the scheduler.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tracing::info;

use self::secrets::Secrets;
use crate::board::Board;
use crate::files::header_values::HeaderValues;
use crate::http::{Probed, TargetProbeError, TargetProber};
use crate::outcome::Fault;
use crate::probe::NetworkProber;
use crate::scheduler::{AcquireError, Handle, LendError, Purpose};
use crate::target::TargetName;

mod secrets;

/// Makes probes of the targets in use.
#[derive(Debug)]
pub(super) struct TargetProbes {
    prober: Arc<NetworkProber>,
    handle: Handle,
    board: Arc<Board>,
    header_values: Arc<HeaderValues>,
}

impl TargetProbes {
    /// Creates a prober of the targets on `board`.
    pub(super) fn new(
        prober: &Arc<NetworkProber>,
        handle: &Handle,
        board: &Arc<Board>,
        header_values: &Arc<HeaderValues>,
    ) -> Self {
        Self {
            prober: prober.clone(),
            handle: handle.clone(),
            board: board.clone(),
            header_values: header_values.clone(),
        }
    }
}

#[async_trait]
impl TargetProber for TargetProbes {
    async fn probe(&self, name: &TargetName) -> Result<Probed, TargetProbeError> {
        let known = self.board.rows().target(name).cloned().ok_or(TargetProbeError::Unknown)?;
        // First the permit: a lent target must not wait for the limits, because its due probes wait for it.
        let permit = timeout(MAX_WAIT, self.handle.acquire(known.clone(), Purpose::Demand)).await;
        let _permit = permit.map_err(|_| TargetProbeError::Limited)??;
        let loan = self.handle.lend(name).await?;
        let target = loan.target();
        // The permit counts for the host that was known.
        if target.endpoint != known.endpoint {
            return Err(TargetProbeError::Busy);
        }
        let deadline = Instant::now() + target.settings.cadence.timeout();
        let outcome = tokio::select! {
            () = self.handle.stopped() => return Err(TargetProbeError::Stopping),
            () = loan.revoked() => return Err(TargetProbeError::Removed),
            outcome = self.prober.probe_recorded(target, deadline) => outcome,
        };
        info!(target = %name, success = outcome.result.is_ok(), "Probed a target on demand");
        if let Err(Fault::LocalFault(fault)) = outcome.result {
            return Err(TargetProbeError::LocalFault(fault));
        }
        let secrets = Secrets::of(target, &self.header_values);
        Ok(Probed { target: target.clone(), outcome: secrets.hidden(outcome) })
    }
}

impl From<AcquireError> for TargetProbeError {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Stopped => Self::Stopping,
            AcquireError::TooMany => Self::Limited,
        }
    }
}

impl From<LendError> for TargetProbeError {
    fn from(error: LendError) -> Self {
        match error {
            LendError::Busy => Self::Busy,
            LendError::Stopped => Self::Stopping,
            LendError::Unknown => Self::Removed,
        }
    }
}

/// Maximum time until the limits allow a probe.
const MAX_WAIT: Duration = Duration::from_secs(10);
