//! What is done to the archive beyond storing, and what is told of it.

use std::collections::HashSet;

use super::Session;
use crate::access::Action;
use crate::index::{
    AuditRow, DamageQuery, DamagedInstance, Hidden, InstanceState, KeptAside, Recorded, StudyText, TextCount,
    TextQuery,
};
use crate::ingest::Stored;
use crate::ledger::{Act, Entry, Order};
use crate::model::{Resource, SopInstanceUid};
use crate::{Error, ErrorKind, Result};

/// Characters of a reason, at the most.
const MAX_REASON: usize = 1024;
/// Damaged instances that are told of a resource, at the most.
const MOST_DAMAGED: u32 = 100_000;
/// Studies that one question may name.
const MAX_STUDIES: usize = 100;

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
        let (store, upkeep, author, reason) =
            (store.clone(), self.archive.upkeep(), self.caller.author(), reason.to_owned());
        // Whoever asked may go; it is done all the same. Where the server stops, it is finished after its start.
        let doing = tokio::spawn(async move {
            let mut done = Vec::with_capacity(acts.len());
            for act in acts {
                done.push(store.act(author.clone(), reason.clone(), act).await?);
            }
            upkeep.follow(&done).await?;
            Ok::<_, Error>(done)
        });
        doing.await.map_err(|cause| Error::internal("an act did not finish").with_source(cause))?
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

    /// The same of one resource.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn hidden_of(&self, of: &Resource, limit: u32) -> Result<Vec<Hidden>> {
        self.caller.check(Action::Delete)?;
        self.archive.inner.index.hidden(Some(of), limit).await
    }

    /// Whether nothing of a resource is shown, and what was there last was deleted and can be restored. Who may retrieve
    /// is told; not what it was, nor by whom it was deleted.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn is_deleted(&self, of: &Resource) -> Result<bool> {
        self.caller.check(Action::Retrieve)?;
        let index = &self.archive.inner.index;
        let Some(last) = index.hidden(Some(of), 1).await?.pop() else { return Ok(false) };
        if last.state != InstanceState::Deleted || !index.instances(of).await?.is_empty() {
            return Ok(false);
        }
        let act = index.act_of(last.act).await?;
        Ok(act.is_some_and(|recorded| matches!(recorded.entry.act, Act::Delete { .. })))
    }

    /// Instances that are damaged and not given out until they come again, from what was stored last.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn damaged(&self, query: &DamageQuery) -> Result<Vec<DamagedInstance>> {
        self.caller.check(Action::Delete)?;
        self.archive.inner.index.all_damaged(query).await
    }

    /// Those of a resource: what a retrieve of it lacks. Who may retrieve is told.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn damaged_of(&self, of: &Resource) -> Result<Vec<DamagedInstance>> {
        self.caller.check(Action::Retrieve)?;
        let query = DamageQuery { of: Some(of.clone()), before: None, limit: MOST_DAMAGED };
        self.archive.inner.index.all_damaged(&query).await
    }

    /// Those of some that came now and are not shown: what was rejected stays so when it comes again, and with what it
    /// rejects a note hides itself. Who may store is told.
    ///
    /// # Errors
    /// `Forbidden`, `Unavailable`.
    pub async fn hidden_among(&self, stored: &[&Stored]) -> Result<HashSet<SopInstanceUid>> {
        self.caller.check(Action::Store)?;
        self.archive.store()?.hidden_among(stored).await
    }

    /// What came under UIDs that were taken and is kept aside, from the newest.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn kept_aside(&self, limit: u32) -> Result<Vec<KeptAside>> {
        self.caller.check(Action::Correct)?;
        self.archive.inner.index.kept_aside(None, limit).await
    }

    /// How the text of what is shown is read, by sender.
    ///
    /// # Errors
    /// As [`Session::acts`].
    pub async fn text_counts(&self) -> Result<Vec<TextCount>> {
        self.caller.check(Action::Correct)?;
        self.archive.inner.index.text_counts().await
    }

    /// How that of single studies is, from the one that came last. Who may search may ask for studies by name.
    ///
    /// # Errors
    /// As [`Session::acts`]; `Invalid` when more than 100 are named.
    pub async fn text_of_studies(&self, query: &TextQuery) -> Result<Vec<StudyText>> {
        self.caller.check(if query.studies.is_empty() { Action::Correct } else { Action::Search })?;
        if query.studies.len() > MAX_STUDIES {
            return Err(Error::invalid(format!("up to {MAX_STUDIES} studies may be named at a time")));
        }
        self.archive.inner.index.text_of_studies(query).await
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
    pub(super) async fn check_audited(&self, action: Action) -> Result<()> {
        let checked = self.caller.check(action);
        if let Err(Error { kind: ErrorKind::Forbidden, what, .. }) = &checked {
            let row =
                AuditRow::new(self.caller.author(), format!("{action:?}").to_lowercase(), "archive", what);
            self.archive.inner.index.record(&row).await?;
        }
        checked
    }
}
