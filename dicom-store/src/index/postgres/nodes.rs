//! The nodes that share an index.

use super::connection::PostgresConnection;
use crate::index::sql::{Connection as _, SqlRow, Statement, signed};
use crate::node::Joining;
use crate::{Error, Result};

const ALONE: i64 = 0;
const SHARING: i64 = 1;

/// Takes a node in while nobody else writes; gives its number.
pub(super) async fn join(connection: &mut PostgresConnection, node: &Joining) -> Result<u64> {
    let select = Statement::new("SELECT id, token, durability FROM node ORDER BY id");
    let known = connection.fetch(select).await?;
    let mut number = None;
    for row in &known {
        if row.text(1)? == node.token {
            number = Some(row.unsigned(0)?);
        } else if node.is_alone || row.int(2)? == ALONE {
            return Err(alone(row.unsigned(0)?));
        }
    }
    let number = match number {
        Some(number) => number,
        None => new_number(&known, node)?,
    };
    let upsert = Statement::new(
        "INSERT INTO node (id, token, durability) VALUES (?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET durability = excluded.durability",
    );
    let durability = if node.is_alone { ALONE } else { SHARING };
    connection.execute(upsert.bind(signed(number)?).bind(node.token.as_str()).bind(durability)).await?;
    Ok(number)
}

/// The one that it had in an index that is gone, if nobody has it now, or one that nobody ever had.
fn new_number(known: &[SqlRow], node: &Joining) -> Result<u64> {
    let taken = known.iter().map(|row| row.unsigned(0)).collect::<Result<Vec<_>>>()?;
    let free = taken.iter().map(|number| number + 1).max().unwrap_or_default().max(node.first_free);
    Ok(node.number.filter(|number| !taken.contains(number)).unwrap_or(free))
}

fn alone(other: u64) -> Error {
    Error::conflict(format!(
        "node {other} uses this index, and several nodes need objects in s3: with durability \"remote\" on each of them; \
         if that node is gone for good, `filmless reindex` forgets it"
    ))
}
