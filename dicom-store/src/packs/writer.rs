//! The one writer of the log, and the one who tells the index.
//!
//! Both take all that is ready: the writer makes a group of what the associations and requests
//! have, the committer makes a transaction of the groups that are synced. While the index takes
//! one, the log takes the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::Packs;
use super::entry::{BLOCK, BLOCK_BYTES, Digest, Entry, padded};
use super::file::PackFile;
use crate::change::Changes;
use crate::index::{Index, Mark, NewInstance};
use crate::model::{Instance, Location, PackId};
use crate::{Error, ErrorKind, Result};

/// Instances in one group, at the most.
const MAX_GROUP: usize = 256;
/// Bytes in one group, about.
const MAX_GROUP_BYTES: u64 = 32 << 20;
/// Instances in one transaction of the index, at the most.
const MAX_TRANSACTION: usize = 512;

/// How often an index that did not take a group is asked again.
const RETRY: Duration = Duration::from_millis(500);

pub(crate) type Answer = oneshot::Sender<Result<Instance>>;

/// An instance in memory on its way into the open pack.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) name: String,
    /// The whole Part 10 file.
    pub(crate) body: Vec<Bytes>,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    pub(crate) new: NewInstance,
    pub(crate) answer: Answer,
}

/// What is durable in the log and goes into the index next.
#[derive(Debug)]
pub(crate) enum Durable {
    Group {
        entries: Vec<(NewInstance, Answer)>,
        mark: Mark,
    },
    /// Everything of this pack has been sent; it is sealed.
    Sealed(PackId),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) pack_size: u64,
    pub(crate) reserve: u64,
    pub(crate) seal_idle: Duration,
}

/// What writer and committer work on.
pub(crate) struct Log {
    pub(crate) packs: Arc<Packs>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) changes: Changes,
    /// The pack that is not full yet.
    pub(crate) open: Option<PackFile>,
    pub(crate) limits: Limits,
    /// Set while the log has what the index did not take.
    pub(crate) is_behind: Arc<AtomicBool>,
}

/// Starts both; they end, everything written, when all senders are gone.
pub(crate) fn start(log: Log) -> (mpsc::Sender<Append>, mpsc::Sender<Durable>, [JoinHandle<()>; 2]) {
    let Log { packs, index, changes, open, limits, is_behind } = log;
    let (appends, to_write) = mpsc::channel(MAX_GROUP);
    let (durable, to_commit) = mpsc::channel(8);
    let writer = Writer { packs: packs.clone(), durable: durable.clone(), open, limits };
    let committer = Committer { packs, index, changes, owed: Vec::new(), owed_marks: Vec::new(), is_behind };
    (appends, durable, [tokio::spawn(writer.run(to_write)), tokio::spawn(committer.run(to_commit))])
}

struct Writer {
    packs: Arc<Packs>,
    durable: mpsc::Sender<Durable>,
    open: Option<PackFile>,
    limits: Limits,
}

impl Writer {
    async fn run(mut self, mut to_write: mpsc::Receiver<Append>) {
        loop {
            match tokio::time::timeout(self.limits.seal_idle, to_write.recv()).await {
                Ok(Some(first)) => {
                    let group = gather(first, &mut to_write);
                    self.write(group).await;
                }
                Ok(None) => return,
                Err(_idle) => self.seal().await,
            }
        }
    }

    async fn write(&mut self, group: Vec<Append>) {
        let (packs, open, reserve) = (self.packs.clone(), self.open.take(), self.limits.reserve);
        let written = tokio::task::spawn_blocking(move || {
            let mut open = open;
            let result = append(&packs, &mut open, &group, reserve);
            (open, group, result)
        })
        .await;
        let Ok((open, group, result)) = written else {
            // The group is gone with the panic, and with it the senders' answers: they are told.
            return error!("log: writing a group panicked");
        };
        self.open = open;
        match result {
            Ok((mark, locations)) => {
                let entries = group
                    .into_iter()
                    .zip(locations)
                    .map(|(append, location)| (NewInstance { location, ..append.new }, append.answer));
                let group = Durable::Group { entries: entries.collect(), mark };
                self.send(group).await;
            }
            Err(cause) => {
                warn!(error = %cause.chain(), instances = group.len(), "log: a group was not written");
                refuse(group.into_iter().map(|append| append.answer), &cause);
            }
        }
        if self.open.as_ref().is_some_and(|open| open.end >= self.limits.pack_size) {
            self.seal().await;
        }
    }

    async fn seal(&mut self) {
        let Some(open) = self.open.take_if(|open| open.end > 0) else { return };
        let id = open.id;
        match crate::objects::blocking(move || open.seal()).await {
            Ok(()) => self.send(Durable::Sealed(id)).await,
            // It stays in the log as it is; the next start seals it.
            Err(cause) => warn!(pack = %id, error = %cause.chain(), "log: a pack was not sealed"),
        }
    }

    async fn send(&self, durable: Durable) {
        if self.durable.send(durable).await.is_err() {
            error!("log: the index's task has ended");
        }
    }
}

/// All that is ready, without waiting for more.
fn gather(first: Append, to_write: &mut mpsc::Receiver<Append>) -> Vec<Append> {
    let mut bytes = first.length;
    let mut group = vec![first];
    while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
        match to_write.try_recv() {
            Ok(next) => {
                bytes += next.length;
                group.push(next);
            }
            Err(_) => break,
        }
    }
    group
}

