//! Reads the history of targets: daily figures and incidents. The last seconds may not be written yet.

use rusqlite::{Connection, Row, params};

use super::of_millis;
use crate::board::{Day, DayFigures};
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
