//! The database: its file, schema and connections.
//!
//! A file is opened only by one process at a time, which a lock file ensures. A damaged one is moved aside. One that cannot
//! be opened now, such as on a full disk, is opened later: nothing is written at the start.

use std::fs::{File, OpenOptions, TryLockError, rename};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use tracing::error;

use super::{StoreStatistics, of_millis};
use crate::clock::Timestamp;
use crate::locks::lock;

/// The connections to a database.
#[derive(Debug)]
pub(super) struct Database {
    /// A second connection, so that a slow write delays no reader; `None` in memory, where no write is slow. Closed first,
    /// because only the last connection can empty the log, and this one cannot write.
    reader: Option<Mutex<Option<Connection>>>,
    /// `None` while the file cannot be opened.
    writer: Mutex<Option<Connection>>,
    file: Option<LockedFile>,
}

/// The file of a database, which no other process uses while this value exists.
#[derive(Debug)]
struct LockedFile {
    path: PathBuf,
    /// The device and the inode that are open.
    open: Mutex<Option<(u64, u64)>>,
    /// When an earlier process last wrote, until the first write of this one.
    left: Mutex<Option<Timestamp>>,
    _lock: File,
}

/// The connections to a file.
struct Opened {
    writer: Connection,
    reader: Connection,
    last_write: Option<Timestamp>,
}

/// An error of SQLite. Its text has no numbers, which the source adds.
#[derive(Debug, thiserror::Error)]
#[error("{}", reason(.0))]
pub struct SqliteError(#[from] rusqlite::Error);

fn reason(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(reason)) => reason.clone(),
        other => other.to_string(),
    }
}

/// A read or write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Somebody has removed or replaced the file.
    #[error("somebody has removed or replaced {0}")]
    Gone(PathBuf),
    /// The file cannot be opened again.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite reports an error.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(SqliteError(error))
    }
}

impl Fault {
    /// Returns whether the file is damaged, and not the disk.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Open(OpenError::Sqlite { source, .. }) | Self::Sqlite(source) => source.is_damage(),
            Self::Gone(_) | Self::Open(_) => false,
        }
    }
}

/// A database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file belongs to another program.
    #[error("{0} is not a database of portprobe; move it away, or use another --storage.path")]
    Foreign(PathBuf),
    /// Another process uses the directory.
    #[error("another process uses {0}; each needs a separate --storage.path")]
    InUse(PathBuf),
    /// The file was written by a newer version.
    #[error(
        "{path} has version {found}, and this portprobe supports up to {supported}; use a newer portprobe or another --storage.path"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest supported version.
        supported: i64,
    },
    /// The path is not a directory in which files can be created.
    #[error("cannot use {path} as --storage.path; must be a directory in which files can be created")]
    Unusable {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// SQLite reports an error.
    #[error("cannot open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: SqliteError,
    },
}

impl OpenError {
    /// Returns whether the same start may succeed later, without any change by a person.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => !source.is_damage(),
            Self::Foreign(_) | Self::InUse(_) | Self::Newer { .. } | Self::Unusable { .. } => false,
        }
    }
}

