//! The connection that writes.

use super::at_once;
use super::checkpoint::Checkpointer;
use super::connection::SqliteConnection;
use crate::Result;
use crate::index::sql::closed;
use crate::index::sql::commit::{self, Memory};
use crate::index::{Committed, Gate, Mark, NewInstance};

/// The connection that writes, with what it remembers of the rows it needs again and again.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once closed.
    pub(super) connection: Option<SqliteConnection>,
    /// `None` after a failure, until it is read again.
    pub(super) memory: Option<Memory>,
    /// `None` once closed.
    pub(super) checkpointer: Option<Checkpointer>,
}

impl Writer {
    /// Runs a transaction to its end: committed, or undone when there was an error or the commit is one.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection, &mut Option<Memory>) -> Result<T>,
    ) -> Result<T> {
        let connection = ready(&mut self.connection, &mut self.memory)?;
        connection.run_again("BEGIN IMMEDIATE")?;
        let result = work(connection, &mut self.memory)
            .and_then(|value| connection.run_again("COMMIT").map(|()| value));
        if let (Ok(_), Some(checkpointer)) = (&result, &mut self.checkpointer) {
            // That it cannot be told is no failure of what was committed.
            let log = connection.log_length().unwrap_or_default();
            checkpointer.grown(connection, log);
        }
        if result.is_err() {
            // What was remembered may not be there: it is read again before the next group.
            self.memory = None;
            let _ = connection.run("ROLLBACK");
        }
        result
    }

    /// Asks for what is committed.
    pub(super) fn read<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>,
    ) -> Result<T> {
        let connection = ready(&mut self.connection, &mut self.memory)?;
        connection.run_again("BEGIN")?;
        let result = at_once(work(connection));
        connection.run_again("COMMIT")?;
        result
    }

    /// Brings all of the log into the file and leaves nothing in it: what was removed stood there too. Where somebody
    /// reads for longer than a moment, it is overwritten only in time.
    pub(super) fn empty_log(&mut self) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let _turn = self.checkpointer.as_ref().map(Checkpointer::turn);
        connection.empty_log()
    }

    pub(super) fn commit(
        &mut self,
        group: &[NewInstance],
        marks: &[Mark],
        gate: Gate<'_>,
    ) -> Result<Committed> {
        self.transaction(|connection, memory| {
            let memory = match memory {
                Some(memory) => memory,
                None => memory.insert(at_once(Memory::load(connection))?),
            };
            let committed = at_once(commit::commit(connection, memory, group, marks))?;
            // While the log syncs. What the commit has to write then is the page that marks it.
            connection.write_pages()?;
            gate().map(|()| committed)
        })
    }
}

/// The connection, with no transaction open: work that panicked has left its own.
fn ready<'a>(
    connection: &'a mut Option<SqliteConnection>,
    memory: &mut Option<Memory>,
) -> Result<&'a mut SqliteConnection> {
    let connection = connection.as_mut().ok_or_else(closed)?;
    if connection.is_within_transaction() {
        *memory = None;
        connection.run("ROLLBACK")?;
    }
    Ok(connection)
}
