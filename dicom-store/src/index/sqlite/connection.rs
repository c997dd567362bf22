//! One connection to SQLite, as [`Connection`] has it.

mod carried;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{OpenFlags, Statement as Prepared, ToSql};

use super::checkpoint::LogLength;
use crate::index::sql::{Connection, Dialect, SqlRow, SqlValue, Statement, register};
use crate::objects::sync_folder;
use crate::register::Registered;
use crate::{Error, ErrorKind, Result};

const SCHEMA: &str = include_str!("../schema/sqlite.sql");
/// Counted up with each change of the schema; kept in the file's `user_version`.
const VERSION: i64 = 10;
/// What makes a version the next one. An index that is older than the first of them is made anew from the packs.
const STEPS: [(i64, &str); 3] = [
    (7, include_str!("../schema/sqlite-8.sql")),
    (8, include_str!("../schema/sqlite-9.sql")),
    (9, include_str!("../schema/sqlite-10.sql")),
];
/// Bytes of a page of a new index. What one instance changes lies on some six pages, all of which go to the disk.
const PAGE: i64 = 2048;
/// KiB of pages that the writer remembers. All of them are looked through when a transaction is committed that has put
/// pages of a tree in order: with eight times as many that was a tenth of the processor for small instances.
const WRITER_KIB: u32 = 4096;
/// Statements that stay prepared.
const PREPARED: usize = 128;
/// How long another process may hold the file before we say that it does.
const PATIENCE: Duration = Duration::from_secs(1);

/// An index that was made beside another.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) file: PathBuf,
    /// The other cannot be read.
    is_damaged: bool,
}

#[derive(Debug)]
pub(super) struct SqliteConnection(rusqlite::Connection);

