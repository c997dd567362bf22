//! Comparing packs with their digests.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Upkeep;
use crate::index::{PackRow, Stage, known_acts};
use crate::model::PackId;
use crate::node;
use crate::packs::damage::{DamagedStretch, Holds, LostAct};
use crate::packs::local::Pace;
use crate::packs::verify::{Verified, verify};
use crate::{Error, ErrorKind, Result};

/// A pack is compared with its digests this often.
const VERIFY_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);

/// What came of comparing all packs with their digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllVerified {
    /// Bytes that were read.
    pub bytes: u64,
    /// Acts that the index knows and no pack holds.
    pub lost_acts: Vec<LostAct>,
}

impl Upkeep {
    /// Compares one pack with its digests at the pace of the settings, the one that has waited longest; `None` when
    /// none is due.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn verify_next(&self) -> Result<Option<Verified>> {
        let Some(row) = self.stalest(&self.rows().await?).await? else { return Ok(None) };
        let mut pace = Pace::new(Some(self.archive.inner.verify_pace));
        self.verify_one(row, &mut pace).await.map(Some)
    }

    /// Compares all packs with their digests, as fast as it goes or so many bytes a second, and tells of each; then whether
    /// every act that the index knows lies in one of them.
    ///
    /// # Errors
    /// As for [`Upkeep::due`].
    pub async fn verify_all(
        &self,
        bytes_a_second: Option<u64>,
        mut tell: impl FnMut(PackId, &Verified),
    ) -> Result<AllVerified> {
        let mut pace = Pace::new(bytes_a_second);
        let mut acts = known_acts(&**self.index()).await?;
        for row in self.rows().await?.into_iter().filter(|row| row.stage == Stage::InUse) {
            let verified = self.verify_one(row, &mut pace).await?;
            acts.retain(|number, _| !verified.acts.contains(number));
            if verified.is_unread {
                // Any of them may lie there.
                acts.clear();
            }
            tell(row.pack, &verified);
        }
        let lost_acts = acts.into_iter().map(|(number, kind)| LostAct { number, kind }).collect();
        Ok(AllVerified { bytes: pace.bytes(), lost_acts })
    }

    async fn verify_one(&self, row: PackRow, pace: &mut Pace) -> Result<Verified> {
        match verify(self.packs(), self.index(), row.pack, row.mark, pace).await {
            Err(error) if error.kind == ErrorKind::NotFound => self.is_missing(row).await,
            Err(error) if error.kind == ErrorKind::Unavailable => self.is_unread(row, error).await,
            verified => verified,
        }
    }

    /// A pack that cannot be read though the object store is there: a file that this user may not open, or that the disk
    /// does not give. Whether it is damaged nobody knows, so what it holds is not hidden, and it does not count as compared;
    /// the others are compared all the same.
    async fn is_unread(&self, row: PackRow, error: Error) -> Result<Verified> {
        if !self.is_of_pack(&error).await {
            return Err(error);
        }
        Ok(self.not_compared(row, format!("the pack cannot be read: {}", error.chain())).await)
    }

    /// A pack that is not there was rewritten meanwhile, and compared in doing so; or somebody has taken it away. What it
    /// held is not hidden then, and it does not count as compared: it may be put back.
    async fn is_missing(&self, row: PackRow) -> Result<Verified> {
        let after = row.pack.0.checked_sub(1).map(PackId);
        let now = self.index().packs(after, 1).await?;
        if !now.first().is_some_and(|now| now.pack == row.pack && now.stage == Stage::InUse) {
            return Ok(Verified::default());
        }
        self.packs().objects.is_well().await?;
        Ok(self.not_compared(row, "the pack is neither in the log nor in the object store".to_owned()).await)
    }

    async fn not_compared(&self, row: PackRow, reason: String) -> Verified {
        tracing::error!(pack = %row.pack, reason, "a pack is not compared; it is tried again in a day");
        self.archive.inner.unread.lock().await.insert(row.pack, Instant::now());
        let whole = DamagedStretch { pack: row.pack, range: 0..row.mark, holds: Holds::Unknown, reason };
        Verified { stretches: vec![whole], is_unread: true, ..Verified::default() }
    }

    /// The pack that has not been compared for the longest time, when that is too long. One that never was counts from
    /// when its first instance came, and the first such pack of a node is its oldest; one of records alone is short, and
    /// is compared at once.
    pub(super) async fn stalest(&self, rows: &[PackRow]) -> Result<Option<PackRow>> {
        if self.archive.inner.verify_pace == 0 {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limit = u64::try_from(now.saturating_sub(VERIFY_EVERY).as_millis()).unwrap_or_default();
        let unread = self.unread().await;
        let used = || rows.iter().filter(|row| row.stage == Stage::InUse && !unread.contains(&row.pack));
        let mut nodes = BTreeSet::new();
        for row in used().filter(|row| row.verified == 0 && nodes.insert(node::of(row.pack))) {
            let first = self.index().pack_entries(row.pack, 0, 1).await?;
            if first.first().is_none_or(|entry| entry.received < limit) {
                return Ok(Some(*row));
            }
        }
        Ok(used()
            .filter(|row| row.verified > 0)
            .min_by_key(|row| row.verified)
            .copied()
            .filter(|row| row.verified < limit))
    }
}
