//! At the start: from where the index has come to the end of the log.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tracing::{error, info};

use super::Packs;
use super::entry::{BLOCK, BLOCK_BYTES, Entry, padded};
use super::file::{FileSource, PackFile};
use crate::index::{Index, Mark, NewInstance};
use crate::ingest::Reading;
use crate::model::{FileMeta, Location, PackId, Source};
use crate::objects::blocking;
use crate::{Error, ErrorKind, Result};

/// Instances that are read before the index takes them.
const BATCH: usize = 256;
const BUFFER: usize = 1 << 20;

/// Brings the index up to the log. Sealed packs become objects; the open one is given back to write on.
///
/// # Errors
/// `Unavailable` when the index knows packs that are nowhere: a volume that is not mounted, most likely.
pub(crate) async fn log(packs: &Arc<Packs>, index: &Arc<dyn Index>) -> Result<Option<PackFile>> {
    let mut last_open = None;
    let in_log = packs.in_log()?;
    let sealed = packs.objects.packs().await?;
    for mark in index.marks().await? {
        packs.is_taken(mark.pack);
        let is_there = in_log.contains(&mark.pack) || sealed.iter().any(|(pack, _)| *pack == mark.pack);
        // What another node has made lately may have been gathered since, or not have been listed yet.
        if !is_there && packs.is_own(mark.pack) {
            let what = format!(
                "pack {} is neither in the log nor in the object store; is its volume mounted?",
                mark.pack
            );
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
    }
    for pack in in_log {
        packs.is_taken(pack);
        let file = Arc::new(packs.open_in_log(pack)?);
        let length = file.metadata()?.len();
        let end = catch_up(pack, &file, length, index).await?;
        let is_sealed = length == end + 2 * BLOCK;
        let file = Arc::into_inner(file).ok_or_else(|| Error::internal("a pack is still being read"))?;
        let open = PackFile::new(pack, file, end);
        if is_sealed {
            index.sync().await?;
            packs.adopt(pack).await?;
        } else if let Some(older) = last_open.replace(open) {
            seal_older(packs, index, older).await?;
        }
    }
    Ok(last_open)
}

async fn seal_older(packs: &Arc<Packs>, index: &Arc<dyn Index>, older: PackFile) -> Result<()> {
    let id = older.id;
    blocking(move || older.seal()).await?;
    index.sync().await?;
    packs.adopt(id).await
}

/// Reads every sealed pack that the index does not know: all of them when it is new. Gives the instances found.
pub(crate) async fn objects(packs: &Arc<Packs>, index: &Arc<dyn Index>) -> Result<u64> {
    let known = index.marks().await?;
    let mut count = 0;
    for (pack, length) in packs.objects.packs().await? {
        packs.is_taken(pack);
        // An index that was being filled when the server stopped goes on where it was.
        if known.iter().any(|mark| mark.pack == pack && mark.offset + 2 * BLOCK >= length) {
            continue;
        }
        let copy = packs.arriving_file(pack);
        let path = packs.objects.pack_copy(pack, &copy).await?;
        let is_copy = path == copy;
        let file = Arc::new(blocking(move || File::open(path)).await?);
        catch_up(pack, &file, length, index).await?;
        if is_copy {
            blocking(move || std::fs::remove_file(copy)).await?;
        }
        count += 1;
    }
    Ok(count)
}

/// Commits what lies behind the index's mark; gives the end of the last whole entry.
async fn catch_up(pack: PackId, file: &Arc<File>, length: u64, index: &Arc<dyn Index>) -> Result<u64> {
    let marks = index.marks().await?;
    let mut at = marks.iter().find(|mark| mark.pack == pack).map_or(0, |mark| mark.offset);
    let mut found = 0;
    loop {
        let reader = file.clone();
        let (batch, end) = tokio::task::spawn_blocking(move || read_batch(pack, &reader, at, length))
            .await
            .map_err(|cause| Error::internal("reading the log did not finish").with_source(cause))??;
        if end > at {
            found += batch.len();
            index.commit(&batch, &[Mark { pack, offset: end }]).await?;
        }
        if end == at {
            if found > 0 {
                info!(pack = %pack, instances = found, "log: the index has caught up");
            }
            return Ok(end);
        }
        at = end;
    }
}

fn read_batch(pack: PackId, file: &File, start: u64, length: u64) -> Result<(Vec<NewInstance>, u64)> {
    let (mut batch, mut at) = (Vec::new(), start);
    while batch.len() < BATCH {
        let (entry, location) = match entry_at(pack, file, at, length)? {
            Some(whole) => whole,
            None => match next_whole(pack, file, at, length)? {
                Some((entry, location)) => {
                    let (from, to) = (at, location.offset - BLOCK);
                    error!(pack = %pack, from, to, "log: a part of a pack is damaged and is stepped over");
                    (entry, location)
                }
                None => break,
            },
        };
        // A whole entry that cannot be read any more is kept and told; it must not stop the archive.
        match read_instance(file, &entry, location) {
            Ok(instance) => batch.push(instance),
            Err(cause) => {
                error!(pack = %pack, offset = location.offset, error = %cause.chain(), "log: an entry is left out");
            }
        }
        at = location.offset - BLOCK + padded(entry.size);
    }
    Ok((batch, at))
}

/// The entry that begins here, when it proves that it is whole.
fn entry_at(pack: PackId, file: &File, at: u64, length: u64) -> Result<Option<(Entry, Location)>> {
    if at + BLOCK > length {
        return Ok(None);
    }
    let mut block = [0; BLOCK_BYTES];
    file.read_exact_at(&mut block, at)?;
    let Some(entry) = Entry::read(&block) else { return Ok(None) };
    let location = Location { pack, offset: at + BLOCK, length: entry.size };
    let is_inside = at.checked_add(padded(entry.size)).is_some_and(|end| end <= length);
    Ok((is_inside && is_whole(file, &entry, location)?).then_some((entry, location)))
}

/// The first whole entry behind a place where none begins: what lies between is damaged. None behind
/// the last one: what a crash tore off, and the zeros that were allocated ahead.
fn next_whole(pack: PackId, file: &File, start: u64, length: u64) -> Result<Option<(Entry, Location)>> {
    let mut window = vec![0; BUFFER];
    let mut at = start;
    while at + BLOCK <= length {
        let want = usize::try_from(length - at).unwrap_or(BUFFER).min(BUFFER);
        let part = window.get_mut(..want).unwrap_or_default();
        file.read_exact_at(part, at)?;
        let candidates = (at..).step_by(BLOCK_BYTES).zip(part.chunks_exact(BLOCK_BYTES));
        for (place, _) in candidates.filter(|(_, block)| Entry::read(block).is_some()) {
            if let Some(found) = entry_at(pack, file, place, length)? {
                return Ok(Some(found));
            }
        }
        at += want as u64 / BLOCK * BLOCK;
    }
    Ok(None)
}

/// Whether the bytes have the digest that the header gives: the data set's bytes, then the head's.
fn is_whole(file: &File, entry: &Entry, location: Location) -> Result<bool> {
    let Ok(meta) = read_meta(file, location) else { return Ok(false) };
    let mut hasher = blake3::Hasher::new();
    hash(file, location.offset + meta.data_set, location.offset + location.length, &mut hasher)?;
    hash(file, location.offset, location.offset + meta.data_set, &mut hasher)?;
    Ok(entry.proves(hasher.finalize().as_bytes()))
}

fn hash(file: &File, mut at: u64, end: u64, hasher: &mut blake3::Hasher) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let part = buffer.get_mut(..want).unwrap_or_default();
        file.read_exact_at(part, at)?;
        hasher.update(part);
        at += want as u64;
    }
    Ok(())
}

fn read_meta(file: &File, location: Location) -> Result<FileMeta> {
    let mut source = FileSource::new(file, location.offset, location.length);
    let head = source.at(0, 128 * 1024)?;
    FileMeta::read(head, true)?.ok_or_else(|| Error::corrupt("an entry has no file meta information"))
}

fn read_instance(file: &File, entry: &Entry, location: Location) -> Result<NewInstance> {
    let meta = read_meta(file, location)?;
    let mut source = FileSource::new(file, location.offset, location.length);
    let reading = Reading::of_file(&mut source, &meta)?;
    let mut hasher = blake3::Hasher::new();
    hash(file, location.offset + meta.data_set, location.offset + location.length, &mut hasher)?;
    let mut new = reading.into_new(*hasher.finalize().as_bytes())?;
    new.location = location;
    new.is_conflict = entry.name.starts_with("conflict/");
    Ok(new)
}