impl SqliteError {
    /// Returns whether the file is damaged, and not the disk.
    fn is_damage(&self) -> bool {
        matches!(self.0.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}

impl Database {
    /// Opens the file in a folder.
    pub(super) fn in_folder(folder: &Path, now: Timestamp, statistics: &StoreStatistics) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Unusable { path: folder.to_owned(), source };
        let lock = lock_file(&folder.join(LOCK_FILE)).map_err(unusable)?;
        lock.try_lock().map_err(|failed| match failed {
            TryLockError::WouldBlock => OpenError::InUse(folder.to_owned()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let path = folder.join(FILE);
        let opened = match open(&path) {
            Err(OpenError::Sqlite { source, .. }) if source.is_damage() => {
                move_aside(&path, now, &source.into()).map_err(unusable)?;
                statistics.count_recovery();
                open(&path)
            }
            opened => opened,
        };
        let (writer, reader, left) = match opened {
            Ok(Opened { writer, reader, last_write }) => (Some(writer), Some(reader), last_write),
            // The first write tries again, and logs the error if it stays.
            Err(error) if error.is_temporary() => (None, None, None),
            Err(error) => return Err(error),
        };
        let open = Mutex::new(writer.as_ref().and_then(|_| identity(&path)));
        let file = Some(LockedFile { path, open, left: Mutex::new(left), _lock: lock });
        Ok(Self { writer: Mutex::new(writer), reader: Some(Mutex::new(reader)), file })
    }

    /// Creates a database in memory.
    pub(super) fn in_memory() -> Result<Self, OpenError> {
        Ok(Self { writer: Mutex::new(Some(memory()?)), reader: None, file: None })
    }

    /// Whether the database is a file.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Lends the connection that reads; `None` while there is none.
    pub(super) fn read<T>(&self, query: impl FnOnce(&Connection) -> T) -> Option<T> {
        lock(self.reader.as_ref().unwrap_or(&self.writer)).as_ref().map(query)
    }

    /// Lends the connection that writes.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut Connection) -> T) -> Result<T, Fault> {
        self.check_identity()?;
        let mut writer = lock(&self.writer);
        let connection = match &mut *writer {
            Some(connection) => connection,
            closed => closed.insert(self.reopen()?),
        };
        Ok(change(connection))
    }

    /// Fails if the open file is no longer the one with its name: everything that is written into it would be lost.
    fn check_identity(&self) -> Result<(), Fault> {
        let Some(LockedFile { path, open, .. }) = &self.file else { return Ok(()) };
        let is_gone = lock(open).is_some_and(|open| identity(path) != Some(open));
        if is_gone { Err(Fault::Gone(path.clone())) } else { Ok(()) }
    }

    fn reopen(&self) -> Result<Connection, Fault> {
        let (Some(LockedFile { path, open: identified, left, .. }), Some(reader)) = (&self.file, &self.reader) else {
            return Ok(memory()?);
        };
        let opened = open(path)?;
        *lock(left) = opened.last_write;
        *lock(reader) = Some(opened.reader);
        *lock(identified) = identity(path);
        Ok(opened.writer)
    }

    /// Returns when an earlier process last wrote; `None` once this one has. Targets that it has probed are absent since
    /// then.
    pub(super) fn left(&self) -> Option<Timestamp> {
        self.file.as_ref().and_then(|file| *lock(&file.left))
    }

    /// Notes that this process has written.
    pub(super) fn set_written(&self) {
        if let Some(file) = &self.file {
            *lock(&file.left) = None;
        }
    }

    /// Closes the file after a fault, and moves it aside if it is damaged. The next write opens it again, or begins a new
    /// one.
    pub(super) fn close(&self, now: Timestamp, fault: &Fault) -> io::Result<()> {
        let (Some(LockedFile { path, open, .. }), Some(reader)) = (&self.file, &self.reader) else { return Ok(()) };
        // Closed before the file is moved, because a connection deletes its log by its name.
        drop((lock(reader).take(), lock(&self.writer).take()));
        *lock(open) = None;
        if fault.is_damage() { move_aside(path, now, fault) } else { Ok(()) }
    }

    /// Moves everything from the log into the file.
    pub(super) fn empty_log(connection: &mut Connection) -> rusqlite::Result<()> {
        connection.pragma_query(None, "wal_checkpoint(TRUNCATE)", |_| Ok(()))
    }

    /// Reads the whole file and fails if it is damaged.
    pub(super) fn quick_check(connection: &mut Connection) -> rusqlite::Result<()> {
        let result: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if result == "ok" {
            return Ok(());
        }
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(result)))
    }

    /// Returns the size of the file with its log.
    pub(super) fn size_bytes(&self) -> u64 {
        let Some(LockedFile { path, .. }) = &self.file else { return 0 };
        let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        SUFFIXES.into_iter().map(|suffix| size(with_suffix(path, suffix))).sum()
    }
}

fn memory() -> Result<Connection, OpenError> {
    let failed = |source: rusqlite::Error| OpenError::Sqlite { path: PathBuf::from(":memory:"), source: source.into() };
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    migrate(&mut connection, MIGRATIONS).map_err(failed)?;
    Ok(connection)
}

/// Opens a file for writing and for reading.
fn open(path: &Path) -> Result<Opened, OpenError> {
    let failed = |source: rusqlite::Error| OpenError::Sqlite { path: path.to_owned(), source: source.into() };
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let mut writer = Connection::open(path).map_err(failed)?;
    let (application, found) = identification(&writer).map_err(failed)?;
    let is_empty = (application, found) == (0, 0) && has_no_tables(&writer).map_err(failed)?;
    if !is_empty && application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let supported = latest_version();
    if found > supported {
        return Err(OpenError::Newer { path: path.to_owned(), found, supported });
    }
    prepare(&writer).map_err(failed)?;
    migrate(&mut writer, MIGRATIONS).map_err(failed)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
    reader.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let last_write = last_write(&writer).map_err(failed)?;
    Ok(Opened { writer, reader, last_write })
}

/// Opens the file whose lock other processes see. A link or a pipe is not used.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("portprobe.lock is not a regular file")) }
}

/// Returns the device and the inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// Returns the application and the version of a file.
fn identification(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

fn has_no_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// With a write-ahead log readers and the writer do not wait for each other. A crash of the process loses no transaction
/// then, a crash of the machine the last ones.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Returns the version that all migrations together lead to.
fn latest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the schema to the version that is the number of migrations.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let (_, found) = identification(connection)?;
    for (version, migration) in (1..).zip(migrations).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Returns the time of the last write; `None` if there was none.
fn last_write(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = connection.query_row("SELECT max(written_ms) FROM last_write", [], |row| row.get(0))?;
    Ok(millis.map(of_millis))
}

/// Renames a damaged file and its log, so that somebody can look at it.
fn move_aside(path: &Path, now: Timestamp, damage: &Fault) -> io::Result<()> {
    let aside = with_suffix(path, &format!(".damaged-{}", now.seconds()));
    error!(file = %path.display(), aside = %aside.display(), error = %damage, "Moved a damaged database aside, beginning a new one");
    for suffix in SUFFIXES {
        match rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => return Err(failed),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

const FILE: &str = "portprobe.db";

const LOCK_FILE: &str = "portprobe.lock";

/// The file, its log and the index of the log.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// "PTPR", so that a file of another program is recognised.
const APPLICATION_ID: i64 = 0x5054_5052;

/// For a person who writes into the file with another program.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// The changes of the schema. A file of version N has had the first N of them. Documented in docs/storage.md.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_migrated() {
        let mut connection = Connection::open_in_memory().unwrap();
        let first = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
        migrate(&mut connection, &[first]).unwrap();
        migrate(&mut connection, &[first, "ALTER TABLE a ADD y INTEGER DEFAULT 2;", "UPDATE a SET y = y + x;"])
            .unwrap();
        assert_eq!(identification(&connection), Ok((0, 3)));
        assert_eq!(connection.query_row("SELECT y FROM a", [], |row| row.get(0)), Ok(3));
        migrate(&mut connection, &[first, "fails", "fails"]).unwrap();
        assert!(migrate(&mut connection, &[first, "", "", "DELETE FROM a; fails"]).is_err());
        assert_eq!(connection.query_row("SELECT y FROM a", [], |row| row.get(0)), Ok(3), "all of it or nothing");
        assert_eq!(identification(&connection), Ok((0, 3)));
    }
}
