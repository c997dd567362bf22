//! The one writer of the log, and the one who tells the index.
//!
//! Each is a thread of its own, which may wait for the disk. Both take all that is ready: the
//! writer makes a group of what the associations and requests have, the committer makes a
//! transaction of the groups that have their place. While one is synced ([`super::syncer`]) and the index takes it, the log
//! takes the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::Packs;
use super::act::{self, ActAppend};
use super::committer::Committer;
use super::company::{Company, SMALL};
use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, instance_name, padded};
use super::file::PackFile;
use super::remote::Remote;
use super::synced::Synced;
use super::syncer::{Syncer, Unsynced};
use super::upload;
use crate::change::Changes;
use crate::config::{Durability, OnConflict};
use crate::index::{Index, InstanceState, Known, Mark, NewInstance};
use crate::ingest::Stored;
use crate::model::{Location, PackId, SopInstanceUid};
use crate::{Error, Result};

/// Instances in one group, at the most.
const MAX_GROUP: usize = 256;
/// How often it is tried to seal a pack that could not be.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A sender is alone when so many groups were of one, and nobody else's was near.
const ALONE: u32 = 8;
/// Bytes in one group, about.
const MAX_GROUP_BYTES: u64 = 32 << 20;

pub(crate) type Answer = oneshot::Sender<Result<Stored>>;

/// An instance in memory on its way into the open pack.
#[derive(Debug)]
pub(crate) struct Append {
    /// The whole Part 10 file.
    pub(crate) body: Vec<Bytes>,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    pub(crate) new: NewInstance,
    pub(crate) answer: Answer,
}

impl Append {
    /// The name of its entry in the pack.
    fn name(&self) -> String {
        let NewInstance { study, series, sop_instance, digest, is_conflict, .. } = &self.new;
        instance_name(study, series, sop_instance, is_conflict.then_some(digest))
    }

    /// The header of its entry.
    pub(crate) fn header(&self) -> Result<[u8; BLOCK_BYTES]> {
        let Self { length, digest, new, .. } = self;
        let header = Entry::header(&self.name(), *length, digest, new.received / 1000)?;
        Ok(Entry::outlined(Entry::sent_by(header, &new.sender), &new.digest, &new.outline()))
    }
}

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum ToLog {
    Append(Box<Append>),
    Act(Box<ActAppend>),
    /// Time has passed.
    Tick,
    /// The open pack is to be an object soon, however little is in it.
    Seal,
}

/// What is in the log and goes into the index next.
#[derive(Debug)]
pub(crate) enum Durable {
    /// It has its place. Its rows may be made before it is written and synced.
    Group {
        entries: Vec<(NewInstance, Answer)>,
        mark: Mark,
        synced: Synced,
    },
    /// A pack by itself, complete.
    Whole {
        entries: Vec<(NewInstance, Answer)>,
        mark: Mark,
    },
    Act(Box<ActAppend>, Mark),
    /// Everything of this pack has been sent; it is sealed.
    Sealed(PackId),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) pack_size: u64,
    pub(crate) reserve: u64,
    pub(crate) seal_idle: Duration,
    pub(crate) on_conflict: OnConflict,
}

/// What writer and committer work on.
pub(crate) struct Log {
    pub(crate) packs: Arc<Packs>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) changes: Changes,
    /// The pack that is not full yet.
    pub(crate) open: Option<PackFile>,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    /// Set while the log has what the index did not take.
    pub(crate) is_behind: Arc<AtomicBool>,
    /// Set once the index knows of an act, whichever node did it.
    pub(crate) has_acts: Arc<AtomicBool>,
}

/// The log at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) appends: mpsc::Sender<ToLog>,
    pub(crate) durable: std_mpsc::Sender<Durable>,
    /// Both end, everything written, when all senders are gone.
    pub(crate) threads: [JoinHandle<()>; 2],
    /// Sealed packs on their way into the object store.
    pub(crate) adopting: TaskTracker,
    /// Cancelled when one of the threads has died.
    pub(crate) died: CancellationToken,
}

