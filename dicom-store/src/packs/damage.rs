//! Parts of packs that are not what was written, or that belong to nothing: what is told of them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, padded};
use super::pack_bytes::PackBytes;
use super::tail::is_zero;
use crate::Result;
use crate::hex::hex;
use crate::index::{DeadCopy, EntryRow, Index, KnownDamage, PackEntry};
use crate::model::{FileMeta, Location, PackId, SopInstanceUid};

/// Bytes that are looked through at a time for where an entry begins.
const WINDOW: u64 = 1 << 20;
/// Bytes in which the file meta information of an instance ends.
const BEGINNING: u64 = 16 << 10;

/// A part of a pack that is not what was written, or belongs to nothing that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedStretch {
    pub pack: PackId,
    /// Bytes, from the beginning of the tar file.
    pub range: Range<u64>,
    pub holds: Holds,
    /// What is wrong with it.
    pub reason: String,
}

/// What lies in such a part, as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    Instance(SopInstanceUid),
    /// A data set that was kept aside under the UID of an instance, and the beginning of its digest, hexadecimal.
    Aside(SopInstanceUid, String),
    /// A record of a correction, a deletion or another act, by the name of its file.
    Record(String),
    Unknown,
}

impl fmt::Display for DamagedStretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pack, range, holds, reason } = self;
        write!(f, "pack {pack}, bytes {} to {}: ", range.start, range.end)?;
        match holds {
            Holds::Instance(instance) => {
                write!(f, "instance {instance} is damaged ({reason}); send it again")
            }
            Holds::Aside(instance, digest) => {
                write!(
                    f,
                    "data set {digest}… that was kept aside under instance {instance} is damaged ({reason})"
                )
            }
            Holds::Record(name) => {
                write!(f, "{name}, a record of what was done to the archive, is damaged ({reason})")
            }
            Holds::Unknown => f.write_str(reason),
        }
    }
}

/// An act whose record no pack holds any more: an index that is made anew does not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostAct {
    pub number: u64,
    pub kind: String,
}

impl fmt::Display for LostAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "act {} ({}): its record is in no pack any more", self.number, self.kind)
    }
}

/// What was found damaged when an archive was opened, or its index was made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damaged {
    pub stretches: Vec<DamagedStretch>,
    /// Acts that the index before knew, and the one that was made anew does not.
    pub lost_acts: Vec<LostAct>,
}

impl Damaged {
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty() && self.lost_acts.is_empty()
    }
}

/// What is found damaged while packs are read.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Vec<DamagedStretch>>);

impl Findings {
    pub(crate) fn add(&self, found: impl IntoIterator<Item = DamagedStretch>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    /// What was found, but for what nobody misses: that lies there as dead copies, which the index notes.
    ///
    /// # Errors
    /// What the index says.
    pub(crate) async fn left(&self, index: &Arc<dyn Index>) -> Result<Vec<DamagedStretch>> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut left, mut dead) = (Vec::new(), Vec::new());
        for found in all {
            match dead_copy(index, found.pack, &found.range, &found.holds, None).await? {
                Some(copy) => dead.push(copy),
                None => left.push(found),
            }
        }
        if !dead.is_empty() {
            index.dead_copies(&dead).await?;
        }
        Ok(left)
    }
}

/// What lies somewhere and belongs to nothing, as a dead copy: when the index has another one of it, or it is to be
/// nowhere. Its header may tell which data set it is, or was.
pub(super) async fn dead_copy(
    index: &Arc<dyn Index>,
    pack: PackId,
    range: &Range<u64>,
    holds: &Holds,
    data_set: Option<&Digest>,
) -> Result<Option<DeadCopy>> {
    let (instance, aside) = match holds {
        Holds::Instance(instance) => (instance, None),
        Holds::Aside(instance, digest) => (instance, Some(digest.as_str())),
        Holds::Record(_) | Holds::Unknown => return Ok(None),
    };
    let kept = kept(index, holds).await?;
    if kept.is_empty() && !index.is_unwanted(instance, aside).await? {
        return Ok(None);
    }
    let is_same = aside.is_some() || data_set.is_some_and(|digest| kept.contains(digest));
    let offset = range.start + BLOCK;
    let location = Location { pack, offset, length: range.end.saturating_sub(offset) };
    Ok(Some(DeadCopy { instance: instance.clone(), location, is_same }))
}

