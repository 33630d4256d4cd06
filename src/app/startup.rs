//! The start of the daemon: one summary line in the log instead of a line for the first state of each target.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use crate::board::{Board, State, StateCounts, Transition};
use crate::{duration, log};

/// The start of the daemon. It lasts until all targets, including those of discovery sources, have a state.
#[derive(Debug)]
pub(super) struct Startup {
    began: Instant,
    is_over: AtomicBool,
    /// Number of targets that got a state during the start.
    known: AtomicUsize,
}

/// Whether the targets of all discovery sources are known, or their first refresh has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FirstRefreshes {
    Finished,
    Pending,
}

impl Startup {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), is_over: AtomicBool::default(), known: AtomicUsize::default() }
    }

    /// Logs a change of state, except that first states during the start only count.
    pub(super) fn log(&self, transition: &Transition) {
        if transition.from == State::Unknown && !self.is_over() {
            self.known.fetch_add(1, Ordering::Relaxed);
            log::first_state(transition);
        } else {
            log::transition(transition);
        }
    }

    /// Counts targets that continue from a remembered state.
    pub(super) fn restored(&self, count: usize) {
        self.known.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the start and logs its summary if all states are known, or if it has lasted for [`LONGEST`].
    pub(super) fn check(&self, board: &Board, refreshes: FirstRefreshes) {
        let took = Instant::now().saturating_duration_since(self.began);
        // Counting the states takes time with very many targets, so it must be likely to succeed.
        let may_be_over =
            refreshes == FirstRefreshes::Finished && self.known.load(Ordering::Relaxed) >= board.rows().len();
        if !may_be_over && took < LONGEST {
            return;
        }
        let StateCounts { up, down, unknown } = board.rows().count_states();
        if unknown == 0 || took >= LONGEST {
            self.is_over.store(true, Ordering::Relaxed);
            info!(up, down, unknown, took = %duration::display(took), "Completed the start");
        }
    }
}

/// Twice the time in which every target has its first probe: the others can be confirmed or retried meanwhile.
const LONGEST: Duration = Duration::from_mins(2);
