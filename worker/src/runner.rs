//! Takes jobs that are due out of the queue and runs them: those of the highest priority first, of each kind no more at
//! once than it allows.
//!
//! Jobs give way to what arrives: while instances are stored they are run one at a time, with a rest behind each
//! that is nineteen times as long, so that they take a twentieth of one core. Those that a person waits for are run all the
//! same; jobs that are for nobody else have a runner of their own, which gives way to nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_store::queue::{Priority, Wanted};
use dicom_store::{Changes, Cursor, Lease, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::job::{HowFar, Registry};
use crate::{Error, Result};

/// Jobs under way at once, where nothing else is said. They wait more than they compute, and the pool bounds computing.
const AT_A_TIME: usize = 8;

/// How much longer than a job the rest behind it is, while instances arrive; and the longest rest.
const REST: u32 = 19;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Wait before the second run; each further one waits twice as long, up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(600);

/// How long jobs that run may still take when the server stops.
const DRAIN: Duration = Duration::from_secs(20);

/// A lease is short, so that the job of a server that has ended is soon another's, and renewed while the job runs, so
/// that none is run twice at a time.
const LEASE: Duration = Duration::from_secs(60);
const RENEWED_EACH: Duration = Duration::from_secs(20);
/// How often a job that runs tells how far it is, and hears whether it is still wanted.
const TOLD_EACH: Duration = Duration::from_secs(2);

/// How often to look when jobs wait that are not due yet, and when none do.
const LOOK_SOON: Duration = Duration::from_secs(1);
const LOOK_LATE: Duration = Duration::from_secs(30);

/// Runs jobs, eight at a time while nothing arrives.
pub struct Runner {
    work: Work,
    registry: Arc<Registry>,
    jobs_came: Arc<Notify>,
    changes: Changes,
    gives_way: bool,
    at_a_time: usize,
    /// Of each kind, places for those that may run at once.
    places: BTreeMap<&'static str, Arc<Semaphore>>,
    /// The last change when it was looked whether instances arrive.
    seen: Cursor,
    /// No job is begun before, but for those that a person waits for.
    rest_until: Option<Instant>,
    /// Each gives how long it took.
    running: JoinSet<Duration>,
}

impl Runner {
    /// Runs the jobs of the registry; `jobs_came` tells of new ones, `changes` of what arrives.
    pub fn new(work: Work, registry: Registry, jobs_came: Arc<Notify>, changes: Changes) -> Self {
        let place = |(kind, count): (&'static str, usize)| {
            (kind, Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
        };
        let places = registry.at_a_time().map(place).collect();
        let (registry, seen) = (Arc::new(registry), changes.last());
        let (rest_until, running) = (None, JoinSet::new());
        let (gives_way, at_a_time) = (true, AT_A_TIME);
        Self { work, registry, jobs_came, changes, gives_way, at_a_time, places, seen, rest_until, running }
    }

    /// For jobs that somebody waits for: they do not give way to what arrives.
    #[must_use]
    pub fn without_rest(self) -> Self {
        Self { gives_way: false, ..self }
    }

    /// With so many jobs under way at once.
    #[must_use]
    pub fn at_a_time(self, at_a_time: usize) -> Self {
        Self { at_a_time, ..self }
    }

    /// Runs jobs until told to stop, then waits for those under way, at most 20 seconds. What does
    /// not end by then is run again after the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut steerings = self.work.steerings();
        while !stop.is_cancelled() {
            let pause = match self.fill().await {
                Ok(pause) => pause,
                Err(error) => {
                    warn!(%error, "job queue cannot be read, trying again");
                    LOOK_SOON
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.jobs_came.notified(), if !self.is_full() => {}
                Ok(()) = steerings.changed(), if !self.is_full() => {}
                Some(Ok(took)) = self.running.join_next() => self.rest(took),
                () = tokio::time::sleep(pause), if !self.is_full() => {}
            }
        }
        let drained =
            tokio::time::timeout(DRAIN, async { while self.running.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!(jobs = self.running.len(), "jobs were cut off, they are run again after the next start");
        }
        self.running.shutdown().await;
    }

    fn is_full(&self) -> bool {
        self.running.len() >= self.at_a_time
    }

    /// Whether something was stored since it was asked last, and jobs give way to it.
    fn arrives(&mut self) -> bool {
        let last = self.changes.last();
        std::mem::replace(&mut self.seen, last) != last && self.gives_way
    }

    /// After a job that took so long.
    fn rest(&mut self, took: Duration) {
        if self.arrives() {
            self.rest_until = Some(Instant::now() + rest_behind(took));
        }
    }

    /// Starts what is due, as far as there is room; gives how long to wait before looking again.
    async fn fill(&mut self) -> Result<Duration> {
        while let Some(ended) = self.running.try_join_next() {
            self.rest(ended.unwrap_or_default());
        }
        let left = self.rest_until.map(|end| end.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            self.take(Priority::Awaited, self.at_a_time).await?;
            return Ok(left);
        }
        self.rest_until = None;
        let arrives = self.arrives();
        let mut count = self.take(Priority::Batch, if arrives { 1 } else { self.at_a_time }).await?;
        if arrives {
            count += self.take(Priority::Awaited, self.at_a_time).await?;
        }
        if count > 0 || self.running.len() >= self.at_a_time {
            return Ok(LOOK_SOON);
        }
        Ok(if self.work.is_job_waiting().await? { LOOK_SOON } else { LOOK_LATE })
    }

    /// Starts what is due and of no lower priority, until so many run; gives how many were started.
    async fn take(&mut self, least: Priority, at_a_time: usize) -> Result<usize> {
        let before = self.running.len();
        loop {
            let free = self.places.iter().map(|(kind, places)| (*kind, places.available_permits()));
            let free: Vec<_> = free.filter(|(_, places)| *places > 0).collect();
            let kinds: Vec<&str> = free.iter().map(|(kind, _)| *kind).collect();
            // No more than any kind has places for, whichever they are of.
            let room = at_a_time.saturating_sub(self.running.len());
            let room = free.iter().map(|(_, places)| *places).min().unwrap_or(0).min(room);
            let limit = u32::try_from(room).unwrap_or(u32::MAX);
            if limit == 0 {
                break;
            }
            let leases = self.work.lease(Wanted { kinds: &kinds, least, limit }, LEASE).await?;
            let is_last = leases.len() < room;
            for lease in leases {
                let place = self.places.get(lease.kind.as_str()).map(|places| {
                    // Taken by nobody but this runner, who has counted them.
                    Arc::clone(places).try_acquire_owned()
                });
                let (work, registry) = (self.work.clone(), Arc::clone(&self.registry));
                let span = info_span!("job", job = %lease.kind, id = lease.id.0, attempt = lease.attempt);
                self.running
                    .spawn(run_one(work, registry, lease, place.and_then(Result::ok)).instrument(span));
            }
            if is_last {
                break;
            }
        }
        Ok(self.running.len() - before)
    }
}

/// How long work that took so long is followed by none, while instances arrive.
pub(crate) fn rest_behind(took: Duration) -> Duration {
    took.saturating_mul(REST).min(LONGEST_REST)
}

/// Runs a job and tells the queue what became of it; gives how long it took.
async fn run_one(
    work: Work,
    registry: Arc<Registry>,
    lease: Lease,
    _place: Option<OwnedSemaphorePermit>,
) -> Duration {
    let started = Instant::now();
    let attempts = registry.attempts(&lease.kind);
    let far = HowFar::default();
    let result = if lease.is_cancelled {
        None
    } else if lease.attempt > attempts {
        // It was leased so often and never settled: the server ended each time.
        Some(Err(Error::GivenUp(attempts)))
    } else {
        tokio::select! {
            result = registry.run(&lease.kind, &lease.payload, &far) => Some(result),
            never = renew(&work, &lease) => match never {},
            () = cancelled(&work, &lease, &far) => None,
        }
    };
    let settled = match result {
        None => {
            info!("job cancelled");
            work.complete(lease.id).await
        }
        Some(Ok(())) => {
            debug!(duration_ms = started.elapsed().as_millis(), "job done");
            work.complete(lease.id).await
        }
        Some(Err(error)) if error.is_permanent() || lease.attempt >= attempts => {
            warn!(%error, "job parked");
            work.park(lease.id, &error.to_string()).await
        }
        Some(Err(error)) => {
            let retry_in = backoff(lease.attempt);
            warn!(%error, retry_in_s = retry_in.as_secs(), "job failed, trying again");
            work.fail(lease.id, retry_in, &error.to_string()).await
        }
    };
    if let Err(error) = settled {
        warn!(%error, "what became of a job cannot be told to the queue, it is run again");
    }
    started.elapsed()
}

/// Keeps the lease of a job that runs, as long as it is asked.
async fn renew(work: &Work, lease: &Lease) -> Infallible {
    loop {
        tokio::time::sleep(RENEWED_EACH).await;
        if let Err(error) = work.renew(lease.id, LEASE).await {
            warn!(%error, "the lease of a job cannot be renewed; it may be run twice");
        }
    }
}

/// Tells how far a job is, and returns when it is not wanted any more.
async fn cancelled(work: &Work, lease: &Lease, far: &HowFar) {
    let (mut steerings, mut last) = (work.steerings(), None);
    loop {
        tokio::select! {
            () = tokio::time::sleep(TOLD_EACH) => {}
            Ok(()) = steerings.changed() => {}
        }
        let told = Some(far.told());
        let news = told.filter(|_| told != last);
        match work.still_wanted(lease.id, news).await {
            Ok(true) => last = told,
            Ok(false) => return,
            Err(error) => debug!(%error, "how far a job is cannot be told"),
        }
    }
}

/// Before the run after that attempt, which counts from 1.
fn backoff(attempt: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    BACKOFF.saturating_mul(factor).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use dicom_store::queue::{JobQuery, Progress, QueuedJob, Steering};
    use dicom_store::{Archive, Cursor, JobId, QueueDepth, fixture};
    use rstest::rstest;
    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::job::{Job, new_job};

    /// Tells each run, and fails as its payload says.
    struct Told(mpsc::UnboundedSender<Fate>);

    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    enum Fate {
        Done,
        FailsForNow,
        FailsForGood,
        NeverEnds,
    }

    impl Job for Told {
        const KIND: &'static str = "told";
        type Payload = Fate;

        async fn run(&self, fate: Fate, far: &HowFar) -> Result<()> {
            far.of(3);
            far.add(2);
            self.0.send(fate).unwrap();
            match fate {
                Fate::Done => Ok(()),
                Fate::FailsForNow => Err(Error::TimeLimit(Duration::ZERO)),
                Fate::FailsForGood => Err(Error::UnknownKind("told".into())),
                Fate::NeverEnds => std::future::pending().await,
            }
        }
    }

    /// Never ends, and no more than two of it run.
    struct Two;

    impl Job for Two {
        const KIND: &'static str = "two";
        const AT_A_TIME: usize = 2;
        type Payload = ();

        async fn run(&self, (): (), _: &HowFar) -> Result<()> {
            std::future::pending().await
        }
    }

    struct House {
        archive: Archive,
        runs: mpsc::UnboundedReceiver<Fate>,
        runner: Runner,
        jobs_came: Arc<Notify>,
        _folder: TempDir,
    }

    impl House {
        async fn new() -> Self {
            let (archive, folder) = fixture::archive().await;
            let (tell, runs) = mpsc::unbounded_channel();
            let jobs_came = Arc::new(Notify::new());
            let registry = Registry::new().with(Told(tell)).with(Two);
            let runner = Runner::new(archive.work(), registry, Arc::clone(&jobs_came), archive.changes());
            Self { archive, runs, runner, jobs_came, _folder: folder }
        }

        /// Stored, and told to who follows.
        async fn store(&self, sample: &fixture::Sample) {
            let changes = self.archive.changes();
            let before = changes.last();
            fixture::store(&fixture::system(&self.archive), sample).await.unwrap();
            changes.wait(before).await;
        }

        async fn ask(&self, fates: &[Fate]) {
            let job =
                |(index, fate): (usize, &Fate)| new_job::<Told>(index.to_string(), fate, Duration::ZERO);
            let jobs: Vec<_> = fates.iter().enumerate().map(|pair| job(pair).unwrap()).collect();
            self.archive.work().enqueue(&jobs).await.unwrap();
            self.jobs_came.notify_one();
        }

        async fn job(&self, id: JobId) -> Option<QueuedJob> {
            let query = JobQuery { id: Some(id), limit: 1, ..JobQuery::default() };
            fixture::system(&self.archive).jobs(&query).await.unwrap().pop()
        }

        /// The number of the first job in the queue.
        async fn first(&self) -> JobId {
            let query = JobQuery { limit: 1, ..JobQuery::default() };
            fixture::system(&self.archive).jobs(&query).await.unwrap()[0].id
        }

        async fn steer(&self, id: JobId, steering: Steering) {
            fixture::system(&self.archive).steer(id, steering).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_done_leaves_the_queue_and_what_fails_waits_or_is_parked() {
        let mut house = House::new().await;
        house.ask(&[Fate::Done, Fate::FailsForNow, Fate::FailsForGood]).await;
        house.runner.fill().await.unwrap();
        while house.runner.running.join_next().await.is_some() {}
        let depth = house.archive.work().queue_depth().await.unwrap();
        assert_eq!(depth, QueueDepth { waiting: 1, running: 0, parked: 1 });
    }

    #[tokio::test]
    async fn no_more_jobs_are_taken_than_may_run_at_once() {
        let mut house = House::new().await;
        house.ask(&[Fate::NeverEnds; AT_A_TIME + 3]).await;
        house.runner.fill().await.unwrap();
        house.runner.fill().await.unwrap();
        assert!(house.runner.is_full());
        let depth = house.archive.work().queue_depth().await.unwrap();
        assert_eq!((depth.waiting, depth.running), (3, AT_A_TIME as u64));
    }

    #[tokio::test]
    async fn while_instances_arrive_jobs_are_run_one_at_a_time_with_a_rest_behind_each() {
        let mut house = House::new().await;
        house.ask(&[Fate::Done, Fate::Done, Fate::Done]).await;
        let sample = fixture::ct();
        house.store(&sample).await;
        house.runner.fill().await.unwrap();
        assert_eq!(house.runner.running.len(), 1);

        let took = house.runner.running.join_next().await.unwrap().unwrap();
        house.store(&sample.next(2)).await;
        house.runner.rest(took.max(Duration::from_secs(60)));
        let pause = house.runner.fill().await.unwrap();
        assert!(pause <= LONGEST_REST && house.runner.running.is_empty(), "{pause:?}");

        // The rest is over, and nothing has come meanwhile.
        house.runner.rest_until = None;
        house.runner.fill().await.unwrap();
        assert_eq!(house.runner.running.len(), 2);
    }

    #[tokio::test]
    async fn what_a_person_waits_for_is_run_before_the_rest_is_over() {
        let mut house = House::new().await;
        house.ask(&[Fate::NeverEnds, Fate::NeverEnds]).await;
        house.runner.rest_until = Some(Instant::now() + Duration::from_secs(600));
        house.runner.fill().await.unwrap();
        assert_eq!(house.runner.running.len(), 0);
        let first = house.first().await;
        house.steer(first, Steering::Prioritise(Priority::Awaited)).await;
        house.runner.fill().await.unwrap();
        assert_eq!(house.runner.running.len(), 1);
        assert_eq!(house.job(first).await.unwrap().attempt, 1);
    }

    #[tokio::test]
    async fn of_one_kind_no_more_run_at_once_than_it_allows() {
        let mut house = House::new().await;
        let jobs: Vec<_> =
            (0..4).map(|n: u32| new_job::<Two>(n.to_string(), &(), Duration::ZERO).unwrap()).collect();
        house.archive.work().enqueue(&jobs).await.unwrap();
        house.ask(&[Fate::NeverEnds; 3]).await;
        house.runner.fill().await.unwrap();
        let depth = house.archive.work().queue_depth().await.unwrap();
        assert_eq!((house.runner.running.len(), depth.running, depth.waiting), (5, 5, 2));
    }

    #[tokio::test]
    async fn a_job_that_runs_tells_how_far_it_is_and_is_stopped_when_it_is_cancelled() {
        let mut house = House::new().await;
        house.ask(&[Fate::NeverEnds]).await;
        house.runner.fill().await.unwrap();
        assert_eq!(house.runs.recv().await, Some(Fate::NeverEnds));
        let id = house.first().await;
        // Whoever steers a job has all that run looked at, at once.
        house.steer(id, Steering::Prioritise(Priority::Batch)).await;
        let told = async {
            while house.job(id).await.unwrap().progress == Progress::default() {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, told).await.unwrap();
        assert_eq!(house.job(id).await.unwrap().progress, Progress { done: 2, total: 3 });
        house.steer(id, Steering::Cancel).await;
        tokio::time::timeout(limit, house.runner.running.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(house.job(id).await, None);
    }

    #[tokio::test]
    async fn jobs_that_somebody_waits_for_are_run_while_instances_arrive() {
        let mut house = House::new().await;
        house.runner = house.runner.without_rest();
        house.ask(&[Fate::NeverEnds; 3]).await;
        house.store(&fixture::ct()).await;
        house.runner.fill().await.unwrap();
        assert_eq!(house.runner.running.len(), 3);
    }

    #[tokio::test]
    async fn a_job_is_run_when_it_comes_and_stopping_ends_the_runner() {
        let House { archive, mut runs, runner, jobs_came, _folder } = House::new().await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(runner.run(stop.clone()));
        let job = new_job::<Told>("one".into(), &Fate::Done, Duration::ZERO).unwrap();
        archive.work().advance("test", Cursor::default(), Cursor(1), &[job]).await.unwrap();
        jobs_came.notify_one();
        let limit = Duration::from_secs(30);
        assert_eq!(tokio::time::timeout(limit, runs.recv()).await.unwrap(), Some(Fate::Done));
        stop.cancel();
        tokio::time::timeout(limit, running).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_job_that_ended_the_server_each_time_is_given_up() {
        let mut house = House::new().await;
        house.ask(&[Fate::Done]).await;
        let work = house.archive.work();
        for _ in 0..Told::ATTEMPTS {
            // Leased for no time, and never heard of again.
            assert_eq!(
                work.lease(Wanted { kinds: &["told"], least: Priority::Batch, limit: 1 }, Duration::ZERO)
                    .await
                    .unwrap()
                    .len(),
                1
            );
        }
        house.runner.fill().await.unwrap();
        while house.runner.running.join_next().await.is_some() {}
        assert_eq!(work.queue_depth().await.unwrap().parked, 1);
        assert!(house.runs.try_recv().is_err());
    }

    #[rstest]
    #[case(1, 2)]
    #[case(2, 4)]
    #[case(5, 32)]
    #[case(9, 512)]
    #[case(10, 600)]
    #[case(4_000_000_000, 600)]
    fn waits_twice_as_long_each_time_up_to_ten_minutes(#[case] attempt: u32, #[case] seconds: u64) {
        assert_eq!(backoff(attempt), Duration::from_secs(seconds));
    }
}
