//! What the index tells of acts, of what they hide, and of what was kept aside.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Index, InstanceState};
use crate::Result;
use crate::ledger::Entry;
use crate::model::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

/// An act, and whether it is still in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub entry: Entry,
    /// The act that undid it.
    pub undone_by: Option<u64>,
}

/// An instance that is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub instance: SopInstanceUid,
    pub state: InstanceState,
    /// The last act that names it.
    pub act: u64,
}

/// A data set that came under a UID that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAside {
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub instance: SopInstanceUid,
    /// Hexadecimal; names it among all that came under the UID.
    pub digest: String,
    pub sender: String,
    /// Milliseconds since 1970.
    pub received: u64,
    pub length: u64,
    /// It has the study and series of the one that is shown, and could be shown instead.
    pub can_be_shown: bool,
}

/// One line of the audit: who did what, and what became of it. UIDs only, never who a patient is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Milliseconds since 1970.
    pub at: u64,
    pub actor: String,
    pub action: String,
    pub what: String,
    pub outcome: String,
}

impl AuditRow {
    /// A row of now.
    pub fn new(
        actor: impl Into<String>,
        action: impl Into<String>,
        what: impl Into<String>,
        outcome: impl Into<String>,
    ) -> Self {
        let (actor, action) = (actor.into(), action.into());
        Self { at: act_time(), actor, action, what: what.into(), outcome: outcome.into() }
    }
}

/// Acts that are asked for at a time.
const PAGE: u32 = 1000;

/// All acts that an index knows: their numbers and kinds.
pub(crate) async fn known_acts(index: &dyn Index) -> Result<BTreeMap<u64, String>> {
    let (mut all, mut before) = (BTreeMap::new(), None);
    loop {
        let page = index.acts(before, PAGE).await?;
        before = page.last().map(|last| last.entry.number);
        let is_last = u32::try_from(page.len()).unwrap_or(u32::MAX) < PAGE;
        all.extend(page.iter().map(|act| (act.entry.number, act.entry.act.kind().to_owned())));
        if is_last {
            return Ok(all);
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn act_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
