//! The audit: rows that are only ever added.

use super::{Connection, Statement, signed};
use crate::Result;
use crate::index::AuditRow;

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
