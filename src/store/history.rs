//! Reads the history of targets: daily figures and incidents. The last seconds may not be written yet.

use rusqlite::{Connection, Row, params};

use super::of_millis;
use crate::board::{Day, DayFigures, State};
use crate::clock::Timestamp;
use crate::inventory::Page;
use crate::target::TargetName;

/// The time from a confirmed change from up to down until the next confirmed change to up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incident {
    /// The name of the target, which may have been removed since.
    pub target: String,
    /// Its beginning.
    pub began: Timestamp,
    /// Its end; `None` while it lasts.
    pub ended: Option<Timestamp>,
    /// The phase of the failure at its beginning.
    pub phase: String,
    /// The class of the failure at its beginning.
    pub class: String,
    /// Details of the failure at its beginning.
    pub detail: String,
}

/// Which incidents. The latest comes first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IncidentQuery {
    /// Only those of this target.
    pub target: Option<String>,
    /// Only those that last, or only those that have ended.
    pub is_open: Option<bool>,
    /// The part of the list.
    pub page: Page,
}

/// A part of the incidents that match a query.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IncidentList {
    /// The number of all that match.
    pub total: usize,
    /// The requested part.
    pub incidents: Vec<Incident>,
}

/// A confirmed change of state that begins or ends an incident.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Its moment.
    pub at: Timestamp,
    /// The new state, down or up.
    pub to: State,
    /// The incident, as far as it is known now.
    pub incident: Incident,
}

/// Returns the latest changes, the latest first.
pub(super) fn changes(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Change>> {
    let mut statement = connection.prepare_cached(CHANGES)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([limit], |row| {
        let is_end: bool = row.get(7)?;
        let to = if is_end { State::Up } else { State::Down };
        Ok(Change { at: of_millis(row.get(6)?), to, incident: incident(row)? })
    })?;
    rows.collect()
}

/// Returns the figures of a target, one for each day that has any between these two, in their order. A clock that was
/// wrong may have left later ones.
pub(super) fn days(
    connection: &Connection,
    name: &TargetName,
    since: Day,
    until: Day,
) -> rusqlite::Result<Vec<DayFigures>> {
    let mut statement = connection.prepare_cached(DAYS)?;
    let rows = statement.query_map(params![name.as_str(), since.number(), until.number()], |row| {
        Ok(DayFigures {
            day: Day::from_number(row.get(0)?),
            probes: row.get(1)?,
            failures: row.get(2)?,
            up_millis: row.get(3)?,
            down_millis: row.get(4)?,
        })
    })?;
    rows.collect()
}

impl IncidentQuery {
    pub(super) fn list(&self, connection: &Connection) -> rusqlite::Result<IncidentList> {
        let Self { target, is_open, page } = self;
        let total: i64 = connection
            .prepare_cached(COUNT)?
            .query_row(params![target, is_open], |row| row.get(0))?;
        let [limit, offset] = [page.limit, page.offset].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let mut statement = connection.prepare_cached(INCIDENTS)?;
        let rows = statement.query_map(params![target, is_open, limit, offset], incident)?;
        Ok(IncidentList {
            total: usize::try_from(total).unwrap_or_default(),
            incidents: rows.collect::<Result<_, _>>()?,
        })
    }
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let ended: Option<i64> = row.get(2)?;
    Ok(Incident {
        target: row.get(0)?,
        began: of_millis(row.get(1)?),
        ended: ended.map(of_millis),
        phase: row.get(3)?,
        class: row.get(4)?,
        detail: row.get(5)?,
    })
}

const DAYS: &str = "SELECT day, probes, failures, up_ms, down_ms FROM days \
     WHERE target = (SELECT id FROM targets WHERE name = ?1) AND day BETWEEN ?2 AND ?3 ORDER BY day";

const COUNT: &str = "SELECT count(*) FROM incidents JOIN targets ON targets.id = incidents.target \
     WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR (ended_ms IS NULL) = ?2)";

const INCIDENTS: &str = "SELECT name, began_ms, ended_ms, phase, class, detail \
     FROM incidents JOIN targets ON targets.id = incidents.target \
     WHERE (?1 IS NULL OR name = ?1) AND (?2 IS NULL OR (ended_ms IS NULL) = ?2) \
     ORDER BY began_ms DESC, incidents.id DESC LIMIT ?3 OFFSET ?4";

const CHANGES: &str = "SELECT name, began_ms, ended_ms, phase, class, detail, began_ms AS at_ms, 0 AS is_end, incidents.id AS id \
         FROM incidents JOIN targets ON targets.id = incidents.target \
     UNION ALL SELECT name, began_ms, ended_ms, phase, class, detail, ended_ms, 1, incidents.id \
         FROM incidents JOIN targets ON targets.id = incidents.target WHERE ended_ms IS NOT NULL \
     ORDER BY at_ms DESC, id DESC, is_end DESC LIMIT ?1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_at_its_moment() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/1.sql")).unwrap();
        connection
            .execute_batch(
                "INSERT INTO targets (id, name, url, state) VALUES (1, 'a', '', 'up'), (2, 'b', '', 'down');
                 INSERT INTO incidents (target, began_ms, ended_ms, phase, class, detail) VALUES
                 (1, 1000, 9000, 'connect', 'refused', ''), (2, 2000, 3000, 'connect', 'timeout', ''),
                 (2, 8000, NULL, 'connect', 'timeout', ''), (1, 9000, 9000, 'connect', 'refused', '');",
            )
            .unwrap();
        let seen = |limit| -> Vec<_> {
            let changes = changes(&connection, limit).unwrap().into_iter();
            changes
                .map(|change| (change.at.as_duration().as_millis(), change.to, change.incident.target))
                .collect()
        };
        let expected = [
            (9000, State::Up, "a"),
            (9000, State::Down, "a"),
            (9000, State::Up, "a"),
            (8000, State::Down, "b"),
            (3000, State::Up, "b"),
            (2000, State::Down, "b"),
            (1000, State::Down, "a"),
        ]
        .map(|(at, to, name)| (at, to, name.to_owned()));
        assert_eq!(seen(100), expected);
        assert_eq!(seen(2), expected[..2]);
    }
}
