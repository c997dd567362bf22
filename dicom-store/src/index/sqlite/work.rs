//! The change feed and the job queue.

use std::time::Duration;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::commit::now;
use super::{Writer, sql_error};
use crate::change::{Change, ChangeKind, Cursor};
use crate::model::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::queue::{JobId, Lease, NewJob, QueueDepth};
use crate::{Error, Result};

pub(super) fn kind_number(kind: ChangeKind) -> i64 {
    match kind {
        ChangeKind::Stored => 1,
        ChangeKind::Conflict => 2,
    }
}

fn change(row: &SqliteRow) -> Result<Change> {
    let text = |column| row.try_get::<String, _>(column).map_err(sql_error);
    Ok(Change {
        cursor: Cursor(row.try_get("cursor").map_err(sql_error)?),
        kind: match row.try_get::<i64, _>("kind").map_err(sql_error)? {
            1 => ChangeKind::Stored,
            2 => ChangeKind::Conflict,
            other => return Err(Error::corrupt(format!("index has a change of kind {other}"))),
        },
        study: StudyInstanceUid::parse(&text("study")?)?,
        series: SeriesInstanceUid::parse(&text("series")?)?,
        sop_instance: SopInstanceUid::parse(&text("instance")?)?,
    })
}

pub(super) async fn last_change(pool: &SqlitePool) -> Result<Cursor> {
    let row = sqlx::query("SELECT coalesce(max(cursor), 0) FROM changes").fetch_one(pool).await;
    row.and_then(|row| row.try_get(0)).map(Cursor).map_err(sql_error)
}

pub(super) async fn changes_after(pool: &SqlitePool, cursor: Cursor, limit: u32) -> Result<Vec<Change>> {
    let sql =
        "SELECT cursor, kind, study, series, instance FROM changes WHERE cursor > ? ORDER BY cursor LIMIT ?";
    let rows = sqlx::query(sql).bind(cursor.0).bind(limit).fetch_all(pool).await.map_err(sql_error)?;
    rows.iter().map(change).collect()
}

pub(super) async fn cursor_of(pool: &SqlitePool, consumer: &str) -> Result<Cursor> {
    let sql = "SELECT cursor FROM cursors WHERE consumer = ?";
    let row = sqlx::query(sql).bind(consumer).fetch_optional(pool).await.map_err(sql_error)?;
    row.map_or(Ok(Cursor::default()), |row| row.try_get(0).map(Cursor).map_err(sql_error))
}

pub(super) async fn queue_depth(pool: &SqlitePool) -> Result<QueueDepth> {
    let sql = "SELECT state, count(*) FROM jobs GROUP BY state";
    let mut depth = QueueDepth::default();
    for row in sqlx::query(sql).fetch_all(pool).await.map_err(sql_error)? {
        let count = u64::try_from(row.try_get::<i64, _>(1).map_err(sql_error)?).unwrap_or_default();
        match row.try_get::<i64, _>(0).map_err(sql_error)? {
            0 => depth.waiting = count,
            1 => depth.running = count,
            _ => depth.parked = count,
        }
    }
    Ok(depth)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

impl Writer {
    pub(super) async fn advance(&mut self, consumer: &str, to: Cursor, jobs: &[NewJob]) -> Result<()> {
        self.begin().await?;
        let result = advance(self.connection()?, consumer, to, jobs).await;
        self.end(result).await
    }

    pub(super) async fn lease(&mut self, kinds: &[&str], limit: u32, lease: Duration) -> Result<Vec<Lease>> {
        let now = now();
        let mut update =
            QueryBuilder::<Sqlite>::new("UPDATE jobs SET state = 1, attempt = attempt + 1, due = ");
        update.push_bind(now.saturating_add(milliseconds(lease)));
        update.push(" WHERE id IN (SELECT id FROM jobs WHERE state < 2 AND due <= ").push_bind(now);
        update.push(" AND kind IN (");
        let mut list = update.separated(", ");
        kinds.iter().for_each(|kind| {
            list.push_bind((*kind).to_owned());
        });
        update.push(") ORDER BY due LIMIT ").push_bind(limit).push(") RETURNING id, kind, payload, attempt");
        let rows = update.build().fetch_all(self.connection()?).await.map_err(sql_error)?;
        let lease = |row: &SqliteRow| {
            Ok(Lease {
                id: JobId(row.try_get("id")?),
                kind: row.try_get("kind")?,
                payload: row.try_get("payload")?,
                attempt: row.try_get("attempt")?,
            })
        };
        rows.iter().map(lease).collect::<sqlx::Result<_>>().map_err(sql_error)
    }

    pub(super) async fn complete(&mut self, job: JobId) -> Result<()> {
        let delete = sqlx::query("DELETE FROM jobs WHERE id = ?").bind(job.0);
        delete.execute(self.connection()?).await.map(|_| ()).map_err(sql_error)
    }

    pub(super) async fn fail(&mut self, job: JobId, error: &str, retry_in: Option<Duration>) -> Result<()> {
        let connection = self.connection()?;
        let due = now().saturating_add(milliseconds(retry_in.unwrap_or_default()));
        // When the same was asked for meanwhile, that one takes its place.
        let is_replaced = "SELECT 1 FROM jobs a JOIN jobs b ON a.kind = b.kind AND a.key = b.key AND b.state = 0 WHERE a.id = ? AND a.id <> b.id";
        let replaced =
            sqlx::query(is_replaced).bind(job.0).fetch_optional(&mut *connection).await.map_err(sql_error)?;
        if replaced.is_some() {
            return self.complete(job).await;
        }
        let state = if retry_in.is_some() { 0 } else { 2 };
        let update = sqlx::query("UPDATE jobs SET state = ?, due = ?, error = ? WHERE id = ?");
        let update = update.bind(state).bind(due).bind(error).bind(job.0);
        update.execute(connection).await.map(|_| ()).map_err(sql_error)
    }
}

async fn advance(
    connection: &mut SqliteConnection,
    consumer: &str,
    to: Cursor,
    jobs: &[NewJob],
) -> Result<()> {
    let sql = "INSERT INTO cursors (consumer, cursor) VALUES (?, ?) ON CONFLICT (consumer) DO UPDATE SET cursor = excluded.cursor";
    sqlx::query(sql).bind(consumer).bind(to.0).execute(&mut *connection).await.map_err(sql_error)?;
    for job in jobs {
        let sql = "INSERT INTO jobs (kind, key, payload, due) VALUES (?, ?, ?, ?)
                   ON CONFLICT (kind, key) WHERE state = 0 DO UPDATE SET payload = excluded.payload, due = excluded.due, attempt = 0";
        sqlx::query(sql)
            .bind(job.kind)
            .bind(job.key.as_str())
            .bind(job.payload.as_str())
            .bind(now().saturating_add(milliseconds(job.delay)))
            .execute(&mut *connection)
            .await
            .map_err(sql_error)?;
    }
    Ok(())
}
