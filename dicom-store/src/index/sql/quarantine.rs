//! Data sets that came under a UID that was taken, and which of them is shown.

use super::ledger::{in_force, subject_of_instance};
use super::levels::reference;
use super::said::Touched;
use super::{Connection, SqlRow, SqlValue, Statement, counts};
use crate::hex::hex;
use crate::index::KeptAside;
use crate::ledger::Act;
use crate::model::{Header, Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::{Error, Result};

/// Kept aside as it came.
const ASIDE: i64 = 0;
/// An operator does not want it; its bytes go when the pack is rewritten.
const DISCARDED: i64 = 1;
/// Was shown first, until another was promoted.
const WAS_FIRST: i64 = 2;

/// What changes places: columns that both tables have, but for the header.
const COLUMNS: &str = "sop_class, transfer_syntax, number, frames, pack, \"offset\", length, data_set, digest, \
    sender, received, text, frame_map, header";
const HEADER: usize = 13;
const DIGEST: usize = 8;

/// Shows and keeps aside under a UID what the acts in force say; gives whether another is shown now.
pub(super) async fn settle<C: Connection>(connection: &mut C, uid: &SopInstanceUid) -> Result<bool> {
    let acts = in_force(connection, &subject_of_instance(uid)).await?;
    discard(connection, uid, &acts).await?;
    let promoted = acts.iter().rev().find_map(|entry| match &entry.act {
        Act::Promote { digest, .. } => Some(digest.clone()),
        _ => None,
    });
    let sql = format!("SELECT {COLUMNS}, id, series FROM instances WHERE uid = ?");
    let Some(shown) = connection.fetch_optional(Statement::new(sql).bind(uid.as_str())).await? else {
        return Ok(false);
    };
    let sql = format!("SELECT {COLUMNS}, id, state, series, study FROM conflicts WHERE uid = ?");
    let aside = connection.fetch(Statement::new(sql).bind(uid.as_str())).await?;
    let mut wanted = None;
    for row in &aside {
        let is_wanted = match &promoted {
            Some(digest) => hex(row.blob(DIGEST)?) == *digest,
            None => row.int(HEADER + 2)? == WAS_FIRST,
        };
        if is_wanted {
            wanted = Some(row);
        }
    }
    let Some(wanted) = wanted else { return Ok(false) };
    let was_first = aside.iter().any(|row| row.int(HEADER + 2).is_ok_and(|state| state == WAS_FIRST));
    exchange(connection, &shown, wanted, was_first).await?;
    Ok(true)
}

/// Swaps the two. The one that goes aside is remembered as the first, unless that one is aside already
/// or has just come back. What is shown now may be of another class, and its text be read otherwise.
async fn exchange<C: Connection>(
    connection: &mut C,
    shown: &SqlRow,
    wanted: &SqlRow,
    was_first: bool,
) -> Result<()> {
    let series = shown.int(HEADER + 2)?;
    let select = Statement::new("SELECT reference FROM series WHERE id = ?").bind(series);
    let reference = reference(connection.fetch_one(select).await?.blob(0)?)?;
    let out = Header::from_bytes(shown.blob(HEADER)?, &reference)?.to_bytes(&[]);
    let back = Header::from_bytes(wanted.blob(HEADER)?, &[])?.to_bytes(&reference);
    let state = if was_first { ASIDE } else { WAS_FIRST };
    put(connection, "conflicts", shown, out, wanted.int(HEADER + 1)?).await?;
    let update = Statement::new("UPDATE conflicts SET state = ? WHERE id = ?").bind(state);
    connection.execute(update.bind(wanted.int(HEADER + 1)?)).await?;
    put(connection, "instances", wanted, back, shown.int(HEADER + 1)?).await?;
    counts::recount(connection, &Touched::all_of([series])).await
}

async fn put<C: Connection>(
    connection: &mut C,
    table: &str,
    from: &SqlRow,
    header: Vec<u8>,
    id: i64,
) -> Result<()> {
    let mut update = Statement::new(format!("UPDATE {table} SET ({COLUMNS}) = "));
    let values = (0..HEADER).map(|column| from.value(column).cloned()).collect::<Result<Vec<_>>>()?;
    update.push_list(values.into_iter().chain([SqlValue::from(header)]));
    update.push(" WHERE id = ").push_bind(id);
    connection.execute(update).await.map(|_| ())
}

async fn discard<C: Connection>(
    connection: &mut C,
    uid: &SopInstanceUid,
    acts: &[crate::ledger::Entry],
) -> Result<()> {
    let sql = "SELECT id, digest, state, received FROM conflicts WHERE uid = ?";
    let select = Statement::new(sql).bind(uid.as_str());
    for row in connection.fetch(select).await? {
        let (of, received) = (hex(row.blob(1)?), row.unsigned(3)?);
        let is_unwanted = acts.iter().any(|entry| match &entry.act {
            Act::Discard { digest, .. } => *digest == of,
            // One that came in the second of the act or later is a newcomer: packs tell seconds.
            Act::DestroyAside { digest, .. } => *digest == of && received / 1000 < entry.at / 1000,
            _ => false,
        });
        let state = if is_unwanted { DISCARDED } else { ASIDE };
        let is_other = row.int(2)? != state && row.int(2)? != WAS_FIRST;
        if is_other {
            let update =
                Statement::new("UPDATE conflicts SET state = ? WHERE id = ?").bind(state).bind(row.int(0)?);
            connection.execute(update).await?;
        }
    }
    Ok(())
}

/// The UIDs and digests of all that came under a resource and lies aside, discarded or not.
pub(in crate::index) async fn aside_in<C: Connection>(
    connection: &mut C,
    of: &Resource,
) -> Result<Vec<(SopInstanceUid, String)>> {
    let (study, series, instance) = match of {
        // What is aside is nobody's study yet.
        Resource::Patient { .. } => return Ok(Vec::new()),
        Resource::Study(study) => (study, None, None),
        Resource::Series(study, series) => (study, Some(series), None),
        Resource::Instance(study, series, instance) => (study, Some(series), Some(instance)),
    };
    let mut select = Statement::new("SELECT uid, digest FROM conflicts WHERE study = ");
    select.push_bind(study.as_str());
    if let Some(series) = series {
        select.push(" AND series = ").push_bind(series.as_str());
    }
    if let Some(instance) = instance {
        select.push(" AND uid = ").push_bind(instance.as_str());
    }
    select.push(" ORDER BY id");
    let row = |row: &SqlRow| Ok::<_, Error>((SopInstanceUid::parse(row.text(0)?)?, hex(row.blob(1)?)));
    connection.fetch(select).await?.iter().map(row).collect()
}

/// What is kept aside, from the newest; of one UID or of all.
pub(in crate::index) async fn kept_aside<C: Connection>(
    connection: &mut C,
    of: Option<&SopInstanceUid>,
    limit: u32,
) -> Result<Vec<KeptAside>> {
    let mut select = Statement::new(
        "SELECT c.study, c.series, c.uid, c.digest, t.term, c.received, c.length,
         coalesce((SELECT 1 FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study
         WHERE i.uid = c.uid AND e.uid = c.series AND s.uid = c.study), 0)
         FROM conflicts c JOIN terms t ON t.id = c.sender WHERE c.state <> ",
    );
    select.push_bind(DISCARDED);
    if let Some(uid) = of {
        select.push(" AND c.uid = ").push_bind(uid.as_str());
    }
    select.push(" ORDER BY c.id DESC LIMIT ").push_bind(limit);
    let row = |row: &SqlRow| {
        Ok::<_, Error>(KeptAside {
            study: StudyInstanceUid::parse(row.text(0)?)?,
            series: SeriesInstanceUid::parse(row.text(1)?)?,
            instance: SopInstanceUid::parse(row.text(2)?)?,
            digest: hex(row.blob(3)?),
            sender: row.text(4)?.to_owned(),
            received: row.unsigned(5)?,
            length: row.unsigned(6)?,
            can_be_shown: row.int(7)? != 0,
        })
    };
    connection.fetch(select).await?.iter().map(row).collect()
}
