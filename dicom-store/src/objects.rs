//! Sealed packs and derived images, as objects of a store: a folder here, a bucket elsewhere.

pub(crate) mod compressed;
mod folder;
mod identifier;
mod key;
mod reading;
mod s3;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::sync::Semaphore;

use crate::config::{Config, S3};
use crate::model::{PackId, SeriesInstanceUid, StudyInstanceUid};
use crate::packs::pack_bytes::is_lost;
use crate::reach::Reach;
use crate::{Error, ErrorKind, Result};

use compressed::Table;
pub(crate) use folder::{blocking, sync_folder, write_whole};
pub(crate) use identifier::new_identifier;
pub use key::DerivedKey;
pub(crate) use key::pack_id;

/// Bytes that may take a second more than a small request.
const BYTES_A_SECOND: u64 = 1 << 20;
/// How long a folder may take; disks are slow at times, and are not gone for that.
const FOLDER: Duration = Duration::from_secs(15);
/// For how long an answer to the question whether the store is there holds.
const WELL_FOR: Duration = Duration::from_secs(2);
/// Bytes that are asked for at a time when a whole pack is copied, and how many such at once.
const COPY: u64 = 8 << 20;
const COPIES_AT_A_TIME: usize = 4;

/// The object store of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The folder, when the store is one: packs are then renamed into it.
    folder: Option<PathBuf>,
    /// Parts of uploads that may be in memory.
    upload_turns: Arc<Semaphore>,
    /// How long a small request may take.
    patience: Duration,
    reach: Arc<Reach>,
    /// When it has answered last to the question whether it is there.
    well: Arc<Mutex<Option<Instant>>>,
    /// Tables of compressed packs that were read lately.
    tables: Arc<Mutex<HashMap<PackId, Arc<Table>>>>,
}

