//! The bytes of an instance that is arriving: in memory, or in a file of its own once it is large.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::Budget;
use crate::Result;
use crate::model::{PackId, Source};
use crate::objects::blocking;
use crate::packs::Packs;
use crate::packs::entry::BLOCK;
use crate::packs::file::check_reserve;

/// Bytes collected before they are written to the file.
const WRITE: usize = 1 << 20;
/// How often the free space is looked at.
const RESERVE_CHECK: u64 = 64 << 20;

/// The whole Part 10 file, as far as it has come.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) length: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory { parts: Vec<Bytes>, permits: Vec<OwnedSemaphorePermit> },
    File(Spool),
}

/// A pack of its own in the making: the tar header's block stays free until the name is known.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) pack: PackId,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    written: u64,
    checked: u64,
    reserve: u64,
    is_kept: bool,
}

impl Body {
    pub(super) fn new() -> Self {
        Self { length: 0, kind: Kind::Memory { parts: Vec::new(), permits: Vec::new() } }
    }

    /// Adds bytes; goes to a file past `inline` bytes or when the budget is spent.
    pub(super) async fn push(
        &mut self,
        bytes: Bytes,
        inline: u64,
        packs: &Packs,
        budget: &Budget,
        reserve: u64,
    ) -> Result<()> {
        self.length += bytes.len() as u64;
        if let Kind::Memory { parts, permits } = &mut self.kind {
            let permit = if self.length <= inline { budget.take(bytes.len()) } else { None };
            match permit {
                Some(permit) => {
                    permits.push(permit);
                    parts.push(bytes);
                    return Ok(());
                }
                None => {
                    let spool = Spool::create(packs, reserve, std::mem::take(parts)).await?;
                    self.kind = Kind::File(spool);
                }
            }
        }
        match &mut self.kind {
            Kind::File(spool) => spool.push(bytes).await,
            Kind::Memory { .. } => Ok(()),
        }
    }

    /// What it has become, complete; the permits hold the memory in the budget until they are dropped.
    pub(super) async fn finish(self) -> Result<Whole> {
        match self.kind {
            Kind::Memory { parts, permits } => Ok(Whole::Memory { parts, permits }),
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
    Memory { parts: Vec<Bytes>, permits: Vec<OwnedSemaphorePermit> },
    File(Spool),
}

impl Spool {
    async fn create(packs: &Packs, reserve: u64, parts: Vec<Bytes>) -> Result<Self> {
        let pack = packs.next_id();
        let path = packs.arriving_file(pack);
        let place = path.clone();
        let file =
            blocking(move || OpenOptions::new().read(true).write(true).create_new(true).open(place)).await?;
        let pending_bytes = parts.iter().map(Bytes::len).sum();
        Ok(Self {
            pack,
            file: Arc::new(file),
            path,
            pending: parts,
            pending_bytes,
            written: 0,
            checked: 0,
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
        let (file, at, reserve) = (self.file.clone(), BLOCK + self.written, self.reserve);
        let bytes = std::mem::take(&mut self.pending_bytes) as u64;
        let is_due = self.written + bytes >= self.checked;
        blocking(move || {
            if is_due {
                check_reserve(&file, bytes, reserve)?;
            }
            let mut place = at;
            for part in &parts {
                file.write_all_at(part, place)?;
                place += part.len() as u64;
            }
            Ok(())
        })
        .await?;
        self.written += bytes;
        if is_due {
            self.checked = self.written + RESERVE_CHECK;
        }
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
            let _ = std::fs::remove_file(&self.path);
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
