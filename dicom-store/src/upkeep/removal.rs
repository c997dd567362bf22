//! Taking out of the packs what was deleted, or has to be destroyed.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::info;

use super::{Done, Upkeep};
use crate::hex::hex;
use crate::index::{EntryRow, PackEntry};
use crate::ledger::{self, Act};
use crate::model::{PackId, SopInstanceUid};
use crate::{Error, ErrorKind, Result};

/// What was deleted leaves the packs so many at a time.
const DUE: u32 = 1000;
/// How long a pack that has to be rewritten at once may take to leave the log.
const LEAVE_LOG: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What has left the packs.
#[derive(Debug, Default)]
struct TakenOut {
    dropped: u64,
    /// Packs that could not be rewritten, and why.
    left: Vec<(PackId, Error)>,
}

impl TakenOut {
    /// How many, when that is all of them.
    fn all(self) -> Result<u64> {
        self.left.into_iter().next().map_or(Ok(self.dropped), |(_, cause)| Err(cause))
    }
}

impl Upkeep {
    /// Takes out what was deleted long enough ago.
    ///
    /// # Errors
    /// `Unavailable` when the index cannot be reached.
    pub(super) async fn take_out_due(&self) -> Result<Done> {
        let (mut done, mut left, mut passed_over) = (Done::default(), HashSet::new(), 0);
        loop {
            let limit = DUE.saturating_add(passed_over);
            let mut due = self.entries_due(limit).await?;
            let all = due.len();
            due.retain(|entry| !left.contains(&entry.location.pack));
            passed_over = u32::try_from(all - due.len()).unwrap_or(u32::MAX);
            if due.is_empty() {
                if u32::try_from(all).unwrap_or(u32::MAX) < limit {
                    return Ok(done);
                }
                // Behind those there may be others.
                continue;
            }
            let rows: HashSet<EntryRow> = due.iter().map(|entry| entry.row).collect();
            let taken = self.take_out(&uids_of(&due), &due, &|entry| rows.contains(&entry.row)).await?;
            if taken.dropped > 0 {
                info!(dropped = taken.dropped, "what was deleted has left the packs");
            }
            done.count += taken.dropped;
            let is_over = taken.dropped == 0 && taken.left.is_empty();
            for (pack, cause) in taken.left {
                left.insert(pack);
                done.failed = done.failed.and(Err(cause));
            }
            if is_over {
                return Ok(done);
            }
        }
    }

    /// Takes instances out of the packs now, with everything that came under their UIDs and what was made of them.
    /// When this returns, no file and no object of this archive holds their bytes.
    ///
    /// # Errors
    /// `Unavailable` when a pack cannot be rewritten at once; it has to be asked for again then.
    pub async fn destroy(&self, instances: &[SopInstanceUid]) -> Result<u64> {
        let entries = self.index().pack_entries_of(instances).await?;
        let uids: HashSet<&SopInstanceUid> = instances.iter().collect();
        let is_meant = |entry: &PackEntry| uids.contains(&entry.sop_instance);
        let dropped = self.take_out(instances, &entries, &is_meant).await?.all()?;
        info!(instances = dropped, "instances destroyed");
        Ok(dropped)
    }

    /// Takes out of the packs what acts that were just done destroy.
    ///
    /// # Errors
    /// As for [`Upkeep::destroy`].
    pub(crate) async fn follow(&self, acts: &[ledger::Entry]) -> Result<()> {
        let (mut instances, mut aside) = (Vec::new(), HashSet::new());
        for entry in acts {
            match &entry.act {
                Act::Destroy { instances: some } => instances.extend_from_slice(some),
                Act::DestroyAside { instance, digest } => {
                    aside.insert((instance, digest.clone()));
                }
                _ => {}
            }
        }
        if !instances.is_empty() {
            self.destroy(&instances).await?;
        }
        if aside.is_empty() {
            return Ok(());
        }
        let is_meant = |entry: &PackEntry| {
            matches!(entry.row, EntryRow::Conflict(_))
                && aside.contains(&(&entry.sop_instance, hex(&entry.digest)))
        };
        let uids: Vec<SopInstanceUid> = aside.iter().map(|(instance, _)| (*instance).clone()).collect();
        let mut entries = self.index().pack_entries_of(&uids).await?;
        entries.retain(is_meant);
        let dropped = self.take_out(&uids, &entries, &is_meant).await?.all()?;
        info!(data_sets = dropped, "data sets that were kept aside are destroyed");
        Ok(())
    }

