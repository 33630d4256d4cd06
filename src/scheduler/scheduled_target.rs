//! One scheduled target: its activity, which changes with a tick, a limit or the end of a probe.
//!
//! This is pure state: instants are arguments, and decisions are return values that the scheduler carries out.

use std::sync::Arc;

use tokio::time::Instant;

use super::schedule;
use crate::outcome::Next;
use crate::target::Target;

/// A target and its activity. It has only one activity, so its probes never overlap.
#[derive(Debug)]
pub(super) struct ScheduledTarget {
    target: Arc<Target>,
    /// The next tick, a due time on the grid.
    tick: Instant,
    activity: Activity,
    last_probe: LastProbe,
}

/// The last probe of a target, which predicts how long the next one takes.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum LastProbe {
    /// It succeeded or failed before its deadline.
    InTime,
    /// It ran into its timeout, or there was none yet.
    #[default]
    NotInTime,
}

/// The activity of a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Activity {
    /// The target waits for its next tick.
    Idle,
    /// The last probe was discarded because the settings changed. The next one starts once the scheduler has them.
    AwaitingSettings,
    /// An extra probe starts at this instant.
    Planned(Instant),
    /// A due probe waits for a limit.
    Waiting { due: Instant, kind: Kind },
    /// Somebody else probes the target. The extra probe that was planned, or the probe of a tick that occurs meanwhile, starts
    /// once the target is back.
    Lent { planned: Option<Instant>, then: Option<Instant> },
    /// A probe runs. If a tick occurs just before its end, `then` is that tick, and its probe starts right after the
    /// end.
    Running { kind: Kind, deadline: Instant, then: Option<Instant> },
}

/// The reason for a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// An early first probe, a retry or a repeated probe, which does not affect the grid.
    Extra,
    /// A tick.
    Regular,
}

/// The effect of a tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tick {
    /// A probe must start, which was due at this instant.
    Due(Instant),
    /// The last probe is still running.
    Overlap,
    /// The last probe is still waiting for a limit.
    StillWaiting,
    /// An extra probe covers the tick, or its probe starts as soon as the current one has ended.
    Taken,
}

/// The effect of the end of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A probe must start at once, which was due at this instant.
    Due(Instant),
    /// Nothing happens before the next tick or the arrival of new settings.
    Idle,
    /// An extra probe starts at this instant.
    Planned(Instant),
}

