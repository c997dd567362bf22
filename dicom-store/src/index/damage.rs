//! What the index is told of damage, and tells.

use super::{EntryRow, act_time};
use crate::model::{PackId, Resource, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

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