    /// Hidden instances and data sets whose bytes are to go.
    pub(super) async fn entries_due(&self, limit: u32) -> Result<Vec<PackEntry>> {
        self.index().pack_entries_due(self.kept_since(), limit).await
    }

    /// Packs with copies that nothing refers to, and that are to go.
    pub(super) async fn dead_copies_due(&self) -> Result<Vec<PackId>> {
        self.index().dead_copies_due(self.kept_since()).await
    }

    /// What was deleted before leaves the packs: milliseconds since 1970.
    fn kept_since(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(self.archive.inner.keep_deleted).as_millis();
        u64::try_from(before).unwrap_or(u64::MAX)
    }

    /// Rewrites the packs in which these lie, or copies under their UIDs that nothing refers to, without what is dropped, and
    /// removes what was made of them. One that cannot be rewritten keeps nothing in the others, and is told of. After a stop
    /// between two packs the rows of index and ledger tell what is left to do.
    async fn take_out(
        &self,
        uids: &[SopInstanceUid],
        entries: &[PackEntry],
        is_dropped: &(dyn Fn(&PackEntry) -> bool + Send + Sync),
    ) -> Result<TakenOut> {
        let mut packs = self.index().dead_copies_of(uids).await?;
        packs.extend(entries.iter().map(|entry| entry.location.pack));
        packs.sort_unstable();
        packs.dedup();
        let mut taken = TakenOut::default();
        let in_log = self.leave_log(&packs).await?;
        packs.retain(|pack| !in_log.contains(pack));
        taken.left.extend(in_log.into_iter().map(|pack| (pack, stays(pack))));
        let _turn = self.archive.inner.rewriting.lock().await;
        self.recover().await?;
        for pack in packs {
            match self.rewrite(&[pack], is_dropped).await {
                Ok(rewritten) => taken.dropped += rewritten.dropped as u64,
                Err(cause) => taken.left.push((pack, cause)),
            }
        }
        for (pack, cause) in &taken.left {
            tracing::error!(%pack, error = %cause.chain(), "a pack could not be rewritten without what is to leave it");
        }
        let series: HashSet<_> = entries.iter().map(|entry| (&entry.study, &entry.series)).collect();
        for (study, series) in series {
            self.packs().objects.delete_made_of(study, series).await?;
            self.archive.inner.renditions.forget(&(study.clone(), series.clone()));
        }
        Ok(taken)
    }

    /// Waits until packs are objects; the one that is written to is sealed for it, once: others write to the next. Gives
    /// those that are not in time.
    pub(super) async fn leave_log(&self, packs: &[PackId]) -> Result<Vec<PackId>> {
        let until = Instant::now() + LEAVE_LOG;
        let mut is_asked = false;
        loop {
            let is_in_log = |pack: &PackId| self.packs().log_file(*pack).exists();
            let left: Vec<PackId> = packs.iter().copied().filter(is_in_log).collect();
            if left.is_empty() || Instant::now() >= until {
                return Ok(left);
            }
            if !is_asked {
                self.archive.store()?.seal().await?;
                is_asked = true;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Why a pack cannot be rewritten.
pub(super) fn stays(pack: PackId) -> Error {
    let what = format!("pack {pack} does not leave the log, so nothing can be taken out of it");
    Error::new(ErrorKind::Unavailable, what)
}

fn uids_of(entries: &[PackEntry]) -> Vec<SopInstanceUid> {
    entries.iter().map(|entry| entry.sop_instance.clone()).collect()
}