impl Objects {
    /// Opens what the settings name: `file:`, `file:///folder` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// `Invalid` for a URL of another kind; what the file system says when the folder cannot be made.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        Self::open_url(&config.objects, &config.data, &config.s3)
    }

    /// Whether the settings name a store that there can be. Nothing is made, and nobody is asked.
    ///
    /// # Errors
    /// As [`Objects::open`].
    pub(crate) fn check(config: &Config) -> Result<()> {
        match config.objects.strip_prefix("s3://") {
            Some(place) => s3::open(&config.objects, place, &config.s3).map(drop),
            None => folder_of(&config.objects, &config.data).map(drop),
        }
    }

    fn open_url(url: &str, data: &Path, settings: &S3) -> Result<Self> {
        if let Some(place) = url.strip_prefix("s3://") {
            let patience = Duration::from_secs(settings.answer_s.max(1));
            return Ok(Self { patience, ..Self::over(s3::open(url, place, settings)?) });
        }
        let folder = folder_of(url, data)?;
        std::fs::create_dir_all(folder.join("packs"))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(store_error)?;
        Ok(Self { folder: Some(folder), ..Self::over(Arc::new(store)) })
    }

    /// Any store, without a folder to rename into.
    pub(crate) fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            folder: None,
            upload_turns: Arc::new(Semaphore::new(upload::ALL_AT_A_TIME)),
            patience: FOLDER,
            reach: Arc::new(Reach::new("object store does not answer")),
            well: Arc::default(),
            tables: Arc::default(),
        }
    }

    /// Whether packs are files of this machine, which its system keeps in memory by itself.
    pub(crate) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Takes over the file of a sealed pack; afterwards it is an object and the file is gone.
    /// Doing it again after a crash is harmless.
    ///
    /// # Errors
    /// `Conflict` when something else has the pack's number; the file stays then, as after every error.
    pub(crate) async fn adopt(&self, pack: PackId, file: &Path) -> Result<()> {
        let source = file.to_owned();
        match &self.folder {
            Some(folder) => {
                let target = folder.join(key::pack(pack).as_ref());
                blocking(move || folder::move_new(&source, &target)).await
            }
            None => {
                let opened = blocking(move || {
                    let file = File::open(&source)?;
                    let length = file.metadata()?.len();
                    Ok((Arc::new(file), length))
                });
                let (opened, length) = opened.await?;
                self.upload(pack, opened, length).await?;
                Ok(tokio::fs::remove_file(file).await?)
            }
        }
    }

    /// Makes a pack of the first `length` bytes of a file, which is left as it is.
    ///
    /// # Errors
    /// `Conflict` when something else has the pack's number.
    pub(crate) async fn upload(&self, pack: PackId, file: Arc<File>, length: u64) -> Result<()> {
        if length <= upload::PART {
            return self.put_pack(pack, upload::read(file, 0..length).await?).await;
        }
        match self.pack_length(pack).await? {
            // It was put before a crash. Parts become an object as a whole or not at all, and no two packs have a number.
            Some(there) if there == length => Ok(()),
            Some(there) => Err(taken(pack, there, length)),
            None => upload::in_parts(&self.store, &key::pack(pack), file, length, &self.upload_turns).await,
        }
    }

    /// Puts a small pack in one request, and never over another.
    ///
    /// # Errors
    /// `Conflict` when something else has the pack's number.
    pub(crate) async fn put_pack(&self, pack: PackId, bytes: PutPayload) -> Result<()> {
        let key = key::pack(pack);
        let length = bytes.content_length() as u64;
        let put = || self.store.put_opts(&key, bytes.clone(), PutMode::Create.into());
        let put_surely = async {
            match put().await {
                // Whether it has come is not known: asked again, the store says that it is there.
                Err(error) if s3::is_lost(&error) => put().await,
                result => result,
            }
        };
        match self.within(length, put_surely).await {
            Err(error) if error.kind == ErrorKind::Conflict => {
                let get = async { self.store.get(&key).await?.bytes().await };
                let there = self.within(length, get).await?;
                let is_same = there.iter().eq(bytes.iter().flatten());
                if is_same { Ok(()) } else { Err(taken(pack, there.len() as u64, length)) }
            }
            result => result.map(|_| ()),
        }
    }

    /// Removes a pack, in whichever form; one that is not there is removed already.
    pub(crate) async fn delete_pack(&self, pack: PackId) -> Result<()> {
        self.delete_compressed(pack).await?;
        self.delete_plain(pack).await
    }

    /// Removes the tar file of a pack.
    pub(crate) async fn delete_plain(&self, pack: PackId) -> Result<()> {
        self.delete_object(&key::pack(pack)).await
    }

    /// Removes the compressed form of a pack.
    pub(crate) async fn delete_compressed(&self, pack: PackId) -> Result<()> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
        self.delete_object(&key::compressed(pack)).await
    }

    async fn delete_object(&self, key: &object_store::path::Path) -> Result<()> {
        if let Some(folder) = &self.folder {
            let file = folder.join(key.as_ref());
            return blocking(move || folder::remove(&file)).await;
        }
        match self.within(0, self.store.delete(key)).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// How long the tar file of a pack is, compressed or not; `None` when it is not there.
    pub(crate) async fn pack_length(&self, pack: PackId) -> Result<Option<u64>> {
        match self.within(0, self.store.head(&key::pack(pack))).await {
            Ok(found) => Ok(Some(found.size)),
            Err(error) if error.kind == ErrorKind::NotFound => self.compressed_length(pack).await,
            Err(error) => Err(error),
        }
    }

    /// Where a sealed pack lies as a file, when the store is a folder.
    pub(crate) fn pack_file(&self, pack: PackId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key::pack(pack).as_ref()))
    }

    /// A sealed pack as a file: its own where the store is a folder, a copy at `copy` elsewhere. What cannot be read of a
    /// compressed one is lost in the copy and all else is there: its entries prove themselves.
    ///
    /// # Errors
    /// `NotFound` when there is no such pack, `Corrupt` when the table of a compressed one is broken.
    pub(crate) async fn pack_copy(&self, pack: PackId, copy: &Path) -> Result<PathBuf> {
        if let Some(own) = self.pack_file(pack)
            && tokio::fs::try_exists(&own).await?
        {
            return Ok(own);
        }
        let length = self.pack_length(pack).await?;
        let length = length.ok_or_else(|| Error::not_found(format!("pack {pack} is not there")))?;
        let place = copy.to_owned();
        let file = Arc::new(blocking(move || File::create(place)).await?);
        stream::iter((0..length.div_ceil(COPY)).map(|part| part * COPY..length.min((part + 1) * COPY)))
            .map(|range| {
                let file = file.clone();
                async move {
                    let bytes = match self.pack_range(pack, range.clone()).await {
                        Err(error) if error.kind == ErrorKind::Corrupt => {
                            tracing::error!(%pack, from = range.start, to = range.end, %error, "a part of a pack is damaged; the rest of it is read");
                            self.legible(pack, range.clone()).await?
                        }
                        bytes => bytes?,
                    };
                    blocking(move || file.write_all_at(&bytes, range.start)).await
                }
            })
            .buffer_unordered(COPIES_AT_A_TIME)
            .try_collect::<()>()
            .await?;
        Ok(copy.to_owned())
    }

    /// Whether there is a compressed form of a pack, damaged or not.
    pub(crate) async fn is_compressed(&self, pack: PackId) -> Result<bool> {
        match self.within(0, self.store.head(&key::compressed(pack))).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sealed packs with their sizes, in ascending order; not those that cannot be read.
    pub(crate) async fn packs(&self) -> Result<Vec<(PackId, u64)>> {
        Ok(self.listed_packs().await?.0)
    }

    /// The same, and those whose compressed form is so damaged that nothing of it can be read.
    pub(crate) async fn listed_packs(&self) -> Result<(Vec<(PackId, u64)>, Vec<(PackId, Error)>)> {
        let mut packs: BTreeMap<PackId, u64> =
            self.plain_packs().await?.into_iter().map(|(pack, size, _)| (pack, size)).collect();
        let compressed = self.compressed_packs().await?.into_iter().map(|(pack, _)| pack);
        let alone: Vec<PackId> = compressed.filter(|pack| !packs.contains_key(pack)).collect();
        let length = async |pack| match self.compressed_length(pack).await {
            // The others are there all the same; whoever reads of this one hears it again.
            Err(error) if error.kind == ErrorKind::Corrupt => {
                tracing::error!(%pack, error = %error.chain(), "a compressed pack cannot be read");
                Ok((pack, Err(error)))
            }
            length => Ok::<_, Error>((pack, Ok(length?))),
        };
        let lengths = stream::iter(alone).map(length).buffer_unordered(COPIES_AT_A_TIME);
        let lengths: Vec<(PackId, Result<Option<u64>>)> = lengths.try_collect().await?;
        let mut broken = Vec::new();
        for (pack, length) in lengths {
            match length {
                Ok(Some(length)) => drop(packs.insert(pack, length)),
                // It has been removed meanwhile.
                Ok(None) => {}
                Err(error) => broken.push((pack, error)),
            }
        }
        Ok((packs.into_iter().collect(), broken))
    }

    /// Packs that are not compressed: sizes, and when they became objects, in milliseconds since 1970.
    pub(crate) async fn plain_packs(&self) -> Result<Vec<(PackId, u64, u64)>> {
        let pack = |object: &ObjectMeta| {
            let made = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default();
            Some((object.location.filename().and_then(pack_id)?, object.size, made))
        };
        Ok(self.listed().await?.iter().filter_map(pack).collect())
    }

    /// Packs that are compressed, with the sizes of their objects.
    pub(crate) async fn compressed_packs(&self) -> Result<Vec<(PackId, u64)>> {
        let pack = |object: &ObjectMeta| {
            Some((object.location.filename().and_then(key::compressed_id)?, object.size))
        };
        Ok(self.listed().await?.iter().filter_map(pack).collect())
    }

    async fn listed(&self) -> Result<Vec<ObjectMeta>> {
        self.store.list(Some(&key::packs())).try_collect().await.map_err(store_error)
    }

    /// Where the compressed form of a pack is written before it is an object; `None` where that is not the store's.
    pub(crate) fn scratch(&self, pack: PackId) -> Option<PathBuf> {
        let file = format!("{}.part", key::compressed(pack));
        self.folder.as_ref().map(|folder| folder.join(file))
    }

    /// Makes a file the compressed form of a pack, durably; the file is gone then. What was there before is removed: the
    /// tar file is still there.
    pub(crate) async fn put_compressed(&self, pack: PackId, file: &Path, length: u64) -> Result<()> {
        self.delete_compressed(pack).await?;
        let (key, source) = (key::compressed(pack), file.to_owned());
        if let Some(folder) = &self.folder {
            let target = folder.join(key.as_ref());
            return blocking(move || folder::move_new(&source, &target)).await;
        }
        let opened = Arc::new(blocking(move || File::open(source)).await?);
        upload::in_parts(&self.store, &key, opened, length, &self.upload_turns).await?;
        Ok(tokio::fs::remove_file(file).await?)
    }

    pub(crate) async fn derived(&self, key: &DerivedKey) -> Result<Option<Bytes>> {
        self.small(&key.path()).await
    }

    /// When something was made of images, in milliseconds since 1970 by the clock of the store.
    pub(crate) async fn derived_at(&self, key: &DerivedKey) -> Result<Option<u64>> {
        match self.within(0, self.store.head(&key.path())).await {
            Ok(found) => Ok(Some(u64::try_from(found.last_modified.timestamp_millis()).unwrap_or_default())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes something that was made of images.
    pub(crate) async fn delete_derived(&self, key: &DerivedKey) -> Result<()> {
        match self.within(0, self.store.delete(&key.path())).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes all that was made of a series.
    pub(crate) async fn delete_made_of(
        &self,
        study: &StudyInstanceUid,
        series: &SeriesInstanceUid,
    ) -> Result<()> {
        let made: Vec<_> =
            self.store.list(Some(&key::made_of(study, series))).try_collect().await.map_err(store_error)?;
        for object in made {
            match self.within(0, self.store.delete(&object.location)).await {
                Err(error) if error.kind == ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// A part of something that was made of images.
    ///
    /// # Errors
    /// `NotFound` when it is not there.
    pub(crate) async fn derived_range(&self, key: &DerivedKey, range: Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        self.within(length, self.store.get_range(&key.path(), range)).await
    }

    /// Waits for one request that moves so many bytes. When it was not answered those that follow are refused at once,
    /// but for one that tries now and then.
    async fn within<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let limit = self.patience + Duration::from_secs(bytes / BYTES_A_SECOND);
        if self.is_folder() {
            let done = tokio::time::timeout(limit, request).await;
            return done.map_err(|_| self.reach.gone())?.map_err(store_error);
        }
        self.reach.admit(limit)?;
        match tokio::time::timeout(limit, request).await {
            Ok(Err(error)) if s3::is_lost(&error) => {
                self.reach.lost();
                Err(self.reach.gone().with_source(error))
            }
            Ok(answered) => {
                self.reach.found();
                answered.map_err(store_error)
            }
            Err(_) => {
                self.reach.lost();
                Err(self.reach.gone())
            }
        }
    }

    /// # Errors
    /// `Unavailable` when the folder is not there or the store does not answer; asked for real every some seconds.
    pub(crate) async fn is_well(&self) -> Result<()> {
        if let Some(folder) = self.folder.clone() {
            return blocking(move || std::fs::metadata(folder.join("packs")).map(drop)).await.map_err(
                |cause| {
                    Error::new(ErrorKind::Unavailable, "the folder of the objects cannot be read")
                        .with_source(cause)
                },
            );
        }
        let well = || self.well.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = well().is_some_and(|since| since.elapsed() < WELL_FOR);
        if is_known && !self.reach.is_lost() {
            return Ok(());
        }
        let found = self.small(&identifier::object()).await?;
        if found.is_none() {
            let what = "the object store has lost the identifier of its archive";
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        *well() = Some(Instant::now());
        Ok(())
    }

    async fn small(&self, key: &object_store::path::Path) -> Result<Option<Bytes>> {
        match self.within(0, async { self.store.get(key).await?.bytes().await }).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes away what is not true any more; that it was never made is no error.
    pub(crate) async fn forget_derived(&self, key: &DerivedKey) -> Result<()> {
        self.delete_derived(key).await
    }

    pub(crate) async fn put_derived(&self, key: &DerivedKey, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        self.within(length, self.store.put(&key.path(), PutPayload::from_bytes(bytes))).await.map(|_| ())
    }
}

fn store_error(error: object_store::Error) -> Error {
    let kind = match &error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::AlreadyExists { .. } => ErrorKind::Conflict,
        error if says_lost(error) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    let what = match kind {
        ErrorKind::Corrupt => "the disk has lost a part of an object",
        _ => "object store cannot do this",
    };
    Error::new(kind, what).with_source(error)
}

/// Whether a disk below the store has lost what was asked for.
fn says_lost(error: &object_store::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        if next.downcast_ref::<std::io::Error>().is_some_and(is_lost) {
            return true;
        }
        cause = next.source();
    }
    false
}

fn taken(pack: PackId, there: u64, length: u64) -> Error {
    Error::conflict(format!("pack {pack} of {length} bytes: the object store has another of {there} bytes"))
}

/// The folder that a `file:` URL names.
fn folder_of(url: &str, data: &Path) -> Result<PathBuf> {
    match url.strip_prefix("file:") {
        Some("") => Ok(data.join("objects")),
        Some(path) => Ok(PathBuf::from(path.trim_start_matches("//"))),
        None => {
            let what = format!("objects URL is neither file:///folder nor s3://bucket/prefix: {url}");
            Err(Error::invalid(what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pack_is_uploaded_where_there_is_no_folder_to_rename_into() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("000000000007.tar");
        std::fs::write(&file, b"0123456789").unwrap();
        let objects = Objects::over(Arc::new(object_store::memory::InMemory::new()));
        objects.adopt(PackId(7), &file).await.unwrap();
        assert!(!file.exists());
        assert_eq!(objects.packs().await.unwrap(), [(PackId(7), 10)]);
        assert_eq!(objects.pack_range(PackId(7), 3..6).await.unwrap(), &b"345"[..]);
        let copy = objects.pack_copy(PackId(7), &folder.path().join("copy")).await.unwrap();
        assert_eq!(std::fs::read(copy).unwrap(), b"0123456789");
    }

    #[tokio::test]
    async fn a_pack_never_replaces_another_of_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open_url("file:", folder.path(), &S3::default()).unwrap();
        let file = folder.path().join("new.tar");
        std::fs::write(&file, b"new").unwrap();
        let place = objects.pack_file(PackId(1)).unwrap();
        std::fs::write(&place, b"old").unwrap();
        assert!(objects.adopt(PackId(1), &file).await.is_err());
        assert_eq!(
            (std::fs::read(place).unwrap(), std::fs::read(file).unwrap()),
            (b"old".to_vec(), b"new".to_vec())
        );
    }

    #[test]
    fn what_the_disk_has_lost_is_damage_and_a_store_that_cannot_be_reached_is_not() {
        let of = |source: std::io::Error| {
            store_error(object_store::Error::Generic { store: "folder", source: Box::new(source) }).kind
        };
        assert_eq!(of(rustix::io::Errno::IO.into()), ErrorKind::Corrupt);
        assert_eq!(of(rustix::io::Errno::CONNREFUSED.into()), ErrorKind::Unavailable);
        assert_eq!(of(std::io::ErrorKind::TimedOut.into()), ErrorKind::Unavailable);
    }

    #[test]
    fn names_the_url_that_it_cannot_open() {
        let error = Objects::open_url("gs://bucket", Path::new("/tmp"), &S3::default()).unwrap_err();
        assert!(error.what.contains("gs://bucket"));
    }
}
