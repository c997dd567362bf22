//! What is known of the instances, to be found and counted without opening one.
//!
//! The index follows the log: everything in it can be read from the packs again. A back end is
//! one implementation of [`Index`]; [`conformance`] is what all of them have to pass.

mod acts;
#[cfg(feature = "fixtures")]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a suite of tests"
)]
pub mod conformance;
mod damage;
mod described;
mod level_rows;
mod pack_rows;
mod person;
mod place;
mod postgres;
mod sql;
mod sqlite;
mod texts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::try_unfold;

use crate::change::{Change, Changes, Cursor};
use crate::ledger::Entry;
use crate::model::{
    Attributes, FrameMap, Header, Instance, Location, PackId, PatientKey, Resource, SeriesInstanceUid,
    SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use crate::node::{Joined, Joining};
use crate::packs::entry::Digest;
use crate::query::{Counted, Query, Row, Rows};
use crate::queue::{JobId, JobQuery, Lease, NewJob, Progress, QueueDepth, QueuedJob, Steering, Wanted};
use crate::register::{Entry as Registration, Registered};
use crate::{Error, ErrorKind, Result};

pub use acts::{AuditRow, Hidden, KeptAside, Recorded};
pub(crate) use acts::{act_time, known_acts};
pub(crate) use damage::KnownDamage;
pub use damage::{Compared, Damage, DamageQuery, DamagedInstance};
pub use described::Described;
pub use level_rows::LevelRows;
pub use pack_rows::{DeadCopy, EntryRow, PackEntry, PackRow, Replacement, Stage};
pub(crate) use place::IndexPlace;
pub use postgres::PostgresIndex;
pub use sqlite::SqliteIndex;
pub use texts::{StudyText, TextCount, TextQuery};

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
    pub header: Header,
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
    /// When it came, in milliseconds since 1970: whole seconds, as its pack says it.
    pub received: u64,
    /// Its UID is taken by another data set: kept, not shown.
    pub is_conflict: bool,
}

impl NewInstance {
    /// Digest of all that the index takes from the instance itself: the digest of its data set, in which encoding it
    /// is, its header, and where its large values and its frames lie. Whoever reads the same of a pack has read
    /// what was written, though the large values were not looked at.
    pub(crate) fn outline(&self) -> Digest {
        let (header, holes) = self.header.raw();
        let holes: Vec<u8> =
            holes.iter().flat_map(|hole| [hole.offset, hole.length]).flat_map(u64::to_le_bytes).collect();
        let syntax = self.transfer_syntax.as_str().as_bytes();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.digest).update(&self.data_set.to_le_bytes());
        for part in [syntax, header.as_ref(), &holes, &self.frame_map] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        *hasher.finalize().as_bytes()
    }

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
            correction: None,
        }
    }
}

/// What stands under a UID.
#[derive(Debug, Clone)]
pub struct Known {
    pub instance: Instance,
    pub digest: Digest,
    pub state: InstanceState,
    /// Digests of the other data sets that came under it.
    pub conflicts: Vec<Digest>,
}

/// Whether an instance is found and given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    Shown,
    Deleted,
    /// By a rejection note (IHE RAD TF-2 §4.66).
    Rejected,
    /// Its bytes in the pack are not those that came.
    Damaged,
}

impl Known {
    pub fn uid(&self) -> &SopInstanceUid {
        &self.instance.sop_instance
    }

    /// Whether this is the same instance: the same data set in the same series.
    pub fn is(&self, new: &NewInstance) -> bool {
        self.digest == new.digest && self.instance.study == new.study && self.instance.series == new.series
    }

    /// Whether this is the same instance, whose bytes were found damaged, come again.
    pub(crate) fn heals(&self, new: &NewInstance) -> bool {
        self.state == InstanceState::Damaged && self.is(new) && self.instance.location != new.location
    }

    /// What is known of one that has just come.
    pub(crate) fn of(new: &NewInstance) -> Self {
        Self {
            instance: new.clone().into_instance(),
            digest: new.digest,
            state: InstanceState::Shown,
            conflicts: Vec::new(),
        }
    }
}