/// Tells when the thread that holds it dies instead of coming to its end.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Starts writer and committer.
///
/// # Errors
/// What the system says when it has no thread left.
pub(crate) fn start(log: Log) -> Result<Running> {
    let Log { packs, index, changes, open, limits, durability, is_behind, has_acts } = log;
    let (appends, to_write) = mpsc::channel(MAX_GROUP);
    let (durable, to_commit) = std_mpsc::channel();
    let (runtime, adopting) = (Handle::current(), TaskTracker::new());
    let died = CancellationToken::new();
    let (packs_too, index_too, durable_too) = (packs.clone(), index.clone(), durable.clone());
    let writer: Box<dyn FnOnce() + Send> = match durability {
        Durability::Local => {
            let writer = Writer {
                packs: packs_too,
                index: index_too,
                durable: durable_too,
                open: Open { pack: open, unsealed: Vec::new() },
                limits,
                last_write: Instant::now(),
                runtime: runtime.clone(),
                company: Company::default(),
                alone: 0,
                tried: Instant::now(),
                syncer: Syncer::start(|run| thread("sync", &died, run))?,
            };
            Box::new(move || writer.run(to_write))
        }
        Durability::Remote => {
            let writer = Remote {
                packs: packs_too,
                index: index_too,
                durable: durable_too,
                on_conflict: limits.on_conflict,
            };
            let runtime = runtime.clone();
            Box::new(move || runtime.block_on(writer.run(open, to_write)))
        }
    };
    let stop_uploads = CancellationToken::new();
    adopting.spawn(upload::run(packs.clone(), stop_uploads.clone()));
    let committer = Committer {
        packs,
        index,
        changes,
        reached: HashMap::new(),
        owed: Vec::new(),
        owed_marks: Vec::new(),
        owed_acts: Vec::new(),
        sealed: Vec::new(),
        is_behind,
        has_acts,
        runtime,
        adopting: adopting.clone(),
        _uploads: stop_uploads.drop_guard(),
    };
    tokio::spawn(tick(appends.downgrade(), limits.seal_idle / 4));
    let threads =
        [thread("log", &died, writer)?, thread("index", &died, Box::new(move || committer.run(&to_commit)))?];
    Ok(Running { appends, durable, threads, adopting, died })
}

fn thread(
    name: &str,
    died: &CancellationToken,
    work: Box<dyn FnOnce() + Send>,
) -> std::io::Result<JoinHandle<()>> {
    let alarm = Alarm(died.clone());
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _alarm = alarm;
        work();
    })
}

/// Tells the writer the time, as long as it is there.
async fn tick(log: mpsc::WeakSender<ToLog>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match log.upgrade() {
            // A writer that has much to do need not know.
            Some(log) => drop(log.try_send(ToLog::Tick)),
            None => return,
        }
    }
}

struct Writer {
    packs: Arc<Packs>,
    index: Arc<dyn Index>,
    durable: std_mpsc::Sender<Durable>,
    open: Open,
    limits: Limits,
    last_write: Instant,
    runtime: Handle,
    company: Company,
    /// Groups of one whom nobody else's was near, one after the other.
    alone: u32,
    /// When sealing was tried last.
    tried: Instant,
    syncer: Syncer,
}

impl Writer {
    fn run(mut self, mut to_write: mpsc::Receiver<ToLog>) {
        loop {
            let (first, is_there_already) = match to_write.try_recv() {
                Ok(first) => (first, true),
                Err(_none_yet) => match to_write.blocking_recv() {
                    Some(first) => (first, false),
                    None => break,
                },
            };
            let next = match first {
                ToLog::Append(first) => {
                    let (mut group, mut next) = gather(*first, &mut to_write);
                    if next.is_none() {
                        next = self.company.join(&mut group, &mut to_write);
                    }
                    let is_alone = group.len() == 1 && !is_there_already && !self.company.is_waiting();
                    self.alone = if is_alone { self.alone.saturating_add(1) } else { 0 };
                    self.write(group);
                    next
                }
                other => Some(other),
            };
            let is_asked = matches!(next, Some(ToLog::Seal));
            if let Some(ToLog::Act(act)) = next {
                self.write_act(act);
            }
            let is_full = self.open.pack.as_ref().is_some_and(|open| open.end >= self.limits.pack_size);
            let is_over = is_asked || is_full || self.last_write.elapsed() >= self.limits.seal_idle;
            if is_over {
                self.open.unsealed.extend(self.open.pack.take_if(|pack| pack.end > 0));
            }
            if !self.open.unsealed.is_empty() && (is_over || self.tried.elapsed() >= TRY_AGAIN) {
                self.seal();
            }
        }
        // Where something could not be cut it is cut now, not read by the next start.
        self.open.unsealed.extend(self.open.pack.take_if(|pack| pack.is_doubtful()));
        self.seal();
    }

