//! The change feed, the job queue and the register, as the workers of the server use them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::Result;
use crate::change::{Change, Cursor};
use crate::index::Index;
use crate::queue::{JobId, Lease, NewJob, Progress, QueueDepth, Wanted};
use crate::register::{Entry as Registration, Registered};

/// Only for parts of this server: what they follow holds no patient data and is not audited.
#[derive(Debug, Clone)]
pub struct Work {
    index: Arc<dyn Index>,
    steered: watch::Sender<()>,
}

impl Work {
    pub(crate) fn new(index: Arc<dyn Index>, steered: watch::Sender<()>) -> Self {
        Self { index, steered }
    }

    /// Changes behind a cursor, in their order.
    ///
    /// # Errors
    /// As all verbs here: `Unavailable` when the index cannot be reached.
    pub async fn changes_after(&self, cursor: Cursor, limit: u32) -> Result<Vec<Change>> {
        self.index.changes_after(cursor, limit).await
    }

    pub async fn cursor_of(&self, consumer: &str) -> Result<Cursor> {
        self.index.cursor_of(consumer).await
    }

    /// Moves a follower on and puts its jobs in the queue, both or neither. Neither, and `false`, when another node
    /// has moved it from there.
    pub async fn advance(&self, consumer: &str, from: Cursor, to: Cursor, jobs: &[NewJob]) -> Result<bool> {
        self.index.advance(consumer, from, to, jobs).await
    }

    /// Puts jobs in the queue that follow from no change.
    pub async fn enqueue(&self, jobs: &[NewJob]) -> Result<()> {
        let nowhere = Cursor::default();
        self.index.advance("upkeep", nowhere, nowhere, jobs).await.map(|_| ())
    }

    /// The same for what somebody was told will be done: when this returns, the jobs survive a power cut.
    pub async fn enqueue_durably(&self, jobs: &[NewJob]) -> Result<()> {
        self.enqueue(jobs).await?;
        self.index.sync().await
    }

    pub async fn lease(&self, wanted: Wanted<'_>, lease: Duration) -> Result<Vec<Lease>> {
        self.index.lease(wanted, lease).await
    }

    /// Notes how far a job that runs is, where it says so; gives whether it is still wanted.
    pub async fn still_wanted(&self, job: JobId, progress: Option<Progress>) -> Result<bool> {
        self.index.still_wanted(job, progress).await
    }

    /// Changes when somebody on this node has steered a job. A hint: of other nodes it is not told.
    pub fn steerings(&self) -> watch::Receiver<()> {
        self.steered.subscribe()
    }

    /// The job goes on to run: its lease ends so much later from now.
    pub async fn renew(&self, job: JobId, lease: Duration) -> Result<()> {
        self.index.renew(job, lease).await
    }

    pub async fn complete(&self, job: JobId) -> Result<()> {
        self.index.complete(job).await
    }

    /// The job is due again after a while.
    pub async fn fail(&self, job: JobId, retry_in: Duration, error: &str) -> Result<()> {
        self.index.fail(job, error, Some(retry_in)).await
    }

    /// The job is not tried again; somebody has to look.
    pub async fn park(&self, job: JobId, error: &str) -> Result<()> {
        self.index.fail(job, error, None).await
    }

    /// Of the register, those of a kind behind a name, in the order of names.
    pub async fn registered(&self, kind: &str, after: &str, limit: u32) -> Result<Vec<Registered>> {
        self.index.registered(kind, after, limit).await
    }

    pub async fn registered_as(&self, kind: &str, name: &str) -> Result<Option<Registered>> {
        self.index.registered_as(kind, name).await
    }

    pub async fn register(&self, entries: &[Registration]) -> Result<()> {
        self.index.register(entries, None).await
    }

    /// Writes a line in the place of one that has been written so often, 0 for none; gives whether it was still so.
    pub async fn register_if(&self, entry: &Registration, times: u64) -> Result<bool> {
        self.index.register_if(entry, times, None).await
    }

    pub async fn unregister(&self, kind: &str, name: &str) -> Result<bool> {
        self.index.unregister(kind, name, None).await
    }

    pub async fn queue_depth(&self) -> Result<QueueDepth> {
        self.index.queue_depth().await
    }

    /// Whether a job waits to be run, now or later; unlike [`Work::queue_depth`] it counts none.
    pub async fn is_job_waiting(&self) -> Result<bool> {
        self.index.is_job_waiting().await
    }
}
