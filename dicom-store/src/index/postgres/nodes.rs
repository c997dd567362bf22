//! The nodes that share an index.

use super::connection::PostgresConnection;
use crate::change::Cursor;
use crate::index::sql::{Connection as _, SqlRow, Statement, signed};
use crate::node::{Joined, Joining};
use crate::{Error, Result};

/// Held by every node that is at work. The server needs a moment to see that a killed one has gone, so this is waited
/// for, as the next two are.
pub(super) const LOCK: &str = "SELECT set_config('lock_timeout', '3s', false), \
    pg_advisory_lock(hashtext('filmless node ' || current_schema()), $1)";
/// Shared by all nodes that are at work.
pub(super) const SHARE: &str = "SELECT set_config('lock_timeout', '3s', false), \
    pg_advisory_lock_shared(hashtext('filmless reindex ' || current_schema()))";
/// For whoever makes the index anew, who has it alone.
pub(super) const KEEP_OUT: &str = "SELECT set_config('lock_timeout', '3s', false), \
    pg_advisory_lock(hashtext('filmless reindex ' || current_schema()))";

const ALONE: i64 = 0;
const SHARING: i64 = 1;

/// Takes a node in while nobody else writes; gives its number.
pub(super) async fn join(connection: &mut PostgresConnection, node: &Joining) -> Result<Joined> {
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
    let founder = match known.first() {
        Some(first) => first.text(1)?.to_owned(),
        None => node.token.clone(),
    };
    Ok(Joined { number, founder })
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

/// Where the tables are.
pub(super) async fn schema(connection: &mut PostgresConnection) -> Result<String> {
    let row = connection.fetch_one(Statement::new("SELECT CAST(current_schema() AS TEXT)")).await?;
    row.text(0).map(str::to_owned)
}

/// The end of the change feed.
pub(super) async fn last_change(connection: &mut PostgresConnection) -> Result<Cursor> {
    connection.fetch_one(Statement::new("SELECT last_change FROM writer")).await?.int(0).map(Cursor)
}

/// # Errors
/// `Conflict` when a node is at work.
pub(super) async fn nobody_works(connection: &mut PostgresConnection) -> Result<()> {
    // The catalogue has the first number of a lock without its sign.
    let select = Statement::new(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
         AND CAST(l.classid AS BIGINT) = CAST(hashtext('filmless node ' || current_schema()) AS BIGINT) & 4294967295",
    );
    match connection.fetch_one(select).await?.int(0)? {
        0 => Ok(()),
        nodes => Err(Error::conflict(format!(
            "{nodes} nodes are at work on this index; they have to be stopped first"
        ))),
    }
}