    fn write(&mut self, group: Vec<Append>) {
        self.last_write = Instant::now();
        let group = match self.runtime.block_on(known(&*self.index, &group)) {
            Ok(known) => settle(&known, group, self.limits.on_conflict),
            Err(cause) => return refuse(group.into_iter().map(|append| append.answer), &cause),
        };
        if group.is_empty() {
            return;
        }
        if let Err((group, cause)) = self.write_and_sync(group) {
            warn!(error = %cause.chain(), instances = group.len(), "log: a group was not written");
            refuse(group.into_iter().map(|append| append.answer), &cause);
        }
    }

    /// The index is told as soon as the group has its place, and makes the rows while it is written and synced. What is
    /// large is synced while the next is written, where there are several senders. Gives a group back that has none; who
    /// sent one that did not get there hears it from the index's thread.
    fn write_and_sync(&mut self, group: Vec<Append>) -> std::result::Result<(), (Vec<Append>, Error)> {
        let placed_in = self.open.pack(&self.packs).and_then(|pack| {
            let (slices, locations) = layout(pack.id, pack.end, &group)?;
            let end = pack.make_room(&slices, self.limits.reserve)?;
            Ok((pack, slices, locations, end))
        });
        let (pack, slices, locations, end) = match placed_in {
            Ok(placed_in) => placed_in,
            Err(cause) => return Err((group, cause)),
        };
        let mark = Mark { pack: pack.id, offset: end };
        let (syncing, synced) = Synced::soon(self.company.sends(group.len()));
        send(&self.durable, Durable::Group { entries: placed(group, locations), mark, synced });
        if let Err(cause) = pack.write(&slices) {
            syncing.tell(Err(cause.into()));
            return Ok(());
        }
        let unsynced = Unsynced { pack: pack.file(), end, syncing };
        let is_small = slices.iter().map(|slice| slice.len() as u64).sum::<u64>() < SMALL;
        if self.syncer.is_idle() && (is_small || self.alone >= ALONE) {
            let begun = Instant::now();
            if unsynced.sync() {
                self.company.took(begun.elapsed());
            }
        } else {
            self.syncer.take(unsynced);
        }
        Ok(())
    }

    fn write_act(&mut self, act: Box<ActAppend>) {
        self.last_write = Instant::now();
        let appended = self
            .syncer
            .wait_until_idle()
            .and_then(|()| act::append(self.open.pack(&self.packs)?, &act.entry));
        match appended {
            Ok(mark) => send(&self.durable, Durable::Act(act, mark)),
            Err(cause) => {
                warn!(error = %cause.chain(), act = act.entry.number, "log: an act was not written");
                // Somebody who has gone needs no answer.
                let _ = act.answer.send(Err(cause));
            }
        }
    }

    /// Ends what nothing more goes into. What cannot be ended now is tried again, and by the next start.
    fn seal(&mut self) {
        self.tried = Instant::now();
        if self.syncer.wait_until_idle().is_err() {
            return;
        }
        for pack in std::mem::take(&mut self.open.unsealed) {
            match pack.seal() {
                Ok(true) => send(&self.durable, Durable::Sealed(pack.id)),
                // Nothing was ever durable in it. What cannot be removed now is removed by the next start.
                Ok(false) => drop(self.packs.disk.remove(&self.packs.log_file(pack.id))),
                Err(error) => {
                    warn!(pack = %pack.id, %error, "log: a pack was not sealed");
                    self.open.unsealed.push(pack);
                }
            }
        }
    }
}

/// What the writer has begun.
struct Open {
    /// The pack that is written to.
    pack: Option<PackFile>,
    /// Those that nothing more goes into, and that are not sealed: a sync has failed, or sealing.
    unsealed: Vec<PackFile>,
}

impl Open {
    /// The pack that is written to, made where there is none.
    fn pack(&mut self, packs: &Packs) -> Result<&mut PackFile> {
        self.unsealed.extend(self.pack.take_if(|pack| pack.is_doubtful()));
        if self.pack.is_none() {
            let id = packs.next_id();
            self.pack = Some(PackFile::new(packs.disk.clone(), id, packs.create(id)?, 0));
        }
        self.pack.as_mut().ok_or_else(|| Error::internal("no pack is open"))
    }
}

pub(super) fn send(to: &std_mpsc::Sender<Durable>, durable: Durable) {
    if to.send(durable).is_err() {
        error!("log: the index's thread has ended");
    }
}

/// What the index knows of a group.
pub(crate) async fn known(index: &dyn Index, group: &[Append]) -> Result<HashMap<SopInstanceUid, Known>> {
    let uids: Vec<&SopInstanceUid> = group.iter().map(|append| &append.new.sop_instance).collect();
    Ok(index.known(&uids).await?.into_iter().map(|known| (known.uid().clone(), known)).collect())
}

