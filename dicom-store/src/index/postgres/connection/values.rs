//! Values of a statement and of a row, as PostgreSQL's protocol has them.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Arguments as _, Row as _, Type, ValueRef as _};

use crate::index::sql::{SqlRow, SqlValue};
use crate::{Error, Result};

// Of the catalogue `pg_type`, the same in every version.
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
/// The server finds out which.
const UNKNOWN: u32 = 0;

pub(super) fn arguments(values: &[SqlValue]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        arguments.add(Bound(value)).map_err(|_| Error::internal("a value is too large for the index"))?;
    }
    Ok(arguments)
}

struct Bound<'a>(&'a SqlValue);

impl Type<Postgres> for Bound<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(UNKNOWN))
    }
}

impl Encode<'_, Postgres> for Bound<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> std::result::Result<IsNull, BoxDynError> {
        match self.0 {
            SqlValue::Null => return Ok(IsNull::Yes),
            SqlValue::Int(number) => buffer.extend_from_slice(&number.to_be_bytes()),
            // PostgreSQL has no NUL in a text. What was received is kept in bytes; a text is only searched by,
            // and is searched for in the same way.
            SqlValue::Text(text) if text.contains('\0') => {
                buffer.extend(text.bytes().filter(|byte| *byte != 0));
            }
            SqlValue::Text(text) => buffer.extend_from_slice(text.as_bytes()),
            SqlValue::Blob(bytes) => buffer.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        let number = match self.0 {
            SqlValue::Null => UNKNOWN,
            SqlValue::Int(_) => INT8,
            SqlValue::Text(_) => TEXT,
            SqlValue::Blob(_) => BYTEA,
        };
        Some(PgTypeInfo::with_oid(Oid(number)))
    }
}

pub(super) fn row(row: &PgRow) -> Result<SqlRow> {
    let columns = 0..row.len();
    columns
        .map(|column| value(&row.try_get_raw(column).ok()?))
        .collect::<Option<_>>()
        .map(SqlRow::new)
        .ok_or_else(|| Error::corrupt("index has a value of another type than expected"))
}

fn value(stored: &PgValueRef<'_>) -> Option<SqlValue> {
    if stored.is_null() {
        return Some(SqlValue::Null);
    }
    let bytes = stored.as_bytes().ok()?;
    let kind = stored.type_info().oid()?.0;
    if stored.format() == PgValueFormat::Text {
        let text = stored.as_str().ok()?;
        return match kind {
            INT2 | INT4 | INT8 => text.parse().ok().map(SqlValue::Int),
            _ => Some(SqlValue::Text(text.to_owned())),
        };
    }
    match kind {
        INT8 => Some(SqlValue::Int(i64::from_be_bytes(bytes.try_into().ok()?))),
        INT4 => Some(SqlValue::Int(i32::from_be_bytes(bytes.try_into().ok()?).into())),
        INT2 => Some(SqlValue::Int(i16::from_be_bytes(bytes.try_into().ok()?).into())),
        BOOL => Some(SqlValue::Int(i64::from(bytes != [0]))),
        BYTEA => Some(SqlValue::Blob(bytes.to_owned())),
        _ => stored.as_str().ok().map(|text| SqlValue::Text(text.to_owned())),
    }
}
