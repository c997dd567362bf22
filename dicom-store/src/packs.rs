//! The log of packs: tar files of Part 10 files, in the order they arrived.
//!
//! A pack is written in the log's folder by one writer ([`writer`]), or holds one large instance
//! by itself. It grows by groups: one write for everything that was ready, and one sync for all that was
//! written since the last. When it is full or idle it is sealed (cut to its length) and becomes an object.
//!
//! What is true after a crash: an entry proves by its digest that it is whole, so the log ends
//! where the first entry does not. Whatever the index has not seen is read from the log
//! ([`replay`]); the index says for each pack how far it has come. Nothing was answered that is
//! not whole and synced here.

pub(crate) mod act;
pub(crate) mod ahead;
mod arrival;
mod cache;
mod committer;
mod company;
pub(crate) mod compress;
pub(crate) mod damage;
pub(crate) mod disk;
pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod file_part;
pub(crate) mod follow;
pub(crate) mod local;
mod near;
mod numbers;
pub(crate) mod pack_bytes;
mod pin;
pub(crate) mod place;
pub(crate) mod proof;
mod reader;
mod remote;
pub(crate) mod replay;
pub(crate) mod rewrite;
pub(crate) mod serving;
mod stretch;
pub(crate) mod synced;
mod syncer;
mod tail;
mod taking;
mod twice;
mod upload;
pub(crate) mod verify;
pub(crate) mod writer;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use disk::{Disk, Step};

use crate::Result;
use crate::buffers::Buffers;
use crate::config::Config;
use crate::index::Index;
use crate::model::PackId;
use crate::objects::{Objects, blocking};
use cache::{BlockKey, Blocks};
use numbers::Numbers;
use pin::Pin;
use serving::Serving;
use upload::Waiting;

/// Packs of which is remembered how they are read, at the most; each may be an open file.
const MAX_HANDLES: usize = 256;

/// A pack as a file; `None` where it has left this machine, or never was here: it will not be a file again.
type Handle = Option<Arc<File>>;

/// All packs, wherever they are, for reading; and the folder of those that are still in the log.
#[derive(Debug)]
pub(crate) struct Packs {
    folder: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) objects: Objects,
    /// Packs by how they are read here.
    handles: Mutex<HashMap<PackId, Handle>>,
    numbers: Numbers,
    /// Bytes that are left free on the disk.
    reserve: u64,
    pub(crate) serving: Serving,
    /// Parts of packs that are no files of this machine; `None` when all are.
    blocks: Option<Blocks>,
    waiting: Waiting,
    buffers: Buffers,
}

