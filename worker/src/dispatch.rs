//! What has happened → what is to be done: the change feed becomes jobs.
//!
//! The place in the feed and the jobs that come of it are written in one transaction, so that no
//! change is forgotten and none makes its jobs twice.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_store::model::{SeriesInstanceUid, StudyInstanceUid};
use dicom_store::{Change, ChangeKind, Changes, Cursor, NewJob, Work};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Result;
use crate::jobs::{Quiet, Thumbnail};

/// The name under which the place in the feed is kept.
const CONSUMER: &str = "dispatch";

/// Changes that are read at a time.
const PAGE: u32 = 1000;

/// Changes are gathered for so long, so that a burst of instances costs one transaction.
const GATHER: Duration = Duration::from_millis(500);

/// Series of which it is remembered that their first thumbnail was asked for. One that is forgotten is asked for again,
/// and found made.
const BEGUN: usize = 4096;

/// First thumbnails that are asked for in a second, at the most. More series than that begin when an archive is brought
/// over or its index made anew, which nobody looks at one by one; they have theirs when they have settled.
const BEGUN_EACH_SECOND: u32 = 8;

/// How long to wait when the index cannot be reached.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the change feed.
pub struct Dispatcher {
    work: Work,
    changes: Changes,
    /// Told when there are jobs to be done: each runner.
    jobs_came: Vec<Arc<Notify>>,
    /// A study of which nothing has come for so long counts as complete.
    quiet: Duration,
    begun: Begun,
}

/// Series whose first thumbnail was asked for.
#[derive(Debug)]
struct Begun {
    series: HashSet<(StudyInstanceUid, SeriesInstanceUid)>,
    second: Instant,
    in_second: u32,
}

impl Begun {
    fn new() -> Self {
        Self { series: HashSet::new(), second: Instant::now(), in_second: 0 }
    }

    /// Whether to ask for a first thumbnail now.
    fn asks(&mut self, study: &StudyInstanceUid, series: &SeriesInstanceUid, now: Instant) -> bool {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.in_second) = (now, 0);
        }
        if self.series.len() > BEGUN {
            self.series.clear();
        }
        let asks = self.in_second < BEGUN_EACH_SECOND && self.series.insert((study.clone(), series.clone()));
        self.in_second += u32::from(asks);
        asks
    }
}

impl Dispatcher {
    /// Follows that feed; `jobs_came` wakes the runners. A study of which nothing has come for `quiet` counts as complete.
    pub fn new(work: Work, changes: Changes, jobs_came: Vec<Arc<Notify>>, quiet: Duration) -> Self {
        Self { work, changes, jobs_came, quiet, begun: Begun::new() }
    }

    /// Follows the feed until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
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

