//! One connection to PostgreSQL, as [`Connection`] has it.

mod values;

use std::collections::HashMap;
use std::fmt;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqlSafeStr, SqlStr};

use super::error::{is_end_of_connection, is_worth_again, postgres_error, unreachable};
use super::pulse::{CONNECT, Listening};
use crate::Result;
use crate::index::sql::{Connection, Dialect, SqlRow, Statement};

/// What the server is asked to give up after, so that no node waits for one that is gone without a word. And no plan is
/// compiled: the tens of milliseconds that this takes are more than any statement of ours gains by it.
const SETTINGS: [(&str, &str); 7] = [
    ("jit", "off"),
    ("statement_timeout", "20s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];
/// Statements that stay prepared.
const PREPARED: usize = 512;
/// Statements, and values, that go in one.
const MAX_TOGETHER: usize = 48;
const MAX_VALUES: usize = 16_384;

/// Options of a URL, and the password that stands elsewhere.
///
/// # Errors
/// `Invalid` for a URL that is none.
pub(super) fn of(url: &str, password: Option<&str>) -> Result<PgConnectOptions> {
    let read: PgConnectOptions = url.parse().map_err(postgres_error)?;
    Ok(options(match password {
        Some(password) => read.password(password),
        None => read,
    }))
}

/// Options as every connection has them, whatever the URL says.
pub(super) fn options(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("filmless")
        .statement_cache_capacity(PREPARED)
        .options(SETTINGS)
        // Statements hold patient data.
        .disable_statement_logging()
}

/// The same, and the tables are those of this schema, whatever the URL says.
pub(super) fn within(options: PgConnectOptions, schema: &str) -> PgConnectOptions {
    options.options([("search_path", quoted(schema))])
}

/// A name as SQL has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) struct PostgresConnection {
    inner: PgConnection,
    listening: Listening,
    /// SQL as the server has it, by SQL as it is written here.
    numbered: HashMap<String, SqlStr>,
    /// What is sent together with the next statement.
    posted: Vec<Statement>,
    /// Undone because of another transaction: the same once more may do.
    pub(super) is_worth_again: bool,
    /// It has given an answer since it was opened or taken up again.
    has_answered: bool,
    is_broken: bool,
}

impl fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConnection").field("posted", &self.posted.len()).finish_non_exhaustive()
    }
}

impl PostgresConnection {
    /// # Errors
    /// `Unavailable` when the server does not let it in, in time.
    pub(super) async fn open(options: &PgConnectOptions, listening: Listening) -> Result<Self> {
        let connecting = listening.within(PgConnection::connect_with(options));
        let connecting = tokio::time::timeout(CONNECT, connecting);
        let inner = connecting.await.map_err(|_| unreachable())?.map_err(postgres_error)?;
        let mut connection = Self {
            inner,
            listening,
            numbered: HashMap::new(),
            posted: Vec::new(),
            is_worth_again: false,
            has_answered: true,
            is_broken: false,
        };
        // An acknowledged image is not found again after a power cut where the server does not wait for its disk.
        connection
            .run("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
            .await?;
        Ok(connection)
    }

    /// Runs statements without values in one round trip; gives the rows of all of them, as text.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<Vec<SqlRow>> {
        self.flush().await?;
        let rows = self.listening.within(sqlx::raw_sql(sql).fetch_all(&mut self.inner)).await;
        self.answered(rows)?.iter().map(values::row).collect()
    }

    /// Runs statements that take their time where the tables are large; the server gives up where `statement_timeout`
    /// says so.
    pub(super) async fn take_time(&mut self, sql: impl SqlSafeStr) -> Result<()> {
        self.flush().await?;
        let running = sqlx::raw_sql(sql).execute(&mut self.inner);
        let done = self.listening.as_long_as_it_works(running).await;
        self.answered(done).map(|_| ())
    }

