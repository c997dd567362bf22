//! Comparing what is kept with the digests of what came.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tracing::error;

use super::Packs;
use super::damage::{DamagedStretch, Holds, Piece, dead_copy};
use super::entry::{BLOCK, Entry, padded};
use super::local::{LocalPack, Pace, fault, fault_of_record, pieces};
use super::replay::torn_to;
use super::tail::is_zero;
use crate::index::{Compared, Damage, DeadCopy, Index, PackEntry};
use crate::model::{PackId, SopInstanceUid};
use crate::objects::blocking;
use crate::{Error, ErrorKind, Result, ledger};

/// Entries that are asked for at a time.
const PAGE: u32 = 1000;

/// What was found in a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub instances: u64,
    /// Those whose bytes are not what came. They are not given out until they come again, or read right again.
    pub damaged: Vec<SopInstanceUid>,
    /// All that is damaged: these instances, records of deletions and corrections, and what belongs to nothing that the
    /// index knows.
    pub stretches: Vec<DamagedStretch>,
    /// The acts whose records are whole.
    pub(crate) acts: BTreeSet<u64>,
    /// It is not there, or cannot be read: whether it is damaged nobody knows, and it does not count as compared.
    pub is_unread: bool,
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
    // What is written to while it is read ends where the index knows it. Asked first: then all of a sealed one is known.
    let is_open = packs.log_file(pack).exists();
    let entries = all_entries(index, pack).await?;
    let local = match packs.local(pack).await {
        Ok(local) => local,
        // None of it can be read.
        Err(error) if error.kind == ErrorKind::Corrupt => {
            return lost(index, pack, mark, &entries, &error).await;
        }
        Err(error) => return Err(error),
    };
    let mut look = Look { index, local: &local, pace, verified: Verified::default(), dead: Vec::new() };
    let (mut damaged, mut sound, mut at) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let place = entry.location.offset - BLOCK;
        look.between(at..place).await?;
        look.verified.instances += 1;
        at = place + padded(entry.location.length);
        match fault(&local.bytes, &entry, look.pace).await? {
            Some(reason) => {
                error!(pack = %pack, instance = %entry.sop_instance, offset = place, reason, "an instance is damaged and is not given out any more; send it again");
                damaged.push(Damage::found(entry.row, reason.as_str()));
                look.verified.instance(pack, place..at, entry.sop_instance, reason);
            }
            None if entry.is_damaged => sound.push(entry.row),
            None => {}
        }
    }
    if is_open {
        look.between(at..mark).await?;
    } else {
        look.end(at).await?;
    }
    let Look { verified, dead, .. } = look;
    if !dead.is_empty() {
        index.dead_copies(&dead).await?;
    }
    index.pack_verified(&Compared::now(pack, damaged, sound)).await?;
    Ok(verified)
}

impl Verified {
    fn instance(&mut self, pack: PackId, range: Range<u64>, instance: SopInstanceUid, reason: String) {
        self.damaged.push(instance.clone());
        self.stretches.push(DamagedStretch { pack, range, holds: Holds::Instance(instance), reason });
    }
}

/// A pack of which nothing can be read.
async fn lost(
    index: &Arc<dyn Index>,
    pack: PackId,
    mark: u64,
    entries: &[PackEntry],
    error: &Error,
) -> Result<Verified> {
    let reason = error.chain();
    error!(pack = %pack, reason, "a pack cannot be read; what it holds is not given out any more");
    let whole = DamagedStretch { pack, range: 0..mark, holds: Holds::Unknown, reason: reason.clone() };
    let mut verified = Verified { stretches: vec![whole], ..Verified::default() };
    for entry in entries {
        let place = entry.location.offset - BLOCK;
        let range = place..place + padded(entry.location.length);
        verified.instances += 1;
        verified.instance(pack, range, entry.sop_instance.clone(), reason.clone());
    }
    let damaged = entries.iter().map(|entry| Damage::found(entry.row, reason.as_str())).collect();
    index.pack_verified(&Compared::now(pack, damaged, Vec::new())).await?;
    Ok(verified)
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

/// Looks at what lies between the instances of a pack.
struct Look<'a> {
    index: &'a Arc<dyn Index>,
    local: &'a LocalPack,
    pace: &'a mut Pace,
    verified: Verified,
    dead: Vec<DeadCopy>,
}

