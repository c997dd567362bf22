//! An index that is made anew, in a schema beside the one in use, whose place its tables take when they are filled.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;

use super::connection::{self, PostgresConnection, quoted, within};
use super::pulse::{Limits, Pulse};
use super::{nodes, schema};
use crate::hex::hex;
use crate::index::sql::{Connection as _, SqlRow, Statement, audit, damaged, register};
use crate::{Error, ErrorKind, Result};

/// Behind the name of the schema in use.
const SUFFIX: &str = "_filmless_new";
/// Bytes that a name may have.
const NAME: usize = 63;
/// What our schema has for a comment: one without it is somebody else's.
const COMMENT: &str = "filmless reindex: an index that is being made anew";
/// Tables whose rows no pack has.
const CARRIED: [&str; 3] = ["register", "jobs", "audit"];
/// Those of them that count their rows.
const COUNTED: [&str; 2] = ["jobs", "audit"];

/// How long others may read the tables that are dropped, a dump of the database for example: what was filled for hours
/// is not thrown away for them.
const SWAP: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min';
    SELECT pg_advisory_xact_lock(hashtext('filmless steps ' || current_schema()))";
/// And how long those that filled a schema in vain may still be at it.
const DROP: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'";

/// The new one; no node works on the index before as long as it is there.
#[derive(Debug)]
pub(crate) struct Renewed {
    held: PostgresConnection,
    /// Where the tables of the index before are.
    before: String,
    schema: String,
}

impl Renewed {
    /// Makes a new index with what no pack has of the one before, which stays as it is. One that was begun and left is
    /// dropped.
    ///
    /// # Errors
    /// `Conflict` while a node is at work, or another makes the index anew, and when a schema of somebody else has the
    /// name; `Invalid` when the user of the database may not make one; otherwise as of opening an index.
    pub(crate) async fn begin(url: &str, password: Option<&str>) -> Result<Self> {
        let options = connection::of(url, password)?;
        let pulse = Pulse::new(options.clone(), Limits::default());
        let mut held = PostgresConnection::open(&options, pulse.listening()).await?;
        schema::migrate(&mut held, schema::STEPS).await?;
        keep_out(&mut held).await?;
        let before = schema_of_tables(&mut held).await?;
        check_privileges(&mut held, &before).await?;
        let schema = name_beside(&before);
        drop_schema(&mut held, &schema).await?;
        let mut new = Self { held, before, schema };
        match new.make(&options, &pulse).await {
            Ok(()) => Ok(new),
            Err(error) => {
                new.discard().await;
                Err(error)
            }
        }
    }

