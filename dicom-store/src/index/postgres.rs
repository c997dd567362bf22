//! The index in PostgreSQL, for one node or several.
//!
//! A verb is one transaction, or one statement where that is all it is. What commits take their
//! order from, those of all nodes, is the row `writer`: it is locked first. So the change feed has
//! no gaps, and of two nodes with the same UID one comes second and sees the other's.

mod anew;
mod connection;
mod error;
mod nodes;
mod pool;
mod presence;
mod pulse;
mod schema;
mod writer;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub(crate) use anew::Renewed;
use connection::PostgresConnection;
use pool::{Begin, Pool};
use presence::Presence;
use pulse::{Limits, Pulse};
use writer::Writers;

use super::sql::{
    Connection as _, Statement, audit, commit, damaged, dead, hidden, identity, ledger, packs, quarantine,
    register, rows, search, texts, who, work,
};
use super::{
    AuditRow, Committed, Compared, Damage, DamageQuery, DamagedInstance, DeadCopy, Described, Gate,
    HeaderCursor, HeaderPage, Hidden, Index, KeptAside, Known, Mark, NewInstance, PackEntry, PackRow,
    Recorded, Replacement, SearchCursor, SearchPage, StudyText, TextCount, TextQuery,
};
use crate::Result;
use crate::change::{Change, Changes, Cursor};
use crate::ledger::Entry;
use crate::model::{Attributes, FrameMap, Header, Instance, PackId, PatientKey, Resource, SopInstanceUid};
use crate::node::{Joined, Joining};
use crate::query::{Counted, Query};
use crate::queue::{JobId, JobQuery, Lease, NewJob, Progress, QueueDepth, QueuedJob, Steering, Wanted};
use crate::register::{Entry as Registration, Registered};

/// Takes the order of the writers.
const LOCK_WRITER: &str = "SELECT epoch FROM writer FOR UPDATE";
/// The same for what writers may remember otherwise.
const LOCK_ANEW: &str = "UPDATE writer SET epoch = epoch + 1";

/// An index in one schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresIndex {
    pool: Pool,
    writers: Writers,
    presence: Presence,
}

impl PostgresIndex {
    /// Whether a URL can be one of a database.
    ///
    /// # Errors
    /// As [`PostgresIndex::open`].
    pub(crate) fn check(url: &str) -> Result<()> {
        connection::of(url, None).map(drop)
    }

    /// Connects, and makes the tables where they are missing. Several nodes may do so at once.
    ///
    /// # Errors
    /// `Invalid` for a URL that is none, `Unavailable` when the server cannot be reached, `Conflict`
    /// when a newer program has made the tables.
    pub async fn open(url: &str, password: Option<&str>) -> Result<Self> {
        Self::open_in(None, url, password).await
    }

    /// The same in this schema, where it is another than the one of the URL.
    ///
    /// # Errors
    /// As [`PostgresIndex::open`].
    pub(crate) async fn open_in(schema: Option<&str>, url: &str, password: Option<&str>) -> Result<Self> {
        let options = connection::of(url, password)?;
        let options = match schema {
            Some(schema) => connection::within(options, schema),
            None => options,
        };
        let pulse = Pulse::new(options.clone(), Limits::default());
        let mut first = PostgresConnection::open(&options, pulse.listening()).await?;
        schema::migrate(&mut first, schema::STEPS).await?;
        Ok(Self {
            pool: Pool::new(options, pulse, first),
            writers: Writers::default(),
            presence: Presence::default(),
        })
    }
}

impl Index for PostgresIndex {
    fn belongs_to<'a>(&'a self, archive: &'a str) -> BoxFuture<'a, Result<()>> {
        let archive = archive.to_owned();
        self.pool.write(async move |c| identity::belongs_to(c, &archive).await).boxed()
    }

