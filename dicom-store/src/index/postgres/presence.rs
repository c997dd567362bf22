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
    /// Its locks are held, so that the others know of it.
    is_known: bool,
}

impl Presence {
    /// # Errors
    /// `Conflict` when another server works under this number, or the index is being made anew.
    pub(super) async fn begin(&self, options: &PgConnectOptions, node: u64, schema: String) -> Result<()> {
        self.end();
        let one = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
        let pool = one.connect_lazy_with(options.clone());
        let listener = PgListener::connect_with(&pool).await.map_err(postgres_error)?;
        let mut post = Post { listener, node, schema, is_known: true };
        // In this order: one that is refused has not been seen at work.
        post.share().await?;
        post.take_number().await?;
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
    /// Keeps the index from being made anew.
    async fn share(&mut self) -> Result<()> {
        match sqlx::query(nodes::SHARE).execute(&mut self.listener).await {
            Ok(_) => Ok(()),
            Err(error) if is_held(&error) => Err(Error::conflict(
                "the index is being made anew by `filmless reindex`; a server can start when that has ended",
            )),
            Err(error) => Err(postgres_error(error)),
        }
    }

    async fn take_number(&mut self) -> Result<()> {
        let node = i32::try_from(self.node).unwrap_or(i32::MAX);
        match sqlx::query(nodes::LOCK).bind(node).execute(&mut self.listener).await {
            Ok(_) => Ok(()),
            Err(error) if is_held(&error) => Err(Error::conflict(format!(
                "another server is at work as node {node}; was its data folder copied?"
            ))),
            Err(error) => Err(postgres_error(error)),
        }
    }

    async fn follow(mut self, pool: Pool, changes: Changes) {
        let (mut is_cut_off, mut is_missed) = (false, false);
        loop {
            if !self.is_known {
                let was_missed = is_missed;
                let back = self.come_back().await;
                is_missed = back.is_err();
                if let (Err(error), false) = (back, was_missed) {
                    warn!(node = self.node, error = %error.chain(), "index: the number of this node could not be locked again");
                }
            }
            tokio::select! {
                heard = self.listener.try_recv() => match heard {
                    Ok(Some(notification)) => {
                        changes.advance(self.cursor(notification.payload()).unwrap_or_default());
                        continue;
                    }
                    Ok(None) => self.is_known = false,
                    Err(error) => {
                        debug!(%error, "index: nothing is heard of other nodes");
                        self.is_known = false;
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

    /// On a new connection, after the old one has gone. The number comes first: whoever makes the index anew meanwhile
    /// sees that the node is at work, and leaves the index as it is.
    async fn come_back(&mut self) -> Result<()> {
        self.take_number().await?;
        self.share().await?;
        self.is_known = true;
        Ok(())
    }
}

/// Whether a lock was waited for in vain.
fn is_held(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"))
}
