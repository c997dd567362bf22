//! Settings of the archive: table `[store]`.

mod index_url;
mod s3;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::index::IndexPlace;
use crate::ingest::Sources;
use crate::model::TextRule;
use crate::objects::Objects;
use crate::{Error, Result};

pub use index_url::IndexUrl;
pub use s3::{S3, Secret};

/// Where the archive lies and how much it may take. Sizes are in MiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Folder for everything that is not told otherwise. Default `./filmless-data`.
    pub data: PathBuf,
    /// The index: `sqlite:` for a file in the data folder, `sqlite:///path/to/file`, or
    /// `postgres://user@host/database?sslmode=verify-full`, which several nodes may share.
    pub index: IndexUrl,
    /// File that holds the password of the index and nothing else. Without it `PGPASSWORD` is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_password_file: Option<PathBuf>,
    /// The sealed packs: `file:` for the data folder, `file:///path/to/folder`, or `s3://bucket/prefix`.
    pub objects: String,
    /// When an instance counts as safe: `local`, once it is synced on this machine's disk; `remote`, once the object
    /// store has it. Default `remote` with `s3:` and `local` with `file:`. With `s3:` and `local` an image that was
    /// acknowledged a moment ago is on one disk only, and only one server may use the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// A pack is sealed at this size. Larger packs are fewer objects; smaller ones leave the log sooner.
    /// Default 256.
    pub pack_size_mib: u64,
    /// Instances up to this size wait in memory for their turn in the log; larger ones go to a pack
    /// of their own as they arrive. Default 8.
    pub inline_size_mib: u64,
    /// Memory for all instances that are arriving, together; past it they go to disk as they arrive.
    /// Default 64.
    pub receive_memory_mib: u64,
    /// Memory for all bytes that are on their way out, together; past it readers wait for each other, and whoever takes
    /// nothing of what he holds for 5 seconds meanwhile is cut off. Default 96.
    pub serve_memory_mib: u64,
    /// Memory for parts of packs that were read from an S3 object store; files have the system's. Default 128.
    pub cache_mib: u64,
    /// An instance above this is refused. Default 65536 (64 GiB); 0 sets no limit.
    pub max_instance_mib: u64,
    /// Free space that is never used for images, so that a full disk stops the sender and not the
    /// server: what is done to the archive beyond storing, and the copy of a pack without what was deleted, may use it.
    /// Should be twice `pack-size-mib` or more. Default 512.
    pub reserve_mib: u64,
    /// Headers that one search looks at, for attributes that the index does not keep at the level, and rows that do not
    /// match, where no index leads to those that do; a search that would need more ends there and says so. Default
    /// 100000.
    pub search_headers: u64,
    /// What becomes of another data set under a UID that is taken: `quarantine` keeps it aside, `reject` refuses
    /// it, `replace` shows it and keeps the one before aside. Default `quarantine`.
    pub on_conflict: OnConflict,
    /// A pack that has had no instance for this long is sealed. Default 300.
    pub seal_idle_s: u64,
    /// Every pack is read again within a month or so and compared with the digests of what came, at so many MiB a
    /// second. 0 leaves that to `filmless scrub`. Default 8.
    pub verify_mib_s: u64,
    /// Days after which the bytes of what was deleted, or kept aside and discarded, leave the packs; until then it can
    /// be restored. What was destroyed goes at once. Default 30.
    pub keep_deleted_days: u64,
    /// Days after which a sealed pack is compressed (Zstandard), where it becomes smaller by a tenth; what was received stays
    /// the same bytes, and `zstd -d` gives the tar file back. 0, the default, for never: reading one instance then costs a
    /// millisecond or two more.
    pub compress_after_days: u64,
    /// What is known of the text of senders that do not say it, or say it wrong. Default none.
    pub sources: Vec<TextSource>,
    pub s3: S3,
}

/// What an answer of success stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Synced on this machine's disk.
    Local,
    /// Taken by the object store.
    Remote,
}

/// One of `[[store.sources]]`. `reindex` applies what was changed here to what is in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TextSource {
    /// The sender's AE title; `web` for what came by STOW-RS, `import` for `filmless import`.
    pub ae_title: String,
    /// `utf-8`, `windows-1258`, `tcvn3`, `vni`, `viscii`, `latin1` or `utf-8-twice`: what its text is in where Specific Character
    /// Set is missing, or is ISO_IR 6, 100 or 192 and the text is not. `declared`: it is what it says, always.
    /// `auto`, as for senders that are not named: UTF-8 is recognised, and the others where it is clear.
    pub character_set: TextRule,
}

/// What becomes of another data set under a UID that is taken, in the same study and series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    #[default]
    Quarantine,
    Reject,
    Replace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("filmless-data"),
            index: "sqlite:".into(),
            index_password_file: None,
            objects: "file:".to_owned(),
            durability: None,
            pack_size_mib: 256,
            inline_size_mib: 8,
            receive_memory_mib: 64,
            serve_memory_mib: 96,
            cache_mib: 128,
            max_instance_mib: 65_536,
            reserve_mib: 512,
            search_headers: crate::query::MAX_HEADERS,
            on_conflict: OnConflict::Quarantine,
            seal_idle_s: 300,
            verify_mib_s: 8,
            keep_deleted_days: 30,
            compress_after_days: 0,
            sources: Vec::new(),
            s3: S3::default(),
        }
    }
}

impl Config {
    /// Whether an archive can be opened with these, as far as they and the files that they name say. Nothing is made, and
    /// nobody is asked; an archive that is opened has passed this first.
    ///
    /// # Errors
    /// `Invalid` with the setting that cannot be; what the system says of a file.
    pub fn check(&self) -> Result<()> {
        IndexPlace::check(self)?;
        Objects::check(self)?;
        self.durability()?;
        Sources::new(&self.sources).map(drop)
    }

    /// The folder of the log: packs that are still written.
    pub fn log_folder(&self) -> PathBuf {
        self.data.join("log")
    }

    /// What an answer of success stands for, with these objects.
    ///
    /// # Errors
    /// `Invalid` when a folder is asked for more than it can give.
    pub(crate) fn durability(&self) -> Result<Durability> {
        let is_folder = self.objects.starts_with("file:");
        match self.durability {
            Some(Durability::Remote) if is_folder => Err(Error::invalid(
                "store.durability is remote, but the objects are files of this machine: that takes s3:",
            )),
            Some(durability) => Ok(durability),
            None if is_folder => Ok(Durability::Local),
            None => Ok(Durability::Remote),
        }
    }

    pub(crate) fn bytes(mib: u64) -> u64 {
        mib.saturating_mul(1 << 20)
    }

    pub(crate) fn compress_after(&self) -> Option<Duration> {
        let days = self.compress_after_days;
        (days > 0).then(|| Duration::from_secs(days.saturating_mul(24 * 3600)))
    }

    pub(crate) fn seal_idle(&self) -> Duration {
        Duration::from_secs(self.seal_idle_s.max(1))
    }

    pub(crate) fn max_instance(&self) -> u64 {
        if self.max_instance_mib == 0 { u64::MAX } else { Self::bytes(self.max_instance_mib) }
    }
}
