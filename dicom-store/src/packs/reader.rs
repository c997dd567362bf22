//! The instances and acts in a pack, read from its entries.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::{DamagedStretch, damaged};
use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, padded};
use super::file::FileSource;
use super::pack_bytes::PackBytes;
use super::stretch::Stretch;
use super::tail::{is_tear, next_data};
use crate::index::NewInstance;
use crate::ingest::{Reading, Sources};
use crate::ledger;
use crate::model::{FileMeta, Location, PackId, Source};
use crate::{Error, Result};

/// Instances that are read before the index takes them.
const BATCH: usize = 256;
const BUFFER: usize = 1 << 20;
/// Bytes of an act, at the most: it may name a hundred thousand instances.
const MAX_ACT: usize = 64 << 20;

pub(super) struct PackReader {
    pub(super) pack: PackId,
    pub(super) bytes: PackBytes,
    pub(super) length: u64,
    pub(super) sources: Arc<Sources>,
    /// It is an object: no crash has torn it, and all of it is compared with its digests by and by. Of a large
    /// instance no more is read than the index keeps.
    pub(super) is_sealed: bool,
}

/// What an entry holds.
pub(super) enum Content {
    Instance(Box<NewInstance>),
    Act(ledger::Entry),
    /// It is whole and cannot be read any more.
    Unreadable(Error),
}

/// Some of what a pack holds, in its order.
#[derive(Default)]
pub(super) struct Part {
    pub(super) instances: Vec<NewInstance>,
    pub(super) acts: Vec<ledger::Entry>,
    /// Where no whole entry begins, with a whole one behind.
    pub(super) gaps: Vec<Gap>,
    /// Whole entries that cannot be read as an instance, by their offset.
    pub(super) unreadable: Vec<(u64, Error)>,
    /// Behind the last whole entry of this part.
    pub(super) end: u64,
}

pub(super) struct Gap {
    pub(super) range: Range<u64>,
    pub(super) is_tear: bool,
    /// What lies there.
    pub(super) damaged: Vec<DamagedStretch>,
}

impl Part {
    /// Adds the entry that comes next. One that cannot be read any more is kept and told; it must not stop the archive.
    pub(super) fn add(&mut self, location: Location, content: Content) {
        match content {
            Content::Instance(new) => self.instances.push(NewInstance { location, ..*new }),
            Content::Act(act) => self.acts.push(act),
            Content::Unreadable(cause) => self.unreadable.push((location.offset, cause)),
        }
        self.end = location.offset - BLOCK + padded(location.length);
    }
}

impl PackReader {
    /// Some entries at once, where they are as they were written.
    pub(super) fn stretch(&self, start: u64) -> io::Result<Option<Stretch>> {
        Stretch::read(&self.bytes, start, self.length, self.is_sealed)
    }

    pub(super) fn location(&self, offset: u64, entry: &Entry) -> Location {
        Location { pack: self.pack, offset, length: entry.size }
    }

    /// Reads on from `start`; what it gives ends there when no whole entry is left.
    pub(super) fn read(&self, start: u64) -> Result<Part> {
        let mut part = Part { end: start, ..Part::default() };
        while part.instances.len() + part.acts.len() < BATCH {
            let (location, content) = match self.entry_at(part.end)? {
                Some(whole) => whole,
                None => match self.next_whole(part.end)? {
                    Some((location, content)) => {
                        let range = part.end..location.offset - BLOCK;
                        let is_tear = is_tear(&self.bytes, range.start, range.end)?;
                        let damaged = damaged(&self.bytes, self.pack, range.clone())?;
                        part.gaps.push(Gap { range, is_tear, damaged });
                        (location, content)
                    }
                    None => break,
                },
            };
            part.add(location, content);
        }
        Ok(part)
    }

    /// The entry that begins here, when it proves that it is whole.
    fn entry_at(&self, at: u64) -> Result<Option<(Location, Content)>> {
        if at + BLOCK > self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        self.bytes.read_legible_at(&mut block, at)?;
        let Some(entry) = Entry::read(&block) else { return Ok(None) };
        if at.checked_add(padded(entry.size)).is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        let location = self.location(at + BLOCK, &entry);
        Ok(self.whole(&entry, location)?.map(|content| (location, content)))
    }

