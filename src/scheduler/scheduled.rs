//! One target in the scheduler: what it is doing, and what a due time, an end or a limit makes of that.
//!
//! Pure: moments come in as arguments, decisions go out; the scheduler carries them out.

use std::sync::Arc;

use tokio::time::Instant;

use super::schedule;
use crate::outcome::Next;
use crate::target::Target;

/// A target and its activity. It never has two probes at a time, for there is only one activity.
#[derive(Debug)]
pub(super) struct Entry {
    target: Arc<Target>,
    /// The next due time on the grid.
    tick: Instant,
    activity: Activity,
}

/// What a target is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Activity {
    /// Nothing until its next due time.
    Idle,
    /// Its last probe counted as nothing, and another is to be made as soon as the settings for that are here.
    Owing,
    /// A probe besides the grid is to start then.
    Planned(Instant),
    /// A probe due then waits for a limit.
    Waiting { due: Instant, kind: Kind },
    /// A probe runs. `then` is a due time that came at the very end of it and is made once it has ended.
    Running { kind: Kind, deadline: Instant, then: Option<Instant> },
}

/// Why a probe is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Besides the grid: the first one, or a repetition. The grid goes on as if it were not there.
    Extra,
    /// A due time of the grid.
    Regular,
}

/// What comes of a due time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tick {
    /// A probe, due then, is to start.
    Due(Instant),
    /// The last probe still runs.
    Overlap,
    /// The last probe still waits for a limit.
    StillWaiting,
    /// A probe besides the grid serves for it, or it is made as soon as the present probe has ended.
    Taken,
}

/// What comes after a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A probe, due then, is to start at once.
    Due(Instant),
    /// Nothing before the next due time on the grid, or before what is owed can be made.
    Idle,
    /// A probe besides the grid, then.
    Planned(Instant),
}

impl Entry {
    /// A target with its first due time on the grid and, where there is one, an earlier first probe.
    pub(super) fn new(target: Arc<Target>, tick: Instant, early: Option<Instant>) -> Self {
        Self { target, tick, activity: early.map_or(Activity::Idle, Activity::Planned) }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The next due time on the grid.
    pub(super) fn tick(&self) -> Instant {
        self.tick
    }

    /// When a probe besides the grid is to start.
    pub(super) fn planned(&self) -> Option<Instant> {
        match self.activity {
            Activity::Planned(due) => Some(due),
            Activity::Idle | Activity::Owing | Activity::Waiting { .. } | Activity::Running { .. } => None,
        }
    }

    /// Whether a moment is the next one of the grid, or of a probe besides it; any other of this target's is stale.
    pub(super) fn is_next(&self, due: Instant) -> bool {
        self.tick == due || self.planned() == Some(due)
    }

    /// Takes a new version of the target; the grid and what is under way stay.
    pub(super) fn replace_target(&mut self, target: Arc<Target>) {
        self.target = target;
    }

    /// Moves the target to another grid. What runs, waits or is owed goes on, and so does what is planned sooner.
    pub(super) fn reschedule(&mut self, tick: Instant, early: Option<Instant>) {
        self.tick = tick;
        if matches!(self.activity, Activity::Idle | Activity::Planned(_)) {
            let sooner = self.planned().into_iter().chain(early).min().filter(|planned| *planned < tick);
            self.activity = sooner.map_or(Activity::Idle, Activity::Planned);
        }
    }

    /// Plans for `now` what is owed; none where nothing is.
    pub(super) fn make_owed(&mut self, now: Instant) -> Option<Instant> {
        (self.activity == Activity::Owing).then(|| {
            self.activity = Activity::Planned(now);
            now
        })
    }

    /// Moves on to the next due time, as the present one has come; says what comes of that one, and how many after it
    /// were missed before `now`.
    ///
    /// - nothing under way: it is to start, and serves for a probe that was planned besides the grid;
    /// - a probe besides the grid runs: that one serves for it;
    /// - a probe besides the grid waits for a limit: its place in the queue is the due time's from here on;
    /// - a probe runs whose deadline comes with the due time: it is about to end, and this one starts then;
    /// - a regular probe runs or waits: it is skipped.
    pub(super) fn advance(&mut self, now: Instant) -> (Tick, u64) {
        let due = self.tick;
        let (next, missed) = schedule::advance(due, self.target.settings.cadence.interval(), now);
        self.tick = next;
        let tick = match &mut self.activity {
            Activity::Idle => Tick::Due(due),
            Activity::Owing | Activity::Planned(_) => {
                self.activity = Activity::Idle;
                Tick::Due(due)
            }
            Activity::Waiting { kind: Kind::Regular, .. } => Tick::StillWaiting,
            Activity::Waiting { kind: kind @ Kind::Extra, .. } => {
                *kind = Kind::Regular;
                Tick::Taken
            }
            Activity::Running { kind: Kind::Extra, .. } => Tick::Taken,
            Activity::Running { kind: Kind::Regular, deadline, then } if schedule::is_about_to_end(*deadline, due) => {
                *then = Some(due);
                Tick::Taken
            }
            Activity::Running { kind: Kind::Regular, .. } => Tick::Overlap,
        };
        (tick, missed)
    }

    /// A probe due then waits for a limit.
    pub(super) fn wait(&mut self, due: Instant) {
        self.activity = Activity::Waiting { due, kind: self.kind_about_to_start() };
    }

    /// Since when a probe waits for a limit.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.activity {
            Activity::Waiting { due, .. } => Some(due),
            Activity::Idle | Activity::Owing | Activity::Planned(_) | Activity::Running { .. } => None,
        }
    }

    /// A probe starts; returns when it ends at the latest.
    pub(super) fn start(&mut self, now: Instant) -> Instant {
        let kind = self.kind_about_to_start();
        let timeout = self.target.settings.cadence.timeout();
        let deadline = match kind {
            Kind::Extra => now + timeout,
            Kind::Regular => schedule::deadline(now, timeout, self.tick),
        };
        self.activity = Activity::Running { kind, deadline, then: None };
        deadline
    }

    /// The probe has ended.
    pub(super) fn end(&mut self, ended: Instant, next: Next) -> End {
        let activity = std::mem::replace(&mut self.activity, Activity::Idle);
        if let Activity::Running { then: Some(due), .. } = activity {
            return End::Due(due);
        }
        match next {
            Next::Again(delay) => {
                let Some(repetition) = schedule::repetition(ended, delay, self.tick) else { return End::Idle };
                self.activity = Activity::Planned(repetition);
                End::Planned(repetition)
            }
            Next::Anew => {
                self.activity = Activity::Owing;
                End::Idle
            }
            Next::Regular => End::Idle,
        }
    }

    fn kind_about_to_start(&self) -> Kind {
        match self.activity {
            Activity::Planned(_) => Kind::Extra,
            Activity::Waiting { kind, .. } => kind,
            Activity::Idle | Activity::Owing | Activity::Running { .. } => Kind::Regular,
        }
    }
}
