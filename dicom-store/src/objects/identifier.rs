//! Which archive a data folder and an object store belong to.

use std::path::Path;

use object_store::{ObjectStoreExt, PutMode};

use super::{Objects, folder_of, write_whole};
use crate::config::Config;
use crate::{Error, ErrorKind, Result};

/// Name of the file and of the object that hold it.
const IDENTIFIER: &str = "archive-id";

impl Objects {
    /// Whether the data folder or the store is an archive's. A folder is not made for it.
    ///
    /// # Errors
    /// What the disk says; `Unavailable` when a bucket cannot be reached.
    pub(crate) async fn have_an_archive(config: &Config) -> Result<bool> {
        if config.data.join(IDENTIFIER).try_exists()? {
            return Ok(true);
        }
        if config.objects.starts_with("s3://") {
            return Ok(Self::open(config)?.small(&object()).await?.is_some());
        }
        Ok(folder_of(&config.objects, &config.data)?.join(IDENTIFIER).try_exists()?)
    }

    /// Makes sure that data folder and store belong together: both hold the same identifier, which is given. A data
    /// folder without one takes over the store's; where neither has one, [`Objects::found`] makes it.
    ///
    /// # Errors
    /// `Conflict` when they do not: a volume that is not mounted, or another archive's.
    pub(crate) async fn belongs_to(&self, data: &Path) -> Result<Option<String>> {
        let file = data.join(IDENTIFIER);
        let own = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            text => Some(text?),
        };
        match (own, self.small(&object()).await?) {
            (Some(own), Some(stored)) if own.as_bytes() == stored => Ok(Some(own)),
            (None, Some(stored)) => {
                write_whole(&file, &stored)?;
                identifier(stored.to_vec()).map(Some)
            }
            (None, None) => Ok(None),
            (Some(_), _) => Err(Error::conflict(
                "the object store is not the one of this data folder; is its volume mounted?",
            )),
        }
    }

    /// Gives a new archive its identifier, and tells it. `founder` is the same for all nodes that begin it together: not every store
    /// lets only the first of them put its own.
    pub(crate) async fn found(&self, data: &Path, founder: &str) -> Result<String> {
        let made = blake3::hash(founder.as_bytes()).to_hex().to_string().into_bytes();
        let object = object();
        let put = self.store.put_opts(&object, made.clone().into(), PutMode::Create.into());
        let new = match self.within(0, put).await {
            Ok(_) => made,
            // Another node has just made it.
            Err(error) if error.kind == ErrorKind::Conflict => {
                self.small(&object).await?.unwrap_or_default().to_vec()
            }
            Err(error) => return Err(error),
        };
        // First where the store has it: one that only the data folder had would not be let in again.
        if let Some(folder) = &self.folder {
            write_whole(&folder.join(IDENTIFIER), &new)?;
        }
        write_whole(&data.join(IDENTIFIER), &new)?;
        identifier(new)
    }

    /// Whether the store keeps what it has when it is told to put nothing over it: `If-None-Match: *`, which not every
    /// service that speaks S3 knows. Asked with what is there already, so that the answer changes nothing.
    ///
    /// # Errors
    /// `NotFound` when the archive has no identifier yet.
    pub(crate) async fn keeps_what_it_has(&self) -> Result<bool> {
        let object = object();
        let there = self.within(0, async { self.store.get(&object).await?.bytes().await }).await?;
        let put = self.store.put_opts(&object, there.into(), PutMode::Create.into());
        match self.within(0, put).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind == ErrorKind::Conflict => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn identifier(bytes: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(bytes);
    text.map_err(|cause| Error::corrupt("the identifier of the archive cannot be read").with_source(cause))
}

pub(super) fn object() -> object_store::path::Path {
    object_store::path::Path::from(IDENTIFIER)
}

/// Different for every archive: of where and when it was made.
pub(crate) fn new_identifier(data: &Path) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {} {}", data.display(), now.as_nanos(), std::process::id());
    blake3::hash(seed.as_bytes()).to_hex().to_string()
}
