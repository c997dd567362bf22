//! The audit: rows that are only ever added.
//!
//! An index that is made anew has those of the one before ([`TOLD`]), and the packs tell it again of acts and
//! instances that have theirs.

use super::{Connection, Statement, signed};
use crate::Result;
use crate::index::AuditRow;

/// Counters of an index: the last act that has its line; and, of one that is being filled, up to when instances came that
/// have theirs.
pub(super) const ACTS: &str = "audited acts";
const INSTANCES: &str = "audited instances";

/// Both, of an index that is about to be made anew.
pub(in crate::index) const TOLD: &str = "SELECT 'audited acts' AS name, max(v) AS value FROM
        (SELECT max(number) AS v FROM ledger UNION ALL SELECT value FROM counters WHERE name = 'audited acts') AS acts
    UNION ALL SELECT 'audited instances', max(v) FROM
        (SELECT (SELECT received FROM instances ORDER BY id DESC LIMIT 1) AS v UNION ALL SELECT max(newest) FROM texts
         UNION ALL SELECT value FROM counters WHERE name = 'audited instances') AS instances";

/// All that the packs hold is in the index: whatever comes from now on has no line, whatever the clock says.
pub(in crate::index) async fn filled<C: Connection>(connection: &mut C) -> Result<()> {
    let delete = Statement::new("DELETE FROM counters WHERE name = ?").bind(INSTANCES);
    connection.execute(delete).await.map(|_| ())
}

/// Records an act, unless the audit was carried over with its line.
pub(super) async fn record_act<C: Connection>(connection: &mut C, number: u64, row: &AuditRow) -> Result<()> {
    record_behind(connection, ACTS, signed(number)?, row).await
}

/// Records what an instance says that came at a time, unless the audit was carried over with its line.
pub(super) async fn record_instance<C: Connection>(
    connection: &mut C,
    received: u64,
    row: &AuditRow,
) -> Result<()> {
    record_behind(connection, INSTANCES, signed(received)?, row).await
}

async fn record_behind<C: Connection>(
    connection: &mut C,
    counter: &str,
    at: i64,
    row: &AuditRow,
) -> Result<()> {
    let told = Statement::new("SELECT 1 FROM counters WHERE name = ? AND value >= ?").bind(counter).bind(at);
    if connection.fetch_optional(told).await?.is_some() {
        return Ok(());
    }
    record(connection, row).await
}

pub(in crate::index) async fn record<C: Connection>(connection: &mut C, row: &AuditRow) -> Result<()> {
    let sql = "INSERT INTO audit (at, actor, action, what, outcome) VALUES (?, ?, ?, ?, ?)";
    let insert = Statement::new(sql)
        .bind(signed(row.at)?)
        .bind(row.actor.as_str())
        .bind(row.action.as_str())
        .bind(row.what.as_str())
        .bind(row.outcome.as_str());
    connection.execute(insert).await.map(|_| ())
}

/// The last rows before a place, from the newest, each with its place.
pub(in crate::index) async fn rows<C: Connection>(
    connection: &mut C,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, AuditRow)>> {
    let sql = "SELECT id, at, actor, action, what, outcome FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?";
    let before = before.map_or(Ok(i64::MAX), signed)?;
    let rows = connection.fetch(Statement::new(sql).bind(before).bind(limit)).await?;
    let row = |row: &super::SqlRow| {
        let text = |column| row.text(column).map(str::to_owned);
        let (actor, action, what, outcome) = (text(2)?, text(3)?, text(4)?, text(5)?);
        Ok((row.unsigned(0)?, AuditRow { at: row.unsigned(1)?, actor, action, what, outcome }))
    };
    rows.iter().map(row).collect()
}
