//! Who tells the index what is in the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::Packs;
use super::act::ActAppend;
use super::disk::Step;
use super::taking::{self, Taken};
use super::writer::{Answer, Durable, refuse};
use crate::change::Changes;
use crate::index::{Index, Mark, NewInstance, Outcome};
use crate::ingest::Stored;
use crate::ledger;
use crate::model::PackId;
use crate::{Error, ErrorKind, Result};

/// Instances in one transaction of the index, at the most.
const MAX_TRANSACTION: usize = 512;

/// Bytes of a pack after which the index records how far it is: so much may be read again after a crash.
const MARK_EVERY: u64 = 16 << 20;

/// How often an index that did not take a group is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// How far the index is in a pack, and how far it says it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reached {
    offset: u64,
    recorded: u64,
}

pub(super) struct Committer {
    pub(super) packs: Arc<Packs>,
    pub(super) index: Arc<dyn Index>,
    pub(super) changes: Changes,
    /// How far the index is in packs that are written to, where that was not recorded.
    pub(super) reached: HashMap<PackId, Reached>,
    /// In the log and refused, because the index did not take them. They go in before anything else does,
    /// so that the index made anew from the log would be the same.
    pub(super) owed: Vec<NewInstance>,
    pub(super) owed_marks: Vec<Mark>,
    pub(super) owed_acts: Vec<ledger::Entry>,
    /// Sealed packs that the index has not taken all of.
    pub(super) sealed: Vec<PackId>,
    pub(super) is_behind: Arc<AtomicBool>,
    pub(super) has_acts: Arc<AtomicBool>,
    pub(super) runtime: Handle,
    pub(super) adopting: TaskTracker,
    /// Ends the uploads with the last of the log.
    pub(super) _uploads: DropGuard,
}

impl Committer {
    /// Takes what comes until nobody sends any more.
    pub(super) fn run(mut self, to_commit: &std_mpsc::Receiver<Durable>) {
        loop {
            let first = if self.owed_marks.is_empty() {
                to_commit.recv().ok()
            } else {
                match to_commit.recv_timeout(RETRY) {
                    Err(std_mpsc::RecvTimeoutError::Timeout) => {
                        self.catch_up();
                        continue;
                    }
                    first => first.ok(),
                }
            };
            let Some(first) = first else { break };
            let Ready { entries, acts, marks, whole, sealed } = take_ready(first, to_commit);
            self.sealed.extend(sealed);
            // The marks stand behind the acts as well, so these go first; in which order acts and
            // instances come makes no difference.
            self.take_acts(acts);
            if !marks.is_empty() || !whole.is_empty() {
                self.commit(entries, marks, whole);
            }
            self.adopt_sealed();
        }
        if self.owed_marks.is_empty() {
            // What is not recorded is read again at the next start.
            let _ = self.record(&self.due(|_, _| true));
        }
    }

    /// Writes down how far the index is.
    fn record(&mut self, marks: &[Mark]) -> Result<()> {
        if !marks.is_empty() {
            self.take(&[], marks)?;
            self.are_recorded(marks);
        }
        Ok(())
    }

    /// Of packs that get further than what is written down, those of which this is true.
    fn due(&self, is_due: impl Fn(PackId, Reached) -> bool) -> Vec<Mark> {
        let due = self
            .reached
            .iter()
            .filter(|(pack, reached)| reached.offset > reached.recorded && is_due(**pack, **reached));
        due.map(|(pack, reached)| Mark { pack: *pack, offset: reached.offset }).collect()
    }

    fn are_recorded(&mut self, marks: &[Mark]) {
        for mark in marks {
            if let Some(reached) = self.reached.get_mut(&mark.pack) {
                reached.recorded = mark.offset;
            }
        }
    }

    /// The index is going to be so far, once what comes with these marks is in it.
    fn reach(&mut self, marks: &[Mark]) {
        for Mark { pack, offset } in marks {
            let reached = self.reached.entry(*pack).or_default();
            reached.offset = (*offset).max(reached.offset);
        }
    }

    fn take_acts(&mut self, acts: Vec<ActAppend>) {
        for act in acts {
            let result = if self.catch_up() {
                self.runtime.block_on(self.index.act(&act.entry))
            } else {
                Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"))
            };
            if let Err(cause) = &result {
                error!(error = %cause.chain(), act = act.entry.number, "index: an act was not taken; nothing is taken until it is");
                self.owed_acts.push(act.entry);
                self.is_behind.store(true, Ordering::Release);
            }
            // Somebody who has gone needs no answer.
            let _ = act.answer.send(result);
        }
    }

