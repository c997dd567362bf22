//! The queue, as an operator looks at it and steers it, and the packs.

use super::Session;
use crate::access::Action;
use crate::queue::{JobId, JobQuery, QueueDepth, QueuedJob, Steering};
use crate::{Error, PackReport, Result};

impl Session {
    /// Jobs that wait, run or are parked, in the order of their numbers.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Vec<QueuedJob>> {
        self.caller.check(Action::Configure)?;
        self.archive.inner.index.jobs(query).await
    }

    /// How many jobs are in which state.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn queue_depth(&self) -> Result<QueueDepth> {
        self.caller.check(Action::Configure)?;
        self.archive.inner.index.queue_depth().await
    }

    /// How the packs are, and what compressing them has saved.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn pack_report(&self) -> Result<PackReport> {
        self.caller.check(Action::Configure)?;
        self.archive.upkeep().report().await
    }

    /// Cancels a job, has it run now, or says what it comes before. One that runs on another node is stopped within
    /// seconds.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`; `NotFound` for one that is not in the queue, `Conflict` for one that runs and is to be
    /// run now.
    pub async fn steer(&self, job: JobId, steering: Steering) -> Result<()> {
        self.check_audited(Action::Configure).await?;
        let index = &self.archive.inner.index;
        let query = JobQuery { id: Some(job), limit: 1, ..JobQuery::default() };
        let found = index.jobs(&query).await?.into_iter().next();
        let gone = || Error::not_found(format!("there is no job {}", job.0));
        let found = found.ok_or_else(gone)?;
        let action = match steering {
            Steering::Cancel => "cancel job".to_owned(),
            Steering::RunNow => "run job now".to_owned(),
            Steering::Prioritise(priority) => format!("make job {}", priority.as_str()),
        };
        let by = self.audited(&action, format!("{} {}", found.kind, found.key));
        if !index.steer(job, steering, &by).await? {
            let still = index.jobs(&query).await?;
            let runs = || Error::conflict(format!("job {} runs", job.0));
            return Err(if still.is_empty() { gone() } else { runs() });
        }
        index.sync().await?;
        self.archive.inner.steered.send_replace(());
        Ok(())
    }
}