impl SqliteConnection {
    /// Opens the file to write, made where it is missing. What a version wrote that no step leads on from is thrown away
    /// but for what no pack has: they hold everything else, and an index that knows none of them is filled from them.
    pub(super) fn open(file: &Path) -> Result<Self> {
        let mut connection = Self(rusqlite::Connection::open(file).map_err(sql_error)?);
        let version = connection.version()?;
        if (1..VERSION).contains(&version) && STEPS.iter().all(|(from, _)| *from != version) {
            tracing::warn!(version, "index: written by an older version, it is made anew from the packs");
            connection.close()?;
            renew(file)?;
            connection = Self(rusqlite::Connection::open(file).map_err(sql_error)?);
        }
        connection.set_up()?;
        connection.run(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA secure_delete = FAST; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -{WRITER_KIB}"
        ))?;
        connection.migrate()?;
        Ok(connection)
    }

    pub(super) fn open_to_read(file: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self(rusqlite::Connection::open_with_flags(file, flags).map_err(sql_error)?);
        connection.set_up()?;
        connection.run("PRAGMA query_only = 1; PRAGMA cache_size = -8192")?;
        Ok(connection)
    }

    fn set_up(&self) -> Result<()> {
        // A plan that holds for all values: otherwise binding others makes a statement be planned anew.
        self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(sql_error)?;
        self.0.set_prepared_statement_cache_capacity(PREPARED);
        self.0.busy_timeout(PATIENCE).map_err(sql_error)?;
        self.run("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON")
    }

    fn version(&self) -> Result<i64> {
        self.0.query_row("PRAGMA user_version", (), |row| row.get(0)).map_err(sql_error)
    }

    fn migrate(&mut self) -> Result<()> {
        match self.version()? {
            VERSION => Ok(()),
            0 => self.run(&format!("BEGIN; {SCHEMA}; PRAGMA user_version = {VERSION}; COMMIT")),
            older if STEPS.iter().any(|(from, _)| *from == older) => {
                for (from, step) in STEPS.iter().filter(|(from, _)| *from >= older) {
                    self.run(&format!("BEGIN; {step}; PRAGMA user_version = {}; COMMIT", from + 1))?;
                    tracing::info!(version = from + 1, "index: tables changed for this version");
                }
                Ok(())
            }
            newer => Err(Error::conflict(format!(
                "index has version {newer}, this program knows {VERSION}; `filmless reindex` makes it anew from the packs"
            ))),
        }
    }

    /// Runs statements without values or rows.
    pub(super) fn run(&self, sql: &str) -> Result<()> {
        self.0.execute_batch(sql).map_err(sql_error)
    }

    /// Runs one statement without values or rows that is run again and again.
    pub(super) fn run_again(&self, sql: &str) -> Result<()> {
        let run = || self.0.prepare_cached(sql)?.raw_execute();
        run().map(|_| ()).map_err(sql_error)
    }

    /// Writes what the transaction has changed so far into SQLite's own log, where nobody sees it before the commit.
    pub(super) fn write_pages(&self) -> Result<()> {
        self.0.cache_flush().map_err(sql_error)
    }

    pub(super) fn is_within_transaction(&self) -> bool {
        !self.0.is_autocommit()
    }

    pub(super) fn page_bytes(&self) -> Result<i64> {
        self.0.query_row("PRAGMA page_size", (), |row| row.get(0)).map_err(sql_error)
    }

    pub(super) fn log_length(&self) -> Result<LogLength> {
        let length = |row: &rusqlite::Row<'_>| Ok(LogLength { written: row.get(1)?, in_file: row.get(2)? });
        let mut prepared = self.0.prepare_cached("PRAGMA wal_checkpoint(NOOP)").map_err(sql_error)?;
        prepared.query_row((), length).map_err(sql_error)
    }

    /// Brings into the file what nobody needs in the log, as far as it goes without waiting for anybody.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        self.0.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())).map_err(sql_error)
    }

    /// The same, and cuts the log to nothing when nobody reads from it.
    pub(super) fn empty_log(&mut self) -> Result<()> {
        self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(sql_error)
    }

    pub(super) fn close(self) -> Result<()> {
        self.0.close().map_err(|(_, error)| sql_error(error))
    }

    fn has_table(&self, name: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
        Ok(!self.rows(&Statement::new(sql).bind(name)).map_err(sql_error)?.is_empty())
    }

    fn prepare(&self, statement: &Statement) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
        let mut prepared = self.0.prepare_cached(statement.sql())?;
        for (value, number) in statement.values().iter().zip(1..) {
            bind(&mut prepared, number, value)?;
        }
        Ok(prepared)
    }

    fn rows(&self, statement: &Statement) -> rusqlite::Result<Vec<SqlRow>> {
        let mut prepared = self.prepare(statement)?;
        let columns = prepared.column_count();
        let mut cursor = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = cursor.next()? {
            let values = (0..columns).map(|column| row.get_ref(column).map(value));
            rows.push(SqlRow::new(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(rows)
    }
}

/// Puts an empty index in the place of one, with what no pack has; makes none where there is none. Whoever is stopped
/// within has the one or the other.
pub(super) fn renew(file: &Path) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    put_in_place(&renewed(file)?, file)
}

/// An index beside one, with what no pack has of it, to be filled and then [put in its place](put_in_place).
pub(crate) fn renewed(file: &Path) -> Result<Renewed> {
    let new = beside(file, "-new");
    remove(&new)?;
    let mut connection = SqliteConnection(rusqlite::Connection::open(&new).map_err(sql_error)?);
    connection.run(&format!("PRAGMA page_size = {PAGE}"))?;
    connection.migrate()?;
    let is_damaged = if file.exists() { carried_over(file, &mut connection)? } else { false };
    connection.close()?;
    Ok(Renewed { file: new, is_damaged })
}

/// Copies what no pack has from an index, all or nothing; gives whether some of it cannot be read. What SQLite keeps beside
/// the file is put into it.
fn carried_over(file: &Path, to: &mut SqliteConnection) -> Result<bool> {
    let mut old = SqliteConnection(rusqlite::Connection::open(file).map_err(sql_error)?);
    old.0.busy_timeout(PATIENCE).map_err(sql_error)?;
    to.run("BEGIN")?;
    let is_damaged = carried::carry(&mut old, to)?;
    to.run("COMMIT")?;
    old.close()?;
    Ok(is_damaged)
}

/// One thing that is done to files.
pub(super) type Step<'a> = &'a dyn Fn() -> Result<()>;

/// Puts an index that is closed in the place of the one that it was made beside. Whoever is stopped within has the one or
/// the other under its name.
pub(crate) fn put_in_place(new: &Renewed, file: &Path) -> Result<()> {
    put_in_place_by(new, file, &mut |step: Step<'_>| step())
}

/// The same, and each step is taken by `take`.
pub(super) fn put_in_place_by(
    new: &Renewed,
    file: &Path,
    take: &mut dyn FnMut(Step<'_>) -> Result<()>,
) -> Result<()> {
    if new.is_damaged {
        // Somebody may still get something out of it, and out of what SQLite keeps beside it.
        let kept = beside(file, "-damaged");
        for suffix in BESIDE.into_iter().chain([""]) {
            take(&|| keep(&beside(file, suffix), &beside(&kept, suffix)))?;
        }
    }
    // Before the rename: SQLite would take what is in its log for changes of the new one.
    for suffix in BESIDE {
        take(&|| remove_file(&beside(file, suffix)))?;
    }
    take(&|| Ok(std::fs::rename(&new.file, file)?))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    take(&|| Ok(sync_folder(folder.unwrap_or(Path::new(".")))?))
}

/// Gives a file a second name, in the place of what had that one. On a file system without links it has the second alone.
fn keep(file: &Path, kept: &Path) -> Result<()> {
    remove_file(kept)?;
    match std::fs::hard_link(file, kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Ok(std::fs::rename(file, kept)?),
        _ => Ok(()),
    }
}

/// Whether a file is an index that stays when it is opened: this version has written it, or one that a step leads on from.
/// One that cannot be read does not.
pub(crate) fn is_kept_when_opened(file: &Path) -> Result<bool> {
    if !file.exists() {
        return Ok(false);
    }
    match SqliteConnection::open_to_read(file).and_then(|connection| connection.version()) {
        Ok(version) => Ok(version == VERSION || STEPS.iter().any(|(from, _)| *from == version)),
        Err(error) if error.kind == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}

/// The acts that an index of an archive knows, their numbers and kinds: none where there is no index, or it is another
/// archive's. The index is left as it is, whatever version has written it.
pub(crate) fn acts_of(file: &Path, archive: &str) -> Result<BTreeMap<u64, String>> {
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    let connection = SqliteConnection::open_to_read(file)?;
    if !connection.has_table("ledger")? || !connection.has_table("archive")? {
        return Ok(BTreeMap::new());
    }
    let select = "SELECT number, kind FROM ledger WHERE EXISTS (SELECT 1 FROM archive WHERE identifier = ?)";
    let rows = connection.rows(&Statement::new(select).bind(archive)).map_err(sql_error)?;
    rows.iter().map(|row| Ok((row.unsigned(0)?, row.text(1)?.to_owned()))).collect()
}

/// Removes an index that was not filled.
pub(crate) fn discard(new: &Renewed) -> Result<()> {
    remove(&new.file)
}

/// One line of the register, read beside a server that may run; `None` where there is no index of this version.
pub(crate) fn registered_as(file: &Path, kind: &str, name: &str) -> Result<Option<Registered>> {
    if !file.exists() {
        return Ok(None);
    }
    let mut connection = SqliteConnection::open_to_read(file)?;
    if connection.version()? != VERSION {
        return Ok(None);
    }
    let row = register::row(&mut connection, kind, name).now_or_never();
    row.unwrap_or_else(|| Err(Error::internal("a statement of SQLite waited")))
}

/// What SQLite keeps beside a file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

/// Removes an index, with what SQLite keeps beside it.
fn remove(file: &Path) -> Result<()> {
    remove_file(file)?;
    BESIDE.iter().try_for_each(|suffix| remove_file(&beside(file, suffix)))
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn bind(prepared: &mut Prepared<'_>, number: usize, value: &SqlValue) -> rusqlite::Result<()> {
    let value: &dyn ToSql = match value {
        SqlValue::Null => &Value::Null,
        SqlValue::Int(number) => number,
        SqlValue::Text(text) => text,
        SqlValue::Blob(bytes) => bytes,
    };
    prepared.raw_bind_parameter(number, value)
}

fn value(stored: ValueRef<'_>) -> SqlValue {
    match stored {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Int(number),
        // No column is of this kind.
        ValueRef::Real(number) => SqlValue::Text(number.to_string()),
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_owned()),
    }
}

impl Connection for SqliteConnection {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<SqlRow>> {
        self.rows(&statement).map_err(sql_error)
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        let run = |prepared: &mut Prepared<'_>| prepared.raw_execute();
        let changed =
            self.prepare(&statement).and_then(|mut prepared| run(&mut prepared)).map_err(sql_error)?;
        Ok(changed as u64)
    }
}

const DAMAGED: &str = "index is damaged; `filmless reindex` makes it anew from the packs";

/// A full disk and a lock pass by themselves; whatever else SQLite says is told as it is.
fn sql_error(error: rusqlite::Error) -> Error {
    use rusqlite::{ErrorCode, ffi};
    // The disk has lost a part of the file.
    let lost = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_CORRUPTFS];
    let is_lost = error.sqlite_error().is_some_and(|error| lost.contains(&error.extended_code));
    let (kind, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (ErrorKind::Exhausted, "disk of the index is full"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (ErrorKind::Corrupt, DAMAGED),
        Some(ErrorCode::SystemIoFailure) if is_lost => (ErrorKind::Corrupt, DAMAGED),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Unavailable, "index is locked by another process")
        }
        _ => (ErrorKind::Unavailable, "index cannot be used"),
    };
    Error::new(kind, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use rusqlite::ffi;

    use super::*;

    #[rstest]
    #[case::a_sector_that_is_lost(ffi::SQLITE_IOERR_READ, ErrorKind::Corrupt)]
    #[case::a_file_that_is_cut_off(ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Corrupt)]
    #[case::a_checksum_of_the_file_system(ffi::SQLITE_IOERR_CORRUPTFS, ErrorKind::Corrupt)]
    #[case::another_byte(ffi::SQLITE_CORRUPT, ErrorKind::Corrupt)]
    #[case::another_file(ffi::SQLITE_NOTADB, ErrorKind::Corrupt)]
    #[case::what_cannot_be_written(ffi::SQLITE_IOERR_WRITE, ErrorKind::Unavailable)]
    #[case::what_cannot_be_synced(ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unavailable)]
    #[case::a_full_disk(ffi::SQLITE_FULL, ErrorKind::Exhausted)]
    #[case::somebody_else(ffi::SQLITE_BUSY, ErrorKind::Unavailable)]
    #[case::a_row_that_cannot_be(ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Unavailable)]
    fn what_the_disk_has_lost_is_damage_and_what_passes_is_not(#[case] code: i32, #[case] kind: ErrorKind) {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(sql_error(error).kind, kind);
    }
}
