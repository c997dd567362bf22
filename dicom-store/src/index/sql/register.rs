//! The register: JSON by kind and name.

use super::{Connection, SqlRow, Statement, audit, signed};
use crate::Result;
use crate::index::AuditRow;
use crate::register::{Entry, Registered};

const COLUMNS: &str = "name, body, made, written, times";

fn registered(row: &SqlRow) -> Result<Registered> {
    Ok(Registered {
        name: row.text(0)?.to_owned(),
        body: row.text(1)?.to_owned(),
        made: row.unsigned(2)?,
        written: row.unsigned(3)?,
        times: row.unsigned(4)?,
    })
}

/// Of a kind, those behind a name, in the order of names.
pub(in crate::index) async fn rows<C: Connection>(
    connection: &mut C,
    kind: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Registered>> {
    let select = format!("SELECT {COLUMNS} FROM register WHERE kind = ? AND name > ? ORDER BY name LIMIT ?");
    let select = Statement::new(select).bind(kind).bind(after).bind(limit);
    connection.fetch(select).await?.iter().map(registered).collect()
}

pub(in crate::index) async fn row<C: Connection>(
    connection: &mut C,
    kind: &str,
    name: &str,
) -> Result<Option<Registered>> {
    let select = format!("SELECT {COLUMNS} FROM register WHERE kind = ? AND name = ?");
    let row = connection.fetch_optional(Statement::new(select).bind(kind).bind(name)).await?;
    row.as_ref().map(registered).transpose()
}

/// Writes lines, and of the audit the one that says who did.
pub(in crate::index) async fn write<C: Connection>(
    connection: &mut C,
    entries: &[Entry],
    by: Option<&AuditRow>,
) -> Result<()> {
    let now = C::DIALECT.clock();
    for entry in entries {
        let insert = Statement::new(format!(
            "INSERT INTO register (kind, name, body, made, written, times)
             SELECT ?, ?, ?, clock.now, clock.now, CAST(? AS BIGINT) FROM (SELECT {now} AS now) AS clock WHERE TRUE
             ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, written = excluded.written,
                times = register.times + excluded.times",
        ));
        let insert = insert.bind(entry.kind).bind(entry.name.as_str()).bind(entry.body.as_str());
        connection.execute(insert.bind(signed(entry.times)?)).await?;
    }
    record(connection, by).await
}

/// Writes a line in the place of one that has been written so often, 0 for none; gives whether it was still so.
pub(in crate::index) async fn write_if<C: Connection>(
    connection: &mut C,
    entry: &Entry,
    times: u64,
    by: Option<&AuditRow>,
) -> Result<bool> {
    let now = C::DIALECT.clock();
    let statement = if times == 0 {
        let insert = format!(
            "INSERT INTO register (kind, name, body, made, written, times)
             SELECT ?, ?, ?, clock.now, clock.now, 1 FROM (SELECT {now} AS now) AS clock WHERE TRUE
             ON CONFLICT (kind, name) DO NOTHING"
        );
        Statement::new(insert).bind(entry.kind).bind(entry.name.as_str()).bind(entry.body.as_str())
    } else {
        let update = format!(
            "UPDATE register SET body = ?, written = {now}, times = times + 1 WHERE kind = ? AND name = ? AND times = ?"
        );
        let update =
            Statement::new(update).bind(entry.body.as_str()).bind(entry.kind).bind(entry.name.as_str());
        update.bind(signed(times)?)
    };
    let is_written = connection.execute(statement).await? > 0;
    if is_written {
        record(connection, by).await?;
    }
    Ok(is_written)
}

/// Removes a line; gives whether it was there.
pub(in crate::index) async fn remove<C: Connection>(
    connection: &mut C,
    kind: &str,
    name: &str,
    by: Option<&AuditRow>,
) -> Result<bool> {
    let delete = Statement::new("DELETE FROM register WHERE kind = ? AND name = ?").bind(kind).bind(name);
    let removed = connection.execute(delete).await?;
    if removed > 0 {
        record(connection, by).await?;
    }
    Ok(removed > 0)
}

async fn record<C: Connection>(connection: &mut C, by: Option<&AuditRow>) -> Result<()> {
    match by {
        Some(row) => audit::record(connection, row).await,
        None => Ok(()),
    }
}
