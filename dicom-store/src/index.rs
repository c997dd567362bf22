//! What is known of the instances, to be found and counted without opening one.
//!
//! The index follows the log: everything in it can be read from the packs again. A back end is
//! one implementation of [`Index`]; [`conformance`] is what all of them have to pass.

#[cfg(feature = "fixtures")]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a suite of tests"
)]
pub mod conformance;
mod level_rows;
mod sqlite;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::Result;
use crate::change::{Change, Cursor};
use crate::model::{
    FrameMap, Header, Instance, Location, PackId, Resource, SeriesInstanceUid, SopClassUid, SopInstanceUid,
    StudyInstanceUid, TransferSyntaxUid,
};
use crate::packs::entry::Digest;
use crate::query::{Query, Rows};
use crate::queue::{JobId, Lease, NewJob, QueueDepth};

pub use level_rows::LevelRows;
pub use sqlite::SqliteIndex;

/// How far the index has come in a pack: everything before `offset` is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub pack: PackId,
    pub offset: u64,
}

/// An instance on its way into the index.
#[derive(Debug, Clone)]
pub struct NewInstance {
    pub levels: LevelRows,
    /// [`Header::to_bytes`].
    pub header: Vec<u8>,
    /// [`FrameMap::to_bytes`].
    pub frame_map: Vec<u8>,
    pub frames: u32,
    pub number: Option<i64>,
    pub study: StudyInstanceUid,
    pub series: SeriesInstanceUid,
    pub sop_instance: SopInstanceUid,
    pub sop_class: SopClassUid,
    pub transfer_syntax: TransferSyntaxUid,
    pub location: Location,
    pub data_set: u64,
    /// BLAKE3 of the data set as it came.
    pub digest: Digest,
    /// AE title of the sender, or `web`, `import`.
    pub sender: String,
    /// Its UID is taken by another data set: kept, not shown.
    pub is_conflict: bool,
}

impl NewInstance {
    pub(crate) fn into_instance(self) -> Instance {
        Instance {
            study: self.study,
            series: self.series,
            sop_instance: self.sop_instance,
            sop_class: self.sop_class,
            transfer_syntax: self.transfer_syntax,
            number: self.number,
            frames: self.frames,
            location: self.location,
            data_set: self.data_set,
        }
    }
}

/// What stands under a UID.
#[derive(Debug, Clone)]
pub struct Known {
    pub instance: Instance,
    pub digest: Digest,
    /// Digests of the other data sets that came under it.
    pub conflicts: Vec<Digest>,
}

/// A page of headers and where the next one begins.
pub type HeaderPage = (Vec<(Instance, Header)>, Option<HeaderCursor>);

/// Behind which instance a page of headers begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderCursor(pub(crate) Vec<i64>);

/// One verb, one transaction. Errors are `Unavailable` when the back end cannot be reached or is
/// locked, `Corrupt` when it holds what cannot be read.
pub trait Index: fmt::Debug + Send + Sync + 'static {
    /// How far each pack has been read.
    fn marks(&self) -> BoxFuture<'_, Result<Vec<Mark>>>;

    /// Takes a group of instances, none of which it knows, and the marks behind them. Gives the
    /// place in the change feed behind the group.
    fn commit<'a>(&'a self, group: &'a [NewInstance], marks: &'a [Mark]) -> BoxFuture<'a, Result<Cursor>>;

    /// The same for what is read from the log again: what is known already is left as it is.
    fn commit_replayed<'a>(&'a self, group: &'a [NewInstance], mark: Mark) -> BoxFuture<'a, Result<()>>;

    /// When this returns, everything committed before survives a power cut.
    fn sync(&self) -> BoxFuture<'_, Result<()>>;

    fn known<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<Known>>>;

    /// The rows that match, in the order of the level, page and all.
    fn search<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Rows>>;

    /// How many match, whatever the page.
    fn count<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<u64>>;

    /// Instances of a resource by series and instance number; empty when it is unknown.
    fn instances<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<Instance>>>;

    /// Headers in the order of [`Index::instances`], up to `limit` of them behind `after`.
    fn headers<'a>(
        &'a self,
        of: &'a Resource,
        after: Option<HeaderCursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<HeaderPage>>;

    /// Header and frame map of one instance; `None` when it is unknown.
    fn header<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<(Header, FrameMap)>>>;

    /// The end of the change feed.
    fn last_change(&self) -> BoxFuture<'_, Result<Cursor>>;

    fn changes_after(&self, cursor: Cursor, limit: u32) -> BoxFuture<'_, Result<Vec<Change>>>;

    /// Where a follower of the feed has come to; the start, for one that is new.
    fn cursor_of<'a>(&'a self, consumer: &'a str) -> BoxFuture<'a, Result<Cursor>>;

    /// Moves a follower on and puts its jobs in the queue, both or neither.
    fn advance<'a>(&'a self, consumer: &'a str, to: Cursor, jobs: &'a [NewJob]) -> BoxFuture<'a, Result<()>>;

    /// Takes up to `limit` jobs that are due, of these kinds; they come back when the lease runs out.
    fn lease<'a>(
        &'a self,
        kinds: &'a [&'a str],
        limit: u32,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Vec<Lease>>>;

    /// The job is done and leaves the queue.
    fn complete(&self, job: JobId) -> BoxFuture<'_, Result<()>>;

    /// The job failed: it is due again after `retry_in`, or never, parked for somebody to look at.
    fn fail<'a>(
        &'a self,
        job: JobId,
        error: &'a str,
        retry_in: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>>;

    fn queue_depth(&self) -> BoxFuture<'_, Result<QueueDepth>>;

    /// Writes what is left and closes; nothing can be asked afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}
