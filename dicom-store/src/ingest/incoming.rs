//! One instance on its way in.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::acting::Came;
use super::body::{Body, Kept, Parts, Room, Spool, Whole};
use super::to_its_end::ToItsEnd;
use super::{Arrival, Budget, Declared, Reading, Sources, Stored};
use crate::config::{Durability, OnConflict};
use crate::index::{Index, Known, Mark, NewInstance};
use crate::model::{Encoding, FileMeta, Location, PackId, SopInstanceUid, Source};
use crate::objects::blocking;
use crate::packs::Packs;
use crate::packs::entry::{BLOCK, Digest, padded};
use crate::packs::file::FileSource;
use crate::packs::place::known;
use crate::packs::synced::Synced;
use crate::packs::writer::{Answer, Append, Durable, ToLog, seconds, settle};
use crate::{Error, ErrorKind, Result};

/// Elements in this many bytes are read in some hundred microseconds at the most: where they are, and not on
/// another thread, which costs more than reading them.
const READ_INLINE: u64 = 64 * 1024;

/// Everything that an arriving instance needs of the archive.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) packs: Arc<Packs>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) appends: mpsc::Sender<ToLog>,
    pub(crate) durable: std::sync::mpsc::Sender<Durable>,
    pub(crate) budget: Budget,
    pub(crate) inline: u64,
    pub(crate) max_instance: u64,
    pub(crate) reserve: u64,
    pub(crate) durability: Durability,
    pub(crate) under_way: UnderWay,
    /// One permit: who holds it inflates a data set.
    pub(crate) inflating: Arc<Semaphore>,
    /// One permit: who holds it acts on the archive.
    pub(crate) acting: Semaphore,
    /// Something was done to the archive before, here or by another node, which may be about what comes.
    pub(crate) has_acts: Arc<AtomicBool>,
    pub(crate) on_conflict: OnConflict,
    /// The index has not taken what is in the log.
    pub(crate) is_behind: Arc<AtomicBool>,
    pub(crate) sources: Arc<Sources>,
}

/// An instance that is arriving. Dropping it gives back all that it took.
#[derive(Debug)]
pub struct Incoming {
    store: Arc<Store>,
    arrival: Arrival,
    body: Body,
    /// Of a file: its first bytes, until its meta information is whole.
    head: BytesMut,
    head_wanted: usize,
    meta: Option<FileMeta>,
    head_bytes: Bytes,
    hasher: Box<blake3::Hasher>,
    /// The sender may take back what was stored.
    may_reject: bool,
}

impl Incoming {
    pub(crate) async fn new(store: Arc<Store>, arrival: Arrival, may_reject: bool) -> Result<Self> {
        let mut incoming = Self {
            store,
            arrival,
            body: Body::new(),
            head: BytesMut::new(),
            head_wanted: 0,
            meta: None,
            head_bytes: Bytes::new(),
            hasher: Box::default(),
            may_reject,
        };
        if let Declared::DataSet { sop_class, sop_instance, transfer_syntax } = &incoming.arrival.declared {
            let head =
                FileMeta::head(sop_class, sop_instance, transfer_syntax, incoming.arrival.origin.calling());
            let meta = FileMeta {
                sop_class: Some(sop_class.clone()),
                sop_instance: Some(sop_instance.clone()),
                transfer_syntax: transfer_syntax.clone(),
                data_set: head.len() as u64,
            };
            incoming.begin(head, meta).await?;
        }
        Ok(incoming)
    }

