//! Packs through their life.

use std::collections::BTreeSet;

use super::said::{self, Touched};
use super::{Connection, SqlRow, Statement, counts, damaged, dead, emptied, rows, signed};
use crate::index::{
    Compared, DeadCopy, EntryRow, Known, NewInstance, PackEntry, PackRow, Replacement, Stage,
};
use crate::model::{Location, PackId, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::node;
use crate::{Error, Result};

/// Moves in one statement.
const MOVES: usize = 64;
/// Rows that are named in one statement.
const NAMED: usize = 256;

fn stage_number(stage: Stage) -> i64 {
    match stage {
        Stage::InUse => 0,
        Stage::InTheMaking => 1,
        Stage::Retired => 2,
        Stage::Gone => 3,
    }
}

/// Packs in ascending order, behind one of them.
pub(in crate::index) async fn packs<C: Connection>(
    connection: &mut C,
    after: Option<PackId>,
    limit: u32,
) -> Result<Vec<PackRow>> {
    let sql = format!(
        "SELECT id, state, mark, CAST({}(dead, coalesce((SELECT sum(d.length) FROM dead_copies d WHERE d.pack = packs.id AND d.since < {}), 0)) AS BIGINT),
         verified FROM packs WHERE id > ? ORDER BY id LIMIT ?",
        C::DIALECT.greater(),
        dead::NEVER
    );
    let after = after.map_or(Ok(-1), |pack| signed(pack.0))?;
    let found = connection.fetch(Statement::new(sql).bind(after).bind(limit)).await?;
    let row = |row: &SqlRow| {
        Ok(PackRow {
            pack: PackId(row.unsigned(0)?),
            stage: match row.int(1)? {
                0 => Stage::InUse,
                1 => Stage::InTheMaking,
                2 => Stage::Retired,
                3 => Stage::Gone,
                other => return Err(Error::corrupt(format!("index has a pack in state {other}"))),
            },
            mark: row.unsigned(2)?,
            dead: row.unsigned(3)?,
            verified: row.unsigned(4)?,
        })
    };
    found.iter().map(row).collect()
}

/// What is read of an instance, and of one that was kept aside.
const INSTANCE: &str = "SELECT CAST(0 AS BIGINT), i.id, i.pack, i.\"offset\" AS place, i.length, i.data_set, i.digest, s.uid, e.uid, i.uid, \
    i.received, i.state FROM instances i JOIN series e ON e.id = i.series JOIN studies s ON s.id = e.study WHERE ";
const CONFLICT: &str = " UNION ALL SELECT CAST(1 AS BIGINT), id, pack, \"offset\", length, data_set, digest, study, series, uid, received, CAST(0 AS BIGINT) \
    FROM conflicts WHERE ";

fn entry(row: &SqlRow) -> Result<PackEntry> {
    let id = row.int(1)?;
    Ok(PackEntry {
        row: if row.int(0)? == 0 { EntryRow::Instance(id) } else { EntryRow::Conflict(id) },
        location: Location {
            pack: PackId(row.unsigned(2)?),
            offset: row.unsigned(3)?,
            length: row.unsigned(4)?,
        },
        data_set: row.unsigned(5)?,
        digest: rows::digest(row.blob(6)?)?,
        study: StudyInstanceUid::parse(row.text(7)?)?,
        series: SeriesInstanceUid::parse(row.text(8)?)?,
        sop_instance: SopInstanceUid::parse(row.text(9)?)?,
        received: row.unsigned(10)?,
        is_damaged: row.int(11)? == rows::DAMAGED,
    })
}

/// What lies in a pack behind an offset, in its order, shown or not.
pub(in crate::index) async fn entries<C: Connection>(
    connection: &mut C,
    pack: PackId,
    after: u64,
    limit: u32,
) -> Result<Vec<PackEntry>> {
    let (id, after) = (signed(pack.0)?, signed(after)?);
    let mut select = Statement::new(INSTANCE);
    select.push("i.pack = ").push_bind(id).push(" AND i.\"offset\" > ").push_bind(after);
    select.push(CONFLICT).push("pack = ").push_bind(id).push(" AND \"offset\" > ").push_bind(after);
    select.push(" ORDER BY place LIMIT ").push_bind(limit);
    connection.fetch(select).await?.iter().map(entry).collect()
}

/// Everything that came under these UIDs, shown or not.
pub(in crate::index) async fn entries_of<C: Connection>(
    connection: &mut C,
    uids: &[SopInstanceUid],
) -> Result<Vec<PackEntry>> {
    let mut found = Vec::new();
    for some in uids.chunks(NAMED) {
        let mut select = Statement::new(INSTANCE);
        select.push("i.uid IN ").push_list(some.iter().map(|uid| uid.as_str()));
        select.push(CONFLICT).push("uid IN ").push_list(some.iter().map(|uid| uid.as_str()));
        for row in connection.fetch(select).await? {
            found.push(entry(&row)?);
        }
    }
    Ok(found)
}

/// What is to leave the packs: what was destroyed, aside or not, and what was deleted or discarded before a time.
pub(in crate::index) async fn entries_due<C: Connection>(
    connection: &mut C,
    deleted_before: u64,
    limit: u32,
) -> Result<Vec<PackEntry>> {
    let before = signed(deleted_before)?;
    let mut select = Statement::new(INSTANCE);
    // What was deleted may be damaged besides.
    select.push(
        "i.state IN (1, 3) AND i.uid IN (SELECT a.uid FROM instance_acts a JOIN ledger l ON l.number = a.act
             WHERE a.state = 1 AND a.act = (SELECT max(b.act) FROM instance_acts b WHERE b.uid = a.uid)
             AND (l.kind = 'destroy' OR l.at < ",
    );
    select.push_bind(before).push("))").push(CONFLICT);
    select.push(
        "state = 1 AND EXISTS (SELECT 1 FROM ledger l WHERE l.subject = 'instance\\' || conflicts.uid
             AND l.undone_by IS NULL AND ",
    );
    select.push(&format!("{}(l.body, {}) > 0", C::DIALECT.position(), C::DIALECT.hex("conflicts.digest")));
    select.push(" AND (l.kind = 'destroy-aside' OR l.kind = 'discard' AND l.at < ");
    select.push_bind(before).push(")) ORDER BY place LIMIT ").push_bind(limit);
    connection.fetch(select).await?.iter().map(entry).collect()
}

/// Remembers a pack that is going to be written from others.
pub(in crate::index) async fn begin<C: Connection>(connection: &mut C, pack: PackId) -> Result<()> {
    let sql = "INSERT INTO packs (id, mark, state) VALUES (?, 0, ?)";
    let insert = Statement::new(sql).bind(signed(pack.0)?).bind(stage_number(Stage::InTheMaking));
    connection.execute(insert).await.map(|_| ())
}

/// Forgets a pack that has been removed. The last of its node is remembered as gone, until there is one behind it.
pub(in crate::index) async fn forget<C: Connection>(connection: &mut C, pack: PackId) -> Result<()> {
    let (id, end) = (signed(pack.0)?, signed(node::first_pack(node::of(pack) + 1))?);
    let sql = "DELETE FROM packs WHERE state <> 0 AND (id = ? OR state = ?) AND id >= ? \
               AND EXISTS (SELECT 1 FROM packs AS later WHERE later.id > packs.id AND later.id < ?)";
    let first = signed(node::first_pack(node::of(pack)))?;
    let gone = stage_number(Stage::Gone);
    connection.execute(Statement::new(sql).bind(id).bind(gone).bind(first).bind(end)).await?;
    let update = Statement::new("UPDATE packs SET state = ? WHERE id = ? AND state <> 0");
    connection.execute(update.bind(gone).bind(id)).await.map(|_| ())
}

/// Puts one pack in the place of others.
///
/// # Errors
/// `Conflict`, and nothing has changed, when one of them is not in use any more, or holds what is neither moved
/// nor dropped.
pub(in crate::index) async fn replace<C: Connection>(connection: &mut C, by: &Replacement) -> Result<()> {
    let inputs: Vec<i64> = by.inputs.iter().map(|pack| signed(pack.0)).collect::<Result<_>>()?;
    let mut retire = Statement::new("UPDATE packs SET state = 2 WHERE state = 0 AND id IN ");
    retire.push_list(inputs.iter().copied());
    if connection.execute(retire).await? != inputs.len() as u64 {
        return Err(Error::conflict("a pack that was to be rewritten is not in use any more"));
    }
    if let Some((output, mark)) = by.output {
        let sql = "UPDATE packs SET state = 0, mark = ? WHERE id = ? AND state = 1";
        let update = Statement::new(sql).bind(signed(mark)?).bind(signed(output.0)?);
        if connection.execute(update).await? != 1 {
            return Err(Error::conflict(format!("pack {output} is not in the making any more")));
        }
        for table in ["instances", "conflicts"] {
            for moves in by.moves.chunks(MOVES) {
                connection.execute(moved(table, output, moves)?).await?;
            }
        }
    }
    drop_rows(connection, &by.dropped).await?;
    dead::forget(connection, &inputs).await?;
    for table in ["instances", "conflicts"] {
        let mut left = Statement::new(format!("SELECT 1 FROM {table} WHERE pack IN "));
        left.push_list(inputs.iter().copied()).push(" LIMIT 1");
        if connection.fetch_optional(left).await?.is_some() {
            return Err(Error::conflict(
                "a pack that was rewritten holds something that was not there before",
            ));
        }
    }
    Ok(())
}

fn moved(table: &str, to: PackId, moves: &[(PackId, u64, u64)]) -> Result<Statement> {
    let mut update = Statement::new(format!("UPDATE {table} SET pack = "));
    update.push_bind(signed(to.0)?).push(", \"offset\" = v.column3 FROM (VALUES ");
    for (n, (pack, offset, new)) in moves.iter().enumerate() {
        update.push(if n == 0 { "" } else { ", " });
        update.push_list([signed(pack.0)?, signed(*offset)?, signed(*new)?]);
    }
    update.push(&format!(") AS v WHERE {table}.pack = v.column1 AND {table}.\"offset\" = v.column2"));
    Ok(update)
}

async fn drop_rows<C: Connection>(connection: &mut C, dropped: &[EntryRow]) -> Result<()> {
    let split = |is_instance| {
        dropped.iter().filter_map(move |row| match row {
            EntryRow::Instance(id) if is_instance => Some(*id),
            EntryRow::Conflict(id) if !is_instance => Some(*id),
            _ => None,
        })
    };
    let mut emptied = BTreeSet::new();
    for (table, is_instance) in [("instances", true), ("conflicts", false)] {
        for some in split(is_instance).collect::<Vec<i64>>().chunks(NAMED) {
            let touched =
                if is_instance { said::touched(connection, some).await? } else { Touched::default() };
            if is_instance {
                damaged::forget(connection, some).await?;
            }
            let mut delete = Statement::new(format!("DELETE FROM {table} WHERE id IN "));
            delete.push_list(some.iter().copied());
            connection.execute(delete).await?;
            counts::recount(connection, &touched).await?;
            emptied.extend(touched.series());
        }
    }
    emptied::remove(connection, &emptied).await
}

/// Remembers that the entries of a pack were compared with their digests, and what came of it.
pub(in crate::index) async fn verified<C: Connection>(connection: &mut C, compared: &Compared) -> Result<()> {
    let update = Statement::new("UPDATE packs SET verified = ? WHERE id = ?");
    connection.execute(update.bind(signed(compared.at)?).bind(signed(compared.pack.0)?)).await?;
    damaged::hide(connection, &compared.damaged).await?;
    damaged::show(connection, &compared.sound).await
}

/// Puts a good copy in the place of one that was found damaged. It came when this one did, as an index that is made anew
/// tells as well.
pub(super) async fn heal<C: Connection>(connection: &mut C, known: &Known, new: &NewInstance) -> Result<()> {
    let update = Statement::new(
        "UPDATE instances SET pack = ?, \"offset\" = ?, length = ?, data_set = ?, frame_map = ?, state = ?, received = ? \
         WHERE uid = ? RETURNING id",
    )
    .bind(signed(new.location.pack.0)?)
    .bind(signed(new.location.offset)?)
    .bind(signed(new.location.length)?)
    .bind(signed(new.data_set)?)
    .bind(new.frame_map.as_slice())
    .bind(rows::SHOWN)
    .bind(signed(new.received)?)
    .bind(new.sop_instance.as_str());
    let id = connection.fetch_one(update).await?.int(0)?;
    damaged::forget(connection, &[id]).await?;
    let old =
        DeadCopy { instance: new.sop_instance.clone(), location: known.instance.location, is_same: true };
    dead::note(connection, &[old]).await?;
    dead::revive(connection, new.location).await?;
    let touched = said::touched(connection, &[id]).await?;
    counts::recount(connection, &touched).await
}
