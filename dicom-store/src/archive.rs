//! The archive as a whole: opened once, closed once.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::{Mutex, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::access::Caller;
use crate::change::{Changes, Cursor};
use crate::config::{Config, Durability};
use crate::index::{Index, IndexPlace, known_acts};
use crate::ingest::{Budget, Sources, Store};
use crate::model::PackId;
use crate::node;
use crate::objects::Objects;
use crate::packs::damage::{Damaged, DamagedStretch, Findings, LostAct, known_before};
use crate::packs::disk::Disk;
use crate::packs::file::PackFile;
use crate::packs::follow::Follow;
use crate::packs::replay::Replay;
use crate::packs::rewrite::recover;
use crate::packs::serving::Pressure;
use crate::packs::writer::{Limits, Log};
use crate::packs::{Packs, replay, writer};
use crate::rendition::Maps;
use crate::session::Session;
use crate::session::workitems::BEHIND;
use crate::upkeep::{Turn, Upkeep};
use crate::work::Work;
use crate::{Error, Result};

/// Cheap to clone; all data goes through a [`Session`].
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) packs: Arc<Packs>,
    /// Headers that one search may look at.
    pub(crate) search_headers: u64,
    pub(crate) pack_size: u64,
    pub(crate) rewriting: Turn,
    /// Packs that could not be read when they were to be compared, and when that was.
    pub(crate) unread: Mutex<HashMap<PackId, Instant>>,
    /// Series that are read frame by frame.
    pub(crate) follow: Follow,
    /// Bytes a second; 0 for never.
    pub(crate) verify_pace: u64,
    /// How old packs are that are compressed; none are without.
    pub(crate) compress_after: Option<Duration>,
    /// How long what was deleted stays in the packs.
    pub(crate) keep_deleted: Duration,
    changes: Changes,
    pub(crate) renditions: Maps,
    /// Told when somebody has steered a job.
    pub(crate) steered: watch::Sender<()>,
    /// Subscribers whose reports of workitems were added to, for those that listen.
    pub(crate) notices: broadcast::Sender<Arc<str>>,
    /// Whose turn it is to add to them.
    pub(crate) outboxes: Mutex<()>,
    /// When room was made among them last, in milliseconds since 1970.
    pub(crate) room_made: AtomicU64,
    /// Gone once the archive is closed: nothing more comes in.
    store: RwLock<Option<Arc<Store>>>,
    /// Those of the log.
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
    /// Sealed packs on their way into the object store.
    adopting: TaskTracker,
    /// What was found damaged when it was opened.
    damaged: Damaged,
    /// Cancelled when a thread of the log has died.
    pub(crate) died: CancellationToken,
    /// Held as long as the archive is open.
    locks: Mutex<Vec<File>>,
}

impl Archive {
    /// Opens index, objects and log, and brings the index up to the log. An index that is new is
    /// filled from all packs there are.
    ///
    /// # Errors
    /// `Invalid` for a setting that cannot be, `Conflict` when the folder is in use by another
    /// server, `Unavailable` when something cannot be opened.
    pub async fn open(config: &Config) -> Result<Self> {
        config.check()?;
        let locks = locks(config)?;
        Self::open_locked(config, locks, Disk::default(), Damaged::default()).await
    }

    /// The same, and every step that the log takes is told to `watch` before it is taken.
    ///
    /// # Errors
    /// As [`Archive::open`].
    #[cfg(feature = "fixtures")]
    pub async fn open_watched(config: &Config, watch: crate::fixture::Watch) -> Result<Self> {
        let locks = locks(config)?;
        Self::open_locked(config, locks, Disk::watched_by(watch), Damaged::default()).await
    }

    /// The same, and each reading of a pack from end to end is told to `reads`, whose error takes its place.
    ///
    /// # Errors
    /// As [`Archive::open`].
    #[cfg(feature = "fixtures")]
    pub async fn open_reading(config: &Config, reads: crate::fixture::ReadWatch) -> Result<Self> {
        let locks = locks(config)?;
        Self::open_locked(config, locks, Disk::reading_by(reads), Damaged::default()).await
    }

    /// Whether there is an archive in the data folder, or in the object store of the settings. Nothing is made.
    ///
    /// # Errors
    /// What the disk says, or the object store.
    pub async fn is_there(config: &Config) -> Result<bool> {
        Objects::have_an_archive(config).await
    }

    /// Makes the index anew from the packs, and puts it in the place of the one there was when it is filled. Then
    /// [`Archive::damaged`] tells what could not be read, and what the index before knew of acts and this one does not.
    ///
    /// # Errors
    /// As [`Archive::open`]; the index is left alone then.
    pub async fn reindex(config: &Config) -> Result<Self> {
        config.check()?;
        Self::reindex_on(config, Disk::default()).await
    }

    /// The same, reading as [`Archive::open_reading`] does.
    ///
    /// # Errors
    /// As [`Archive::reindex`].
    #[cfg(feature = "fixtures")]
    pub async fn reindex_reading(config: &Config, reads: crate::fixture::ReadWatch) -> Result<Self> {
        Self::reindex_on(config, Disk::reading_by(reads)).await
    }

