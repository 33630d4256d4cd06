//! Tests of the store: what one process writes, another remembers.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::board::{DayFigures, Recent, Remembered, RememberedState, State};
use crate::histogram::Buckets;
use crate::options::HistogramOptions;
use crate::outcome::{Class, Facts, Failure, Fault as ProbeFault, Outcome, Phase, Report, Timings, example_facts};
use crate::store::{DEFAULT_RETENTION, OpenError, Store, StoreOptions, millis};
use crate::target::{Cadence, Confirm, ProbeKind, Settings, Target, TlsExchange, example};

const NOW: u64 = 1_790_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::since_epoch(Duration::from_secs(seconds))
}

/// A process that probes targets and writes into a folder.
struct Process {
    board: Arc<Board>,
    store: Store,
    work: Work,
    messages: Receiver<Message>,
}

impl Process {
    fn start(folder: &Path, targets: &[Arc<Target>]) -> Self {
        let options = StoreOptions { path: Some(folder.to_owned()), retention: DEFAULT_RETENTION };
        Self::with(&options, targets, at(NOW))
    }

    fn with(options: &StoreOptions, targets: &[Arc<Target>], now: Timestamp) -> Self {
        let (store, writer) = Store::open(options, now).unwrap();
        let histograms = HistogramOptions { buckets: Buckets::default(), native: false, phases: Vec::new() };
        let board = Arc::new(Board::new(histograms));
        board.replace_with(targets, store.recall(targets, now), |_| {});
        store.added(targets.iter().map(|target| target.name.clone()).collect());
        let Writer { database, statistics, retention, messages, .. } = writer;
        let work = Work {
            board: board.clone(),
            database,
            statistics,
            retention,
            pending: Pending::default(),
            next_row: 0,
            health: Health::Good,
            retention_clock: None,
        };
        Self { board, store, work, messages }
    }

    /// Records the result of a probe that ended then.
    fn probe(&self, target: &Arc<Target>, seconds: u64, result: Result<(), Class>) {
        let failure = |class| ProbeFault::failure(Phase::Tls, class, "so it is");
        let outcome = Outcome {
            result: result.map_err(failure),
            duration: Duration::from_millis(2),
            timings: Timings::default(),
            resolution: None,
            attempts: Vec::new(),
            facts: Facts { tls: Some(example_facts(7, &[Class::CertExpired])), ..Facts::default() },
            client_certificate_not_after: None,
        };
        let report = Report { target: target.clone(), outcome, ended: Instant::now(), ended_at: at(seconds) };
        if let Some(transition) = self.board.record(&report).transition {
            self.store.note(&transition);
        }
    }

    /// Handles what was noted, and writes everything.
    fn write(&mut self) {
        let _ = self.work.receive(&self.messages, Instant::now());
        self.work.take_records(self.board.rows().len());
        self.work.write();
    }

    fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        let query = |connection: &Connection| {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        self.work.database.read(query).unwrap()
    }
}

/// A target whose state changes with each result.
fn target(url: &str) -> Arc<Target> {
    let confirm = Confirm { failures: NonZeroU32::MIN, delay: Duration::ZERO, successes: NonZeroU32::MIN };
    let probe_kind = ProbeKind::Tls(Arc::new(TlsExchange::default()));
    Arc::new(example(url, Settings { confirm, probe_kind, ..Settings::default() }))
}

fn recalled(process: &Process, target: &Arc<Target>, seconds: u64) -> Remembered {
    let mut remembered = process.store.recall(std::slice::from_ref(target), at(seconds));
    remembered.remove(&target.name).unwrap_or_default()
}

/// Sets the time of the last write, which is otherwise that of the machine.
fn written_at(folder: &Path, seconds: u64) {
    let connection = Connection::open(folder.join("portprobe.db")).unwrap();
    connection
        .execute("UPDATE last_write SET written_ms = ?", [millis(at(seconds))])
        .unwrap();
}

#[test]
fn a_state_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let (up, down) = (target("up.example:1"), target("down.example:1"));
    let mut process = Process::start(folder.path(), &[up.clone(), down.clone()]);
    process.probe(&up, NOW, Ok(()));
    process.probe(&down, NOW + 1, Ok(()));
    process.probe(&down, NOW + 2, Err(Class::CertExpired));
    process.write();
    drop(process);
    written_at(folder.path(), NOW + 5);
    let process = Process::with(
        &StoreOptions { path: Some(folder.path().to_owned()), ..StoreOptions::default() },
        &[up.clone(), down.clone()],
        at(NOW + 60),
    );
    let rows = process.board.rows();
    let state = |target: &Arc<Target>| rows.find(&target.name, |row| (row.state(), row.state_since())).unwrap();
    assert_eq!(state(&up), (State::Up, Some(at(NOW))));
    assert_eq!(state(&down), (State::Down, Some(at(NOW + 2))));
    let failure = Failure { phase: Phase::Tls, class: Class::CertExpired, detail: "so it is".into() };
    rows.find(&down.name, |row| {
        assert_eq!(row.failure(), Some(&failure));
        assert_eq!(
            row.history().iter().map(|recent| recent.failure).collect::<Vec<_>>(),
            [None, Some(Class::CertExpired)]
        );
        assert_eq!(row.peer_certificates(), example_facts(7, &[Class::CertExpired]).peer.as_ref());
        assert_eq!((row.probes(), row.outages()), (0, 0), "counters begin at zero");
        assert!(row.down_time(Instant::now()) < Duration::from_secs(58), "{row:?}");
    });
}

