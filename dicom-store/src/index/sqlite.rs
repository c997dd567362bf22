//! The index in SQLite: one connection that writes, some that read (WAL).
//!
//! SQLite works where it is called. What is asked by the asynchronous parts of the server runs on
//! threads that may block, but for what is answered at once as a rule ([`near`]); [`Index::commit`] and [`Index::known`] are called on the log's own
//! threads and run there: a change of thread costs more than most statements.

mod checkpoint;
pub(super) mod connection;
mod near;
#[cfg(all(test, feature = "fixtures"))]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use checkpoint::Checkpointer;
use connection::SqliteConnection;
use near::Near;
use writer::Writer;

use super::sql::{
    audit, closed, commit, damaged, dead, hidden, identity, ledger, packs, quarantine, register, rows,
    search, texts, who, work,
};
use super::{
    AuditRow, Committed, Compared, Damage, DamageQuery, DamagedInstance, DeadCopy, Described, Gate,
    HeaderCursor, HeaderPage, Hidden, Index, KeptAside, Known, Mark, NewInstance, PackEntry, PackRow,
    Recorded, Replacement, SearchCursor, SearchPage, StudyText, TextCount, TextQuery,
};
use crate::change::{Change, Changes, Cursor};
use crate::ledger::Entry;
use crate::model::{Attributes, FrameMap, Header, Instance, PackId, PatientKey, Resource, SopInstanceUid};
use crate::node::{Joined, Joining};
use crate::query::{Counted, Query};
use crate::queue::{JobId, JobQuery, Lease, NewJob, Progress, QueueDepth, QueuedJob, Steering, Wanted};
use crate::register::{Entry as Registration, Registered};
use crate::{Error, Result};

/// Connections that read at a time.
const READERS: usize = 8;

/// An index in one SQLite file.
#[derive(Debug)]
pub struct SqliteIndex {
    file: PathBuf,
    writer: Arc<Mutex<Writer>>,
    readers: Arc<Mutex<Vec<SqliteConnection>>>,
    /// One permit for each connection that reads, open or not; closed with the index.
    reading: Arc<Semaphore>,
    near: Near,
}

/// The result of a future that waits for nothing, as those over SQLite do.
fn at_once<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    work.now_or_never().unwrap_or_else(|| Err(Error::internal("a statement of SQLite waited")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteIndex {
    /// Opens the file, made where it is missing.
    ///
    /// A commit is not synced by itself: what a power cut takes from the index is read from the log
    /// again. It cannot damage the file (WAL, `synchronous = NORMAL`).
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened, `Conflict` when another version has written it.
    pub async fn open(file: &Path) -> Result<Self> {
        let path = file.to_owned();
        let open = move || Ok((SqliteConnection::open(&path)?, Checkpointer::start(&path)?));
        let (connection, checkpointer) = blocking(open).await?;
        let writer = Writer { connection: Some(connection), memory: None, checkpointer: Some(checkpointer) };
        Ok(Self {
            file: file.to_owned(),
            writer: Arc::new(Mutex::new(writer)),
            readers: Arc::default(),
            reading: Arc::new(Semaphore::new(READERS)),
            near: Near::default(),
        })
    }

    /// Asks on a connection that sees one state of the index.
    async fn read<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.reading.clone().acquire_owned().await.map_err(|_| closed())?;
        let (readers, file) = (self.readers.clone(), self.file.clone());
        blocking(move || {
            let _permit = permit;
            read_on(&readers, &file, work)
        })
        .await
    }

    /// The same of what takes microseconds as a rule.
    async fn read_soon<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.near.is_worth_it()
            && let Ok(_permit) = self.reading.try_acquire()
        {
            return self.near.answer(|| read_on(&self.readers, &self.file, work));
        }
        self.read(work).await
    }

    /// Changes the index in one transaction.
    async fn write<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writer = self.writer.clone();
        blocking(move || lock(&writer).transaction(|connection, _| at_once(work(connection)))).await
    }

    /// The same for what the writer may remember otherwise.
    async fn write_anew<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let writer = self.writer.clone();
        blocking(move || {
            lock(&writer).transaction(|connection, memory| {
                *memory = None;
                at_once(work(connection))
            })
        })
        .await
    }
}

