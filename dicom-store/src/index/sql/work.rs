//! The change feed and the job queue.

use std::time::Duration;

use super::{Connection, Dialect, SqlRow, Statement, audit, signed};
use crate::change::{Change, ChangeKind, Cursor};
use crate::index::AuditRow;
use crate::model::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::queue::{
    JobId, JobQuery, JobState, Lease, NewJob, Priority, Progress, QueueDepth, QueuedJob, Steering, Wanted,
};
use crate::{Error, Result};

const STORED: i64 = 1;
const CONFLICT: i64 = 2;

pub(super) fn kind_number(kind: ChangeKind) -> i64 {
    match kind {
        ChangeKind::Stored => STORED,
        ChangeKind::Conflict => CONFLICT,
    }
}

fn change(row: &SqlRow) -> Result<Change> {
    Ok(Change {
        cursor: Cursor(row.int(0)?),
        kind: match row.int(1)? {
            STORED => ChangeKind::Stored,
            CONFLICT => ChangeKind::Conflict,
            other => return Err(Error::corrupt(format!("index has a change of kind {other}"))),
        },
        study: StudyInstanceUid::parse(row.text(2)?)?,
        series: SeriesInstanceUid::parse(row.text(3)?)?,
        sop_instance: SopInstanceUid::parse(row.text(4)?)?,
        received: row.unsigned(5)?,
    })
}

pub(in crate::index) async fn last_change<C: Connection>(connection: &mut C) -> Result<Cursor> {
    // Where the last instance was destroyed, its place must not be given again to one that its followers would not see.
    let sql = "SELECT coalesce((SELECT max(id) FROM instances), 0), coalesce((SELECT max(cursor) FROM changes), 0), \
               coalesce((SELECT max(cursor) FROM cursors), 0)";
    let row = connection.fetch_one(Statement::new(sql)).await?;
    Ok(Cursor(row.int(0)?.max(row.int(1)?).max(row.int(2)?)))
}

/// The number of an instance's row is the place where it was stored; everything else that happened has a row
/// of its own, counted together with them. Changes of what is gone are left out.
pub(in crate::index) async fn changes_after<C: Connection>(
    connection: &mut C,
    cursor: Cursor,
    limit: u32,
) -> Result<Vec<Change>> {
    let select = Statement::new(
        "SELECT * FROM (
            SELECT i.id AS cursor, 1 AS kind, s.uid AS study, e.uid AS series, i.uid AS instance, i.received
            FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study
            WHERE i.id > ? ORDER BY i.id LIMIT ?) AS stored
         UNION ALL SELECT * FROM (
            SELECT c.cursor, c.kind, f.study, f.series, f.uid, f.received FROM changes c JOIN conflicts f ON f.id = c.subject
            WHERE c.cursor > ? AND c.kind = 2 ORDER BY c.cursor LIMIT ?) AS other
         ORDER BY 1 LIMIT ?",
    );
    let select = select.bind(cursor.0).bind(limit).bind(cursor.0).bind(limit).bind(limit);
    connection.fetch(select).await?.iter().map(change).collect()
}

pub(in crate::index) async fn cursor_of<C: Connection>(connection: &mut C, consumer: &str) -> Result<Cursor> {
    let select = Statement::new("SELECT cursor FROM cursors WHERE consumer = ?").bind(consumer);
    let row = connection.fetch_optional(select).await?;
    row.map_or(Ok(Cursor::default()), |row| row.int(0).map(Cursor))
}

pub(in crate::index) async fn queue_depth<C: Connection>(connection: &mut C) -> Result<QueueDepth> {
    let mut depth = QueueDepth::default();
    for row in connection.fetch(Statement::new("SELECT state, count(*) FROM jobs GROUP BY state")).await? {
        let count = row.unsigned(1)?;
        match row.int(0)? {
            0 => depth.waiting = count,
            1 => depth.running = count,
            _ => depth.parked = count,
        }
    }
    Ok(depth)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

/// Whether a job waits to be run, now or later.
pub(in crate::index) async fn is_job_waiting<C: Connection>(connection: &mut C) -> Result<bool> {
    let sql = "SELECT 1 FROM jobs WHERE state = 0 LIMIT 1";
    Ok(connection.fetch_optional(Statement::new(sql)).await?.is_some())
}

/// Each priority by itself: of those that are due later, of which there may be one for each series that has come, none is
/// looked at.
pub(in crate::index) async fn lease<C: Connection>(
    connection: &mut C,
    wanted: Wanted<'_>,
    lease: Duration,
) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    for priority in Priority::ALL.into_iter().rev().filter(|priority| *priority >= wanted.least) {
        let taken = u32::try_from(leases.len()).unwrap_or(u32::MAX);
        let limit = wanted.limit.saturating_sub(taken);
        if limit > 0 {
            leases.extend(lease_of(connection, priority, wanted.kinds, limit, lease).await?);
        }
    }
    Ok(leases)
}