/// What the index has of what lies there, shown or not, in places that were not found damaged: the digests.
async fn kept(index: &Arc<dyn Index>, holds: &Holds) -> Result<Vec<Digest>> {
    let (instance, digest) = match holds {
        Holds::Instance(instance) => (instance, None),
        Holds::Aside(instance, digest) => (instance, Some(digest)),
        Holds::Record(_) | Holds::Unknown => return Ok(Vec::new()),
    };
    let entries = index.pack_entries_of(std::slice::from_ref(instance)).await?;
    // One that was kept aside may be shown by now, and the other way round.
    let is_it = |entry: &PackEntry| match digest {
        Some(digest) => hex(&entry.digest).starts_with(digest.as_str()),
        None => matches!(entry.row, EntryRow::Instance(_)),
    };
    let good = entries.iter().filter(|entry| is_it(entry) && !entry.is_damaged);
    Ok(good.map(|entry| entry.digest).collect())
}

/// Lines of the register that are asked for at a time.
const PAGE: u32 = 256;
/// What an older version has noted no reason of.
const FOUND_BEFORE: &str = "it was found damaged before";

/// Hides what the index before this one knew to be damaged, where it still is what the index has; of each it is told.
///
/// # Errors
/// What the index says; it goes on from there when it is called again.
pub(crate) async fn known_before(index: &Arc<dyn Index>, found: &Findings) -> Result<()> {
    loop {
        let lines = index.registered(KnownDamage::KIND, "", PAGE).await?;
        if lines.is_empty() {
            return Ok(());
        }
        let uids: Vec<SopInstanceUid> =
            lines.iter().filter_map(|line| SopInstanceUid::parse(&line.name).ok()).collect();
        let known: HashMap<&str, KnownDamage> = lines
            .iter()
            .filter_map(|line| Some((line.name.as_str(), serde_json::from_str(&line.body).ok()?)))
            .collect();
        let mut damaged = Vec::new();
        for entry in index.pack_entries_of(&uids).await? {
            let damage = known.get(entry.sop_instance.as_str()).and_then(|known| known.of(&entry));
            let Some(damage) = damage else { continue };
            let start = entry.location.offset - BLOCK;
            let range = start..start + padded(entry.location.length);
            let reason = if damage.reason.is_empty() { FOUND_BEFORE } else { &damage.reason }.to_owned();
            let holds = Holds::Instance(entry.sop_instance);
            found.add([DamagedStretch { pack: entry.location.pack, range, holds, reason }]);
            damaged.push(damage);
        }
        index.damaged(&damaged).await?;
        for line in &lines {
            index.unregister(KnownDamage::KIND, &line.name, None).await?;
        }
    }
}

/// What lies in a part of a pack, by the headers in it.
#[derive(Debug)]
pub(super) enum Piece {
    Entry {
        at: u64,
        header: Entry,
    },
    /// Where no entry begins, up to where one does.
    Unknown(Range<u64>),
}

impl Piece {
    /// What it is, by its header, or by the file meta information behind one that cannot be read.
    pub(super) fn holds(&self, bytes: &PackBytes) -> Holds {
        let instance = match self {
            Self::Entry { header, .. } if header.is_record() => return Holds::Record(header.name.clone()),
            Self::Entry { header, .. } => match (header.instance(), header.aside()) {
                (Some(instance), Some(digest)) => return Holds::Aside(instance, digest.to_owned()),
                (instance, _) => instance,
            },
            Self::Unknown(range) => instance_in(bytes, range),
        };
        instance.map_or(Holds::Unknown, Holds::Instance)
    }

    /// The digest of the data set, where its header has one.
    pub(super) fn data_set(&self) -> Option<Digest> {
        match self {
            Self::Entry { header, .. } => header.outline.as_ref().map(|outline| outline.data_set),
            Self::Unknown(_) => None,
        }
    }

    pub(super) fn range(&self) -> Range<u64> {
        match self {
            Self::Entry { at, header } => *at..at.saturating_add(padded(header.size)),
            Self::Unknown(range) => range.clone(),
        }
    }
}

fn instance_in(bytes: &PackBytes, range: &Range<u64>) -> Option<SopInstanceUid> {
    let start = range.start + BLOCK;
    let length = usize::try_from(range.end.checked_sub(start)?.min(BEGINNING)).ok()?;
    let mut beginning = vec![0; length];
    bytes.read_legible_at(&mut beginning, start).ok()?;
    FileMeta::read(&beginning, false).ok().flatten()?.sop_instance
}

