//! The tables of the index, and how they became what they are.
//!
//! The version of an index is the number of steps that were taken. A step is SQL that leaves to an
//! older program what it needs: nodes of both versions work side by side while a cluster is
//! upgraded, one after the other. What no step can do is made by `filmless reindex` from the packs,
//! with all nodes stopped.

use super::connection::PostgresConnection;
use crate::index::sql::{Connection as _, Statement};
use crate::{Error, Result};

/// Counted from 1.
pub(super) const STEPS: &[&str] = &[
    include_str!("../schema/postgres.sql"),
    include_str!("../schema/postgres-2.sql"),
    include_str!("../schema/postgres-3.sql"),
    include_str!("../schema/postgres-4.sql"),
    include_str!("../schema/postgres-5.sql"),
    include_str!("../schema/postgres-6.sql"),
    include_str!("../schema/postgres-7.sql"),
    include_str!("../schema/postgres-8.sql"),
];

const TABLE: &str = "CREATE TABLE ";

/// Takes the steps that are missing: one node does, the others wait for it. One that finds nothing to do waits
/// for nobody.
pub(super) async fn migrate(
    connection: &mut PostgresConnection,
    steps: &'static [&'static str],
) -> Result<()> {
    if is_current(connection, steps).await? {
        return Ok(());
    }
    connection
        .run("BEGIN; SELECT pg_advisory_xact_lock(hashtext('filmless steps ' || current_schema()))")
        .await?;
    let result = take_steps(connection, steps).await;
    match result {
        Ok(()) => connection.run("COMMIT").await.map(|_| ()),
        Err(error) => {
            connection.roll_back().await;
            Err(error)
        }
    }
}

async fn take_steps(connection: &mut PostgresConnection, steps: &'static [&'static str]) -> Result<()> {
    // Another node may have been quicker.
    if is_current(connection, steps).await? {
        return Ok(());
    }
    connection.run("CREATE TABLE IF NOT EXISTS steps (step BIGINT PRIMARY KEY)").await?;
    let taken = taken(connection).await?;
    for (number, step) in (1..).zip(steps).skip_while(|(number, _)| *number <= taken) {
        connection.take_time(*step).await?;
        connection.execute(Statement::new("INSERT INTO steps (step) VALUES (?)").bind(number)).await?;
        tracing::info!(step = number, "index: tables made for this version");
    }
    Ok(())
}

async fn taken(connection: &mut PostgresConnection) -> Result<i64> {
    connection.fetch_one(Statement::new("SELECT coalesce(max(step), 0) FROM steps")).await?.int(0)
}

async fn is_current(connection: &mut PostgresConnection, steps: &[&str]) -> Result<bool> {
    let sql = "SELECT current_setting('server_encoding'), coalesce(current_schema(), ''), \
               CASE WHEN to_regclass('steps') IS NULL THEN 0 ELSE 1 END";
    let row = connection.fetch_one(Statement::new(sql)).await?;
    if row.text(0)? != "UTF8" {
        let what = format!("database of the index is in {}, it has to be in UTF8", row.text(0)?);
        return Err(Error::invalid(what));
    }
    if row.text(1)?.is_empty() {
        return Err(Error::invalid("database of the index has no schema that this user may use"));
    }
    if row.int(2)? == 0 {
        return Ok(false);
    }
    let (taken, known) = (taken(connection).await?, i64::try_from(steps.len()).unwrap_or(i64::MAX));
    if taken > known {
        return Err(Error::conflict(format!("index has version {taken}, this program knows {known}")));
    }
    Ok(taken == known)
}

/// Names of the tables that the steps made, and that of the steps themselves.
pub(super) fn tables(steps: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    steps.iter().flat_map(|step| step.lines()).filter_map(name_of_table).chain(["steps"])
}

fn name_of_table(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(TABLE)?;
    rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest).split([' ', '(']).next()
}
