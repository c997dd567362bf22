//! What the index is told of damage, and tells.

use serde::{Deserialize, Serialize};

use super::{EntryRow, PackEntry, act_time};
use crate::hex::hex;
use crate::model::{Location, PackId, Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use crate::packs::entry::Digest;
use crate::register::Entry;
use crate::{Error, Result};

/// An entry whose bytes are not what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub row: EntryRow,
    /// When it was found, in milliseconds since 1970.
    pub since: u64,
    pub reason: String,
}

impl Damage {
    /// What was found now.
    pub(crate) fn found(row: EntryRow, reason: impl Into<String>) -> Self {
        Self { row, since: act_time(), reason: reason.into() }
    }
}

/// A pack that was compared with its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub pack: PackId,
    /// When, in milliseconds since 1970.
    pub at: u64,
    pub damaged: Vec<Damage>,
    /// What was found damaged before, and is what came.
    pub sound: Vec<EntryRow>,
}

impl Compared {
    /// A pack that was compared now.
    pub(crate) fn now(pack: PackId, damaged: Vec<Damage>, sound: Vec<EntryRow>) -> Self {
        Self { pack, at: act_time(), damaged, sound }
    }
}

/// Which damaged instances are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageQuery {
    /// `None` for all.
    pub of: Option<Resource>,
    /// Before this [`DamagedInstance::place`]; `None` for the newest.
    pub before: Option<u64>,
    pub limit: u32,
}

/// An instance that is not given out because its bytes are not what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedInstance {
    /// Counted up in the order in which instances were stored.
    pub place: u64,
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub instance: SopInstanceUid,
    pub pack: PackId,
    /// When it was found, in milliseconds since 1970; `None` for what an older version has found.
    pub since: Option<u64>,
    /// What is wrong with it; empty for what an older version has found.
    pub reason: String,
}

/// What an index knew of an instance that is damaged, for the one that is made anew in its place: a line of the register
/// by its UID, until all packs are read. Their reading would not find it, since no pixels are looked at.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownDamage {
    pack: u64,
    offset: u64,
    /// Hexadecimal.
    digest: String,
    since: u64,
    reason: String,
}

impl KnownDamage {
    pub(crate) const KIND: &str = "known-damage";

    pub(super) fn new(location: Location, digest: &Digest, since: u64, reason: &str) -> Self {
        let (pack, offset, digest) = (location.pack.0, location.offset, hex(digest));
        Self { pack, offset, digest, since, reason: reason.to_owned() }
    }

    /// # Errors
    /// `Internal` when it cannot be written as JSON.
    pub(super) fn line(&self, instance: &str) -> Result<Entry> {
        let body = serde_json::to_string(self)
            .map_err(|cause| Error::internal("what is damaged cannot be noted").with_source(cause))?;
        Ok(Entry::new(Self::KIND, instance, body))
    }

    /// What holds of the instance that the index has now: nothing when it lies elsewhere, or is another data set.
    pub(crate) fn of(&self, entry: &PackEntry) -> Option<Damage> {
        let Location { pack, offset, .. } = entry.location;
        let is_it = matches!(entry.row, EntryRow::Instance(_))
            && (pack.0, offset) == (self.pack, self.offset)
            && hex(&entry.digest) == self.digest;
        is_it.then(|| Damage { row: entry.row, since: self.since, reason: self.reason.clone() })
    }
}
