//! Deletes history that is older than the retention, in small steps.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::millis;
use crate::board::Day;
use crate::clock::Timestamp;

/// The bounds of the history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Retention {
    /// The moment from which it counts back.
    pub(super) now: Timestamp,
    /// How long it is kept.
    pub(super) period: Duration,
    /// The number of targets, if the database is in memory, where the number of rows is limited.
    pub(super) targets_in_memory: Option<usize>,
}

impl Retention {
    /// Returns the first day whose figures are kept.
    pub(super) fn first_day(&self) -> Day {
        let today = Day::of(self.now).number();
        let kept = u32::try_from(self.period.as_secs() / Duration::from_hours(24).as_secs()).unwrap_or(u32::MAX);
        let kept = self.targets_in_memory.map_or(kept, |targets| {
            let days = MAX_DAYS_IN_MEMORY / targets.max(1);
            kept.min(u32::try_from(days).unwrap_or(u32::MAX).max(1))
        });
        Day::from_number(today.saturating_sub(kept.saturating_sub(1)))
    }

    /// Deletes old incidents, and targets that have been absent for long with everything about them; a limited number
    /// of them, so that a write stays short.
    pub(super) fn delete_some(&self, connection: &Connection) -> rusqlite::Result<()> {
        let before = millis(Timestamp::since_epoch(self.now.as_duration().saturating_sub(self.period)));
        connection
            .prepare_cached(OLD_INCIDENTS)?
            .execute(params![before, MAX_INCIDENTS_A_STEP])?;
        connection
            .prepare_cached(OLD_TARGETS)?
            .execute(params![before, MAX_TARGETS_A_STEP])?;
        if self.targets_in_memory.is_some() {
            connection.prepare_cached(MANY_INCIDENTS)?.execute([MAX_INCIDENTS_IN_MEMORY])?;
            connection.prepare_cached(MANY_ABSENT)?.execute([MAX_ABSENT_IN_MEMORY])?;
        }
        Ok(())
    }
}

const OLD_INCIDENTS: &str =
    "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE ended_ms < ? ORDER BY ended_ms LIMIT ?)";

const OLD_TARGETS: &str = "DELETE FROM targets WHERE id IN (SELECT id FROM targets WHERE absent_since_ms < ? LIMIT ?)";

const MANY_INCIDENTS: &str = "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE ended_ms IS NOT NULL \
                              ORDER BY ended_ms DESC LIMIT -1 OFFSET ?)";

const MANY_ABSENT: &str = "DELETE FROM targets WHERE id IN (SELECT id FROM targets WHERE absent_since_ms IS NOT NULL \
                           ORDER BY absent_since_ms DESC LIMIT -1 OFFSET ?)";

/// A row of daily figures takes about 30 bytes, so that these take 30 MB.
const MAX_DAYS_IN_MEMORY: usize = 1_000_000;

const MAX_INCIDENTS_IN_MEMORY: u32 = 10_000;

const MAX_ABSENT_IN_MEMORY: u32 = 10_000;

const MAX_INCIDENTS_A_STEP: u32 = 1000;

const MAX_TARGETS_A_STEP: u32 = 100;
