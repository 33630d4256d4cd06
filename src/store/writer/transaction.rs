//! One transaction: changes of state with their incidents, records, removals, and the deletion of old history.

use rusqlite::{Connection, TransactionBehavior, params};

use super::pending::Pending;
use crate::board::{State, TargetRecord, Transition};
use crate::clock::Timestamp;
use crate::outcome::Failure;
use crate::store::retention::Retention;
use crate::store::{certificates, millis, outcomes};
use crate::target::Target;

/// A transaction at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    pub(super) now: Timestamp,
    /// When an earlier process last wrote, if this one has not.
    pub(super) left: Option<Timestamp>,
    pub(super) retention: Retention,
}

/// The state of a target, as it is written.
#[derive(Clone, Copy, Debug)]
struct StateOf<'a> {
    target: &'a Target,
    state: State,
    since: Option<Timestamp>,
    failure: Option<&'a Failure>,
}

impl Transaction {
    /// Writes everything that is pending, or nothing. Nothing is pending then.
    pub(super) fn write(&self, connection: &mut Connection, pending: &mut Pending) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(left) = self.left {
            transaction.execute(LEAVE, [millis(left)])?;
        }
        for transition in &pending.transitions {
            write_transition(&transaction, transition)?;
        }
        let first_day = self.retention.first_day().number();
        for record in pending.records.values() {
            let id = write_record(&transaction, record, pending)?;
            transaction.prepare_cached(DELETE_DAYS)?.execute(params![id, first_day])?;
        }
        for (name, at) in &pending.removed {
            transaction
                .prepare_cached(SET_ABSENT)?
                .execute(params![name.as_str(), millis(*at)])?;
        }
        self.retention.delete_some(&transaction)?;
        transaction.prepare_cached(SET_WRITTEN)?.execute([millis(self.now)])?;
        transaction.commit()?;
        pending.clear();
        Ok(())
    }
}

fn write_transition(connection: &Connection, transition: &Transition) -> rusqlite::Result<()> {
    let Transition { target, from, to, at, failure, .. } = transition;
    let state = StateOf { target, state: *to, since: Some(*at), failure: failure.as_ref() };
    let id = write_state(connection, state)?;
    match (from, to, failure) {
        (_, State::Up, _) => connection.prepare_cached(END_INCIDENT)?.execute(params![id, millis(*at)])?,
        (State::Up, State::Down, Some(failure)) => {
            let Failure { phase, class, detail } = failure;
            let values = params![id, millis(*at), phase.as_str(), class.as_str(), detail];
            connection.prepare_cached(BEGIN_INCIDENT)?.execute(values)?
        }
        _ => 0,
    };
    Ok(())
}

fn write_record(connection: &Connection, record: &TargetRecord, pending: &Pending) -> rusqlite::Result<i64> {
    let TargetRecord { target, state, since, failure, last_probe, recent, days, .. } = record;
    let id = write_state(connection, StateOf { target, state: *state, since: *since, failure: failure.as_ref() })?;
    let values = params![id, last_probe.map(millis), outcomes::to_text(recent)];
    connection.prepare_cached(SET_LAST)?.execute(values)?;
    if let Some(json) = pending.new_certificates(record).and_then(|peer| certificates::to_json(peer)) {
        connection.prepare_cached(SET_CERTIFICATES)?.execute(params![id, json])?;
    }
    for day in days {
        let values = params![id, day.day.number(), day.probes, day.failures, day.up_millis, day.down_millis];
        connection.prepare_cached(ADD_DAY)?.execute(values)?;
    }
    Ok(id)
}

/// Writes the state of a target and returns its row.
fn write_state(connection: &Connection, of: StateOf<'_>) -> rusqlite::Result<i64> {
    let StateOf { target, state, since, failure } = of;
    let values = params![
        target.name.as_str(),
        target.endpoint.to_string(),
        state.as_str(),
        since.map(millis),
        failure.map(|failure| failure.phase.as_str()),
        failure.map(|failure| failure.class.as_str()),
        failure.map(|failure| &*failure.detail),
    ];
    connection.prepare_cached(SET_STATE)?.query_row(values, |row| row.get(0))
}

/// The certificates of another endpoint are not those of this one.
const SET_STATE: &str = "INSERT INTO targets (name, url, state, since_ms, failure_phase, failure_class, failure_detail) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET url = ?2, state = ?3, since_ms = ?4, \
     failure_phase = ?5, failure_class = ?6, failure_detail = ?7, absent_since_ms = NULL, \
     certificates = CASE url WHEN ?2 THEN certificates END RETURNING id";

const SET_LAST: &str = "UPDATE targets SET last_probe_ms = coalesce(?2, last_probe_ms), outcomes = ?3 WHERE id = ?1";

const SET_CERTIFICATES: &str = "UPDATE targets SET certificates = ?2 WHERE id = ?1";

const ADD_DAY: &str = "INSERT INTO days (target, day, probes, failures, up_ms, down_ms) VALUES (?, ?, ?, ?, ?, ?) \
     ON CONFLICT (target, day) DO UPDATE SET probes = probes + excluded.probes, failures = failures + excluded.failures, \
     up_ms = up_ms + excluded.up_ms, down_ms = down_ms + excluded.down_ms";

const DELETE_DAYS: &str = "DELETE FROM days WHERE target = ? AND day < ?";

/// Nobody has probed these targets since then; those that are probed again are written later in the same transaction.
const LEAVE: &str = "UPDATE targets SET absent_since_ms = ? WHERE absent_since_ms IS NULL";

const SET_ABSENT: &str = "UPDATE targets SET absent_since_ms = ?2 WHERE name = ?1";

/// An incident that an earlier process began is still open.
const BEGIN_INCIDENT: &str = "INSERT INTO incidents (target, began_ms, phase, class, detail) VALUES (?, ?, ?, ?, ?) \
     ON CONFLICT (target) WHERE ended_ms IS NULL DO NOTHING";

/// A clock that was set back ends no incident before its beginning.
const END_INCIDENT: &str = "UPDATE incidents SET ended_ms = max(?2, began_ms) WHERE target = ?1 AND ended_ms IS NULL";

const SET_WRITTEN: &str = "INSERT INTO last_write (id, written_ms) VALUES (1, ?1) \
     ON CONFLICT (id) DO UPDATE SET written_ms = ?1";
