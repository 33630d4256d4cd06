//! Reads what is remembered of targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row};

use super::{certificates, of_millis, outcomes};
use crate::board::{Remembered, RememberedState, State};
use crate::clock::Timestamp;
use crate::outcome::{Class, Failure, Phase};
use crate::target::{Target, TargetName};

/// A read of the database at a moment.
#[derive(Debug)]
pub(super) struct Recall<'a> {
    pub(super) connection: &'a Connection,
    /// When an earlier process last wrote, if this one has not.
    pub(super) left: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Recall<'_> {
    /// Returns what is remembered of these targets; nothing of those that were never seen.
    pub(super) fn targets(&self, targets: &[Arc<Target>]) -> rusqlite::Result<HashMap<TargetName, Remembered>> {
        let mut remembered = HashMap::new();
        let mut statement = self.connection.prepare_cached(SELECT)?;
        for target in targets {
            let mut rows = statement.query([target.name.as_str()])?;
            if let Some(row) = rows.next()? {
                remembered.insert(target.name.clone(), self.remembered(target, row)?);
            }
        }
        Ok(remembered)
    }

    fn remembered(&self, target: &Target, row: &Row<'_>) -> rusqlite::Result<Remembered> {
        let is_same = row.get_ref("url")?.as_str()? == target.endpoint.to_string();
        if !is_same {
            return Ok(Remembered::default());
        }
        let certificates: Option<String> = row.get("certificates")?;
        let absent_since: Option<i64> = row.get("absent_since_ms")?;
        let absent_since = absent_since.map(of_millis).or(self.left);
        let is_fresh = absent_since.is_none_or(|since| self.is_fresh(target, since));
        Ok(Remembered {
            state: if is_fresh { state(row)? } else { None },
            recent: outcomes::of_text(row.get_ref("outcomes")?.as_str()?),
            certificates: certificates.as_deref().and_then(certificates::of_json).map(Arc::new),
        })
    }

    /// Returns whether the state of a target that is absent since then still counts. A moment in the future is no
    /// measure, because the clock was set.
    fn is_fresh(&self, target: &Target, absent_since: Timestamp) -> bool {
        let [absent_since, now] = [absent_since, self.now].map(Timestamp::as_duration);
        let longest = MIN_MEMORY.max(target.settings.cadence.interval() * INTERVALS);
        match now.checked_sub(absent_since) {
            Some(age) => age <= longest,
            None => absent_since.saturating_sub(now) <= CLOCK_TOLERANCE,
        }
    }
}

/// Reads a confirmed state; `None` if it is unknown, or if somebody has edited it into something else.
fn state(row: &Row<'_>) -> rusqlite::Result<Option<RememberedState>> {
    let state = State::of_name(row.get_ref("state")?.as_str()?);
    let since: Option<i64> = row.get("since_ms")?;
    let (Some(state @ (State::Up | State::Down)), Some(since)) = (state, since) else { return Ok(None) };
    Ok(Some(RememberedState { state, since: of_millis(since), failure: failure(row)? }))
}

fn failure(row: &Row<'_>) -> rusqlite::Result<Option<Failure>> {
    let text = |column| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let (phase, class, detail) = (text("failure_phase")?, text("failure_class")?, text("failure_detail")?);
    let (Some(phase), Some(class)) = (Phase::of_name(&phase), Class::of_name(&class)) else { return Ok(None) };
    Ok(Some(Failure { phase, class, detail }))
}

const SELECT: &str = "SELECT url, state, since_ms, failure_phase, failure_class, failure_detail, outcomes, certificates, \
                      absent_since_ms FROM targets WHERE name = ?";

/// A restart with a new version takes minutes at most.
const MIN_MEMORY: Duration = Duration::from_mins(10);

/// A state is at least this many intervals old before it is forgotten.
const INTERVALS: u32 = 3;

/// Differences between the clocks of two machines that use the same directory one after the other.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
