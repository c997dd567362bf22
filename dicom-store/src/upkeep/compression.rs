//! Compressing packs that are old enough.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Upkeep;
use crate::Result;
use crate::index::{PackRow, Stage};
use crate::model::PackId;
use crate::packs::compress::{Compression, compress};
use crate::packs::local::Pace;
use crate::register::Entry as Registration;

/// What is smaller is not worth a file of another kind.
const LEAST_COMPRESSED: u64 = 1 << 20;
/// Bytes that are compressed, or read again and compared, in a second: what arrives has most of the processor.
const COMPRESSED_A_SECOND: u64 = 64 << 20;
/// Lines of the register for packs that would not become smaller.
const LEFT_PLAIN: &str = "pack-left-plain";

impl Upkeep {
    /// Compresses one pack that is as old as the settings want; `None` when none is.
    ///
    /// # Errors
    /// As for [`Upkeep::compress_older`].
    pub async fn compress_next(&self) -> Result<Option<Compression>> {
        match self.archive.inner.compress_after {
            Some(age) => self.compress_older(age).await,
            None => Ok(None),
        }
    }

    /// Compresses one pack of this node that became an object so long ago; `None` when there is none. One that does not
    /// become smaller by a tenth is left as it is, and not tried again.
    ///
    /// # Errors
    /// As for [`Upkeep::due`]; `Exhausted` when the disk has no room, `Corrupt` when what was written reads otherwise. The
    /// pack is as it was then.
    pub async fn compress_older(&self, age: Duration) -> Result<Option<Compression>> {
        let _turn = self.archive.inner.rewriting.lock().await;
        let rows = self.rows().await?;
        let Some(pack) = self.next_to_compress(&rows, age).await? else { return Ok(None) };
        let mut pace = Pace::new(Some(COMPRESSED_A_SECOND));
        let done = match compress(self.packs(), self.index(), pack, &mut pace).await {
            Ok(done) => done,
            Err(cause) => {
                // Where it cannot be read another has its turn the next time.
                self.leave_alone(&[pack], &rows, &cause).await?;
                return Err(cause);
            }
        };
        if done.compressed.is_none() {
            let line = Registration::new(LEFT_PLAIN, pack.to_string(), "{}");
            self.index().register(&[line], None).await?;
        }
        Ok(Some(done))
    }

    pub(super) async fn next_to_compress(&self, rows: &[PackRow], age: Duration) -> Result<Option<PackId>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = u64::try_from(now.saturating_sub(age).as_millis()).unwrap_or_default();
        let in_use: HashSet<PackId> =
            rows.iter().filter(|row| row.stage == Stage::InUse).map(|row| row.pack).collect();
        let unread = self.unread().await;
        let mut old = self.packs().objects.plain_packs().await?;
        old.retain(|(pack, size, made)| {
            *size >= LEAST_COMPRESSED
                && *made <= before
                && in_use.contains(pack)
                && !unread.contains(pack)
                && self.packs().is_own(*pack)
        });
        old.sort_unstable();
        for (pack, ..) in old {
            if self.index().registered_as(LEFT_PLAIN, &pack.to_string()).await?.is_none() {
                return Ok(Some(pack));
            }
        }
        Ok(None)
    }
}
