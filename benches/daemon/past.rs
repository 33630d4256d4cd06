//! A database as portprobe leaves it after months: every target with its outcomes, daily figures and incidents.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::process::Load;
use super::snapshot::now;
use super::tls_servers;

/// Writes the database of a load into a folder, and returns its size in bytes.
///
/// Each target was probed every minute, and was down for some minutes on every 45th day. A hundredth is down.
pub(crate) fn write(folder: &Path, load: &Load<'_>, days: i64) -> f64 {
    let file = folder.join("portprobe.db");
    let mut connection = Connection::open(&file).unwrap();
    connection.execute_batch(include_str!("../../src/store/schema/1.sql")).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let transaction = connection.transaction().unwrap();
    let now = millis(now());
    let today = now / DAY;
    transaction.execute("INSERT INTO last_write VALUES (1, ?)", [now]).unwrap();
    for (number, address) in (0..load.targets).zip(load.addresses.iter().cycle()) {
        let (id, is_down) = (i64::try_from(number).unwrap(), number % 100 == 0);
        let failure = |text| is_down.then_some(text);
        let (name, url) = (format!("tcp://{}:443", tls_servers::name(number)), format!("tcp://{address}"));
        let [phase, class, detail] = ["connect", "refused", "Connection refused (os error 111)"].map(failure);
        let values = params![id, name, url, state(is_down), now - 3 * DAY, phase, class, detail, now, outcomes(number)];
        transaction.prepare_cached(TARGET).unwrap().execute(values).unwrap();
        transaction
            .prepare_cached(DAYS)
            .unwrap()
            .execute([id, today - days + 1, today])
            .unwrap();
        for day in (today - days + 1..today).filter(|day| (day + id) % 45 == 0) {
            let began = day * DAY + 3_600_000;
            transaction
                .prepare_cached(INCIDENT)
                .unwrap()
                .execute([id, began, began + 240_000])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(connection);
    fs::metadata(file).unwrap().len() as f64
}

fn state(is_down: bool) -> &'static str {
    if is_down { "down" } else { "up" }
}

/// The last 60 outcomes, all successful, with durations of one to ten milliseconds.
fn outcomes(number: usize) -> String {
    let outcomes: Vec<_> = (0..60)
        .map(|probe| format!("ok:{}", 1000 + (number * 61 + probe * 1_237) % 9000))
        .collect();
    outcomes.join(" ")
}

fn millis(seconds: f64) -> i64 {
    i64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap()
}

const TARGET: &str = "INSERT INTO targets (id, name, url, state, since_ms, failure_phase, failure_class, failure_detail, \
     last_probe_ms, outcomes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const DAYS: &str = "WITH RECURSIVE every(day) AS (SELECT ?2 UNION ALL SELECT day + 1 FROM every WHERE day < ?3) \
     INSERT INTO days SELECT ?1, day, 1440, (day + ?1) % 3, 86400000 - 240000 * ((day + ?1) % 45 = 0), \
     240000 * ((day + ?1) % 45 = 0) FROM every";

const INCIDENT: &str = "INSERT INTO incidents (target, began_ms, ended_ms, phase, class, detail) \
     VALUES (?, ?, ?, 'connect', 'timeout', 'no response to the SYN within 10s')";

/// Milliseconds.
const DAY: i64 = 86_400_000;
