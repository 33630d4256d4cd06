//! The exchange between the rows and the store: records of rows, and what the store remembers of a target.

use std::sync::Arc;

use super::{DayFigures, Recent, State};
use crate::clock::Timestamp;
use crate::outcome::{Failure, PeerCertificates};
use crate::target::Target;

/// A copy of a row for the store.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRecord {
    /// The target.
    pub target: Arc<Target>,
    /// The confirmed state.
    pub state: State,
    /// The start of the state; `None` while it is unknown.
    pub since: Option<Timestamp>,
    /// The last failure; `None` if the last probe succeeded and the target is not down.
    pub failure: Option<Failure>,
    /// The end of the last probe.
    pub last_probe: Option<Timestamp>,
    /// The last outcomes, oldest first.
    pub recent: Vec<Recent>,
    /// The last certificates of the peer.
    pub certificates: Option<Arc<PeerCertificates>>,
    /// The figures since the last record, at most one for each day.
    pub days: Vec<DayFigures>,
}

/// The facts of a target from before its row was created: from an earlier process, or before it was removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Its state; `None` if it was not known, or if too much time has passed.
    pub state: Option<RememberedState>,
    /// Its last outcomes, oldest first.
    pub recent: Vec<Recent>,
    /// The last certificates of the peer.
    pub certificates: Option<Arc<PeerCertificates>>,
}

/// A confirmed state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RememberedState {
    /// Whether the target was up or down.
    pub state: State,
    /// The start of the state.
    pub since: Timestamp,
    /// The last failure of a target that was down.
    pub failure: Option<Failure>,
}
