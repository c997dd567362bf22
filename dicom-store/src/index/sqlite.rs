//! The index in SQLite: one connection that writes, some that read (WAL).

mod commit;
mod rows;
mod search;
mod work;

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::Mutex;

use rows::instance_select;

use super::{HeaderCursor, HeaderPage, Index, Known, Mark, NewInstance};
use crate::change::{Change, Cursor};
use crate::model::{FrameMap, Header, Instance, PackId, Resource, SopInstanceUid};
use crate::packs::entry::Digest;
use crate::query::{Query, Rows};
use crate::queue::{JobId, Lease, NewJob, QueueDepth};
use crate::{Error, ErrorKind, Result};

const SCHEMA: &str = include_str!("migrations/0001_sqlite.sql");
/// Counted up with each migration; kept in the file's `user_version`.
const VERSION: i64 = 1;
const READERS: u32 = 4;
const SEARCHERS: u32 = 6;

/// An index in one SQLite file.
#[derive(Debug)]
pub struct SqliteIndex {
    writer: Mutex<Writer>,
    readers: SqlitePool,
    /// Connections of their own for searches, which hold one as long as rows are taken.
    searchers: SqlitePool,
}

/// The connection that writes, with what it remembers of the rows it needs again and again.
#[derive(Debug)]
struct Writer {
    /// `None` once closed.
    connection: Option<SqliteConnection>,
    /// `None` after a failure, until it is read again.
    memory: Option<commit::Memory>,
    /// A transaction has begun and not ended.
    is_within: bool,
}

impl Writer {
    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.connection.as_mut().ok_or_else(closed)
    }

    /// Begins a transaction; one whose future was dropped half way is undone first.
    async fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_within, true) {
            self.memory = None;
            let _ = sqlx::raw_sql("ROLLBACK").execute(self.connection()?).await;
        }
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(self.connection()?).await.map(|_| ()).map_err(sql_error)
    }

    /// Commits, or undoes everything when there was an error or the commit is one.
    async fn end(&mut self, result: Result<()>) -> Result<()> {
        let connection = self.connection()?;
        let result = match result {
            Ok(()) => sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map(|_| ()).map_err(sql_error),
            error => error,
        };
        if result.is_err() {
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
        }
        self.is_within = false;
        result
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the index is closed")
}

impl SqliteIndex {
    /// Opens the file, made where it is missing.
    ///
    /// A commit is not synced by itself: what a power cut takes from the index is read from the log
    /// again. It cannot damage the file (WAL, `synchronous = NORMAL`).
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened, `Conflict` when a newer version has written it.
    pub async fn open(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(2))
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-32768")
            .pragma("wal_autocheckpoint", "4000")
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(sql_error)?;
        migrate(&mut connection).await?;
        let options = options.pragma("cache_size", "-8192").pragma("query_only", "1");
        let pool = async |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .connect_with(options.clone())
                .await
                .map_err(sql_error)
        };
        let (readers, searchers) = (pool(READERS).await?, pool(SEARCHERS).await?);
        Ok(Self {
            writer: Mutex::new(Writer { connection: Some(connection), memory: None, is_within: false }),
            readers,
            searchers,
        })
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(sql_error)?;
    let version: i64 = row.try_get(0).map_err(sql_error)?;
    match version {
        VERSION => Ok(()),
        0 => {
            let mut transaction = connection.begin().await.map_err(sql_error)?;
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await.map_err(sql_error)?;
            sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *transaction).await.map_err(sql_error)?;
            transaction.commit().await.map_err(sql_error)
        }
        newer => Err(Error::conflict(format!("index has version {newer}, this program knows {VERSION}"))),
    }
}

