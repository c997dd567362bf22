//! The writer of an archive whose answers wait for the object store: each group is a small pack of its own.
//!
//! The packs are put many at a time, and whatever comes meanwhile makes the next group, so that a store that is far
//! away gets fewer and larger packs. They are gathered later. A pack whose fate is not known when its senders are
//! refused may be in the store all the same: the next start finds it, and what it holds is there already or new.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use object_store::PutPayload;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tracing::warn;

use super::Packs;
use super::act::{self, ActAppend};
use super::entry::BLOCK_BYTES;
use super::file::PackFile;
use super::writer::{Append, Durable, ToLog, gather, known, layout, placed, refuse, send, settle};
use crate::config::OnConflict;
use crate::index::{Index, Mark};
use crate::model::Location;
use crate::{Error, ErrorKind, Result};

/// Packs that are put at once.
const AT_A_TIME: usize = 16;

pub(super) struct Remote {
    pub(super) packs: Arc<Packs>,
    pub(super) index: Arc<dyn Index>,
    pub(super) durable: mpsc::Sender<Durable>,
    pub(super) on_conflict: OnConflict,
}

impl Remote {
    /// Writes until nobody sends any more. Runs on a thread that may block. `open`: a pack of the log that was not
    /// full when the archive still wrote there.
    pub(super) async fn run(self, open: Option<PackFile>, mut to_write: Receiver<ToLog>) {
        self.seal(open);
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        let mut puts = JoinSet::new();
        loop {
            let turn = turns.clone().acquire_owned().await.expect("the semaphore is never closed");
            let first = match to_write.recv().await {
                Some(ToLog::Append(first)) => *first,
                Some(ToLog::Act(act)) => {
                    self.put_act(act).await;
                    continue;
                }
                Some(ToLog::Tick | ToLog::Seal) => continue,
                None => break,
            };
            let (group, next) = gather(first, &mut to_write);
            if let Some(ToLog::Act(act)) = next {
                self.put_act(act).await;
            }
            let group = match known(&*self.index, &group).await {
                Ok(known) => settle(&known, group, self.on_conflict),
                Err(cause) => {
                    refuse(group.into_iter().map(|append| append.answer), &cause);
                    continue;
                }
            };
            if group.is_empty() {
                continue;
            }
            let (packs, durable) = (self.packs.clone(), self.durable.clone());
            puts.spawn(async move {
                put(&packs, &durable, group).await;
                drop(turn);
            });
            while puts.try_join_next().is_some() {}
        }
        while puts.join_next().await.is_some() {}
    }

    async fn put_act(&self, act: Box<ActAppend>) {
        match act::put(&self.packs, &act.entry).await.map_err(unavailable) {
            Ok(mark) => send(&self.durable, Durable::Act(act, mark)),
            Err(cause) => {
                warn!(error = %cause.chain(), act = act.entry.number, "object store: an act was not taken");
                // Somebody who has gone needs no answer.
                let _ = act.answer.send(Err(cause));
            }
        }
    }

    fn seal(&self, open: Option<PackFile>) {
        let Some(open) = open else { return };
        match open.seal() {
            Ok(true) => send(&self.durable, Durable::Sealed(open.id)),
            Ok(false) => {}
            Err(error) => warn!(pack = %open.id, %error, "log: a pack was not sealed"),
        }
    }
}

async fn put(packs: &Packs, durable: &mpsc::Sender<Durable>, group: Vec<Append>) {
    match put_group(packs, &group).await {
        Ok((mark, locations)) => {
            let entries = placed(group, locations);
            send(durable, Durable::Whole { entries, mark });
        }
        Err(cause) => {
            warn!(error = %cause.chain(), instances = group.len(), "object store: a group was not taken");
            // It may have got there all the same: the next start finds it. It is not deleted, for what lies
            // under this number may be another's.
            refuse(group.into_iter().map(|append| append.answer), &cause);
        }
    }
}

async fn put_group(packs: &Packs, group: &[Append]) -> Result<(Mark, Vec<Location>)> {
    let pack = packs.next_id_for_good().await.map_err(unavailable)?;
    let (mut slices, locations) = layout(pack, 0, group)?;
    let offset = slices.iter().map(|slice| slice.len() as u64).sum();
    slices.push(Bytes::from_static(&[0; 2 * BLOCK_BYTES]));
    packs.objects.put_pack(pack, PutPayload::from_iter(slices)).await.map_err(unavailable)?;
    Ok((Mark { pack, offset }, locations))
}

/// What a sender hears is that it may try again: that a number is taken is no fault of the instance.
fn unavailable(cause: Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the object store did not take a pack").with_source(cause)
}
