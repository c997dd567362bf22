//! Who makes durable what was written, while the next is written.
//!
//! The disk has nothing to do while one group is copied into the system's cache and the next is looked up in the index.
//! So large groups are synced by a thread of their own: it takes all that was written meanwhile together, and one sync does
//! for all of it. While it has nothing to do, a small group is synced where it was written, and one whose sender is alone,
//! which saves the way from thread to thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::file::OpenPack;
use super::synced::Syncing;
use crate::{Error, Result};

/// What is written and not durable yet.
pub(super) struct Unsynced {
    pub(super) pack: Arc<OpenPack>,
    pub(super) end: u64,
    pub(super) syncing: Syncing,
}

impl Unsynced {
    /// Gives whether it is durable now.
    pub(super) fn sync(self) -> bool {
        let Self { pack, end, syncing } = self;
        let result = pack.sync_to(end).map_err(Error::from);
        let is_durable = result.is_ok();
        syncing.tell(result);
        is_durable
    }
}

enum ToSync {
    Group(Unsynced),
    /// To be told when all before this is done.
    TellWhenDone(Sender<()>),
}

#[derive(Debug)]
pub(super) struct Syncer {
    /// `None` once it is to end.
    to: Option<Sender<ToSync>>,
    under_way: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `spawn` starts the thread.
    ///
    /// # Errors
    /// What the system says when it has no thread left.
    pub(super) fn start(
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let (to, from) = channel();
        let under_way = Arc::new(AtomicUsize::new(0));
        let counted = under_way.clone();
        let thread = spawn(Box::new(move || run(&from, &counted)))?;
        Ok(Self { to: Some(to), under_way, thread: Some(thread) })
    }

    /// Whether all that it was given is durable, or has failed.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }

    /// Syncs it soon, and tells.
    pub(super) fn take(&self, unsynced: Unsynced) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        // A thread that has died is told of elsewhere, and the group is not durable.
        let _ = self.to.as_ref().map(|to| to.send(ToSync::Group(unsynced)));
    }

    /// Blocks the thread.
    ///
    /// # Errors
    /// `Internal` when its thread has died: what it was given is not known to be durable.
    pub(super) fn wait_until_idle(&self) -> Result<()> {
        if self.is_idle() {
            return Ok(());
        }
        let died = || Error::internal("the thread that syncs the log has ended");
        let (done, is_done) = channel();
        let to = self.to.as_ref().ok_or_else(died)?;
        to.send(ToSync::TellWhenDone(done)).map_err(|_| died())?;
        is_done.recv().map_err(|_| died())
    }
}

impl Drop for Syncer {
    /// Ends with what it was given.
    fn drop(&mut self) {
        self.to = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(from: &Receiver<ToSync>, under_way: &AtomicUsize) {
    let mut next = from.recv().ok();
    while let Some(first) = next.take() {
        let first = match first {
            ToSync::Group(first) => first,
            ToSync::TellWhenDone(done) => {
                // Who has gone need not know.
                let _ = done.send(());
                next = from.recv().ok();
                continue;
            }
        };
        let (pack, mut end, mut told) = (first.pack, first.end, vec![first.syncing]);
        while let Ok(behind) = from.try_recv() {
            match behind {
                ToSync::Group(group) if Arc::ptr_eq(&pack, &group.pack) => {
                    end = end.max(group.end);
                    told.push(group.syncing);
                }
                other => {
                    next = Some(other);
                    break;
                }
            }
        }
        let result = pack.sync_to(end).map_err(Error::from);
        under_way.fetch_sub(told.len(), Ordering::AcqRel);
        for syncing in told {
            syncing
                .tell(result.as_ref().copied().map_err(|cause| Error::new(cause.kind, cause.what.clone())));
        }
        next = next.or_else(|| from.recv().ok());
    }
}
