//! Work that is done once something has happened, again until it succeeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dicom_store::queue::{NewJob, Priority, Progress};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A kind of work. It may run twice for one thing, and has to give the same then.
pub trait Job: Send + Sync + 'static {
    /// The name of the kind in the queue; changing it leaves queued work undone.
    const KIND: &'static str;

    /// How long one run may take.
    const TIME_LIMIT: Duration = Duration::from_secs(60);

    /// Runs of it before it is parked for somebody to look at.
    const ATTEMPTS: u32 = 8;

    /// What it comes before, where nothing else is said when it is asked for.
    const PRIORITY: Priority = Priority::Usual;

    /// Of its kind, so many run at once on one node at the most.
    const AT_A_TIME: usize = usize::MAX;

    /// What a run has to know, kept in the queue as JSON.
    type Payload: Serialize + DeserializeOwned + Send;

    /// Does it. What can never succeed is an error that [`Error::is_permanent`], or no error at all
    /// when there is nothing that anybody could do. It may be dropped wherever it waits: somebody has cancelled it, or the
    /// server stops.
    fn run(&self, payload: Self::Payload, far: &HowFar) -> impl Future<Output = Result<()>> + Send;
}

/// Where a job that runs tells how far it is; who looks at the queue sees it some seconds later.
#[derive(Debug, Default)]
pub struct HowFar {
    done: AtomicU64,
    total: AtomicU64,
}

impl HowFar {
    /// So much is to be done, in whatever the job counts.
    pub fn of(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much more is done.
    pub fn add(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) -> Progress {
        Progress { done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }
}

/// A row for the queue.
///
/// Of one key, one job waits at most: asking again moves it to `delay` from now.
///
/// # Errors
/// `Payload` when the payload cannot be written as JSON.
pub fn new_job<J: Job>(key: String, payload: &J::Payload, delay: Duration) -> Result<NewJob> {
    let payload = serde_json::to_string(payload)
        .map_err(|source| Error::Payload { kind: J::KIND.to_owned(), source })?;
    Ok(NewJob { kind: J::KIND, key, payload, delay, priority: J::PRIORITY })
}

/// The kinds of work that this server does.
#[derive(Default)]
pub struct Registry {
    jobs: BTreeMap<&'static str, Box<dyn AnyJob>>,
}

impl Registry {
    /// No kinds yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more; a kind of the same name is replaced.
    #[must_use]
    pub fn with<J: Job>(mut self, job: J) -> Self {
        self.jobs.insert(J::KIND, Box::new(job));
        self
    }

    /// The names of all kinds.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.jobs.keys().copied().collect()
    }

    /// Runs of a job of that kind before it is parked.
    pub(crate) fn attempts(&self, kind: &str) -> u32 {
        self.jobs.get(kind).map_or(1, |job| job.attempts())
    }

    /// The kinds, each with how many of it may run at once.
    pub(crate) fn at_a_time(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.jobs.iter().map(|(kind, job)| (*kind, job.at_a_time()))
    }

    /// Runs a job of that kind, within its time limit.
    ///
    /// # Errors
    /// `UnknownKind`, `Payload`, `TimeLimit`, or what the job answers.
    pub(crate) async fn run(&self, kind: &str, payload: &str, far: &HowFar) -> Result<()> {
        let job = self.jobs.get(kind).ok_or_else(|| Error::UnknownKind(kind.to_owned()))?;
        let limit = job.time_limit();
        tokio::time::timeout(limit, job.run_text(payload, far)).await.unwrap_or(Err(Error::TimeLimit(limit)))
    }
}

/// A job whose payload is text: what the registry holds.
trait AnyJob: Send + Sync {
    fn time_limit(&self) -> Duration;
    fn attempts(&self) -> u32;
    fn at_a_time(&self) -> usize;
    fn run_text<'a>(&'a self, payload: &'a str, far: &'a HowFar) -> BoxFuture<'a, Result<()>>;
}

impl<J: Job> AnyJob for J {
    fn time_limit(&self) -> Duration {
        J::TIME_LIMIT
    }

    fn attempts(&self) -> u32 {
        J::ATTEMPTS
    }

    fn at_a_time(&self) -> usize {
        J::AT_A_TIME
    }

    fn run_text<'a>(&'a self, payload: &'a str, far: &'a HowFar) -> BoxFuture<'a, Result<()>> {
        async move {
            let payload = serde_json::from_str(payload)
                .map_err(|source| Error::Payload { kind: J::KIND.to_owned(), source })?;
            self.run(payload, far).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    struct Add(Arc<AtomicU32>);

    impl Job for Add {
        const KIND: &'static str = "add";
        type Payload = u32;

        async fn run(&self, payload: u32, _: &HowFar) -> Result<()> {
            self.0.fetch_add(payload, Ordering::SeqCst);
            Ok(())
        }
    }

    struct Endless;

    impl Job for Endless {
        const KIND: &'static str = "endless";
        const TIME_LIMIT: Duration = Duration::from_millis(1);
        type Payload = ();

        async fn run(&self, (): (), _: &HowFar) -> Result<()> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_payload_comes_back_to_its_kind() {
        let sum = Arc::new(AtomicU32::new(0));
        let registry = Registry::new().with(Add(Arc::clone(&sum))).with(Endless);
        let row = new_job::<Add>("k".into(), &7, Duration::ZERO).unwrap();
        registry.run(row.kind, &row.payload, &HowFar::default()).await.unwrap();
        assert_eq!(sum.load(Ordering::SeqCst), 7);
        assert_eq!(registry.kinds(), ["add", "endless"]);
    }

    #[tokio::test]
    async fn what_nobody_understands_is_an_error_for_good() {
        let registry = Registry::new().with(Add(Arc::default()));
        let unknown = registry.run("subtract", "7", &HowFar::default()).await.unwrap_err();
        let garbled = registry.run("add", "seven", &HowFar::default()).await.unwrap_err();
        assert!(matches!(unknown, Error::UnknownKind(_)) && unknown.is_permanent());
        assert!(matches!(garbled, Error::Payload { .. }) && garbled.is_permanent());
    }

    #[tokio::test]
    async fn a_run_ends_at_its_time_limit() {
        let error =
            Registry::new().with(Endless).run("endless", "null", &HowFar::default()).await.unwrap_err();
        assert!(matches!(error, Error::TimeLimit(_)) && !error.is_permanent());
    }
}