fn read_on<T>(
    readers: &Mutex<Vec<SqliteConnection>>,
    file: &Path,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T>,
) -> Result<T> {
    let idle = lock(readers).pop();
    let mut connection = match idle {
        Some(connection) => connection,
        None => SqliteConnection::open_to_read(file)?,
    };
    connection.run_again("BEGIN")?;
    let result = at_once(work(&mut connection));
    connection.run_again("COMMIT")?;
    lock(readers).push(connection);
    result
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| Error::internal("work of the index did not finish").with_source(cause))?
}

impl Index for SqliteIndex {
    fn belongs_to<'a>(&'a self, archive: &'a str) -> BoxFuture<'a, Result<()>> {
        let archive = archive.to_owned();
        self.write(async move |c| identity::belongs_to(c, &archive).await).boxed()
    }

    fn filled(&self) -> BoxFuture<'_, Result<()>> {
        self.write(async |c| audit::filled(c).await).boxed()
    }

    /// There is no other: the file is locked, by itself or with the data folder. So whatever runs by its rows was
    /// run by a server that has ended.
    fn join<'a>(&'a self, node: &'a Joining) -> BoxFuture<'a, Result<Joined>> {
        async {
            self.write(async |c| work::release_all(c).await).await?;
            Ok(Joined { number: 0, founder: node.token.clone() })
        }
        .boxed()
    }

    fn marks(&self) -> BoxFuture<'_, Result<Vec<Mark>>> {
        self.read(async |c| commit::marks(c).await).boxed()
    }

    fn furthest(&self, pack: PackId) -> BoxFuture<'_, Result<u64>> {
        self.read(async move |c| commit::furthest(c, pack).await).boxed()
    }

    fn commit<'a>(
        &'a self,
        group: &'a [NewInstance],
        marks: &'a [Mark],
        gate: Gate<'a>,
    ) -> BoxFuture<'a, Result<Committed>> {
        async move { lock(&self.writer).commit(group, marks, gate) }.boxed()
    }

    fn known<'a>(&'a self, uids: &'a [&'a SopInstanceUid]) -> BoxFuture<'a, Result<Vec<Known>>> {
        async move {
            let known = async |c: &mut SqliteConnection| rows::known(c, uids).await;
            // The pages that were written last are in the writer's memory; a reader reads them again after each commit.
            match self.writer.try_lock() {
                Ok(mut writer) => writer.read(known),
                Err(_) => read_on(&self.readers, &self.file, known),
            }
        }
        .boxed()
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        let file = self.file.clone();
        blocking(move || checkpoint::sync(&file)).boxed()
    }

    fn search<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a SearchCursor>,
    ) -> BoxFuture<'a, Result<SearchPage>> {
        let (query, after) = (query.clone(), after.cloned());
        self.read(async move |c| search::page(c, &query, after.as_ref()).await).boxed()
    }

    fn count<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Counted>> {
        let query = query.clone();
        self.read(async move |c| search::count(c, &query).await).boxed()
    }

    fn instances<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<Instance>>> {
        let of = of.clone();
        self.read(async move |c| rows::instances(c, &of).await).boxed()
    }

    fn headers<'a>(
        &'a self,
        of: &'a Resource,
        after: Option<HeaderCursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<HeaderPage>> {
        let of = of.clone();
        self.read(async move |c| rows::headers(c, &of, after.as_ref(), limit).await).boxed()
    }

    fn described<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Option<Described>>> {
        let of = of.clone();
        self.read_soon(async move |c| rows::described(c, &of).await).boxed()
    }

    fn header<'a>(&'a self, uid: &'a SopInstanceUid) -> BoxFuture<'a, Result<Option<(Header, FrameMap)>>> {
        let uid = uid.clone();
        self.read(async move |c| rows::header(c, &uid).await).boxed()
    }

    fn last_change(&self) -> BoxFuture<'_, Result<Cursor>> {
        self.read(async |c| work::last_change(c).await).boxed()
    }

    fn changes_after(&self, cursor: Cursor, limit: u32) -> BoxFuture<'_, Result<Vec<Change>>> {
        self.read(async move |c| work::changes_after(c, cursor, limit).await).boxed()
    }

    fn cursor_of<'a>(&'a self, consumer: &'a str) -> BoxFuture<'a, Result<Cursor>> {
        let consumer = consumer.to_owned();
        self.read(async move |c| work::cursor_of(c, &consumer).await).boxed()
    }

    fn advance<'a>(
        &'a self,
        consumer: &'a str,
        from: Cursor,
        to: Cursor,
        jobs: &'a [NewJob],
    ) -> BoxFuture<'a, Result<bool>> {
        let (consumer, jobs) = (consumer.to_owned(), jobs.to_vec());
        self.write(async move |c| work::advance(c, &consumer, from, to, &jobs).await).boxed()
    }

    fn lease<'a>(&'a self, wanted: Wanted<'a>, lease: Duration) -> BoxFuture<'a, Result<Vec<Lease>>> {
        let kinds: Vec<String> = wanted.kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let (least, limit) = (wanted.least, wanted.limit);
        self.write(async move |c| {
            let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
            work::lease(c, Wanted { kinds: &kinds, least, limit }, lease).await
        })
        .boxed()
    }

    fn renew<'a>(&'a self, job: JobId, lease: Duration) -> BoxFuture<'a, Result<()>> {
        self.write(async move |c| work::renew(c, job, lease).await).boxed()
    }

    fn complete(&self, job: JobId) -> BoxFuture<'_, Result<()>> {
        self.write(async move |c| work::complete(c, job).await).boxed()
    }

    fn fail<'a>(
        &'a self,
        job: JobId,
        error: &'a str,
        retry_in: Option<Duration>,
    ) -> BoxFuture<'a, Result<()>> {
        let error = error.to_owned();
        self.write(async move |c| work::fail(c, job, &error, retry_in).await).boxed()
    }

    fn still_wanted(&self, job: JobId, progress: Option<Progress>) -> BoxFuture<'_, Result<bool>> {
        match progress {
            Some(_) => self.write(async move |c| work::still_wanted(c, job, progress).await).boxed(),
            None => self.read(async move |c| work::still_wanted(c, job, None).await).boxed(),
        }
    }

    fn jobs<'a>(&'a self, query: &'a JobQuery) -> BoxFuture<'a, Result<Vec<QueuedJob>>> {
        let query = query.clone();
        self.read(async move |c| work::jobs(c, &query).await).boxed()
    }

    fn steer<'a>(&'a self, job: JobId, steering: Steering, by: &'a AuditRow) -> BoxFuture<'a, Result<bool>> {
        let by = by.clone();
        self.write(async move |c| work::steer(c, job, steering, &by).await).boxed()
    }

    fn queue_depth(&self) -> BoxFuture<'_, Result<QueueDepth>> {
        self.read(async |c| work::queue_depth(c).await).boxed()
    }

    fn is_job_waiting(&self) -> BoxFuture<'_, Result<bool>> {
        self.read(async |c| work::is_job_waiting(c).await).boxed()
    }

    /// There is no other.
    fn follow(&self, _changes: &Changes) {}

    fn next_act(&self) -> BoxFuture<'_, Result<u64>> {
        self.write(async |c| ledger::next_number(c).await).boxed()
    }

    fn act<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<()>> {
        let (writer, entry) = (self.writer.clone(), entry.clone());
        blocking(move || {
            lock(&writer).transaction(|connection, memory| {
                // It changes rows that the memory is of.
                *memory = None;
                at_once(ledger::apply(connection, &entry))
            })
        })
        .boxed()
    }

    fn act_of(&self, number: u64) -> BoxFuture<'_, Result<Option<Recorded>>> {
        self.read(async move |c| ledger::act(c, number).await).boxed()
    }

    fn acts(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<Recorded>>> {
        self.read(async move |c| ledger::acts(c, before, limit).await).boxed()
    }

    fn hidden<'a>(&'a self, of: Option<&'a Resource>, limit: u32) -> BoxFuture<'a, Result<Vec<Hidden>>> {
        let of = of.cloned();
        self.read(async move |c| hidden::hidden(c, of.as_ref(), limit).await).boxed()
    }

    fn kept_aside<'a>(
        &'a self,
        of: Option<&'a SopInstanceUid>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<KeptAside>>> {
        let of = of.cloned();
        self.read(async move |c| quarantine::kept_aside(c, of.as_ref(), limit).await).boxed()
    }

    fn aside_in<'a>(&'a self, of: &'a Resource) -> BoxFuture<'a, Result<Vec<(SopInstanceUid, String)>>> {
        let of = of.clone();
        self.read(async move |c| quarantine::aside_in(c, &of).await).boxed()
    }

    fn patient<'a>(&'a self, key: &'a PatientKey) -> BoxFuture<'a, Result<Option<(PatientKey, Attributes)>>> {
        let key = key.clone();
        self.read(async move |c| who::patient(c, &key).await).boxed()
    }

    fn record<'a>(&'a self, row: &'a AuditRow) -> BoxFuture<'a, Result<()>> {
        let row = row.clone();
        self.write(async move |c| audit::record(c, &row).await).boxed()
    }

    fn audit(&self, before: Option<u64>, limit: u32) -> BoxFuture<'_, Result<Vec<(u64, AuditRow)>>> {
        self.read(async move |c| audit::rows(c, before, limit).await).boxed()
    }

    fn registered<'a>(
        &'a self,
        kind: &'a str,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Registered>>> {
        let (kind, after) = (kind.to_owned(), after.to_owned());
        self.read(async move |c| register::rows(c, &kind, &after, limit).await).boxed()
    }

    fn registered_as<'a>(
        &'a self,
        kind: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>>> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.read(async move |c| register::row(c, &kind, &name).await).boxed()
    }

    fn register<'a>(
        &'a self,
        entries: &'a [Registration],
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<()>> {
        let (entries, by) = (entries.to_vec(), by.cloned());
        self.write(async move |c| register::write(c, &entries, by.as_ref()).await).boxed()
    }

    fn register_if<'a>(
        &'a self,
        entry: &'a Registration,
        times: u64,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (entry, by) = (entry.clone(), by.cloned());
        self.write(async move |c| register::write_if(c, &entry, times, by.as_ref()).await).boxed()
    }

    fn unregister<'a>(
        &'a self,
        kind: &'a str,
        name: &'a str,
        by: Option<&'a AuditRow>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (kind, name, by) = (kind.to_owned(), name.to_owned(), by.cloned());
        self.write(async move |c| register::remove(c, &kind, &name, by.as_ref()).await).boxed()
    }

    fn text_counts(&self) -> BoxFuture<'_, Result<Vec<TextCount>>> {
        self.read(async |c| texts::counts(c).await).boxed()
    }

    fn text_of_studies<'a>(&'a self, query: &'a TextQuery) -> BoxFuture<'a, Result<Vec<StudyText>>> {
        let query = query.clone();
        self.read(async move |c| texts::studies(c, &query).await).boxed()
    }

    fn packs(&self, after: Option<PackId>, limit: u32) -> BoxFuture<'_, Result<Vec<PackRow>>> {
        self.read(async move |c| packs::packs(c, after, limit).await).boxed()
    }

    fn pack_entries(&self, pack: PackId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>> {
        self.read(async move |c| packs::entries(c, pack, after, limit).await).boxed()
    }

    fn pack_entries_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackEntry>>> {
        let uids = uids.to_vec();
        self.read(async move |c| packs::entries_of(c, &uids).await).boxed()
    }

    fn pack_entries_due(&self, deleted_before: u64, limit: u32) -> BoxFuture<'_, Result<Vec<PackEntry>>> {
        self.read(async move |c| packs::entries_due(c, deleted_before, limit).await).boxed()
    }

    fn begin_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>> {
        self.write(async move |c| packs::begin(c, pack).await).boxed()
    }

    fn replace_packs<'a>(&'a self, by: &'a Replacement) -> BoxFuture<'a, Result<()>> {
        let by = by.clone();
        let leaves_traces = !by.dropped.is_empty();
        let replace = async move |c: &mut SqliteConnection| {
            c.run(if leaves_traces { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = FAST" })?;
            packs::replace(c, &by).await
        };
        async move {
            self.write_anew(replace).await?;
            if leaves_traces {
                let writer = self.writer.clone();
                // The packs are replaced, whatever becomes of the log: the next checkpoints take what is in it.
                if let Err(error) = blocking(move || lock(&writer).empty_log()).await {
                    let error = error.chain();
                    tracing::warn!(%error, "index: its log still holds what was destroyed until it is written over");
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn forget_pack(&self, pack: PackId) -> BoxFuture<'_, Result<()>> {
        self.write(async move |c| packs::forget(c, pack).await).boxed()
    }

    fn pack_verified<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Result<()>> {
        let compared = compared.clone();
        self.write_anew(async move |c| packs::verified(c, &compared).await).boxed()
    }

    fn damaged<'a>(&'a self, found: &'a [Damage]) -> BoxFuture<'a, Result<()>> {
        let found = found.to_vec();
        self.write_anew(async move |c| damaged::hide(c, &found).await).boxed()
    }

    fn all_damaged<'a>(&'a self, query: &'a DamageQuery) -> BoxFuture<'a, Result<Vec<DamagedInstance>>> {
        let query = query.clone();
        self.read(async move |c| damaged::damaged(c, &query).await).boxed()
    }

    fn dead_copies<'a>(&'a self, found: &'a [DeadCopy]) -> BoxFuture<'a, Result<()>> {
        let found = found.to_vec();
        self.write(async move |c| dead::note(c, &found).await).boxed()
    }

    fn dead_copies_of<'a>(&'a self, uids: &'a [SopInstanceUid]) -> BoxFuture<'a, Result<Vec<PackId>>> {
        let uids = uids.to_vec();
        self.read(async move |c| dead::of(c, &uids).await).boxed()
    }

    fn dead_copies_due(&self, noticed_before: u64) -> BoxFuture<'_, Result<Vec<PackId>>> {
        self.read(async move |c| dead::due(c, noticed_before).await).boxed()
    }

    fn is_unwanted<'a>(
        &'a self,
        instance: &'a SopInstanceUid,
        aside: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool>> {
        let (instance, aside) = (instance.clone(), aside.map(str::to_owned));
        self.read(async move |c| dead::is_unwanted(c, &instance, aside.as_deref()).await).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.reading.close();
            let (readers, writer) = (self.readers.clone(), self.writer.clone());
            let closed = blocking(move || {
                lock(&readers).clear();
                let mut writer = lock(&writer);
                if let Some(checkpointer) = writer.checkpointer.take() {
                    checkpointer.end();
                }
                writer.connection.take().map_or(Ok(()), SqliteConnection::close)
            });
            if let Err(error) = closed.await {
                tracing::warn!(error = %error.chain(), "index: not closed cleanly");
            }
        }
        .boxed()
    }
}