async fn lease_of<C: Connection>(
    connection: &mut C,
    priority: Priority,
    kinds: &[&str],
    limit: u32,
    lease: Duration,
) -> Result<Vec<Lease>> {
    let now = C::DIALECT.clock();
    let mut update =
        Statement::new(format!("UPDATE jobs SET state = 1, attempt = attempt + 1, due = {now} + "));
    update.push_bind(milliseconds(lease));
    update.push(" WHERE id IN (SELECT id FROM jobs WHERE state < 2 AND priority = ");
    update.push_bind(priority.number());
    update.push(" AND due <= ").push(now);
    update.push(" AND kind IN ").push_list(kinds.iter().copied());
    update.push(" ORDER BY due LIMIT ").push_bind(limit);
    if C::DIALECT == Dialect::Postgres {
        // What another node is taking at this moment is not waited for.
        update.push(" FOR UPDATE SKIP LOCKED");
    }
    update.push(") RETURNING id, kind, payload, attempt, cancelled");
    let lease = |row: &SqlRow| {
        Ok(Lease {
            id: JobId(row.int(0)?),
            kind: row.text(1)?.to_owned(),
            payload: row.text(2)?.to_owned(),
            attempt: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
            is_cancelled: row.int(4)? != 0,
        })
    };
    connection.fetch(update).await?.iter().map(lease).collect()
}

pub(in crate::index) async fn still_wanted<C: Connection>(
    connection: &mut C,
    job: JobId,
    progress: Option<Progress>,
) -> Result<bool> {
    if let Some(Progress { done, total }) = progress {
        let update = Statement::new("UPDATE jobs SET done = ?, total = ? WHERE id = ? AND state = 1");
        connection.execute(update.bind(signed(done)?).bind(signed(total)?).bind(job.0)).await?;
    }
    let select = Statement::new("SELECT 1 FROM jobs WHERE id = ? AND cancelled = 0").bind(job.0);
    Ok(connection.fetch_optional(select).await?.is_some())
}

pub(in crate::index) async fn jobs<C: Connection>(
    connection: &mut C,
    query: &JobQuery,
) -> Result<Vec<QueuedJob>> {
    let mut select = Statement::new(
        "SELECT id, kind, key, state, priority, attempt, due, made, error, done, total, cancelled FROM jobs WHERE id > ",
    );
    select.push_bind(query.after.map_or(i64::MIN, |after| after.0));
    if let Some(JobId(id)) = query.id {
        select.push(" AND id = ").push_bind(id);
    }
    if let Some(kind) = &query.kind {
        select.push(" AND kind = ").push_bind(kind.as_str());
    }
    if let Some(state) = query.state {
        select.push(" AND state = ").push_bind(state.number());
    }
    for (n, key) in query.keys.iter().enumerate() {
        select.push(if n == 0 { " AND key IN (" } else { ", " }).push_bind(key.as_str());
    }
    if !query.keys.is_empty() {
        select.push(")");
    }
    select.push(" ORDER BY id LIMIT ").push_bind(query.limit);
    connection.fetch(select).await?.iter().map(queued).collect()
}

fn queued(row: &SqlRow) -> Result<QueuedJob> {
    let (state, priority) = (row.int(3)?, row.int(4)?);
    let unknown = |what: &str, number: i64| Error::corrupt(format!("index has a job of {what} {number}"));
    Ok(QueuedJob {
        id: JobId(row.int(0)?),
        kind: row.text(1)?.to_owned(),
        key: row.text(2)?.to_owned(),
        state: *JobState::ALL
            .iter()
            .find(|one| one.number() == state)
            .ok_or_else(|| unknown("state", state))?,
        priority: *Priority::ALL
            .iter()
            .find(|one| one.number() == priority)
            .ok_or_else(|| unknown("priority", priority))?,
        attempt: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
        due: row.unsigned(6)?,
        made: row.unsigned(7)?,
        error: row.text(8)?.to_owned(),
        progress: Progress { done: row.unsigned(9)?, total: row.unsigned(10)? },
        is_cancelled: row.int(11)? != 0,
    })
}

