//! Sealed packs and derived images, as objects of a store: a folder here, a bucket elsewhere.

mod key;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;

use crate::model::PackId;
use crate::{Error, ErrorKind, Result};

pub use key::DerivedKey;
pub(crate) use key::pack_id;

/// Name of the file and of the object that tell which archive they belong to.
const IDENTIFIER: &str = "archive-id";

/// The object store of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The folder, when the store is one: packs are then renamed into it.
    folder: Option<PathBuf>,
}

impl Objects {
    /// Opens what the setting names: `file:` or `file:///folder`.
    ///
    /// # Errors
    /// `Invalid` for a URL of another kind; what the file system says when the folder cannot be made.
    pub(crate) fn open(url: &str, data: &Path) -> Result<Self> {
        let folder = match url.strip_prefix("file:") {
            Some("") => data.join("objects"),
            Some(path) => PathBuf::from(path.trim_start_matches("//")),
            None => {
                return Err(Error::invalid(format!("objects URL is not of the form file:///folder: {url}")));
            }
        };
        std::fs::create_dir_all(folder.join("packs"))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(store_error)?;
        Ok(Self { store: Arc::new(store), folder: Some(folder) })
    }

    /// Any store, without a folder to rename into.
    #[cfg(test)]
    pub(crate) fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, folder: None }
    }

    /// Takes over the file of a sealed pack; afterwards it is an object and the file is gone.
    /// Doing it again after a crash is harmless.
    pub(crate) async fn adopt(&self, pack: PackId, file: &Path) -> Result<()> {
        match &self.folder {
            Some(folder) => {
                let target = folder.join(key::pack(pack).as_ref());
                let file = file.to_owned();
                blocking(move || {
                    rename_new(&file, &target)?;
                    sync_folder(target.parent().unwrap_or(Path::new(".")))?;
                    sync_folder(file.parent().unwrap_or(Path::new(".")))
                })
                .await
            }
            None => {
                let mut from = tokio::fs::File::open(file).await?;
                let mut upload = BufWriter::new(self.store.clone(), key::pack(pack));
                tokio::io::copy(&mut from, &mut upload).await?;
                upload.shutdown().await?;
                Ok(tokio::fs::remove_file(file).await?)
            }
        }
    }

    /// Makes sure that data folder and store belong together: both hold the same identifier, made at the first
    /// start. A data folder without one takes over the store's.
    ///
    /// # Errors
    /// `Conflict` when they do not: a volume that is not mounted, or another archive's.
    pub(crate) async fn belongs_to(&self, data: &Path) -> Result<()> {
        let file = data.join(IDENTIFIER);
        let own = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            text => Some(text?),
        };
        let object = object_store::path::Path::from(IDENTIFIER);
        let stored = match self.store.get(&object).await {
            Err(object_store::Error::NotFound { .. }) => None,
            found => Some(found.map_err(store_error)?.bytes().await.map_err(store_error)?),
        };
        match (own, stored) {
            (Some(own), Some(stored)) if own.as_bytes() == stored => Ok(()),
            (None, Some(stored)) => Ok(std::fs::write(&file, stored)?),
            (None, None) => {
                let identifier = new_identifier(data);
                let payload = PutPayload::from(identifier.clone().into_bytes());
                self.store.put(&object, payload).await.map_err(store_error)?;
                Ok(std::fs::write(&file, identifier)?)
            }
            (Some(_), _) => Err(Error::conflict(
                "the object store is not the one of this data folder; is its volume mounted?",
            )),
        }
    }

    /// Where a sealed pack lies as a file, when the store is a folder.
    pub(crate) fn pack_file(&self, pack: PackId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key::pack(pack).as_ref()))
    }

    /// A sealed pack as a file: its own where the store is a folder, a copy at `copy` elsewhere.
    pub(crate) async fn pack_copy(&self, pack: PackId, copy: &Path) -> Result<PathBuf> {
        if let Some(own) = self.pack_file(pack) {
            return Ok(own);
        }
        let object = self.store.get(&key::pack(pack)).await.map_err(store_error)?;
        let mut parts = object.into_stream();
        let mut file = tokio::fs::File::create(copy).await?;
        while let Some(part) = parts.try_next().await.map_err(store_error)? {
            file.write_all(&part).await?;
        }
        file.flush().await?;
        Ok(copy.to_owned())
    }

    pub(crate) async fn pack_range(&self, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        self.store.get_range(&key::pack(pack), range).await.map_err(store_error)
    }

    /// The sealed packs with their sizes, in ascending order.
    pub(crate) async fn packs(&self) -> Result<Vec<(PackId, u64)>> {
        let listed: Vec<_> = self.store.list(Some(&key::packs())).try_collect().await.map_err(store_error)?;
        let mut packs: Vec<_> = listed
            .iter()
            .filter_map(|object| Some((object.location.filename().and_then(pack_id)?, object.size)))
            .collect();
        packs.sort_unstable();
        Ok(packs)
    }

    pub(crate) async fn derived(&self, key: &DerivedKey) -> Result<Option<Bytes>> {
        match self.store.get(&key.path()).await {
            Ok(found) => found.bytes().await.map(Some).map_err(store_error),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    pub(crate) async fn put_derived(&self, key: &DerivedKey, bytes: Bytes) -> Result<()> {
        self.store.put(&key.path(), PutPayload::from_bytes(bytes)).await.map(|_| ()).map_err(store_error)
    }
}

fn store_error(error: object_store::Error) -> Error {
    let kind = match &error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "object store cannot do this").with_source(error)
}

/// Different for every archive: of where and when it was made.
fn new_identifier(data: &Path) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {} {}", data.display(), now.as_nanos(), std::process::id());
    blake3::hash(seed.as_bytes()).to_hex().to_string()
}

/// Renames, and never over something that is there.
fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
        result => Ok(result?),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Runs file work off the asynchronous threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(cause) => Err(Error::internal("file work did not finish").with_source(cause)),
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
        let objects = Objects::open("file:", folder.path()).unwrap();
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
    fn names_the_url_that_it_cannot_open() {
        let error = Objects::open("gs://bucket", Path::new("/tmp")).unwrap_err();
        assert!(error.what.contains("gs://bucket"));
    }
}
