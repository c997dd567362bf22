//! Instances whose bytes are not those that came: hidden, with since when and why, until they come again or read right
//! again.

use super::{Connection, SqlRow, Statement, counts, hidden, rows, said, signed};
use crate::Result;
use crate::index::{Damage, DamageQuery, DamagedInstance, EntryRow, KnownDamage};
use crate::model::{Location, PackId, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::register::Entry;

/// Rows that are named in one statement.
const NAMED: usize = 256;

/// Hides instances that are damaged.
pub(in crate::index) async fn hide<C: Connection>(connection: &mut C, damaged: &[Damage]) -> Result<()> {
    let ids = instances(damaged.iter().map(|damage| damage.row));
    for some in ids.chunks(NAMED) {
        let touched = said::touched(connection, some).await?;
        let mut update = Statement::new("UPDATE instances SET state = ");
        update.push_bind(rows::DAMAGED).push(" WHERE id IN ").push_list(some.iter().copied());
        connection.execute(update).await?;
        counts::recount(connection, &touched).await?;
    }
    for damage in damaged {
        let EntryRow::Instance(id) = damage.row else { continue };
        // Since when is told of what was found first.
        let insert = Statement::new(
            "INSERT INTO damaged (instance, since, reason) VALUES (?, ?, ?)
             ON CONFLICT (instance) DO UPDATE SET reason = excluded.reason",
        );
        connection.execute(insert.bind(id).bind(signed(damage.since)?).bind(damage.reason.as_str())).await?;
    }
    Ok(())
}

/// Shows instances again that read right again, unless an act hides them.
pub(in crate::index) async fn show<C: Connection>(connection: &mut C, sound: &[EntryRow]) -> Result<()> {
    for some in instances(sound.iter().copied()).chunks(NAMED) {
        let mut update = Statement::new("UPDATE instances SET state = ");
        update.push_bind(rows::SHOWN).push(" WHERE state = ").push_bind(rows::DAMAGED);
        update.push(" AND id IN ").push_list(some.iter().copied()).push(" RETURNING id, uid");
        let shown = connection.fetch(update).await?;
        forget(connection, some).await?;
        if shown.is_empty() {
            continue;
        }
        let ids = shown.iter().map(|row| row.int(0)).collect::<Result<Vec<_>>>()?;
        let uids = shown.iter().map(|row| SopInstanceUid::parse(row.text(1)?)).collect::<Result<Vec<_>>>()?;
        let touched = said::touched(connection, &ids).await?;
        counts::recount(connection, &touched).await?;
        hidden::settle(connection, &uids.iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// What is told of these is not true any more.
pub(super) async fn forget<C: Connection>(connection: &mut C, instances: &[i64]) -> Result<()> {
    let mut delete = Statement::new("DELETE FROM damaged WHERE instance IN ");
    delete.push_list(instances.iter().copied());
    connection.execute(delete).await.map(|_| ())
}

fn instances(rows: impl Iterator<Item = EntryRow>) -> Vec<i64> {
    rows.filter_map(|row| match row {
        EntryRow::Instance(id) => Some(id),
        EntryRow::Conflict(_) => None,
    })
    .collect()
}

/// What is damaged and not hidden by an act besides, from what was stored last.
pub(in crate::index) async fn damaged<C: Connection>(
    connection: &mut C,
    query: &DamageQuery,
) -> Result<Vec<DamagedInstance>> {
    let mut select = Statement::new(
        "SELECT i.id, s.uid, e.uid, i.uid, i.pack, d.since, d.reason FROM damaged d JOIN instances i ON i.id = d.instance
         JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study WHERE d.instance < ",
    );
    select
        .push_bind(query.before.map_or(Ok(i64::MAX), signed)?)
        .push(" AND i.state = ")
        .push_bind(rows::DAMAGED);
    select.push(
        " AND coalesce((SELECT a.state FROM instance_acts a WHERE a.uid = i.uid ORDER BY a.act DESC LIMIT 1), 0) = 0",
    );
    if let Some(of) = &query.of {
        // Nearly always nothing is damaged at all.
        let any = Statement::new("SELECT instance FROM damaged LIMIT 1");
        if connection.fetch_optional(any).await?.is_none() {
            return Ok(Vec::new());
        }
        select.push(" AND ").append(hidden::is_of(connection, of).await?);
    }
    select.push(" ORDER BY i.id DESC LIMIT ").push_bind(query.limit);
    let row = |row: &SqlRow| {
        let since = row.unsigned(5)?;
        Ok(DamagedInstance {
            place: row.unsigned(0)?,
            study: StudyInstanceUid::parse(row.text(1)?)?,
            series: SeriesInstanceUid::parse(row.text(2)?)?,
            instance: SopInstanceUid::parse(row.text(3)?)?,
            pack: PackId(row.unsigned(4)?),
            since: (since > 0).then_some(since),
            reason: row.text(6)?.to_owned(),
        })
    };
    connection.fetch(select).await?.iter().map(row).collect()
}

/// All that is damaged, as lines of the register for an index that is made anew.
pub(in crate::index) async fn known<C: Connection>(connection: &mut C) -> Result<Vec<Entry>> {
    let mut select = Statement::new(
        "SELECT i.uid, i.pack, i.\"offset\", i.length, i.digest, d.since, d.reason
         FROM damaged d JOIN instances i ON i.id = d.instance WHERE i.state = ",
    );
    select.push_bind(rows::DAMAGED);
    let line = |row: &SqlRow| {
        let (pack, offset, length) = (PackId(row.unsigned(1)?), row.unsigned(2)?, row.unsigned(3)?);
        let (location, digest) = (Location { pack, offset, length }, rows::digest(row.blob(4)?)?);
        KnownDamage::new(location, &digest, row.unsigned(5)?, row.text(6)?).line(row.text(0)?)
    };
    connection.fetch(select).await?.iter().map(line).collect()
}