    /// The first whole entry behind a place where none begins: what lies between is damaged or torn. None
    /// behind the last one: what a crash tore off, and the zeros that were allocated ahead.
    fn next_whole(&self, start: u64) -> Result<Option<(Location, Content)>> {
        let mut window = vec![0; BUFFER];
        let mut at = start;
        while at + BLOCK <= self.length {
            match next_data(self.bytes.file(), at)? {
                // Steps stay those of the blocks from `start`.
                Some(data) => at += data.saturating_sub(at) / BLOCK * BLOCK,
                None => return Ok(None),
            }
            let want = usize::try_from(self.length - at).unwrap_or(BUFFER).min(BUFFER);
            let part = window.get_mut(..want).unwrap_or_default();
            self.bytes.read_legible_at(part, at)?;
            let candidates = (at..).step_by(BLOCK_BYTES).zip(part.chunks_exact(BLOCK_BYTES));
            for (place, _) in candidates.filter(|(_, block)| Entry::read(block).is_some()) {
                if let Some(found) = self.entry_at(place)? {
                    return Ok(Some(found));
                }
            }
            at += (want as u64 / BLOCK * BLOCK).max(BLOCK);
        }
        Ok(None)
    }

    /// What an entry holds of which these bytes are the first: an instance by no more than the index keeps of it,
    /// when that has the digest in the header. Whatever that is not true of is read whole.
    pub(super) fn begun(
        &self,
        entry: &Entry,
        location: Location,
        beginning: Bytes,
    ) -> Result<Option<Content>> {
        match self.outlined(entry, location, beginning) {
            Some(new) => Ok(Some(Content::Instance(Box::new(new)))),
            None => self.whole(entry, location),
        }
    }

    fn outlined(&self, entry: &Entry, location: Location, beginning: Bytes) -> Option<NewInstance> {
        let outline = entry.outline.as_ref()?;
        let meta = FileMeta::read(&beginning, false).ok().flatten()?;
        let mut source =
            FileSource::new(self.bytes.file(), location.offset, location.length).begun(beginning);
        let new = instance(entry, &mut source, &meta, outline.data_set, &self.sources).ok()?;
        outline.proves(&new.outline()).then_some(new)
    }

    /// What an entry holds, every byte of it read; `None` when they have not the digest that its header gives, or the disk
    /// has lost some of them.
    fn whole(&self, entry: &Entry, location: Location) -> Result<Option<Content>> {
        let end = location.offset + location.length;
        let mut hasher = blake3::Hasher::new();
        if ledger::is_act(&entry.name) {
            let is_read = self.hash(location.offset..end, &mut hasher)?;
            let is_whole = is_read && entry.proves(hasher.finalize().as_bytes());
            return Ok(is_whole.then(|| self.act(location).map_or_else(Content::Unreadable, Content::Act)));
        }
        let mut source = FileSource::new(self.bytes.file(), location.offset, location.length);
        let Some(head) = self.bytes.unless_lost(source.at(0, 128 * 1024))? else { return Ok(None) };
        let Ok(Some(meta)) = FileMeta::read(head, true) else { return Ok(None) };
        let data_set = location.offset + meta.data_set;
        if !self.hash(data_set..end, &mut hasher)? {
            return Ok(None);
        }
        let digest = *hasher.finalize().as_bytes();
        if !self.hash(location.offset..data_set, &mut hasher)? || !entry.proves(hasher.finalize().as_bytes())
        {
            return Ok(None);
        }
        Ok(Some(Content::of(instance(entry, &mut source, &meta, digest, &self.sources))))
    }

    /// Gives whether all could be read.
    fn hash(&self, range: Range<u64>, hasher: &mut blake3::Hasher) -> io::Result<bool> {
        let size = |left: u64| usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let mut buffer = vec![0; size(range.end.saturating_sub(range.start))];
        let mut at = range.start;
        while at < range.end {
            let part = buffer.get_mut(..size(range.end - at)).unwrap_or_default();
            let read = self.bytes.read_exact_at(part, at);
            if self.bytes.unless_lost(read)?.is_none() {
                return Ok(false);
            }
            hasher.update(part);
            at += part.len() as u64;
        }
        Ok(true)
    }

    fn act(&self, location: Location) -> Result<ledger::Entry> {
        let length = usize::try_from(location.length).ok().filter(|length| *length <= MAX_ACT);
        let mut json = vec![0; length.ok_or_else(|| Error::corrupt("an act is too long to be one"))?];
        self.bytes.read_exact_at(&mut json, location.offset)?;
        ledger::Entry::from_json(&json)
    }
}

impl Content {
    pub(super) fn of(read: Result<NewInstance>) -> Self {
        read.map_or_else(Self::Unreadable, |new| Self::Instance(Box::new(new)))
    }
}

/// What the index takes of an instance whose data set has this digest.
pub(super) fn instance(
    entry: &Entry,
    source: &mut dyn Source,
    meta: &FileMeta,
    digest: Digest,
    sources: &Sources,
) -> Result<NewInstance> {
    let sender = entry.sender.as_deref().unwrap_or_default();
    let reading = Reading::of_file(source, meta)?.sent_by(sender, sources)?;
    let is_conflict = entry.name.starts_with("conflict/");
    Ok(NewInstance { is_conflict, ..reading.into_new(digest, entry.seconds)? })
}
