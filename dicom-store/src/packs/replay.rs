//! At the start: from where the index has come to the end of the log.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::try_unfold;
use futures_util::{FutureExt, TryStreamExt};
use rustix::fs::{Advice, fadvise};
use tracing::{error, info, warn};

use super::Packs;
use super::arrival::{self, Due};
use super::damage::{DamagedStretch, Findings, Holds, damaged};
use super::entry::BLOCK;
use super::file::PackFile;
use super::local::Pace;
use super::pack_bytes::PackBytes;
use super::reader::{PackReader, Part};
use super::rewrite::all_rows;
use super::tail::{Tail, is_zero};
use super::verify::verify;
use super::{taking, twice};
use crate::index::{Index, Mark, OPEN, PackRow, Stage};
use crate::ingest::Sources;
use crate::model::PackId;
use crate::objects::blocking;
use crate::register::Entry as Registration;
use crate::{Error, ErrorKind, Result};

/// Threads that read a pack, at the most; each has a stretch of it in memory.
const MAX_THREADS: usize = 8;
/// How often it is told how far a pack was read.
const PROGRESS: Duration = Duration::from_secs(5);

/// What the index is brought up from, and with.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    pub(crate) packs: &'a Arc<Packs>,
    pub(crate) index: &'a Arc<dyn Index>,
    pub(crate) sources: &'a Arc<Sources>,
    /// The index was there before, and is not made anew.
    pub(crate) is_followed: bool,
    /// What is damaged on the way.
    pub(crate) found: &'a Findings,
}

/// Lines of the register for parts of packs that a crash had torn, and that were stepped over.
const TORN: &str = "pack-torn";

/// Where a part of a pack ends that a start has told of as torn by a crash, and that begins here: nobody was answered
/// for it.
pub(super) async fn torn_to(index: &Arc<dyn Index>, pack: PackId, at: u64) -> Result<Option<u64>> {
    let line = index.registered_as(TORN, &torn_name(pack, at)).await?;
    Ok(line.and_then(|line| serde_json::from_str::<Torn>(&line.body).ok()).map(|torn| torn.to))
}

fn torn_name(pack: PackId, at: u64) -> String {
    format!("{pack}-{at}")
}

#[derive(serde::Deserialize)]
struct Torn {
    to: u64,
}

/// Brings the index up to the log. Sealed packs become objects; the open one is given back to write on.
///
/// A torn end is cut and written over. A damaged pack is neither: it becomes an object as it is.
///
/// # Errors
/// `Unavailable` when the index knows packs that are nowhere: a volume that is not mounted, most likely.
pub(crate) async fn log(replay: Replay<'_>) -> Result<Option<PackFile>> {
    let Replay { packs, index, .. } = replay;
    let marks = index.marks().await?;
    let in_log = packs.in_log()?;
    let mut suspects = are_there(packs, &marks, &in_log).await?;
    sync(packs, &in_log, &marks).await?;
    let mut last_open = None;
    for pack in in_log {
        packs.is_taken(pack);
        let mark = marks.iter().find(|mark| mark.pack == pack).map_or(0, |mark| mark.offset);
        let (open, tail) = bring_in(replay, pack, mark).await?;
        match tail {
            Tail::Sealed => adopt(packs, index, pack).await?,
            Tail::Damaged => {
                error!(pack = %pack, offset = open.end, "log: the end of a pack is damaged; it is kept as it is, and nothing more goes into it");
                adopt(packs, index, pack).await?;
                suspects.push(pack);
            }
            Tail::Torn | Tail::Free => {
                if let Some(older) = last_open.replace(open) {
                    seal_older(packs, index, older).await?;
                }
            }
        }
    }
    for pack in suspects {
        look_through(packs, index, pack).await?;
    }
    Ok(last_open)
}

/// What a process that was killed has written is in the system's cache, and not durable: whoever sends it again would be
/// answered that it is there.
///
/// What the disk did not take once the system holds for written afterwards, and says so but once. So it is read from the
/// disk, not from the cache, wherever the system follows this advice.
async fn sync(packs: &Packs, in_log: &[PackId], marks: &[Mark]) -> Result<()> {
    if in_log.is_empty() {
        return Ok(());
    }
    for pack in in_log {
        let (disk, file) = (packs.disk.clone(), packs.open_in_log(*pack)?);
        let mark = marks.iter().find(|mark| mark.pack == *pack).map_or(0, |mark| mark.offset);
        blocking(move || {
            disk.sync(&file)?;
            // It is advice: a file system that does not take it is read as it is.
            let _ = fadvise(&file, mark, None, Advice::DontNeed);
            Ok(())
        })
        .await?;
    }
    let (disk, folder) = (packs.disk.clone(), packs.folder.clone());
    blocking(move || disk.sync_folder(&folder)).await
}