    async fn follow(&mut self) -> Result<()> {
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
    async fn step(&mut self, cursor: Cursor) -> Result<Cursor> {
        let page = self.work.changes_after(cursor, PAGE).await?;
        let Some(last) = page.last().map(|change| change.cursor) else { return Ok(cursor) };
        let jobs = jobs(&page, self.quiet, &mut self.begun, Instant::now())?;
        if !self.work.advance(CONSUMER, cursor, last, &jobs).await? {
            // Another node has taken this page.
            return Ok(self.work.cursor_of(CONSUMER).await?);
        }
        if !jobs.is_empty() {
            self.jobs_came.iter().for_each(|came| came.notify_one());
        }
        Ok(last)
    }
}

/// A series that has new instances gets a thumbnail of what is there at once, another once it has settled, and its study is
/// looked at when nothing has come for a while.
///
/// An index that is made anew begins its feed anew, and every instance is told of again. Nothing is remembered of what
/// was done for it before: each job sees by what it has made, and by when the instances came, that it is done.
fn jobs(page: &[Change], quiet: Duration, begun: &mut Begun, now: Instant) -> Result<Vec<NewJob>> {
    let mut grown: BTreeMap<(&StudyInstanceUid, &SeriesInstanceUid), u64> = BTreeMap::new();
    for change in page.iter().filter(|change| change.kind == ChangeKind::Stored) {
        let newest = grown.entry((&change.study, &change.series)).or_default();
        *newest = change.received.max(*newest);
    }
    let mut studies: BTreeMap<&StudyInstanceUid, u64> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(3 * grown.len());
    for ((study, series), newest) in grown {
        if begun.asks(study, series, now) {
            jobs.push(Thumbnail::at_once(study, series)?);
        }
        jobs.push(Thumbnail::when_settled(study, series, newest)?);
        let of_study = studies.entry(study).or_default();
        *of_study = newest.max(*of_study);
    }
    for (study, newest) in studies {
        jobs.extend(Quiet::after(study, newest, quiet)?);
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use dicom_store::fixture::{self, ct};
    use dicom_store::queue::{Priority, Wanted};

    use super::*;

    const QUIET: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_series_that_grows_has_one_job_at_once_one_for_when_it_has_settled_and_its_study_another() {
        let (archive, _folder) = fixture::archive().await;
        let session = fixture::system(&archive);
        let work = archive.work();
        let mut dispatcher = Dispatcher::new(work.clone(), archive.changes(), Vec::new(), QUIET);
        let due = async |least| {
            let wanted = Wanted { kinds: &["thumbnail"], least, limit: 10 };
            work.lease(wanted, Duration::from_secs(60)).await.unwrap().len()
        };

        let first = ct();
        fixture::store(&session, &first).await.unwrap();
        fixture::store(&session, &first.next(2)).await.unwrap();
        let cursor = dispatcher.step(Cursor::default()).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 3);
        assert_eq!(due(Priority::Awaited).await, 1);
        assert_eq!(due(Priority::Batch).await, 0, "the other is not due yet");

        fixture::store(&session, &first.next(3)).await.unwrap();
        let cursor = dispatcher.step(cursor).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 2);
        assert_eq!(work.cursor_of(CONSUMER).await.unwrap(), cursor);
    }

    #[test]
    fn a_job_knows_when_the_newest_of_its_instances_came() {
        let change = |received| Change {
            cursor: Cursor::default(),
            kind: ChangeKind::Stored,
            study: ct().study(),
            series: SeriesInstanceUid::parse("1.3").unwrap(),
            sop_instance: ct().sop_instance(),
            received,
        };
        let study = ct().study();
        let page = [5, 7, 6].map(|received| Change { study: study.clone(), ..change(received) });
        let jobs = jobs(&page, QUIET, &mut Begun::new(), Instant::now()).unwrap();
        let payloads: Vec<_> = jobs.iter().map(|job| job.payload.as_str()).collect();
        assert!(payloads.len() == 2 && payloads[1].contains(r#""newest":7"#), "{payloads:?}");
    }

    #[test]
    fn of_many_series_that_begin_at_once_some_have_a_first_thumbnail_and_the_others_later() {
        let change = |number: u32| Change {
            cursor: Cursor::default(),
            kind: ChangeKind::Stored,
            study: ct().study(),
            series: SeriesInstanceUid::parse(&format!("1.{number}")).unwrap(),
            sop_instance: ct().sop_instance(),
            received: 0,
        };
        let study = ct().study();
        let page: Vec<_> = (0..40).map(|number| Change { study: study.clone(), ..change(number) }).collect();
        let (mut begun, mut now) = (Begun::new(), Instant::now());
        let mut first = |now| {
            let jobs = jobs(&page, QUIET, &mut begun, now).unwrap();
            jobs.iter().filter(|job| job.priority == Priority::Awaited).count()
        };
        assert_eq!((first(now), first(now)), (8, 0));
        let mut all = 8;
        for _ in 0..5 {
            now += Duration::from_secs(1);
            all += first(now);
        }
        assert_eq!(all, 40, "each once");
    }

    #[tokio::test]
    async fn nothing_new_makes_nothing() {
        let (archive, _folder) = fixture::archive().await;
        let mut dispatcher = Dispatcher::new(archive.work(), archive.changes(), Vec::new(), QUIET);
        assert_eq!(dispatcher.step(Cursor::default()).await.unwrap(), Cursor::default());
        assert_eq!(archive.work().queue_depth().await.unwrap().waiting, 0);
    }
}
