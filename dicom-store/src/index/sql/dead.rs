//! Copies in the packs that nothing refers to any more: what was damaged and came again, what came twice. They leave the
//! packs with their instance when it is destroyed, and in time otherwise.

use super::ledger::{in_force, subject_of_instance};
use super::{Connection, SqlRow, Statement, signed};
use crate::index::{DeadCopy, NewInstance, act_time};
use crate::ledger::Act;
use crate::model::{Location, PackId, SopInstanceUid};
use crate::packs::entry::padded;
use crate::{Error, Result};

/// Since when a copy may go of which nobody knows that it is the same data set.
pub(super) const NEVER: i64 = i64::MAX;
/// UIDs that are named in one statement.
const NAMED: usize = 256;

/// Notes copies; since when is told of what was noticed first.
pub(in crate::index) async fn note<C: Connection>(connection: &mut C, copies: &[DeadCopy]) -> Result<()> {
    let now = signed(act_time())?;
    for DeadCopy { instance, location, is_same } in copies {
        let insert = Statement::new(
            "INSERT INTO dead_copies (pack, \"offset\", length, uid, since) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (pack, \"offset\") DO UPDATE SET
                since = CASE WHEN excluded.since < dead_copies.since THEN excluded.since ELSE dead_copies.since END",
        )
        .bind(signed(location.pack.0)?)
        .bind(signed(location.offset)?)
        .bind(signed(padded(location.length))?)
        .bind(instance.as_str())
        .bind(if *is_same { now } else { NEVER });
        connection.execute(insert).await?;
    }
    Ok(())
}

/// What is read from again, if it was noted.
pub(super) async fn revive<C: Connection>(connection: &mut C, location: Location) -> Result<()> {
    let delete = Statement::new("DELETE FROM dead_copies WHERE pack = ? AND \"offset\" = ?");
    let delete = delete.bind(signed(location.pack.0)?).bind(signed(location.offset)?);
    connection.execute(delete).await.map(|_| ())
}

/// Packs that are not there any more hold none.
pub(super) async fn forget<C: Connection>(connection: &mut C, packs: &[i64]) -> Result<()> {
    let mut delete = Statement::new("DELETE FROM dead_copies WHERE pack IN ");
    delete.push_list(packs.iter().copied());
    connection.execute(delete).await.map(|_| ())
}

/// Whether a data set that is kept aside lies in this very place.
pub(super) async fn is_aside_there<C: Connection>(connection: &mut C, new: &NewInstance) -> Result<bool> {
    let select = Statement::new("SELECT 1 FROM conflicts WHERE pack = ? AND \"offset\" = ?");
    let select = select.bind(signed(new.location.pack.0)?).bind(signed(new.location.offset)?);
    Ok(connection.fetch_optional(select).await?.is_some())
}

fn packs(rows: &[SqlRow]) -> Result<Vec<PackId>> {
    rows.iter().map(|row| Ok::<_, Error>(PackId(row.unsigned(0)?))).collect()
}

/// The packs in which copies of these lie.
pub(in crate::index) async fn of<C: Connection>(
    connection: &mut C,
    uids: &[SopInstanceUid],
) -> Result<Vec<PackId>> {
    let mut found = Vec::new();
    for some in uids.chunks(NAMED) {
        let mut select = Statement::new(
            // A pack that is written to may have no row yet.
            "SELECT DISTINCT d.pack FROM dead_copies d LEFT JOIN packs p ON p.id = d.pack
             WHERE coalesce(p.state, 0) = 0 AND d.uid IN ",
        );
        select.push_list(some.iter().map(|uid| uid.as_str()));
        found.extend(packs(&connection.fetch(select).await?)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The packs in which copies lie that are to leave them: of what was destroyed, and what was noticed before a time.
pub(in crate::index) async fn due<C: Connection>(connection: &mut C, before: u64) -> Result<Vec<PackId>> {
    let mut select = Statement::new(
        "SELECT DISTINCT d.pack FROM dead_copies d JOIN packs p ON p.id = d.pack AND p.state = 0 WHERE (d.since < ",
    );
    select.push_bind(signed(before)?).push(
        " OR EXISTS (SELECT 1 FROM instance_acts a JOIN ledger l ON l.number = a.act WHERE a.uid = d.uid AND l.kind = 'destroy'
             AND a.act = (SELECT max(b.act) FROM instance_acts b WHERE b.uid = a.uid))) ORDER BY 1",
    );
    packs(&connection.fetch(select).await?)
}

/// Whether the last act that names an instance destroyed it, or one in force wants nothing of the data set that was kept
/// aside under it, by the beginning of its digest.
pub(in crate::index) async fn is_unwanted<C: Connection>(
    connection: &mut C,
    instance: &SopInstanceUid,
    aside: Option<&str>,
) -> Result<bool> {
    let sql = "SELECT l.kind FROM instance_acts a JOIN ledger l ON l.number = a.act WHERE a.uid = ? ORDER BY a.act DESC LIMIT 1";
    let last = connection.fetch_optional(Statement::new(sql).bind(instance.as_str())).await?;
    if last.is_some_and(|row| row.text(0).is_ok_and(|kind| kind == "destroy")) {
        return Ok(true);
    }
    let Some(aside) = aside else { return Ok(false) };
    let acts = in_force(connection, &subject_of_instance(instance)).await?;
    Ok(acts.iter().any(|entry| match &entry.act {
        Act::Discard { digest, .. } | Act::DestroyAside { digest, .. } => digest.starts_with(aside),
        _ => false,
    }))
}
