//! Whether the server still says anything.
//!
//! Whoever waits for a long statement and whoever waits for a server that is gone without a word see the same. So a
//! connection that does nothing else is asked as soon as anybody has waited for a while: when it is answered the
//! server is at work, and the statement goes on; when not, nobody is going to be answered, and all are told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::reach::Reach;

/// How long a server may take to let a connection in.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long one that is at work may take for a statement; the server has given up by itself before.
const ANSWER: Duration = Duration::from_secs(25);
/// How long nobody looks after somebody has looked in vain. Shorter than the rest of [`Reach`], so that nobody who
/// wants something of the index has to find out.
const REST: Duration = Duration::from_secs(1);

/// What is waited for before a server counts as silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A statement: then it is asked whether the server is there.
    pub(super) quiet: Duration,
    /// The answer to that.
    pub(super) beat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(2), beat: Duration::from_secs(3) }
    }
}

/// What is known of the server by all connections of a node.
#[derive(Debug)]
pub(super) struct Pulse {
    heart: Arc<Heart>,
    limits: Limits,
    _beating: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Heart {
    /// Of the server, as far as silence and new connections show it.
    reach: Reach,
    /// Somebody has waited for a while, or found nobody.
    doubt: Notify,
    /// How often the server has fallen silent.
    silences: AtomicU64,
    /// All who wait are told that it has.
    silence: Notify,
}

/// One connection's share in it.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pulse: Arc<Pulse>,
    /// Silences before the connection was made: it is lost with the next one.
    silences: u64,
}

impl Pulse {
    pub(super) fn new(options: PgConnectOptions, limits: Limits) -> Arc<Self> {
        let heart = Arc::new(Heart {
            reach: Reach::new("the PostgreSQL server of the index does not answer"),
            doubt: Notify::new(),
            silences: AtomicU64::new(0),
            silence: Notify::new(),
        });
        let beating = tokio::spawn(heart.clone().beat(options, limits.beat));
        Arc::new(Self { heart, limits, _beating: AbortOnDropHandle::new(beating) })
    }

    /// For a connection that is made now.
    pub(super) fn listening(self: &Arc<Self>) -> Listening {
        Listening { pulse: self.clone(), silences: self.heart.silences() }
    }

    /// Whether new connections can be had.
    pub(super) fn reach(&self) -> &Reach {
        &self.heart.reach
    }

    /// Nobody was found, or somebody waits for long: it is looked whether the server is there.
    pub(super) fn is_doubtful(&self) {
        self.heart.doubt.notify_one();
    }
}

impl Listening {
    /// Waits for the server as long as it is at work, and no longer than it may take for a statement.
    ///
    /// # Errors
    /// `TimedOut` when it has fallen silent, or did in the life of this connection.
    pub(super) async fn within<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        timeout(ANSWER, self.as_long_as_it_works(work)).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// The same for what takes its time.
    pub(super) async fn as_long_as_it_works<T>(
        &self,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let silence = self.pulse.heart.silence.notified();
        if self.is_lost() {
            return Err(timed_out());
        }
        let (mut work, mut silence) = (std::pin::pin!(work), std::pin::pin!(silence));
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut silence => return Err(timed_out()),
                () = tokio::time::sleep(self.pulse.limits.quiet) => self.pulse.is_doubtful(),
            }
        }
    }

    /// Whether the server has fallen silent since the connection was made.
    pub(super) fn is_lost(&self) -> bool {
        self.silences != self.pulse.heart.silences()
    }
}

impl Heart {
    fn silences(&self) -> u64 {
        self.silences.load(Ordering::Acquire)
    }

    /// Keeps a connection and asks it whenever there is a doubt; looks for the server while it is gone.
    async fn beat(self: Arc<Self>, options: PgConnectOptions, beat: Duration) {
        let mut own = connected(&options, CONNECT).await.ok();
        loop {
            self.doubt.notified().await;
            if answers(&mut own, &options, beat).await {
                continue;
            }
            warn!("index: the PostgreSQL server does not answer");
            self.reach.lost();
            self.silences.fetch_add(1, Ordering::AcqRel);
            self.silence.notify_waiters();
            own = Some(self.found_again(&options).await);
            info!("index: the PostgreSQL server answers again");
        }
    }

    async fn found_again(&self, options: &PgConnectOptions) -> PgConnection {
        loop {
            tokio::time::sleep(REST).await;
            self.reach.hold(CONNECT);
            if let Ok(found) = connected(options, CONNECT).await {
                self.reach.found();
                return found;
            }
            self.reach.lost();
        }
    }
}

/// Whether the server says anything, on the connection that was kept or on a new one where that was ended.
async fn answers(own: &mut Option<PgConnection>, options: &PgConnectOptions, beat: Duration) -> bool {
    if let Some(mut connection) = own.take() {
        match timeout(beat, connection.ping()).await {
            Ok(Ok(())) => {
                *own = Some(connection);
                return true;
            }
            Ok(Err(_ended)) => {}
            Err(_silent) => return false,
        }
    }
    match connected(options, beat).await {
        Ok(connection) => {
            *own = Some(connection);
            true
        }
        // It has said no, so it is there.
        Err(error) => error.as_database_error().is_some(),
    }
}

async fn connected(options: &PgConnectOptions, limit: Duration) -> sqlx::Result<PgConnection> {
    timeout(limit, PgConnection::connect_with(options)).await.map_err(|_| timed_out())?
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::Database;
    use crate::index::postgres::connection::{self, PostgresConnection};
    use crate::index::postgres::pool::Pool;
    use crate::index::sql::{Connection as _, Statement};
    use crate::{ErrorKind, Result};

    const LIMITS: Limits = Limits { quiet: Duration::from_millis(50), beat: Duration::from_secs(1) };

    #[allow(clippy::unwrap_used, reason = "a test's preparation")]
    async fn pool(database: &Database) -> (Pool, Arc<Pulse>) {
        let options = connection::options(database.url().parse().unwrap());
        let pulse = Pulse::new(options.clone(), LIMITS);
        let first = PostgresConnection::open(&options, pulse.listening()).await.unwrap();
        (Pool::new(options, pulse.clone(), first), pulse)
    }

    async fn ask(pool: &Pool, sql: &'static str) -> Result<()> {
        pool.one(async |c| c.fetch(Statement::new(sql)).await.map(drop)).await
    }

    #[tokio::test]
    async fn a_long_statement_of_a_server_that_is_at_work_is_waited_for() {
        let database = Database::new().await;
        let (pool, pulse) = pool(&database).await;
        // Much longer than what a silent server is given.
        ask(&pool, "SELECT pg_sleep(3)").await.unwrap();
        assert!(!pulse.reach().is_lost());
    }

    #[tokio::test]
    async fn all_who_wait_for_a_silent_server_are_told_and_nobody_else_waits() {
        let database = Database::alone().await;
        let (pool, pulse) = pool(&database).await;
        ask(&pool, "SELECT 1").await.unwrap();
        let stopped = database.stopped();
        let waiting = (0..4).map(|_| ask(&pool, "SELECT 1"));
        let told = futures_util::future::join_all(waiting).await;
        assert!(
            told.iter().all(|told| told.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable))
        );
        assert!(pulse.reach().is_lost());
        drop(stopped);
        let goes_on = async {
            while ask(&pool, "SELECT 1").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), goes_on).await.unwrap();
    }
}
