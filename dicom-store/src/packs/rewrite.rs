//! One pack in the place of others: small ones gathered, or one without what was deleted.
//!
//! | step | what holds afterwards | after a crash here |
//! |---|---|---|
//! | the output's number is in the index, in the making | nothing has changed | forgotten at the start |
//! | entries are copied as they are, each compared with its digest | the output is a file of this machine | removed |
//! | the output is an object | it is whole, and nobody reads it | removed |
//! | one transaction: the rows say the output, the inputs are retired | all reads go to the output | the inputs are removed |
//! | the index is synced | a power cut does not bring the inputs back into the index | the inputs are removed |
//! | the inputs are removed and forgotten | | |
//!
//! Whoever reads an input that is removed looks the instance up again ([`super::place`]).

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tracing::{info, warn};

use super::Packs;
use super::damage::Piece as Found;
use super::entry::{BLOCK, padded};
use super::file::check_reserve;
use super::local::{LocalPack, Pace, copy, fault, pieces};
use super::pack_bytes::PackBytes;
use super::verify::all_entries;
use crate::index::{Compared, Damage, EntryRow, Index, PackEntry, PackRow, Replacement, Stage};
use crate::model::{Location, PackId};
use crate::objects::blocking;
use crate::{Error, ErrorKind, Result};

/// Packs that are copied from a bucket at once.
const COPIES: usize = 8;
/// Packs that are asked for at a time.
const PAGE: u32 = 1000;

/// What became of a rewriting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rewritten {
    /// Where everything is now; `None` when nothing was left.
    pub(crate) output: Option<PackId>,
    pub(crate) kept: usize,
    pub(crate) dropped: usize,
}

/// A part of an input that goes to the output as it is: a header and what follows it, with its padding.
struct Piece {
    input: usize,
    at: u64,
    length: u64,
    /// `None` for a record of the archive's own.
    entry: Option<PackEntry>,
}

/// Rewrites sealed packs into one, study by study and series by series as they arrived, without those that `is_dropped` names.
/// One at a time; the caller sees to that.
///
/// # Errors
/// `Exhausted` when the disk has no room for the copy; `Conflict` when something happened to an input meanwhile. The
/// archive is as it was then.
pub(crate) async fn rewrite(
    packs: &Packs,
    index: &Arc<dyn Index>,
    inputs: &[PackId],
    is_dropped: &(dyn Fn(&PackEntry) -> bool + Send + Sync),
) -> Result<Rewritten> {
    let rows: HashMap<PackId, u64> = in_use(index, inputs).await?;
    let locals: Vec<LocalPack> =
        stream::iter(inputs.to_vec()).map(|pack| packs.local(pack)).buffered(COPIES).try_collect().await?;
    let (mut pieces, mut dropped) = (Vec::new(), Vec::new());
    for (n, local) in locals.iter().enumerate() {
        let mark = rows.get(&local.pack).copied().unwrap_or_default();
        for piece in contents(index, n, local, mark).await? {
            match &piece.entry {
                Some(entry) if is_dropped(entry) => dropped.push(entry.row),
                _ => pieces.push(piece),
            }
        }
    }
    in_order_of_arrival(&mut pieces);
    let (kept, gone) = (pieces.len(), dropped.len());
    let output = if pieces.is_empty() { None } else { Some(packs.next_id_for_good().await?) };
    let done = put_in_place(packs, index, inputs, locals, pieces, dropped, output).await;
    if let Err(cause) = done {
        if let Some(output) = output {
            discard(packs, index, output).await?;
        }
        return Err(cause);
    }
    packs.sync_index(&**index).await?;
    for pack in inputs {
        remove(packs, index, *pack).await?;
    }
    info!(inputs = inputs.len(), kept, dropped = gone, "packs rewritten");
    Ok(Rewritten { output, kept, dropped: gone })
}

/// The ends of packs that are in use.
async fn in_use(index: &Arc<dyn Index>, inputs: &[PackId]) -> Result<HashMap<PackId, u64>> {
    let mut rows = HashMap::new();
    for pack in inputs {
        let after = pack.0.checked_sub(1).map(PackId);
        match index.packs(after, 1).await?.first() {
            Some(row) if row.pack == *pack && row.stage == Stage::InUse => rows.insert(*pack, row.mark),
            _ => return Err(Error::conflict(format!("pack {pack} is not in use any more"))),
        };
    }
    Ok(rows)
}