    /// Where it is filled.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    async fn make(&mut self, options: &PgConnectOptions, pulse: &Arc<Pulse>) -> Result<()> {
        let schema = quoted(&self.schema);
        // One transaction: there is none without the comment.
        let create = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{COMMENT}'");
        self.held.take_time(AssertSqlSafe(create)).await?;
        let options = within(options.clone(), &self.schema);
        let mut new = PostgresConnection::open(&options, pulse.listening()).await?;
        // What stands between may leave out what a connection asks for when it begins.
        if nodes::schema(&mut new).await? != self.schema {
            return Err(Error::invalid(
                "the database's server, or a pooler before it, does not take search_path from a connection's options",
            ));
        }
        schema::migrate(&mut new, schema::STEPS).await?;
        carry(&mut self.held, &self.before, &mut new).await.map_err(unread)?;
        new.close().await
    }

    /// Puts it in the place of the one before. To be called when it is filled, and closed.
    ///
    /// # Errors
    /// What the server says, or `Conflict` when a node is at work: the one before is there then. Only when the server falls
    /// silent at the very end it may be this one.
    pub(crate) async fn take_its_place(mut self) -> Result<()> {
        tracing::info!("index: filled, it takes the place of the one before");
        let mut swapped = self.swap().await;
        if swapped.is_err() && self.held.is_worth_again {
            self.held.take_up();
            swapped = self.swap().await;
        }
        match swapped {
            Ok(()) => self.let_in().await,
            Err(_) => self.discard().await,
        }
        swapped
    }

    async fn swap(&mut self) -> Result<()> {
        let moved = match self.held.take_time(SWAP).await {
            Ok(()) => self.move_tables().await,
            Err(error) => Err(error),
        };
        let done = match moved {
            Ok(()) => self.held.take_time("COMMIT").await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            self.held.roll_back().await;
        }
        done
    }

    async fn move_tables(&mut self) -> Result<()> {
        // One of an older version does not hear that it is kept out.
        nodes::nobody_works(&mut self.held).await?;
        let before = quoted(&self.before);
        let drop = schema::tables(schema::STEPS)
            .map(|table| format!("DROP TABLE IF EXISTS {before}.{table} CASCADE"));
        // Indexes, and the sequences of columns, go along.
        let tables = Statement::new(
            "SELECT format('ALTER TABLE %I.%I SET SCHEMA %I', n.nspname, c.relname, CAST(? AS TEXT))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = ? AND c.relkind = 'r' ORDER BY c.relname",
        );
        let tables = tables.bind(self.before.as_str()).bind(self.schema.as_str());
        let tables = self.held.fetch(tables).await?;
        if tables.len() < schema::tables(schema::STEPS).collect::<HashSet<_>>().len() {
            return Err(Error::conflict("the new index has not all of its tables; the one before stays"));
        }
        let moves = tables.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<Vec<_>>>()?;
        // Empty by now, or all of this is undone.
        let last = format!("DROP SCHEMA {}", quoted(&self.schema));
        let all: Vec<String> = drop.chain(moves).chain([last]).collect();
        self.held.take_time(AssertSqlSafe(all.join("; "))).await
    }

    /// It could not be filled: the one before stays.
    pub(crate) async fn discard(mut self) {
        if let Err(error) = drop_schema(&mut self.held, &self.schema).await {
            let error = error.chain();
            tracing::warn!(
                schema = self.schema,
                error,
                "index: what was filled in vain is dropped by the next `filmless reindex`"
            );
        }
        self.let_in().await;
    }

    /// Nodes may work again, and hear it at once: the server notices only in a moment that a connection was closed.
    async fn let_in(mut self) {
        if self.held.run("SELECT pg_advisory_unlock_all()").await.is_ok() {
            // It has no more to give.
            let _ = self.held.close().await;
        }
    }
}

/// Keeps all nodes out as long as the connection is there. It may be idle for long.
async fn keep_out(held: &mut PostgresConnection) -> Result<()> {
    held.run("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'")
        .await?;
    let waited = held.run(nodes::KEEP_OUT).await;
    nodes::nobody_works(held).await?;
    waited.map(|_| ()).map_err(|error| {
        Error::conflict("the index is in use: another `filmless reindex` is at work, or a server is starting")
            .with_source(error)
    })
}

/// Another than the current one where that was made since, and comes first in `search_path`.
async fn schema_of_tables(held: &mut PostgresConnection) -> Result<String> {
    let select =
        "SELECT CAST(n.nspname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('steps')";
    held.fetch_one(Statement::new(select)).await?.text(0).map(str::to_owned)
}

/// What the tables need to be moved is asked before they are filled.
async fn check_privileges(held: &mut PostgresConnection, schema: &str) -> Result<()> {
    let mut missing = Statement::new(
        "SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
         WHERE NOT has_database_privilege(current_database(), 'CREATE')
         UNION ALL SELECT format('GRANT CREATE ON SCHEMA %I TO %I', nspname, current_user)
         FROM pg_namespace WHERE nspname = ? AND NOT has_schema_privilege(oid, 'CREATE')
         UNION ALL SELECT format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, current_user)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ? AND c.relkind = 'r'
             AND NOT pg_has_role(c.relowner, 'USAGE') AND NOT pg_has_role(n.nspowner, 'USAGE') AND c.relname IN ",
    );
    missing = missing.bind(schema).bind(schema);
    missing.push_list(schema::tables(schema::STEPS));
    let rows = held.fetch(missing).await?;
    let missing = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a new index is filled in a schema beside the one in use, for which the database's user lacks a privilege: {}",
        missing.join("; ")
    )))
}