    async fn reindex_on(config: &Config, disk: Disk) -> Result<Self> {
        let locks = locks(config)?;
        // What cannot be listed cannot be read again.
        let objects = Objects::open(config)?;
        objects.packs().await?;
        let place = IndexPlace::of(config)?;
        // What a crash has torn is told from damage by the index that was there, as at a start.
        if place.is_kept_when_opened()?
            && let Err(error) = settled(config, &place, disk.clone()).await
        {
            warn!(error = %error.chain(), "index: it cannot be brought up to the log before it is made anew");
        }
        let mut acts = match objects.belongs_to(&config.data).await? {
            Some(archive) => place.acts_of(&archive).await.unwrap_or_else(|error| {
                warn!(error = %error.chain(), "index: what it knew of acts cannot be read, so that nobody can tell whether all of them are in the packs");
                BTreeMap::new()
            }),
            None => BTreeMap::new(),
        };
        let anew = place.anew().await?;
        let stretches = match filled(config, &anew.place, disk.clone(), &mut acts).await {
            Ok(found) => found,
            Err(error) => {
                anew.discard().await;
                return Err(error);
            }
        };
        anew.take_its_place().await?;
        let lost_acts = acts.into_iter().map(|(number, kind)| LostAct { number, kind }).collect();
        Self::open_locked(config, locks, disk, Damaged { stretches, lost_acts }).await
    }

    async fn open_locked(
        config: &Config,
        locks: Vec<File>,
        disk: Disk,
        mut damaged: Damaged,
    ) -> Result<Self> {
        let brought = brought_up(config, &IndexPlace::of(config)?, disk).await?;
        let Brought { index, packs, sources, open, durability, found } = brought;
        // A pack that nothing can be read of is met again at each start.
        let met = damaged.stretches.clone();
        damaged.stretches.extend(found.into_iter().filter(|stretch| !met.contains(stretch)));
        let changes = Changes::new(index.last_change().await?);
        index.follow(&changes);
        let limits = Limits {
            pack_size: Config::bytes(config.pack_size_mib.max(1)),
            reserve: Config::bytes(config.reserve_mib),
            seal_idle: config.seal_idle(),
            on_conflict: config.on_conflict,
        };
        let is_behind = Arc::new(AtomicBool::new(false));
        let has_acts = Arc::new(AtomicBool::new(!index.acts(None, 1).await?.is_empty()));
        let log = writer::start(Log {
            packs: packs.clone(),
            index: index.clone(),
            changes: changes.clone(),
            open,
            limits,
            durability,
            is_behind: is_behind.clone(),
            has_acts: has_acts.clone(),
        })?;
        let store = Store {
            packs: packs.clone(),
            index: index.clone(),
            appends: log.appends,
            durable: log.durable,
            budget: Budget::new(Config::bytes(config.receive_memory_mib)),
            inline: Config::bytes(config.inline_size_mib),
            max_instance: config.max_instance(),
            reserve: limits.reserve,
            durability,
            under_way: crate::ingest::UnderWay::default(),
            inflating: Arc::new(Semaphore::new(1)),
            acting: Semaphore::new(1),
            has_acts,
            on_conflict: config.on_conflict,
            is_behind,
            sources,
        };
        let store = RwLock::new(Some(Arc::new(store)));
        Ok(Self {
            inner: Arc::new(Inner {
                index,
                packs,
                search_headers: config.search_headers,
                pack_size: limits.pack_size,
                rewriting: Turn::default(),
                unread: Mutex::default(),
                follow: Follow::default(),
                verify_pace: Config::bytes(config.verify_mib_s),
                compress_after: config.compress_after(),
                keep_deleted: Duration::from_secs(config.keep_deleted_days.saturating_mul(24 * 3600)),
                changes,
                store,
                threads: Mutex::new(Some(log.threads)),
                renditions: Maps::default(),
                steered: watch::Sender::new(()),
                notices: broadcast::Sender::new(BEHIND),
                outboxes: Mutex::default(),
                room_made: AtomicU64::new(0),
                adopting: log.adopting,
                damaged,
                died: log.died,
                locks: Mutex::new(locks),
            }),
        })
    }

    /// A session in which everything is done as this caller.
    pub fn acting_as(&self, caller: Caller) -> Session {
        Session::new(self.clone(), caller)
    }

    /// The change feed's wake-up.
    pub fn changes(&self) -> Changes {
        self.inner.changes.clone()
    }

    /// Change feed and job queue, for the parts of the server that work on their own.
    pub fn work(&self) -> Work {
        Work::new(self.inner.index.clone(), self.inner.steered.clone())
    }

    /// Whether readers wait for memory that others hold.
    pub fn pressure(&self) -> Pressure {
        self.inner.packs.serving.pressure().clone()
    }

    /// What was found damaged when it was opened, of what the index did not know yet; when its index was made anew, of all.
    pub fn damaged(&self) -> &Damaged {
        &self.inner.damaged
    }

