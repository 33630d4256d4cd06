//! The database: its file, schema and connections.
//!
//! A file is opened only by one process at a time, which a lock file ensures. A damaged one is moved aside.

use std::fs::{File, TryLockError, rename};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use tracing::error;

use super::StoreStatistics;
use crate::clock::Timestamp;
use crate::locks::lock;

/// The connections to a database.
#[derive(Debug)]
pub(super) struct Database {
    /// A second connection, so that a slow write delays no reader; `None` in memory, where no write is slow. Closed first,
    /// because only the last connection can empty the log, and this one cannot write.
    reader: Option<Mutex<Option<Connection>>>,
    /// `None` after a damaged file was moved aside, until the new one is open.
    writer: Mutex<Option<Connection>>,
    file: Option<LockedFile>,
}

/// The file of a database, which no other process uses while this value exists.
#[derive(Debug)]
struct LockedFile {
    path: PathBuf,
    _lock: File,
}

/// A read or write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The file cannot be opened again.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite reports an error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl Fault {
    /// Returns whether the file is damaged, and not the disk.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Open(OpenError::Sqlite { source, .. }) | Self::Sqlite(source) => is_damage(source),
            Self::Open(_) => false,
        }
    }
}

/// A database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
        found: u32,
        /// The newest supported version.
        supported: u32,
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
        source: rusqlite::Error,
    },
}

impl Database {
    /// Opens the file in a folder.
    pub(super) fn in_folder(folder: &Path, now: Timestamp, statistics: &StoreStatistics) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Unusable { path: folder.to_owned(), source };
        let lock = File::create(folder.join(LOCK_FILE)).map_err(unusable)?;
        lock.try_lock().map_err(|failed| match failed {
            TryLockError::WouldBlock => OpenError::InUse(folder.to_owned()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let path = folder.join(FILE);
        let (writer, reader) = match open(&path) {
            Err(OpenError::Sqlite { source, .. }) if is_damage(&source) => {
                move_aside(&path, now, &source.into()).map_err(unusable)?;
                statistics.count_recovery();
                open(&path)?
            }
            opened => opened?,
        };
        let file = Some(LockedFile { path, _lock: lock });
        Ok(Self { writer: Mutex::new(Some(writer)), reader: Some(Mutex::new(Some(reader))), file })
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
        let mut writer = lock(&self.writer);
        let connection = match &mut *writer {
            Some(connection) => connection,
            closed => closed.insert(self.reopen()?),
        };
        Ok(change(connection))
    }

    fn reopen(&self) -> Result<Connection, OpenError> {
        let (Some(LockedFile { path, .. }), Some(reader)) = (&self.file, &self.reader) else { return memory() };
        let (writer, opened) = open(path)?;
        *lock(reader) = Some(opened);
        Ok(writer)
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

    /// Moves a damaged file aside. The next write begins a new one.
    pub(super) fn move_aside(&self, now: Timestamp, damage: &Fault) -> io::Result<()> {
        let (Some(LockedFile { path, .. }), Some(reader)) = (&self.file, &self.reader) else { return Ok(()) };
        // Closed before that, because a connection deletes its log by its name.
        drop((lock(reader).take(), lock(&self.writer).take()));
        move_aside(path, now, damage)
    }

    /// Returns the size of the file with its log.
    pub(super) fn size_bytes(&self) -> u64 {
        let Some(LockedFile { path, .. }) = &self.file else { return 0 };
        let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        SUFFIXES.into_iter().map(|suffix| size(with_suffix(path, suffix))).sum()
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn memory() -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite { path: PathBuf::from(":memory:"), source };
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    migrate(&mut connection, MIGRATIONS).map_err(failed)?;
    Ok(connection)
}

/// Opens a file for writing and for reading.
fn open(path: &Path) -> Result<(Connection, Connection), OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut writer = Connection::open(path).map_err(failed)?;
    let (found, supported) = (version(&writer).map_err(failed)?, latest_version());
    if found > supported {
        return Err(OpenError::Newer { path: path.to_owned(), found, supported });
    }
    prepare(&writer).map_err(failed)?;
    migrate(&mut writer, MIGRATIONS).map_err(failed)?;
    leave_absent(&writer).map_err(failed)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
    reader.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok((writer, reader))
}

/// With a write-ahead log readers and the writer do not wait for each other. A crash of the process loses no transaction
/// then, a crash of the machine the last ones.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns the version that all migrations together lead to.
fn latest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings the schema to the version that is the number of migrations.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let found = version(connection)?;
    for (version, migration) in (1..).zip(migrations).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Marks all targets as absent since the last write, because nobody has probed them since then.
fn leave_absent(connection: &Connection) -> rusqlite::Result<()> {
    let last_write = "SELECT written_ms FROM last_write";
    connection
        .execute(&format!("UPDATE targets SET absent_since_ms = ({last_write}) WHERE absent_since_ms IS NULL"), [])?;
    Ok(())
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
        assert_eq!(version(&connection), Ok(3));
        assert_eq!(connection.query_row("SELECT y FROM a", [], |row| row.get(0)), Ok(3));
        migrate(&mut connection, &[first, "fails", "fails"]).unwrap();
        assert!(migrate(&mut connection, &[first, "", "", "DELETE FROM a; fails"]).is_err());
        assert_eq!(connection.query_row("SELECT y FROM a", [], |row| row.get(0)), Ok(3), "all of it or nothing");
        assert_eq!(version(&connection), Ok(3));
    }
}
