//! What the archive does to its packs by itself, or when it is told to: gathering small ones, rewriting those that are
//! mostly dead, comparing what is kept with its digests, destroying what the law wants destroyed.

mod compare;
mod compression;
mod gather;
mod removal;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Mutex;

pub use compare::AllVerified;

use crate::archive::Archive;
use crate::index::{Index, PackEntry, PackRow, Stage};
use crate::model::PackId;
use crate::packs::Packs;
use crate::packs::rewrite::{Rewritten, all_rows, recover, rewrite};
use crate::{Error, Result};

/// Packs below this are gathered. A large instance has one of its own from about there on, and is left alone.
const SMALL: u64 = 8 << 20;
/// A pack that could not be read is tried again after this time.
const READ_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// The packs of an archive, to be kept in order.
#[derive(Debug, Clone)]
pub struct Upkeep {
    archive: Archive,
}

/// How the packs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackReport {
    pub packs: u64,
    pub bytes: u64,
    /// Packs that will be gathered once there are enough of a size.
    pub small: u64,
    /// Bytes that nothing refers to any more.
    pub dead: u64,
    /// Packs that others have taken the place of, or that are being written.
    pub in_between: u64,
    /// Packs that were never compared with their digests since they were written.
    pub never_verified: u64,
    /// Packs that wait for their upload.
    pub waiting: u64,
    /// Packs that are compressed, the bytes that these are the compressed form of, and the bytes that they take.
    pub compressed: u64,
    pub compressed_of: u64,
    pub compressed_to: u64,
}

/// What is worth doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// There are small packs to gather or dead parts to drop, or something was left half done.
    pub tidy: bool,
    /// A pack has not been compared with its digests for a month, and the settings want it to be.
    pub verify: bool,
    /// A pack is old enough to be compressed, and the settings want it to be.
    pub compress: bool,
}

/// What was rewritten, and why not all of it.
#[derive(Debug)]
struct Done {
    count: u64,
    failed: Result<()>,
}

impl Default for Done {
    fn default() -> Self {
        Self { count: 0, failed: Ok(()) }
    }
}

/// One rewriting at a time in this process. Between processes, the index sees to it.
pub(crate) type Turn = Arc<Mutex<()>>;

impl Upkeep {
    pub(crate) fn new(archive: Archive) -> Self {
        Self { archive }
    }

    fn packs(&self) -> &Arc<Packs> {
        &self.archive.inner.packs
    }

    fn index(&self) -> &Arc<dyn Index> {
        &self.archive.inner.index
    }

    /// What there is to do.
    ///
    /// # Errors
    /// As all verbs here: `Unavailable` when index or object store cannot be reached.
    pub async fn due(&self) -> Result<Due> {
        let rows = self.rows().await?;
        let tidy = rows.iter().any(|row| row.stage == Stage::Retired)
            || !self.entries_due(1).await?.is_empty()
            || !self.dead_copies_due().await?.is_empty()
            || self.next_to_gather(&rows).await.is_some();
        let compress = match self.archive.inner.compress_after {
            Some(age) => self.next_to_compress(&rows, age).await?.is_some(),
            None => false,
        };
        Ok(Due { tidy, verify: self.stalest(&rows).await?.is_some(), compress })
    }

    /// Takes out what is to leave the packs, then gathers and rewrites until nothing is left to do; gives how many packs
    /// it made others of. A pack that cannot be read keeps nothing in the others.
    ///
    /// # Errors
    /// `Exhausted` when the disk has no room for a copy; what a pack says that cannot be read, once the others are done.
    pub async fn tidy(&self) -> Result<u64> {
        let (mut count, mut failed) = (0, Ok(()));
        for done in [self.take_out_due().await?, self.gather().await?, self.rewrite_dead_copies().await?] {
            count += done.count;
            failed = failed.and(done.failed);
        }
        failed.map(|()| count)
    }

    /// How the packs are.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn report(&self) -> Result<PackReport> {
        let rows = self.rows().await?;
        let marks: BTreeMap<PackId, u64> = rows.iter().map(|row| (row.pack, row.mark)).collect();
        let plain: HashSet<PackId> =
            self.packs().objects.plain_packs().await?.into_iter().map(|(pack, ..)| pack).collect();
        let mut compressed = self.packs().objects.compressed_packs().await?;
        compressed.retain(|(pack, _)| marks.contains_key(pack) && !plain.contains(pack));
        let count = |is: &dyn Fn(&PackRow) -> bool| rows.iter().filter(|row| is(row)).count() as u64;
        Ok(PackReport {
            packs: count(&|row| row.stage == Stage::InUse),
            bytes: rows.iter().map(|row| row.mark).sum(),
            small: count(&|row| row.stage == Stage::InUse && row.mark < SMALL),
            dead: rows.iter().map(|row| row.dead).sum(),
            in_between: count(&|row| matches!(row.stage, Stage::InTheMaking | Stage::Retired)),
            never_verified: count(&|row| row.stage == Stage::InUse && row.verified == 0),
            waiting: self.packs().waiting() as u64,
            compressed: compressed.len() as u64,
            compressed_of: compressed.iter().filter_map(|(pack, _)| marks.get(pack)).sum(),
            compressed_to: compressed.iter().map(|(_, size)| size).sum(),
        })
    }

    async fn rewrite(
        &self,
        inputs: &[PackId],
        is_dropped: &(dyn Fn(&PackEntry) -> bool + Send + Sync),
    ) -> Result<Rewritten> {
        rewrite(self.packs(), self.index(), inputs, is_dropped).await
    }

    async fn recover(&self) -> Result<()> {
        recover(self.packs(), self.index()).await
    }

    async fn rows(&self) -> Result<Vec<PackRow>> {
        all_rows(self.index()).await
    }

    /// Packs that could not be read lately.
    async fn unread(&self) -> HashSet<PackId> {
        let mut unread = self.archive.inner.unread.lock().await;
        unread.retain(|_, tried| tried.elapsed() < READ_AGAIN);
        unread.keys().copied().collect()
    }

    /// Whether what failed tells of the one pack that was read: it is there to be read, but for something of its own.
    async fn is_of_pack(&self, error: &Error) -> bool {
        !is_short_of_something(error)
            && self.packs().objects.is_well().await.is_ok()
            && self.index().packs(None, 1).await.is_ok()
    }
}

/// What fails for want of descriptors or memory says nothing of the file.
fn is_short_of_something(error: &Error) -> bool {
    const WANTS: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
        .any(|code| WANTS.iter().any(|want| want.raw_os_error() == code))
}
