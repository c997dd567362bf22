//! Acts into the log, one at a time, and what follows of itself when an instance comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::incoming::{Store, ended};
use crate::config::OnConflict;
use crate::hex::hex;
use crate::index::{AuditRow, InstanceState, Known, act_time};
use crate::ledger::{Act, Entry, Note};
use crate::model::SopInstanceUid;
use crate::objects::DerivedKey;
use crate::packs::act::ActAppend;
use crate::packs::entry::Digest;
use crate::packs::writer::ToLog;
use crate::{Error, ErrorKind, Result};

use super::Stored;

impl Store {
    /// Through the log into the index. When this returns, the act is durable and in force.
    pub(crate) async fn act(self: &Arc<Self>, author: String, reason: String, act: Act) -> Result<Entry> {
        // Finished even when the caller goes away in between, so that numbers follow each other.
        tokio::spawn(self.clone().settle_act(author, reason, act)).await.map_err(|_| ended())?
    }

    async fn settle_act(self: Arc<Self>, author: String, reason: String, act: Act) -> Result<Entry> {
        let _turn = self.acting.acquire().await.map_err(|_| ended())?;
        if self.is_behind.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"));
        }
        self.has_acts.store(true, Ordering::Release);
        let number = self.index.next_act().await?;
        let entry = Entry { number, at: act_time(), author, reason, act };
        let (answer, answered) = oneshot::channel();
        let append = Box::new(ActAppend { entry: entry.clone(), answer });
        self.appends.send(ToLog::Act(append)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())??;
        // The audit is not in the log.
        self.index.sync().await?;
        self.forget_thumbnails(&entry.act).await?;
        Ok(entry)
    }

    /// The pictures that stand for series of which something else is shown now; they are made again.
    async fn forget_thumbnails(&self, act: &Act) -> Result<()> {
        let undone = match act {
            Act::Undo { number } => self.index.act_of(*number).await?.map(|undone| undone.entry.act),
            _ => None,
        };
        let uids = match undone.as_ref().unwrap_or(act) {
            Act::Promote { instance, .. } => std::slice::from_ref(instance),
            act => act.instances().unwrap_or_default(),
        };
        let mut series = HashSet::new();
        for some in uids.chunks(256) {
            let known = self.all_known(some.to_vec()).await?;
            series.extend(known.into_iter().map(|known| (known.instance.study, known.instance.series)));
        }
        for (study, series) in series {
            self.packs.objects.forget_derived(&DerivedKey::thumbnail(&study, &series)).await?;
        }
        Ok(())
    }

    /// What has to follow before the sender of an instance is answered; gives what became of it then.
    pub(super) async fn follow(self: &Arc<Self>, mut stored: Stored, came: &Came) -> Result<Stored> {
        match &mut stored {
            // It may have been destroyed before: then it is new, and shown.
            Stored::New(_) | Stored::Stranger(_) if self.has_acts.load(Ordering::Acquire) => {
                if self.show_again(came).await? {
                    stored = Stored::Rejected(stored.instance().clone());
                }
            }
            Stored::New(_) | Stored::Stranger(_) | Stored::Rejected(_) => {}
            Stored::Same(_) => {
                self.show_again(came).await?;
            }
            Stored::Conflict { is_replaced, .. } => {
                let digest = hex(&came.digest);
                let what = format!("instance {}", came.sop_instance);
                let outcome = format!("another data set is there; kept aside as {digest}");
                self.index.record(&AuditRow::new(&came.sender, "store", what, outcome)).await?;
                *is_replaced = self.instead(came, digest).await?;
            }
        }
        if let Some(note) = &came.note {
            self.reject(came, note).await?;
        }
        Ok(stored)
    }

    /// What was deleted and comes again is shown again. What was rejected by a note stays rejected: gives whether it was.
    async fn show_again(self: &Arc<Self>, came: &Came) -> Result<bool> {
        let state = self.known_now(&came.sop_instance).await?.map(|known| known.state);
        if state != Some(InstanceState::Deleted) {
            return Ok(state == Some(InstanceState::Rejected));
        }
        let restore = Act::Restore { instances: vec![came.sop_instance.clone()] };
        self.act(came.sender.clone(), "it came again".to_owned(), restore).await.map(|_| false)
    }

    /// What comes under the UID of something deleted takes its place, and of something shown where the
    /// settings say so; not under the UID of another study or series. Gives whether it did.
    async fn instead(self: &Arc<Self>, came: &Came, digest: String) -> Result<bool> {
        let known = self.known_now(&came.sop_instance).await?;
        let is_deleted = known.is_some_and(|known| known.state == InstanceState::Deleted);
        let aside = self.index.kept_aside(Some(&came.sop_instance), u32::MAX).await?;
        let can_be_shown = aside.iter().any(|aside| aside.digest == digest && aside.can_be_shown);
        if !can_be_shown || !(is_deleted || self.on_conflict == OnConflict::Replace) {
            return Ok(false);
        }
        let reason = if is_deleted { "it came instead" } else { "store.on-conflict = replace" };
        let promote = Act::Promote { instance: came.sop_instance.clone(), digest };
        self.act(came.sender.clone(), reason.to_owned(), promote).await?;
        if is_deleted {
            self.show_again(came).await?;
        }
        Ok(true)
    }

    async fn reject(self: &Arc<Self>, came: &Came, note: &Note) -> Result<()> {
        if !came.may_reject {
            let outcome = "refused: the sender is not a known peer";
            let row = AuditRow::new(&came.sender, "reject", format!("note {}", came.sop_instance), outcome);
            return self.index.record(&row).await;
        }
        if self.known_now(&came.sop_instance).await?.is_some_and(|known| known.state != InstanceState::Shown)
        {
            // It was applied when it came first.
            return Ok(());
        }
        let mut instances: Vec<SopInstanceUid> = note.instances.clone();
        instances.push(came.sop_instance.clone());
        let title = note.title.code().to_owned();
        let act = Act::Reject { note: came.sop_instance.clone(), title, instances };
        self.act(came.sender.clone(), note.title.meaning().to_owned(), act).await.map(|_| ())
    }

    /// Those of some that were stored and are not shown.
    pub(crate) async fn hidden_among(&self, stored: &[&Stored]) -> Result<HashSet<SopInstanceUid>> {
        // What is new is shown, unless something was done to it.
        let has_acts = self.has_acts.load(Ordering::Acquire);
        let asked = stored.iter().filter(|stored| has_acts || !stored.is_new());
        let asked: Vec<_> = asked.map(|stored| stored.instance().sop_instance.clone()).collect();
        let mut hidden = HashSet::new();
        for some in asked.chunks(256) {
            let known = self.all_known(some.to_vec()).await?.into_iter();
            let not_shown = known.filter(|known| known.state != InstanceState::Shown);
            hidden.extend(not_shown.map(|known| known.instance.sop_instance));
        }
        Ok(hidden)
    }

    async fn known_now(&self, uid: &SopInstanceUid) -> Result<Option<Known>> {
        Ok(self.all_known(vec![uid.clone()]).await?.pop())
    }

    /// What the index knows of some; asking may block the thread.
    async fn all_known(&self, uids: Vec<SopInstanceUid>) -> Result<Vec<Known>> {
        let (index, runtime) = (self.index.clone(), Handle::current());
        let ask = move || runtime.block_on(index.known(&uids.iter().collect::<Vec<_>>()));
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.map_err(|cause| Error::internal("the index did not answer").with_source(cause))?
    }
}

/// What is remembered of an instance while it is stored.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) sop_instance: SopInstanceUid,
    pub(super) digest: Digest,
    pub(super) sender: String,
    pub(super) note: Option<Note>,
    pub(super) may_reject: bool,
}