/// Compares a pack that has lost something with its digests: what is damaged is not given out, and taken when it
/// comes again.
async fn look_through(packs: &Packs, index: &Arc<dyn Index>, pack: PackId) -> Result<()> {
    let mark = index.furthest(pack).await?;
    let verified = verify(packs, index, pack, mark, &mut Pace::new(None)).await?;
    let (instances, damaged) = (verified.instances, verified.stretches.len());
    error!(pack = %pack, instances, damaged, "a pack has lost a part of what it held");
    Ok(())
}

/// Whether every pack that the index knows is somewhere; gives those that are shorter than the index knows them.
async fn are_there(packs: &Packs, marks: &[Mark], in_log: &[PackId]) -> Result<Vec<PackId>> {
    let sealed: HashMap<PackId, u64> = packs.objects.packs().await?.into_iter().collect();
    let in_log: HashSet<PackId> = in_log.iter().copied().collect();
    let mut short = Vec::new();
    for mark in marks {
        packs.is_taken(mark.pack);
        let length = match sealed.get(&mark.pack) {
            Some(length) => Some(*length),
            None if in_log.contains(&mark.pack) => Some(packs.open_in_log(mark.pack)?.metadata()?.len()),
            None => None,
        };
        match length {
            Some(length) if length < mark.offset => short.push(mark.pack),
            // What another node has made lately may have been gathered since, or not have been listed yet.
            None if packs.is_own(mark.pack) && !packs.objects.is_compressed(mark.pack).await? => {
                let what = format!(
                    "pack {} is neither in the log nor in the object store; is its volume mounted? \
                     If it is lost for good, `filmless reindex` goes on with what is there",
                    mark.pack
                );
                return Err(Error::new(ErrorKind::Unavailable, what));
            }
            _ => {}
        }
    }
    Ok(short)
}

/// One pack of the log into the index, from its mark there, and what lies behind its last whole entry. A torn end is
/// cut.
async fn bring_in(replay: Replay<'_>, pack: PackId, mark: u64) -> Result<(PackFile, Tail)> {
    let Replay { packs, index, is_followed, .. } = replay;
    let bytes = PackBytes::new(Arc::new(packs.open_in_log(pack)?), &packs.disk);
    let length = bytes.length()?;
    let sources = replay.sources.clone();
    let reader = PackReader { pack, bytes: bytes.clone(), length, sources, is_sealed: false };
    let end = catch_up(replay, reader, mark).await?;
    let read = bytes.clone();
    let mut tail = blocking(move || Tail::of(&read, end.min(length)..length, is_followed)).await?;
    // Marks are written down now and then, rows tell how far the index really was: what was answered is no tear.
    let is_shorter = end > length;
    if is_shorter || matches!(tail, Tail::Torn | Tail::Free) && index.furthest(pack).await? > end {
        tail = Tail::Damaged;
    }
    if tail == Tail::Damaged {
        let read = bytes.clone();
        let lost = blocking(move || damaged(&read, pack, end.min(length)..length)).await?;
        replay.found.add(lost);
        if is_shorter {
            replay.found.add([cut_off(pack, length)]);
        }
    }
    let file =
        Arc::into_inner(bytes.into_file()).ok_or_else(|| Error::internal("a pack is still being read"))?;
    let open = PackFile::new(packs.disk.clone(), pack, file, end);
    match tail {
        Tail::Torn => {
            info!(pack = %pack, offset = end, bytes = length - end, "log: the end of a pack was torn; nobody was answered for it");
            let open = blocking(move || open.cut_torn_tail().map(|()| open)).await?;
            Ok((open, tail))
        }
        // It is not looked at again at each start.
        Tail::Damaged => {
            index.commit(&[], &[Mark { pack, offset: length }], OPEN).await?;
            Ok((open, tail))
        }
        Tail::Free | Tail::Sealed => Ok((open, tail)),
    }
}

