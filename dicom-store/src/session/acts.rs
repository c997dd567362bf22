//! What is done to the archive beyond storing, and what is told of it.

use super::Session;
use crate::access::Action;
use crate::index::{AuditRow, Hidden, KeptAside, Recorded};
use crate::ledger::{Act, Entry, Order};
use crate::{Error, ErrorKind, Result};

/// Characters of a reason, at the most.
const MAX_REASON: usize = 1024;

impl Session {
    /// Does what is asked for. When this returns it is durable and every answer follows it, and what was to be destroyed
    /// is in no pack any more. Gives the acts that it became, in their order.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, `Invalid` and `Conflict` as the order deserves; `Unavailable` and `Exhausted` as
    /// storing an instance.
    pub async fn act(&self, order: &Order, reason: &str) -> Result<Vec<Entry>> {
        self.check_audited(order.action()).await?;
        let is_text = reason.chars().count() <= MAX_REASON && !reason.chars().any(char::is_control);
        if !is_text {
            return Err(Error::invalid(format!("a reason is one line of up to {MAX_REASON} characters")));
        }
        if matches!(order, Order::Destroy { .. }) && reason.trim().is_empty() {
            return Err(Error::invalid("a destruction needs a reason"));
        }
        let store = self.archive.store()?;
        let acts = order.acts(&*self.archive.inner.index).await?;
        let mut done = Vec::with_capacity(acts.len());
        for act in acts {
            let entry = store.act(self.caller.author(), reason.to_owned(), act).await?;
            if let Act::Destroy { instances } = &entry.act {
                self.archive.upkeep().destroy(instances).await?;
            }
            done.push(entry);
        }
        Ok(done)
    }

    /// The last acts before one of them, from the newest.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn acts(&self, before: Option<u64>, limit: u32) -> Result<Vec<Recorded>> {
        self.caller.check(Action::Delete)?;
        self.archive.inner.index.acts(before, limit).await
    }

    /// What is deleted or rejected, from what was hidden last.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn hidden(&self, limit: u32) -> Result<Vec<Hidden>> {
        self.caller.check(Action::Delete)?;
        self.archive.inner.index.hidden(None, limit).await
    }

    /// What came under UIDs that were taken and is kept aside, from the newest.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn kept_aside(&self, limit: u32) -> Result<Vec<KeptAside>> {
        self.caller.check(Action::Correct)?;
        self.archive.inner.index.kept_aside(None, limit).await
    }

    /// The last rows of the audit before a place, from the newest, each with its place.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<(u64, AuditRow)>> {
        self.caller.check(Action::Delete)?;
        self.archive.inner.index.audit(before, limit).await
    }

    /// A refusal is written down as well.
    async fn check_audited(&self, action: Action) -> Result<()> {
        let checked = self.caller.check(action);
        if let Err(Error { kind: ErrorKind::Forbidden, what, .. }) = &checked {
            let row =
                AuditRow::new(self.caller.author(), format!("{action:?}").to_lowercase(), "archive", what);
            self.archive.inner.index.record(&row).await?;
        }
        checked
    }
}
