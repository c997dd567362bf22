//! A node among others: it is known to be at work, and hears what the others put in the feed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::error::postgres_error;
use super::nodes;
use super::pool::Pool;
use crate::change::{Changes, Cursor};
use crate::index::sql::Statement;
use crate::{Error, Result};

const CHANNEL: &str = "filmless";
/// How often the feed is looked at: a notification may be lost with its connection.
const LOOK: Duration = Duration::from_secs(2);
/// How long a server may take to let the listener in.
const CONNECT: Duration = Duration::from_secs(5);

/// Tells the other nodes, when the transaction is committed, how far the feed has come. Archives in other schemas of
/// the database hear it too.
pub(super) fn told(last_change: i64) -> Statement {
    let sql = "SELECT pg_notify('filmless', CAST(? AS TEXT) || ' ' || current_schema())";
    Statement::new(sql).bind(last_change)
}

/// One connection that listens, and holds the lock of the node's number as long as the node works.
#[derive(Debug, Default)]
pub(super) struct Presence {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Away,
    Here(Box<Post>),
    Following(#[expect(dead_code, reason = "ends with the index")] AbortOnDropHandle<()>),
}

/// Where a node listens.
#[derive(Debug)]
struct Post {
    listener: PgListener,
    node: u64,
    schema: String,
}

impl Presence {
    /// # Errors
    /// `Conflict` when another server works under this number.
    pub(super) async fn begin(&self, options: &PgConnectOptions, node: u64, schema: String) -> Result<()> {
        self.end();
        let one = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
        let pool = one.connect_lazy_with(options.clone());
        let listener = PgListener::connect_with(&pool).await.map_err(postgres_error)?;
        let mut post = Post { listener, node, schema };
        post.take_place().await.map_err(|error| taken(node, error))?;
        post.listener.listen(CHANNEL).await.map_err(postgres_error)?;
        self.set(State::Here(Box::new(post)));
        Ok(())
    }

    /// Tells of what is heard from now on.
    pub(super) fn follow(&self, pool: &Pool, changes: &Changes) {
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let State::Here(post) = state else { return };
        let following = post.follow(pool.clone(), changes.clone());
        self.set(State::Following(AbortOnDropHandle::new(tokio::spawn(following))));
    }

    pub(super) fn end(&self) {
        self.set(State::Away);
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Post {
    /// Takes the lock of the number. The server needs a moment to see that a killed node has gone, so it is waited for.
    async fn take_place(&mut self) -> sqlx::Result<()> {
        let node = i32::try_from(self.node).unwrap_or(i32::MAX);
        let lock = sqlx::query(nodes::LOCK).bind(node);
        lock.execute(&mut self.listener).await.map(|_| ())
    }

    async fn follow(mut self, pool: Pool, changes: Changes) {
        let mut is_cut_off = false;
        loop {
            tokio::select! {
                heard = self.listener.try_recv() => match heard {
                    Ok(Some(notification)) => {
                        changes.advance(self.cursor(notification.payload()).unwrap_or_default());
                        continue;
                    }
                    Ok(None) => self.come_back().await,
                    Err(error) => {
                        debug!(%error, "index: nothing is heard of other nodes");
                        tokio::time::sleep(LOOK).await;
                    }
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            let was_cut_off = is_cut_off;
            let last = pool.one(async |c| nodes::last_change(c).await).await;
            is_cut_off = last.is_err();
            match last {
                Ok(last) => changes.advance(last),
                Err(error) if !was_cut_off => warn!(error = %error.chain(), "index: the feed cannot be read"),
                Err(_) => {}
            }
        }
    }

    /// What is told within this archive.
    fn cursor(&self, payload: &str) -> Option<Cursor> {
        let (cursor, schema) = payload.split_once(' ')?;
        if schema == self.schema { cursor.parse().ok().map(Cursor) } else { None }
    }

    /// On a new connection, after the old one has gone.
    async fn come_back(&mut self) {
        if let Err(error) = self.take_place().await {
            let error = postgres_error(error);
            warn!(node = self.node, error = %error.chain(), "index: the number of this node could not be locked again");
        }
    }
}

fn taken(node: u64, error: sqlx::Error) -> Error {
    let is_held = error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"));
    if is_held {
        return Error::conflict(format!(
            "another server is at work as node {node}; was its data folder copied?"
        ));
    }
    postgres_error(error)
}