/// What lies in a part of a pack, in its order: entries as far as one follows the other, and from where none begins the
/// next one is looked for. Nothing is proven.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn pieces(bytes: &PackBytes, part: Range<u64>) -> io::Result<Vec<Piece>> {
    let (mut found, mut at) = (Vec::new(), part.start);
    let end = part.end.min(bytes.length()?);
    while at < end {
        if let Some(header) = header_at(bytes, at, end)? {
            let next = at.saturating_add(padded(header.size));
            found.push(Piece::Entry { at, header });
            at = next;
        } else {
            let next = next_header(bytes, at + BLOCK, end)?;
            found.push(Piece::Unknown(at..next));
            at = next;
        }
    }
    Ok(found)
}

fn header_at(bytes: &PackBytes, at: u64, end: u64) -> io::Result<Option<Entry>> {
    if at + BLOCK > end {
        return Ok(None);
    }
    let mut block = [0; BLOCK_BYTES];
    bytes.read_legible_at(&mut block, at)?;
    Ok(Entry::read(&block))
}

/// Where the next header stands, or the end.
fn next_header(bytes: &PackBytes, start: u64, end: u64) -> io::Result<u64> {
    let mut window = vec![0; usize::try_from(end.saturating_sub(start).min(WINDOW)).unwrap_or_default()];
    let mut at = start;
    while at + BLOCK <= end {
        let want = (end - at).min(WINDOW) / BLOCK * BLOCK;
        let part = window.get_mut(..usize::try_from(want).unwrap_or_default()).unwrap_or_default();
        bytes.read_legible_at(part, at)?;
        let mut blocks = (at..).step_by(BLOCK_BYTES).zip(part.chunks_exact(BLOCK_BYTES));
        if let Some((place, _)) = blocks.find(|(_, block)| Entry::read(block).is_some()) {
            return Ok(place);
        }
        at += want;
    }
    Ok(end)
}

/// What is to be told of a part of a pack in which nothing is whole.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn damaged(bytes: &PackBytes, pack: PackId, part: Range<u64>) -> io::Result<Vec<DamagedStretch>> {
    let length = bytes.length()?;
    let told = |piece: Piece| {
        let range = piece.range();
        let reason = match bytes.first_lost(range.start..range.end.min(part.end))? {
            Some(lost) => lost.to_string(),
            None if range.end > length => "the pack ends before it does".to_owned(),
            None => match piece {
                Piece::Entry { .. } => "its bytes are not those that came".to_owned(),
                Piece::Unknown(_) => "no entry begins here".to_owned(),
            },
        };
        Ok(DamagedStretch { pack, range, holds: piece.holds(bytes), reason })
    };
    let mut found = pieces(bytes, part.clone())?;
    // The end of a tar file, and what was allocated ahead.
    if let Some(Piece::Unknown(last)) = found.last()
        && last.end == length
        && bytes.unless_lost(is_zero(bytes, last.clone()))? == Some(true)
    {
        found.pop();
    }
    found.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::super::disk::Disk;
    use super::*;

    #[test]
    fn what_lies_behind_a_header_that_cannot_be_read_is_found() {
        let entry = |name: &str, size: usize| {
            let mut bytes = Entry::header(name, size as u64, &[7; 32], 0).unwrap().to_vec();
            bytes.resize(512 + size.next_multiple_of(512), 5);
            bytes
        };
        let mut broken = entry("filmless/1.json", 700);
        broken[0] ^= 1;
        let pack = [entry("1/2/3.dcm", 1500), broken, entry("filmless/2.json", 10)].concat();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1.tar");
        std::fs::write(&file, &pack).unwrap();
        let bytes = PackBytes::new(Arc::new(std::fs::File::open(&file).unwrap()), &Disk::default());
        let told = |part| {
            damaged(&bytes, PackId(1), part).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told(0..u64::MAX),
            [
                "pack 000000000001, bytes 0 to 2048: instance 3 is damaged (its bytes are not those that came); send it again",
                "pack 000000000001, bytes 2048 to 3584: no entry begins here",
                "pack 000000000001, bytes 3584 to 4608: filmless/2.json, a record of what was done to the archive, is damaged (its bytes are not those that came)",
            ]
        );
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(1000).unwrap();
        assert_eq!(
            told(0..1000),
            [
                "pack 000000000001, bytes 0 to 2048: instance 3 is damaged (the pack ends before it does); send it again"
            ]
        );
    }
}