/// Records first; then study by study, and within each series by series, as the first of each arrived, so that an index
/// that is made anew seldom has to tell a study anew; then as they arrived.
fn in_order_of_arrival(pieces: &mut [Piece]) {
    let (mut studies, mut series) = (HashMap::new(), HashMap::new());
    for entry in pieces.iter().filter_map(|piece| piece.entry.as_ref()) {
        let arrived = arrived(entry);
        let first = studies.entry(entry.study.clone()).or_insert(arrived);
        *first = arrived.min(*first);
        let first = series.entry((entry.study.clone(), entry.series.clone())).or_insert(arrived);
        *first = arrived.min(*first);
    }
    pieces.sort_by_cached_key(|piece| {
        let place = piece.entry.as_ref().map(|entry| {
            let of_series = series.get(&(entry.study.clone(), entry.series.clone())).copied();
            (studies.get(&entry.study).copied(), of_series, arrived(entry))
        });
        (place, piece.input, piece.at)
    });
}

/// Rows are numbered as their instances arrived. What was kept aside came after what it was kept aside for.
fn arrived(entry: &PackEntry) -> (bool, i64) {
    match entry.row {
        EntryRow::Instance(id) => (false, id),
        EntryRow::Conflict(id) => (true, id),
    }
}

/// What a pack holds that is not dead: the instances of the index, and the archive's own records.
async fn contents(index: &Arc<dyn Index>, input: usize, local: &LocalPack, mark: u64) -> Result<Vec<Piece>> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    let record = |(at, length): (u64, u64)| Piece { input, at, length, entry: None };
    for entry in all_entries(index, local.pack).await? {
        let place = entry.location.offset - BLOCK;
        pieces.extend(records(local, at, place).await?.into_iter().map(record));
        at = place + padded(entry.location.length);
        pieces.push(Piece { input, at: place, length: at - place, entry: Some(entry) });
    }
    pieces.extend(records(local, at, mark).await?.into_iter().map(record));
    Ok(pieces)
}

async fn records(local: &LocalPack, from: u64, to: u64) -> Result<Vec<(u64, u64)>> {
    let found = pieces(&local.bytes, from..to).await?.into_iter();
    Ok(found
        .filter_map(|piece| match piece {
            Found::Entry { at, header } if header.is_record() => Some((at, padded(header.size))),
            _ => None,
        })
        .collect())
}

async fn put_in_place(
    packs: &Packs,
    index: &Arc<dyn Index>,
    inputs: &[PackId],
    locals: Vec<LocalPack>,
    pieces: Vec<Piece>,
    dropped: Vec<EntryRow>,
    output: Option<PackId>,
) -> Result<()> {
    let mut replacement = Replacement { inputs: inputs.to_vec(), output: None, moves: Vec::new(), dropped };
    let Some(output) = output else { return index.replace_packs(&replacement).await };
    index.begin_pack(output).await?;
    // What is dropped frees a disk that is full, and the reserve is there for that; what is gathered can wait.
    let reserve = if replacement.dropped.is_empty() { packs.reserve() } else { 0 };
    let written = write(packs, output, &locals, &pieces, reserve).await?;
    let (mut damaged, mut sound) = (Vec::new(), Vec::new());
    let mut place = 0;
    for piece in &pieces {
        if let Some(entry) = &piece.entry {
            let location = Location { pack: output, offset: place + BLOCK, ..entry.location };
            let copied = PackEntry { location, ..entry.clone() };
            match fault(&written, &copied, &mut Pace::new(None)).await? {
                Some(_) => damaged.push(Damage::found(entry.row, fault_before(&locals, piece, entry).await?)),
                None if entry.is_damaged => sound.push(entry.row),
                None => {}
            }
            replacement.moves.push((entry.location.pack, entry.location.offset, location.offset));
        }
        place += piece.length;
    }
    packs.objects.adopt(output, &packs.arriving_file(output)).await?;
    replacement.output = Some((output, place));
    index.replace_packs(&replacement).await?;
    index.pack_verified(&Compared::now(output, damaged, sound)).await
}