/// What became of a group.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The place in the change feed behind the group.
    pub cursor: Cursor,
    /// One for each of the group, in its order.
    pub outcomes: Vec<Outcome>,
    /// There are acts, of whichever node: one of them may hide what is new.
    pub has_acts: bool,
}

/// What an instance was to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    New,
    /// The same, in a study that is another patient's than the one it names.
    Stranger,
    /// It was known, with the same data set.
    Same(Instance),
    /// Its UID is taken by another data set, if that is known; kept, not shown.
    Conflict {
        kept: Option<Instance>,
    },
}

/// Some of the rows of a search, and where the next ones begin.
#[derive(Debug)]
pub struct SearchPage {
    pub rows: Vec<Row>,
    /// `None` behind the last row.
    pub next: Option<SearchCursor>,
    /// The search ends here, and not because there is nothing more: [`Query::max_headers`] were looked at.
    pub is_cut: bool,
}

/// Behind which row a page of a search begins.
#[derive(Debug, Clone)]
pub struct SearchCursor(sql::search::Progress);

/// A page of headers and where the next one begins.
pub type HeaderPage = (Vec<(Instance, Header)>, Option<HeaderCursor>);

/// Behind which instance a page of headers begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderCursor(pub(crate) Vec<i64>);

/// Says whether a transaction may be committed; its error undoes it. May block the thread, and be asked again.
pub type Gate<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// The gate of what needs no more than its rows.
pub const OPEN: Gate<'static> = &|| Ok(());