/// With very many targets, the records of a start wait for their transaction while states change.
#[test]
fn an_earlier_record_hides_no_change() {
    let folder = TempDir::new().unwrap();
    let target = target("a.example:1");
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, NOW, Ok(()));
    let _ = process.work.receive(&process.messages, Instant::now());
    process.work.take_all_records();
    process.probe(&target, NOW + 1, Err(Class::CertExpired));
    let _ = process.work.receive(&process.messages, Instant::now());
    process.work.write();
    let states = process.query::<String>("SELECT state || ' ' || since_ms || ' ' || failure_class FROM targets");
    assert_eq!(states, [format!("down {} cert_expired", (NOW + 1) * 1000)]);
}

#[test]
fn an_old_state_is_unknown() {
    let folder = TempDir::new().unwrap();
    let minute = target("db.example:1");
    let hour = Cadence::try_new(Duration::from_hours(1), Duration::from_secs(1)).unwrap();
    let hourly = Arc::new(example("hourly.example:1", Settings { cadence: hour, ..Settings::default() }));
    let mut process = Process::start(folder.path(), &[minute.clone(), hourly.clone()]);
    process.probe(&minute, NOW, Ok(()));
    process.probe(&hourly, NOW, Ok(()));
    process.write();
    drop(process);
    written_at(folder.path(), NOW);
    let process = Process::start(folder.path(), &[]);
    for (target, later, is_known) in
        [(&minute, 600, true), (&minute, 601, false), (&hourly, 10_800, true), (&hourly, 10_801, false)]
    {
        let state = recalled(&process, target, NOW + later).state;
        assert_eq!(state.is_some(), is_known, "{} {later}", target.name);
    }
    for (earlier, is_known) in [(60, true), (61, false), (86_400, false)] {
        let state = recalled(&process, &minute, NOW - earlier).state;
        assert_eq!(state.is_some(), is_known, "the clock was set back by {earlier} s");
    }
    assert_eq!(recalled(&process, &minute, NOW + 31_536_000).recent.len(), 1, "the history stays");
    let moved = Arc::new(Target { endpoint: target("db.example:2").endpoint.clone(), ..(*minute).clone() });
    assert_eq!(recalled(&process, &moved, NOW), Remembered::default(), "another endpoint");
}

#[test]
fn a_removed_target_returns_with_its_state() {
    let folder = TempDir::new().unwrap();
    let (kept, removed) = (target("kept.example:1"), target("removed.example:1"));
    let mut process = Process::start(folder.path(), &[kept.clone(), removed.clone()]);
    process.probe(&removed, NOW, Ok(()));
    let before = process.board.rows();
    process.board.replace(std::slice::from_ref(&kept));
    process
        .store
        .removed(before.take_record(&removed.name).into_iter().collect(), at(NOW + 9));
    process.write();
    assert_eq!(
        process.query::<String>("SELECT name FROM targets WHERE absent_since_ms IS NOT NULL"),
        [removed.name.as_str()]
    );
    let expected = RememberedState { state: State::Up, since: at(NOW), failure: None };
    assert_eq!(recalled(&process, &removed, NOW + 609).state, Some(expected));
    assert_eq!(recalled(&process, &removed, NOW + 610).state, None);
    assert_eq!(process.query::<i64>("SELECT sum(probes) FROM days"), [1], "its last figures");
}

#[test]
fn an_incident_ends_with_the_next_success() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, NOW, Err(Class::CertExpired));
    process.probe(&target, NOW + 1, Ok(()));
    process.write();
    assert_eq!(process.query::<i64>("SELECT count(*) FROM incidents"), [0], "it was not up before");
    process.probe(&target, NOW + 2, Err(Class::CertUntrusted));
    process.probe(&target, NOW + 5, Ok(()));
    process.probe(&target, NOW + 7, Err(Class::CertExpired));
    process.write();
    let ends = "SELECT ended_ms - began_ms FROM incidents ORDER BY began_ms";
    assert_eq!(process.query::<Option<i64>>(ends), [Some(3000), None]);
    assert_eq!(
        process.query::<String>("SELECT class FROM incidents ORDER BY began_ms"),
        ["cert_untrusted", "cert_expired"]
    );
    drop(process);
    written_at(folder.path(), NOW - 10_000);
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, NOW + 20, Err(Class::CertExpired));
    process.write();
    assert_eq!(process.query::<Option<i64>>(ends), [Some(3000), None], "from unknown to down it goes on");
    process.probe(&target, NOW + 27, Ok(()));
    process.write();
    assert_eq!(process.query::<Option<i64>>(ends), [Some(3000), Some(20_000)]);
}

