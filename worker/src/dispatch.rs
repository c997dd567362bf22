//! What has happened → what is to be done: the change feed becomes jobs.
//!
//! The place in the feed and the jobs that come of it are written in one transaction, so that no
//! change is forgotten and none makes its jobs twice.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_store::model::{SeriesInstanceUid, StudyInstanceUid};
use dicom_store::{Change, ChangeKind, Changes, Cursor, NewJob, Work};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Result;
use crate::jobs::{Quiet, StepPerformed, Thumbnail};

/// The name under which the place in the feed is kept.
const CONSUMER: &str = "dispatch";

/// Changes that are read at a time.
const PAGE: u32 = 1000;

/// Changes are gathered for so long, so that a burst of instances costs one transaction, and instances that come without
/// end four of them a second.
const GATHER: Duration = Duration::from_millis(250);

/// When nothing has come for so long behind what was read, nothing arrives.
const PAUSE: Duration = Duration::from_millis(100);

/// Series of which it is remembered that their first thumbnail was asked for. One that is forgotten is asked for again,
/// and found made.
const BEGUN: usize = 4096;

/// First thumbnails that are asked for in a second while instances arrive, at the most. More series than that begin when
/// an archive is brought over or its index made anew, which nobody looks at one by one.
const BEGUN_EACH_SECOND: u32 = 8;

/// Series that wait for theirs until nothing arrives, the first ones; any further ones have theirs when they have settled.
const WAITING: usize = 1024;

/// First thumbnails that are asked for in each such pause: what comes again finds so many before it at the most.
const EACH_PAUSE: usize = 64;

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

type Series = (StudyInstanceUid, SeriesInstanceUid);

/// Series whose first thumbnail was asked for, and those that wait for it.
#[derive(Debug)]
struct Begun {
    series: HashSet<Series>,
    waiting: VecDeque<Series>,
    second: Instant,
    in_second: u32,
}

impl Begun {
    fn new() -> Self {
        Self { series: HashSet::new(), waiting: VecDeque::new(), second: Instant::now(), in_second: 0 }
    }

    /// Notes a series that has something new.
    fn note(&mut self, study: &StudyInstanceUid, series: &SeriesInstanceUid) {
        if self.waiting.len() >= WAITING {
            return;
        }
        if self.series.len() >= BEGUN {
            self.series.clear();
        }
        let series = (study.clone(), series.clone());
        if self.series.insert(series.clone()) {
            self.waiting.push_back(series);
        }
    }