impl Look<'_> {
    /// Records, which have to be whole; and what was instances once, of which the index has another copy now.
    async fn between(&mut self, part: Range<u64>) -> Result<()> {
        let found = pieces(&self.local.bytes, part).await?;
        self.look_at(found).await
    }

    async fn look_at(&mut self, found: Vec<Piece>) -> Result<()> {
        let mut torn = 0;
        for piece in found {
            let start = piece.range().start;
            if start < torn {
                continue;
            }
            let reason = match &piece {
                Piece::Entry { at, header } if header.is_record() => self.record(*at, header).await?,
                _ => Some("it belongs to nothing that the index knows".to_owned()),
            };
            let Some(reason) = reason else { continue };
            match torn_to(self.index, self.local.pack, start).await? {
                Some(to) => torn = to,
                None => self.add(piece, reason).await?,
            }
        }
        Ok(())
    }

    /// What is wrong with a record.
    async fn record(&mut self, at: u64, header: &Entry) -> Result<Option<String>> {
        let fault = fault_of_record(&self.local.bytes, at, header, self.pace).await?;
        if fault.is_none() {
            self.verified.acts.extend(ledger::number(&header.name));
        }
        Ok(fault)
    }

    /// What lies behind the last instance of a sealed pack: records, and then the end of a tar file.
    async fn end(&mut self, start: u64) -> Result<()> {
        let bytes = self.local.bytes.clone();
        let (length, behind) = blocking(move || {
            let length = bytes.length()?;
            Ok((length, start..length.max(start)))
        })
        .await?;
        let mut found = pieces(&self.local.bytes, behind).await?;
        if let Some(Piece::Unknown(last)) = found.last()
            && self.is_zero(last.clone()).await?
        {
            found.pop();
        }
        self.look_at(found).await?;
        let end = length.saturating_sub(2 * BLOCK)..length;
        if length < start + 2 * BLOCK || !self.is_zero(end).await? {
            let (pack, reason) = (self.local.pack, "the pack is cut off: the end of its tar file is missing");
            error!(pack = %pack, length, reason, "a pack is damaged");
            let (range, holds) = (length..length, Holds::Unknown);
            self.verified.stretches.push(DamagedStretch { pack, range, holds, reason: reason.to_owned() });
        }
        Ok(())
    }

    async fn is_zero(&self, part: Range<u64>) -> Result<bool> {
        let bytes = self.local.bytes.clone();
        blocking(move || Ok(bytes.unless_lost(is_zero(&bytes, part))?.unwrap_or(false))).await
    }

    async fn add(&mut self, piece: Piece, reason: String) -> Result<()> {
        let (bytes, pack, range) = (self.local.bytes.clone(), self.local.pack, piece.range());
        let data_set = piece.data_set();
        let (holds, lost) = blocking(move || {
            let lost = bytes.first_lost(piece.range().start..piece.range().end.min(bytes.length()?))?;
            Ok((piece.holds(&bytes), lost))
        })
        .await?;
        // It came again, or lies here twice, or was destroyed.
        if let Some(copy) = dead_copy(self.index, pack, &range, &holds, data_set.as_ref()).await? {
            self.dead.push(copy);
            return Ok(());
        }
        let reason = lost.map_or(reason, |lost| lost.to_string());
        error!(pack = %pack, offset = range.start, reason, "a part of a pack is damaged");
        self.verified.stretches.push(DamagedStretch { pack, range, holds, reason });
        Ok(())
    }
}