/// Answers those that are there already; gives those that have to be written.
pub(crate) fn settle(
    known: &HashMap<SopInstanceUid, Known>,
    group: Vec<Append>,
    on_conflict: OnConflict,
) -> Vec<Append> {
    let one = |append: Append| settle_one(known.get(&append.new.sop_instance), append, on_conflict);
    group.into_iter().filter_map(one).collect()
}

fn settle_one(known: Option<&Known>, mut append: Append, on_conflict: OnConflict) -> Option<Append> {
    let Some(known) = known else { return Some(append) };
    if known.heals(&append.new) {
        return Some(append);
    }
    let stored = if known.is(&append.new) {
        Stored::Same(known.instance.clone())
    } else if known.conflicts.contains(&append.new.digest) {
        Stored::Conflict { kept: known.instance.clone(), is_replaced: false }
    } else if on_conflict == OnConflict::Reject && known.state != InstanceState::Deleted {
        let what = format!(
            "another data set is stored as instance {} (store.on-conflict = \"reject\")",
            append.new.sop_instance
        );
        // Somebody who has gone needs no answer.
        let _ = append.answer.send(Err(Error::conflict(what)));
        return None;
    } else {
        warn!(instance = %append.new.sop_instance, sender = %append.new.sender, "another data set came under a UID that is taken; it is kept aside");
        append.new.is_conflict = true;
        return Some(append);
    };
    // Somebody who has gone needs no answer.
    let _ = append.answer.send(Ok(stored));
    None
}

/// A group as the index takes it: each instance with its place.
pub(super) fn placed(group: Vec<Append>, locations: Vec<Location>) -> Vec<(NewInstance, Answer)> {
    let placed = group.into_iter().zip(locations);
    placed.map(|(append, location)| (NewInstance { location, ..append.new }, append.answer)).collect()
}

/// All that is ready, without waiting for more; whatever is no instance ends the group and is given back, but for the time.
pub(super) fn gather(first: Append, to_write: &mut mpsc::Receiver<ToLog>) -> (Vec<Append>, Option<ToLog>) {
    let mut bytes = first.length;
    let mut group = vec![first];
    while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
        match to_write.try_recv() {
            Ok(ToLog::Append(next)) => {
                bytes += next.length;
                group.push(*next);
            }
            Ok(ToLog::Tick) => {}
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The bytes of a group at this place of a pack, and where its instances lie then.
pub(super) fn layout(pack: PackId, start: u64, group: &[Append]) -> Result<(Vec<Bytes>, Vec<Location>)> {
    let mut slices = Vec::with_capacity(group.len() * 8);
    let mut locations = Vec::with_capacity(group.len());
    let mut at = start;
    for append in group {
        let Append { body, length, .. } = append;
        slices.push(Bytes::copy_from_slice(&append.header()?));
        slices.extend(body.iter().filter(|slice| !slice.is_empty()).cloned());
        let padding = usize::try_from(padded(*length) - BLOCK - length).unwrap_or_default();
        slices.push(Bytes::from_static(&[0; BLOCK_BYTES]).slice(..padding));
        locations.push(Location { pack, offset: at + BLOCK, length: *length });
        at += padded(*length);
    }
    Ok((slices, locations))
}

pub(crate) fn refuse(answers: impl Iterator<Item = Answer>, cause: &Error) {
    for answer in answers {
        // Somebody who has gone needs no answer.
        let _ = answer.send(Err(Error::new(cause.kind, cause.what.clone())));
    }
}

#[cfg(all(test, feature = "fixtures"))]
mod tests {
    use super::*;
    use crate::fixture::ct;
    use crate::index::conformance::new;

    fn append() -> Append {
        let (answer, _gone) = oneshot::channel();
        let new = new(&ct(), 0);
        Append { body: Vec::new(), length: 1, digest: new.digest, new, answer }
    }

    #[test]
    fn a_group_ends_where_something_else_is_asked_which_is_not_lost() {
        let (send, mut receive) = mpsc::channel(8);
        for next in
            [ToLog::Append(Box::new(append())), ToLog::Tick, ToLog::Seal, ToLog::Append(Box::new(append()))]
        {
            assert!(send.try_send(next).is_ok());
        }
        let (group, next) = gather(append(), &mut receive);
        assert!(group.len() == 2 && matches!(next, Some(ToLog::Seal)) && receive.len() == 1, "{next:?}");
    }
}
