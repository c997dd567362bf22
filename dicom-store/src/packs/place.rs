//! An instance that is being read: found again when its pack was rewritten meanwhile.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use tracing::error;

use super::Packs;
use super::entry::{BLOCK, Entry};
use super::file_part::FilePart;
use crate::index::{Damage, EntryRow, Index, Known};
use crate::model::{Instance, Location, SopInstanceUid};
use crate::{Error, ErrorKind, Result};

/// Where the bytes of one instance lie, as far as is known.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    packs: Arc<Packs>,
    index: Arc<dyn Index>,
    uid: SopInstanceUid,
    location: Location,
    /// The entry's header was read, and names this instance.
    is_proved: bool,
}

/// What begins within so many bytes of a file is read with all that is before it.
const NEAR: u64 = 64 << 10;

impl Place {
    pub(crate) fn new(packs: &Arc<Packs>, index: &Arc<dyn Index>, instance: &Instance) -> Self {
        Self {
            packs: packs.clone(),
            index: index.clone(),
            uid: instance.sop_instance.clone(),
            location: instance.location,
            is_proved: false,
        }
    }

    pub(crate) fn location(&self) -> Location {
        self.location
    }

    /// A range of the Part 10 file. Waits while too much is on its way out.
    ///
    /// # Errors
    /// As [`Place::read_into`]; `Unavailable` when there is no room for it in time.
    pub(crate) async fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        let room = self.packs.serving.take(range.end.saturating_sub(range.start)).await?;
        Ok(room.hold(self.read_into(range).await?))
    }

    /// The same into memory that has been taken for it. A pack is only removed once the index says where its
    /// instances are now, so one that is not there is asked for at its new place. What begins near the beginning of
    /// the file is read with the entry's header before it, which has to name this instance: nothing is given out
    /// from a wrong place.
    ///
    /// # Errors
    /// `NotFound` when the instance has been destroyed; `Corrupt` when something else lies there, and the instance is
    /// hidden until it comes again.
    pub(crate) async fn read_into(&mut self, range: Range<u64>) -> Result<Bytes> {
        let is_with_header = !self.is_proved && range.start <= NEAR;
        loop {
            let place = self.location;
            let first =
                if is_with_header { place.offset.saturating_sub(BLOCK) } else { place.offset + range.start };
            let bytes = match self.packs.read(place.pack, first..place.offset + range.end).await {
                Err(error) if error.kind == ErrorKind::NotFound => {
                    Box::pin(self.find_again(error)).await?;
                    continue;
                }
                result => result?,
            };
            if !is_with_header {
                return Ok(bytes);
            }
            let is_it = |entry: Entry| entry.is_of(&self.uid) && entry.size == place.length;
            if Entry::read(&bytes).is_some_and(is_it) {
                self.is_proved = true;
                let start = usize::try_from(place.offset - first + range.start).unwrap_or(usize::MAX);
                return Ok(bytes.slice(start.min(bytes.len())..));
            }
            Box::pin(self.is_elsewhere(place)).await?;
        }
    }

    /// Where a range of the Part 10 file lies in a file of this machine; its entry's header has named the instance.
    /// `None` where it is none, is not in the memory of the system, or anything is not as it should be: whoever reads it
    /// finds it again, or meets what is wrong.
    pub(crate) async fn in_file(&self, range: Range<u64>) -> Result<Option<FilePart>> {
        let Location { pack, offset, length } = self.location;
        let Some(file) = self.packs.handle(pack).await? else { return Ok(None) };
        let start = offset.saturating_sub(BLOCK);
        let Some(mut part) = FilePart::at_hand(&self.packs, &file, start..offset + range.end) else {
            return Ok(None);
        };
        let header = self.packs.buffers.read(&file, start..offset).await?;
        let is_it = |entry: Entry| entry.is_of(&self.uid) && entry.size == length;
        if range.is_empty() || range.end > length || !Entry::read(&header).is_some_and(is_it) {
            return Ok(None);
        }
        part.split_to(usize::try_from(BLOCK + range.start).unwrap_or(usize::MAX));
        Ok(Some(part))
    }

    /// Something else lies where the index said: it says another place now, or the instance is hidden.
    async fn is_elsewhere(&mut self, place: Location) -> Result<()> {
        let entries = self.index.pack_entries_of(std::slice::from_ref(&self.uid)).await?;
        let mut instances = entries.iter().filter(|entry| matches!(entry.row, EntryRow::Instance(_)));
        match instances.next() {
            Some(entry) if entry.location == place => {
                error!(pack = %place.pack, offset = place.offset, instance = %self.uid, "an instance is not where the index says and is not given out any more; send it again");
                let found = Damage::found(entry.row, "something else lies where the index says");
                self.index.damaged(&[found]).await?;
                Err(Error::corrupt(format!("instance {} is damaged", self.uid)))
            }
            Some(entry) => {
                self.location = entry.location;
                Ok(())
            }
            None => Err(Error::not_found(format!("instance {} is not in the archive any more", self.uid))),
        }
    }

    async fn find_again(&mut self, error: Error) -> Result<()> {
        match known(self.index.clone(), self.uid.clone()).await? {
            Some(known) if known.instance.location != self.location => {
                self.location = known.instance.location;
                Ok(())
            }
            Some(_) => {
                let what = format!("pack {} cannot be found", self.location.pack);
                Err(Error::new(ErrorKind::Unavailable, what).with_source(error))
            }
            None => Err(Error::not_found(format!("instance {} is not in the archive any more", self.uid))),
        }
    }
}

/// What the index knows of one instance; asking may block the thread.
pub(crate) async fn known(index: Arc<dyn Index>, uid: SopInstanceUid) -> Result<Option<Known>> {
    let runtime = Handle::current();
    let asked = tokio::task::spawn_blocking(move || runtime.block_on(index.known(&[&uid])));
    let known =
        asked.await.map_err(|cause| Error::internal("the index did not answer").with_source(cause))?;
    Ok(known?.pop())
}