    /// What the archive does to its packs by itself.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep::new(self.clone())
    }

    pub(crate) fn store(&self) -> Result<Arc<Store>> {
        let store = self.inner.store.read().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(|| Error::new(crate::ErrorKind::Unavailable, "the archive is closing"))
    }

    /// Lets what is arriving finish, writes all of it, and closes the index. What is asked afterwards
    /// is refused as `Unavailable`.
    pub async fn close(&self) {
        self.inner.store.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = self.inner.threads.lock().await.take() {
            let joined = tokio::task::spawn_blocking(move || threads.map(JoinHandle::join));
            if !matches!(joined.await, Ok([Ok(()), Ok(())])) {
                warn!("a thread of the log did not end well");
            }
        }
        self.inner.adopting.close();
        self.inner.adopting.wait().await;
        self.inner.index.close().await;
        self.inner.locks.lock().await.clear();
    }
}

/// An archive that nothing is written to yet, with its index as far as its packs.
struct Brought {
    index: Arc<dyn Index>,
    packs: Arc<Packs>,
    sources: Arc<Sources>,
    /// The pack to write on.
    open: Option<PackFile>,
    durability: Durability,
    /// What is damaged of what was read.
    found: Vec<DamagedStretch>,
}

/// Opens index, objects and log, and brings the index up to the log.
async fn brought_up(config: &Config, place: &IndexPlace, disk: Disk) -> Result<Brought> {
    let durability = config.durability()?;
    let objects = Objects::open(config)?;
    let identifier = objects.belongs_to(&config.data).await?;
    let sources = Arc::new(Sources::new(&config.sources)?);
    let index = place.open().await?;
    if let Some(identifier) = &identifier {
        index.belongs_to(identifier).await?;
    }
    let sealed: Vec<_> = objects.packs().await?.into_iter().map(|(pack, _)| pack).collect();
    let is_alone = durability == Durability::Local;
    let node = node::join(&config.data, &*index, &sealed, is_alone).await?;
    if identifier.is_none() {
        index.belongs_to(&begun(config, &objects, &*index, &node.founder).await?).await?;
    }
    if !objects.is_folder() && !objects.keeps_what_it_has().await? {
        warn!(
            "object store: its service ignores If-None-Match and puts over what is there; \
             never start two servers from copies of one data folder"
        );
    }
    let packs = Arc::new(Packs::open(config, objects, node.number, disk)?);
    let is_new = index.last_change().await? == Cursor::default();
    recover(&packs, &index).await?;
    let findings = Findings::default();
    let from =
        Replay { packs: &packs, index: &index, sources: &sources, is_followed: !is_new, found: &findings };
    let sealed = replay::objects(from).await?;
    if sealed > 0 {
        info!(packs = sealed, is_new, "index filled from the sealed packs");
    }
    let open = replay::log(from).await?;
    index.filled().await?;
    known_before(&index, &findings).await?;
    let found = findings.left(&index).await?;
    Ok(Brought { index, packs, sources, open, durability, found })
}

/// Brings an index up to the log and closes it.
async fn settled(config: &Config, place: &IndexPlace, disk: Disk) -> Result<()> {
    brought_up(config, place, disk).await?.index.close().await;
    Ok(())
}

/// Fills an index that is new from the packs and closes it; gives what is damaged of them. Of `acts` those are left that
/// it does not know.
async fn filled(
    config: &Config,
    place: &IndexPlace,
    disk: Disk,
    acts: &mut BTreeMap<u64, String>,
) -> Result<Vec<DamagedStretch>> {
    let Brought { index, found, .. } = brought_up(config, place, disk).await?;
    let known = known_acts(&*index).await;
    index.close().await;
    let known = known?;
    acts.retain(|number, _| !known.contains_key(number));
    Ok(found)
}

/// Begins an archive whose data folder and object store have no identifier; gives the one that it has now.
async fn begun(config: &Config, objects: &Objects, index: &dyn Index, founder: &str) -> Result<String> {
    if index.packs(None, 1).await?.is_empty() {
        return objects.found(&config.data, founder).await;
    }
    // Another node has begun it meanwhile and taken something, or this is not the object store of the others.
    let identifier = objects.belongs_to(&config.data).await?;
    identifier.ok_or_else(|| {
        Error::conflict("the object store is empty and the index is not; is store.objects right?")
    })
}

/// One server at a time writes to a data folder, and to an index in a file elsewhere.
fn locks(config: &Config) -> Result<Vec<File>> {
    std::fs::create_dir_all(&config.data)?;
    let data = lock(&config.data.join("lock"), "data folder", &config.data)?;
    let index = match IndexPlace::of(config)? {
        IndexPlace::Sqlite(file) if !file.starts_with(&config.data) => {
            let mut beside = file.clone().into_os_string();
            beside.push("-lock");
            Some(lock(Path::new(&beside), "index", &file)?)
        }
        _ => None,
    };
    Ok(std::iter::once(data).chain(index).collect())
}

fn lock(file: &Path, what: &str, of: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|cause| {
        Error::conflict(format!("{what} {} is in use by another filmless", of.display())).with_source(cause)
    })?;
    Ok(file)
}
