//! What an index hands on to the one that is made anew in its place: what no pack has.

use rusqlite::types::Value;

use super::super::at_once;
use super::{SqliteConnection, sql_error};
use crate::index::sql::{Statement, audit, damaged, register};
use crate::{ErrorKind, Result};

/// Tables whose rows stand nowhere else, since which version they mean what they mean now, and what their loss means.
const CARRIED: [(&str, i64, &str); 3] = [
    ("register", 1, "peers have to be told again"),
    ("jobs", 7, "what waited is not done"),
    ("audit", 1, "it begins again with the acts of the packs"),
];

/// Since which version an index tells what is damaged of the packs, and what it means that it cannot be read.
const DAMAGED: (&str, i64, &str) =
    ("damaged", 9, "it is found again when the packs are compared with their digests");

/// Copies it all; gives whether some could not be read, which the log hears.
pub(super) fn carry(from: &mut SqliteConnection, to: &mut SqliteConnection) -> Result<bool> {
    let (mut is_damaged, mut is_audit_lost) = (false, false);
    for (table, since, lost) in CARRIED.into_iter().chain([DAMAGED]) {
        let copied = match from.version() {
            Ok(version) if version < since => Ok(0),
            Ok(_) if table == DAMAGED.0 => note_what_is_damaged(from, to).map(|()| 0),
            Ok(_) => copy(from, to, table),
            Err(error) => Err(error),
        };
        match copied {
            Ok(0) => {}
            Ok(rows) => {
                tracing::error!(rows, "index: rows of its {table} are not whole and are left out");
                is_damaged = true;
            }
            Err(error) if error.kind == ErrorKind::Corrupt => {
                let error = error.chain();
                tracing::error!(%error, "index: its {table} cannot be read; {lost}");
                is_damaged = true;
                is_audit_lost |= table == "audit";
            }
            // Somebody else holds the file, or the disk is full: it is all there.
            Err(error) => return Err(error),
        }
    }
    if !is_audit_lost {
        remember_what_is_audited(from, to)?;
    }
    Ok(is_damaged)
}

/// The columns that both have, row by row; none of an index without the table. Of rows that stand twice in a damaged one
/// the first is copied. Gives how many are not whole and were left out.
fn copy(from: &SqliteConnection, to: &SqliteConnection, table: &str) -> Result<u64> {
    let (old, new) = (columns(from, table)?, columns(to, table)?);
    let both: Vec<String> =
        new.into_iter().filter(|column| old.contains(column)).map(|column| format!("\"{column}\"")).collect();
    if both.is_empty() {
        return Ok(0);
    }
    let (list, places) = (both.join(", "), vec!["?"; both.len()].join(", "));
    let copy = || {
        let mut insert =
            to.0.prepare(&format!("INSERT INTO {table} ({list}) VALUES ({places}) ON CONFLICT DO NOTHING"))?;
        let mut select = from.0.prepare(&format!("SELECT {list} FROM {table}"))?;
        let (mut rows, mut left_out) = (select.query(())?, 0);
        while let Some(row) = rows.next()? {
            for column in 0..both.len() {
                insert.raw_bind_parameter(column + 1, row.get::<_, Value>(column)?)?;
            }
            match insert.raw_execute() {
                Ok(_) => {}
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    left_out += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left_out)
    };
    copy().map_err(sql_error)
}

/// What the packs would be read past: where it lies now is not known before all of them are.
fn note_what_is_damaged(from: &mut SqliteConnection, to: &mut SqliteConnection) -> Result<()> {
    let lines = at_once(damaged::known(from))?;
    at_once(register::write(to, &lines, None))
}

fn columns(of: &SqliteConnection, table: &str) -> Result<Vec<String>> {
    let select = Statement::new("SELECT name FROM pragma_table_info(?)").bind(table);
    let rows = of.rows(&select).map_err(sql_error)?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// What the packs tell again has its line of the audit.
fn remember_what_is_audited(from: &SqliteConnection, to: &SqliteConnection) -> Result<()> {
    // An older index may not have these tables; then its lines are written once more.
    let Ok(rows) = from.rows(&Statement::new(audit::TOLD)) else { return Ok(()) };
    for row in rows {
        if let Some(value) = row.optional_int(1)? {
            let insert = Statement::new("INSERT INTO counters (name, value) VALUES (?, ?)");
            let insert = insert.bind(row.text(0)?).bind(value);
            to.prepare(&insert).and_then(|mut prepared| prepared.raw_execute()).map_err(sql_error)?;
        }
    }
    Ok(())
}