    /// Sends what was posted.
    pub(super) async fn flush(&mut self) -> Result<()> {
        match together(std::mem::take(&mut self.posted)) {
            Some(statement) => self.send(statement).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Gives a transaction up.
    pub(super) async fn roll_back(&mut self) {
        self.posted.clear();
        let is_worth_again = self.is_worth_again;
        if !self.is_broken() && self.run("ROLLBACK").await.is_err() {
            self.is_broken = true;
        }
        self.is_worth_again = is_worth_again;
    }

    /// Begins something new on a connection that was used before.
    pub(super) fn take_up(&mut self) {
        self.is_worth_again = false;
        self.has_answered = false;
    }

    /// Nobody can use it any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken || self.listening.is_lost()
    }

    /// It had gone before it was taken up: nothing has happened on it since.
    pub(super) fn is_stale(&self) -> bool {
        self.is_broken && !self.has_answered
    }

    pub(super) async fn is_alive(&mut self) -> bool {
        self.listening.within(self.inner.ping()).await.is_ok()
    }

    pub(super) async fn close(self) -> Result<()> {
        self.listening.within(self.inner.close()).await.map_err(postgres_error)
    }

    async fn send(&mut self, statement: Statement) -> Result<u64> {
        let (sql, values) = self.prepare(&statement)?;
        let done = self.listening.within(self.inner.execute(sqlx::query_with(sql, values))).await;
        Ok(self.answered(done)?.rows_affected())
    }

    fn prepare(&mut self, statement: &Statement) -> Result<(SqlStr, PgArguments)> {
        let sql = match self.numbered.get(statement.sql()) {
            Some(sql) => sql.clone(),
            None => {
                if self.numbered.len() >= PREPARED {
                    self.numbered.clear();
                }
                let sql = AssertSqlSafe(number(statement.sql())).into_sql_str();
                self.numbered.insert(statement.sql().to_owned(), sql.clone());
                sql
            }
        };
        Ok((sql, values::arguments(statement.values())?))
    }

    fn answered<T>(&mut self, result: sqlx::Result<T>) -> Result<T> {
        match result {
            Ok(value) => {
                self.has_answered = true;
                Ok(value)
            }
            Err(error) => {
                self.is_worth_again = is_worth_again(&error);
                self.is_broken |= is_end_of_connection(&error);
                Err(postgres_error(error))
            }
        }
    }
}

impl Connection for PostgresConnection {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn fetch(&mut self, statement: Statement) -> Result<Vec<SqlRow>> {
        self.flush().await?;
        let (sql, values) = self.prepare(&statement)?;
        let query = sqlx::query_with(sql, values);
        let fetching = self.inner.fetch(query).map_ok(|row| values::row(&row)).try_collect::<Vec<_>>();
        let rows = self.listening.within(fetching).await;
        self.answered(rows)?.into_iter().collect()
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64> {
        self.flush().await?;
        self.send(statement).await
    }

    /// One statement does not see what another that is sent with it changes, so no two of them change one row.
    async fn post(&mut self, statement: Statement) -> Result<()> {
        let values: usize = self.posted.iter().chain([&statement]).map(|posted| posted.values().len()).sum();
        if self.posted.len() >= MAX_TOGETHER || values > MAX_VALUES {
            self.flush().await?;
        }
        self.posted.push(statement);
        Ok(())
    }
}

/// Statements as one: the last is it, those before are its common table expressions, which are run whether they
/// are read or not.
fn together(mut statements: Vec<Statement>) -> Option<Statement> {
    let last = statements.pop()?;
    if statements.is_empty() {
        return Some(last);
    }
    let mut all = Statement::new("WITH ");
    for (n, statement) in statements.into_iter().enumerate() {
        all.push(&format!("{}w{n} AS (", if n == 0 { "" } else { ", " })).append(statement).push(")");
    }
    all.push(" ").append(last);
    Some(all)
}

/// SQL with `$1`, `$2` … in the places of its `?`.
fn number(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (n, part) in (1..).zip(parts) {
        numbered.push_str(&format!("${n}{part}"));
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::sql::SqlValue;

    #[test]
    fn values_are_numbered_in_their_order() {
        assert_eq!(number("SELECT ? WHERE a IN (?, ?)"), "SELECT $1 WHERE a IN ($2, $3)");
        assert_eq!(number("SELECT 1"), "SELECT 1");
    }

    #[test]
    fn statements_that_are_sent_together_keep_their_values() {
        let statement = |sql: &'static str, value: i64| Statement::new(sql).bind(value);
        let all = together(vec![
            statement("DELETE FROM a WHERE id = ?", 1),
            statement("DELETE FROM b WHERE id = ?", 2),
            statement("DELETE FROM c WHERE id = ?", 3),
        ]);
        let all = all.unwrap();
        assert_eq!(
            all.sql(),
            "WITH w0 AS (DELETE FROM a WHERE id = ?), w1 AS (DELETE FROM b WHERE id = ?) DELETE FROM c WHERE id = ?"
        );
        assert_eq!(all.values(), [SqlValue::Int(1), SqlValue::Int(2), SqlValue::Int(3)]);
    }
}
