//! The connections of a node.
//!
//! One that is used is in nobody else's hands, and comes back only when it is known to be well: a
//! future that is dropped takes its connection with it, and the server undoes what it had begun.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::connection::PostgresConnection;
use super::pulse::{CONNECT, Pulse};
use crate::index::sql::closed;
use crate::{Error, ErrorKind, Result};

/// Connections at the same time, without those that commit and listen.
const CONNECTIONS: usize = 16;
/// How long one may be waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that was not used for so long is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(5);

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Not at all: a single statement is one by itself.
    Nothing,
    /// All statements see one state of the index.
    Snapshot,
    /// Changes, all or none of them.
    Changes,
}

impl Begin {
    fn sql(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Self::Changes => Some("BEGIN"),
        }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    options: PgConnectOptions,
    idle: Arc<Mutex<Vec<(PostgresConnection, Instant)>>>,
    /// One for each connection; closed with the pool.
    permits: Arc<Semaphore>,
    pulse: Arc<Pulse>,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, pulse: Arc<Pulse>, first: PostgresConnection) -> Self {
        let idle = Mutex::new(vec![(first, Instant::now())]);
        Self { options, idle: Arc::new(idle), permits: Arc::new(Semaphore::new(CONNECTIONS)), pulse }
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Asks by a single statement.
    pub(super) async fn one<T>(&self, work: impl AsyncFn(&mut PostgresConnection) -> Result<T>) -> Result<T> {
        self.read(Begin::Nothing, work).await
    }

    /// Asks; once more on a new connection when an old one turns out to have gone.
    pub(super) async fn read<T>(
        &self,
        begin: Begin,
        work: impl AsyncFn(&mut PostgresConnection) -> Result<T>,
    ) -> Result<T> {
        self.run(begin, work).await
    }

    /// Changes rows, all or none; once more when another transaction was in the way.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFn(&mut PostgresConnection) -> Result<T>,
    ) -> Result<T> {
        self.run(Begin::Changes, work).await
    }

    async fn run<T>(
        &self,
        begin: Begin,
        work: impl AsyncFn(&mut PostgresConnection) -> Result<T>,
    ) -> Result<T> {
        let _permit = self.permit().await?;
        let mut is_again = false;
        loop {
            let mut connection = self.take().await?;
            let result = transaction(&mut connection, begin, &work).await;
            let can_help = connection.is_worth_again || connection.is_stale();
            self.put_back(connection);
            if result.is_ok() || is_again || !can_help {
                return result;
            }
            is_again = true;
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        match tokio::time::timeout(PATIENCE, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| closed()),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "all connections to PostgreSQL are busy")),
        }
    }

    /// A connection that is alive, as far as can be known.
    pub(super) async fn take(&self) -> Result<PostgresConnection> {
        if self.permits.is_closed() {
            return Err(closed());
        }
        while let Some((mut connection, since)) = self.pop() {
            if !connection.is_broken() && (since.elapsed() < IDLE || connection.is_alive().await) {
                connection.take_up();
                return Ok(connection);
            }
        }
        // Whoever tries has so long; all others hear at once what the last has met.
        self.pulse.reach().admit(CONNECT)?;
        let opened = PostgresConnection::open(&self.options, self.pulse.listening()).await;
        match &opened {
            Err(cause) if cause.kind == ErrorKind::Unavailable => {
                self.pulse.reach().lost();
                self.pulse.is_doubtful();
            }
            _ => self.pulse.reach().found(),
        }
        opened
    }

    fn pop(&self) -> Option<(PostgresConnection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a connection for the next; one that is broken is dropped, with those that were idle beside it.
    pub(super) fn put_back(&self, connection: PostgresConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_broken() {
            idle.clear();
        } else if idle.len() < CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
    }

    /// Waits for what is under way and closes all connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let waited = tokio::time::timeout(PATIENCE, self.permits.acquire_many(all)).await;
        self.permits.close();
        drop(waited);
        while let Some((connection, _)) = self.pop() {
            if let Err(error) = connection.close().await {
                tracing::debug!(error = %error.chain(), "index: a connection was not closed cleanly");
            }
        }
    }
}

async fn transaction<T>(
    connection: &mut PostgresConnection,
    begin: Begin,
    work: &impl AsyncFn(&mut PostgresConnection) -> Result<T>,
) -> Result<T> {
    let Some(sql) = begin.sql() else { return work(connection).await };
    connection.run(sql).await?;
    let result = match work(connection).await {
        Ok(value) => connection.run("COMMIT").await.map(|_| value),
        Err(error) => Err(error),
    };
    if result.is_err() {
        connection.roll_back().await;
    }
    result
}
