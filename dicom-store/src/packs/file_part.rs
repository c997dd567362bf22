//! Bytes on their way out that lie in a file of this machine: the system sends them out of its own memory, and they
//! never come into ours.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

use super::Packs;
use crate::Result;

/// Whether the system has a part of a file in memory is asked of one byte in so many: it reads and gives up more than
/// that at a time.
const ASKED: usize = 64 << 10;
/// Of a large object no more is asked for at once.
const BEGINNING: usize = 4 << 20;

/// A part of a pack that is a file of this machine. What lies there never changes.
#[derive(Debug, Clone)]
pub struct FilePart {
    packs: Arc<Packs>,
    file: Arc<File>,
    range: Range<u64>,
}

impl FilePart {
    /// `None` when its beginning is not in the memory of the system, or the file does not reach so far: then it is for a
    /// reader, who may wait for the disk and meets what is wrong.
    pub(super) fn at_hand(packs: &Arc<Packs>, file: &Arc<File>, range: Range<u64>) -> Option<Self> {
        let part = Self { packs: packs.clone(), file: file.clone(), range };
        let reaches = file.metadata().is_ok_and(|of| of.len() >= part.range.end);
        (reaches && part.clone().split_to(BEGINNING).is_at_hand()).then_some(part)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it lies in the file.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Takes the first bytes away, so many at the most, and gives them.
    pub fn split_to(&mut self, most: usize) -> Self {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let middle = self.range.end.min(self.range.start.saturating_add(most));
        let first = Self { range: self.range.start..middle, ..self.clone() };
        self.range.start = middle;
        first
    }

    /// Whether the system has it in memory, so that to send it waits for no disk. It may have given up some of it all the
    /// same.
    pub fn is_at_hand(&self) -> bool {
        let Some(last) = self.range.end.checked_sub(1) else { return true };
        let inner = self.range.clone().step_by(ASKED);
        inner.chain([last]).all(|at| {
            let mut byte = [0];
            // A file system that does not know of this has nothing in memory, as far as it tells.
            let read = preadv2(&*self.file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
            matches!(read, Ok(1))
        })
    }

    /// The same bytes in our memory. Waits for the disk, and while too much is on its way out.
    ///
    /// # Errors
    /// `Unavailable` when there is no room in time, and what the disk says.
    pub async fn read(&self) -> Result<Bytes> {
        let room = self.packs.serving.take(self.range.end.saturating_sub(self.range.start)).await?;
        Ok(room.hold(self.packs.buffers.read(&self.file, self.range.clone()).await?))
    }
}
