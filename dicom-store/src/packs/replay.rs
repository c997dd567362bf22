//! At the start: from where the index has come to the end of the log.

use std::fs::File;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::Packs;
use super::disk::Step;
use super::entry::BLOCK;
use super::file::PackFile;
use super::reader::{PackReader, Part};
use super::tail::Tail;
use crate::index::{Index, Mark};
use crate::model::PackId;
use crate::objects::blocking;
use crate::{Error, ErrorKind, Result};

/// Brings the index up to the log. Sealed packs become objects; the open one is given back to write on.
///
/// A torn end is cut and written over. A damaged pack is neither: it becomes an object as it is. `is_followed`: the
/// index was there before, and is not made anew.
///
/// # Errors
/// `Unavailable` when the index knows packs that are nowhere: a volume that is not mounted, most likely.
pub(crate) async fn log(
    packs: &Arc<Packs>,
    index: &Arc<dyn Index>,
    is_followed: bool,
) -> Result<Option<PackFile>> {
    let marks = index.marks().await?;
    let in_log = packs.in_log()?;
    are_there(packs, &marks, &in_log).await?;
    let mut last_open = None;
    for pack in in_log {
        packs.is_taken(pack);
        let (open, tail) = bring_in(packs, index, pack, is_followed).await?;
        match tail {
            Tail::Sealed => adopt(packs, index, pack).await?,
            Tail::Damaged => {
                error!(pack = %pack, offset = open.end, "log: the end of a pack is damaged; it is kept as it is, and nothing more goes into it");
                adopt(packs, index, pack).await?;
            }
            Tail::Torn | Tail::Free => {
                if let Some(older) = last_open.replace(open) {
                    seal_older(packs, index, older).await?;
                }
            }
        }
    }
    Ok(last_open)
}

async fn are_there(packs: &Packs, marks: &[Mark], in_log: &[PackId]) -> Result<()> {
    let sealed = packs.objects.packs().await?;
    for mark in marks {
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
    Ok(())
}

/// One pack of the log into the index, and what lies behind its last whole entry. A torn end is cut.
async fn bring_in(
    packs: &Packs,
    index: &Arc<dyn Index>,
    pack: PackId,
    is_followed: bool,
) -> Result<(PackFile, Tail)> {
    let file = Arc::new(packs.open_in_log(pack)?);
    let length = file.metadata()?.len();
    let end = catch_up(pack, &file, length, index, is_followed).await?;
    let read = file.clone();
    let tail = blocking(move || Tail::of(&read, end..length, is_followed)).await?;
    let file = Arc::into_inner(file).ok_or_else(|| Error::internal("a pack is still being read"))?;
    let open = PackFile::new(packs.disk.clone(), pack, file, end);
    match tail {
        Tail::Torn => {
            info!(pack = %pack, offset = end, bytes = length - end, "log: the end of a pack was torn; nobody was answered for it");
            let open = blocking(move || open.cut_torn_tail().map(|()| open)).await?;
            Ok((open, tail))
        }
        // It is not looked at again at each start.
        Tail::Damaged => {
            index.commit(&[], &[Mark { pack, offset: length }]).await?;
            Ok((open, tail))
        }
        Tail::Free | Tail::Sealed => Ok((open, tail)),
    }
}

async fn adopt(packs: &Packs, index: &Arc<dyn Index>, pack: PackId) -> Result<()> {
    packs.disk.tell(&Step::SyncIndex)?;
    index.sync().await?;
    packs.adopt(pack).await
}

/// An older pack that was not sealed. One that holds nothing goes away.
async fn seal_older(packs: &Packs, index: &Arc<dyn Index>, older: PackFile) -> Result<()> {
    let id = older.id;
    if older.end == 0 {
        let (disk, path) = (packs.disk.clone(), packs.log_file(id));
        return blocking(move || disk.remove(&path)).await;
    }
    blocking(move || older.seal()).await?;
    adopt(packs, index, id).await
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
        let end = catch_up(pack, &file, length, index, false).await?;
        if end + 2 * BLOCK < length {
            error!(pack = %pack, offset = end, "the end of a sealed pack is damaged");
            index.commit(&[], &[Mark { pack, offset: length }]).await?;
        }
        if is_copy {
            blocking(move || std::fs::remove_file(copy)).await?;
        }
        count += 1;
    }
    Ok(count)
}

/// Commits what lies behind the index's mark; gives the end of the last whole entry.
async fn catch_up(
    pack: PackId,
    file: &Arc<File>,
    length: u64,
    index: &Arc<dyn Index>,
    is_followed: bool,
) -> Result<u64> {
    let marks = index.marks().await?;
    let mut at = marks.iter().find(|mark| mark.pack == pack).map_or(0, |mark| mark.offset);
    let mut found = 0;
    loop {
        let reader = PackReader { pack, file: file.clone(), length };
        let part = tokio::task::spawn_blocking(move || reader.read(at))
            .await
            .map_err(|cause| Error::internal("reading the log did not finish").with_source(cause))??;
        tell(pack, &part, is_followed);
        if part.end == at {
            if found > 0 {
                info!(pack = %pack, instances = found, "log: the index has caught up");
            }
            return Ok(at);
        }
        found += part.instances.len();
        index.commit(&part.instances, &[Mark { pack, offset: part.end }]).await?;
        at = part.end;
    }
}

fn tell(pack: PackId, part: &Part, is_followed: bool) {
    for gap in &part.gaps {
        let (from, to) = (gap.range.start, gap.range.end);
        if gap.is_tear && is_followed {
            warn!(pack = %pack, from, to, "log: a part of the last group was torn and is stepped over; nobody was answered for it");
        } else {
            error!(pack = %pack, from, to, "log: a part of a pack is damaged and is stepped over");
        }
    }
    for (offset, cause) in &part.unreadable {
        error!(pack = %pack, offset, error = %cause.chain(), "log: an entry is whole and cannot be read as an instance; it is left out");
    }
}