/// One verb, one transaction. Errors are `Unavailable` when the back end cannot be reached or is
/// locked, `Corrupt` when it holds what cannot be read.
pub trait Index: fmt::Debug + Send + Sync + 'static {
    /// Makes the index that of an archive, at its first start.
    ///
    /// `Conflict` when it is another's.
    fn belongs_to<'a>(&'a self, archive: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Takes a node in.
    ///
    /// `Conflict` when it cannot work beside those that are there.
    fn join<'a>(&'a self, node: &'a Joining) -> BoxFuture<'a, Result<Joined>>;

    /// How far each pack has been read.
    fn marks(&self) -> BoxFuture<'_, Result<Vec<Mark>>>;

    /// Where the last instance ends that the index knows in a pack which was written to lately, with its padding;
    /// 0 when it knows of none there.
    fn furthest(&self, pack: PackId) -> BoxFuture<'_, Result<u64>>;

    /// Takes a group of instances and the marks behind them. Each is new, or known already and left as it is,
    /// or kept aside under a UID that is taken: this is where it is decided, one group at a time.
    ///
    /// The gate is asked when all rows are made and before anybody sees them.
    ///
    /// May block the thread: called on the log's own.
    fn commit<'a>(
        &'a self,
        group: &'a [NewInstance],
        marks: &'a [Mark],
        gate: Gate<'a>,
    ) -> BoxFuture<'a, Result<Committed>>;

    /// All that the packs hold is in the index: what is committed from now on comes for the first time.
    fn filled(&self) -> BoxFuture<'_, Result<()>>;

    /// What stands under these UIDs; one that is unknown is left out. May block the thread.
    fn known<'a>(&'a self, uids: &'a [&'a SopInstanceUid]) -> BoxFuture<'a, Result<Vec<Known>>>;

    /// When this returns, everything committed before survives a power cut.
    fn sync(&self) -> BoxFuture<'_, Result<()>>;

    /// The next rows that match, in the order of the level, offset and limit applied.
    fn search<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a SearchCursor>,
    ) -> BoxFuture<'a, Result<SearchPage>>;

    /// How many match behind the query's offset, up to its limit. With a limit it may be told that there are more
    /// than were found.
    fn count<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Counted>>;

    /// Instances of a resource by series and instance number; empty when it is unknown.
    fn instances<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<Instance>>>;

    /// Headers in the order of [`Index::instances`], up to `limit` of them behind `after`.
    fn headers<'a>(
        &'a self,
        of: &'a Resource,
        after: Option<HeaderCursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<HeaderPage>>;

    /// The instance at the end of a path, with its header and frame map; `None` when it is unknown, and for every other
    /// kind of resource.
    fn described<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Option<Described>>>;

    /// Header and frame map of one instance; `None` when it is unknown.
    fn header<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<(Header, FrameMap)>>>;

    /// The end of the change feed.
    fn last_change(&self) -> BoxFuture<'_, Result<Cursor>>;

    fn changes_after(&self, cursor: Cursor, limit: u32) -> BoxFuture<'_, Result<Vec<Change>>>;

    /// Where a follower of the feed has come to; the start, for one that is new.
    fn cursor_of<'a>(&'a self, consumer: &'a str) -> BoxFuture<'a, Result<Cursor>>;

    /// Moves a follower on and puts its jobs in the queue, both or neither. Neither, and `false`, when it is not
    /// at `from` any more: another node has moved it, and has put these jobs in the queue.
    fn advance<'a>(
        &'a self,
        consumer: &'a str,
        from: Cursor,
        to: Cursor,
        jobs: &'a [NewJob],
    ) -> BoxFuture<'a, Result<bool>>;

    /// Takes jobs that are due, those of the highest priority first; they come back when the lease runs out.
    fn lease<'a>(&'a self, wanted: Wanted<'a>, lease: Duration) -> BoxFuture<'a, Result<Vec<Lease>>>;

    /// Has a job that runs come back so much later from now, and not as it was leased first.
    fn renew<'a>(&'a self, job: JobId, lease: Duration) -> BoxFuture<'a, Result<()>>;

    /// The job is done and leaves the queue.
    fn complete(&self, job: JobId) -> BoxFuture<'_, Result<()>>;

    /// The job failed: it is due again after `retry_in`, or never, parked for somebody to look at.
    fn fail<'a>(
        &'a self,
        job: JobId,
        error: &'a str,
        retry_in: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Notes how far a job that runs is, where it says so; gives whether it is still wanted.
    fn still_wanted(&self, job: JobId, progress: Option<Progress>) -> BoxFuture<'_, Result<bool>>;

    fn jobs<'a>(&'a self, query: &'a JobQuery) -> BoxFuture<'a, Result<Vec<QueuedJob>>>;

    /// Does with a job what somebody wants, and writes the line of the audit that says who; gives whether it is there.
    fn steer<'a>(&'a self, job: JobId, steering: Steering, by: &'a AuditRow) -> BoxFuture<'a, Result<bool>>;

    fn queue_depth(&self) -> BoxFuture<'_, Result<QueueDepth>>;

    /// Whether a job waits to be run, now or later.
    fn is_job_waiting(&self) -> BoxFuture<'_, Result<bool>>;

    // Acts and the audit.

    /// A number for an act, which no other act has.
    fn next_act(&self) -> BoxFuture<'_, Result<u64>>;

    /// Takes an act from the log, with all that follows from it; one that is known already is left alone.
    fn act<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>>;

    fn act_of(&self, number: u64) -> BoxFuture<'_, Result<Option<Recorded>>>;

    /// The last acts before one of them, from the newest.
    fn acts(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Recorded>>>;

    /// What is deleted or rejected, of a resource or of all, from what was hidden last.
    fn hidden<'a>(&'a self, of: Option<&'a Resource>, limit: u32) -> BoxFuture<'a, Result<Vec<Hidden>>>;

    /// What came under UIDs that were taken, from the newest.
    fn kept_aside<'a>(
        &'a self,
        of: Option<&'a SopInstanceUid>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<KeptAside>>>;

    /// The UIDs and digests of all that came under a resource and lies aside, discarded or not.
    fn aside_in<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<(SopInstanceUid, String)>>>;

    /// Who a patient is after all merges, and what is told of them; `None` when nothing is known.
    fn patient<'a>(&'a self, key: &'a PatientKey) -> BoxFuture<'a, Result<Option<(PatientKey, Attributes)>>>;

    fn record<'a>(&'a self, row: &'a AuditRow) -> BoxFuture<'a, Result<()>>;

    /// The last rows of the audit before a place, from the newest, each with its place.
    fn audit(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<(u64, AuditRow)>>>;

    /// Tells of what other nodes put in the feed, as it happens, until the index is closed.
    fn follow(&self, changes: &Changes);

    // The register.

    /// Of a kind, those behind a name, in the order of names.
    fn registered<'a>(
        &'a self,
        kind: &'a str,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Registered>>>;

    fn registered_as<'a>(&'a self, kind: &'a str, name: &'a str)
    -> BoxFuture<'a, Result<Option<Registered>>>;

    /// Writes lines, and of the audit the one that says who did.
    fn register<'a>(
        &'a self,
        entries: &'a [Registration],
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Writes a line in the place of one that has been written so often, 0 for none; gives whether it was still so.
    fn register_if<'a>(
        &'a self,
        entry: &'a Registration,
        times: u64,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Removes a line; gives whether it was there.
    fn unregister<'a>(
        &'a self,
        kind: &'a str,
        name: &'a str,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>>;

    /// How the text of what is shown is read, by sender.
    fn text_counts(&self) -> BoxFuture<'_, Result<Vec<TextCount>>>;

    /// How that of single studies is, from the one that came last.
    fn text_of_studies<'a>(&'a self, query: &'a TextQuery) -> BoxFuture<'a, Result<Vec<StudyText>>>;

    // Packs through their life.

    /// Packs in ascending order, behind one of them.
    fn packs(&self, after: Option<PackId>, limit: u32) -> BoxFuture<'_, Result<Vec<PackRow>>>;

    /// What lies in a pack behind an offset, in its order, shown or not.
    fn pack_entries(&self, pack: PackId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>>;

    /// Everything that came under these UIDs, shown or not, with where it lies.
    fn pack_entries_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackEntry>>>;

    /// Of what is hidden, with where it lies, what is to leave the packs: what was destroyed, and what was deleted or,
    /// kept aside, discarded before a time in milliseconds since 1970.
    fn pack_entries_due(&self, deleted_before: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>>;

    /// Remembers a pack that is going to be written from others.
    fn begin_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>>;

    /// Puts one pack in the place of others; `Conflict`, with nothing changed, when they are not what they were.
    fn replace_packs<'a>(&'a self, by: &'a Replacement) -> BoxFuture<'a, Result<()>>;

    /// Forgets a pack that was removed; one in use is left as it is.
    fn forget_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>>;

    /// Remembers when a pack was compared with its digests, hides what is damaged, and shows what reads right again.
    fn pack_verified<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Result<()>>;

    /// Hides what is damaged.
    fn damaged<'a>(&'a self, found: &'a [Damage]) -> BoxFuture<'a, Result<()>>;

    /// What is damaged and would be shown otherwise, from what was stored last.
    fn all_damaged<'a>(&'a self, query: &'a DamageQuery) -> BoxFuture<'a, Result<Vec<DamagedInstance>>>;

    /// Notes copies in the packs that nothing refers to any more.
    fn dead_copies<'a>(&'a self, found: &'a [DeadCopy]) -> BoxFuture<'a, Result<()>>;

    /// The packs in which such copies of these lie.
    fn dead_copies_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackId>>>;

    /// The packs in which such copies lie that are to leave them: of what was destroyed, and what was noticed before a time
    /// in milliseconds since 1970.
    fn dead_copies_due(&self, noticed_before: u64) -> BoxFuture<'_, Result<Vec<PackId>>>;

    /// Whether an instance was destroyed last; or, by the beginning of its digest, a data set that was kept aside under it
    /// is not wanted.
    fn is_unwanted<'a>(
        &'a self,
        instance: &'a SopInstanceUid,
        aside: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Writes what is left and closes; nothing can be asked afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// All rows of a search, read page by page as they are taken.
pub(crate) fn rows_of(index: Arc<dyn Index>, query: Query) -> Rows {
    let pages = try_unfold((index, query, None, false), |(index, query, after, is_over)| async move {
        if is_over {
            return Ok::<_, Error>(None);
        }
        let SearchPage { rows, next, is_cut } = index.search(&query, after.as_ref()).await?;
        let is_over = next.is_none();
        let end = is_cut.then(|| Err(cut_short(&query)));
        let rows = futures_util::stream::iter(rows.into_iter().map(Ok).chain(end));
        Ok(Some((rows, (index, query, next, is_over))))
    });
    Rows::new(pages.try_flatten())
}

/// What a search that looked at as much as it may ends with.
fn cut_short(query: &Query) -> Error {
    let what = format!(
        "the search ended after {} headers or rows (store.search-headers): narrow it by what the index keeps, a date for example",
        query.max_headers
    );
    Error::new(ErrorKind::TooLarge, what)
}
