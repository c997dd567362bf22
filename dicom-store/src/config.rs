//! Settings of the archive: table `[store]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the archive lies and how much it may take. Sizes are in MiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Folder for everything that is not told otherwise. Default `./filmless-data`.
    pub data: PathBuf,
    /// The index: `sqlite:` for a file in the data folder, or `sqlite:///path/to/file`.
    pub index: String,
    /// The sealed packs: `file:` for the data folder, or `file:///path/to/folder`.
    pub objects: String,
    /// A pack is sealed at this size. Larger packs are fewer objects; smaller ones leave the log sooner.
    /// Default 256.
    pub pack_size_mib: u64,
    /// Instances up to this size wait in memory for their turn in the log; larger ones go to a pack
    /// of their own as they arrive. Default 8.
    pub inline_size_mib: u64,
    /// Memory for all instances that are arriving, together; past it they go to disk as they arrive.
    /// Default 64.
    pub receive_memory_mib: u64,
    /// An instance above this is refused. Default 65536 (64 GiB); 0 sets no limit.
    pub max_instance_mib: u64,
    /// Free space that is never used for images, so that a full disk stops the sender and not the
    /// server. Default 512.
    pub reserve_mib: u64,
    /// A pack that has had no instance for this long is sealed. Default 300.
    pub seal_idle_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("filmless-data"),
            index: "sqlite:".to_owned(),
            objects: "file:".to_owned(),
            pack_size_mib: 256,
            inline_size_mib: 8,
            receive_memory_mib: 64,
            max_instance_mib: 65_536,
            reserve_mib: 512,
            seal_idle_s: 300,
        }
    }
}

impl Config {
    /// The folder of the log: packs that are still written.
    pub fn log_folder(&self) -> PathBuf {
        self.data.join("log")
    }

    pub(crate) fn bytes(mib: u64) -> u64 {
        mib.saturating_mul(1 << 20)
    }

    pub(crate) fn seal_idle(&self) -> Duration {
        Duration::from_secs(self.seal_idle_s.max(1))
    }

    pub(crate) fn max_instance(&self) -> u64 {
        if self.max_instance_mib == 0 { u64::MAX } else { Self::bytes(self.max_instance_mib) }
    }
}
