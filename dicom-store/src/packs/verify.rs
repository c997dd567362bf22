//! Comparing what is kept with the digests of what came.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, warn};

use super::Packs;
use super::entry::{BLOCK, padded};
use super::local::{LocalPack, Pace, headers, is_record_right, is_right};
use crate::Result;
use crate::index::{EntryRow, Index, PackEntry};
use crate::model::{PackId, SopInstanceUid};

/// Entries that are asked for at a time.
const PAGE: u32 = 1000;

/// What was found in a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub instances: u64,
    /// Those whose bytes are not what came. They are not given out until they come again.
    pub damaged: Vec<SopInstanceUid>,
    /// Records of deletions and corrections that are damaged. The index has what they said.
    pub damaged_records: u64,
}

/// Reads a pack and compares each entry with its digest; remembers when, and what is damaged.
///
/// # Errors
/// `NotFound` when the pack has been removed meanwhile, `Unavailable`.
pub(crate) async fn verify(
    packs: &Packs,
    index: &Arc<dyn Index>,
    pack: PackId,
    mark: u64,
    pace: &mut Pace,
) -> Result<Verified> {
    let local = packs.local(pack).await?;
    let (mut verified, mut rows, mut at) = (Verified::default(), Vec::new(), 0);
    for entry in all_entries(index, pack).await? {
        let place = entry.location.offset - BLOCK;
        verified.damaged_records += damaged_records(&local, at, place, pace).await?;
        verified.instances += 1;
        if !is_right(&local.file, &entry, pace).await? {
            error!(pack = %pack, instance = %entry.sop_instance, "an instance is damaged and is not given out any more; send it again");
            rows.push(entry.row);
            verified.damaged.push(entry.sop_instance);
        }
        at = place + padded(entry.location.length);
    }
    verified.damaged_records += damaged_records(&local, at, mark, pace).await?;
    remember(index, pack, &rows).await?;
    Ok(verified)
}

pub(super) async fn remember(index: &Arc<dyn Index>, pack: PackId, damaged: &[EntryRow]) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    index.pack_verified(pack, u64::try_from(now).unwrap_or(u64::MAX), damaged).await
}

/// Everything that the index knows in a pack, in its order.
pub(super) async fn all_entries(index: &Arc<dyn Index>, pack: PackId) -> Result<Vec<PackEntry>> {
    let mut all: Vec<PackEntry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.location.offset);
        let page = index.pack_entries(pack, after, PAGE).await?;
        let is_last = u32::try_from(page.len()).unwrap_or(u32::MAX) < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

async fn damaged_records(local: &LocalPack, from: u64, to: u64, pace: &mut Pace) -> Result<u64> {
    let mut damaged = 0;
    for (at, header) in headers(&local.file, from..to).await? {
        if header.is_record() && !is_record_right(&local.file, at, &header, pace).await? {
            warn!(pack = %local.pack, offset = at, "a record of what was done to the archive is damaged");
            damaged += 1;
        }
    }
    Ok(damaged)
}
