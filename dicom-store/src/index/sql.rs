//! The SQL of the index, written once for all back ends.
//!
//! A back end runs [`Statement`]s through its [`Connection`]; what they say stands in the modules
//! below, by area. It has to mean the same to SQLite and to PostgreSQL; where the two have no
//! common word, [`Dialect`] has it.

pub(super) mod audit;
pub(super) mod commit;
mod counts;
pub(super) mod damaged;
pub(super) mod dead;
mod emptied;
pub(super) mod hidden;
pub(super) mod identity;
pub(super) mod ledger;
pub(super) mod levels;
pub(super) mod packs;
pub(super) mod quarantine;
pub(super) mod register;
pub(super) mod rows;
mod said;
pub(super) mod search;
pub(super) mod texts;
pub(super) mod who;
pub(super) mod words;
pub(super) mod work;

use std::borrow::Cow;
use std::future::Future;

use crate::{Error, ErrorKind, Result};

/// A value that is bound to a statement, or comes back in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SqlValue {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for SqlValue {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for SqlValue {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_owned())
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// SQL with a `?` for each of its values, in their order. No `?` stands in it for anything else.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    sql: Cow<'static, str>,
    values: Vec<SqlValue>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// The value of the next `?`.
    pub(super) fn bind(mut self, value: impl Into<SqlValue>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with this text.
    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Goes on with a `?` for this value.
    pub(super) fn push_bind(&mut self, value: impl Into<SqlValue>) -> &mut Self {
        self.values.push(value.into());
        self.push("?")
    }

    /// Goes on with these values between parentheses, as `IN` takes them; `(NULL)` when there are none.
    pub(super) fn push_list<T: Into<SqlValue>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        self.push("(");
        for (n, value) in values.into_iter().enumerate() {
            self.push(if n == 0 { "" } else { ", " }).push_bind(value);
        }
        if self.sql.ends_with('(') {
            self.push("NULL");
        }
        self.push(")")
    }

    /// Goes on with another statement and its values.
    pub(super) fn append(&mut self, other: Self) -> &mut Self {
        self.values.extend(other.values);
        self.push(&other.sql)
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn values(&self) -> &[SqlValue] {
        &self.values
    }
}

/// A row that came back; columns are read by position, counted from 0.
#[derive(Debug, Clone)]
pub(super) struct SqlRow(Vec<SqlValue>);

impl SqlRow {
    pub(super) fn new(values: Vec<SqlValue>) -> Self {
        Self(values)
    }

    /// # Errors
    /// `Corrupt`, as all of these, when the column is not there or holds something else.
    pub(super) fn int(&self, column: usize) -> Result<i64> {
        self.optional_int(column)?.ok_or_else(|| unexpected(column))
    }

    pub(super) fn optional_int(&self, column: usize) -> Result<Option<i64>> {
        match self.0.get(column) {
            Some(SqlValue::Int(number)) => Ok(Some(*number)),
            Some(SqlValue::Null) => Ok(None),
            _ => Err(unexpected(column)),
        }
    }

    /// The value as it is.
    pub(super) fn value(&self, column: usize) -> Result<&SqlValue> {
        self.0.get(column).ok_or_else(|| unexpected(column))
    }

    /// A number that is never negative.
    pub(super) fn unsigned(&self, column: usize) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(|_| unexpected(column))
    }

    pub(super) fn text(&self, column: usize) -> Result<&str> {
        match self.0.get(column) {
            Some(SqlValue::Text(text)) => Ok(text),
            _ => Err(unexpected(column)),
        }
    }

    pub(super) fn blob(&self, column: usize) -> Result<&[u8]> {
        self.optional_blob(column)?.ok_or_else(|| unexpected(column))
    }

    pub(super) fn optional_blob(&self, column: usize) -> Result<Option<&[u8]>> {
        match self.0.get(column) {
            Some(SqlValue::Blob(bytes)) => Ok(Some(bytes)),
            Some(SqlValue::Null) => Ok(None),
            _ => Err(unexpected(column)),
        }
    }
}

fn unexpected(column: usize) -> Error {
    Error::corrupt(format!("index has something else than expected in column {column} of a row"))
}

/// One connection to a back end.
///
/// SQLite's futures are ready when they are first asked; its connections are used on threads that
/// may block.
pub(super) trait Connection: Send {
    const DIALECT: Dialect;

    fn fetch(&mut self, statement: Statement) -> impl Future<Output = Result<Vec<SqlRow>>> + Send;

    /// Gives how many rows were changed.
    fn execute(&mut self, statement: Statement) -> impl Future<Output = Result<u64>> + Send;

    /// As [`Connection::execute`], where nobody asks how many: it may be run later, together with others, but
    /// before whatever else is asked, and before the end of the transaction. No two that follow each other
    /// change one row.
    fn post(&mut self, statement: Statement) -> impl Future<Output = Result<()>> + Send {
        async { self.execute(statement).await.map(|_| ()) }
    }

    fn fetch_optional(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<Option<SqlRow>>> + Send {
        async { Ok(self.fetch(statement).await?.into_iter().next()) }
    }

    fn fetch_one(&mut self, statement: Statement) -> impl Future<Output = Result<SqlRow>> + Send {
        async {
            let row = self.fetch_optional(statement).await?;
            row.ok_or_else(|| Error::corrupt("index has no row where there has to be one"))
        }
    }
}

/// Where the back ends have no common word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The function that gives where one text stands in another, from 1; 0 when it does not.
    pub(super) fn position(self) -> &'static str {
        match self {
            Self::Sqlite => "instr",
            Self::Postgres => "strpos",
        }
    }

    /// Small hexadecimal digits of a column of bytes.
    pub(super) fn hex(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("lower(hex({column}))"),
            Self::Postgres => format!("encode({column}, 'hex')"),
        }
    }

    /// Milliseconds since 1970: by the clock of the back end, which all nodes share.
    pub(super) fn clock(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// The function that gives the greater of two numbers.
    pub(super) fn greater(self) -> &'static str {
        match self {
            Self::Sqlite => "max",
            Self::Postgres => "greatest",
        }
    }
}

/// A number as the back ends have it: with a sign.
///
/// # Errors
/// `Internal` when it is over 2^63 - 1, which no offset and no length is.
pub(super) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number)
        .map_err(|cause| Error::internal("a number is too large for the index").with_source(cause))
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the index is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nothing_holds_nothing() {
        let mut statement = Statement::new("SELECT 1 WHERE uid IN ");
        statement.push_list(Vec::<i64>::new()).push(" OR uid IN ").push_list(["a", "b"]);
        assert_eq!(statement.sql(), "SELECT 1 WHERE uid IN (NULL) OR uid IN (?, ?)");
        assert_eq!(statement.values(), [SqlValue::from("a"), SqlValue::from("b")]);
    }
}
