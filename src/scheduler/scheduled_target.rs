//! One scheduled target: its activity, and how a due time, the end of a probe or a limit changes it.
//!
//! Pure state: instants are arguments, decisions are return values, and the scheduler carries them out.

use std::sync::Arc;

use tokio::time::Instant;

use super::schedule;
use crate::outcome::Next;
use crate::target::Target;

/// A target and its activity. There is one activity, so a target never has two probes at a time.
#[derive(Debug)]
pub(super) struct ScheduledTarget {
    target: Arc<Target>,
    /// The next due time on the grid.
    tick: Instant,
    activity: Activity,
}

/// The activity of a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Activity {
    /// Nothing until its next due time.
    Idle,
    /// Its last probe was discarded because its settings had changed. The next one starts once they have arrived here.
    AwaitingSettings,
    /// A probe that is not on the grid starts then.
    Planned(Instant),
    /// A probe that was due then waits for a limit.
    Waiting { due: Instant, kind: Kind },
    /// A probe runs. `then` is a due time that came at its very end; that probe starts once this one has ended.
    Running { kind: Kind, deadline: Instant, then: Option<Instant> },
}

/// The reason for a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// An addition to the grid: the first probe, or a retry. It does not affect the grid.
    Extra,
    /// A due time of the grid.
    Regular,
}

/// The effect of a due time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tick {
    /// A probe that is due then must start.
    Due(Instant),
    /// The last probe still runs.
    Overlap,
    /// The last probe still waits for a limit.
    StillWaiting,
    /// An extra probe takes its place, or it starts as soon as the present probe has ended.
    Taken,
}

/// The effect of the end of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A probe that was due then must start at once.
    Due(Instant),
    /// Nothing before the next due time on the grid, or before new settings arrive.
    Idle,
    /// An extra probe starts then.
    Planned(Instant),
}

impl ScheduledTarget {
    /// A target with its first due time on the grid and, if there is one, an earlier first probe.
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

    /// When an extra probe starts.
    pub(super) fn planned(&self) -> Option<Instant> {
        match self.activity {
            Activity::Planned(due) => Some(due),
            Activity::Idle | Activity::AwaitingSettings | Activity::Waiting { .. } | Activity::Running { .. } => None,
        }
    }

    /// Whether a due time is the next one on the grid or that of an extra probe. Any other one is stale.
    pub(super) fn is_next(&self, due: Instant) -> bool {
        self.tick == due || self.planned() == Some(due)
    }

    /// Replaces the target by a new version. The grid and the activity stay.
    pub(super) fn replace_target(&mut self, target: Arc<Target>) {
        self.target = target;
    }

    /// Moves the target to another grid. A running or waiting probe is kept, and an extra one that is planned earlier.
    pub(super) fn reschedule(&mut self, tick: Instant, early: Option<Instant>) {
        self.tick = tick;
        if matches!(self.activity, Activity::Idle | Activity::Planned(_)) {
            let sooner = self.planned().into_iter().chain(early).min().filter(|planned| *planned < tick);
            self.activity = sooner.map_or(Activity::Idle, Activity::Planned);
        }
    }

    /// Plans a probe for `now` if the target waits for its settings.
    pub(super) fn reprobe(&mut self, now: Instant) -> Option<Instant> {
        (self.activity == Activity::AwaitingSettings).then(|| {
            self.activity = Activity::Planned(now);
            now
        })
    }

    /// Advances to the next due time. Returns the effect of the present one, and how many after it were missed before
    /// `now`.
    ///
    /// - No probe runs or waits: a probe starts, and replaces a planned extra one.
    /// - An extra probe runs: it takes the place of the due time.
    /// - An extra probe waits for a limit: its place in the queue becomes that of the due time.
    /// - A regular probe runs whose deadline is the due time: it is about to end, and the next one starts then.
    /// - A regular probe runs or waits otherwise: the due time is skipped.
    pub(super) fn advance(&mut self, now: Instant) -> (Tick, u64) {
        let due = self.tick;
        let (next, missed) = schedule::advance(due, self.target.settings.cadence.interval(), now);
        self.tick = next;
        let tick = match &mut self.activity {
            Activity::Idle => Tick::Due(due),
            Activity::AwaitingSettings | Activity::Planned(_) => {
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

    /// Records that a probe that was due then waits for a limit.
    pub(super) fn wait(&mut self, due: Instant) {
        self.activity = Activity::Waiting { due, kind: self.kind_about_to_start() };
    }

    /// The due time of a probe that waits for a limit.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.activity {
            Activity::Waiting { due, .. } => Some(due),
            Activity::Idle | Activity::AwaitingSettings | Activity::Planned(_) | Activity::Running { .. } => None,
        }
    }

    /// Records the start of a probe, and returns its deadline.
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

    /// Records the end of the probe.
    pub(super) fn end(&mut self, ended: Instant, next: Next) -> End {
        let activity = std::mem::replace(&mut self.activity, Activity::Idle);
        if let Activity::Running { then: Some(due), .. } = activity {
            return End::Due(due);
        }
        match next {
            Next::Retry(delay) => {
                let Some(retry) = schedule::retry(ended, delay, self.tick) else { return End::Idle };
                self.activity = Activity::Planned(retry);
                End::Planned(retry)
            }
            Next::Repeat => {
                self.activity = Activity::AwaitingSettings;
                End::Idle
            }
            Next::OnSchedule => End::Idle,
        }
    }

    fn kind_about_to_start(&self) -> Kind {
        match self.activity {
            Activity::Planned(_) => Kind::Extra,
            Activity::Waiting { kind, .. } => kind,
            Activity::Idle | Activity::AwaitingSettings | Activity::Running { .. } => Kind::Regular,
        }
    }
}