#[test]
fn a_clock_set_back_ends_no_incident_early() {
    let target = target("db.example:1");
    let mut process = Process::with(&StoreOptions::default(), std::slice::from_ref(&target), at(NOW));
    process.probe(&target, NOW, Ok(()));
    process.probe(&target, NOW + 1, Err(Class::CertExpired));
    process.probe(&target, NOW - 86_400, Ok(()));
    process.write();
    assert_eq!(process.query::<i64>("SELECT ended_ms - began_ms FROM incidents"), [0]);
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let target = target("db.example:1");
    for (index, damage) in [
        |file: &Path| fs::write(file, "this is a text\n".repeat(1000)).unwrap(),
        |file: &Path| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        },
        |file: &Path| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096..].fill(0x5a);
            fs::write(file, bytes).unwrap();
        },
    ]
    .into_iter()
    .enumerate()
    {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("portprobe.db");
        let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
        process.probe(&target, NOW, Ok(()));
        process.write();
        drop(process);
        damage(&file);
        let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
        process.work.check();
        process.probe(&target, NOW + 1, Ok(()));
        process.write();
        process.write();
        assert_eq!(process.query::<String>("SELECT name FROM targets"), [target.name.as_str()]);
        assert_eq!(process.work.statistics.recoveries(), 1, "damage {index}");
        let aside = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(
            aside
                .filter(|name| name.to_string_lossy().starts_with("portprobe.db.damaged-"))
                .count(),
            1
        );
    }
}

#[test]
fn an_unusable_directory_refuses_the_start() {
    let folder = TempDir::new().unwrap();
    let open = |path: &Path| {
        let options = StoreOptions { path: Some(path.to_owned()), retention: DEFAULT_RETENTION };
        Store::open(&options, at(NOW)).map(|_| ()).unwrap_err()
    };
    let missing = folder.path().join("missing");
    assert!(matches!(open(&missing), OpenError::Unusable { .. }));
    fs::write(&missing, "a file").unwrap();
    assert!(matches!(open(&missing), OpenError::Unusable { .. }));
    let first = Process::start(folder.path(), &[]);
    assert!(matches!(open(folder.path()), OpenError::InUse(_)));
    drop(first);
    let connection = Connection::open(folder.path().join("portprobe.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = open(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_failed_write_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    let other = Connection::open(folder.path().join("portprobe.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    process.probe(&target, NOW, Ok(()));
    process.probe(&target, NOW + 1, Err(Class::CertExpired));
    process.write();
    assert_eq!((process.work.statistics.write_failures(), process.work.health), (1, Health::Failing));
    assert_eq!(process.work.statistics.last_write(), None);
    process.probe(&target, NOW + 2, Ok(()));
    other.execute_batch("ROLLBACK").unwrap();
    process.write();
    assert_eq!(process.work.health, Health::Good);
    assert_eq!(process.query::<i64>("SELECT sum(probes) * 10 + sum(failures) FROM days"), [31]);
    assert_eq!(process.query::<i64>("SELECT ended_ms - began_ms FROM incidents"), [1000]);
    assert!(process.work.statistics.last_write().is_some());
}

#[test]
fn a_locked_file_is_opened_later() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let other = Connection::open(folder.path().join("portprobe.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, NOW, Ok(()));
    process.write();
    assert_eq!(process.work.health, Health::Failing);
    other.execute_batch("ROLLBACK").unwrap();
    process.write();
    assert_eq!(process.query::<String>("SELECT state FROM targets"), ["up"]);
    drop(process);
    written_at(folder.path(), NOW);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let process = Process::start(folder.path(), &[]);
    assert!(recalled(&process, &target, NOW).state.is_some(), "a start only reads");
}

#[test]
fn a_file_that_is_gone_is_begun_again() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, NOW, Ok(()));
    process.write();
    for name in ["portprobe.db", "portprobe.db-wal", "portprobe.db-shm"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    process.write();
    assert_eq!((process.work.statistics.write_failures(), process.work.statistics.recoveries()), (1, 1));
    process.write();
    assert_eq!(process.query::<String>("SELECT state FROM targets"), ["up"]);
    assert_eq!(process.query::<i64>("SELECT count(certificates) FROM targets"), [1], "with everything");
}

#[test]
fn a_file_of_another_program_is_refused() {
    for statements in ["CREATE TABLE targets (x)", "PRAGMA user_version = 1", "PRAGMA user_version = -5"] {
        let folder = TempDir::new().unwrap();
        Connection::open(folder.path().join("portprobe.db"))
            .unwrap()
            .execute_batch(statements)
            .unwrap();
        let options = StoreOptions { path: Some(folder.path().to_owned()), retention: DEFAULT_RETENTION };
        let error = Store::open(&options, at(NOW)).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Foreign(_)), "{statements}: {error}");
    }
}

