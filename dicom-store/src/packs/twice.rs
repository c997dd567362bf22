//! Instances that lie in the packs twice.
//!
//! What is there already is written again when it was found damaged, when nobody knows whether it was put, or when a
//! pack was rewritten and the old one is still there. An index that is made anew meets both, and knows neither which
//! one was damaged nor, where it read no more than the beginnings, that one was.

use std::sync::Arc;

use tracing::warn;

use super::Packs;
use super::local::{LocalPack, Pace, fault};
use super::taking::Taken;
use crate::index::{Damage, EntryRow, Index, NewInstance, OPEN, Outcome, PackEntry};
use crate::model::{Instance, PackId};
use crate::{ErrorKind, Result};

/// Compares what the index has with its digests where the same came from another place, and takes that in its stead
/// when it is damaged.
///
/// # Errors
/// `Unavailable` when packs or index cannot be reached.
pub(super) async fn settle(
    packs: &Packs,
    index: &Arc<dyn Index>,
    group: &[NewInstance],
    taken: &Taken,
) -> Result<()> {
    let mut local: Option<LocalPack> = None;
    for (new, outcome) in group.iter().zip(&taken.outcomes) {
        let Ok(Outcome::Same(known)) = outcome else { continue };
        if known.location == new.location {
            continue;
        }
        let Some(entry) = entry_of(index, known).await? else { continue };
        let fault = match opened(packs, &mut local, known.location.pack).await {
            Ok(pack) => fault(&pack.bytes, &entry, &mut Pace::new(None)).await?,
            Err(error) if error.kind == ErrorKind::Corrupt => Some(error.chain()),
            Err(error) => return Err(error),
        };
        let Some(reason) = fault else { continue };
        warn!(pack = %known.location.pack, instance = %new.sop_instance, reason, "an instance lies in the packs twice and is damaged in this one; the other is taken");
        index.damaged(&[Damage::found(entry.row, reason)]).await?;
        index.commit(std::slice::from_ref(new), &[], OPEN).await?;
    }
    Ok(())
}

/// What the index has of an instance, unless it was found damaged or has gone elsewhere meanwhile.
async fn entry_of(index: &Arc<dyn Index>, known: &Instance) -> Result<Option<PackEntry>> {
    let entries = index.pack_entries_of(std::slice::from_ref(&known.sop_instance)).await?;
    let is_it = |entry: &PackEntry| {
        matches!(entry.row, EntryRow::Instance(_)) && entry.location == known.location && !entry.is_damaged
    };
    Ok(entries.into_iter().find(is_it))
}

/// The pack of one instance, most likely that of the one before.
async fn opened<'a>(packs: &Packs, last: &'a mut Option<LocalPack>, pack: PackId) -> Result<&'a LocalPack> {
    let local = match last.take() {
        Some(local) if local.pack == pack => local,
        _other => packs.local(pack).await?,
    };
    Ok(last.insert(local))
}