impl ScheduledTarget {
    /// Creates a target with its first tick and, if there is one, an earlier first probe.
    pub(super) fn new(target: Arc<Target>, tick: Instant, early: Option<Instant>) -> Self {
        Self {
            target,
            tick,
            activity: early.map_or(Activity::Idle, Activity::Planned),
            last_probe: LastProbe::default(),
        }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Returns the next tick.
    pub(super) fn tick(&self) -> Instant {
        self.tick
    }

    /// Returns the last probe.
    pub(super) fn last_probe(&self) -> LastProbe {
        self.last_probe
    }

    /// Returns the start of the planned extra probe.
    pub(super) fn planned(&self) -> Option<Instant> {
        match self.activity {
            Activity::Planned(due) => Some(due),
            Activity::Idle
            | Activity::AwaitingSettings
            | Activity::Lent { .. }
            | Activity::Waiting { .. }
            | Activity::Running { .. } => None,
        }
    }

    /// Returns whether a due time is the next tick or that of the planned probe. Any other due time is stale.
    pub(super) fn is_next(&self, due: Instant) -> bool {
        self.tick == due || self.planned() == Some(due)
    }

    /// Replaces the target with a new version and keeps the grid and the activity.
    pub(super) fn replace_target(&mut self, target: Arc<Target>) {
        self.target = target;
    }

    /// Moves the target to another grid. A running or waiting probe is kept, as is a planned one before the first tick.
    pub(super) fn reschedule(&mut self, tick: Instant, early: Option<Instant>) {
        self.tick = tick;
        if matches!(self.activity, Activity::Idle | Activity::Planned(_)) {
            let sooner = self.planned().into_iter().chain(early).min().filter(|planned| *planned < tick);
            self.activity = sooner.map_or(Activity::Idle, Activity::Planned);
        }
    }

    /// Plans a probe for `now` if the target was waiting for its settings.
    pub(super) fn reprobe(&mut self, now: Instant) -> Option<Instant> {
        (self.activity == Activity::AwaitingSettings).then(|| {
            self.activity = Activity::Planned(now);
            now
        })
    }

    /// Advances to the next tick. Returns the effect of the current one and the number of later ones missed before
    /// `now`, because this process was stopped.
    ///
    /// - If no probe runs or waits, a probe starts and replaces a planned extra one.
    /// - If an extra probe runs, it covers the tick.
    /// - If an extra probe waits for a limit, it becomes the regular probe of the tick.
    /// - If a regular probe runs until its deadline at the tick, or its deadline passed while this process was stopped,
    ///   the next one starts right after its end.
    /// - If a regular probe runs longer, or waits, the tick is skipped.
    /// - If the target is lent, the probe starts once it is back; the tick after that is skipped.
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
            Activity::Lent { planned, then: then @ None } => {
                (*planned, *then) = (None, Some(due));
                Tick::Taken
            }
            Activity::Waiting { kind: Kind::Regular, .. } => Tick::StillWaiting,
            Activity::Waiting { kind: kind @ Kind::Extra, .. } => {
                *kind = Kind::Regular;
                Tick::Taken
            }
            Activity::Running { kind: Kind::Extra, .. } => Tick::Taken,
            Activity::Running { kind: Kind::Regular, deadline, then }
                if schedule::is_about_to_end(*deadline, due, now) =>
            {
                *then = Some(due);
                Tick::Taken
            }
            Activity::Lent { then: Some(_), .. } | Activity::Running { kind: Kind::Regular, .. } => Tick::Overlap,
        };
        (tick, missed)
    }

    /// Records that a probe due at this instant waits for a limit.
    pub(super) fn wait(&mut self, due: Instant) {
        self.activity = Activity::Waiting { due, kind: self.kind_about_to_start() };
    }

    /// Returns the due time of the probe that waits for a limit.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.activity {
            Activity::Waiting { due, .. } => Some(due),
            Activity::Idle
            | Activity::AwaitingSettings
            | Activity::Lent { .. }
            | Activity::Planned(_)
            | Activity::Running { .. } => None,
        }
    }

    /// Records the start of a probe and returns its deadline.
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

    /// Records the end of the probe and returns its effect.
    pub(super) fn end(&mut self, ended: Instant, next: Next) -> End {
        if let Activity::Running { deadline, then, .. } = std::mem::replace(&mut self.activity, Activity::Idle) {
            self.last_probe = if ended < deadline { LastProbe::InTime } else { LastProbe::NotInTime };
            if let Some(due) = then {
                return End::Due(due);
            }
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

    /// Lends the target to somebody else. Returns false if a probe runs, or is due and waits.
    pub(super) fn lend(&mut self) -> bool {
        let planned = match self.activity {
            Activity::Idle => None,
            Activity::Planned(due) => Some(due),
            Activity::AwaitingSettings
            | Activity::Lent { .. }
            | Activity::Running { .. }
            | Activity::Waiting { .. } => {
                return false;
            }
        };
        self.activity = Activity::Lent { planned, then: None };
        true
    }

    /// Takes a lent target back and returns the effect.
    pub(super) fn take_back(&mut self, now: Instant) -> End {
        let Activity::Lent { planned, then } = self.activity else { return End::Idle };
        self.activity = Activity::Idle;
        if let Some(due) = then {
            return End::Due(due);
        }
        planned.map_or(End::Idle, |planned| {
            let due = planned.max(now);
            self.activity = Activity::Planned(due);
            End::Planned(due)
        })
    }

    fn kind_about_to_start(&self) -> Kind {
        match self.activity {
            Activity::Planned(_) => Kind::Extra,
            Activity::Waiting { kind, .. } => kind,
            Activity::Idle | Activity::AwaitingSettings | Activity::Lent { .. } | Activity::Running { .. } => {
                Kind::Regular
            }
        }
    }
}
