//! What has happened → what is to be done: the change feed becomes jobs.
//!
//! The place in the feed and the jobs that come of it are written in one transaction, so that no
//! change is forgotten and none makes its jobs twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dicom_store::model::{SeriesInstanceUid, StudyInstanceUid};
use dicom_store::{Change, ChangeKind, Changes, Cursor, NewJob, Work};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Result;
use crate::jobs::Thumbnail;

/// The name under which the place in the feed is kept.
const CONSUMER: &str = "dispatch";

/// Changes that are read at a time.
const PAGE: u32 = 1000;

/// Changes are gathered for so long, so that a burst of instances costs one transaction.
const GATHER: Duration = Duration::from_millis(500);

/// How long to wait when the index cannot be reached.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the change feed.
pub struct Dispatcher {
    work: Work,
    changes: Changes,
    /// Told when there are jobs to be done.
    jobs_came: Arc<Notify>,
}

impl Dispatcher {
    /// Follows that feed; `jobs_came` wakes the runner.
    pub fn new(work: Work, changes: Changes, jobs_came: Arc<Notify>) -> Self {
        Self { work, changes, jobs_came }
    }

    /// Follows the feed until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let follow = async {
            loop {
                if let Err(error) = self.follow().await {
                    warn!(%error, "change feed cannot be followed, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        // Dropped anywhere: the place in the feed moves with the jobs or not at all, so the next start reads a page
        // again whose transaction was not committed.
        stop.run_until_cancelled(follow).await;
    }

    async fn follow(&self) -> Result<()> {
        let mut cursor = self.work.cursor_of(CONSUMER).await?;
        loop {
            let last = self.step(cursor).await?;
            if last == cursor {
                self.changes.wait(cursor).await;
                tokio::time::sleep(GATHER).await;
            }
            cursor = last;
        }
    }

    /// Takes one page of the feed; gives the place behind it.
    async fn step(&self, cursor: Cursor) -> Result<Cursor> {
        let page = self.work.changes_after(cursor, PAGE).await?;
        let Some(last) = page.last().map(|change| change.cursor) else { return Ok(cursor) };
        let jobs = jobs(&page)?;
        if !self.work.advance(CONSUMER, cursor, last, &jobs).await? {
            // Another node has taken this page.
            return Ok(self.work.cursor_of(CONSUMER).await?);
        }
        if !jobs.is_empty() {
            self.jobs_came.notify_one();
        }
        Ok(last)
    }
}

/// The rules: a series that has new instances gets its thumbnail once it has settled.
fn jobs(page: &[Change]) -> Result<Vec<NewJob>> {
    let grown: BTreeSet<(&StudyInstanceUid, &SeriesInstanceUid)> = page
        .iter()
        .filter(|change| change.kind == ChangeKind::Stored)
        .map(|change| (&change.study, &change.series))
        .collect();
    grown.into_iter().map(|(study, series)| Thumbnail::when_settled(study, series)).collect()
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture::{self, ct};

    use super::*;

    #[tokio::test]
    async fn a_series_that_grows_has_one_job_for_when_it_has_settled() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let work = archive.work();
        let dispatcher = Dispatcher::new(work.clone(), archive.changes(), Arc::default());

        let first = ct();
        fixture::store(&session, &first).await.unwrap();
        fixture::store(&session, &first.next(2)).await.unwrap();
        let cursor = dispatcher.step(Cursor::default()).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 1);
        assert!(
            work.lease(&["thumbnail"], 10, Duration::from_secs(60)).await.unwrap().is_empty(),
            "it is not due yet"
        );

        fixture::store(&session, &first.next(3)).await.unwrap();
        let cursor = dispatcher.step(cursor).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 1);
        assert_eq!(work.cursor_of(CONSUMER).await.unwrap(), cursor);
    }

    #[tokio::test]
    async fn nothing_new_makes_nothing() {
        let (archive, _folder) = fixture::archive().await;
        let dispatcher = Dispatcher::new(archive.work(), archive.changes(), Arc::default());
        assert_eq!(dispatcher.step(Cursor::default()).await.unwrap(), Cursor::default());
        assert_eq!(archive.work().queue_depth().await.unwrap().waiting, 0);
    }
}
