//! The numbers of the packs that a node makes. None is given twice.
//!
//! What a node put into a bucket as it was killed may arrive there after its next start has listed what there is. So
//! the data folder tells up to where numbers may have been given, written down ahead of them, and the next start begins
//! behind. A pack of the log needs none of this: its file is there until it is an object.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::Result;
use crate::model::PackId;
use crate::node;
use crate::objects::{blocking, write_whole};

const FILE: &str = "pack-numbers";
/// Numbers that are written down as given at a time: so many may be left out at each start.
const AHEAD: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Numbers {
    file: PathBuf,
    node: u64,
    next: AtomicU64,
    /// Numbers below this one are written down as given.
    given: AtomicU64,
    writing: Mutex<()>,
}

impl Numbers {
    /// # Errors
    /// What the file system says of the file of an earlier start.
    pub(super) fn open(data: &Path, node: u64) -> Result<Self> {
        let file = data.join(FILE);
        let given = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            text => text?.trim_end().parse().unwrap_or_default(),
        };
        // A data folder that has got another number begins anew.
        let given = if node::of(PackId(given)) == node { given } else { 0 };
        let next = node::first_pack(node).max(given);
        let (next, given) = (AtomicU64::new(next), AtomicU64::new(given));
        Ok(Self { file, node, next, given, writing: Mutex::default() })
    }

    /// A number for a pack of the log.
    pub(super) fn next(&self) -> PackId {
        PackId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for a pack that is put into a bucket.
    ///
    /// # Errors
    /// What the disk says when it cannot be written down.
    pub(super) async fn next_for_good(&self) -> Result<PackId> {
        let pack = self.next();
        if pack.0 >= self.given.load(Ordering::Acquire) {
            let _one = self.writing.lock().await;
            if pack.0 >= self.given.load(Ordering::Acquire) {
                let (file, end) = (self.file.clone(), pack.0.saturating_add(AHEAD));
                blocking(move || write_whole(&file, format!("{end}\n").as_bytes())).await?;
                self.given.store(end, Ordering::Release);
            }
        }
        Ok(pack)
    }

    /// Numbers up to this one are taken, if it is one of this node.
    pub(super) fn is_taken(&self, pack: PackId) {
        if self.is_own(pack) {
            self.next.fetch_max(pack.0.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Whether this node makes packs with such numbers.
    pub(super) fn is_own(&self, pack: PackId) -> bool {
        node::of(pack) == self.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_that_was_given_for_good_is_not_given_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Numbers::open(folder.path(), 3).unwrap();
        assert_eq!(numbers.next(), PackId(3_000_000_001));
        let mut last = PackId(0);
        for _ in 0..=AHEAD {
            let given = numbers.next_for_good().await.unwrap();
            assert!(given > last);
            last = given;
        }
        let again = Numbers::open(folder.path(), 3).unwrap();
        assert!(again.next() > last && again.next_for_good().await.unwrap() > last);
        assert_eq!(Numbers::open(folder.path(), 4).unwrap().next(), PackId(4_000_000_001));
    }

    #[tokio::test]
    async fn a_number_that_cannot_be_written_down_is_not_given_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Numbers::open(&folder.path().join("gone"), 0).unwrap();
        assert!(numbers.next_for_good().await.is_err());
        assert!(numbers.next_for_good().await.is_err());
    }
}