    /// The next bytes: of the data set, or of the file where that was declared.
    ///
    /// # Errors
    /// `Invalid` when it is no Part 10 file, `TooLarge` past the limit, `Exhausted` when the disk is
    /// full. After an error the rest may be thrown away.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.meta.is_none() {
            self.head.extend_from_slice(&bytes);
            if self.head.len() < self.head_wanted {
                return Ok(());
            }
            return match FileMeta::read(&self.head, false)? {
                Some(meta) => self.split(meta).await,
                None => {
                    // Looked at again when there is twice as much, however small the steps are.
                    self.head_wanted = 2 * self.head.len();
                    Ok(())
                }
            };
        }
        self.add(bytes).await
    }

    /// The meta information is whole: what lies behind it is the data set.
    async fn split(&mut self, meta: FileMeta) -> Result<()> {
        let mut all = std::mem::take(&mut self.head);
        let head = all.split_to(usize::try_from(meta.data_set).unwrap_or(usize::MAX).min(all.len()));
        self.begin(head.freeze(), meta).await?;
        self.add(all.freeze()).await
    }

    async fn begin(&mut self, head: Bytes, meta: FileMeta) -> Result<()> {
        self.head_bytes = head.clone();
        self.meta = Some(meta);
        self.push(head).await
    }

    async fn add(&mut self, bytes: Bytes) -> Result<()> {
        self.hasher.update(&bytes);
        self.push(bytes).await
    }

    async fn push(&mut self, bytes: Bytes) -> Result<()> {
        let max_instance = self.store.max_instance;
        if self.body.length + bytes.len() as u64 > max_instance {
            let what = format!("instance is over {} MiB (store.max-instance-mib)", max_instance >> 20);
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        self.body.push(bytes, self.store.room()).await
    }

    /// Reads, checks, writes and indexes it. When this returns, it is durable and can be found.
    ///
    /// # Errors
    /// `Invalid` when it cannot be read; `Conflict` when its UIDs are not those that were declared;
    /// `TooLarge`; `Exhausted` when the disk is full; `Unavailable` when the index cannot be written.
    pub async fn commit(mut self) -> Result<Stored> {
        if self.meta.is_none() {
            let meta = FileMeta::read(&self.head, true)?.ok_or_else(|| Error::invalid("not a DICOM file"))?;
            self.split(meta).await?;
        }
        let Self { store, arrival, body, meta, head_bytes, mut hasher, may_reject, .. } = self;
        let meta = meta.ok_or_else(|| Error::internal("an instance without meta information"))?;
        let data_set_digest = *hasher.finalize().as_bytes();
        hasher.update(&head_bytes);
        let digest = *hasher.finalize().as_bytes();
        let length = body.length;
        let whole = body.finish(store.room()).await?;
        let (reading, whole) = store.read(whole, meta, length, arrival.origin.sender()).await?;
        check(&reading, &arrival.declared)?;
        let note = reading.note();
        let new = reading.into_new(data_set_digest, seconds())?;
        // Finished even when the caller goes away in between, so that one UID is never written twice at a time.
        let came = Came {
            sop_instance: new.sop_instance.clone(),
            digest: new.digest,
            sender: new.sender.clone(),
            note,
            may_reject,
        };
        let settling = store.clone().settle(new, whole, digest, length);
        let settling = AssertUnwindSafe(settling).catch_unwind();
        let stored = ToItsEnd::new(settling).await.map_err(|_| ended())??;
        store.follow(stored, &came).await
    }
}

impl Store {
    /// Asks for the open pack to be sealed. It may be forgotten where much is arriving; then it is asked again.
    pub(crate) async fn seal(&self) -> Result<()> {
        self.appends.send(ToLog::Seal).await.map_err(|_| ended())
    }

    fn room(&self) -> Room<'_> {
        Room { packs: &self.packs, budget: &self.budget, inline: self.inline, reserve: self.reserve }
    }

    /// One pass over what came. A deflated data set is inflated in memory for it, one at a time.
    async fn read(
        &self,
        whole: Whole,
        meta: FileMeta,
        length: u64,
        sender: String,
    ) -> Result<(Reading, Whole)> {
        let is_deflated = meta.transfer_syntax.facts().deflated;
        let is_short = match &whole {
            Whole::Memory(Kept { parts, .. }) => {
                bulk_behind(&mut Parts::new(parts), meta.transfer_syntax.facts().encoding) + READ_INLINE
                    >= length
            }
            Whole::File(_) => false,
        };
        let sources = self.sources.clone();
        let work = move || {
            let reading = match &whole {
                Whole::Memory(Kept { parts, .. }) => Reading::of_file(&mut Parts::new(parts), &meta),
                Whole::File(spool) => {
                    Reading::of_file(&mut FileSource::new(&spool.file, BLOCK, length), &meta)
                }
            };
            Ok((reading?.sent_by(&sender, &sources)?, whole))
        };
        if !is_deflated && is_short {
            return work();
        }
        // The turn ends with the work, which goes on when nobody waits for it any more.
        let turn = if is_deflated { self.inflating.clone().acquire_owned().await.ok() } else { None };
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|cause| Error::internal("reading an instance did not finish").with_source(cause))?
    }

    /// Through the log into the index, one at a time for each UID: there it is decided between new, same and
    /// conflict.
    async fn settle(
        self: Arc<Self>,
        new: NewInstance,
        whole: Whole,
        digest: Digest,
        length: u64,
    ) -> Result<Stored> {
        let _turn = self.under_way.turn(&new.sop_instance).await;
        if self.is_behind.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Unavailable, "the index cannot be written"));
        }
        let (answer, answered) = oneshot::channel();
        let _permit: Option<OwnedSemaphorePermit> = match whole {
            Whole::Memory(Kept { parts, permit }) => {
                let append = Append { body: parts, length, digest, new, answer };
                self.appends.send(ToLog::Append(Box::new(append))).await.map_err(|_| ended())?;
                permit
            }
            Whole::File(spool) => {
                let append = Append { body: Vec::new(), length, digest, new, answer };
                let known = self.known(&append).await?;
                if let Some(append) = settle(&known, vec![append], self.on_conflict).pop() {
                    match self.durability {
                        Durability::Local => self.place(spool, append).await?,
                        Durability::Remote => self.put(spool, append).await?,
                    }
                }
                None
            }
        };
        answered.await.map_err(|_| ended())?
    }

    /// What the index knows of one.
    async fn known(&self, append: &Append) -> Result<HashMap<SopInstanceUid, Known>> {
        let known = known(self.index.clone(), append.new.sop_instance.clone()).await?;
        Ok(known.into_iter().map(|known| (known.uid().clone(), known)).collect())
    }

    /// Makes a pack of its own out of the file that an instance arrived in, and tells the index.
    async fn place(&self, mut spool: Spool, append: Append) -> Result<()> {
        let (pack, end) = (spool.pack, padded(append.length));
        let header = append.header()?;
        let (file, from, to) = (spool.file.clone(), spool.path.clone(), self.packs.log_file(pack));
        let (folder, disk) = (self.packs.folder().to_owned(), self.packs.disk.clone());
        blocking(move || {
            disk.write(&file, 0, &[Bytes::copy_from_slice(&header)])?;
            disk.set_length(&file, end + 2 * BLOCK)?;
            disk.sync(&file)?;
            disk.rename(&from, &to)?;
            // What is refused must not be in the log.
            disk.sync_folder(&folder).inspect_err(|_| {
                let _ = disk.remove(&to);
            })
        })
        .await?;
        spool.keep();
        let (entries, mark) = alone(pack, append);
        let synced = Synced::already();
        self.durable.send(Durable::Group { entries, mark, synced }).map_err(|_| ended())?;
        self.durable.send(Durable::Sealed(pack)).map_err(|_| ended())
    }

    /// Makes an object of its own out of the file that an instance arrived in, which has done its work then.
    async fn put(&self, spool: Spool, append: Append) -> Result<()> {
        let (pack, length) = (spool.pack, padded(append.length) + 2 * BLOCK);
        let (file, header, disk) = (spool.file.clone(), append.header()?, self.packs.disk.clone());
        blocking(move || {
            disk.write(&file, 0, &[Bytes::copy_from_slice(&header)])?;
            disk.set_length(&file, length)
        })
        .await?;
        self.packs.objects.upload(pack, spool.file.clone(), length).await?;
        let (entries, mark) = alone(pack, append);
        self.durable.send(Durable::Whole { entries, mark }).map_err(|_| ended())
    }
}

