//! What the index knows of packs.

use super::NewInstance;
use crate::model::{Location, PackId, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::packs::entry::Digest;

/// A pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackRow {
    pub pack: PackId,
    pub stage: Stage,
    /// Where its last entry ends.
    pub mark: u64,
    /// Bytes in it that nothing refers to any more.
    pub dead: u64,
    /// When each entry was last compared with its digest, in milliseconds since 1970; 0 for never.
    pub verified: u64,
}

/// Where a pack is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Instances are read from it.
    InUse,
    /// It is written from others, and takes their place once it is whole.
    InTheMaking,
    /// Others have taken its place, and it is to be removed.
    Retired,
    /// It is removed; remembered as the last of its node, so that its number is not given again.
    Gone,
}

/// Which row an entry of a pack belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryRow {
    Instance(i64),
    /// One that was kept aside under a UID that is taken.
    Conflict(i64),
}

/// An instance in a pack, shown or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    pub row: EntryRow,
    pub location: Location,
    pub data_set: u64,
    pub digest: Digest,
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub sop_instance: SopInstanceUid,
    /// When it came, in milliseconds since 1970.
    pub received: u64,
    pub is_damaged: bool,
}

/// A copy of an instance in a pack that nothing refers to any more, if anything of it can be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadCopy {
    pub instance: SopInstanceUid,
    pub location: Location,
    /// It is known to be the same data set as what the index has elsewhere. Otherwise its pack is rewritten for it only when
    /// its instance is destroyed.
    pub is_same: bool,
}

impl DeadCopy {
    /// Where one came that was there already.
    pub(super) fn of(new: &NewInstance) -> Self {
        Self { instance: new.sop_instance.clone(), location: new.location, is_same: true }
    }
}

/// Packs that one other takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    pub inputs: Vec<PackId>,
    /// The other, where anything is left, and where its last entry ends.
    pub output: Option<(PackId, u64)>,
    /// Where entries were and their new offset in the output.
    pub moves: Vec<(PackId, u64, u64)>,
    /// What is not in the output, and is forgotten.
    pub dropped: Vec<EntryRow>,
}