    /// `whole`: marks behind packs that are complete, which are written down at once.
    fn commit(&mut self, entries: Vec<(NewInstance, Answer)>, mut marks: Vec<Mark>, whole: Vec<Mark>) {
        let (new, answers): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let result = if self.catch_up() {
            self.reach(&marks);
            let sealed = &self.sealed;
            let mut due = self.due(|pack, reached| {
                reached.offset - reached.recorded >= MARK_EVERY || sealed.contains(&pack)
            });
            due.extend(&whole);
            self.take(&new, &due).inspect(|_| self.are_recorded(&due))
        } else {
            Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"))
        };
        match result {
            Ok(committed) => {
                // Before anybody is answered: what follows an answer depends on it.
                self.has_acts.fetch_or(committed.has_acts, Ordering::AcqRel);
                for ((new, answer), outcome) in new.into_iter().zip(answers).zip(committed.outcomes) {
                    // Somebody who has gone needs no answer.
                    let _ = answer.send(outcome.map(|outcome| stored(new, outcome)));
                }
                self.changes.advance(committed.cursor);
            }
            Err(cause) => {
                error!(error = %cause.chain(), instances = new.len(), "index: a group was not committed; nothing is taken until it is");
                self.owed.extend(new);
                marks.extend(whole);
                self.owed_marks.extend(marks);
                self.is_behind.store(true, Ordering::Release);
                refuse(answers.into_iter(), &cause);
            }
        }
    }

    fn take(&self, new: &[NewInstance], marks: &[Mark]) -> Result<Taken> {
        self.packs.disk.tell(&Step::Commit)?;
        let taken = self.runtime.block_on(taking::take(&*self.index, new, marks));
        self.packs.disk.tell(&Step::Committed)?;
        taken
    }

    /// Whether the index has all that is in the log before what comes next.
    fn catch_up(&mut self) -> bool {
        if self.owed_marks.is_empty() && self.owed_acts.is_empty() {
            return true;
        }
        while let Some(entry) = self.owed_acts.first() {
            if self.runtime.block_on(self.index.act(entry)).is_err() {
                return false;
            }
            self.owed_acts.remove(0);
        }
        match self.take(&self.owed, &self.owed_marks) {
            Ok(committed) => {
                info!(instances = self.owed.len(), "index: it has caught up with the log");
                let owed = std::mem::take(&mut self.owed_marks);
                self.reach(&owed);
                self.are_recorded(&owed);
                self.changes.advance(committed.cursor);
                self.owed.clear();
                self.is_behind.store(false, Ordering::Release);
                self.adopt_sealed();
                true
            }
            Err(_still) => false,
        }
    }

    /// Lets sealed packs go into the object store, beside what comes next. Once a pack has left the log it is
    /// not replayed, so the index has to have all of it.
    fn adopt_sealed(&mut self) {
        let sealed = &self.sealed;
        let marks = self.due(|pack, _| sealed.contains(&pack));
        if !self.owed_marks.is_empty() || self.record(&marks).is_err() {
            return;
        }
        for pack in self.sealed.drain(..) {
            self.reached.remove(&pack);
            let (packs, index) = (self.packs.clone(), self.index.clone());
            let adopting = async move {
                if let Err(cause) = adopt(&packs, &*index, pack).await {
                    warn!(pack = %pack, error = %cause.chain(), "log: a sealed pack stays in the log until the next start");
                }
            };
            self.adopting.spawn_on(adopting, &self.runtime);
        }
    }
}

/// What the sender is told.
fn stored(new: NewInstance, outcome: Outcome) -> Stored {
    match outcome {
        Outcome::New => Stored::New(new.into_instance()),
        Outcome::Same(instance) => Stored::Same(instance),
        Outcome::Conflict { kept } => Stored::Conflict { kept: kept.unwrap_or_else(|| new.into_instance()) },
    }
}

/// The index is durable first: nobody reads this pack again to fill it.
async fn adopt(packs: &Packs, index: &dyn Index, pack: PackId) -> Result<()> {
    packs.disk.tell(&Step::SyncIndex)?;
    index.sync().await?;
    packs.adopt(pack).await?;
    info!(pack = %pack, "pack sealed");
    Ok(())
}

/// What is taken at a time.
#[derive(Default)]
struct Ready {
    entries: Vec<(NewInstance, Answer)>,
    acts: Vec<ActAppend>,
    marks: Vec<Mark>,
    whole: Vec<Mark>,
    sealed: Vec<PackId>,
}

fn take_ready(first: Durable, to_commit: &std_mpsc::Receiver<Durable>) -> Ready {
    let mut ready = Ready::default();
    let mut next = Some(first);
    while let Some(durable) = next {
        match durable {
            Durable::Group { entries, mark } => {
                ready.entries.extend(entries);
                ready.marks.push(mark);
            }
            Durable::Whole { entries, mark } => {
                ready.entries.extend(entries);
                ready.whole.push(mark);
            }
            Durable::Act(act, mark) => {
                ready.acts.push(*act);
                ready.marks.push(mark);
            }
            Durable::Sealed(pack) => ready.sealed.push(pack),
        }
        next = if ready.entries.len() < MAX_TRANSACTION { to_commit.try_recv().ok() } else { None };
    }
    ready
}