impl Index for SqliteIndex {
    fn marks(&self) -> BoxFuture<'_, Result<Vec<Mark>>> {
        async {
            let rows =
                sqlx::query("SELECT pack, offset FROM marks ORDER BY pack").fetch_all(&self.readers).await;
            let mark = |row: &SqliteRow| {
                Ok(Mark {
                    pack: PackId(rows::unsigned(row, "pack")?),
                    offset: rows::unsigned(row, "offset")?,
                })
            };
            rows.map_err(sql_error)?.iter().map(mark).collect()
        }
        .boxed()
    }

    fn commit<'a>(&'a self, group: &'a [NewInstance], marks: &'a [Mark]) -> BoxFuture<'a, Result<Cursor>> {
        async move { self.writer.lock().await.commit(group, marks).await }.boxed()
    }

    fn commit_replayed<'a>(&'a self, group: &'a [NewInstance], mark: Mark) -> BoxFuture<'a, Result<()>> {
        async move {
            let mut fresh: Vec<NewInstance> = Vec::with_capacity(group.len());
            for new in group {
                let known = self.known(&new.sop_instance).await?;
                fresh.extend(replayed(new, known.as_ref(), &fresh));
            }
            self.writer.lock().await.commit(&fresh, &[mark]).await.map(|_| ())
        }
        .boxed()
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        async {
            let mut writer = self.writer.lock().await;
            // A checkpoint syncs the log of the index before it copies from it.
            sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)")
                .execute(writer.connection()?)
                .await
                .map(|_| ())
                .map_err(sql_error)
        }
        .boxed()
    }

    fn known<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<Known>>> {
        async move {
            let sql = instance_select!("WHERE i.uid = ?");
            let found =
                sqlx::query(sql).bind(uid.as_str()).fetch_optional(&self.readers).await.map_err(sql_error)?;
            let Some(row) = found else { return Ok(None) };
            let conflicts = sqlx::query("SELECT digest FROM conflicts WHERE uid = ?")
                .bind(uid.as_str())
                .fetch_all(&self.readers)
                .await
                .map_err(sql_error)?;
            let digests: Result<Vec<Digest>> = conflicts.iter().map(rows::digest).collect();
            Ok(Some(Known {
                instance: rows::instance(&row)?,
                digest: rows::digest(&row)?,
                conflicts: digests?,
            }))
        }
        .boxed()
    }

    fn search<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Rows>> {
        async move { Ok(search::rows(self.searchers.clone(), query.clone())) }.boxed()
    }

    fn count<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<u64>> {
        search::count(&self.searchers, query).boxed()
    }

    fn instances<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<Instance>>> {
        rows::instances(&self.readers, of).boxed()
    }

    fn headers<'a>(
        &'a self,
        of: &'a Resource,
        after: Option<HeaderCursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<HeaderPage>> {
        rows::headers(&self.readers, of, after, limit).boxed()
    }

    fn header<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<(Header, FrameMap)>>> {
        async move {
            let sql = "SELECT h.header, h.frame_map FROM instances i JOIN headers h ON h.instance = i.id WHERE i.uid = ?";
            let found = sqlx::query(sql).bind(uid.as_str()).fetch_optional(&self.readers).await.map_err(sql_error)?;
            found.map(|row| Ok((rows::header(&row)?, rows::frame_map(&row)?))).transpose()
        }
        .boxed()
    }

    fn last_change(&self) -> BoxFuture<'_, Result<Cursor>> {
        work::last_change(&self.readers).boxed()
    }

    fn changes_after(&self, cursor: Cursor, limit: u32) -> BoxFuture<'_, Result<Vec<Change>>> {
        work::changes_after(&self.readers, cursor, limit).boxed()
    }

    fn cursor_of<'a>(&'a self, consumer: &'a str) -> BoxFuture<'a, Result<Cursor>> {
        work::cursor_of(&self.readers, consumer).boxed()
    }

    fn advance<'a>(&'a self, consumer: &'a str, to: Cursor, jobs: &'a [NewJob]) -> BoxFuture<'a, Result<()>> {
        async move { self.writer.lock().await.advance(consumer, to, jobs).await }.boxed()
    }

    fn lease<'a>(
        &'a self,
        kinds: &'a [&'a str],
        limit: u32,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Lease>>> {
        async move { self.writer.lock().await.lease(kinds, limit, lease).await }.boxed()
    }

    fn complete(&self, job: JobId) -> BoxFuture<'_, Result<()>> {
        async move { self.writer.lock().await.complete(job).await }.boxed()
    }

    fn fail<'a>(
        &'a self,
        job: JobId,
        error: &'a str,
        retry_in: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>> {
        async move { self.writer.lock().await.fail(job, error, retry_in).await }.boxed()
    }

    fn queue_depth(&self) -> BoxFuture<'_, Result<QueueDepth>> {
        work::queue_depth(&self.readers).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            self.searchers.close().await;
            if let Some(connection) = self.writer.lock().await.connection.take()
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "index: not closed cleanly");
            }
        }
        .boxed()
    }
}

/// What an instance that is read again is to the index: nothing new, a new one, or another data set under
/// a UID that is taken.
fn replayed(new: &NewInstance, known: Option<&Known>, before: &[NewInstance]) -> Option<NewInstance> {
    let mut others = before.iter().filter(|other| other.sop_instance == new.sop_instance);
    let is_there = known
        .is_some_and(|known| known.digest == new.digest || known.conflicts.contains(&new.digest))
        || others.clone().any(|other| other.digest == new.digest);
    let is_taken = known.is_some() || others.any(|other| !other.is_conflict);
    let is_conflict = new.is_conflict || is_taken;
    (!is_there).then(|| NewInstance { is_conflict, ..new.clone() })
}

/// A full disk and a lock pass by themselves; whatever else SQLite says is told as it is.
fn sql_error(error: sqlx::Error) -> Error {
    const FULL: i32 = 13;
    let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<i32>().ok());
    let (kind, what) = match (&error, code.map(|code| code & 0xFF)) {
        (_, Some(FULL)) => (ErrorKind::Exhausted, "disk of the index is full"),
        (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) => {
            (ErrorKind::Corrupt, "index cannot be read")
        }
        _ => (ErrorKind::Unavailable, "index cannot be used"),
    };
    Error::new(kind, what).with_source(error)
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[allow(clippy::unwrap_used, reason = "a test's preparation")]
    async fn index() -> (Arc<dyn Index>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let index = SqliteIndex::open(&folder.path().join("index.sqlite")).await.unwrap();
        (Arc::new(index), folder)
    }

    crate::index_conformance!(index);
}
