//! Whether one instance is still what came: its bytes are read again from where they are kept, past what is cached.

use std::fs::File;
use std::num::NonZeroU64;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use super::Packs;
use super::entry::{BLOCK, Entry};
use super::local::{Pace, fault};
use super::pack_bytes::PackBytes;
use crate::index::PackEntry;
use crate::model::Location;
use crate::objects::blocking;
use crate::{ErrorKind, Result};

/// Bytes that are fetched at a time from an object store.
const STEP: u64 = 4 << 20;

/// What is wrong with an instance: all its bytes, and what its entry says of it, are compared with what the index knows.
/// Holds one step of it.
///
/// # Errors
/// `NotFound` when its pack has been removed, `Unavailable` when it cannot be read now.
pub(crate) async fn what_is_wrong(packs: &Packs, entry: &PackEntry) -> Result<Option<String>> {
    match packs.handle(entry.location.pack).await? {
        Some(file) => {
            let (asked, place) = (Arc::clone(&file), entry.location);
            blocking(move || leave_cache(&asked, place)).await?;
            fault(&PackBytes::new(file, &packs.disk), entry, &mut Pace::new(None)).await
        }
        None => match is_right_far(packs, entry).await {
            Err(error) if error.kind == ErrorKind::Corrupt => Ok(Some(error.chain())),
            Ok(false) => Ok(Some("its bytes are not those that came".to_owned())),
            compared => compared.map(|_| None),
        },
    }
}

/// Asks the system to forget what it holds of these bytes, so that they are read from the disk. They have been synced;
/// a system that keeps them all the same gives what it would write.
fn leave_cache(file: &File, place: Location) -> std::io::Result<()> {
    let start = place.offset.saturating_sub(BLOCK);
    let length = NonZeroU64::new(place.offset + place.length - start);
    // It is advice: a file system that does not take it is read as it is.
    let _ = fadvise(file, start, length, Advice::DontNeed);
    Ok(())
}

async fn is_right_far(packs: &Packs, entry: &PackEntry) -> Result<bool> {
    let Location { pack, offset, length } = entry.location;
    let header = packs.objects.pack_range(pack, offset.saturating_sub(BLOCK)..offset).await?;
    let Some(header) = Entry::read(&header).filter(|header| header.size == length) else { return Ok(false) };
    let (data_set, end) = (offset + entry.data_set, offset + length);
    let mut hasher = blake3::Hasher::new();
    for range in [data_set..end, offset..data_set] {
        let mut at = range.start;
        while at < range.end {
            let next = range.end.min(at + STEP);
            hasher.update(&packs.objects.pack_range(pack, at..next).await?);
            at = next;
        }
        if range.end == end && *hasher.finalize().as_bytes() != entry.digest {
            return Ok(false);
        }
    }
    Ok(header.proves(hasher.finalize().as_bytes()))
}