impl Packs {
    /// Opens the folder of the log, made where it is missing; what had begun to arrive in a pack of
    /// its own when the server stopped is dropped.
    pub(crate) fn open(config: &Config, objects: Objects, node: u64, disk: Disk) -> Result<Self> {
        let folder = config.log_folder();
        let arriving = folder.join("arriving");
        std::fs::create_dir_all(&arriving)?;
        for left_over in std::fs::read_dir(&arriving)? {
            std::fs::remove_file(left_over?.path())?;
        }
        let buffers = Buffers::default();
        let blocks = match objects.is_folder() {
            true => None,
            false => Some(Blocks::new(Config::bytes(config.cache_mib), &buffers)?),
        };
        Ok(Self {
            folder,
            disk,
            objects,
            handles: Mutex::default(),
            numbers: Numbers::open(&config.data, node)?,
            reserve: Config::bytes(config.reserve_mib),
            serving: Serving::new(Config::bytes(config.serve_memory_mib)),
            blocks,
            waiting: Waiting::default(),
            buffers,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A number that no pack has had, for one of the log.
    pub(crate) fn next_id(&self) -> PackId {
        self.numbers.next()
    }

    /// The same for a pack that is put into the object store without a file in the log, and may get there late.
    ///
    /// # Errors
    /// What the disk says when it cannot be written down.
    pub(crate) async fn next_id_for_good(&self) -> Result<PackId> {
        if self.objects.is_folder() { Ok(self.numbers.next()) } else { self.numbers.next_for_good().await }
    }

    /// Numbers up to this one are taken, if it is one of this node.
    pub(crate) fn is_taken(&self, id: PackId) {
        self.numbers.is_taken(id);
    }

    /// Whether this node makes packs with such numbers.
    pub(crate) fn is_own(&self, id: PackId) -> bool {
        self.numbers.is_own(id)
    }

    pub(crate) fn log_file(&self, id: PackId) -> PathBuf {
        self.folder.join(format!("{id}.tar"))
    }

    /// A file for an instance whose size and name are not known yet.
    pub(crate) fn arriving_file(&self, id: PackId) -> PathBuf {
        self.folder.join("arriving").join(format!("{id}.part"))
    }

    /// A file for the copy of a pack that is read from end to end.
    fn copied_file(&self, id: PackId) -> PathBuf {
        self.folder.join("arriving").join(format!("{id}.copy"))
    }

    /// Packs that wait for their upload.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.count()
    }

    /// Bytes that are left free on the disk.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// What is remembered of a pack that has been removed is given up.
    fn forget(&self, pack: PackId) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
        if let Some(blocks) = &self.blocks {
            blocks.forget(pack);
        }
    }

    /// The packs of the log, in ascending order.
    pub(crate) fn in_log(&self) -> Result<Vec<PackId>> {
        let mut packs = Vec::new();
        for file in std::fs::read_dir(&self.folder)? {
            packs.extend(file?.file_name().to_str().and_then(crate::objects::pack_id));
        }
        packs.sort_unstable();
        Ok(packs)
    }

    /// Makes an empty pack in the log.
    pub(crate) fn create(&self, id: PackId) -> std::io::Result<File> {
        let file = self.disk.create(&self.log_file(id))?;
        self.disk.sync_folder(&self.folder)?;
        Ok(file)
    }

    pub(crate) fn open_in_log(&self, id: PackId) -> std::io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.log_file(id))
    }

    /// One ranged read of wherever the pack is, into memory that has been taken for it.
    ///
    /// # Errors
    /// `NotFound` when the pack has been removed, `Corrupt` when it has lost some of it.
    pub(crate) async fn read(&self, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        let handle = self.handle(pack).await?;
        match (handle, &self.blocks) {
            (Some(file), _) => self.buffers.read(&file, range).await.map_err(|error| damaged(pack, error)),
            // On the heap: whoever reads a file of this machine does not carry what asks a store far away.
            (None, Some(blocks)) => Box::pin(blocks.read(&self.objects, pack, range)).await,
            (None, None) => Box::pin(self.objects.pack_range(pack, range)).await,
        }
    }

    /// Whether sealed packs are read over a network, so that reading ahead is worth while.
    pub(crate) fn are_far(&self) -> bool {
        self.blocks.is_some()
    }

    /// Fetches a block that will be asked for, where that is worth while.
    async fn warm(&self, key: BlockKey) -> Option<Pin> {
        match (&self.blocks, self.handle(key.0).await) {
            (Some(blocks), Ok(None)) => blocks.warm(&self.objects, key).await,
            _ => None,
        }
    }

    /// The pack as a file, where it is one.
    async fn handle(&self, pack: PackId) -> Result<Handle> {
        let known = self.handles.lock().unwrap_or_else(PoisonError::into_inner).get(&pack).cloned();
        match known {
            Some(handle) => Ok(handle),
            None => self.open_for_reading(pack).await,
        }
    }

    async fn open_for_reading(&self, pack: PackId) -> Result<Handle> {
        let places = [Some(self.log_file(pack)), self.objects.pack_file(pack)];
        let opened = blocking(move || {
            // A pack moves from the log to the objects at any time, so the log is asked twice.
            for place in places.iter().chain(places.first()).flatten() {
                match File::open(place) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    result => return result.map(|file| Some(Arc::new(file))),
                }
            }
            Ok(None)
        })
        .await?;
        // A folder that has lost a pack may get it back.
        if opened.is_some() || self.are_far() {
            let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
            if handles.len() >= MAX_HANDLES {
                handles.clear();
            }
            handles.insert(pack, opened.clone());
        }
        Ok(opened)
    }

    /// Gives a sealed pack to the object store: at once where it is only renamed, and its file handle stays good; in
    /// the background where it is uploaded.
    pub(crate) async fn adopt(&self, pack: PackId) -> Result<()> {
        if let Some(place) = self.objects.pack_file(pack) {
            let (disk, file) = (self.disk.clone(), self.log_file(pack));
            return blocking(move || disk.move_to(&file, &place)).await;
        }
        self.waiting.add(pack);
        Ok(())
    }

    /// What the index has taken is durable afterwards: what it says has gone may go.
    async fn sync_index(&self, index: &dyn Index) -> Result<()> {
        self.disk.tell(&Step::SyncIndex)?;
        index.sync().await
    }

    async fn upload(&self, pack: PackId) -> Result<()> {
        self.objects.adopt(pack, &self.log_file(pack)).await?;
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
        Ok(())
    }
}

/// What the disk says of a place that it has lost, or that is behind the end of the pack, as what it is.
fn damaged(pack: PackId, error: crate::Error) -> crate::Error {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let is_damage = cause
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof || pack_bytes::is_lost(cause));
    if is_damage {
        crate::Error::corrupt(format!("a part of pack {pack} is damaged")).with_source(error)
    } else {
        error
    }
}