#[test]
fn a_linked_lock_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "content").unwrap();
    std::os::unix::fs::symlink(&other, folder.path().join("portprobe.lock")).unwrap();
    let options = StoreOptions { path: Some(folder.path().to_owned()), retention: DEFAULT_RETENTION };
    assert!(matches!(Store::open(&options, at(NOW)).map(|_| ()), Err(OpenError::Unusable { .. })));
    assert_eq!(fs::read_to_string(&other).unwrap(), "content");
}

#[test]
fn a_clock_that_jumps_deletes_no_history() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    let now = clock::now().as_duration().as_secs();
    let earlier = now - 2 * 365 * 86_400;
    process.work.retention = Duration::from_hours(10 * 365 * 24);
    process.probe(&target, earlier, Ok(()));
    process.probe(&target, earlier + 1, Err(Class::CertExpired));
    process.probe(&target, earlier + 2, Ok(()));
    process.write();
    drop(process);
    written_at(folder.path(), earlier + 5);
    let mut process = Process::start(folder.path(), std::slice::from_ref(&target));
    process.probe(&target, now, Ok(()));
    process.write();
    process.write();
    assert_eq!(process.query::<i64>("SELECT probes FROM days ORDER BY day"), [3, 1]);
    assert_eq!(process.query::<i64>("SELECT count(*) FROM incidents"), [1]);
}

#[test]
fn the_last_write_has_every_target() {
    let folder = TempDir::new().unwrap();
    let targets = [target("a.example:1"), target("b.example:1")];
    let mut process = Process::start(folder.path(), &targets);
    process.work.next_row = 1;
    process.work.take_all_records();
    process.work.write();
    assert_eq!(process.query::<i64>("SELECT count(*) FROM targets"), [2]);
}

#[test]
fn history_ends_with_the_retention() {
    let folder = TempDir::new().unwrap();
    let (kept, removed) = (target("kept.example:1"), target("removed.example:1"));
    let mut process = Process::start(folder.path(), &[kept.clone(), removed.clone()]);
    process.work.retention = Duration::from_hours(48);
    let now = clock::now().as_duration().as_secs();
    for days in (0..6).rev() {
        process.probe(&kept, now - days * 86_400, Ok(()));
        process.probe(&kept, now - days * 86_400 + 1, Err(Class::CertExpired));
    }
    process.probe(&kept, now + 2, Ok(()));
    process.board.replace(std::slice::from_ref(&kept));
    let old = TargetRecord { days: vec![DayFigures { probes: 1, ..DayFigures::default() }], ..record(&removed) };
    process.store.removed(vec![old], at(now - 3 * 86_400));
    process.write();
    process.write();
    assert_eq!(process.query::<i64>("SELECT probes FROM days ORDER BY day"), [2, 3], "two days");
    assert_eq!(process.query::<i64>("SELECT count(*) FROM incidents"), [3]);
    assert_eq!(process.query::<String>("SELECT name FROM targets"), [kept.name.as_str()]);
}

fn record(target: &Arc<Target>) -> TargetRecord {
    TargetRecord {
        target: target.clone(),
        state: State::Unknown,
        since: None,
        failure: None,
        last_probe: None,
        recent: Vec::<Recent>::new(),
        certificates: None,
        days: Vec::new(),
    }
}

#[tokio::test]
async fn the_thread_writes_everything_at_the_end() {
    let folder = TempDir::new().unwrap();
    let target = target("db.example:1");
    let Process { board, store, .. } = Process::start(folder.path(), std::slice::from_ref(&target));
    drop(store);
    let options = StoreOptions { path: Some(folder.path().to_owned()), retention: DEFAULT_RETENTION };
    let (store, writer) = Store::open(&options, at(NOW)).unwrap();
    let running = writer.start(board.clone()).unwrap();
    running.finish().await;
    assert!(store.statistics().unwrap().last_write().is_some());
    assert!(store.statistics().unwrap().size_bytes() > 0);
    let written = Connection::open(folder.path().join("portprobe.db")).unwrap();
    let names: String = written
        .query_row("SELECT group_concat(name) FROM targets", [], |row| row.get(0))
        .unwrap();
    assert_eq!(names, target.name.as_str());
}
