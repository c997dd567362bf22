//! Whose index it is: the identifier of the archive, which its object store has too.

use super::{Connection, Statement};
use crate::{Error, Result};

/// Makes the index that of an archive, at its first start.
///
/// # Errors
/// `Conflict` when it is another's: what it says of places in packs is not true here.
pub(in crate::index) async fn belongs_to<C: Connection>(connection: &mut C, archive: &str) -> Result<()> {
    let insert =
        Statement::new("INSERT INTO archive (one, identifier) VALUES (1, ?) ON CONFLICT (one) DO NOTHING");
    connection.execute(insert.bind(archive)).await?;
    let row = connection.fetch_one(Statement::new("SELECT identifier FROM archive")).await?;
    if row.text(0)? == archive {
        return Ok(());
    }
    Err(Error::conflict(
        "the index is another archive's; is store.index right? `filmless reindex` would make it anew from the packs of this one",
    ))
}