fn append(
    packs: &Packs,
    open: &mut Option<PackFile>,
    group: &[Append],
    reserve: u64,
) -> Result<(Mark, Vec<Location>)> {
    if open.is_none() {
        let id = packs.next_id();
        *open = Some(PackFile::new(id, packs.create(id)?, 0));
    }
    let pack = open.as_mut().ok_or_else(|| Error::internal("no pack is open"))?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut slices = Vec::with_capacity(group.len() * 8);
    let mut locations = Vec::with_capacity(group.len());
    let mut at = pack.end;
    for Append { name, body, length, digest, .. } in group {
        slices.push(Bytes::copy_from_slice(&Entry::header(name, *length, digest, seconds)?));
        slices.extend(body.iter().filter(|slice| !slice.is_empty()).cloned());
        let padding = usize::try_from(padded(*length) - BLOCK - length).unwrap_or_default();
        slices.push(Bytes::from_static(&[0; BLOCK_BYTES]).slice(..padding));
        locations.push(Location { pack: pack.id, offset: at + BLOCK, length: *length });
        at += padded(*length);
    }
    pack.append(&slices, reserve)?;
    Ok((Mark { pack: pack.id, offset: pack.end }, locations))
}

fn refuse(answers: impl Iterator<Item = Answer>, cause: &Error) {
    for answer in answers {
        // Somebody who has gone needs no answer.
        let _ = answer.send(Err(Error::new(cause.kind, cause.what.clone())));
    }
}

struct Committer {
    packs: Arc<Packs>,
    index: Arc<dyn Index>,
    changes: Changes,
    /// In the log and refused, because the index did not take them. They go in before anything else does,
    /// so that the index made anew from the log would be the same.
    owed: Vec<NewInstance>,
    owed_marks: Vec<Mark>,
    is_behind: Arc<AtomicBool>,
}

impl Committer {
    async fn run(mut self, mut to_commit: mpsc::Receiver<Durable>) {
        loop {
            let first = if self.owed_marks.is_empty() {
                to_commit.recv().await
            } else {
                match tokio::time::timeout(RETRY, to_commit.recv()).await {
                    Ok(first) => first,
                    Err(_nothing_new) => {
                        self.catch_up().await;
                        continue;
                    }
                }
            };
            let Some(first) = first else { return };
            let (entries, marks, sealed) = take_ready(first, &mut to_commit);
            if !entries.is_empty() {
                self.commit(entries, marks).await;
            }
            for pack in sealed {
                if let Err(cause) = self.adopt(pack).await {
                    warn!(pack = %pack, error = %cause.chain(), "log: a sealed pack stays in the log until the next start");
                }
            }
        }
    }

    async fn commit(&mut self, entries: Vec<(NewInstance, Answer)>, marks: Vec<Mark>) {
        let (new, answers): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let result = if self.catch_up().await {
            self.index.commit(&new, &marks).await
        } else {
            Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"))
        };
        match result {
            Ok(cursor) => {
                self.changes.advance(cursor);
                for (new, answer) in new.into_iter().zip(answers) {
                    // Somebody who has gone needs no answer.
                    let _ = answer.send(Ok(new.into_instance()));
                }
            }
            Err(cause) => {
                error!(error = %cause.chain(), instances = new.len(), "index: a group was not committed; nothing is taken until it is");
                self.owed.extend(new);
                self.owed_marks.extend(marks);
                self.is_behind.store(true, Ordering::Release);
                refuse(answers.into_iter(), &cause);
            }
        }
    }

    /// Whether the index has all that is in the log before what comes next.
    async fn catch_up(&mut self) -> bool {
        let Some(last) = self.owed_marks.last() else { return true };
        let result = async {
            self.index.commit_replayed(&self.owed, *last).await?;
            self.index.commit(&[], &self.owed_marks).await
        };
        match result.await {
            Ok(cursor) => {
                info!(instances = self.owed.len(), "index: it has caught up with the log");
                self.changes.advance(cursor);
                self.owed.clear();
                self.owed_marks.clear();
                self.is_behind.store(false, Ordering::Release);
                true
            }
            Err(_still) => false,
        }
    }

    /// Once a pack has left the log it is not replayed, so the index has to be durable first.
    async fn adopt(&mut self, pack: PackId) -> Result<()> {
        if !self.catch_up().await {
            return Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"));
        }
        self.index.sync().await?;
        self.packs.adopt(pack).await?;
        info!(pack = %pack, "pack sealed");
        Ok(())
    }
}

type Ready = (Vec<(NewInstance, Answer)>, Vec<Mark>, Vec<PackId>);

fn take_ready(first: Durable, to_commit: &mut mpsc::Receiver<Durable>) -> Ready {
    let (mut all, mut marks, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = Some(first);
    while let Some(durable) = next {
        match durable {
            Durable::Group { entries, mark } => {
                all.extend(entries);
                marks.push(mark);
            }
            Durable::Sealed(pack) => sealed.push(pack),
        }
        next = if all.len() < MAX_TRANSACTION { to_commit.try_recv().ok() } else { None };
    }
    (all, marks, sealed)
}