    fn filled(&self) -> BoxFuture<'_, Result<()>> {
        self.pool.write(async |c| audit::filled(c).await).boxed()
    }

    fn join<'a>(&'a self, node: &'a Joining) -> BoxFuture<'a, Result<Joined>> {
        async {
            let joining = node.clone();
            let join = async move |c: &mut PostgresConnection| {
                c.run(LOCK_WRITER).await?;
                Ok((nodes::join(c, &joining).await?, nodes::schema(c).await?))
            };
            let (joined, schema) = self.pool.write(join).await?;
            self.presence.begin(self.pool.options(), joined.number, schema).await?;
            Ok(joined)
        }
        .boxed()
    }

    fn marks(&self) -> BoxFuture<'_, Result<Vec<Mark>>> {
        self.pool.one(async |c| commit::marks(c).await).boxed()
    }

    fn furthest(&self, pack: PackId) -> BoxFuture<'_, Result<u64>> {
        self.pool.one(async move |c| commit::furthest(c, pack).await).boxed()
    }

    fn commit<'a>(
        &'a self,
        group: &'a [NewInstance],
        marks: &'a [Mark],
        gate: Gate<'a>,
    ) -> BoxFuture<'a, Result<Committed>> {
        self.writers.commit(&self.pool, group, marks, gate).boxed()
    }

    fn known<'a>(&'a self, uids: &'a [&'a SopInstanceUid]) -> BoxFuture<'a, Result<Vec<Known>>> {
        let uids: Vec<SopInstanceUid> = uids.iter().map(|uid| (*uid).clone()).collect();
        self.pool.one(async move |c| rows::known(c, &uids.iter().collect::<Vec<_>>()).await).boxed()
    }

    /// A commit is durable when it is answered.
    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn search<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a SearchCursor>,
    ) -> BoxFuture<'a, Result<SearchPage>> {
        let (query, after) = (query.clone(), after.cloned());
        self.pool.read(Begin::Snapshot, async move |c| search::page(c, &query, after.as_ref()).await).boxed()
    }

    fn count<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Counted>> {
        let query = query.clone();
        self.pool.read(Begin::Snapshot, async move |c| search::count(c, &query).await).boxed()
    }

    fn instances<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<Instance>>> {
        let of = of.clone();
        self.pool.one(async move |c| rows::instances(c, &of).await).boxed()
    }

    fn headers<'a>(
        &'a self,
        of: &'a Resource,
        after: Option<HeaderCursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<HeaderPage>> {
        let of = of.clone();
        self.pool
            .read(Begin::Snapshot, async move |c| rows::headers(c, &of, after.as_ref(), limit).await)
            .boxed()
    }

    fn described<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Option<Described>>> {
        let of = of.clone();
        self.pool.one(async move |c| rows::described(c, &of).await).boxed()
    }

    fn header<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<(Header, FrameMap)>>> {
        let uid = uid.clone();
        self.pool.one(async move |c| rows::header(c, &uid).await).boxed()
    }

    fn last_change(&self) -> BoxFuture<'_, Result<Cursor>> {
        self.pool.one(async |c| nodes::last_change(c).await).boxed()
    }

    fn changes_after(&self, cursor: Cursor, limit: u32) -> BoxFuture<'_, Result<Vec<Change>>> {
        self.pool.one(async move |c| work::changes_after(c, cursor, limit).await).boxed()
    }

    fn cursor_of<'a>(&'a self, consumer: &'a str) -> BoxFuture<'a, Result<Cursor>> {
        let consumer = consumer.to_owned();
        self.pool.one(async move |c| work::cursor_of(c, &consumer).await).boxed()
    }

    fn advance<'a>(
        &'a self,
        consumer: &'a str,
        from: Cursor,
        to: Cursor,
        jobs: &'a [NewJob],
    ) -> BoxFuture<'a, Result<bool>> {
        let (consumer, jobs) = (consumer.to_owned(), jobs.to_vec());
        self.pool.write(async move |c| work::advance(c, &consumer, from, to, &jobs).await).boxed()
    }

    fn lease<'a>(&'a self, wanted: Wanted<'a>, lease: Duration) -> BoxFuture<'a, Result<Vec<Lease>>> {
        let kinds: Vec<String> = wanted.kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let (least, limit) = (wanted.least, wanted.limit);
        self.pool
            .write(async move |c| {
                let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
                work::lease(c, Wanted { kinds: &kinds, least, limit }, lease).await
            })
            .boxed()
    }

    fn renew<'a>(&'a self, job: JobId, lease: Duration) -> BoxFuture<'a, Result<()>> {
        self.pool.one(async move |c| work::renew(c, job, lease).await).boxed()
    }

    fn complete(&self, job: JobId) -> BoxFuture<'_, Result<()>> {
        self.pool.one(async move |c| work::complete(c, job).await).boxed()
    }

    fn fail<'a>(
        &'a self,
        job: JobId,
        error: &'a str,
        retry_in: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>> {
        let error = error.to_owned();
        self.pool.write(async move |c| work::fail(c, job, &error, retry_in).await).boxed()
    }

    fn still_wanted(&self, job: JobId, progress: Option<Progress>) -> BoxFuture<'_, Result<bool>> {
        self.pool.write(async move |c| work::still_wanted(c, job, progress).await).boxed()
    }

    fn jobs<'a>(&'a self, query: &'a JobQuery) -> BoxFuture<'a, Result<Vec<QueuedJob>>> {
        let query = query.clone();
        self.pool.one(async move |c| work::jobs(c, &query).await).boxed()
    }

    fn steer<'a>(&'a self, job: JobId, steering: Steering, by: &'a AuditRow) -> BoxFuture<'a, Result<bool>> {
        let by = by.clone();
        self.pool.write(async move |c| work::steer(c, job, steering, &by).await).boxed()
    }

    fn queue_depth(&self) -> BoxFuture<'_, Result<QueueDepth>> {
        self.pool.one(async |c| work::queue_depth(c).await).boxed()
    }

    fn is_job_waiting(&self) -> BoxFuture<'_, Result<bool>> {
        self.pool.one(async |c| work::is_job_waiting(c).await).boxed()
    }

    fn follow(&self, changes: &Changes) {
        self.presence.follow(&self.pool, changes);
    }

    fn next_act(&self) -> BoxFuture<'_, Result<u64>> {
        self.pool.one(async |c| ledger::next_number(c).await).boxed()
    }

    fn act<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        let entry = entry.clone();
        self.pool
            .write(async move |c| {
                c.run(LOCK_WRITER).await?;
                ledger::apply(c, &entry).await?;
                // It changes rows that the writers of all nodes remember.
                c.execute(Statement::new("UPDATE writer SET epoch = epoch + 1, acts = acts + 1"))
                    .await
                    .map(|_| ())
            })
            .boxed()
    }

    fn act_of(&self, number: u64) -> BoxFuture<'_, Result<Option<Recorded>>> {
        self.pool.one(async move |c| ledger::act(c, number).await).boxed()
    }

    fn acts(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Recorded>>> {
        self.pool.one(async move |c| ledger::acts(c, before, limit).await).boxed()
    }

    fn hidden<'a>(&'a self, of: Option<&'a Resource>, limit: u32) -> BoxFuture<'a, Result<Vec<Hidden>>> {
        let of = of.cloned();
        self.pool.one(async move |c| hidden::hidden(c, of.as_ref(), limit).await).boxed()
    }

    fn kept_aside<'a>(
        &'a self,
        of: Option<&'a SopInstanceUid>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<KeptAside>>> {
        let of = of.cloned();
        self.pool.one(async move |c| quarantine::kept_aside(c, of.as_ref(), limit).await).boxed()
    }

    fn aside_in<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<(SopInstanceUid, String)>>> {
        let of = of.clone();
        self.pool.one(async move |c| quarantine::aside_in(c, &of).await).boxed()
    }

    fn patient<'a>(&'a self, key: &'a PatientKey) -> BoxFuture<'a, Result<Option<(PatientKey, Attributes)>>> {
        let key = key.clone();
        self.pool.read(Begin::Snapshot, async move |c| who::patient(c, &key).await).boxed()
    }

    fn record<'a>(&'a self, row: &'a AuditRow) -> BoxFuture<'a, Result<()>> {
        let row = row.clone();
        self.pool.one(async move |c| audit::record(c, &row).await).boxed()
    }

    fn audit(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<(u64, AuditRow)>>> {
        self.pool.one(async move |c| audit::rows(c, before, limit).await).boxed()
    }

    fn registered<'a>(
        &'a self,
        kind: &'a str,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Registered>>> {
        let (kind, after) = (kind.to_owned(), after.to_owned());
        self.pool.one(async move |c| register::rows(c, &kind, &after, limit).await).boxed()
    }

    fn registered_as<'a>(
        &'a self,
        kind: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>>> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.pool.one(async move |c| register::row(c, &kind, &name).await).boxed()
    }

    fn register<'a>(
        &'a self,
        entries: &'a [Registration],
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<()>> {
        let (entries, by) = (entries.to_vec(), by.cloned());
        self.pool.write(async move |c| register::write(c, &entries, by.as_ref()).await).boxed()
    }

    fn register_if<'a>(
        &'a self,
        entry: &'a Registration,
        times: u64,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (entry, by) = (entry.clone(), by.cloned());
        self.pool.write(async move |c| register::write_if(c, &entry, times, by.as_ref()).await).boxed()
    }

    fn unregister<'a>(
        &'a self,
        kind: &'a str,
        name: &'a str,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (kind, name, by) = (kind.to_owned(), name.to_owned(), by.cloned());
        self.pool.write(async move |c| register::remove(c, &kind, &name, by.as_ref()).await).boxed()
    }

    fn text_counts(&self) -> BoxFuture<'_, Result<Vec<TextCount>>> {
        self.pool.one(async |c| texts::counts(c).await).boxed()
    }

    fn text_of_studies<'a>(&'a self, query: &'a TextQuery) -> BoxFuture<'a, Result<Vec<StudyText>>> {
        let query = query.clone();
        self.pool.one(async move |c| texts::studies(c, &query).await).boxed()
    }

    fn packs(&self, after: Option<PackId>, limit: u32) -> BoxFuture<'_, Result<Vec<PackRow>>> {
        self.pool.one(async move |c| packs::packs(c, after, limit).await).boxed()
    }

    fn pack_entries(&self, pack: PackId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>> {
        self.pool.one(async move |c| packs::entries(c, pack, after, limit).await).boxed()
    }

    fn pack_entries_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackEntry>>> {
        let uids = uids.to_vec();
        self.pool.read(Begin::Snapshot, async move |c| packs::entries_of(c, &uids).await).boxed()
    }

    fn pack_entries_due(&self, deleted_before: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>> {
        self.pool.one(async move |c| packs::entries_due(c, deleted_before, limit).await).boxed()
    }

    fn begin_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>> {
        self.pool.one(async move |c| packs::begin(c, pack).await).boxed()
    }

    fn replace_packs<'a>(&'a self, by: &'a Replacement) -> BoxFuture<'a, Result<()>> {
        let by = by.clone();
        self.pool
            .write(async move |c| {
                c.run(LOCK_ANEW).await?;
                packs::replace(c, &by).await
            })
            .boxed()
    }

    fn forget_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>> {
        self.pool.one(async move |c| packs::forget(c, pack).await).boxed()
    }

    fn pack_verified<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Result<()>> {
        let compared = compared.clone();
        self.pool
            .write(async move |c| {
                c.run(LOCK_ANEW).await?;
                packs::verified(c, &compared).await
            })
            .boxed()
    }

    fn damaged<'a>(&'a self, found: &'a [Damage]) -> BoxFuture<'a, Result<()>> {
        let found = found.to_vec();
        self.pool
            .write(async move |c| {
                c.run(LOCK_ANEW).await?;
                damaged::hide(c, &found).await
            })
            .boxed()
    }

    fn all_damaged<'a>(&'a self, query: &'a DamageQuery) -> BoxFuture<'a, Result<Vec<DamagedInstance>>> {
        let query = query.clone();
        self.pool.one(async move |c| damaged::damaged(c, &query).await).boxed()
    }

    fn dead_copies<'a>(&'a self, found: &'a [DeadCopy]) -> BoxFuture<'a, Result<()>> {
        let found = found.to_vec();
        self.pool.write(async move |c| dead::note(c, &found).await).boxed()
    }

    fn dead_copies_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackId>>> {
        let uids = uids.to_vec();
        self.pool.one(async move |c| dead::of(c, &uids).await).boxed()
    }

    fn dead_copies_due(&self, noticed_before: u64) -> BoxFuture<'_, Result<Vec<PackId>>> {
        self.pool.one(async move |c| dead::due(c, noticed_before).await).boxed()
    }

    fn is_unwanted<'a>(
        &'a self,
        instance: &'a SopInstanceUid,
        aside: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (instance, aside) = (instance.clone(), aside.map(str::to_owned));
        self.pool.one(async move |c| dead::is_unwanted(c, &instance, aside.as_deref()).await).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.presence.end();
            self.writers.end(&self.pool);
            self.pool.close().await;
        }
        .boxed()
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests;
