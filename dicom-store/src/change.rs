//! The change feed: what has happened to the archive, in order.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

/// A place in the feed; 0 is before the first change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(pub i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// An instance became visible.
    Stored,
    /// Another instance came under a UID that was taken, and was kept aside.
    Conflict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub cursor: Cursor,
    pub kind: ChangeKind,
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub sop_instance: SopInstanceUid,
    /// When the instance came, in milliseconds since 1970. Long ago for one that was read from the packs again.
    pub received: u64,
}

/// Wakes whoever follows the feed. A hint: the feed itself is in the index.
#[derive(Debug, Clone)]
pub struct Changes {
    last: Arc<watch::Sender<Cursor>>,
}

impl Changes {
    pub(crate) fn new(last: Cursor) -> Self {
        Self { last: Arc::new(watch::Sender::new(last)) }
    }

    pub(crate) fn advance(&self, to: Cursor) {
        self.last.send_if_modified(|last| std::mem::replace(last, (*last).max(to)) < to);
    }

    /// The last change that is known of.
    pub fn last(&self) -> Cursor {
        *self.last.borrow()
    }

    /// Returns when there is a change behind `cursor`.
    pub async fn wait(&self, cursor: Cursor) {
        let mut seen = self.last.subscribe();
        // The sender lives as long as `self`, so this only ends with a change.
        let _ = seen.wait_for(|last| *last > cursor).await;
    }
}