/// An instance that has a pack of its own, with its place, and the mark behind it.
fn alone(pack: PackId, append: Append) -> (Vec<(NewInstance, Answer)>, Mark) {
    let mark = Mark { pack, offset: padded(append.length) };
    let location = Location { pack, offset: BLOCK, length: append.length };
    (vec![(NewInstance { location, ..append.new }, append.answer)], mark)
}

/// Bytes of pixel data, if they begin near the start: so many need not be read. An estimate.
fn bulk_behind(source: &mut dyn Source, encoding: Encoding) -> u64 {
    let Ok(start) = source.at(0, 64 * 1024) else { return 0 };
    let Some(at) = memchr::memmem::find(start, &[0xE0, 0x7F, 0x10, 0x00]) else { return 0 };
    let length_at = if encoding == Encoding::ImplicitLittle { at + 4 } else { at + 8 };
    let length = start.get(length_at..length_at + 4).and_then(|bytes| bytes.try_into().ok());
    match length.map(u32::from_le_bytes) {
        // Fragments are stepped over from one to the next.
        Some(u32::MAX) => source.length(),
        length => length.unwrap_or_default().into(),
    }
}

pub(super) fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the archive is closing")
}

/// The UIDs of the data set have to be those that the protocol named.
fn check(reading: &Reading, declared: &Declared) -> Result<()> {
    match declared {
        Declared::DataSet { sop_class, sop_instance, .. } => {
            if *sop_instance != reading.sop_instance {
                let found = &reading.sop_instance;
                return Err(Error::conflict(format!("data set is instance {found}, not {sop_instance}")));
            }
            if *sop_class != reading.sop_class {
                let found = &reading.sop_class;
                return Err(Error::conflict(format!("data set is of SOP class {found}, not {sop_class}")));
            }
        }
        Declared::File { study: Some(study) } if *study != reading.study => {
            return Err(Error::conflict(format!("instance belongs to study {}, not {study}", reading.study)));
        }
        Declared::File { .. } => {}
    }
    Ok(())
}

/// Instances that are being stored: one at a time under each UID.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    uids: Mutex<HashSet<SopInstanceUid>>,
    left: Notify,
}

impl UnderWay {
    async fn turn<'a>(&'a self, uid: &SopInstanceUid) -> Turn<'a> {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.uids.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone()) {
                return Turn { under_way: self, uid: uid.clone() };
            }
            left.await;
        }
    }
}

struct Turn<'a> {
    under_way: &'a UnderWay,
    uid: SopInstanceUid,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.under_way.uids.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uid);
        self.under_way.left.notify_waiters();
    }
}
