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
use super::synced::Synced;
use super::taking::{self, Taken};
use super::writer::{Answer, Durable, refuse};
use crate::change::Changes;
use crate::index::{Gate, Index, Mark, NewInstance, OPEN, Outcome};
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
            let Ready { groups, acts, act_marks, sealed } = take_ready(first, to_commit);
            self.sealed.extend(sealed);
            // The marks stand behind the acts as well, so these go first; in which order acts and
            // instances come makes no difference.
            self.take_acts(acts);
            if !groups.is_empty() || !act_marks.is_empty() {
                self.commit(groups, act_marks);
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
            self.take(&[], marks, OPEN)?;
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
    fn reach<'a>(&mut self, marks: impl Iterator<Item = &'a Mark>) {
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

    /// Gives groups to the index, and their senders an answer. The last of them may still be written and synced: their rows are
    /// made meanwhile, and seen when that is done.
    fn commit(&mut self, groups: Vec<Group>, act_marks: Vec<Mark>) {
        let mut new = Vec::new();
        let sent: Vec<Sent> = groups.into_iter().map(|group| group.send(&mut new)).collect();
        let is_synced = || sent.iter().try_for_each(|group| group.synced.wait());
        let is_level = self.catch_up();
        let before = self.reached.clone();
        let result = if is_level {
            let (whole, open): (Vec<&Sent>, Vec<&Sent>) = sent.iter().partition(|group| group.is_whole);
            self.reach(open.into_iter().map(|group| &group.mark).chain(&act_marks));
            let sealed = &self.sealed;
            let mut due = self.due(|pack, reached| {
                reached.offset - reached.recorded >= MARK_EVERY || sealed.contains(&pack)
            });
            // Behind packs that are complete: written down at once.
            due.extend(whole.iter().map(|group| group.mark));
            self.take(&new, &due, &is_synced).inspect(|_| self.are_recorded(&due))
        } else {
            Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"))
        };
        match result {
            Ok(committed) => {
                // Before anybody is answered: what follows an answer depends on it.
                self.has_acts.fetch_or(committed.has_acts, Ordering::AcqRel);
                let answers = sent.into_iter().flat_map(|group| group.answers);
                for ((new, answer), outcome) in new.into_iter().zip(answers).zip(committed.outcomes) {
                    // Somebody who has gone needs no answer.
                    let _ = answer.send(outcome.map(|outcome| stored(new, outcome)));
                }
                self.changes.advance(committed.cursor);
            }
            Err(cause) => {
                self.reached = before;
                self.not_committed(new, sent, act_marks, &cause);
            }
        }
    }

    /// What could not be written and synced is not in the log, and the others are tried again without it. What is in the log
    /// is owed to the index.
    fn not_committed(&mut self, new: Vec<NewInstance>, sent: Vec<Sent>, act_marks: Vec<Mark>, cause: &Error) {
        let mut new = new.into_iter();
        let (mut durable, mut has_failed) = (Vec::new(), false);
        for group in sent {
            let instances = new.by_ref().take(group.answers.len()).collect();
            match group.synced.wait() {
                Ok(()) => durable.push(group.back(instances)),
                Err(cause) => {
                    has_failed = true;
                    warn!(error = %cause.chain(), instances = group.answers.len(), "log: a group was not written and synced");
                    refuse(group.answers.into_iter(), &cause);
                }
            }
        }
        if has_failed {
            if !durable.is_empty() || !act_marks.is_empty() {
                self.commit(durable, act_marks);
            }
            return;
        }
        let instances: usize = durable.iter().map(|group| group.entries.len()).sum();
        error!(error = %cause.chain(), instances, "index: a group was not committed; nothing is taken until it is");
        self.is_behind.store(true, Ordering::Release);
        self.owed_marks.extend(act_marks);
        for group in durable {
            self.owed_marks.push(group.mark);
            let sent = group.send(&mut self.owed);
            refuse(sent.answers.into_iter(), cause);
        }
    }

    /// `is_synced`: asked before the index shows what it has taken.
    fn take(&self, new: &[NewInstance], marks: &[Mark], is_synced: Gate<'_>) -> Result<Taken> {
        let gate = || {
            is_synced()?;
            Ok(self.packs.disk.tell(&Step::Commit)?)
        };
        let taken = self.runtime.block_on(taking::take(&*self.index, new, marks, &gate));
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
        match self.take(&self.owed, &self.owed_marks, OPEN) {
            Ok(committed) => {
                info!(instances = self.owed.len(), "index: it has caught up with the log");
                let owed = std::mem::take(&mut self.owed_marks);
                self.reach(owed.iter());
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
        Outcome::Stranger => Stored::Stranger(new.into_instance()),
        Outcome::Same(instance) => Stored::Same(instance),
        Outcome::Conflict { kept } => {
            Stored::Conflict { kept: kept.unwrap_or_else(|| new.into_instance()), is_replaced: false }
        }
    }
}

/// The index is durable first: nobody reads this pack again to fill it.
async fn adopt(packs: &Packs, index: &dyn Index, pack: PackId) -> Result<()> {
    packs.sync_index(index).await?;
    packs.adopt(pack).await?;
    info!(pack = %pack, "pack sealed");
    Ok(())
}

/// A group of the log.
struct Group {
    entries: Vec<(NewInstance, Answer)>,
    mark: Mark,
    /// The mark stands behind a pack that is complete.
    is_whole: bool,
    synced: Synced,
}

/// A group whose instances are on their way to the index.
struct Sent {
    answers: Vec<Answer>,
    mark: Mark,
    is_whole: bool,
    synced: Synced,
}

impl Group {
    fn send(self, to: &mut Vec<NewInstance>) -> Sent {
        let Self { entries, mark, is_whole, synced } = self;
        let (new, answers): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        to.extend(new);
        Sent { answers, mark, is_whole, synced }
    }
}

impl Sent {
    fn back(self, instances: Vec<NewInstance>) -> Group {
        let Self { answers, mark, is_whole, synced } = self;
        Group { entries: instances.into_iter().zip(answers).collect(), mark, is_whole, synced }
    }
}

/// What is taken at a time.
#[derive(Default)]
struct Ready {
    groups: Vec<Group>,
    acts: Vec<ActAppend>,
    act_marks: Vec<Mark>,
    sealed: Vec<PackId>,
}

fn take_ready(first: Durable, to_commit: &std_mpsc::Receiver<Durable>) -> Ready {
    let (mut ready, mut instances) = (Ready::default(), 0);
    let mut next = Some(first);
    while let Some(durable) = next {
        match durable {
            Durable::Group { entries, mark, synced } => {
                instances += entries.len();
                ready.groups.push(Group { entries, mark, is_whole: false, synced });
            }
            Durable::Whole { entries, mark } => {
                instances += entries.len();
                ready.groups.push(Group { entries, mark, is_whole: true, synced: Synced::already() });
            }
            Durable::Act(act, mark) => {
                ready.acts.push(*act);
                ready.act_marks.push(mark);
            }
            Durable::Sealed(pack) => ready.sealed.push(pack),
        }
        next = if instances < MAX_TRANSACTION { to_commit.try_recv().ok() } else { None };
    }
    ready
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use tokio::sync::oneshot;
    use tokio_util::sync::CancellationToken;

    use super::super::company::Company;
    use super::*;
    use crate::fixture::{self, Sample, ct};
    use crate::index::conformance::new;
    use crate::model::Resource;

    /// A group of one instance, with what its sender hears.
    fn group(sample: &Sample, offset: u64, synced: Synced) -> (Durable, oneshot::Receiver<Result<Stored>>) {
        let (answer, heard) = oneshot::channel();
        let mark = Mark { pack: PackId(1), offset: offset + 512 };
        (Durable::Group { entries: vec![(new(sample, offset), answer)], mark, synced }, heard)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_groups_in_one_transaction_the_one_that_was_synced_is_taken() {
        let (archive, _folder) = fixture::archive().await;
        let inner = &archive.inner;
        let committer = Committer {
            packs: inner.packs.clone(),
            index: inner.index.clone(),
            changes: archive.changes(),
            reached: HashMap::new(),
            owed: Vec::new(),
            owed_marks: Vec::new(),
            owed_acts: Vec::new(),
            sealed: Vec::new(),
            is_behind: Arc::default(),
            has_acts: Arc::default(),
            runtime: Handle::current(),
            adopting: TaskTracker::new(),
            _uploads: CancellationToken::new().drop_guard(),
        };
        let (taken, lost) = (ct(), ct());
        let (syncing, synced) = Synced::soon(Company::default().sends(1));
        let (first, first_heard) = group(&lost, 512, synced);
        let (second, second_heard) = group(&taken, 4096, Synced::already());
        let (durable, to_commit) = std_mpsc::channel();
        // Both are there before it begins, so they are taken together.
        durable.send(first).unwrap();
        durable.send(second).unwrap();
        drop(durable);
        syncing.tell(Err(Error::new(ErrorKind::Exhausted, "no space left")));
        tokio::task::spawn_blocking(move || committer.run(&to_commit)).await.unwrap();
        assert_eq!(first_heard.await.unwrap().unwrap_err().kind, ErrorKind::Exhausted);
        assert!(matches!(second_heard.await.unwrap().unwrap(), Stored::New(_)));
        let seen = async |sample: &Sample| inner.index.instances(&Resource::Study(sample.study())).await;
        assert_eq!(seen(&taken).await.unwrap().len(), 1);
        assert_eq!(seen(&lost).await.unwrap().len(), 0);
    }
}
