//! The bytes of an instance that is arriving: in memory, or in a file of its own once it is large.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::Budget;
use crate::Result;
use crate::model::{PackId, Source};
use crate::objects::blocking;
use crate::packs::Packs;
use crate::packs::disk::Disk;
use crate::packs::entry::BLOCK;
use crate::packs::file::check_reserve;

/// Bytes collected before they are written to the file.
const WRITE: usize = 1 << 20;

/// Fragments below this are joined, so that none costs more than the bytes that it brings.
const SMALL: usize = 4096;
/// How much is joined.
const JOINED: usize = 64 * 1024;

/// The whole Part 10 file, as far as it has come.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) length: u64,
    /// Small fragments that have come last.
    joined: BytesMut,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory(Kept),
    File(Spool),
}

/// Buffers, and their bytes in the budget.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) parts: Vec<Bytes>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Where a body goes when it does not stay in memory, and what decides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) packs: &'a Packs,
    pub(super) budget: &'a Budget,
    pub(super) inline: u64,
    pub(super) reserve: u64,
}

/// A pack of its own in the making: the tar header's block stays free until the name is known.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) pack: PackId,
    disk: Disk,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    written: u64,
    reserve: u64,
    is_kept: bool,
}

impl Body {
    pub(super) fn new() -> Self {
        Self { length: 0, joined: BytesMut::new(), kind: Kind::Memory(Kept::default()) }
    }

    /// Adds bytes; goes to a file past the size for memory or when the budget is spent.
    pub(super) async fn push(&mut self, bytes: Bytes, room: Room<'_>) -> Result<()> {
        self.length += bytes.len() as u64;
        if bytes.len() < SMALL {
            self.joined.extend_from_slice(&bytes);
            return if self.joined.len() < JOINED { Ok(()) } else { self.push_joined(room).await };
        }
        self.push_joined(room).await?;
        self.add(bytes, room).await
    }

    async fn push_joined(&mut self, room: Room<'_>) -> Result<()> {
        let joined = self.joined.split().freeze();
        if joined.is_empty() { Ok(()) } else { self.add(joined, room).await }
    }

    async fn add(&mut self, bytes: Bytes, room: Room<'_>) -> Result<()> {
        if let Kind::Memory(kept) = &mut self.kind {
            let permit = if self.length <= room.inline { room.budget.take(bytes.len()) } else { None };
            if let Some(permit) = permit {
                match &mut kept.permit {
                    Some(all) => all.merge(permit),
                    none => *none = Some(permit),
                }
                kept.parts.push(bytes);
                return Ok(());
            }
            let Kept { parts, permit: _given_back } = std::mem::take(kept);
            self.kind = Kind::File(Spool::create(room.packs, room.reserve, parts).await?);
        }
        match &mut self.kind {
            Kind::File(spool) => spool.push(bytes).await,
            Kind::Memory(_) => Ok(()),
        }
    }

    /// What it has become, complete; memory stays in the budget until it is dropped.
    pub(super) async fn finish(mut self, room: Room<'_>) -> Result<Whole> {
        self.push_joined(room).await?;
        match self.kind {
            Kind::Memory(kept) => Ok(Whole::Memory(kept)),
            Kind::File(mut spool) => {
                spool.flush().await?;
                Ok(Whole::File(spool))
            }
        }
    }
}

/// A complete instance, not yet in the log.
#[derive(Debug)]
pub(super) enum Whole {
    Memory(Kept),
    File(Spool),
}

impl Spool {
    async fn create(packs: &Packs, reserve: u64, parts: Vec<Bytes>) -> Result<Self> {
        let pack = packs.next_id_for_good().await?;
        let path = packs.arriving_file(pack);
        let place = path.clone();
        let disk = packs.disk.clone();
        let file = blocking(move || disk.create(&place)).await?;
        let pending_bytes = parts.iter().map(Bytes::len).sum();
        Ok(Self {
            pack,
            disk: packs.disk.clone(),
            file: Arc::new(file),
            path,
            pending: parts,
            pending_bytes,
            written: 0,
            reserve,
            is_kept: false,
        })
    }

    async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= WRITE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.pending);
        let (disk, file) = (self.disk.clone(), self.file.clone());
        let (at, reserve) = (BLOCK + self.written, self.reserve);
        let bytes = std::mem::take(&mut self.pending_bytes) as u64;
        blocking(move || {
            check_reserve(&file, bytes, reserve)?;
            disk.write(&file, at, &parts)
        })
        .await?;
        self.written += bytes;
        Ok(())
    }

    /// The file has become a pack and is not to be removed.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is removed at the next start.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// Buffers one after the other as a source to scan.
pub(super) struct Parts<'a> {
    parts: &'a [Bytes],
    starts: Vec<u64>,
    length: u64,
    joined: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(parts: &'a [Bytes]) -> Self {
        let mut length = 0;
        let starts = parts
            .iter()
            .map(|part| {
                let start = length;
                length += part.len() as u64;
                start
            })
            .collect();
        Self { parts, starts, length, joined: Vec::new() }
    }
}

impl Source for Parts<'_> {
    fn at(&mut self, offset: u64, want: usize) -> std::io::Result<&[u8]> {
        let first = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let within = |part: &Bytes, start: u64| {
            usize::try_from(offset - start).map_or(part.len(), |at| at.min(part.len()))
        };
        let (Some(part), Some(start)) = (self.parts.get(first), self.starts.get(first)) else {
            return Ok(&[]);
        };
        let at = within(part, *start);
        let is_last = first + 1 == self.parts.len();
        if part.len() - at >= want || is_last {
            return Ok(part.get(at..part.len().min(at + want)).unwrap_or_default());
        }
        self.joined.clear();
        self.joined.extend_from_slice(part.get(at..).unwrap_or_default());
        for part in self.parts.iter().skip(first + 1) {
            let missing = want - self.joined.len();
            if missing == 0 {
                break;
            }
            self.joined.extend_from_slice(part.get(..missing.min(part.len())).unwrap_or_default());
        }
        Ok(&self.joined)
    }

    fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_however_they_are_cut() {
        let whole: Vec<u8> = (0..=255).collect();
        for size in [1, 2, 7, 100, 256] {
            let parts: Vec<Bytes> = whole.chunks(size).map(Bytes::copy_from_slice).collect();
            let mut source = Parts::new(&parts);
            for offset in [0, 1, 6, 7, 99, 200, 255, 256, 300] {
                let end = whole.len().min(offset + 20);
                let expected = whole.get(offset..end).unwrap_or_default();
                assert_eq!(source.at(offset as u64, 20).unwrap(), expected, "{size} {offset}");
            }
        }
    }
}
