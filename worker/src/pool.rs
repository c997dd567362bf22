//! The threads that compute: rayon behind a future.
//!
//! Async tasks wait, the pool computes; pixels and compression never run on an async thread. The
//! pool takes a bounded number of pieces of work; who comes later waits for a place, and gives it
//! back by being dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

use crate::transcode::Recent;
use crate::{Error, Result};

/// Pieces of work that may wait for a thread, for each thread of the pool.
///
/// Enough that no thread idles between two pieces; few enough that work whose caller has gone is
/// not kept in memory by the thousand.
const WAITING_PER_THREAD: usize = 16;

/// A pool of computing threads, cheap to clone; the threads end with the last clone.
#[derive(Clone, Debug)]
pub struct CpuPool {
    threads: Arc<rayon::ThreadPool>,
    places: Arc<Semaphore>,
    recent: Arc<Recent>,
}

/// A piece of work panicked; the pool lives on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("computation panicked: {message}")]
pub struct Panicked {
    /// What the panic said, or a placeholder when it said nothing readable.
    pub message: String,
}

impl CpuPool {
    /// A pool of so many threads; 0 stands for as many as the machine has cores.
    ///
    /// # Errors
    /// `Pool` when the system refuses the threads.
    pub fn new(threads: usize) -> Result<Self> {
        let count = match threads {
            0 => available_parallelism().map_or(1, usize::from),
            some => some,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("pixel-{index}"))
            .build()
            .map_err(Error::Pool)?;
        let places = Arc::new(Semaphore::new(count.saturating_mul(1 + WAITING_PER_THREAD)));
        Ok(Self { threads: Arc::new(pool), places, recent: Arc::new(Recent::new()) })
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// What was made lately, for others who ask for it.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Runs the work on a thread of the pool, in the caller's tracing span, first come first served.
    ///
    /// Waits while the pool is full. Work whose caller has dropped this future before a thread took
    /// it is skipped; work under way is finished, as nothing can stop it. The work must not wait for
    /// anything but memory: no locks across I/O, no network.
    ///
    /// # Errors
    /// `Panicked` when the work panicked.
    pub async fn run<R, F>(&self, work: F) -> Result<R, Panicked>
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let (answer, result) = oneshot::channel();
        let span = Span::current();
        self.threads.spawn_fifo(move || {
            if answer.is_closed() {
                return;
            }
            let outcome = span.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
            drop(place);
            // Nobody listens any more when the caller has gone in the meantime.
            drop(answer.send(outcome.map_err(|panic| Panicked { message: message_of(panic.as_ref()) })));
        });
        result.await.unwrap_or_else(|_| Err(Panicked { message: "the pool ended".into() }))
    }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn gives_back_what_the_work_returned() {
        let pool = CpuPool::new(2).unwrap();
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_work_and_the_pool_lives_on() {
        let pool = CpuPool::new(1).unwrap();
        let panicked = pool.run(|| panic!("row 3 is missing")).await.unwrap_err();
        assert_eq!(panicked.message, "row 3 is missing");
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_skipped() {
        let pool = CpuPool::new(1).unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let blocker = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || gate.recv().is_ok()).await }
        });
        while pool.places.available_permits() == 1 + WAITING_PER_THREAD {
            tokio::task::yield_now().await;
        }

        let ran = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ran);
        let mut abandoned = Box::pin(pool.run(move || counter.fetch_add(1, Ordering::SeqCst)));
        assert!(futures_util::poll!(&mut abandoned).is_pending());
        drop(abandoned);
        go.send(()).unwrap();

        assert_eq!(blocker.await.unwrap(), Ok(true));
        assert_eq!(pool.run(|| ()).await, Ok(()));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_comes_when_the_pool_is_full_waits_for_a_place() {
        let pool = CpuPool::new(1).unwrap();
        let held = Arc::clone(&pool.places)
            .acquire_many_owned(u32::try_from(1 + WAITING_PER_THREAD).unwrap())
            .await
            .unwrap();
        let mut waiting = Box::pin(pool.run(|| "done"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert_eq!(waiting.await, Ok("done"));
    }

    #[tokio::test]
    async fn zero_threads_means_one_a_core() {
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(CpuPool::new(0).unwrap().threads(), cores);
    }
}