    /// Those to be asked for now, while instances arrive: in the order in which they have begun.
    fn while_it_arrives(&mut self, now: Instant) -> Vec<Series> {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.in_second) = (now, 0);
        }
        let room = BEGUN_EACH_SECOND.saturating_sub(self.in_second);
        let asked = self.take(usize::try_from(room).unwrap_or(usize::MAX));
        self.in_second += u32::try_from(asked.len()).unwrap_or(u32::MAX);
        asked
    }

    /// Those to be asked for now that nothing arrives.
    fn in_a_pause(&mut self) -> Vec<Series> {
        self.take(EACH_PAUSE)
    }

    fn take(&mut self, most: usize) -> Vec<Series> {
        self.waiting.drain(..most.min(self.waiting.len())).collect()
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
            let (last, is_full) = self.step(cursor).await?;
            cursor = last;
            if is_full {
                continue;
            }
            while !self.begun.waiting.is_empty() && timeout(PAUSE, self.changes.wait(cursor)).await.is_err() {
                self.pause().await?;
            }
            self.changes.wait(cursor).await;
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Takes one page of the feed; gives the place behind it, and whether there may be more.
    async fn step(&mut self, cursor: Cursor) -> Result<(Cursor, bool)> {
        let page = self.work.changes_after(cursor, PAGE).await?;
        let is_full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let Some(last) = page.last().map(|change| change.cursor) else { return Ok((cursor, is_full)) };
        let mut jobs = jobs(&page, self.quiet, &mut self.begun, Instant::now())?;
        let stored = page.iter().filter(|change| change.kind == ChangeKind::Stored);
        let grown: BTreeSet<_> = stored.map(|change| &change.series).collect();
        jobs.extend(StepPerformed::waiting_for(&self.work, &grown).await?);
        if !self.work.advance(CONSUMER, cursor, last, &jobs).await? {
            // Another node has taken this page.
            return Ok((self.work.cursor_of(CONSUMER).await?, true));
        }
        self.wake(&jobs);
        Ok((last, is_full))
    }

    /// Nothing arrives: series that wait for their first thumbnail get it.
    async fn pause(&mut self) -> Result<()> {
        let asked = self.begun.in_a_pause();
        let jobs = asked.iter().map(|(study, series)| Thumbnail::at_once(study, series));
        let jobs = jobs.collect::<Result<Vec<_>>>()?;
        self.work.enqueue(&jobs).await?;
        self.wake(&jobs);
        Ok(())
    }

    fn wake(&self, jobs: &[NewJob]) {
        if !jobs.is_empty() {
            self.jobs_came.iter().for_each(|came| came.notify_one());
        }
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
        begun.note(study, series);
        jobs.push(Thumbnail::when_settled(study, series, newest)?);
        let of_study = studies.entry(study).or_default();
        *of_study = newest.max(*of_study);
    }
    for (study, newest) in studies {
        jobs.extend(Quiet::after(study, newest, quiet)?);
    }
    for (study, series) in begun.while_it_arrives(now) {
        jobs.push(Thumbnail::at_once(&study, &series)?);
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
        let (cursor, _) = dispatcher.step(Cursor::default()).await.unwrap();
        assert_eq!(work.queue_depth().await.unwrap().waiting, 3);
        assert_eq!(due(Priority::Awaited).await, 1);
        assert_eq!(due(Priority::Batch).await, 0, "the other is not due yet");

        fixture::store(&session, &first.next(3)).await.unwrap();
        let (cursor, is_full) = dispatcher.step(cursor).await.unwrap();
        assert!(!is_full);
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
        let is_told = payloads.iter().any(|payload| payload.contains(r#""newest":7"#));
        assert!(payloads.len() == 2 && is_told, "{payloads:?}");
    }

    fn series(number: u32) -> SeriesInstanceUid {
        SeriesInstanceUid::parse(&format!("1.{number}")).unwrap()
    }

    #[test]
    fn of_many_series_that_begin_at_once_some_have_a_first_thumbnail_each_second_in_their_order() {
        let change = |number: u32| Change {
            cursor: Cursor::default(),
            kind: ChangeKind::Stored,
            study: ct().study(),
            series: series(number),
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

    #[test]
    fn those_that_wait_have_theirs_when_nothing_arrives_some_in_each_pause() {
        let (study, mut begun) = (ct().study(), Begun::new());
        (0..100).for_each(|number| begun.note(&study, &series(number)));
        begun.note(&study, &series(3));
        let numbers = |asked: Vec<Series>| asked.into_iter().map(|(_, series)| series).collect::<Vec<_>>();
        let expected = |numbers: std::ops::Range<u32>| numbers.map(series).collect::<Vec<_>>();
        assert_eq!(numbers(begun.while_it_arrives(begun.second)), expected(0..8));
        assert_eq!(numbers(begun.in_a_pause()), expected(8..72));
        assert_eq!(numbers(begun.in_a_pause()), expected(72..100));
        assert!(begun.in_a_pause().is_empty());
    }

    #[test]
    fn an_archive_that_is_brought_over_does_not_fill_the_memory() {
        let (study, mut begun) = (ct().study(), Begun::new());
        (0..10_000).for_each(|number| begun.note(&study, &series(number)));
        assert_eq!(begun.waiting.len(), WAITING);
        for _ in 0..10 {
            begun.waiting.clear();
            (0..10_000).for_each(|number| begun.note(&study, &series(number)));
        }
        assert!(begun.series.len() <= BEGUN);
    }

    #[tokio::test]
    async fn many_series_that_came_have_a_job_each_as_soon_as_nothing_comes_any_more() {
        let (archive, _folder) = fixture::archive().await;
        let (session, first) = (fixture::system(&archive), ct());
        let count = 3 * BEGUN_EACH_SECOND;
        for number in 0..count {
            fixture::store(&session, &first.next_series(number + 1)).await.unwrap();
        }
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher::new(archive.work(), archive.changes(), Vec::new(), QUIET);
        let running = tokio::spawn(dispatcher.run(stop.clone()));
        let mut asked = 0;
        let all = async {
            while asked < count {
                let wanted = Wanted { kinds: &["thumbnail"], least: Priority::Awaited, limit: count };
                let leased = archive.work().lease(wanted, Duration::from_secs(600)).await.unwrap();
                asked += u32::try_from(leased.len()).unwrap();
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), all).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_new_makes_nothing() {
        let (archive, _folder) = fixture::archive().await;
        let mut dispatcher = Dispatcher::new(archive.work(), archive.changes(), Vec::new(), QUIET);
        assert_eq!(dispatcher.step(Cursor::default()).await.unwrap(), (Cursor::default(), false));
        assert_eq!(archive.work().queue_depth().await.unwrap().waiting, 0);
    }
}