/// What is not right in the copy has to be just as wrong in the input, which is what is removed; gives what is wrong.
async fn fault_before(locals: &[LocalPack], piece: &Piece, entry: &PackEntry) -> Result<String> {
    let local = locals.get(piece.input).ok_or_else(|| Error::internal("a piece of no input"))?;
    let Some(reason) = fault(&local.bytes, entry, &mut Pace::new(None)).await? else {
        let what = format!("instance {} came out different in a copy of its pack", entry.sop_instance);
        return Err(Error::new(ErrorKind::Unavailable, what));
    };
    warn!(pack = %local.pack, instance = %entry.sop_instance, reason, "an instance is damaged and is not given out any more; send it again");
    Ok(reason)
}

/// Writes the output as a file of this machine, synced, and leaves the reserve of its disk.
async fn write(
    packs: &Packs,
    output: PackId,
    locals: &[LocalPack],
    pieces: &[Piece],
    reserve: u64,
) -> Result<PackBytes> {
    let path = packs.arriving_file(output);
    let length: u64 = pieces.iter().map(|piece| piece.length).sum();
    let plan: Option<Vec<(PackBytes, u64, u64)>> = pieces
        .iter()
        .map(|piece| locals.get(piece.input).map(|local| (local.bytes.clone(), piece.at, piece.length)))
        .collect();
    let plan = plan.ok_or_else(|| Error::internal("a piece of no input"))?;
    let written = blocking(move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        check_reserve(&file, length, reserve)?;
        let mut place = 0;
        for (from, at, length) in plan {
            copy(&from, at..at + length, &file, place)?;
            place += length;
        }
        file.set_len(place + 2 * BLOCK)?;
        file.sync_all()?;
        Ok(file)
    });
    Ok(PackBytes::of_copy(Arc::new(written.await?), &packs.disk))
}

/// Takes back an output that did not take its place.
async fn discard(packs: &Packs, index: &Arc<dyn Index>, output: PackId) -> Result<()> {
    if in_use(index, &[output]).await.is_ok() {
        // The transaction went through after all.
        return Ok(());
    }
    let path = packs.arriving_file(output);
    let _ = blocking(move || std::fs::remove_file(path)).await;
    packs.objects.delete_pack(output).await?;
    index.forget_pack(output).await
}

/// Removes a retired pack.
async fn remove(packs: &Packs, index: &Arc<dyn Index>, pack: PackId) -> Result<()> {
    packs.objects.delete_pack(pack).await?;
    packs.forget(pack);
    index.forget_pack(pack).await
}

/// Ends what a stop or a failure left half done: outputs of this node that are not in use, inputs of any that are not
/// any more. Numbers that were given are not given again.
pub(crate) async fn recover(packs: &Packs, index: &Arc<dyn Index>) -> Result<()> {
    let rows = all_rows(index).await?;
    if rows.iter().any(|row| row.stage == Stage::Retired) {
        packs.sync_index(&**index).await?;
    }
    for row in rows {
        packs.is_taken(row.pack);
        match row.stage {
            // Another node's may be in the making right now.
            Stage::InTheMaking if packs.is_own(row.pack) => discard(packs, index, row.pack).await?,
            Stage::Retired => remove(packs, index, row.pack).await?,
            Stage::InTheMaking | Stage::InUse | Stage::Gone => {}
        }
    }
    Ok(())
}

/// Every pack that the index knows, in ascending order.
pub(crate) async fn all_rows(index: &Arc<dyn Index>) -> Result<Vec<PackRow>> {
    let mut rows: Vec<PackRow> = Vec::new();
    loop {
        let page = index.packs(rows.last().map(|row| row.pack), PAGE).await?;
        let is_last = u32::try_from(page.len()).unwrap_or(u32::MAX) < PAGE;
        rows.extend(page);
        if is_last {
            return Ok(rows);
        }
    }
}

#[cfg(all(test, feature = "fixtures"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests, and what prepares them")]
mod tests;