/// A parked job whose like waits has nothing more to say: that one is steered in its place.
pub(in crate::index) async fn steer<C: Connection>(
    connection: &mut C,
    job: JobId,
    steering: Steering,
    by: &AuditRow,
) -> Result<bool> {
    let now = C::DIALECT.clock();
    let changed = match steering {
        Steering::Cancel => {
            let update = Statement::new(format!(
                "UPDATE jobs SET cancelled = 1 WHERE id = ? AND state = 1 AND due > {now}"
            ));
            let stopped = connection.execute(update.bind(job.0)).await?;
            let delete = "DELETE FROM jobs WHERE id = ? AND cancelled = 0";
            stopped + connection.execute(Statement::new(delete).bind(job.0)).await?
        }
        Steering::RunNow => {
            let waiting = "SELECT b.id FROM jobs a JOIN jobs b ON a.kind = b.kind AND a.key = b.key AND b.state = 0 \
                           WHERE a.id = ? AND a.state = 2";
            let waiting = connection.fetch_optional(Statement::new(waiting).bind(job.0)).await?;
            let of = match waiting {
                Some(row) => {
                    complete(connection, job).await?;
                    JobId(row.int(0)?)
                }
                None => job,
            };
            let update = Statement::new(format!(
                "UPDATE jobs SET state = 0, due = {now}, attempt = 0, priority = ? \
                 WHERE id = ? AND state <> 1 AND cancelled = 0"
            ));
            connection.execute(update.bind(Priority::Awaited.number()).bind(of.0)).await?
        }
        Steering::Prioritise(priority) => {
            let update = Statement::new("UPDATE jobs SET priority = ? WHERE id = ?");
            connection.execute(update.bind(priority.number()).bind(job.0)).await?
        }
    };
    if changed > 0 {
        audit::record(connection, by).await?;
    }
    Ok(changed > 0)
}

/// Of a job that is still running.
pub(in crate::index) async fn renew<C: Connection>(
    connection: &mut C,
    job: JobId,
    lease: Duration,
) -> Result<()> {
    let now = C::DIALECT.clock();
    let update = Statement::new(format!("UPDATE jobs SET due = {now} + ? WHERE id = ? AND state = 1"));
    connection.execute(update.bind(milliseconds(lease)).bind(job.0)).await.map(|_| ())
}

/// Whoever held leases is gone: what was running is due now.
pub(in crate::index) async fn release_all<C: Connection>(connection: &mut C) -> Result<()> {
    connection.execute(Statement::new("UPDATE jobs SET due = 0 WHERE state = 1")).await.map(|_| ())
}

pub(in crate::index) async fn complete<C: Connection>(connection: &mut C, job: JobId) -> Result<()> {
    connection.execute(Statement::new("DELETE FROM jobs WHERE id = ?").bind(job.0)).await.map(|_| ())
}

pub(in crate::index) async fn fail<C: Connection>(
    connection: &mut C,
    job: JobId,
    error: &str,
    retry_in: Option<Duration>,
) -> Result<()> {
    // When the same was asked for meanwhile, that one takes its place.
    let is_replaced = Statement::new(
        "SELECT 1 FROM jobs a JOIN jobs b ON a.kind = b.kind AND a.key = b.key AND b.state = 0 WHERE a.id = ? AND a.id <> b.id",
    );
    if connection.fetch_optional(is_replaced.bind(job.0)).await?.is_some() {
        return complete(connection, job).await;
    }
    let state: i64 = if retry_in.is_some() { 0 } else { 2 };
    let now = C::DIALECT.clock();
    let update =
        Statement::new(format!("UPDATE jobs SET state = ?, due = {now} + ?, error = ? WHERE id = ?"));
    let delay = milliseconds(retry_in.unwrap_or_default());
    connection.execute(update.bind(state).bind(delay).bind(error).bind(job.0)).await.map(|_| ())
}

pub(in crate::index) async fn advance<C: Connection>(
    connection: &mut C,
    consumer: &str,
    from: Cursor,
    to: Cursor,
    jobs: &[NewJob],
) -> Result<bool> {
    let update = Statement::new("UPDATE cursors SET cursor = ? WHERE consumer = ? AND cursor = ?");
    let mut moved = connection.execute(update.bind(to.0).bind(consumer).bind(from.0)).await?;
    if moved == 0 && from == Cursor::default() {
        let insert = "INSERT INTO cursors (consumer, cursor) VALUES (?, ?) ON CONFLICT (consumer) DO NOTHING";
        moved = connection.execute(Statement::new(insert).bind(consumer).bind(to.0)).await?;
    }
    if moved == 0 {
        return Ok(false);
    }
    let now = C::DIALECT.clock();
    for job in jobs {
        let insert = Statement::new(format!(
            "INSERT INTO jobs (kind, key, payload, due, made, priority) VALUES (?, ?, ?, {now} + ?, {now}, ?)
             ON CONFLICT (kind, key) WHERE state = 0 DO UPDATE SET payload = excluded.payload, due = excluded.due,
             attempt = 0, priority = {greater}(jobs.priority, excluded.priority)",
            greater = C::DIALECT.greater(),
        ));
        let insert = insert.bind(job.kind).bind(job.key.as_str()).bind(job.payload.as_str());
        let insert = insert.bind(milliseconds(job.delay)).bind(job.priority.number());
        connection.execute(insert).await?;
    }
    Ok(true)
}