async fn adopt(packs: &Packs, index: &Arc<dyn Index>, pack: PackId) -> Result<()> {
    packs.sync_index(&**index).await?;
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

/// Reads every sealed pack that the index does not know: all of them when it is new. Of large instances it proves what
/// the index takes; the rest is proven when the packs are compared with their digests. Gives how many packs it read.
pub(crate) async fn objects(replay: Replay<'_>) -> Result<u64> {
    let Replay { packs, index, .. } = replay;
    let known: HashMap<PackId, PackRow> =
        all_rows(index).await?.into_iter().map(|row| (row.pack, row)).collect();
    let mut due = Vec::new();
    let (whole, broken) = packs.objects.listed_packs().await?;
    for (pack, cause) in broken {
        packs.is_taken(pack);
        // What the index knows of one is found when it is compared with its digests.
        if known.contains_key(&pack) {
            continue;
        }
        let reason = cause.chain();
        replay.found.add([DamagedStretch { pack, range: 0..0, holds: Holds::Unknown, reason }]);
    }
    for (pack, length) in whole {
        packs.is_taken(pack);
        let mark = match known.get(&pack) {
            // An index that was being filled when the server stopped goes on where it was.
            Some(row) if row.stage == Stage::InUse && row.mark + 2 * BLOCK < length => row.mark,
            // Where it is not in use, another node is writing it from others, or removing it.
            Some(_) => continue,
            None => 0,
        };
        due.push(Due { pack, length, mark });
    }
    let due = arrival::in_order(&packs.objects, due).await?;
    let count = due.len() as u64;
    for Due { pack, length, mark } in due {
        let copy = packs.arriving_file(pack);
        let path = packs.objects.pack_copy(pack, &copy).await?;
        let is_copy = path == copy;
        let file = Arc::new(blocking(move || File::open(path)).await?);
        let bytes = match is_copy {
            true => PackBytes::of_copy(file, &packs.disk),
            false => PackBytes::new(file, &packs.disk),
        };
        let sources = replay.sources.clone();
        let reader = PackReader { pack, bytes: bytes.clone(), length, sources, is_sealed: true };
        let end = catch_up(Replay { is_followed: false, ..replay }, reader, mark).await?;
        let lost = blocking(move || behind(&bytes, pack, end..length)).await?;
        if !lost.is_empty() {
            error!(pack = %pack, offset = end, "the end of a sealed pack is damaged");
            replay.found.add(lost);
            index.commit(&[], &[Mark { pack, offset: length }], OPEN).await?;
        }
        if is_copy {
            blocking(move || std::fs::remove_file(copy)).await?;
        }
    }
    Ok(count)
}

/// What is damaged behind the last whole entry of a sealed pack, where the end of a tar file has to be.
fn behind(bytes: &PackBytes, pack: PackId, tail: Range<u64>) -> io::Result<Vec<DamagedStretch>> {
    let length = tail.end;
    let ends = length.saturating_sub(2 * BLOCK);
    let has_end = tail.start <= ends && bytes.unless_lost(is_zero(bytes, ends..length))?.unwrap_or(false);
    if has_end && bytes.unless_lost(is_zero(bytes, tail.clone()))?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    let mut lost = damaged(bytes, pack, tail)?;
    if !has_end {
        lost.push(cut_off(pack, length));
    }
    Ok(lost)
}

fn cut_off(pack: PackId, length: u64) -> DamagedStretch {
    let reason = "the pack is cut off: the end of its tar file is missing".to_owned();
    DamagedStretch { pack, range: length..length, holds: Holds::Unknown, reason }
}

/// Commits what lies behind the index's mark; gives the end of the last whole entry.
async fn catch_up(replay: Replay<'_>, reader: PackReader, mark: u64) -> Result<u64> {
    let (pack, reader, mut at) = (reader.pack, Arc::new(reader), mark);
    let mut told = Told { pack, length: reader.length, found: 0, at: Instant::now() };
    loop {
        at = in_stretches(replay, &reader, at, &mut told).await?;
        let closer = reader.clone();
        let part = tokio::task::spawn_blocking(move || closer.read(at))
            .await
            .map_err(|cause| Error::internal("reading the log did not finish").with_source(cause))??;
        tell(replay, pack, &part).await?;
        if part.end == at {
            if told.found > 0 {
                info!(pack = %pack, instances = told.found, "log: the index has caught up");
            }
            return Ok(at);
        }
        take(replay, pack, &part).await?;
        told.progress(part.instances.len(), part.end);
        at = part.end;
    }
}

/// The acts first, and the mark last: it stands behind them and behind what lies in the packs twice.
async fn take(replay: Replay<'_>, pack: PackId, part: &Part) -> Result<()> {
    let Replay { packs, index, .. } = replay;
    for act in &part.acts {
        index.act(act).await?;
    }
    let taken = taking::take(&**index, &part.instances, &[], OPEN).await?;
    twice::settle(packs, index, &part.instances, &taken).await?;
    index.commit(&[], &[Mark { pack, offset: part.end }], OPEN).await.map(|_| ())
}

/// As far as whole entries follow each other: some stretches are read and proven at a time, and committed in
/// their order. Gives the end of the last entry.
async fn in_stretches(
    replay: Replay<'_>,
    reader: &Arc<PackReader>,
    start: u64,
    told: &mut Told,
) -> Result<u64> {
    let threads = std::thread::available_parallelism().map_or(2, NonZero::get).min(MAX_THREADS);
    let is_over = AtomicBool::new(false);
    let stretches = try_unfold(start, |at| {
        let (reader, is_over) = (reader.clone(), is_over.load(Ordering::Relaxed));
        async move {
            let read = move || if is_over { Ok(None) } else { reader.stretch(at) };
            Ok::<_, Error>(blocking(read).await?.map(|stretch| {
                let end = stretch.end;
                (stretch, end)
            }))
        }
    });
    let read = stretches.map_ok(|stretch| {
        let (reader, end) = (reader.clone(), stretch.end);
        let read = tokio::task::spawn_blocking(move || stretch.part(&reader));
        read.map(move |part| match part {
            Ok(part) => Ok((part?, end)),
            Err(cause) => Err(Error::internal("reading the log did not finish").with_source(cause)),
        })
    });
    let mut parts = std::pin::pin!(read.try_buffered(threads + 1));
    let mut at = start;
    // Read to its end in any case: nobody else may have the file when this returns.
    while let Some((part, end)) = parts.try_next().await? {
        if is_over.load(Ordering::Relaxed) {
            continue;
        }
        tell(replay, reader.pack, &part).await?;
        if part.end > at {
            take(replay, reader.pack, &part).await?;
            told.progress(part.instances.len(), part.end);
            at = part.end;
        }
        is_over.store(part.end < end, Ordering::Relaxed);
    }
    Ok(at)
}

/// What was said of a pack that is being read.
struct Told {
    pack: PackId,
    length: u64,
    found: usize,
    at: Instant,
}

impl Told {
    fn progress(&mut self, instances: usize, end: u64) {
        self.found += instances;
        if self.at.elapsed() >= PROGRESS {
            self.at = Instant::now();
            let (mib, of_mib) = (end >> 20, self.length >> 20);
            info!(pack = %self.pack, instances = self.found, mib, of_mib, "log: the index is catching up");
        }
    }
}

async fn tell(replay: Replay<'_>, pack: PackId, part: &Part) -> Result<()> {
    for gap in &part.gaps {
        let (from, to) = (gap.range.start, gap.range.end);
        if torn_to(replay.index, pack, from).await?.is_some() {
            continue;
        }
        if gap.is_tear && replay.is_followed {
            warn!(pack = %pack, from, to, "log: a part of the last groups was torn and is stepped over; nobody was answered for it");
            let line = Registration::new(TORN, torn_name(pack, from), format!(r#"{{"to":{to}}}"#));
            replay.index.register(&[line], None).await?;
            continue;
        }
        for found in &gap.damaged {
            error!(pack = %pack, from, to, %found, "log: a part of a pack is damaged and is stepped over");
        }
        replay.found.add(gap.damaged.iter().cloned());
    }
    for (offset, cause) in &part.unreadable {
        let reason = cause.chain();
        error!(pack = %pack, offset, error = reason, "log: an entry is whole and cannot be read as an instance; it is left out");
        let range = offset.saturating_sub(BLOCK)..*offset;
        replay.found.add([DamagedStretch { pack, range, holds: Holds::Unknown, reason }]);
    }
    Ok(())
}