/// The name for a schema beside one.
fn name_beside(schema: &str) -> String {
    if schema.len() + SUFFIX.len() <= NAME {
        return format!("{schema}{SUFFIX}");
    }
    // Of two that begin alike each has its own.
    let digest = hex(blake3::hash(schema.as_bytes()).as_bytes());
    let digest = digest.get(..8).unwrap_or_default();
    let mut end = NAME - SUFFIX.len() - digest.len() - 1;
    while !schema.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{digest}{SUFFIX}", schema.get(..end).unwrap_or_default())
}

/// Drops what was left of one that was begun.
///
/// # Errors
/// `Conflict` when the schema is not ours.
async fn drop_schema(held: &mut PostgresConnection, schema: &str) -> Result<()> {
    let comment =
        "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = ?";
    match held.fetch_optional(Statement::new(comment).bind(schema)).await? {
        None => return Ok(()),
        Some(comment) if comment.text(0)? == COMMENT => {}
        Some(_) => {
            return Err(Error::conflict(format!(
                "a new index is filled in a schema {schema}, and there is one that `filmless reindex` has not made; \
                 it has to be renamed, or dropped"
            )));
        }
    }
    held.run(DROP).await?;
    let dropped =
        held.take_time(AssertSqlSafe(format!("DROP SCHEMA {} CASCADE; COMMIT", quoted(schema)))).await;
    if dropped.is_err() {
        held.roll_back().await;
    }
    dropped
}

/// Copies what no pack has.
async fn carry(from: &mut PostgresConnection, schema: &str, to: &mut PostgresConnection) -> Result<()> {
    let known = damaged::known(from).await?;
    let told = from.fetch(Statement::new(audit::TOLD)).await?;
    let from = quoted(schema);
    to.run("BEGIN; SET LOCAL statement_timeout = 0").await?;
    for table in CARRIED {
        // The same steps made both.
        to.take_time(AssertSqlSafe(format!("INSERT INTO {table} SELECT * FROM {from}.{table}"))).await?;
    }
    for table in COUNTED {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
        );
        to.fetch(Statement::new(next)).await?;
    }
    register::write(to, &known, None).await?;
    remember_what_is_audited(&told, to).await?;
    to.run("COMMIT").await.map(|_| ())
}

/// Making it anew would lose what cannot be read.
fn unread(error: Error) -> Error {
    if error.kind != ErrorKind::Corrupt {
        return error;
    }
    let what = "the register, the jobs or the audit of the index cannot be read, and no pack has them; PostgreSQL's tables have to be mended first";
    Error::corrupt(what).with_source(error)
}

/// What the packs tell again has its line of the audit.
async fn remember_what_is_audited(told: &[SqlRow], to: &mut PostgresConnection) -> Result<()> {
    for row in told {
        if let Some(value) = row.optional_int(1)? {
            let insert = Statement::new("INSERT INTO counters (name, value) VALUES (?, ?)");
            to.execute(insert.bind(row.text(0)?).bind(value)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_another_is_short_enough_and_its_own() {
        assert_eq!(name_beside("public"), "public_filmless_new");
        let fits = "s".repeat(50);
        assert_eq!(name_beside(&fits), format!("{fits}_filmless_new"));
        let (one, other) = (name_beside(&"ê".repeat(31)), name_beside(&format!("{}a", "ê".repeat(30))));
        assert!(one.len() <= NAME && other.len() <= NAME && one != other, "{one} {other}");
        assert!(one.ends_with(SUFFIX));
    }
}
