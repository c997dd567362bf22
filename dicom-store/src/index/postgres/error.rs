//! What PostgreSQL says, as errors of ours.

use crate::{Error, ErrorKind};

pub(super) fn unreachable() -> Error {
    Error::new(ErrorKind::Unavailable, "the PostgreSQL server of the index does not answer")
}

/// Whether a transaction was undone because of another one (classes of PostgreSQL, Appendix A).
pub(super) fn is_worth_again(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Whether nothing more can come over the connection.
pub(super) fn is_end_of_connection(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else { return true };
    let code = database.code().unwrap_or_default();
    // Shut down, crashed, or idle for too long within a transaction.
    code.starts_with("57P") || code.starts_with("08") || code == "25P03"
}

/// Only the server's sentence is told: its details may hold values of a row.
pub(super) fn postgres_error(error: sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Configuration(_) => Error::invalid("index URL is not one that PostgreSQL has"),
            error => unreachable().with_source(error),
        };
    };
    let code = database.code().unwrap_or_default().into_owned();
    let (kind, what) = match code.as_str() {
        "53100" => (ErrorKind::Exhausted, "disk of the index is full"),
        // Too large for a plan, a row or an entry of a B-tree.
        _ if code.starts_with("54") => (ErrorKind::Invalid, "a value is too large for the index"),
        "XX001" | "XX002" => {
            (ErrorKind::Corrupt, "index is damaged; `filmless reindex` makes it anew from the packs")
        }
        "28000" | "28P01" => (ErrorKind::Unavailable, "PostgreSQL does not let this user in"),
        "3D000" => (ErrorKind::Unavailable, "PostgreSQL has no such database"),
        "25006" => (ErrorKind::Unavailable, "PostgreSQL takes no changes: it is a copy of another"),
        "55P03" | "57014" => (ErrorKind::Unavailable, "index took too long"),
        "40001" | "40P01" => (ErrorKind::Unavailable, "index was busy with the same rows"),
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            (ErrorKind::Unavailable, "PostgreSQL cannot be used now")
        }
        _ => (ErrorKind::Internal, "PostgreSQL refused a statement"),
    };
    Error::new(kind, format!("{what}: {} ({code})", database.message()))
}
