//! Connections that commit, with what they remember.

use std::sync::{Mutex, PoisonError};

use super::connection::PostgresConnection;
use super::pool::Pool;
use super::presence;
use crate::index::sql::commit::{Counters, Memory};
use crate::index::sql::{Connection as _, SqlRow, Statement, commit};
use crate::index::{Committed, Gate, Mark, NewInstance};
use crate::{Error, Result};

/// Takes the order of the writers; what it gives was left by the last of them.
const LOCK: &str = "BEGIN; SELECT epoch, acts, studies, last_conflict, last_change FROM writer FOR UPDATE";

/// Taken out by whoever commits; a second one at the same time makes do without.
#[derive(Debug, Default)]
pub(super) struct Writers(Mutex<Option<Writer>>);

/// A connection that commits, with what it remembers of the rows it needs again and again.
#[derive(Debug)]
struct Writer {
    connection: PostgresConnection,
    memory: Memory,
}

impl Writers {
    pub(super) async fn commit(
        &self,
        pool: &Pool,
        group: &[NewInstance],
        marks: &[Mark],
        gate: Gate<'_>,
    ) -> Result<Committed> {
        let mut is_again = false;
        loop {
            let mut writer = match self.take() {
                Some(mut writer) => {
                    writer.connection.take_up();
                    writer
                }
                None => Writer { connection: pool.take().await?, memory: Memory::default() },
            };
            let result = writer.commit(group, marks, gate).await;
            if result.is_ok() {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
                return result;
            }
            // What was remembered may not be there, and the connection may have gone: once more without them,
            // where that can help.
            let can_help = writer.connection.is_worth_again || writer.connection.is_stale();
            writer.connection.roll_back().await;
            pool.put_back(writer.connection);
            if is_again || !can_help {
                return result;
            }
            is_again = true;
        }
    }

    /// Gives the connection back, to be closed with the others.
    pub(super) fn end(&self, pool: &Pool) {
        if let Some(writer) = self.take() {
            pool.put_back(writer.connection);
        }
    }

    fn take(&self) -> Option<Writer> {
        let writer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        writer.filter(|writer| !writer.connection.is_broken())
    }
}

impl Writer {
    async fn commit(&mut self, group: &[NewInstance], marks: &[Mark], gate: Gate<'_>) -> Result<Committed> {
        let Self { connection, memory } = self;
        let rows = connection.run(LOCK).await?;
        memory.resume(counters(&rows)?);
        let before = memory.counters().last_change;
        let committed = commit::commit(connection, memory, group, marks).await?;
        let Counters { epoch, studies, last_conflict, last_change, .. } = memory.counters();
        let update =
            Statement::new("UPDATE writer SET epoch = ?, studies = ?, last_conflict = ?, last_change = ?");
        connection.post(update.bind(epoch).bind(studies).bind(last_conflict).bind(last_change)).await?;
        if last_change > before {
            connection.post(presence::told(last_change)).await?;
        }
        connection.flush().await?;
        gate()?;
        connection.run("COMMIT").await?;
        Ok(committed)
    }
}

fn counters(rows: &[SqlRow]) -> Result<Counters> {
    let row = rows.first().ok_or_else(|| Error::corrupt("index has lost the row of its writers"))?;
    Ok(Counters {
        epoch: row.int(0)?,
        acts: row.int(1)?,
        studies: row.int(2)?,
        last_conflict: row.int(3)?,
        last_change: row.int(4)?,
    })
}
