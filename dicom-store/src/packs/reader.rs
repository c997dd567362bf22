//! The instances and acts in a pack, read from its entries.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::entry::{BLOCK, BLOCK_BYTES, Entry, padded};
use super::file::FileSource;
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
    pub(super) file: Arc<File>,
    pub(super) length: u64,
    pub(super) sources: Arc<Sources>,
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
}

impl PackReader {
    /// Some entries at once, where they are as they were written.
    pub(super) fn stretch(&self, start: u64) -> std::io::Result<Option<Stretch>> {
        Stretch::read(self.pack, &self.file, start, self.length)
    }

    /// Reads on from `start`; what it gives ends there when no whole entry is left.
    pub(super) fn read(&self, start: u64) -> Result<Part> {
        let mut part = Part { end: start, ..Part::default() };
        while part.instances.len() + part.acts.len() < BATCH {
            let (entry, location) = match self.entry_at(part.end)? {
                Some(whole) => whole,
                None => match self.next_whole(part.end)? {
                    Some((entry, location)) => {
                        let range = part.end..location.offset - BLOCK;
                        let is_tear = is_tear(&self.file, range.start, range.end)?;
                        part.gaps.push(Gap { range, is_tear });
                        (entry, location)
                    }
                    None => break,
                },
            };
            // A whole entry that cannot be read any more is kept and told; it must not stop the archive.
            let read = if ledger::is_act(&entry.name) {
                self.act(location).map(|act| part.acts.push(act))
            } else {
                self.instance(&entry, location).map(|instance| part.instances.push(instance))
            };
            match read {
                Ok(()) => {}
                Err(cause) => part.unreadable.push((location.offset, cause)),
            }
            part.end = location.offset - BLOCK + padded(entry.size);
        }
        Ok(part)
    }

    /// The entry that begins here, when it proves that it is whole.
    fn entry_at(&self, at: u64) -> Result<Option<(Entry, Location)>> {
        if at + BLOCK > self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        self.file.read_exact_at(&mut block, at)?;
        let Some(entry) = Entry::read(&block) else { return Ok(None) };
        let location = Location { pack: self.pack, offset: at + BLOCK, length: entry.size };
        let is_inside = at.checked_add(padded(entry.size)).is_some_and(|end| end <= self.length);
        Ok((is_inside && self.is_whole(&entry, location)?).then_some((entry, location)))
    }

    /// The first whole entry behind a place where none begins: what lies between is damaged or torn. None
    /// behind the last one: what a crash tore off, and the zeros that were allocated ahead.
    fn next_whole(&self, start: u64) -> Result<Option<(Entry, Location)>> {
        let mut window = vec![0; BUFFER];
        let mut at = start;
        while at + BLOCK <= self.length {
            match next_data(&self.file, at)? {
                // Steps stay those of the blocks from `start`.
                Some(data) => at += data.saturating_sub(at) / BLOCK * BLOCK,
                None => return Ok(None),
            }
            let want = usize::try_from(self.length - at).unwrap_or(BUFFER).min(BUFFER);
            let part = window.get_mut(..want).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
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

    /// Whether the bytes have the digest that the header gives: the data set's bytes, then the head's.
    fn is_whole(&self, entry: &Entry, location: Location) -> Result<bool> {
        let mut hasher = blake3::Hasher::new();
        if ledger::is_act(&entry.name) {
            self.hash(location.offset, location.offset + location.length, &mut hasher)?;
            return Ok(entry.proves(hasher.finalize().as_bytes()));
        }
        let Ok(meta) = self.meta(location) else { return Ok(false) };
        self.hash(location.offset + meta.data_set, location.offset + location.length, &mut hasher)?;
        self.hash(location.offset, location.offset + meta.data_set, &mut hasher)?;
        Ok(entry.proves(hasher.finalize().as_bytes()))
    }

    fn hash(&self, mut at: u64, end: u64, hasher: &mut blake3::Hasher) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let part = buffer.get_mut(..want).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
            hasher.update(part);
            at += want as u64;
        }
        Ok(())
    }

    fn meta(&self, location: Location) -> Result<FileMeta> {
        let mut source = FileSource::new(&self.file, location.offset, location.length);
        let head = source.at(0, 128 * 1024)?;
        FileMeta::read(head, true)?.ok_or_else(|| Error::corrupt("an entry has no file meta information"))
    }

    fn act(&self, location: Location) -> Result<ledger::Entry> {
        let length = usize::try_from(location.length).ok().filter(|length| *length <= MAX_ACT);
        let mut json = vec![0; length.ok_or_else(|| Error::corrupt("an act is too long to be one"))?];
        self.file.read_exact_at(&mut json, location.offset)?;
        ledger::Entry::from_json(&json)
    }

    fn instance(&self, entry: &Entry, location: Location) -> Result<NewInstance> {
        let meta = self.meta(location)?;
        let mut source = FileSource::new(&self.file, location.offset, location.length);
        let sender = entry.sender.as_deref().unwrap_or_default();
        let reading = Reading::of_file(&mut source, &meta)?.sent_by(sender, &self.sources)?;
        let mut hasher = blake3::Hasher::new();
        self.hash(location.offset + meta.data_set, location.offset + location.length, &mut hasher)?;
        let mut new = reading.into_new(*hasher.finalize().as_bytes(), entry.seconds)?;
        new.location = location;
        new.is_conflict = entry.name.starts_with("conflict/");
        Ok(new)
    }
}
